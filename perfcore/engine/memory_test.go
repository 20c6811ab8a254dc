package engine_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
	"github.com/outrider-project/outrider/perfcore/regime"
)

// A commuter is a plant whose optimum moves between two regimes, and whose
// collector may tell which.
type commuter struct {
	*trace
	stay  int // slices in each regime
	tells bool
}

func (c *commuter) Regime() string {
	if c.tells && c.Plant.Slice()/c.stay%2 == 1 {
		return "tip"
	}
	return "sync"
}

func (c *commuter) Collect() perfcore.Sample {
	if t := c.Plant.Slice(); t%c.stay == 0 {
		_, c.best = plant.Oracle(c.surface, len(c.Plant.Levels()), t)
	}
	return c.trace.Collect()
}

// commute runs an optimizer on a plant that goes to and fro six times, after so
// many slices each, and returns the mean excess over the oracle in the slices
// that follow the third and later switches.
func commute(t *testing.T, seed uint64, stay int, tells bool, surface plant.Surface) (*trace, float64) {
	t.Helper()
	const visits = 6
	cfg := plant.Config{Start: []int{5}, Surface: surface, World: plant.Noisy(), Seed: seed}
	tr := run(t, visits*stay, 0, cfg, func(c *engine.Config) {
		c.Collector = &commuter{trace: c.Collector.(*trace), stay: stay, tells: tells}
	})
	var late []float64
	for v := 2; v < visits; v++ {
		late = append(late, tr.spent[v*stay:v*stay+min(60, stay)]...)
	}
	return tr, mean(late)
}

// twoRegimes is best at 2 in the first regime and at 8 in the second.
func twoRegimes(levels []int, t int) float64 {
	bottom := 2.0
	if t/300%2 == 1 {
		bottom = 8
	}
	d := (float64(levels[0]) - bottom) / (plant.Levels - 1)
	return 1.2 * d * d
}

// On its way back into a regime the optimizer has at once what it had found in
// it, and need not search.
func TestRegimeMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("the memory of regimes was not tried: it takes a second")
	}
	var with, without []float64
	for seed := range uint64(20) {
		tr, w := commute(t, seed, 300, true, twoRegimes)
		with = append(with, w)
		_, wo := commute(t, seed, 300, false, twoRegimes)
		without = append(without, wo)
		recalled := 0
		for _, d := range tr.decisions {
			if d.Verdict == perfcore.Recalled {
				recalled++
				if len(d.Moves) != 1 || d.Reason == "" || d.Trigger != "regime" {
					t.Errorf("seed %d: decision %v", seed, d)
				}
			}
		}
		if recalled < 3 {
			t.Errorf("seed %d: values were recalled %d times, want at the third to sixth visit", seed, recalled)
		}
	}
	t.Logf("excess in the first 60 slices of a visit: %.4f with a memory, %.4f without", mean(with), mean(without))
	if mean(with) > 0.25*mean(without) || quantile(with, 0.9) > 0.06 {
		t.Errorf("excess %.4f (p90 %.4f) with a memory, %.4f without; want a quarter at most", mean(with), quantile(with, 0.9), mean(without))
	}
}

// What a regime had left is verified again: when the regime itself has changed
// meanwhile, it is given up with evidence.
func TestRecallIsVerified(t *testing.T) {
	if testing.Short() {
		t.Skip("that recalled values are verified was not tried: it takes a second")
	}
	// The first regime's best is 2 until slice 600, and where the second's is
	// from then on.
	surface := func(levels []int, t int) float64 {
		if t >= 600 {
			return 1.2 * math.Pow(float64(levels[0]-7)/(plant.Levels-1), 2)
		}
		return twoRegimes(levels, t)
	}
	turned := 0
	const times = 10
	for seed := range uint64(times) {
		tr, _ := commute(t, seed, 300, true, surface)
		i := slices.IndexFunc(tr.decisions, func(d perfcore.Decision) bool { return d.Verdict == perfcore.Recalled })
		if i < 0 {
			t.Errorf("seed %d: nothing was recalled", seed)
			continue
		}
		for _, d := range tr.decisions[i:] {
			if d.Verdict == perfcore.Promoted && d.Evidence.Ratio >= 10 {
				turned++
				break
			}
		}
		if end := tr.incumbent[len(tr.incumbent)-1]; end > 0.1 {
			t.Errorf("seed %d ends %.3f from the oracle", seed, end)
		}
	}
	if turned < times-1 {
		t.Errorf("%d of %d recalled values were given up", turned, times)
	}
}

// The block that tests a recalled value comes before the search goes on: the
// value that it replaced is in force within a few slices.
func TestRecallIsTestedFirst(t *testing.T) {
	if testing.Short() {
		t.Skip("when recalled values are tested was not tried: it takes a second")
	}
	const stay = 90 // too short for the search to come to rest
	surface := func(levels []int, t int) float64 { return twoRegimes(levels, t/stay*300) }
	recalls := 0
	for seed := range uint64(20) {
		var at []int // slices in which values were recalled
		var from []int64
		cfg := plant.Config{Start: []int{5}, Surface: surface, World: plant.Noisy(), Seed: seed}
		tr := run(t, 8*stay, 0, cfg, func(c *engine.Config) {
			tr := c.Collector.(*trace)
			c.Collector = &commuter{trace: tr, stay: stay, tells: true}
			decided := c.Decided
			c.Decided = func(d perfcore.Decision) {
				decided(d)
				if d.Verdict == perfcore.Recalled {
					at, from = append(at, tr.Plant.Slice()), append(from, d.Moves[0].From)
				}
			}
		})
		for i, slice := range at {
			if slice+5 > len(tr.levels) {
				continue // the run ends
			}
			recalls++
			soon := tr.levels[slice : slice+5]
			if !slices.ContainsFunc(soon, func(l []int) bool { return plant.Value(l[0]) == from[i] }) {
				t.Errorf("seed %d: recalled in slice %d from %d, and then at %v", seed, slice, from[i], soon)
			}
		}
	}
	if recalls < 50 {
		t.Errorf("%d recalls, want many", recalls)
	}
}

// An announced plant is one whose regime a classifier tells.
type announced struct {
	*plant.Plant
	*regime.Classifier
}

// A placed plant is in the regime that a test says.
type placed struct {
	*plant.Plant
	regime atomic.Value // a string
}

func (p *placed) Regime() string { return p.regime.Load().(string) }

// What buys time is tried only where time is in the cost; elsewhere the least of it would
// be the best.
func TestHasteIsTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := new(placed)
		in.regime.Store(regime.TipIdle)
		r := newRig(t, better(1), func(c *engine.Config) {
			in.Plant = c.Collector.(*plant.Plant)
			c.Engine, c.Collector, c.Timed = fixed{6}, in, []string{regime.CatchUp}
			for i := range c.Knobs {
				c.Knobs[i].Hastens = true
			}
		})
		stop := r.start(t)
		for range 400 {
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if r.trying() {
				t.Fatal("it is tried where time is in no cost")
			}
		}
		in.regime.Store(regime.CatchUp)
		until(t, "a trial", 6*time.Hour, r.trying)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// An operator's word ends the rest between audits.
func TestAuditIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, worse(3), func(c *engine.Config) { c.Engine = fixed{6} })
		stop := r.start(t)
		until(t, "rest", 6*time.Hour, func() bool { return r.Status(perfcore.CPU) == perfcore.Optimized })
		before := r.Decisions(0)
		r.Audit()
		until(t, "a trial at an operator's word", 10*time.Minute, func() bool {
			for _, d := range r.Decisions(before[len(before)-1].Seq) {
				if d.Trigger == "operator" {
					return true
				}
			}
			return false
		})
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// newAnnounced returns a rig that tries level 6, and what tells it of blocks.
func newAnnounced(t *testing.T, cfg plant.Config) (*rig, *regime.Classifier) {
	t.Helper()
	classifier, err := regime.New(regime.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return newRig(t, cfg, func(c *engine.Config) {
		c.Engine, c.Quiet = fixed{6}, []string{regime.TipBlock}
		c.Collector = announced{c.Collector.(*plant.Plant), classifier}
	}), classifier
}

// An announcement interrupts a trial within a second, and nothing is tried until the
// block is there, or half a minute has passed.
func TestAnnouncement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, classifier := newAnnounced(t, worse(2))
		stop := r.start(t)
		for range 20 {
			until(t, "a trial", 6*time.Hour, r.trying)
			classifier.Announce()
			time.Sleep(1001 * time.Millisecond)
			synctest.Wait()
			before := r.Slice()
			for range 28 {
				if r.trying() {
					t.Fatal("something is tried while a block is at hand")
				}
				time.Sleep(time.Second)
				synctest.Wait()
			}
			if got := r.Slice(); got != before {
				t.Fatalf("%d slices were measured while a block was at hand", got-before)
			}
		}
		if d, ok := r.last(perfcore.Inconclusive); !ok || !strings.Contains(d.Reason, regime.TipBlock) {
			t.Errorf("decision %v", d)
		}
		if _, ok := r.last(perfcore.Recalled); ok {
			t.Error("something was recalled for the sake of a block")
		}
		// A block is no regime to come back from.
		snap, err := r.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if state, err := snap.State(); err != nil || state.Regime != regime.TipIdle || state.Regimes != nil {
			t.Errorf("the regime is %q beside %v, %v", state.Regime, state.Regimes, err)
		}
		// What arrives ends the wait.
		until(t, "a trial", 6*time.Hour, r.trying)
		classifier.Announce()
		time.Sleep(1001 * time.Millisecond)
		synctest.Wait()
		classifier.Arrived()
		before := r.Slice()
		time.Sleep(25 * time.Second)
		if r.Slice() == before {
			t.Error("the block is there, and nothing is measured")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A block that is announced and judged within a second ends the slice in which it comes, though
// nobody has asked for the regime meanwhile.
func TestShortAnnouncement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, classifier := newAnnounced(t, worse(2))
		stop := r.start(t)
		for range 20 {
			until(t, "a trial", 6*time.Hour, r.trying)
			before := r.Slice()
			for r.Slice() == before || !r.trying() { // the beginning of a slice
				time.Sleep(time.Millisecond)
				synctest.Wait()
			}
			before = r.Slice()
			time.Sleep(3100 * time.Millisecond)
			classifier.Announce()
			time.Sleep(600 * time.Millisecond)
			classifier.Arrived()
			time.Sleep(400 * time.Millisecond)
			synctest.Wait()
			if r.Slice() != before {
				t.Fatalf("a second behind a block %d slices have ended", r.Slice()-before)
			}
		}
		if d, ok := r.last(perfcore.Inconclusive); !ok || !strings.Contains(d.Reason, "another one for a moment") {
			t.Errorf("decision %v", d)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A trial goes on behind a block: only what it interrupted is measured again.
func TestTrialGoesOnBehindABlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, classifier := newAnnounced(t, better(6))
		stop := r.start(t)
		blocks := 0
		for ; ; blocks++ {
			until(t, "a trial, or its end", 6*time.Hour, func() bool {
				_, done := r.last(perfcore.Promoted)
				return done || r.trying()
			})
			if _, done := r.last(perfcore.Promoted); done {
				break
			}
			classifier.Announce()
			time.Sleep(2 * time.Second)
			classifier.Arrived()
			time.Sleep(150 * time.Second)
		}
		if d, ok := r.last(perfcore.Inconclusive); ok || blocks == 0 {
			t.Errorf("%d blocks came, and a trial came to nothing: %v", blocks, d)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A block that is announced while a knob is being set ends the slice before it has begun.
func TestAnnouncementWhileAKnobIsSet(t *testing.T) {
	for _, judged := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			classifier, err := regime.New(regime.Config{})
			if err != nil {
				t.Fatal(err)
			}
			var ends atomic.Value // when it is set
			ends.Store(time.Time{})
			setting := func() bool { return time.Until(ends.Load().(time.Time)) > 2*time.Second }
			r := newRig(t, worse(2), func(c *engine.Config) {
				c.Engine, c.Quiet = fixed{6}, []string{regime.TipBlock}
				c.Collector = announced{c.Collector.(*plant.Plant), classifier}
				apply := c.Knobs[0].Apply
				c.Knobs[0].Apply = func(ctx context.Context, v int64) error {
					if v == plant.Value(6) {
						ends.Store(time.Now().Add(5 * time.Second))
						time.Sleep(5 * time.Second)
					}
					return apply(ctx, v)
				}
			})
			stop := r.start(t)
			for range 5 {
				until(t, "a candidate", 6*time.Hour, setting)
				classifier.Announce()
				time.Sleep(time.Second)
				if judged {
					classifier.Arrived()
				}
				before := r.Slice()
				time.Sleep(time.Until(ends.Load().(time.Time)) + time.Millisecond)
				synctest.Wait()
				if r.Slice() != before || !judged && r.trying() {
					t.Fatalf("judged %v: %d slices have ended, a value is tried: %v", judged, r.Slice()-before, r.trying())
				}
			}
			if _, ok := r.last(perfcore.Inconclusive); !ok {
				t.Errorf("judged %v: a trial goes on whatever interrupts it", judged)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}
