package bob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay/planner"
	"github.com/outrider-project/outrider/bob/relay/submit"
)

// A MistakeError says what in the configuration is missing or wrong.
type MistakeError struct{ Err error }

func (e *MistakeError) Error() string { return e.Err.Error() }
func (e *MistakeError) Unwrap() error { return e.Err }

// A session is what a plan or a submission needs, and the pools of nodes behind it.
type session struct {
	submit.Options
	pools []*endpoint.Pool
}

// connect connects to the nodes and reads Bitcoin's headers. Nodes are asked for their chain
// again at intervals of recheck (0: see endpoint.Options) while the session runs.
func (c *Config) connect(ctx context.Context, source Source, recheck time.Duration) (*session, error) {
	if err := c.mistakes(); err != nil {
		return nil, &MistakeError{err}
	}
	s := new(session)
	open := func(role endpoint.Role, nodes []endpoint.Endpoint) (*endpoint.Pool, error) {
		p, err := endpoint.Open(ctx, endpoint.Options{Layer: "l2", ChainID: c.chain(), Role: role, Endpoints: nodes, Recheck: recheck})
		if err == nil {
			s.pools = append(s.pools, p)
		}
		return p, err
	}
	pool, err := open(endpoint.Execution, c.Execution)
	if err != nil {
		return nil, err
	}
	var schedule *opstack.Schedule
	if len(c.OpNodes) > 0 {
		opNode, err := open(endpoint.OpNode, c.OpNodes)
		if err != nil {
			return nil, err
		}
		config, err := opstack.Client{Caller: opNode}.RollupConfig(ctx)
		if err != nil {
			return nil, err
		}
		schedule = &config.Forks
	}
	target := planner.Target{Kind: c.Kind, Relay: planner.Address(c.Relay), Multicall: c.Multicall, Sender: c.sender()}
	head, err := planner.ReadHead(ctx, pool, schedule)
	if err != nil {
		return nil, err
	}
	floor, err := planner.Floor(ctx, pool, &target, head)
	if err != nil {
		return nil, err
	}
	bitcoin, err := OpenBitcoin(ctx, source, floor)
	if err != nil {
		return nil, fmt.Errorf("read Bitcoin's headers: %w", err)
	}
	s.Options = submit.Options{
		Chain: pool, Tree: bitcoin.Tree, Follow: bitcoin.Follow, Seek: bitcoin.Seek, Schedule: schedule, Target: target,
		Limits: c.limits(), Poll: c.Poll,
	}
	return s, nil
}

// run runs what goes on beside a session, the pools and more, until end is called, which
// returns when all of it has ended.
func (s *session) run(ctx context.Context, more ...func(context.Context) error) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, p := range s.pools {
		more = append(more, p.Run)
	}
	for _, part := range more {
		running.Go(func() { _ = part(ctx) }) // ctx's
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// Plan returns what the relay would be told, and what stands against it. It signs and
// sends nothing, and needs no key: without an account it cannot tell about balances. A
// *MistakeError says what to configure.
func Plan(ctx context.Context, c *Config, source Source, datadir string) (*submit.Rehearsal, error) {
	o, err := c.connect(ctx, source, 0)
	if err != nil {
		return nil, err
	}
	defer o.run(ctx)()
	if o.Target.Sender != (planner.Target{}).Sender && c.ChainID != 0 {
		o.Journal = c.journal(datadir, o.Target.Sender)
	}
	return submit.Rehearse(ctx, o.Options)
}

// Submission is how to submit.
type Submission struct {
	Datadir string
	// Send really sends; otherwise it is a rehearsal, which opens the signer.
	Send bool
	// Follow goes on until the context ends, and looks at once when the node notifies of
	// a block.
	Follow bool
	Log    *slog.Logger
	// recheck is how often the nodes are asked for their chain again (0: see
	// endpoint.Options).
	recheck time.Duration
}

// A Submitted is what came of it. Its JSON is for programs: names stay.
type Submitted struct {
	// Rehearsal is set if nothing was to be sent.
	Rehearsal *submit.Rehearsal `json:"rehearsal,omitempty"`
	// The rest is of what was sent. Amounts of wei are decimal strings.
	Verdict      planner.Verdict `json:"verdict,omitempty"`
	Why          string          `json:"why,omitempty"`
	Transactions int             `json:"transactions"`
	Failed       int             `json:"failed"`
	Headers      int             `json:"headers"`
	Gas          uint64          `json:"gas"`
	Cost         string          `json:"cost_wei"`
}

// Submit tells the relay what there is to tell, if Send, and else says what it would do.
// What must be set before is a *MistakeError.
func Submit(ctx context.Context, c *Config, source Source, how Submission) (_ *Submitted, err error) {
	signs, serr := c.openSigner()
	if how.Send {
		limits := c.limits()
		if err := errors.Join(c.mistakes(), missing(limits.Check()), serr); err != nil {
			return nil, &MistakeError{err}
		}
	}
	o, err := c.connect(ctx, source, how.recheck)
	if err != nil {
		return nil, err
	}
	wake := make(chan struct{}, 1)
	var beside []func(context.Context) error
	if how.Follow {
		beside = append(beside, func(ctx context.Context) error { return watchBlocks(ctx, source, wake, how.Log) })
		o.Wake = wake
	}
	defer o.run(ctx, beside...)()
	if serr == nil {
		o.Signer = signs
		o.Target.Sender = signs.Address()
		if c.ChainID != 0 {
			o.Journal = c.journal(how.Datadir, signs.Address())
		}
	}
	o.Log = how.Log
	if !how.Send {
		r, err := submit.Rehearse(ctx, o.Options)
		if err != nil {
			return nil, err
		}
		if serr != nil {
			r.Refusals = append(r.Refusals, serr.Error())
		}
		return &Submitted{Rehearsal: r, Cost: "0"}, nil
	}
	if err := os.MkdirAll(filepath.Dir(o.Journal), 0o700); err != nil {
		return nil, err
	}
	s, err := submit.Open(o.Options)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if how.Follow {
		return nil, s.Run(ctx)
	}
	sum, err := s.CatchUp(ctx)
	r := &Submitted{
		Transactions: sum.Transactions, Failed: sum.Failed, Headers: sum.Headers, Gas: sum.Gas, Cost: sum.Cost.String(),
	}
	if sum.Situation != nil {
		r.Verdict, r.Why = sum.Situation.Verdict, sum.Situation.Why
	}
	return r, err
}

// missing names the settings of limits that nobody has set.
func missing(err error) error {
	m, ok := errors.AsType[*submit.MissingLimitsError](err)
	if !ok {
		return err
	}
	settings := map[string]string{
		"the chain id":    "bob-chain-id: name the chain that transactions are signed for; BOB is 60808",
		"the maximum fee": "bob-max-fee: name the most that a transaction may offer for each gas, such as 0.01gwei",
		"the daily spend": "bob-daily-spend: name the most that all may cost in 24 hours, such as 0.002ether",
	}
	var errs []error
	for _, name := range m.Names {
		errs = append(errs, errors.New(settings[name]))
	}
	return errors.Join(errs...)
}

// WritePlan writes a rehearsal for people.
func WritePlan(w io.Writer, r *submit.Rehearsal) error {
	p := r.Plan
	var b strings.Builder
	fmt.Fprintf(&b, "relay %v (%s): %s\n%s\n", p.Relay, p.Kind, p.Verdict, p.Why)
	fmt.Fprintf(&b, "Bitcoin's tip: %d %s\n", p.Tip.Height, p.Tip.Hash)
	if p.Best != nil {
		fmt.Fprintf(&b, "relay's best:  %d %s\nrelay stores:  %d %s\n", p.Best.Height, p.Best.Hash, p.Stored.Height, p.Stored.Hash)
	} else {
		fmt.Fprintf(&b, "relay's epoch: %d, the next can be told with block %d\n", *p.Epoch, *p.NextHeight)
	}
	if len(p.Transactions) > 0 {
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "calls\theaders\tfrom\tgas\tgas limit\tcost (ether)\tat most")
		for _, tx := range p.Transactions {
			fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%s\t%s\n", strings.Join(tx.Calls, ", "), tx.Headers, tx.FromHeight, tx.Gas, tx.GasLimit,
				ether(tx.Cost), ether(tx.MostCost))
		}
		if err := t.Flush(); err != nil {
			return err
		}
		fmt.Fprintf(&b, "%d transactions, %d headers, %d gas, %.0f a header, %s ether at a base fee of %s wei\n",
			len(p.Transactions), p.Headers, p.Gas, p.GasPerHeader, ether(p.Cost), p.BaseFee)
	}
	for _, note := range p.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	for _, refusal := range r.Refusals {
		fmt.Fprintf(&b, "would not be sent: %s\n", refusal)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteSubmitted writes what was sent, or would be, for people.
func WriteSubmitted(w io.Writer, s *Submitted) error {
	if s.Rehearsal != nil {
		if err := WritePlan(w, s.Rehearsal); err != nil {
			return err
		}
		_, err := fmt.Fprintln(w, "nothing was sent: --send sends")
		return err
	}
	_, err := fmt.Fprintf(w, "%s: %s\n%d transactions (%d failed), %d headers, %d gas, %s ether\n",
		s.Verdict, s.Why, s.Transactions, s.Failed, s.Headers, s.Gas, ether(s.Cost))
	return err
}

// ether returns an amount of wei in ether.
func ether(wei string) string {
	n, ok := new(big.Int).SetString(wei, 10)
	if !ok {
		return wei
	}
	text := fmt.Sprintf("%019s", n.String())
	whole, fraction := text[:len(text)-18], strings.TrimRight(text[len(text)-18:], "0")
	if fraction == "" {
		return whole
	}
	return whole + "." + fraction
}
