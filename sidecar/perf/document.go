package perf

import (
	"fmt"
	"math"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/snapshot"
)

// What follows is what the API tells. JSON field names are a contract: fields are
// added, never renamed. Times are in seconds, shares from 0 to 1.

// A Status is what /api/v1/perf/status tells.
type Status struct {
	Mode Mode `json:"mode"`
	// Following says that the sidecar follows its node, without which nothing is
	// measured and there are no knobs.
	Following bool `json:"following"`
	// Frozen says why nothing is tried at an operator's word, empty when it may be, and
	// FrozenSince since when, where that is known.
	Frozen      string    `json:"frozen"`
	FrozenSince time.Time `json:"frozen_since,omitzero"`
	Regime      string    `json:"regime"`
	// Slice is what was measured last; nil before the first.
	Slice     *Measured  `json:"slice"`
	Resources []Resource `json:"resources"`
	// Regret is the share of the cost that experiments have added.
	Regret    float64 `json:"regret_ratio"`
	Decisions uint64  `json:"decisions"`
	// Changes counts accepted changes, and Snapshots what is kept of them.
	Changes   uint64 `json:"changes"`
	Snapshots int    `json:"snapshots"`
	// Alerts are those that are pending, firing or clearing.
	Alerts []Alert `json:"alerts"`
	// Problem says why the optimizer has ended; empty while it has not.
	Problem string `json:"problem"`
}

// A Measured is one slice of time.
type Measured struct {
	At     time.Time `json:"at"`
	Length float64   `json:"length_seconds"`
	Regime string    `json:"regime"`
	// Work is units of work a second, and Effort what each took, in seconds of one
	// core; 0 when nothing is known.
	Work   float64 `json:"work_per_second"`
	Effort float64 `json:"effort_seconds"`
	// Void says why nothing may be concluded from the slice; empty when something
	// may.
	Void string `json:"void"`
	// Burst is the work of the background that came due in the slice, which is then no
	// measure of the knobs; empty when none did.
	Burst string `json:"burst"`
	// Knobs are the values that were in force all the time; nil when one was set to another
	// meanwhile, though it was set back, or could not be read.
	Knobs map[string]int64 `json:"knobs"`
}

// A Resource is what one resource has to do, and does.
type Resource struct {
	Resource string  `json:"resource"`
	Status   string  `json:"status"`
	Target   Targets `json:"target"`
	// Usage is what it does on average, in which the newest slice weighs a fifth; nil when
	// that was never measured.
	Usage *Usage `json:"usage"`
	// Missed says which target it misses; empty when none.
	Missed string `json:"missed"`
}

// Targets is perfcore's; 0 is none.
type Targets struct {
	Utilization float64 `json:"utilization,omitempty"`
	Throughput  float64 `json:"throughput,omitempty"`
	Latency     float64 `json:"latency_seconds,omitempty"`
	Quantile    float64 `json:"quantile,omitempty"`
}

// Usage is perfcore's; what is nil was not measured.
type Usage struct {
	Utilization *float64 `json:"utilization,omitempty"`
	Throughput  *float64 `json:"throughput,omitempty"`
	Latency     *float64 `json:"latency_seconds,omitempty"`
}

func newUsage(u perfcore.Usage) *Usage {
	measured := func(v float64) *float64 {
		if !(v >= 0) {
			return nil
		}
		v = finite(v)
		return &v
	}
	return &Usage{Utilization: measured(u.Utilization), Throughput: measured(u.Throughput), Latency: measured(u.Latency.Seconds())}
}

// A Knob is one of /api/v1/perf/knobs.
type Knob struct {
	Name  string `json:"name"`
	Help  string `json:"help"`
	Unit  string `json:"unit"`
	Owner string `json:"owner"`
	// Why is why the engine does not own it.
	Why string `json:"why"`
	// Incumbent is the value that was promoted or pinned, Value the one in force
	// now, Default the one at the start.
	Incumbent int64   `json:"incumbent"`
	Value     int64   `json:"value"`
	Default   int64   `json:"default"`
	Ladder    []int64 `json:"ladder"`
	Resource  string  `json:"resource"`
	// Carry says how much of a value's effect outlasts it: memoryless, warm or stateful;
	// empty when that is not said. Settle is for how long, in seconds.
	Carry  string  `json:"carry"`
	Settle float64 `json:"settle_seconds"`
	// Unordered says that values are names.
	Unordered bool `json:"unordered"`
	// Hastens says that it buys time: it is tried where time is in the cost, and elsewhere
	// while a target asks for time.
	Hastens bool `json:"hastens"`
	// Fills says that it sizes what has to fill, as a cache.
	Fills bool `json:"fills"`
}

// A Decision is one of /api/v1/perf/decisions.
type Decision struct {
	Seq     uint64    `json:"seq"`
	At      time.Time `json:"at"`
	Trigger string    `json:"trigger"`
	Verdict string    `json:"verdict"`
	Reason  string    `json:"reason"`
	Moves   []Move    `json:"moves"`
	// Evidence is nil when nothing was measured, and of a confirmed change.
	Evidence *Evidence `json:"evidence"`
	// Tests says by how much of the cost what was replaced cost more in each test of the
	// probation of a confirmed change: it has passed all of them, so that they are no estimate.
	Tests []float64 `json:"tests"`
}

// A Move is perfcore's.
type Move struct {
	Knob string `json:"knob"`
	From int64  `json:"from"`
	To   int64  `json:"to"`
}

// Evidence is perfcore's. Effects are differences of the cost's natural logarithm: 0.05 is 4.9 %
// less.
type Evidence struct {
	Effect   float64 `json:"effect"`
	Low      float64 `json:"effect_low"`
	High     float64 `json:"effect_high"`
	Ratio    float64 `json:"likelihood_ratio"`
	SignFlip float64 `json:"sign_flip"`
	Noise    float64 `json:"noise"`
	Work     float64 `json:"work"`
	// Targets is how much of the effect is that targets are missed by less.
	Targets float64 `json:"targets"`
	Carry   float64 `json:"carry_over"`
	Blocks  int     `json:"blocks"`
	Slices  int     `json:"slices"`
	// Exonerated counts how often the incumbent was as bad as what a guard stopped.
	Exonerated int `json:"exonerated"`
}

// A Snapshot is one of /api/v1/perf/snapshots.
type Snapshot struct {
	Seq     uint64    `json:"seq"`
	At      time.Time `json:"at"`
	Cause   string    `json:"cause"`
	Changes uint64    `json:"changes"`
	Bytes   int       `json:"bytes"`
	Sum     string    `json:"sha256"`
}

// A Command is what an operator did.
type Command struct {
	At   time.Time `json:"at"`
	Did  string    `json:"did"`
	What string    `json:"what"`
}

func newDecision(d perfcore.Decision) Decision {
	out := Decision{
		Seq: d.Seq, At: d.At, Trigger: d.Trigger, Verdict: d.Verdict.String(), Reason: d.Reason, Moves: make([]Move, len(d.Moves)), Tests: []float64{},
	}
	for i, m := range d.Moves {
		out.Moves[i] = Move(m)
	}
	if e := d.Evidence; d.Verdict == perfcore.Confirmed {
		for _, diff := range e.Diffs {
			out.Tests = append(out.Tests, finite(diff))
		}
	} else if len(e.Diffs) > 0 {
		out.Evidence = &Evidence{
			Effect: finite(e.Effect), Low: finite(e.Low), High: finite(e.High), Ratio: finite(e.Ratio), SignFlip: finite(e.SignFlip),
			Noise: finite(e.Noise), Work: finite(e.Work), Targets: finite(e.Targets), Carry: finite(e.CarryOver), Blocks: len(e.Diffs), Slices: e.Slices, Exonerated: e.Exonerated,
		}
	}
	return out
}

func newKnob(k engine.KnobState, standard int64) Knob {
	out := Knob{
		Name: k.Name, Help: k.Help, Unit: k.Unit, Owner: k.Owner.String(), Why: k.Why,
		Incumbent: k.Incumbent, Value: k.Read(), Default: standard, Ladder: k.Ladder,
		Carry: carries[k.Carry], Settle: k.Settle.Seconds(), Unordered: k.Unordered, Hastens: k.Hastens, Fills: k.Fills,
	}
	if k.Drift != "" {
		out.Why += "; " + k.Drift
	}
	if k.Resource != 0 {
		out.Resource = k.Resource.String()
	}
	return out
}

func newSnapshot(s snapshot.Snapshot) Snapshot {
	return Snapshot{
		Seq: s.Seq, At: s.Wall, Cause: s.Cause.String(), Changes: s.Changes, Bytes: len(s.Encode()), Sum: fmt.Sprintf("%x", s.Sum),
	}
}

func newTargets(t perfcore.Targets) Targets {
	return Targets{Utilization: t.Utilization, Throughput: t.Throughput, Latency: t.Latency.Seconds(), Quantile: t.Quantile}
}

// finite returns v as JSON can hold it: the largest number for an infinite one,
// and 0 for none.
func finite(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return max(-math.MaxFloat64, min(v, math.MaxFloat64))
}
