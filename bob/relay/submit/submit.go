// Package submit tells a relay contract what package planner planned, and pays for it. It
// is off until an operator says so: it does not begin without a maximum fee, a daily
// spend and a chain id, and a rehearsal (Submitter.Rehearse) does everything but sign and
// send.
//
// Three things hold whatever happens, kill -9 at any moment included. Every transaction is
// in a journal on disk before it is sent, so that whoever starts again knows what may be
// on its way. A nonce is used for one plan at a time: what is on its way is only sent
// again as it is or replaced, never joined by another, and what was mined is never sent
// again. And nothing is signed if what was spent in the 24 hours before, and all that is on
// its way, could then cost more than the limit of a day: a transaction counts with all of
// its gas at its maximum fee, with the operator's fee for that, and with twice its L1 fee,
// as of when it was signed. No transaction of an OP chain can bound the last two. If L1's
// fees more than double before a block has it, or the chain's operator raises its own, then
// a day may have cost that much more than the limit: what counts from there on is what was
// paid, and nothing more is signed.
//
// No failure of a node is taken for an answer: see package endpoint.
package submit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay/planner"
	"github.com/outrider-project/outrider/bob/signer"
)

// Limits are what an operator allows. There are no defaults: without each of them nothing
// is sent.
type Limits struct {
	// ChainID is the chain that transactions are signed for.
	ChainID uint64
	// MaxFee is the most that a transaction may offer for each gas, and DailySpend
	// the most that all may cost in any 24 hours, fees of L1 and the operator
	// included. Both are in wei.
	MaxFee, DailySpend *big.Int
}

// A MissingLimitsError names limits that nobody has set.
type MissingLimitsError struct{ Names []string }

func (e *MissingLimitsError) Error() string {
	return "an operator must set " + strings.Join(e.Names, ", ") + " before anything is sent"
}

// Check fails with a *MissingLimitsError if a limit is not set.
func (l *Limits) Check() error {
	var missing []string
	if l.ChainID == 0 {
		missing = append(missing, "the chain id")
	}
	if l.MaxFee == nil || l.MaxFee.Sign() <= 0 {
		missing = append(missing, "the maximum fee")
	}
	if l.DailySpend == nil || l.DailySpend.Sign() <= 0 {
		missing = append(missing, "the daily spend")
	}
	if len(missing) > 0 {
		return &MissingLimitsError{missing}
	}
	return nil
}

// Options say what a Submitter tells whom.
type Options struct {
	// Chain are the nodes, which must be proven to be of Limits.ChainID, as an
	// *endpoint.Pool is.
	Chain planner.Chain
	// Target is the relay. Its Sender is the signer's account.
	Target planner.Target
	// Tree has Bitcoin's headers. Follow brings it up to date before each step, and
	// Seek adds the branch with a header that it lacks; each may be nil.
	Tree   *headers.Tree
	Follow func(context.Context) error
	Seek   func(context.Context, chainhash.Hash) error
	// Schedule is the chain's, from an op-node; nil: see planner.ReadHead.
	Schedule *opstack.Schedule
	Signer   signer.Signer
	Limits   Limits
	// Journal is the path of the journal: one for each account and chain.
	Journal string
	// Poll is how long to wait between two steps (0: 1 s); Knobs has it turned.
	Poll time.Duration
	// Wake ends such a wait, once for each value: there is a new block of Bitcoin. Nil
	// ends none, and nor does one that is closed, but for the first time.
	Wake <-chan struct{}
	// Patience is after how many blocks a transaction that is not mined is replaced
	// by one with a higher fee (0: 5).
	Patience uint64
	Log      *slog.Logger
	// Now is the clock (nil: time.Now).
	Now func() time.Time
}

const (
	defaultPoll     = time.Second
	defaultPatience = 5
)

// A Submitter tells one relay what it is to be told. It is for one goroutine, but for its
// knobs.
type Submitter struct {
	o       Options
	journal *journal
	poll    atomic.Int64 // how long to wait between two steps, in nanoseconds
	// warned is the last nonce that was found to be another's.
	warned uint64
	// lags counts the last steps that found an old state.
	lags int
}

// Open returns a Submitter whose journal it locks. Close it. It fails with a
// *MissingLimitsError, or if the journal is another account's.
func Open(o Options) (*Submitter, error) {
	if err := o.Limits.Check(); err != nil {
		return nil, err
	}
	if o.Chain == nil || o.Tree == nil || o.Signer == nil || o.Journal == "" {
		return nil, errors.New("a submitter without a chain, headers, a signer or a journal")
	}
	if err := o.fill(); err != nil {
		return nil, err
	}
	j, err := openJournal(o.Journal, o.Limits.ChainID, o.Signer.Address(), o.Now())
	if err != nil {
		return nil, err
	}
	s := &Submitter{o: o, journal: j}
	s.poll.Store(int64(o.Poll))
	return s, nil
}

// fill sets what has a default.
func (o *Options) fill() error {
	if o.Signer != nil {
		o.Target.Sender = o.Signer.Address()
	}
	if o.Poll <= 0 {
		o.Poll = defaultPoll
	}
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o.Target.Check()
}

// Close releases the journal.
func (s *Submitter) Close() error { return s.journal.close() }

// Spent returns what the last 24 hours cost, and what is on its way may yet, in wei. A nonce
// that another program took in them counts with the most that it could have cost.
func (s *Submitter) Spent() *big.Int { return s.journal.spent(s.o.Now(), nil) }

// A Summary is what a catch-up did.
type Summary struct {
	// Situation is the last one.
	Situation *planner.Situation
	// Transactions were mined, with Gas used and Cost in wei, and Headers with those
	// that worked. Failed of them reverted.
	Transactions, Failed int
	Headers              int
	Gas                  uint64
	Cost                 *big.Int
}

// refusals is after how many refusals in a row a catch-up gives up. A preflight, or a state
// that lags, may be another with the next block.
const refusals = 10

// CatchUp tells the relay all that there is to tell, and returns when a step is Done. What
// fails and may work later is tried again until ctx ends. An error is one that only an
// operator can help with (see Fatal), a *Refusal that stays, or ctx's; the summary is of what
// was done until then.
func (s *Submitter) CatchUp(ctx context.Context) (*Summary, error) {
	sum := &Summary{Cost: new(big.Int)}
	refused := 0
	err := s.loop(ctx, func(o *Outcome, err error) (bool, error) {
		if o != nil {
			sum.add(o)
		}
		if _, ok := errors.AsType[*Refusal](err); !ok {
			refused = 0
			return err == nil && o.Done, nil
		}
		if refused++; refused == refusals {
			return true, err
		}
		return false, nil
	})
	return sum, err
}

// Run tells the relay what there is to tell, again and again, until ctx ends, whose error
// it returns, or an operator must help. What a block of Bitcoin brings is sent within Poll,
// or at once if Wake tells of it, so that the next block of the relay's own chain has it.
func (s *Submitter) Run(ctx context.Context) error {
	return s.loop(ctx, func(*Outcome, error) (bool, error) { return false, nil })
}

// add counts what a step settled.
func (sum *Summary) add(o *Outcome) {
	if o.Situation != nil {
		sum.Situation = o.Situation
	}
	for i := range o.Mined {
		m := &o.Mined[i]
		sum.Transactions++
		sum.Gas += m.Gas
		sum.Cost.Add(sum.Cost, m.Cost)
		if m.OK {
			sum.Headers += m.Headers
		} else {
			sum.Failed++
		}
	}
}

// maxBackoff bounds how long a step that failed is not tried again.
const maxBackoff = 30 * time.Second

// loop takes steps until one is the last, or fails for good.
func (s *Submitter) loop(ctx context.Context, last func(*Outcome, error) (bool, error)) error {
	failures, wake := 0, s.o.Wake
	for {
		o, err := s.Step(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		end, why := last(o, err)
		if end || err != nil && Fatal(err) {
			return cmp.Or(why, err)
		}
		wait := time.Duration(s.poll.Load())
		_, refused := errors.AsType[*Refusal](err)
		switch {
		case err != nil:
			s.o.Log.Warn("the relay could not be told; it is tried again", "err", err)
			if failures++; !refused {
				wait = min(wait<<min(failures-1, 8), maxBackoff)
			}
		default:
			failures = 0
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case _, ok := <-wake:
			timer.Stop()
			if !ok {
				wake = nil
			}
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// Fatal reports whether trying again cannot help: an operator must change something.
func Fatal(err error) bool {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Fatal
	}
	if _, ok := errors.AsType[*signer.MismatchError](err); ok {
		return true
	}
	_, journal := errors.AsType[*JournalError](err)
	return journal
}

// A Refusal is a reason not to send what was planned.
type Refusal struct {
	// What is in one word or two, for programs: "maximum fee", "daily spend", "balance",
	// "wedged", "unauthorized", "preflight", "foreign nonce", "repeated"; of a rehearsal
	// "on its way", too.
	What string
	// Fatal says that an operator must change something; otherwise time may.
	Fatal bool
	Err   error
}

func (e *Refusal) Error() string { return fmt.Sprintf("not sent (%s): %v", e.What, e.Err) }
func (e *Refusal) Unwrap() error { return e.Err }

func refuse(what string, format string, args ...any) *Refusal {
	return &Refusal{What: what, Err: fmt.Errorf(format, args...)}
}
