package engine

import (
	"context"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// What a slice misses is the sum over the targets; what was not measured in it is missed as
// the incumbent misses it on average.
func TestShortfallOfASlice(t *testing.T) {
	b := bench{knowledge: knowledge{aims: []aim{
		{resource: perfcore.CPU, targets: perfcore.Targets{Utilization: 0.5}},
		{resource: perfcore.Disk, targets: perfcore.Targets{Throughput: 100}},
		{resource: perfcore.Disk, targets: perfcore.Targets{Latency: time.Second, Quantile: 0.9}},
	}}}
	type usage = map[perfcore.ResourceType]perfcore.Usage
	cpu := func(share float64) usage { return usage{perfcore.CPU: {Utilization: share}} }
	both := usage{perfcore.CPU: {Utilization: 1}, perfcore.Disk: {Throughput: 25}}
	disk := func(rate float64, latency time.Duration) usage {
		return usage{perfcore.CPU: {Utilization: 0.5}, perfcore.Disk: {Throughput: rate, Latency: latency}}
	}
	for i, tt := range []struct {
		sample    perfcore.Sample
		incumbent bool
		want      float64
	}{
		{perfcore.Sample{}, false, 0},
		{perfcore.Sample{Usage: both}, false, 3 * math.Ln2},
		{perfcore.Sample{Usage: cpu(1), Burst: "it is busy"}, true, math.Ln2},
		{perfcore.Sample{Usage: cpu(1)}, true, math.Ln2},
		{perfcore.Sample{Usage: cpu(0.75)}, false, math.Log(1.5)},
		{perfcore.Sample{Usage: cpu(0.4)}, false, 0},
		{perfcore.Sample{}, false, math.Ln2},
		{perfcore.Sample{}, true, math.Ln2},
		{perfcore.Sample{Usage: cpu(1), Burst: "it is busy"}, false, math.Ln2},
		{perfcore.Sample{Usage: both}, true, 3 * math.Ln2},
		{perfcore.Sample{Usage: cpu(0.5)}, false, 2 * math.Ln2},
		{perfcore.Sample{Usage: cpu(0.5)}, true, 2 * math.Ln2},
		{perfcore.Sample{}, false, (3 - refRate) * math.Ln2},
		{perfcore.Sample{Usage: disk(25, 2*time.Second)}, true, 3 * math.Ln2},
		{perfcore.Sample{Usage: disk(100, perfcore.NotMeasured)}, false, refRate * math.Ln2},
		{perfcore.Sample{Usage: disk(perfcore.NotMeasured, 4*time.Second)}, false, 4 * math.Ln2},
	} {
		if got := b.shortfall(tt.sample, tt.incumbent); math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("slice %d misses %v, want %v", i, got, tt.want)
		}
	}
}

// Under other targets nothing counts that was measured under those before, and what was
// promoted stays in force.
func TestRetarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tu, _ := promoted(t, linear(-0.1, -0.1), []int{5, 5}, []int{6, 6})
		tu.o.usage[perfcore.CPU] = perfcore.Usage{Utilization: 0.9}
		tu.memory["elsewhere"] = recollection{knowledge: knowledge{cost: average{1, true}}, progress: progress{rest: maxRest, misses: 3}, gain: 1}
		tu.budget.saved, tu.budget.spent, tu.misses, tu.rest = 50, 1, 3, maxRest
		tu.shift, tu.burst = shift{level: 1, n: 50}, average{1, true}
		freedom := tu.noise.freedom
		if err := tu.o.SetTargets(perfcore.CPU, perfcore.Targets{Utilization: 0.5}); err != nil {
			t.Fatal(err)
		}
		if tu.o.Resources.promote([]int{7, 7}, tu.epoch) {
			t.Error("what was measured under other targets is promoted")
		}
		tu.refresh()
		if !tu.retargeted || tu.cost.known || tu.work.known {
			t.Errorf("it is noticed: %v, and the cost is %+v", tu.retargeted, tu.cost)
		}
		tu.retarget()
		if tu.retargeted || tu.trials != nil || tu.apart.due() || tu.misses != 0 || tu.rest != firstRest || tu.burst.known || tu.shift != (shift{}) {
			t.Errorf("it is known that %+v", tu)
		}
		if got := tu.budget.granted(); tu.budget.gain != 0 || got > tu.budget.share*(Advance+tu.budget.slices)+1e-9 {
			t.Errorf("%v are granted, of what was saved under other targets", got)
		}
		if was := tu.memory["elsewhere"]; was.cost.known || was.misses != 0 || was.gain != 0 || was.rest != firstRest {
			t.Errorf("elsewhere it is known that %+v", was)
		}
		if !slices.Equal(tu.at, []int{6, 6}) || tu.noise.freedom >= freedom {
			t.Errorf("the incumbents are %v, the noise %+v", tu.at, tu.noise)
		}
		tu.engine = still{}
		before := tu.noise.deviation()
		if err := tu.search(t.Context()); err != nil {
			t.Fatal(err)
		}
		doubted := tu.noise.deviation()
		if doubted < 2*before {
			t.Errorf("a target is missed, and the noise is %v, before %v", doubted, before)
		}
		if err := tu.search(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := tu.noise.deviation(); got != doubted {
			t.Errorf("in the next search the noise is %v, and it was %v", got, doubted)
		}
	})
}

// A probation that is due when the targets change is not gone on with under the new ones.
func TestRetargetAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tu, p := promoted(t, linear(-0.1), []int{5}, []int{6})
		tu.o.usage[perfcore.CPU] = perfcore.Usage{Utilization: 0.9}
		tu.budget.slices += probations[0]
		tu.misses = tu.most()
		slices := p.Slice()
		go func() {
			time.Sleep(time.Second / 2)
			if err := tu.o.SetTargets(perfcore.CPU, perfcore.Targets{Utilization: 0.5}); err != nil {
				t.Error(err)
			}
		}()
		if err := tu.park(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := p.Slice() - slices; !tu.retargeted || n != 1 || tu.trials[0].passed != 0 {
			t.Errorf("it is noticed: %v; it rests for %d slices; on probation is %+v", tu.retargeted, n, tu.trials)
		}
	})
}

// A still engine proposes nothing.
type still struct{}

func (still) Propose(_ context.Context, s Space, _ func(plus, minus []int) (float64, error)) ([]int, error) {
	return slices.Clone(s.At), nil
}

func (still) Learn(perfcore.Verdict) {}

func (still) Forget() {}

// A target by which no knob is tried first leaves all of them, and one by which some are
// leaves those with an order and those without.
func TestAimed(t *testing.T) {
	tu := &tuner{bench: &bench{trades: []perfcore.ResourceType{perfcore.CPU, perfcore.Database, perfcore.Database}}}
	s := Space{At: []int{5, 5, 2}, Low: []int{0, 0, 0}, High: []int{9, 9, 3}, Arms: [][]int{{0, 5}, nil, {0, 1, 2}}, Fills: []bool{true, false, true}}
	for _, tt := range []struct {
		missed []miss
		room   []bool
	}{
		{nil, []bool{true, true, true}},
		{[]miss{{resource: perfcore.Disk}}, []bool{true, true, true}},
		{[]miss{{resource: perfcore.CPU}}, []bool{true, false, false}},
		{[]miss{{resource: perfcore.Disk}, {resource: perfcore.Database}}, []bool{false, true, true}},
	} {
		got := tu.aimed(s, tt.missed)
		for i, want := range tt.room {
			room := got.Low[i] < got.High[i] && (got.Arms[i] == nil || len(got.Arms[i]) > 1)
			if room != want || !slices.Equal(got.At, s.At) || !slices.Equal(got.Fills, s.Fills) {
				t.Errorf("%v: knob %d may move: %v; %+v", tt.missed, i, room, got)
			}
		}
	}
	s.Low[0], s.High[0], s.Arms[0] = 5, 5, []int{5}
	if got := tu.aimed(s, []miss{{resource: perfcore.CPU}}); got.Low[1] != 0 {
		t.Errorf("the only knob that is aimed at cannot be moved, and %+v is left", got)
	}
}

// A target of what was never measured is none to steer by, and is one from its first
// measurement on.
func TestAims(t *testing.T) {
	p := plant.New(plant.Config{Start: []int{5}, Surface: plant.Flat(), Seed: 1})
	o, err := New(Config{Knobs: p.Knobs(), Collector: p, Slice: time.Second, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	targets := perfcore.Targets{Utilization: 0.5, Latency: time.Second, Quantile: 0.9}
	for _, r := range []perfcore.ResourceType{perfcore.Disk, perfcore.CPU} {
		if err := o.SetTargets(r, targets); err != nil {
			t.Fatal(err)
		}
	}
	tu := newTuner(o)
	if len(tu.aims) != 0 || len(o.missed()) != 0 || o.content() {
		t.Errorf("nothing is measured: %+v, %v, content %v", tu.aims, o.missed(), o.content())
	}
	o.used(perfcore.Sample{Usage: map[perfcore.ResourceType]perfcore.Usage{
		perfcore.CPU: {Utilization: 0.75, Latency: 2 * time.Second}, perfcore.Disk: {Utilization: 0.625},
	}}, &tu.budget)
	if tu.refresh(); !tu.retargeted || len(tu.aims) != 4 || tu.aims[0].resource != perfcore.CPU {
		t.Errorf("all is measured: %+v", tu.aims)
	}
	if got, want := sentence(o.missed()), "cpu.utilization 0.75 > 0.5, cpu.latency 2s > 1s at 0.9, disk.utilization 0.625 > 0.5"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !o.Hurried(perfcore.CPU) || o.Hurried(perfcore.Disk) || o.Hurried(perfcore.Memory) {
		t.Error("the processor misses a latency, and the disk misses none")
	}
}

// What a status becomes follows from what the search does, whether a target is met, and
// whose the knobs are.
func TestSettle(t *testing.T) {
	const none, not, ing, done, failed = perfcore.OptimizationStatus(99), perfcore.NotOptimized, perfcore.Optimizing, perfcore.Optimized, perfcore.Failed
	for _, tt := range []struct {
		name    string
		of      perfcore.ResourceType
		owner   Owner   // of the knob, which trades in the processor; it fails if that is Nobody
		target  float64 // of utilization; 0 for none
		uses    float64 // 0 for not measured
		was, to perfcore.OptimizationStatus
		want    perfcore.OptimizationStatus
	}{
		{"a knob", perfcore.CPU, Engine, 0, 0.9, not, ing, ing},
		{"a knob at rest", perfcore.CPU, Engine, 0, 0.9, ing, done, done},
		{"a target that is met at rest", perfcore.CPU, Engine, 0.5, 0.4, ing, done, done},
		{"a target that is missed at rest", perfcore.CPU, Engine, 0.5, 0.9, ing, done, failed},
		{"a target that is missed while it rests", perfcore.CPU, Engine, 0.5, 0.9, done, done, failed},
		{"a target that is not measured", perfcore.CPU, Engine, 0.5, 0, ing, done, failed},
		{"a target that is met while others are searched for", perfcore.CPU, Engine, 0.5, 0.4, done, ing, ing},
		{"a target that was missed", perfcore.CPU, Engine, 0.5, 0.4, failed, done, not},
		{"a knob that failed", perfcore.CPU, Nobody, 0.5, 0.4, not, failed, failed},
		{"another's knob that failed", perfcore.CPU, Engine, 0.5, 0.4, done, failed, done},
		{"a knob that failed does not get well", perfcore.CPU, Nobody, 0.5, 0.4, failed, done, failed},
		{"a knob that failed, without a target", perfcore.CPU, Nobody, 0, 0.4, failed, done, failed},
		{"pinned", perfcore.CPU, Operator, 0, 0.4, done, done, none},
		{"pinned, with a target", perfcore.CPU, Operator, 0.5, 0.4, not, done, done},
		{"no knob, met", perfcore.Disk, Engine, 0.5, 0.4, not, ing, done},
		{"no knob, missed", perfcore.Disk, Engine, 0.5, 0.9, done, ing, ing},
		{"no knob, missed at rest", perfcore.Disk, Engine, 0.5, 0.9, ing, done, failed},
		{"no knob, met again", perfcore.Disk, Engine, 0.5, 0.4, failed, ing, not},
		{"no knob, another's failed", perfcore.Disk, Engine, 0.5, 0.4, done, failed, done},
		{"no knob, and out of date", perfcore.Disk, Engine, 0.5, 0.4, done, not, not},
		{"no knob, and no target any more", perfcore.Disk, Engine, 0, 0.4, failed, done, none},
		{"no knob and no target", perfcore.Disk, Engine, 0, 0.4, not, done, none},
	} {
		p := plant.New(plant.Config{Start: []int{5}, Surface: plant.Flat(), Seed: 1})
		o, err := New(Config{Knobs: p.Knobs(), Collector: p, Slice: time.Second, Seed: 2})
		if err != nil {
			t.Fatal(err)
		}
		o.Resources.knobs[0].owner, o.Resources.knobs[0].failed = tt.owner, tt.owner == Nobody
		if err := o.SetTargets(tt.of, perfcore.Targets{Utilization: tt.target}); err != nil {
			t.Fatal(err)
		}
		if tt.uses > 0 {
			o.usage[tt.of] = perfcore.Usage{Utilization: tt.uses}
		}
		o.statuses[tt.of] = tt.was
		before := o.cfg.Snapshots.Changes()
		o.settle(tt.to)
		got, has := o.statuses[tt.of]
		if tt.want == none && has || tt.want != none && got != tt.want {
			t.Errorf("%s: %v, and to become %v: it is %v (%v)", tt.name, tt.was, tt.to, got, has)
		}
		changes := uint64(0)
		if got != tt.was && (tt.to != done || tt.was == ing || !has) {
			changes++
		}
		if o.Resources.knobs[0].owner == Engine && tt.of == perfcore.Disk && tt.to == ing {
			changes++ // the processor's
		}
		if n := o.cfg.Snapshots.Changes() - before; n != changes {
			t.Errorf("%s: %d changes are counted, want %d", tt.name, n, changes)
		}
	}
}
