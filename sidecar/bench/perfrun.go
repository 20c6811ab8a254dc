package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/regime"
	"github.com/outrider-project/outrider/sidecar/perf"
)

// A perfSpec says what one process is to measure. It reads it from its standard input.
type perfSpec struct {
	// Recorded is the directory of the recording, Dir an empty one.
	Recorded, Dir string
	// Setting is what the knobs are set to; what it does not name is as before.
	Setting PerfSetting
	// Aim is the row that the optimizer works for; "" for no optimizer. Where it has
	// Learned, a directory, it resumes from the snapshots in it, as after a restart. With
	// Learn it leaves them there, and nothing is measured.
	Aim     string
	Turned  []string // the knobs that it may turn
	Learned string
	Learn   bool
	Seed    uint64 // of the optimizer
	Plan    perfPlan
}

// A perfPlan says how long a process replays what.
type perfPlan struct {
	// Slice is the mean length of the optimizer's slices: some blocks of either regime, and so many
	// that slices of one setting differ less.
	Slice time.Duration
	// Fills is for how long slices behind another size of Pebble's cache are left out, while it
	// fills.
	Fills time.Duration
	// Sync and Tip are the blocks of each part of what is measured: a synchronisation,
	// the tip, and a synchronisation again. Sync is of whole replays of the recording, so
	// that the same is done wherever it begins.
	Sync, Tip int
	// SweepSync and SweepTip are these in the sweep, which has more settings than rounds.
	SweepSync, SweepTip int
	// Prime is how many blocks of a synchronisation are connected before all, by no timetable:
	// Pebble begins with small memtables, and leaves its cache the room that others take later.
	Prime int
	// WarmSync and WarmTip are the blocks that are replayed before, of each: caches fill,
	// and the heap grows to its goal.
	WarmSync, WarmTip int
	// LearnSync and LearnTip are the blocks of each regime in which the optimizer learns,
	// in a process of its own.
	LearnSync, LearnTip int
}

// short returns the plan of the sweep.
func (p perfPlan) short() perfPlan {
	p.Sync, p.Tip = p.SweepSync, p.SweepTip
	return p
}

// tipBlocks returns how many blocks of the tip are replayed, when something is measured or
// when the optimizer learns.
func (p *perfPlan) tipBlocks(learn bool) int {
	if learn {
		return p.WarmTip + p.LearnTip
	}
	return p.WarmTip + p.Tip
}

// mostTipBlocks returns how many blocks of the tip are replayed at most.
func (p *perfPlan) mostTipBlocks() int {
	return max(p.tipBlocks(true), p.tipBlocks(false))
}

// PerfFigures are what was measured.
type PerfFigures struct {
	// CPU is the processor time for a unit of work, in microseconds: an input of a
	// block that was decided, one of the mempool that was verified, a coin that was
	// asked for.
	CPU float64 `json:"cpu_us"`
	// Memory is the mean of the memory that the process manages, and Peak the most, in
	// bytes: what the Go runtime has mapped and not given back, and Pebble's.
	Memory float64 `json:"memory_bytes"`
	Peak   float64 `json:"memory_peak_bytes"`
	// ReadP90 is the 90th percentile of the time to look up a coin that is not in the
	// coin cache, misses of Pebble's cache included, in seconds.
	ReadP90 float64 `json:"read_p90_seconds"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
}

// A PerfRun is what one process measured.
type PerfRun struct {
	Figures PerfFigures `json:"figures"`
	// Parts are of the synchronisation, the tip, and the synchronisation after it.
	Parts [3]PerfFigures `json:"parts"`
	Work  perfWork       `json:"work"`
	// Settings are the optimizer's incumbents in each regime, at its end.
	Settings map[string]PerfSetting `json:"settings,omitempty"`
	// Decisions counts the optimizer's by verdict, and Decided explains each.
	Decisions map[string]int `json:"decisions,omitempty"`
	Decided   []string       `json:"decided,omitempty"`
	// Regret is the share of the cost that experiments have taken.
	Regret float64 `json:"regret,omitempty"`
}

// RunPerf is one process of Perf: it measures what it is told on stdin, and says on
// stdout, as JSON, what it found.
func RunPerf(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	var spec perfSpec
	if err := json.NewDecoder(io.LimitReader(stdin, 1<<16)).Decode(&spec); err != nil {
		return fmt.Errorf("what to measure is read from the standard input, where `outrider bench perf` writes it: %w", err)
	}
	run, err := runPerf(ctx, &spec)
	if err != nil {
		return err
	}
	return WriteJSON(stdout, run)
}

func runPerf(ctx context.Context, spec *perfSpec) (run *PerfRun, err error) {
	r, err := newReplay(spec.Recorded, spec.Dir, spec.Plan.tipBlocks(spec.Learn))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	for range spec.Plan.Prime {
		if err := r.connectNext(ctx); err != nil {
			return nil, err
		}
	}
	if err := spec.Setting.apply(ctx, r.knobs(&spec.Plan)); err != nil {
		return nil, err
	}
	meter := &memoryMeter{replay: r}
	var tuning *tuning
	if spec.Aim != "" {
		if tuning, err = newTuning(ctx, r, meter, spec); err != nil {
			return nil, err
		}
	}
	debug.FreeOSMemory() // what reading the recording and the first setting have left is of no part

	var beside sync.WaitGroup
	defer beside.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	beside.Go(func() { meter.run(ctx) })
	if tuning != nil {
		beside.Go(func() {
			if tuning.err = tuning.run(ctx); tuning.err != nil {
				cancel(tuning.err)
			}
		})
	}
	run = new(PerfRun)
	done := func() {
		if tuning != nil {
			tuning.incumbents(run)
		}
	}
	if spec.Learn {
		err = r.learn(ctx, &spec.Plan, done)
	} else {
		err = r.measure(ctx, meter, &spec.Plan, run, done)
	}
	cancel(nil)
	beside.Wait()
	if tuning != nil {
		tuning.tell(run)
		if !errors.Is(err, tuning.err) { // which has ended the replay, and is told
			err = errors.Join(err, tuning.err)
		}
	}
	return run, err
}

// learn replays what the optimizer learns in, and calls done behind each part. Caches
// have something in them, as in what is measured: what they take when they are empty
// says nothing.
func (r *replay) learn(ctx context.Context, p *perfPlan, done func()) error {
	if err := r.follow(ctx, p.WarmTip); err != nil {
		return err
	}
	if err := r.synchronise(ctx, p.LearnSync); err != nil {
		return err
	}
	done()
	if err := r.follow(ctx, p.LearnTip); err != nil {
		return err
	}
	done()
	return nil
}

// measure replays what is measured, after a little of it that is not, and calls done
// behind each part.
func (r *replay) measure(ctx context.Context, meter *memoryMeter, p *perfPlan, run *PerfRun, done func()) error {
	if p.Sync%len(r.blocks) != 0 {
		return fmt.Errorf("%d blocks of a synchronisation are no multiple of the recording's %d", p.Sync, len(r.blocks))
	}
	if err := r.follow(ctx, p.WarmTip); err != nil {
		return err
	}
	if err := r.synchronise(ctx, p.WarmSync); err != nil {
		return err
	}
	// Everybody asks for the same coins.
	r.ask(2)
	r.work = perfWork{}
	r.reads.drain()
	if _, err := meter.drain(); err != nil {
		return err
	}
	units := r.units.Load()
	var all []uint32
	var memory memorySum
	var cpu time.Duration
	for i, part := range []func() error{
		func() error { return r.synchronise(ctx, p.Sync) },
		func() error { return r.follow(ctx, p.Tip) },
		func() error { return r.synchronise(ctx, p.Sync) },
	} {
		before, used, began := r.units.Load(), processTime(), time.Now()
		if err := part(); err != nil {
			return err
		}
		f := &run.Parts[i]
		f.Seconds = time.Since(began).Seconds()
		took := processTime() - used
		f.CPU = perUnit(took, r.units.Load()-before)
		seen, err := meter.drain()
		if err != nil {
			return err
		}
		f.Memory, f.Peak = seen.mean(), seen.peak
		reads := r.reads.drain()
		f.ReadP90 = p90(reads)
		all, cpu = append(all, reads...), cpu+took
		memory = memorySum{memory.sum + seen.sum, max(memory.peak, seen.peak), memory.looks + seen.looks}
		run.Figures.Seconds += f.Seconds
		done()
	}
	run.Figures.CPU = perUnit(cpu, r.units.Load()-units)
	run.Figures.Memory, run.Figures.Peak = memory.mean(), memory.peak
	run.Figures.ReadP90 = p90(all)
	run.Work = r.did()
	return nil
}

// perUnit returns how many microseconds of took each unit has.
func perUnit(took time.Duration, units uint64) float64 {
	return float64(took) / float64(time.Microsecond) / float64(max(units, 1))
}

// A tuning is the optimizer at work on a replay.
type tuning struct {
	replay    *replay
	optimizer *engine.PerformanceOptimizer
	decisions []perfcore.Decision // of the goroutine of run
	err       error               // what run returned
}

// replayRegime tells the regime of a replay, which knows it.
type replayRegime struct{ *replay }

// Observe implements collect.Classifier.
func (replayRegime) Observe(regime.Measurement) {}

// Regime implements collect.Classifier.
func (r replayRegime) Regime() string { return *r.now.Load() }

// Changes implements collect.Classifier: no regime is a moment's.
func (replayRegime) Changes() int { return 0 }

func newTuning(ctx context.Context, r *replay, meter *memoryMeter, spec *perfSpec) (*tuning, error) {
	aim, err := aimOf(spec.Aim)
	if err != nil {
		return nil, err
	}
	t := &tuning{replay: r}
	collector, err := collect.New(collect.Config{
		Sources:   []collect.Source{&replaySource{replay: r, memory: meter}, perf.Instruments(r.registry.Series())},
		Objective: aim.objective(), Classifier: replayRegime{r},
	})
	if err != nil {
		return nil, err
	}
	store, err := perf.OpenStore(spec.Learned)
	if err != nil {
		return nil, err
	}
	t.optimizer, err = engine.New(engine.Config{
		Knobs: collecting(r.knobs(&spec.Plan)), Collector: collector, Slice: spec.Plan.Slice, Seed: spec.Seed, Store: store,
		Decided: func(d perfcore.Decision) { t.decisions = append(t.decisions, d) },
	})
	if err != nil {
		return nil, err
	}
	refused, err := t.optimizer.Resume(ctx)
	if err != nil || len(refused) > 0 {
		return nil, errors.Join(err, fmt.Errorf("what was learned is not restored: %v", refused))
	}
	for _, k := range t.optimizer.Resources.Knobs() {
		if !slices.Contains(spec.Turned, k.Name) && k.Owner == engine.Engine {
			if err := t.optimizer.Resources.Pin(ctx, k.Name, k.Incumbent); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// run optimizes until ctx ends, and keeps Go's memory within the process's. It ends early where
// either fails, and what was learned is kept, or an error, when it returns.
func (t *tuning) run(ctx context.Context) error {
	const every = 2 * time.Second
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var law sync.WaitGroup
	var failed error
	law.Go(func() {
		for at := time.Now(); until(ctx, at) == nil; at = at.Add(every) {
			if failed = t.replay.governor.Step(); failed != nil {
				cancel()
				return
			}
		}
	})
	err := t.optimizer.Run(ctx)
	cancel()
	law.Wait()
	return errors.Join(err, failed)
}

// incumbents adds the incumbents of the regime that the replay is in.
func (t *tuning) incumbents(run *PerfRun) {
	now := make(PerfSetting)
	for _, k := range t.optimizer.Resources.Knobs() {
		now[k.Name] = k.Incumbent
	}
	if run.Settings == nil {
		run.Settings = make(map[string]PerfSetting)
	}
	run.Settings[*t.replay.now.Load()] = now
}

// tell adds to what was measured what the optimizer did. It has ended.
func (t *tuning) tell(run *PerfRun) {
	run.Decisions = make(map[string]int)
	for _, d := range t.decisions {
		run.Decisions[d.Verdict.String()]++
		run.Decided = append(run.Decided, d.String())
	}
	run.Regret = t.optimizer.Regret()
}
