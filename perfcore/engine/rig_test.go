package engine_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// A fixed engine always proposes the same levels.
type fixed []int

func (f fixed) Propose(context.Context, engine.Space, func(plus, minus []int) (float64, error)) ([]int, error) {
	return slices.Clone(f), nil
}

func (fixed) Learn(perfcore.Verdict) {}

func (fixed) Forget() {}

// A rig is an optimizer on a plant, for tests that act while it runs. It lives
// in a bubble.
type rig struct {
	*plant.Plant
	*engine.PerformanceOptimizer
	knobs []perfcore.Knob
}

func newRig(t *testing.T, cfg plant.Config, change func(*engine.Config)) *rig {
	t.Helper()
	r := &rig{Plant: plant.New(cfg)}
	c := engine.Config{Collector: r.Plant, Slice: 10 * time.Second, Seed: cfg.Seed + 1}
	c.Knobs = r.Plant.Knobs()
	if change != nil {
		change(&c)
	}
	r.knobs = c.Knobs
	var err error
	if r.PerformanceOptimizer, err = engine.New(c); err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs the optimizer, and returns how to end it and take its error.
func (r *rig) start(t *testing.T) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return func() error {
		cancel()
		return <-ended
	}
}

// until lets virtual time pass, second by second, until done.
func until(t *testing.T, what string, limit time.Duration, done func() bool) {
	t.Helper()
	for range int(limit / time.Second) {
		synctest.Wait()
		if done() {
			return
		}
		<-time.After(time.Second)
	}
	t.Fatalf("%s: not within %v", what, limit)
}

// last returns the newest decision with the verdict.
func (r *rig) last(v perfcore.Verdict) (perfcore.Decision, bool) {
	all := r.Decisions(0)
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Verdict == v {
			return all[i], true
		}
	}
	return perfcore.Decision{}, false
}

func (r *rig) decided(v perfcore.Verdict) func() bool {
	return func() bool { _, ok := r.last(v); return ok }
}

// astray returns the knobs of the engine that read otherwise than their
// incumbents.
func (r *rig) astray() []string {
	var names []string
	for _, k := range r.Resources.Knobs() {
		if k.Owner == engine.Engine && k.Read() != k.Incumbent {
			names = append(names, k.Name)
		}
	}
	return names
}

// trying reports whether a candidate is in force.
func (r *rig) trying() bool { return len(r.astray()) > 0 }

// better is a plant whose knob costs 20 % less at 6 than at 5.
func better(seed uint64) plant.Config {
	return plant.Config{Start: []int{5}, Surface: plant.Step(6, 0.2), World: plant.Noisy(), Seed: seed}
}

// worse is a plant whose knob costs 10 % more anywhere but at 5: too little for
// the guard.
func worse(seed uint64) plant.Config {
	return plant.Config{Start: []int{5}, Surface: plant.Step(5, 0.1), World: plant.Noisy(), Seed: seed}
}

func propose(levels ...int) func(*engine.Config) {
	return func(c *engine.Config) { c.Engine = fixed(levels) }
}

// A moody collector does something else before it collects.
type moody struct {
	*plant.Plant
	collect func()
}

func (m *moody) Collect() perfcore.Sample {
	m.collect()
	return m.Plant.Collect()
}
