package bench

import (
	"context"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
	"github.com/outrider-project/outrider/sidecar/perf"
)

// A PerfSetting is values of knobs, by their names.
type PerfSetting map[string]int64

// perfBefore is the setting that is improved on: what the libraries and Go do where
// nobody has set anything, and what is simplest where there is no library. It is
// frozen: a change of it would change what every figure means. docs/perf.md lists it.
//
//   - go.gogc: Go's default. There is no memory limit.
//   - coindb.memory: Pebble's default block cache, with memtables of pebbleMemTable in
//     it; coindb.compactions: Pebble's default.
//   - sigverify.workers: one for each processor; sigverify.chunk: all that a worker can
//     take at once.
//   - sigverify.cache, blockval.seen: 32 MiB, all of Bitcoin Core's -maxsigcachesize
//     (DEFAULT_VALIDATION_CACHE_BYTES in script/sigcache.h), and the half of it that Core has
//     for whole scripts; Core itself has the other half for signatures.
//   - utxocache.budget: no library has a default; 256 MiB is what the cache takes for old
//     coins when it is not told.
var perfBefore = PerfSetting{
	"go.gogc":            100,
	"coindb.memory":      8 << 20,
	"coindb.compactions": 1,
	"sigverify.workers":  int64(runtime.GOMAXPROCS(0)),
	"sigverify.chunk":    256,
	"sigverify.cache":    32 << 20,
	"blockval.seen":      16 << 20,
	"utxocache.budget":   256 << 20,
}

// pebbleMemTable is Pebble's default size of a memtable.
const pebbleMemTable = 4 << 20

// A perfAxis is knobs that the sweep turns together, and the values that it tries.
type perfAxis struct {
	knobs  []string
	values [][]int64
}

// axes returns what the sweep for the best static setting tries, each value with each of
// the others. The first of each is as before, where there are several, and the
// least that the optimizer could set is among them, so that memory is not better by what was not
// tried. The optimizer turns the same knobs, at all their values; the others are pinned, as the
// minutes that it has are few, as are those that have one value here.
func (w *perfWorkload) axes() []perfAxis {
	memory := perfAxis{knobs: []string{"coindb.memory"}}
	for _, n := range w.memory {
		memory.values = append(memory.values, []int64{n})
	}
	return []perfAxis{{[]string{"go.gogc"}, [][]int64{{100}, {50}, {400}}}, memory, {signatureCaches, w.signatures}}
}

// signatureCaches are the caches of what was verified before its block.
var signatureCaches = []string{"sigverify.cache", "blockval.seen"}

// turned returns the knobs that the sweep and the optimizer turn.
func (w *perfWorkload) turned() (names []string) {
	for _, axis := range w.axes() {
		if len(axis.values) > 1 {
			names = append(names, axis.knobs...)
		}
	}
	return names
}

// before returns the setting that is improved on: perfBefore, but for what has one value in the sweep.
func (w *perfWorkload) before() PerfSetting { return w.settings()[0] }

// settings returns the settings of the sweep, that of before first.
func (w *perfWorkload) settings() []PerfSetting {
	settings := []PerfSetting{{}}
	for _, axis := range w.axes() {
		var next []PerfSetting
		for _, values := range axis.values {
			for _, s := range settings {
				s = maps.Clone(s)
				for i, knob := range axis.knobs {
					s[knob] = values[i]
				}
				next = append(next, s)
			}
		}
		settings = next
	}
	return settings
}

// String returns the values that differ from before, in the order of the names.
func (s PerfSetting) String() string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if s[name] != perfBefore[name] {
			words = append(words, fmt.Sprintf("%s=%d", name, s[name]))
		}
	}
	if words == nil {
		return "as before"
	}
	return strings.Join(words, " ")
}

// apply sets the knobs that are named, and reads them back.
func (s PerfSetting) apply(ctx context.Context, knobs []perfcore.Knob) error {
	left := maps.Clone(s)
	for _, k := range knobs {
		if v, ok := left[k.Name]; ok {
			if err := k.Set(ctx, v); err != nil {
				return err
			}
			delete(left, k.Name)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("there are no knobs for %v", left)
	}
	return nil
}

// showsWithin is for how long a value of these knobs shows in a replay when it is another.
// What their parts say is for a chain with a block every ten minutes: there, the cache of
// signatures takes an hour to be filled, here a gap between blocks. What is not named is
// as its part says, but for coindb.memory, of which the plan says it.
//
// go.gogc is tried though few slices have more than one cycle in them, and would tell nothing by
// what its part says: what memory is due shows at once, and what the collector costs falls on the
// slices in which it runs, behind a switch to a smaller value mostly on one that is left out.
var showsWithin = map[string]time.Duration{
	"go.gogc":         tipGap,
	"sigverify.cache": tipGap,
	"blockval.seen":   tipGap,
}

// collected are knobs of what is on Go's heap. What they give back is due until it is
// collected, and there are seconds from cycle to cycle.
var collected = []string{"sigverify.cache", "blockval.seen"}

// collecting has these knobs collect when they are set to another value, so that what is due
// says it.
func collecting(knobs []perfcore.Knob) []perfcore.Knob {
	for i, k := range knobs {
		if slices.Contains(collected, k.Name) {
			knobs[i].Apply = func(ctx context.Context, n int64) error {
				was := k.Read()
				err := k.Apply(ctx, n)
				if k.Read() != was {
					runtime.GC()
				}
				return err
			}
		}
	}
	return knobs
}

// knobs returns the knobs of the parts as they are for a replay by a plan.
func (r *replay) knobs(p *perfPlan) []perfcore.Knob {
	shows := maps.Clone(showsWithin)
	shows["coindb.memory"] = p.Fills
	var all []perfcore.Knob
	for _, part := range []interface{ Knobs() []perfcore.Knob }{r.governor, r.verifier, r.validator, r.cache, r.db} {
		for _, k := range part.Knobs() {
			if settle, ok := shows[k.Name]; ok {
				k.Carry, k.Settle, k.Unready = perfcore.Warm, settle, nil
			}
			all = append(all, k)
		}
	}
	return all
}

// These are the quantities of a replay.
const (
	perfWorkRate = "work_per_second"
	perfCores    = "cpu_cores"
	perfMemory   = "due_bytes" // replay.due
	perfRead     = "read_p90_seconds"
)

// A perfAim is what a row is about: the quantity that is to fall, and what keeps the
// others from paying for it.
type perfAim struct {
	row, workload string
	terms         []collect.Term
	// figure is what the row tells, and original the improvement of it, in per cent, that is to
	// be beaten. A row without a figure tells the cost itself, and both regimes count alike in
	// it: over the whole replay one has most of the units of work, and would be all that counts.
	figure   func(PerfFigures) float64
	original float64
}

var perfAims = []perfAim{
	{"cpu", usualWork, []collect.Term{cpuTerm(1), memoryTerm(0.1)}, func(f PerfFigures) float64 { return f.CPU }, 23.5},
	{"memory", usualWork, []collect.Term{memoryTerm(1), cpuTerm(0.1)}, func(f PerfFigures) float64 { return f.Memory }, 20.0},
	{
		"database", usualWork, []collect.Term{{Quantity: perfRead, Weight: 1, Floor: 1e-9}, cpuTerm(0.1), memoryTerm(0.1)},
		func(f PerfFigures) float64 { return f.ReadP90 }, 33.3,
	},
	{"contrast", contrastWork, []collect.Term{cpuTerm(1), memoryTerm(1)}, nil, 0},
}

// cpuTerm is the processor time for a unit of work, with this weight.
func cpuTerm(weight float64) collect.Term {
	return collect.Term{Quantity: perfCores, Weight: weight, PerWork: true, Floor: 1e-9}
}

// memoryTerm is the memory that is due, with this weight.
func memoryTerm(weight float64) collect.Term {
	return collect.Term{Quantity: perfMemory, Weight: weight, Floor: 1}
}

// cost returns what figures cost under the aim, as the optimizer's slices do, but by the memory
// that was mapped: what is due is for who cannot wait until it shows there.
func (a *perfAim) cost(f PerfFigures) (sum float64) {
	for _, t := range a.terms {
		sum += t.Weight * math.Log(max(map[string]float64{perfCores: f.CPU / 1e6, perfMemory: f.Memory, perfRead: f.ReadP90}[t.Quantity], t.Floor))
	}
	return sum
}

// spent returns what a run cost under the aim.
func (a *perfAim) spent(run *PerfRun) float64 {
	if a.figure != nil {
		return a.cost(run.Figures)
	}
	return a.regimes(run)
}

// sync and tip return what a run cost under the aim in one regime, and regimes their mean.
func (a *perfAim) sync(run *PerfRun) float64    { return a.cost(run.part(false)) }
func (a *perfAim) tip(run *PerfRun) float64     { return a.cost(run.part(true)) }
func (a *perfAim) regimes(run *PerfRun) float64 { return (a.sync(run) + a.tip(run)) / 2 }

// value returns what the row tells of figures: one of them, or what they cost.
func (a *perfAim) value(f PerfFigures) float64 {
	if a.figure != nil {
		return a.figure(f)
	}
	return math.Exp(a.cost(f))
}

// whole returns what the row tells of a run.
func (a *perfAim) whole(run *PerfRun) float64 {
	if a.figure != nil {
		return a.figure(run.Figures)
	}
	return math.Exp(a.spent(run))
}

// objective returns the aim as the optimizer has it.
func (a *perfAim) objective() collect.Objective {
	return collect.Objective{Terms: a.terms, Work: perfWorkRate, MinWork: 20, Bursts: perf.Bursts()}
}

// aimsOf returns the aims of rows; all for none.
func aimsOf(rows []string) (aims []perfAim, err error) {
	if len(rows) == 0 {
		return perfAims, nil
	}
	for i, row := range rows {
		aim, err := aimOf(row)
		if err != nil {
			return nil, err
		}
		if slices.Contains(rows[:i], row) {
			return nil, fmt.Errorf("the row %q is named twice", row)
		}
		aims = append(aims, *aim)
	}
	return aims, nil
}

func aimOf(row string) (*perfAim, error) {
	for i := range perfAims {
		if perfAims[i].row == row {
			return &perfAims[i], nil
		}
	}
	return nil, fmt.Errorf("there is no row %q to optimize for: cpu, memory, database and contrast are", row)
}
