// Package engine is the loop that turns knobs: it collects what slices of time
// cost, analyzes whether the world has changed, optimizes by trying values
// against those in force, and verifies what it promotes again later.
//
// A change is tried in randomised blocks of slices (ABBA or BAAB), in which it
// takes turns with the incumbent, so that drift, load and season fall on both
// alike. The difference of one block is the unit of an always-valid sequential
// test, and only an effect above a minimum is promoted. A guard compares every
// slice of a candidate with the incumbent of the same minutes and ends a bad
// one within that slice. What experiments cost is bounded by a budget. When
// nothing more is found the incumbent runs alone, and audits become rare.
//
// Four things hold at every instant: a knob has one owner; its value is on its
// ladder; it changes for good only with evidence; and when the loop ends or
// stops, however it does, the incumbents are in force.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/snapshot"
)

// A MetricsCollector measures slices. One goroutine calls Begin and Collect, in
// turns; Alarm is called between them by the same one.
type MetricsCollector interface {
	// Begin begins a slice, and forgets one that was not collected.
	Begin()
	// Collect ends the slice and returns what it measured.
	Collect() perfcore.Sample
	// Alarm returns why the program is in trouble at this moment, in one
	// sentence; "" when it is not. It is asked once a second.
	Alarm() string
}

// A RegimeTeller is a MetricsCollector that knows which kind of work the
// program does, each of which has incumbents of its own. It is asked once a
// second, like Alarm and by the same goroutine. A slice in which the regime
// changes says nothing.
type RegimeTeller interface {
	Regime() string
}

// A RegimeCounter is a RegimeTeller whose Changes returns another number whenever the regime has
// changed since, so that one that comes and goes within a second is seen, too.
type RegimeCounter interface {
	RegimeTeller
	Changes() int
}

// These are shares that Config has by default.
const (
	DefaultMinEffect = 0.015
	DefaultGuard     = 0.25
	DefaultBudget    = 0.02
)

// Config says what to optimize and how. Knobs and Collector are needed; zero
// fields have the defaults that their comments name.
type Config struct {
	Knobs     []perfcore.Knob
	Collector MetricsCollector
	// Engine proposes changes; NewHybrid by default.
	Engine OptimizationEngine
	// Slice is the mean length of a slice (10 s). Each is up to a quarter
	// shorter or longer, so that none of the program's own periods fits.
	Slice time.Duration
	// MinEffect is the smallest fall of the cost that a change is promoted
	// for, as a share (DefaultMinEffect). A candidate that does less work by more than that is not
	// accepted where what is missing beyond it exceeds its own standard error, or where
	// nothing but the work is saved.
	MinEffect float64
	// Guard is by how much a candidate's slice may exceed the incumbent's
	// cost, or the incumbent's work that of the candidate, as a share (DefaultGuard). Where noise alone comes to
	// that, it is more, up to twice the cost or half the work.
	Guard float64
	// Budget is the share of the cost that experiments may add (DefaultBudget).
	Budget float64
	// Quiet are regimes in which nothing is tried, nor measured: the incumbents
	// of the regime before hold until it is over, as for the seconds in which a
	// block is at hand.
	Quiet []string
	// Timed are regimes in which time is part of the cost; knobs that hasten are tried only
	// in these, and in others while what they trade in misses a target of its throughput or
	// latency. By default it is all of them.
	Timed []string
	// Seed draws the order within blocks, and perturbations; 0 draws it too.
	Seed uint64
	// Decided, if set, receives every decision, one at a time and in their order, on the
	// goroutine of Run or of its watchdog, of Inspect, Restore, Resume or Decide. It must not
	// block, nor call what decides: Inspect, Restore, Resume or Decide.
	Decided func(perfcore.Decision)
	// Snapshots counts the accepted changes: promotions, pins and releases, isolations,
	// targets, restorations, and of the statuses what the search changes. By default it is a
	// ring that takes one after every 20th.
	Snapshots *snapshot.Ring
	// Store, if set, receives the snapshots while Run runs, and one more when
	// it ends. Without it they are lost with the program.
	Store snapshot.Store
	// Log receives what an operator acts on (discarded).
	Log *slog.Logger
	// Recorder receives the optimizer's own metrics (perfcore.Discard).
	Recorder perfcore.Recorder
}

func (c Config) withDefaults() (Config, error) {
	if c.Collector == nil {
		return c, errors.New("an optimizer needs a collector")
	}
	for _, d := range []struct {
		value    *float64
		standard float64
	}{{&c.MinEffect, DefaultMinEffect}, {&c.Guard, DefaultGuard}, {&c.Budget, DefaultBudget}} {
		if *d.value == 0 {
			*d.value = d.standard
		}
		if !(*d.value > 0 && *d.value < 1) {
			return c, fmt.Errorf("minimum effect %v, guard %v and budget %v must lie between 0 and 1", c.MinEffect, c.Guard, c.Budget)
		}
	}
	if c.Slice == 0 {
		c.Slice = 10 * time.Second
	}
	if c.Slice < 0 {
		return c, fmt.Errorf("a slice of %v is none", c.Slice)
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	if c.Engine == nil {
		c.Engine = NewHybrid(rand.New(rand.NewPCG(c.Seed, 1)))
	}
	if c.Snapshots == nil {
		c.Snapshots = snapshot.NewRing(snapshot.DefaultEvery)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Recorder == nil {
		c.Recorder = perfcore.Discard
	}
	return c, nil
}

// keptDecisions is how many decisions Decisions looks back.
const keptDecisions = 256

// reflexTime is how often alarms are looked at.
const reflexTime = time.Second

// A PerformanceOptimizer runs the loop over its knobs. Its methods are safe for
// concurrent use.
type PerformanceOptimizer struct {
	// Resources owns the knobs; an operator pins and releases them there.
	Resources *ResourceManager

	cfg    Config
	rand   *rand.Rand // of Run's goroutine
	perf   metrics
	beaten chan struct{} // a beat of the loop for its watchdog

	deciding sync.Mutex // orders decisions and the calls of cfg.Decided; taken before all others

	mu        sync.Mutex // guards what follows; taken behind that of Resources
	running   bool
	resumed   bool // its incumbents were verified before, and restored
	targets   map[perfcore.ResourceType]perfcore.Targets
	statuses  map[perfcore.ResourceType]perfcore.OptimizationStatus
	usage     map[perfcore.ResourceType]perfcore.Usage   // in the regime that the incumbents are for
	limits    map[perfcore.ResourceType]perfcore.Targets // by which usage is judged
	freezes   int                                        // that hold
	thawed    chan struct{}                              // closed when the last one has gone; nil when none holds
	decisions []perfcore.Decision
	seq       uint64
	regret    float64
	spent     float64 // of the budget
	asked     bool    // an operator wants an audit
	waits     string  // why the loop tries nothing; "" while it may

	unheard bool // nothing was tried, for a calibration, or each trial, has come to nothing
}

// New returns an optimizer that owns cfg.Knobs from now on. It starts nothing.
func New(cfg Config) (*PerformanceOptimizer, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	resources, err := NewResourceManager(cfg.Knobs)
	if err != nil {
		return nil, err
	}
	o := &PerformanceOptimizer{
		Resources: resources,
		cfg:       cfg,
		rand:      rand.New(rand.NewPCG(cfg.Seed, 2)),
		perf:      newMetrics(cfg.Recorder, resources.Knobs()),
		beaten:    make(chan struct{}, 1),
		targets:   make(map[perfcore.ResourceType]perfcore.Targets),
		statuses:  make(map[perfcore.ResourceType]perfcore.OptimizationStatus),
		usage:     make(map[perfcore.ResourceType]perfcore.Usage),
	}
	resources.changed = o.count
	resources.failed = o.failed
	resources.hangs = func(n int) { o.perf.hanging.Set(float64(n)) }
	return o, nil
}

// Run runs the loop until ctx ends, and returns nil then. However it ends, by a
// panic of the collector too, the knobs that the engine owns are at their
// incumbents; an error says which could not be restored, and of which a call has not
// returned within five seconds more. One that has by then is set back, too. It may run
// again, but not twice at once.
func (o *PerformanceOptimizer) Run(ctx context.Context) (err error) {
	o.mu.Lock()
	again := o.running
	o.running = true
	o.mu.Unlock()
	if again {
		return errors.New("the optimizer runs already")
	}
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.running, o.waits = false, ""
	}()

	ctx, cancel := context.WithCancel(ctx)
	var others sync.WaitGroup
	others.Go(func() { o.watch(ctx) })
	others.Go(func() { o.keep(ctx) })
	// In the order of a stack: the watchdog ends before the last restoration.
	defer func() {
		if undo := o.Resources.restore(ctx); undo != nil {
			err = errors.Join(err, fmt.Errorf("restore the incumbents: %w", undo))
		}
		o.tellMoved()
		o.settle(perfcore.NotOptimized)
		err = errors.Join(err, o.keepLast(ctx), o.join(ctx))
	}()
	defer others.Wait()
	defer cancel()

	// The first incumbents are for the regime in which it begins to try things. When it is not to
	// do that any more, run finds ctx ended.
	_ = o.untilThawed(ctx)
	if err := newTuner(o).run(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// join waits for calls of knobs that hang, which must not keep the program from its end.
func (o *PerformanceOptimizer) join(ctx context.Context) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer stop()
	return o.Resources.join(ctx)
}

// stalledSlices is after how many mean slices without a sign of it the loop
// counts as stopped.
const stalledSlices = 3

// watch restores the incumbents when the loop gives no sign: its collector
// hangs, say, while a candidate is in force.
func (o *PerformanceOptimizer) watch(ctx context.Context) {
	patience := max(stalledSlices*o.cfg.Slice, stalledSlices*reflexTime)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	defer o.perf.stalled.Set(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.beaten:
			o.perf.stalled.Set(0)
		case <-timer.C:
			o.perf.stalled.Set(1)
			if seized, err := o.Resources.seize(ctx); seized {
				o.cfg.Log.Error("the optimizer's loop has stopped; the incumbents are restored", "error", err)
				o.tellMoved()
			}
		}
		timer.Reset(patience)
	}
}

// beat tells the watchdog that the loop is alive.
func (o *PerformanceOptimizer) beat() {
	select {
	case o.beaten <- struct{}{}:
	default:
	}
}

// slice runs one slice with the knobs at levels and returns what it measured.
// Errors are the context's and interruptions, after which the incumbents are in
// force. again applies values that are in force already.
func (o *PerformanceOptimizer) slice(ctx context.Context, levels []int, epoch int, again bool) (perfcore.Sample, error) {
	s, err := o.runSlice(ctx, levels, epoch, again)
	if err != nil {
		o.restore(ctx)
	}
	return s, err
}

// restore puts the incumbents in force. A knob that refuses, or that somebody else has
// moved, is isolated, and an operator is told.
func (o *PerformanceOptimizer) restore(ctx context.Context) {
	if err := o.Resources.restore(ctx); err != nil {
		o.cfg.Log.Error("a knob was not restored, and is left alone", "error", err)
	}
	o.tellMoved()
}

func (o *PerformanceOptimizer) runSlice(ctx context.Context, levels []int, epoch int, again bool) (perfcore.Sample, error) {
	o.beat()
	if err := o.awaitThaw(ctx); err != nil {
		return perfcore.Sample{}, err
	}
	before := o.mark()
	if err := o.awaitCalm(ctx); err != nil {
		return perfcore.Sample{}, err
	}
	switch err := o.Resources.apply(ctx, levels, epoch, again); {
	case errors.Is(err, errOwner):
		return perfcore.Sample{}, &interruption{perfcore.Inconclusive, err.Error()}
	case err != nil && ctx.Err() != nil:
		return perfcore.Sample{}, ctx.Err()
	case err != nil:
		return perfcore.Sample{}, &interruption{perfcore.Aborted, err.Error()}
	}
	if err := o.sameRegime(before); err != nil { // it may have taken long
		return perfcore.Sample{}, err
	}
	o.cfg.Collector.Begin()
	if err := o.wait(ctx, before); err != nil {
		return perfcore.Sample{}, err
	}
	s := o.cfg.Collector.Collect()
	if err := o.sameRegime(before); err != nil {
		return perfcore.Sample{}, err
	}
	if o.Resources.takenBack() {
		return perfcore.Sample{}, &interruption{perfcore.Aborted, errSeized.Error()}
	}
	if whys := o.Resources.foreign(ctx); len(whys) > 0 {
		why := strings.Join(whys, "; ")
		o.cfg.Log.Warn("knobs are left alone", "why", why)
		return perfcore.Sample{}, &interruption{perfcore.Isolated, why}
	}
	if _, _, now := o.Resources.incumbents(); now != epoch {
		return perfcore.Sample{}, &interruption{perfcore.Inconclusive, errOwner.Error()}
	}
	return s, nil
}

// awaitThaw returns at once unless the optimizer is frozen. It then waits, and
// reports an interruption.
func (o *PerformanceOptimizer) awaitThaw(ctx context.Context) error {
	o.mu.Lock()
	thawed := o.thawed
	o.mu.Unlock()
	if thawed == nil {
		return nil
	}
	o.restore(ctx)
	o.settle(perfcore.NotOptimized)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-thawed:
			return &interruption{perfcore.Inconclusive, "the optimizer was frozen"}
		case <-time.After(o.cfg.Slice):
			o.beat()
		}
	}
}

// untilThawed returns once the optimizer is not frozen. Its error is the context's.
func (o *PerformanceOptimizer) untilThawed(ctx context.Context) error {
	for ctx.Err() == nil && o.Frozen() {
		_ = o.awaitThaw(ctx) // the freeze that it reports has interrupted nothing
	}
	return ctx.Err()
}

// regime returns the regime that the collector tells; "" when it tells none.
func (o *PerformanceOptimizer) regime() string {
	if t, ok := o.cfg.Collector.(RegimeTeller); ok {
		return t.Regime()
	}
	return ""
}

// quiet reports whether nothing is tried in the regime of this moment.
func (o *PerformanceOptimizer) quiet() bool { return slices.Contains(o.cfg.Quiet, o.regime()) }

// awaitCalm returns at once unless the regime is a quiet one. It then waits until
// it is over, with the incumbents in force, and reports an interruption.
func (o *PerformanceOptimizer) awaitCalm(ctx context.Context) error {
	if !o.quiet() {
		return nil
	}
	why := &excursion{interruption{perfcore.Inconclusive, "the regime is " + o.regime() + ", in which nothing is tried"}}
	o.restore(ctx)
	timer := time.NewTimer(reflexTime)
	defer timer.Stop()
	for o.quiet() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			o.beat()
			timer.Reset(reflexTime)
		}
	}
	return why
}

// timed reports whether time is part of the cost in the regime.
func (o *PerformanceOptimizer) timed(regime string) bool {
	return o.cfg.Timed == nil || slices.Contains(o.cfg.Timed, regime)
}

// A mark is which regime there was at a moment, and how many there had been.
type mark struct {
	changes int
	regime  string
}

// mark returns the one of this moment.
func (o *PerformanceOptimizer) mark() mark {
	var m mark
	if c, ok := o.cfg.Collector.(RegimeCounter); ok {
		m.changes = c.Changes() // before the regime: a change between the two is seen later
	}
	m.regime = o.regime()
	return m
}

// sameRegime returns an interruption when the regime is another one than before, or was
// meanwhile.
func (o *PerformanceOptimizer) sameRegime(before mark) error {
	switch now := o.mark(); {
	case now.regime != before.regime:
		return &excursion{interruption{perfcore.Inconclusive, "the regime is " + now.regime + " now"}}
	case now.changes != before.changes:
		return &excursion{interruption{perfcore.Inconclusive, "the regime was another one for a moment"}}
	}
	return nil
}

// wait waits for the end of a slice, or for another regime, an alarm or a freeze
// within it.
func (o *PerformanceOptimizer) wait(ctx context.Context, before mark) error {
	left := time.Duration(float64(o.cfg.Slice) * (0.75 + 0.5*o.rand.Float64()))
	timer := time.NewTimer(min(left, reflexTime))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		if err := o.sameRegime(before); err != nil { // first: what came with a block is not the candidate's
			return err
		}
		if why := o.cfg.Collector.Alarm(); why != "" {
			return &alarm{interruption: interruption{perfcore.Aborted, why}}
		}
		o.mu.Lock()
		frozen := o.thawed != nil
		o.mu.Unlock()
		if frozen {
			return &interruption{perfcore.Inconclusive, "the optimizer was frozen"}
		}
		if left -= min(left, reflexTime); left == 0 {
			return nil
		}
		o.beat()
		timer.Reset(min(left, reflexTime))
	}
}

// sleep waits for the mean length of a slice.
func (o *PerformanceOptimizer) sleep(ctx context.Context) error {
	o.beat()
	timer := time.NewTimer(o.cfg.Slice)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		o.beat()
		return nil
	}
}

// Freeze stops experiments within a second, with the incumbents in force, until
// the function that it returns has been called. Several freezes hold until the
// last one goes.
func (o *PerformanceOptimizer) Freeze(why string) (thaw func()) {
	o.cfg.Log.Info("the optimizer is frozen", "why", why)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.freezes++; o.freezes == 1 {
		o.thawed = make(chan struct{})
	}
	return sync.OnceFunc(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.freezes--; o.freezes == 0 {
			close(o.thawed)
			o.thawed = nil
		}
	})
}

// SetTargets sets what a resource has to do. While targets are set and all are met,
// nothing is tried, unless Audit asks for it. While one is missed, what is missing of it
// is part of what a slice costs: each per cent of utilization or latency too much, or of
// throughput too little, as much as a per cent of the cost of a unit of work. A change ends a
// trial that runs, without a verdict on it, and with the next slice the search begins
// anew. It waits while a knob is being set.
func (o *PerformanceOptimizer) SetTargets(r perfcore.ResourceType, t perfcore.Targets) error {
	if !r.IsValid() {
		return fmt.Errorf("there is no %v", r)
	}
	if err := t.Check(); err != nil {
		return fmt.Errorf("targets of %v: %w", r, err)
	}
	o.Resources.mu.Lock()
	defer o.Resources.mu.Unlock()
	if o.setTargets(r, t) {
		o.Resources.epoch++ // a trial that runs is over: what a slice costs has other reasons now
		o.Resources.count()
	}
	return nil
}

// setTargets reports whether it changes anything.
func (o *PerformanceOptimizer) setTargets(r perfcore.ResourceType, t perfcore.Targets) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.targets[r]
	if t == (perfcore.Targets{}) {
		delete(o.targets, r)
	} else {
		o.targets[r] = t
	}
	if t != before {
		delete(o.limits, r)
		o.judge()
	}
	return t != before
}

// Targets returns what was set for a resource.
func (o *PerformanceOptimizer) Targets(r perfcore.ResourceType) perfcore.Targets {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.targets[r]
}

// Status returns how far the optimizer is with a resource.
func (o *PerformanceOptimizer) Status(r perfcore.ResourceType) perfcore.OptimizationStatus {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.statuses[r]
}

// Regret returns the share of the cost so far that experiments have added, as
// far as it was measured.
func (o *PerformanceOptimizer) Regret() float64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.regret
}

// Spent returns the share of their budget that experiments have spent; one that has
// ended may have taken it beyond 1.
func (o *PerformanceOptimizer) Spent() float64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.spent
}

// Audit has the search look again for better values, as soon as the budget and the regime
// allow it, though it has come to rest. A search that is under way goes on.
func (o *PerformanceOptimizer) Audit() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = true
}

// askedFor reports whether Audit was called since the last time.
func (o *PerformanceOptimizer) askedFor() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	asked := o.asked
	o.asked = false
	return asked
}

// Decisions returns the last decisions, at most 256, whose Seq is larger than
// after, oldest first.
func (o *PerformanceOptimizer) Decisions(after uint64) []perfcore.Decision {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.IndexFunc(o.decisions, func(d perfcore.Decision) bool { return d.Seq > after })
	if i < 0 {
		return nil
	}
	return slices.Clone(o.decisions[i:])
}

// Frozen reports whether experiments are stopped.
func (o *PerformanceOptimizer) Frozen() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.thawed != nil
}

// Decide records what an arbiter has decided about knobs that are entrusted to it,
// as the engine's own decisions are: it gets a number and a time, is counted and
// kept, and Decided hears of it.
func (o *PerformanceOptimizer) Decide(d perfcore.Decision) { o.decide(d) }

// decide records a decision. No other mutex is held.
func (o *PerformanceOptimizer) decide(d perfcore.Decision) {
	o.deciding.Lock()
	defer o.deciding.Unlock()
	d.At = time.Now()
	o.mu.Lock()
	o.seq++
	d.Seq = o.seq
	if len(o.decisions) == keptDecisions {
		o.decisions = slices.Delete(o.decisions, 0, 1)
	}
	o.decisions = append(o.decisions, d)
	o.mu.Unlock()
	o.perf.decisions[d.Verdict].Add(1)
	if o.cfg.Decided != nil {
		o.cfg.Decided(d)
	}
}

// hasResumed reports whether the state of a snapshot was restored.
func (o *PerformanceOptimizer) hasResumed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.resumed
}

// content reports whether there are targets and none is missed.
func (o *PerformanceOptimizer) content() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for r := range o.targets {
		if _, met := o.verdict(r); !met {
			return false
		}
	}
	return len(o.targets) > 0
}
