package blockval

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/blockval/script"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sigverify"
)

// Options configures a Validator. Verifier is needed; the rest is ready to use
// when it is zero.
type Options struct {
	// Verifier verifies the collected signatures. It stays the caller's, and must
	// not be closed before the last Check has returned.
	Verifier *sigverify.Verifier
	// Workers bounds the goroutines of one Finish; 0 means GOMAXPROCS.
	Workers int
	// SeenBytes is the memory for transactions that VerifyTx remembers; 0 means 16
	// MiB, some 300,000 transactions.
	SeenBytes int64
	// Recorder receives the metrics; nil means perfcore.Discard.
	Recorder perfcore.Recorder
	// Now is the clock that a block's time may be two hours ahead of; nil
	// means time.Now.
	Now func() time.Time
}

const (
	defaultSeenBytes = 16 << 20
	// spareBlocks is for how many blocks at once memory is kept: some 4 MB each.
	spareBlocks = 4
)

// A Validator validates the blocks of one network. It is safe for concurrent
// use.
type Validator struct {
	params   *Params
	verifier *sigverify.Verifier
	falls    func() int // verifier.Falls, but in a test
	workers  int
	now      func() time.Time
	metrics  instruments
	// idle and spare keep workers and memory for the next block.
	idle  chan *worker
	spare chan *scratch
	seen  *seenTxs
}

// New returns a Validator for the network of p, which must not change from now
// on. It panics without a Verifier.
func New(p *Params, o Options) *Validator {
	if o.Verifier == nil {
		panic("blockval: New: no Verifier")
	}
	if o.Recorder == nil {
		o.Recorder = perfcore.Discard
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.SeenBytes == 0 {
		o.SeenBytes = defaultSeenBytes
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Validator{
		params: p, verifier: o.Verifier, falls: o.Verifier.Falls, workers: o.Workers, now: o.Now,
		metrics: newInstruments(o.Recorder), idle: make(chan *worker, o.Workers), spare: make(chan *scratch, spareBlocks),
		seen: newSeenTxs(o.SeenBytes),
	}
}

// At is the place of a block in the chain, and what is known there.
type At struct {
	Height uint32
	// Ancestors are the headers below Height of the block's own chain. They
	// are trusted to be valid. If nil, what needs them stays unchecked, the
	// verdict says so, and BIP34 is taken to have been activated by the block
	// that activated it on the network.
	Ancestors header.Ancestors
	// TimeTaken says that whoever has verified the headers has held the block's
	// time against the clock. TimeTooNew is then not checked again: it is the
	// one rule that a block can break later, when the clock is set back.
	TimeTaken bool
	// Coins is the view of the coins as of the block's parent. It is not asked
	// for anything at height 0.
	Coins Coins
}

// Check validates b as the block at the given place. The verdict carries the
// first broken rule; or none, and the rules that could not be decided. The same
// arguments give the same verdict, whatever the number of workers, but for the
// times in it.
//
// An error that is returned says nothing about the block: a coin or a header
// could not be read, or ctx ended. It is never a *RuleError or a Rule. All
// goroutines of Check have ended when it returns.
func (v *Validator) Check(ctx context.Context, b *Block, at At) (*Verdict, error) {
	p, err := v.Begin(ctx, b, at)
	if err != nil {
		return nil, err
	}
	return p.Finish(ctx)
}

// A Pending is a block of which everything is validated but the scripts.
type Pending struct {
	c     *check
	began time.Time
	// rule is the broken one, if there is one already; then the scripts are not
	// looked at.
	rule *RuleError
}

// Begin is the first half of Check: everything that needs at's headers and coins,
// which are not asked for anything later. A caller with many blocks to check can
// begin the next one, on top of this, before Finish has returned, or many.
func (v *Validator) Begin(ctx context.Context, b *Block, at At) (*Pending, error) {
	p := &Pending{c: v.newCheck(b, at), began: time.Now()}
	var err error
	p.rule, err = p.c.rules(ctx)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Valid reports whether the block has broken no rule so far.
func (p *Pending) Valid() bool { return p.rule == nil }

// Finish is the second half of Check, and returns what Check does. It is called
// once.
func (p *Pending) Finish(ctx context.Context) (*Verdict, error) {
	c := p.c
	if c == nil {
		panic("blockval: Finish was called before")
	}
	p.c = nil
	// Nothing of the genesis block is connected: its coinbase cannot be spent.
	if p.rule == nil && c.at.Height > 0 {
		began := time.Now()
		rule, err := c.scripts(ctx)
		if err != nil {
			return nil, err
		}
		p.rule = rule
		c.verdict.Stages.Scripts = time.Since(began)
	}
	c.verdict.Err = p.rule
	c.v.metrics.check.Since(p.began)
	c.v.metrics.record(&c.verdict)
	c.release()
	select {
	case c.v.spare <- c.scratch:
	default:
	}
	verdict := c.verdict // not the whole check, which its reader may keep
	return &verdict, nil
}

// A check is the state of one Check.
type check struct {
	v  *Validator
	p  *Params
	b  *Block
	at At

	verdict Verdict
	flags   script.Flags
	*scratch

	// medianTime is the median time past of the parent; timeKnown says that
	// it is known.
	medianTime int64
	timeKnown  bool
	// medians are median times past that were looked up, by height.
	medians map[uint32]uint32

	// twice has the inputs that spend what an earlier transaction spends too.
	twice map[int]bool
}

func (v *Validator) newCheck(b *Block, at At) *check {
	var memory *scratch
	select {
	case memory = <-v.spare:
	default:
		memory = new(scratch)
	}
	return &check{
		v: v, scratch: memory, p: v.params, b: b, at: at,
		verdict: Verdict{Hash: b.Hash, Height: at.Height, Stages: Stages{Parse: b.took}},
		flags:   v.params.ScriptFlags(b.Hash, at.Height),
	}
}

// rules applies all rules but the scripts', in order, and returns the first that
// is broken.
func (c *check) rules(ctx context.Context) (*RuleError, error) {
	start := time.Now()
	stage := func(into *time.Duration) {
		now := time.Now()
		*into += now.Sub(start)
		start = now
	}
	stages := &c.verdict.Stages
	rule, err := c.structure(ctx)
	if rule == nil && err == nil {
		rule, err = c.context()
	}
	stage(&stages.Rules)
	if rule != nil || err != nil || c.at.Height == 0 {
		return rule, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rule, err = c.lookup(ctx)
	stage(&stages.Lookup)
	if rule != nil || err != nil {
		return rule, err
	}
	rule, err = c.inputs()
	stage(&stages.Rules)
	return rule, err
}

// notRule returns err, which came from outside, so that it never looks like a
// rule that this block broke, even if it is another block's.
func notRule(err error) error {
	_, block := errors.AsType[*RuleError](err)
	_, head := errors.AsType[*header.RuleError](err)
	if _, rule := errors.AsType[Rule](err); block || head || rule {
		return errors.New(err.Error())
	}
	return err
}
