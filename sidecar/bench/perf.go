package bench

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// PerfOptions say what Perf measures, and how.
type PerfOptions struct {
	// Program is this program, which is started anew for each run, with the arguments
	// bench, perf and run: RunPerf.
	Program string
	// Dir is an empty directory on the disk to measure.
	Dir string
	// Rounds is how often the optimizer learns. What it has learned, and each setting beside
	// it, is measured Turns times, and the best of the sweep as often once more: two processes
	// that do the same differ by up to a seventh.
	Rounds, Turns int
	// Quick makes all of it short, with two settings in the sweep: it shows that everything
	// works, and its figures mean little.
	Quick bool
	// Rows are which of cpu, memory and database are measured; none means all.
	Rows []string
	// Log is told of each run; nil for nobody.
	Log io.Writer

	settings []PerfSetting // of the sweep; nil means perfSettings
	aims     []perfAim     // those of Rows
}

// A PerfReport is what "outrider bench perf" prints.
type PerfReport struct {
	Quick bool `json:"quick"`
	// Before is the setting that is improved on.
	Before PerfSetting `json:"before"`
	// Work is what each run of a round did.
	Work perfWork `json:"work"`
	// Sweep is each static setting that was tried, and Best the best for each row.
	Sweep []PerfTried            `json:"sweep"`
	Best  map[string]PerfSetting `json:"best_static"`
	// Learned is what the optimizer did for each row before it was measured, in each
	// round: its decisions, and the incumbents that it came to in each regime.
	Learned map[string][]*PerfRun `json:"learned"`
	// Runs are by what was measured: "before", "static" and "perfcore", with the row that
	// they are for behind a slash; Turns of each round.
	Runs  map[string][]*PerfRun `json:"runs"`
	Turns int                   `json:"turns"`
	// Intervals are the least and the greatest improvement of a round, the median of its
	// turns, of each row that is one. The turns of a round share what was learned in it,
	// so that rounds are what is independent: see coverage.
	Intervals map[string][2]float64 `json:"intervals"`
	// AllocationsPerObserve is of observe.
	AllocationsPerObserve float64 `json:"allocations_per_observe"`
	// Notes say what the rows are of.
	Notes []string `json:"notes"`
	Report
}

// A PerfTried is a static setting and what it came to, at its two turns.
type PerfTried struct {
	Setting PerfSetting `json:"setting"`
	Run     *PerfRun    `json:"run"`
	Again   *PerfRun    `json:"again"`
	// Finals are its turns among the best of a row.
	Finals []*PerfRun `json:"finals,omitempty"`
}

// cost returns what the setting cost under an aim, on the mean of its turns.
func (t *PerfTried) cost(aim *perfAim) float64 {
	sum := aim.cost(t.Run.Figures) + aim.cost(t.Again.Figures)
	for _, run := range t.Finals {
		sum += aim.cost(run.Figures)
	}
	return sum / float64(2+len(t.Finals))
}

// perfSize returns the recording and the plan.
func perfSize(quick bool) (perfShape, perfPlan) {
	if quick {
		plan := perfPlan{Sync: 12, Tip: 10, SweepSync: 12, SweepTip: 6, WarmSync: 4, WarmTip: 2, LearnSync: 36, LearnTip: 12}
		return perfShape{Transactions: 40, SyncBlocks: 12, TipBlocks: plan.mostTipBlocks(), Rounds: 2, Coins: 20_000, TipLookups: 100, SyncLookups: 20}, plan
	}
	plan := perfPlan{Sync: 224, Tip: 70, SweepSync: 96, SweepTip: 40, WarmSync: 384, WarmTip: 40, LearnSync: 16_200, LearnTip: 3360}
	return perfShape{Transactions: 40, SyncBlocks: 32, TipBlocks: plan.mostTipBlocks(), Rounds: 50, Coins: 250_000, TipLookups: 200, SyncLookups: 50}, plan
}

// Perf measures what the optimizer of perfcore/engine makes of the parts of the sidecar,
// on a recorded workload: a synchronisation, the tip, and a synchronisation again. Three
// things take turns, each in a process of its own: the setting that is "before", the
// best of the static settings that a sweep has tried, and the optimizer, which in each round
// has begun with "before", learned for some minutes, and resumes from what it had verified
// then, as after a restart. Each row is an aim of its own. First, it measures what an
// observation costs.
func Perf(ctx context.Context, o PerfOptions) (*PerfReport, error) {
	if o.Rounds < 1 {
		return nil, fmt.Errorf("%d rounds are none", o.Rounds)
	}
	if o.Turns < 1 {
		return nil, fmt.Errorf("%d turns are none", o.Turns)
	}
	if o.settings == nil {
		o.settings = perfSettings()
		if o.Quick {
			o.settings = []PerfSetting{o.settings[0], o.settings[len(o.settings)-1]}
		}
	}
	var err error
	if o.aims, err = aimsOf(o.Rows); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	rep := &PerfReport{
		Quick: o.Quick, Before: perfBefore, Best: make(map[string]PerfSetting),
		Learned: make(map[string][]*PerfRun), Runs: make(map[string][]*PerfRun), Turns: o.Turns,
		Intervals: make(map[string][2]float64), Report: Report{Machine: ThisMachine()},
	}
	observe, allocations := measureObserve()
	rep.Rows, rep.AllocationsPerObserve = []Row{observe}, allocations

	shape, plan := perfSize(o.Quick)
	b := &perfBench{o: o, plan: plan, recorded: filepath.Join(o.Dir, "recording"), work: make(map[perfPlan]perfWork)}
	if err := os.Mkdir(b.recorded, 0o700); err != nil {
		return nil, err
	}
	if err := record(ctx, b.recorded, shape); err != nil {
		return nil, err
	}
	if err := b.sweep(ctx, rep); err != nil {
		return nil, err
	}
	if err := b.compare(ctx, rep); err != nil {
		return nil, err
	}
	rep.Work = b.work[plan]
	for i := range o.aims {
		rep.judge(&o.aims[i])
	}
	rep.Notes = append(rep.Notes, perfNotes(rep, shape, plan)...)
	return rep, nil
}

// A perfBench runs processes.
type perfBench struct {
	o        PerfOptions
	plan     perfPlan
	recorded string
	runs     int
	work     map[perfPlan]perfWork // of the first run of each plan, and so of all
}

// perfFinalists is how many settings of the sweep, the best of each row by their first
// turns, have finals.
const perfFinalists = 3

// sweep tries each static setting twice, the second time in the opposite order, as the
// machine may have become slower meanwhile, then the best of them more often, and names
// the best for each row.
func (b *perfBench) sweep(ctx context.Context, rep *PerfReport) error {
	try := func(s PerfSetting) (*PerfRun, error) {
		return b.measure(ctx, "sweep: "+s.String(), b.plan.short(), s, nil)
	}
	for _, s := range b.o.settings {
		run, err := try(s)
		if err != nil {
			return err
		}
		rep.Sweep = append(rep.Sweep, PerfTried{Setting: s, Run: run})
	}
	for i, s := range slices.Backward(b.o.settings) {
		run, err := try(s)
		if err != nil {
			return err
		}
		rep.Sweep[i].Again = run
	}
	finalists := rep.finalists(b.o.aims)
	for range b.o.Turns {
		slices.Reverse(finalists)
		for _, t := range finalists {
			run, err := try(t.Setting)
			if err != nil {
				return err
			}
			t.Finals = append(t.Finals, run)
		}
	}
	for i := range b.o.aims {
		aim := &b.o.aims[i]
		best := slices.MinFunc(finalists, func(s, t *PerfTried) int { return cmp.Compare(s.cost(aim), t.cost(aim)) })
		rep.Best[aim.row] = best.Setting
	}
	return nil
}

// finalists returns those of the sweep that are among the best perfFinalists of a row,
// in the order of the sweep.
func (r *PerfReport) finalists(aims []perfAim) (best []*PerfTried) {
	among := make([]bool, len(r.Sweep))
	for i := range aims {
		order := make([]int, len(r.Sweep))
		for k := range order {
			order[k] = k
		}
		slices.SortStableFunc(order, func(s, t int) int { return cmp.Compare(r.Sweep[s].cost(&aims[i]), r.Sweep[t].cost(&aims[i])) })
		for _, k := range order[:min(perfFinalists, len(order))] {
			among[k] = true
		}
	}
	for k := range r.Sweep {
		if among[k] {
			best = append(best, &r.Sweep[k])
		}
	}
	return best
}

// A perfArm is one of what takes turns.
type perfArm struct {
	name    string
	setting PerfSetting
	aim     *perfAim // of the optimizer; nil for a setting
}

// compare has the optimizer learn for each row, and measures before, the best static
// setting and the optimizer right behind each other, each time in another order: the
// machine's speed changes by the minute.
func (b *perfBench) compare(ctx context.Context, rep *PerfReport) error {
	for round := range b.o.Rounds {
		for i := range b.o.aims {
			aim := &b.o.aims[(round+i)%len(b.o.aims)]
			if err := b.learn(ctx, rep, round, aim); err != nil {
				return err
			}
			arms := []perfArm{{"before/" + aim.row, nil, nil}, {"static/" + aim.row, rep.Best[aim.row], nil}, {"perfcore/" + aim.row, nil, aim}}
			for i := range rep.Turns * len(arms) {
				turn := i / len(arms)
				arm := &arms[(round+turn+i)%len(arms)]
				run, err := b.measure(ctx, fmt.Sprintf("round %d.%d: %s", round+1, turn+1, arm.name), b.plan, arm.setting, arm.aim)
				if err != nil {
					return err
				}
				rep.Runs[arm.name] = append(rep.Runs[arm.name], run)
			}
		}
	}
	return nil
}

// learned is the directory of what the optimizer has learned last for a row.
func (b *perfBench) learned(aim string) string { return filepath.Join(b.o.Dir, "learned", aim) }

// learn lets the optimizer learn for a row, from the beginning.
func (b *perfBench) learn(ctx context.Context, rep *PerfReport, round int, aim *perfAim) error {
	if err := os.RemoveAll(b.learned(aim.row)); err != nil {
		return err
	}
	what := fmt.Sprintf("round %d: perfcore/%s learns", round+1, aim.row)
	run, err := b.run(ctx, what, perfSpec{Aim: aim.row, Learned: b.learned(aim.row), Learn: true, Plan: b.plan})
	if err != nil {
		return err
	}
	rep.Learned[aim.row] = append(rep.Learned[aim.row], run)
	fmt.Fprintf(b.o.Log, "%s: %v\n", what, run.Decisions)
	return nil
}

// measure measures one setting, or the optimizer, which has learned.
func (b *perfBench) measure(ctx context.Context, what string, plan perfPlan, setting PerfSetting, aim *perfAim) (*PerfRun, error) {
	began := time.Now()
	spec := perfSpec{Setting: setting, Plan: plan}
	if aim != nil {
		spec.Aim, spec.Learned = aim.row, b.learned(aim.row)
	}
	run, err := b.run(ctx, what, spec)
	if err != nil {
		return nil, err
	}
	if restored := run.Decisions["restored"]; aim != nil && restored != 1 {
		return nil, fmt.Errorf("%s: the optimizer resumed %d times from what it had learned, want once", what, restored)
	}
	first, ok := b.work[plan]
	if !ok {
		first = run.Work
		b.work[plan] = first
	}
	if run.Work != first || run.Work.Lookups == 0 {
		return nil, fmt.Errorf("%s: it did %+v, and the first run %+v: they do not compare", what, run.Work, first)
	}
	f := run.Figures
	fmt.Fprintf(b.o.Log, "%s: %.1f µs a unit, %.0f MiB, p90 %.1f µs, in %.0f s\n", what, f.CPU, f.Memory/(1<<20), f.ReadP90*1e6, time.Since(began).Seconds())
	return run, nil
}

// run is one process. What was learned it gets a copy of, unless it learns itself.
func (b *perfBench) run(ctx context.Context, what string, spec perfSpec) (run *PerfRun, err error) {
	dir := filepath.Join(b.o.Dir, fmt.Sprint("run", b.runs))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b.runs++
	spec.Recorded, spec.Dir, spec.Seed = b.recorded, dir, firstSeed+uint64(b.runs)
	if spec.Aim != "" && !spec.Learn {
		copied := filepath.Join(dir, "learned")
		if err := os.CopyFS(copied, os.DirFS(spec.Learned)); err != nil {
			return nil, err
		}
		spec.Learned = copied
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, b.o.Program, "bench", "perf", "run")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), &stdout, &stderr
	// What was set for Go from outside is not what is measured.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "GOGC=") || strings.HasPrefix(kv, "GOMEMLIMIT=")
	})
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", what, err, bytes.TrimSpace(stderr.Bytes()))
	}
	run = new(PerfRun)
	if err := json.Unmarshal(stdout.Bytes(), run); err != nil {
		return nil, fmt.Errorf("%s: what it says is none: %w", what, err)
	}
	return run, nil
}

// WriteTable writes the report for people, with the interval of each row.
func (r *PerfReport) WriteTable(w io.Writer) error {
	for _, note := range r.Notes {
		fmt.Fprintln(w, note)
	}
	fmt.Fprintln(w)
	return r.writeTable(w, r.Intervals)
}
