package blockval

import (
	"context"
	"errors"
	"runtime"
	"sync"
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
	// Workers bounds the goroutines of one Check that run scripts; 0 means
	// GOMAXPROCS. With more than one, up to two others check rules and look coins
	// up meanwhile. With one, everything is done by the caller's, one after the other.
	Workers int
	// SeenBytes is the memory for transactions that VerifyTx remembers; 0 means 16
	// MiB, some 300,000 transactions.
	SeenBytes int64
	// Recorder receives the metrics; nil means perfcore.Discard.
	Recorder perfcore.Recorder
	// Pace, if it is set, is for checks that can wait. Each of the goroutines that run the
	// scripts of a Check calls it behind each piece of its work, some 128 signatures, those
	// of 64 inputs, or scripts that are run exactly, with how long that took. It returns when the next
	// piece may begin, or with an error, which ends the Check. What a Check does beside
	// scripts is not paced, nor is VerifyTx.
	Pace func(ctx context.Context, took time.Duration) error
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
	pace     func(ctx context.Context, took time.Duration) error // nil where nothing waits
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
		params: p, verifier: o.Verifier, falls: o.Verifier.Falls, workers: o.Workers, pace: o.Pace, now: o.Now,
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
	// for anything at height 0, nor while Ancestors is.
	Coins Coins
}

// Check validates b as the block at the given place. The verdict carries the
// first broken rule; or none, and the rules that could not be decided. The same
// arguments give the same verdict, whatever the number of workers, but for the
// times in it.
//
// Before a block is invalid for its hashes, they are computed again by the standard
// library, as Intact does; then b may be changed.
//
// An error that is returned says nothing about the block: a coin or a header
// could not be read, or ctx ended. It is never a *RuleError or a Rule. All
// goroutines of Check have ended when it returns.
func (v *Validator) Check(ctx context.Context, b *Block, at At) (*Verdict, error) {
	p, err := v.begin(ctx, b, at)
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
	// checked says that what the coins decide is checked.
	checked bool
}

// Begin is the first half of Check: everything that needs at's headers and coins,
// which are not asked for anything later. A caller with many blocks to check can
// begin the next one, on top of this, before Finish has returned, or many.
func (v *Validator) Begin(ctx context.Context, b *Block, at At) (*Pending, error) {
	p, err := v.begin(ctx, b, at)
	if err == nil && p.connects() {
		err = p.inputs()
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// begin is Begin without what the coins decide.
func (v *Validator) begin(ctx context.Context, b *Block, at At) (*Pending, error) {
	p := &Pending{c: v.newCheck(b, at), began: time.Now()}
	var err error
	if p.rule, err = p.c.rules(ctx); err != nil || !p.rule.restsOnHashes() || !b.rehash() {
		return p, err
	}
	again := &Pending{c: v.newCheck(b, at), began: p.began}
	again.rule, err = again.c.rules(ctx)
	return again, err
}

// restsOnHashes reports whether the rule is found broken by what hashlane has computed.
func (e *RuleError) restsOnHashes() bool {
	return e != nil && (e.Rule == BadMerkleRoot || e.Rule == DuplicateTxs || e.Rule == BadWitnessCommitment || e.Rule == BadSignetSolution)
}

// connects reports whether the block has broken no rule so far, and is not the genesis
// block, of which nothing is connected: its coinbase cannot be spent.
func (p *Pending) connects() bool { return p.rule == nil && p.c.at.Height > 0 }

// inputs checks what the coins decide.
func (p *Pending) inputs() (err error) {
	p.rule, err = p.c.timed(p.c.inputs)
	p.checked = err == nil
	return err
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
	if p.connects() {
		if err := p.connect(ctx); err != nil {
			p.c = nil
			return nil, err
		}
	}
	p.c = nil
	c.verdict.Err = p.rule
	if c.b.hashedWrong {
		c.v.metrics.hashedWrong.Add(1)
	}
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

// connect checks what the coins decide, if that is not checked, and runs the scripts;
// with workers to spare it does both at once. The scripts are the last rule: what they
// gave is worth nothing if another is broken.
func (p *Pending) connect(ctx context.Context) error {
	c := p.c
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var inputs error
	var wg sync.WaitGroup
	switch {
	case p.checked:
	case c.v.workers == 1:
		if inputs = p.inputs(); inputs != nil || p.rule != nil {
			return inputs
		}
	default:
		wg.Go(func() {
			if inputs = p.inputs(); inputs != nil || p.rule != nil {
				cancel()
			}
		})
	}
	began := time.Now()
	rule, err := c.scripts(ctx)
	took := time.Since(began)
	wg.Wait()
	if inputs != nil || p.rule != nil {
		return inputs
	}
	if err != nil {
		return err
	}
	p.rule = rule
	c.verdict.Stages.Scripts = took
	c.verdict.Signatures = c.ran.signatures
	c.v.metrics.ran(&c.ran, took)
	return nil
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
	// commitment is how the witness commitment is broken; nil if it is not.
	commitment *RuleError
	// ran is what the scripts' last run counted.
	ran tally
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

// rules applies all rules but those that the coins decide, in order, and returns the
// first that is broken. It also looks the coins up.
func (c *check) rules(ctx context.Context) (*RuleError, error) {
	if rule, err := c.timed(func() (*RuleError, error) { return c.claim(ctx) }); rule != nil || err != nil {
		return rule, err
	}
	// With workers to spare the coins are looked up meanwhile.
	early := c.v.workers > 1 && c.at.Height > 0
	var coins found
	if rule := c.structureAnd(ctx, early, &coins); rule != nil {
		return rule, nil
	}
	rule, err := c.timed(func() (*RuleError, error) { return c.inPlace(ctx) })
	if rule != nil || err != nil || c.at.Height == 0 {
		return rule, err
	}
	if !early {
		coins = c.lookup(ctx)
	}
	c.verdict.Prevouts, c.verdict.Stages.Lookup = coins.source, coins.took
	return nil, coins.err
}

// structureAnd is structure, and a look-up of the coins at the same time if early says
// so. No coins are needed of a block whose structure is broken.
func (c *check) structureAnd(ctx context.Context, early bool, coins *found) *RuleError {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	if early {
		wg.Go(func() { *coins = c.lookup(ctx) })
	}
	rule, _ := c.timed(func() (*RuleError, error) { return c.structure(), nil })
	if rule != nil {
		cancel()
	}
	wg.Wait()
	return rule
}

// inPlace checks what the block's place in the chain decides, and BIP30.
func (c *check) inPlace(ctx context.Context) (*RuleError, error) {
	if rule, err := c.context(); rule != nil || err != nil || c.at.Height == 0 {
		return rule, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c.checkBIP30(ctx)
}

// timed counts what f takes as time for rules.
func (c *check) timed(f func() (*RuleError, error)) (*RuleError, error) {
	began := time.Now()
	defer func() { c.verdict.Stages.Rules += time.Since(began) }()
	return f()
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
