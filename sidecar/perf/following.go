package perf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/anomaly"
	"github.com/outrider-project/outrider/perfcore/arbiter"
	"github.com/outrider-project/outrider/perfcore/collect"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/regime"
	"github.com/outrider-project/outrider/perfcore/snapshot"
)

// A following is what is known of one plant, for as long as there is one.
type following struct {
	p         *Performance
	plant     Plant
	objective collect.Objective
	optimizer *engine.PerformanceOptimizer
	arbiter   *arbiter.Arbiter // nil where nobody shares memory
	ring      *snapshot.Ring
	store     *Store
	recorded  map[string]bool  // the metrics that parts of the plant record, by name
	standard  map[string]int64 // values at the start
	watches   map[string]*anomaly.Detector
	leased    []leaseMetrics // of the arbiter's tenants
	flaps     flapping       // observe's
	average   collect.Slice  // of the quantities that resources are used by; take's
	spoilt    time.Time      // when a snapshot was found that does not verify; resume's, then observe's

	mu         sync.Mutex // guards what follows
	measured   *Measured  // nil before the first slice
	quantities map[string]float64
	usage      map[perfcore.ResourceType]perfcore.Usage // by average
	frozen     Frozen
	thaw       func() // nil when nothing is frozen
	problem    string
}

// watched are the quantities whose leaving the usual is an anomaly, and distances
// from it that never are: a few milliseconds, a hundred goroutines.
var watched = map[string]float64{
	"go_sched_latency_p99_seconds": 5e-3,
	"feed_fetch_mean":              50e-3,
	"go_goroutines":                100,
}

// Follow observes the plant, and optimizes it if that is the mode, until ctx ends;
// it returns nil then. An error is about how it begins: an optimizer that fails
// later is an alert, and its knobs are at their incumbents. When Follow returns no
// knob of the plant is touched any more. One call at a time.
func (p *Performance) Follow(ctx context.Context, plant Plant) (err error) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.following, p.refused = nil, err != nil
	}()
	f, err := p.newFollowing(plant)
	if err != nil {
		return err
	}
	collector, err := f.observer()
	if err != nil {
		return err
	}
	f.resume(ctx)
	p.mu.Lock()
	p.alerts.hold(Rules(p.cfg.Registry.Series()))
	p.following, p.network = f, plant.Network
	p.mu.Unlock()

	var loops sync.WaitGroup
	defer loops.Wait()
	loops.Go(func() { f.observe(ctx, collector) })
	if p.cfg.Mode == Optimize {
		loops.Go(func() { f.optimize(ctx) })
	} else {
		loops.Go(func() { f.keep(ctx) })
	}
	if f.arbiter != nil {
		loops.Go(func() { f.arbiter.Run(ctx) })
	}
	return nil
}

// Describe registers the metrics that Follow would, and that of a quantity that another
// process tells of, and follows nothing.
func (p *Performance) Describe(plant Plant) error {
	_, err := p.newFollowing(plant)
	return errors.Join(err, p.outside.tell(map[string]float64{"l2_lag_seconds": 0}))
}

func (p *Performance) newFollowing(plant Plant) (*following, error) {
	f := &following{
		p: p, plant: plant, objective: objective(), ring: snapshot.NewRing(p.cfg.SnapshotEvery),
		recorded: make(map[string]bool), standard: make(map[string]int64), watches: make(map[string]*anomaly.Detector),
		flaps: flapping{before: p.classifier.Switches()}, // those of another plant are not this one's
	}
	for _, s := range p.cfg.Registry.Series() {
		f.recorded[s.Metric.Name] = true
	}
	var err error
	if f.store, err = OpenStore(plant.Dir); err != nil {
		return nil, err
	}
	knobs := f.takeable()
	for _, k := range knobs {
		f.standard[k.Name] = k.Read()
	}
	for quantity, floor := range watched {
		if f.watches[quantity], err = anomaly.New(floor); err != nil {
			return nil, err
		}
	}
	trials, err := collect.New(collect.Config{
		Sources: f.sources(), Objective: f.objective, Classifier: classified{p.classifier},
	})
	if err != nil {
		return nil, err
	}
	f.optimizer, err = engine.New(engine.Config{
		Knobs: knobs, Collector: trials, Slice: p.cfg.Slice, Seed: p.cfg.seed, Quiet: quiet,
		MinEffect: p.cfg.Tolerance.MinEffect, Guard: p.cfg.Tolerance.Guard, Budget: p.cfg.Tolerance.Budget,
		Timed:     timed,
		Decided:   func(d perfcore.Decision) { p.decided(d) },
		Snapshots: f.ring, Store: f.store, Log: p.log, Recorder: p.cfg.Registry,
	})
	if err == nil {
		err = f.share()
	}
	return f, err
}

// classified is the classifier as trials see it. What they measure says less about
// the regime than what is measured without them.
type classified struct{ *regime.Classifier }

// Observe implements collect.Classifier.
func (classified) Observe(regime.Measurement) {}

// takeable returns the knobs that the optimizer can take over, and tells the log of
// the others.
func (f *following) takeable() []perfcore.Knob {
	var knobs []perfcore.Knob
	for _, k := range f.plant.Knobs {
		if _, err := engine.NewResourceManager([]perfcore.Knob{k}); err != nil {
			f.p.log.Warn("a knob is left out of the optimizer", "why", err)
			continue
		}
		knobs = append(knobs, k)
	}
	return knobs
}

// sources returns what is measured of the plant. Each collector needs its own.
func (f *following) sources() []collect.Source {
	series := f.p.told.others(f.p.cfg.Registry.Series())
	return []collect.Source{
		collect.NewRuntime(), f.p.system(), Instruments(series),
		newWorkload(series, f.plant.Behind, f.p.classifier.Regime),
		newRequests(rpcLoad, series), newRequests(l2Load, series), newUses(series, f.plant.Knobs), newElastic(series), f.p.outside,
	}
}

// observer returns the collector of what is always measured, by which the regime is
// told, loads are predicted and alerts are raised.
func (f *following) observer() (*collect.Collector, error) {
	return collect.New(collect.Config{
		Sources: slices.Concat(f.sources(), f.p.predicted), Objective: f.objective, Classifier: f.p.classifier, Log: f.p.log, Watches: f.watches,
		Alerted: func(a collect.Alert) {
			f.p.log.Info("a quantity has left its range, or is back", "quantity", a.Quantity, "event", a.Event,
				"value", a.Value, "median", a.Median, "deviation", a.Deviation)
		},
	})
}

// resume takes over the snapshots of earlier runs, and restores the newest if knobs
// are moved in this mode. An operator's freeze of an earlier run holds.
func (f *following) resume(ctx context.Context) {
	if z := f.store.frozen(); z != (Frozen{}) {
		f.freeze(z)
		f.p.log.Warn("it is frozen since an earlier run; outrider perf thaw ends that", "why", z.Why, "since", z.Since)
	}
	if f.p.cfg.Mode != Optimize {
		if err := f.ring.Load(ctx, f.store); err != nil {
			f.doubt(err)
			f.p.log.Warn("snapshots of earlier runs are left out", "error", err)
		}
		return
	}
	refused, err := f.optimizer.Resume(ctx)
	if err != nil {
		f.doubt(err)
		f.p.log.Warn("the state of the run before was not restored, or only an older one", "error", err)
	}
	for _, r := range refused {
		f.p.log.Warn("a knob was not restored", "why", r.String())
	}
	f.dropTargets()
}

// dropTargets unsets the targets that were restored and of which nobody could say here
// whether they are met. It tells the log of them, and returns why, a sentence for each.
func (f *following) dropTargets() (whys []string) {
	for _, r := range slices.Sorted(maps.Keys(f.objective.Uses)) {
		err := f.checkTarget(r, f.optimizer.Targets(r))
		if err == nil {
			continue
		}
		if err = errors.Join(err, f.optimizer.SetTargets(r, perfcore.Targets{})); err != nil {
			f.p.log.Warn("a target was not restored", "resource", r.String(), "why", err)
			whys = append(whys, fmt.Sprintf("the target of %v: %v", r, err))
		}
	}
	return whys
}

// doubt notes that an error says that a snapshot does not verify.
func (f *following) doubt(err error) {
	if errors.Is(err, snapshot.ErrInvalid) {
		f.spoilt = time.Now()
	}
}

// optimize runs the optimizer until ctx ends.
func (f *following) optimize(ctx context.Context) {
	err := f.optimizer.Run(ctx)
	if err == nil {
		return
	}
	f.p.log.Error("the optimizer has ended", "error", err)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.problem = err.Error()
}

// keep stores the snapshots that operators' commands make, until ctx ends; in
// optimize mode the optimizer does that. There is none at the end, for it would
// stand before what an optimizer has verified.
func (f *following) keep(ctx context.Context) {
	const lastTime = 5 * time.Second
	for {
		select {
		case <-ctx.Done():
			ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
			defer stop()
			if err := f.ring.Save(ctx, f.store); err != nil {
				f.p.log.Error("a snapshot was not kept", "error", err)
			}
			return
		case <-f.ring.Taken():
		}
		if err := f.ring.Save(ctx, f.store); err != nil && ctx.Err() == nil {
			f.p.log.Error("a snapshot was not kept; it is tried again at the next one", "error", err)
		}
	}
}

// observe measures slices until ctx ends. The first is short, so that there is
// something to tell.
func (f *following) observe(ctx context.Context, c *collect.Collector) {
	for length := f.p.cfg.Slice / 10; ; length = f.p.cfg.Slice {
		values, moves := f.optimizer.Resources.InForce(ctx)
		c.Begin()
		timer := time.NewTimer(length)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		sample := c.Collect()
		slice := c.Slice()
		if after, n := f.optimizer.Resources.InForce(ctx); n != moves || !maps.Equal(values, after) {
			values = nil
		}
		f.optimizer.Inspect(ctx)
		f.take(&slice, sample, values)
	}
}

// take takes a slice, in which the knobs had values all the time, nil when they did not, and
// raises the alerts that it calls for.
func (f *following) take(s *collect.Slice, sample perfcore.Sample, values map[string]int64) {
	m := Measured{
		At: time.Now(), Length: s.Length.Seconds(), Regime: f.p.classifier.Regime(), Work: finite(sample.Work), Void: sample.Check(), Burst: sample.Burst, Knobs: values,
	}
	if cores, ok := s.Value(effortCores); ok && sample.Work > 0 {
		m.Effort = finite(cores / sample.Work)
	}
	quantities := make(map[string]float64)
	s.Each(func(name string, v float64) { quantities[name] = v })
	quantities[budgetUsed], quantities[nodeMissing] = f.optimizer.Spent(), 0
	quantities[missedTargets] = 0
	usage := f.averaged(s)
	for _, r := range f.resources(usage) {
		if r.Missed != "" {
			quantities[missedTargets]++
		}
	}
	quantities[anomalies] = 0
	for quantity, d := range f.watches {
		leaves := boolean(d.Firing())
		quantities[quantityOf(anomalyOf(quantity))] = float64(leaves)
		quantities[anomalies] += float64(leaves)
	}
	f.aboutOptimizer(quantities)
	f.aboutMemory(quantities)

	f.mu.Lock()
	f.measured, f.quantities, f.usage = &m, quantities, usage
	f.mu.Unlock()
	f.p.told.tell(quantities)
	f.p.publish(Sliced, m)
	changed := f.p.alerts.observe(m.At, func(q string) (float64, bool) { v, ok := quantities[q]; return v, ok })
	for _, a := range changed {
		f.p.raise(f.plant.Network, a)
	}
}

// usageWeight is the weight of the newest slice in what a resource is said to do.
const usageWeight = 0.2

// averaged returns what resources do on average, with one more slice. What was not measured
// in it is as it was.
func (f *following) averaged(s *collect.Slice) map[perfcore.ResourceType]perfcore.Usage {
	for _, use := range f.objective.Uses {
		for _, quantity := range []string{use.Utilization, use.Throughput, use.Latency} {
			v, measured := s.Value(quantity)
			if !measured {
				continue
			}
			if before, known := f.average.Value(quantity); known {
				v = before + usageWeight*(v-before)
			}
			f.average.Set(quantity, v)
		}
	}
	return f.objective.Sample(&f.average).Usage
}

// aboutOptimizer sets the quantities that say how the optimizer does.
func (f *following) aboutOptimizer(values map[string]float64) {
	now := time.Now()
	decisions := f.optimizer.Decisions(0)
	f.doubt(f.ring.Verify())
	values[badSnapshots] = 0
	if !f.spoilt.IsZero() && now.Sub(f.spoilt) < badWithin {
		values[badSnapshots] = 1
	}
	values[regimeChanges] = float64(f.flaps.count(f.p.classifier.Switches(), now))
	values[knobTurns] = float64(turns(decisions, now))
	values[isolatedKnobs], values[driftedKnobs], values[abortedLately], values[miscalibrated], values[optimizerEnded] = 0, 0, 0, 0, 0
	for _, k := range f.optimizer.Resources.Knobs() {
		if k.Owner == engine.Nobody {
			values[isolatedKnobs]++
		}
		if k.Drift != "" {
			values[driftedKnobs]++
		}
	}
	for _, d := range decisions {
		switch d.Verdict {
		case perfcore.Aborted:
			if now.Sub(d.At) < abortedWithin {
				values[abortedLately]++
			}
		case perfcore.Miscalibrated:
			values[miscalibrated] = 1
		case perfcore.Calibrated:
			values[miscalibrated] = 0
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.problem != "" {
		values[optimizerEnded] = 1
	}
}

// decided tells of a decision.
func (p *Performance) decided(d perfcore.Decision) {
	level := slog.LevelDebug
	switch d.Verdict {
	case perfcore.Promoted, perfcore.Withdrawn, perfcore.Confirmed, perfcore.Aborted, perfcore.Isolated, perfcore.Drifted, perfcore.Restored, perfcore.Leased, perfcore.Advised:
		level = slog.LevelInfo
	}
	p.log.Log(context.Background(), level, "the optimizer has decided", "seq", d.Seq, "verdict", d.Verdict.String(), "moves", fmt.Sprint(d.Moves), "reason", d.Reason)
	p.publish(Decided, newDecision(d))
}

// resources returns what each resource that is measured has to do, and did by
// usage.
func (f *following) resources(usage map[perfcore.ResourceType]perfcore.Usage) []Resource {
	var list []Resource
	for _, r := range slices.Sorted(maps.Keys(f.objective.Uses)) {
		target := f.optimizer.Targets(r)
		one := Resource{Resource: r.String(), Status: f.optimizer.Status(r).String(), Target: newTargets(target)}
		if u, ok := usage[r]; ok {
			one.Usage = newUsage(u)
			one.Missed = target.Missed(u)
		}
		list = append(list, one)
	}
	return list
}

// checkTarget returns why nobody could say whether a resource meets the targets.
func (f *following) checkTarget(r perfcore.ResourceType, t perfcore.Targets) error {
	use, ok := f.objective.Uses[r]
	if !ok {
		return fmt.Errorf("nothing is measured of %v", r)
	}
	for _, one := range []struct {
		set            bool
		what, quantity string
	}{{t.Utilization != 0, "utilization", use.Utilization}, {t.Throughput != 0, "throughput", use.Throughput}, {t.Latency != 0, "latency", use.Latency}} {
		if !one.set {
			continue
		}
		if one.quantity == "" {
			return fmt.Errorf("the %s of %v is not measured", one.what, r)
		}
		if by, of := recorders[one.quantity]; of && !slices.ContainsFunc(by.metrics, func(name string) bool { return f.recorded[name] }) {
			return fmt.Errorf("the %s of %v is not measured here: %s would measure it, as %s, and is not there", one.what, r, by.part, strings.Join(by.metrics, ", "))
		}
	}
	if t.Latency != 0 && t.Quantile != latencyQuantile {
		return fmt.Errorf("latency is measured at the quantile %v", latencyQuantile)
	}
	return nil
}

// errNotFollowing says that there is no plant.
var errNotFollowing = errors.New("the sidecar does not follow its node yet: there is nothing to measure, and there are no knobs")
