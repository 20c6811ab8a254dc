package submit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"sync"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/planner"
)

// An Outcome is what a step did.
type Outcome struct {
	Head *planner.Head
	// Situation is nil if the step did not come to look.
	Situation *planner.Situation
	// Mined are the transactions that the step found in blocks.
	Mined []Mined
	// Sent is the hash of the transaction that was sent, again if Again, in place of
	// another if Replaces is not zero.
	Sent, Replaces common.Hash
	Again          bool
	// Done says that there is nothing to send now. What is on its way then, if anything is,
	// would revert: the next that is to be told takes its nonce.
	Done bool
}

// A Mined is a transaction in a block.
type Mined struct {
	Hash    common.Hash
	Nonce   uint64
	Block   uint64
	OK      bool
	Gas     uint64
	Headers int
	Cost    *big.Int
}

// Step looks once, and sends one transaction at most. An error that is not Fatal may be
// gone with the next step. The outcome is what was done until then, and may come with an
// error.
func (s *Submitter) Step(ctx context.Context) (*Outcome, error) {
	if s.o.Follow != nil {
		if err := s.o.Follow(ctx); err != nil {
			return nil, fmt.Errorf("follow Bitcoin's headers: %w", err)
		}
	}
	head, err := planner.ReadHead(ctx, s.o.Chain, s.o.Schedule)
	if err != nil {
		return nil, err
	}
	o := &Outcome{Head: head}
	// The relay's state does not depend on what became of what was sent: both are asked at
	// once, but where something is on its way, of which mostly only that is asked.
	var reading sync.WaitGroup
	var situation *planner.Situation
	var unread error
	early := len(s.journal.pending()) == 0
	if early {
		looking, stop := context.WithCancel(ctx)
		defer reading.Wait()
		defer stop()
		reading.Go(func() { situation, unread = s.look(looking, head) })
	}
	count, err := s.settle(ctx, head, o)
	if errors.Is(err, errLags) {
		level := slog.LevelDebug
		if s.lags++; s.lags%lagsTold == 0 {
			level = slog.LevelWarn
		}
		s.o.Log.Log(ctx, level, "the step looks again", "why", err, "in_a_row", s.lags)
		return o, nil
	}
	s.lags = 0
	if err != nil {
		return o, err
	}
	pending := s.journal.pending()
	if len(pending) > 0 {
		obsolete, err := s.pursue(ctx, head, pending[0], o)
		if err != nil || !obsolete {
			return o, err
		}
	}
	if early {
		reading.Wait()
	} else {
		situation, unread = s.look(ctx, head)
	}
	if o.Situation = situation; unread != nil {
		return o, unread
	}
	if o.Situation.Verdict != planner.Behind {
		o.Done = true
		return o, verdictError(o.Situation)
	}
	tx := &o.Situation.Plan.Transactions[0]
	if err := s.repeated(head, tx); err != nil {
		return o, err
	}
	if len(pending) > 0 {
		return o, s.replace(ctx, head, pending[0], tx, o)
	}
	return o, s.send(ctx, head, count, tx, o)
}

// lagsTold is after how many steps in a row that found an old state somebody is told: it may be
// a node that stays so, or a chain that was made anew.
const lagsTold = 30

// repeated refuses what was mined, and what reverted not long ago.
func (s *Submitter) repeated(head *planner.Head, tx *relay.Transaction) error {
	switch done := s.journal.did(planOf(common.Address(tx.To), tx.Data)); {
	case done == nil:
	case done.ok:
		return refuse("repeated", "what is planned was mined; the state that was read is an older one, or the call does not do what it should")
	case head.Number < done.block+afterRevert:
		return refuse("repeated", "what is planned reverted in block %d; it is sent again from block %d on, if it works by then", done.block, done.block+afterRevert)
	}
	return nil
}

// afterRevert is how many blocks after a transaction that reverted the same is sent again:
// what reverts each time must not cost a day's spend in minutes.
const afterRevert = 150

// verdictError returns the refusal that a verdict is; nil if it is none.
func verdictError(situation *planner.Situation) error {
	switch situation.Verdict {
	case planner.Wedged:
		return refuse("wedged", "%s", situation.Why)
	case planner.Unauthorized:
		return &Refusal{What: "unauthorized", Fatal: true, Err: errors.New(situation.Why)}
	}
	return nil
}

// look plans, and once more with a header that was lacking.
func (s *Submitter) look(ctx context.Context, head *planner.Head) (*planner.Situation, error) {
	situation, err := planner.LookAt(ctx, s.o.Chain, &s.o.Target, s.o.Tree, head)
	if unknown, ok := errors.AsType[*planner.UnknownBestError](err); ok && s.o.Seek != nil {
		if serr := s.o.Seek(ctx, unknown.Best); serr != nil {
			return nil, fmt.Errorf("%w: %w", err, serr)
		}
		return planner.LookAt(ctx, s.o.Chain, &s.o.Target, s.o.Tree, head)
	}
	return situation, err
}

// pursue does what is to be done for a transaction that is on its way: send it again if
// no node knows it and its fee is still within the maximum, replace it by itself with a
// higher fee if it waits for too long, and else wait. It reports whether it is obsolete: what
// it does would revert now.
func (s *Submitter) pursue(ctx context.Context, head *planner.Head, pending *slot, o *Outcome) (obsolete bool, err error) {
	v := pending.last()
	if err := s.try(ctx, head, *v.tx.To(), v.tx.Data(), v.tx.Gas()); err != nil {
		if _, ok := errors.AsType[*relay.Revert](err); ok {
			return true, nil
		}
		return false, err
	}
	if head.Number >= v.head+s.o.Patience {
		fees, err := s.fees(ctx, head)
		if err != nil {
			return false, err
		}
		if higher, ok := s.replacement(v, fees); ok {
			return false, s.sign(ctx, head, draft{pending.nonce, *v.tx.To(), v.tx.Data(), v.headers, v.tx.Gas(), higher, pending}, o)
		}
		s.o.Log.Warn("a transaction waits for a block, and a higher fee would be above the maximum",
			"hash", v.tx.Hash(), "maximum_fee_wei", s.o.Limits.MaxFee)
	}
	_, err = s.o.Chain.Call(ctx, "eth_getTransactionByHash", v.tx.Hash())
	if !isAbsent(err) {
		return false, err
	}
	if offers := v.tx.GasFeeCap(); offers.Cmp(s.o.Limits.MaxFee) > 0 {
		return false, refuse("maximum fee", "transaction %v of nonce %d is known to no node, and offers %v wei for each gas; the maximum is %v now", v.tx.Hash(), pending.nonce, offers, s.o.Limits.MaxFee)
	}
	o.Sent, o.Again = v.tx.Hash(), true
	return false, s.put(ctx, v)
}

// isAbsent reports whether enough nodes said that they do not have what was asked for.
func isAbsent(err error) bool { return errors.Is(err, endpoint.Absent) }

// replace puts a plan's transaction in the place of one that is obsolete: it has its
// nonce, so that only one of them can be mined.
func (s *Submitter) replace(ctx context.Context, head *planner.Head, pending *slot, tx *relay.Transaction, o *Outcome) error {
	limit, fees, err := s.prepare(ctx, head, tx)
	if err != nil {
		return err
	}
	higher, ok := s.replacement(pending.last(), fees)
	if !ok {
		return refuse("maximum fee", "nonce %d is taken by a transaction that is obsolete, and to replace it takes %v wei for each gas, above the maximum", pending.nonce, higher.Max)
	}
	return s.sign(ctx, head, draft{pending.nonce, common.Address(tx.To), tx.Data, tx.Headers, limit, higher, pending}, o)
}

// send signs and sends a plan's transaction with a nonce that was never used.
func (s *Submitter) send(ctx context.Context, head *planner.Head, nonce uint64, tx *relay.Transaction, o *Outcome) error {
	limit, fees, err := s.prepare(ctx, head, tx)
	if err != nil {
		return err
	}
	return s.sign(ctx, head, draft{nonce, common.Address(tx.To), tx.Data, tx.Headers, limit, fees, nil}, o)
}

// most returns the most that a transaction can cost: all of its gas at its maximum fee,
// and twice the L1 fee of now, since that changes with L1's blocks.
func most(head *planner.Head, to common.Address, data []byte, gas uint64, fees planner.Fees) (*big.Int, error) {
	cost, err := head.Cost(to, data, gas, fees.Max)
	if err != nil {
		return nil, err
	}
	return cost.Total.Add(cost.Total, cost.L1), nil
}

// A draft is a transaction that is not signed.
type draft struct {
	nonce   uint64
	to      common.Address
	data    []byte
	headers int // that it brings
	gas     uint64
	fees    planner.Fees
	// replaced is what has the nonce so far; nil if nothing has.
	replaced *slot
}

// sign signs a transaction, writes it into the journal, and sends it.
func (s *Submitter) sign(ctx context.Context, head *planner.Head, d draft, o *Outcome) error {
	worst, err := most(head, d.to, d.data, d.gas, d.fees)
	if err != nil {
		return err
	}
	if err := s.afford(ctx, head, worst, d.replaced); err != nil {
		return err
	}
	signed, err := s.o.Signer.Sign(ctx, &types.DynamicFeeTx{
		ChainID: new(big.Int).SetUint64(s.o.Limits.ChainID), Nonce: d.nonce, GasTipCap: d.fees.Tip, GasFeeCap: d.fees.Max,
		Gas: d.gas, To: &d.to, Value: new(big.Int), Data: d.data,
	})
	if err != nil {
		return err
	}
	raw, err := signed.MarshalBinary()
	if err != nil {
		return err
	}
	hash, plan := signed.Hash(), planOf(d.to, d.data)
	if d.replaced != nil {
		o.Replaces = d.replaced.last().tx.Hash()
	}
	if err := s.journal.record(&entry{
		Is: isSending, Time: s.o.Now().Unix(), Nonce: d.nonce, Hash: &hash,
		Plan: &plan, Headers: d.headers, Raw: raw, Most: worst.String(), Head: head.Number,
	}); err != nil {
		return err
	}
	o.Sent = hash
	s.o.Log.Info("a transaction is sent", "hash", hash, "nonce", d.nonce, "headers", d.headers, "gas_limit", d.gas,
		"maximum_fee_wei", d.fees.Max, "priority_fee_wei", d.fees.Tip, "replaces", o.Replaces)
	return s.put(ctx, &variant{tx: signed, raw: raw})
}

// afford refuses what would exceed the daily spend or the account's balance.
func (s *Submitter) afford(ctx context.Context, head *planner.Head, worst *big.Int, replaced *slot) error {
	spent := s.journal.spent(s.o.Now(), replaced)
	if replaced != nil && replaced.most().Cmp(worst) > 0 {
		worst = replaced.most() // which may be mined all the same
	}
	if sum := new(big.Int).Add(spent, worst); sum.Cmp(s.o.Limits.DailySpend) > 0 {
		return refuse("daily spend", "%v wei were spent or are on their way, this may cost %v, and the limit of a day is %v",
			spent, worst, s.o.Limits.DailySpend)
	}
	balance, err := s.number(ctx, "eth_getBalance", s.o.Target.Sender, blockID(head.Hash))
	if err != nil {
		return err
	}
	if balance.Cmp(worst) < 0 {
		return refuse("balance", "the account %v has %v wei, and this may cost %v", s.o.Target.Sender, balance, worst)
	}
	return nil
}

// put sends a transaction that is in the journal. An error says nothing about whether it
// will be mined: the next step looks.
func (s *Submitter) put(ctx context.Context, v *variant) error {
	_, err := s.o.Chain.Call(ctx, "eth_sendRawTransaction", hexutil.Bytes(v.raw))
	if err != nil {
		return fmt.Errorf("transaction %v: %w", v.tx.Hash(), err)
	}
	return nil
}
