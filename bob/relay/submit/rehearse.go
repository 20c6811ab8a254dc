package submit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"

	"github.com/ethereum/go-ethereum/common"

	"github.com/outrider-project/outrider/bob/relay/planner"
)

// A Rehearsal is what would be sent, and what stands against it. Its JSON is for programs:
// names stay.
type Rehearsal struct {
	Plan *planner.Report `json:"plan"`
	// Refusals are the reasons not to send that a look shows. With none it would be sent,
	// unless the account's nonces, which a rehearsal does not ask for, say otherwise.
	Refusals []string `json:"refusals"`
	// GasLimit is that of the first transaction after its preflight; 0 if there was
	// none, or it failed.
	GasLimit uint64 `json:"gas_limit,omitempty"`
	// Spent is what the journal counts for the last 24 hours, in wei.
	Spent string `json:"spent_wei"`
}

// Rehearse does what a step would do, but for signing and sending, and for learning what
// became of what was sent before: what is on its way by the journal is a refusal. It needs no
// signer, then from the target's Sender, and no limits: what is missing is among the refusals.
// It reads the journal, if there is one, and writes nothing.
func Rehearse(ctx context.Context, o Options) (*Rehearsal, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	s := &Submitter{o: o, journal: &journal{}}
	r := &Rehearsal{Refusals: []string{}}
	refused := func(err error) { r.Refusals = append(r.Refusals, err.Error()) }
	limits := o.Limits
	if err := limits.Check(); err != nil {
		refused(err)
	}
	if s.o.Target.Sender == (common.Address{}) {
		refused(errors.New("there is no account: name a keystore or a remote signer"))
	}
	if err := s.peek(); err != nil {
		refused(err)
	}
	spent := s.journal.spent(o.Now(), nil)
	r.Spent = spent.String()
	if s.o.Follow != nil {
		if err := s.o.Follow(ctx); err != nil {
			return nil, fmt.Errorf("follow Bitcoin's headers: %w", err)
		}
	}
	head, err := planner.ReadHead(ctx, o.Chain, o.Schedule)
	if err != nil {
		return nil, err
	}
	situation, err := s.look(ctx, head)
	if err != nil {
		return nil, err
	}
	fees, err := s.rehearsedFees(ctx, head, refused)
	if err != nil {
		return nil, err
	}
	if r.Plan, err = planner.NewReport(&s.o.Target, head, situation, fees); err != nil {
		return nil, err
	}
	if err := verdictError(situation); err != nil {
		refused(err)
	}
	if situation.Plan != nil {
		return r, s.rehearseFirst(ctx, head, situation, fees, r)
	}
	return r, nil
}

// rehearsedFees returns what would be offered, whatever an operator allows.
func (s *Submitter) rehearsedFees(ctx context.Context, head *planner.Head, refused func(error)) (planner.Fees, error) {
	tip, err := s.number(ctx, "eth_maxPriorityFeePerGas")
	if err != nil {
		return planner.Fees{}, err
	}
	if most := s.o.Limits.MaxFee; most != nil && most.Sign() > 0 {
		fees, err := head.Fees(tip, most)
		if err == nil {
			return fees, nil
		}
		refused(&Refusal{What: "maximum fee", Err: err})
	}
	boundless := new(big.Int).Lsh(big.NewInt(1), 128)
	return head.Fees(tip, boundless)
}

// rehearseFirst tries a plan's first transaction.
func (s *Submitter) rehearseFirst(ctx context.Context, head *planner.Head, situation *planner.Situation, fees planner.Fees, r *Rehearsal) error {
	keep := func(err error) error {
		if refusal, ok := errors.AsType[*Refusal](err); ok {
			r.Refusals = append(r.Refusals, refusal.Error())
			return nil
		}
		return err
	}
	tx := &situation.Plan.Transactions[0]
	var replaced *slot
	if pending := s.journal.pending(); len(pending) > 0 {
		replaced = pending[0]
		_ = keep(refuse("on its way", "nonce %d was sent: it is first learnt what became of it, and it is replaced only if it would revert now, or waits for too long", replaced.nonce))
	}
	if err := s.repeated(head, tx); err != nil {
		_ = keep(err) // it is a refusal
	}
	limit, err := s.preflight(ctx, head, tx)
	if err != nil {
		return keep(err)
	}
	r.GasLimit = limit
	worst, err := most(head, common.Address(tx.To), tx.Data, limit, fees)
	if err != nil || s.o.Limits.DailySpend == nil || s.o.Limits.DailySpend.Sign() <= 0 {
		return err
	}
	return keep(s.afford(ctx, head, worst, replaced))
}

// peek reads the journal without a lock; it is empty if there is no file.
func (s *Submitter) peek() error {
	if s.o.Journal == "" {
		return nil
	}
	f, err := os.Open(s.o.Journal)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return s.journal.read(f, s.o.Limits.ChainID, s.o.Target.Sender)
}

// read takes the entries of a journal into account, which must be of an account on a
// chain.
func (j *journal) read(r io.Reader, chain uint64, account common.Address) error {
	entries, _, err := readJournal(r)
	if err != nil || len(entries) == 0 {
		return err
	}
	return j.replay(entries, chain, account)
}
