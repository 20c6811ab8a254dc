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
	// Rows are which of cpu, memory, database and contrast are measured; none means all.
	Rows []string
	// Log is told of each run; nil for nobody.
	Log io.Writer

	settings []PerfSetting // of the sweep; nil means those of each workload
	aims     []perfAim     // those of Rows
}

// A PerfReport is what "outrider bench perf" prints.
type PerfReport struct {
	Quick bool `json:"quick"`
	// Before is the setting that is improved on, but on the second workload for the caches of signatures, which
	// have the least there in all settings.
	Before PerfSetting `json:"before"`
	// Work is what each run that is measured did, by the workload.
	Work map[string]perfWork `json:"work"`
	// Sweep is each static setting that was tried on each workload, and Best the best for each row.
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
	// so that rounds are what is independent: see coverage. Those of a room are what it is by
	// either turn.
	Intervals map[string][2]float64 `json:"intervals"`
	// AllocationsPerObserve is of observe.
	AllocationsPerObserve float64 `json:"allocations_per_observe"`
	// Notes say what the rows are of.
	Notes []string `json:"notes"`
	Report
}

// A PerfTried is a static setting and what it came to, at its two turns, which are shorter than what
// is measured.
type PerfTried struct {
	Workload string      `json:"workload"`
	Setting  PerfSetting `json:"setting"`
	Run      *PerfRun    `json:"run"`
	Again    *PerfRun    `json:"again"`
	// Finals are its turns among the best of a row, as long as what is measured.
	Finals []*PerfRun `json:"finals,omitempty"`
}

// cost returns what the setting costs, on the mean of its finals, or of its two turns where it
// has none, where cost is that of a run.
func (t *PerfTried) cost(cost func(*PerfRun) float64) float64 {
	runs := t.Finals
	if runs == nil {
		runs = []*PerfRun{t.Run, t.Again}
	}
	var sum float64
	for _, run := range runs {
		sum += cost(run)
	}
	return sum / float64(len(runs))
}

// Perf measures what the optimizer of perfcore/engine makes of the parts of the sidecar,
// on a recorded workload: a synchronisation, the tip, and a synchronisation again. Three
// things take turns, each in a process of its own: the setting that is "before", the
// best of the static settings that a sweep has tried, and the optimizer, which in each round
// has begun with "before", learned for some minutes, and resumes from what it had verified
// then, as after a restart, and calibrates meanwhile. Each row is an aim of its own, on one of the
// workloads. First, it measures what an observation costs.
func Perf(ctx context.Context, o PerfOptions) (*PerfReport, error) {
	if o.Rounds < 1 {
		return nil, fmt.Errorf("%d rounds are none", o.Rounds)
	}
	if o.Turns < 1 {
		return nil, fmt.Errorf("%d turns are none", o.Turns)
	}
	var err error
	if o.aims, err = aimsOf(o.Rows); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	rep := &PerfReport{
		Quick: o.Quick, Before: perfBefore, Work: make(map[string]perfWork), Best: make(map[string]PerfSetting),
		Learned: make(map[string][]*PerfRun), Runs: make(map[string][]*PerfRun), Turns: o.Turns,
		Intervals: make(map[string][2]float64), Report: Report{Machine: ThisMachine()},
	}
	all := perfWorkloads()
	if o.Quick {
		all = quickWorkloads()
	}
	for _, w := range all {
		if w.shape.NoPageCache && !o.Quick && slices.ContainsFunc(o.aims, func(a perfAim) bool { return a.workload == w.name }) {
			if err := checkDisk(o.Dir); err != nil {
				return nil, err
			}
		}
	}
	observe, allocations := measureObserve()
	rep.Rows, rep.AllocationsPerObserve = []Row{observe}, allocations
	var of []perfWorkload
	for _, w := range all {
		b := &perfBench{perfWorkload: w, o: o, recorded: filepath.Join(o.Dir, w.name), work: make(map[perfPlan]perfWork)}
		b.o.aims = slices.DeleteFunc(slices.Clone(o.aims), func(a perfAim) bool { return a.workload != w.name })
		if len(b.o.aims) == 0 {
			continue
		}
		if b.o.settings == nil {
			b.o.settings = w.settings()
			if o.Quick {
				b.o.settings = []PerfSetting{b.o.settings[0], b.o.settings[len(b.o.settings)-1]}
			}
		}
		if err := b.replay(ctx, rep); err != nil {
			return nil, err
		}
		of = append(of, w)
	}
	for i := range o.aims {
		rep.judge(&o.aims[i])
	}
	rep.Notes = append(rep.Notes, perfNotes(rep, of)...)
	return rep, nil
}

// A perfBench runs processes that replay one workload.
type perfBench struct {
	perfWorkload
	o        PerfOptions // its aims those on that workload
	recorded string
	runs     int
	work     map[perfPlan]perfWork // of the first run of each plan, and so of all
}

// replay measures the aims on the workload: it records it, and has the sweep and what is compared
// replay it.
func (b *perfBench) replay(ctx context.Context, rep *PerfReport) error {
	if err := os.Mkdir(b.recorded, 0o700); err != nil {
		return err
	}
	if err := record(ctx, b.recorded, b.shape); err != nil {
		return err
	}
	swept, err := b.sweep(ctx, rep)
	if err != nil {
		return err
	}
	rep.Sweep = append(rep.Sweep, swept...)
	if err := b.compare(ctx, rep); err != nil {
		return err
	}
	rep.Work[b.name] = b.work[b.plan]
	return nil
}

// perfFinalists is how many settings of the sweep, the best of each row by their first
// turns, have finals.
const perfFinalists = 3

// sweep tries each static setting twice, the second time in the opposite order, as the
// machine may have become slower meanwhile, then the best of them more often, and names
// the best for each row.
func (b *perfBench) sweep(ctx context.Context, rep *PerfReport) (swept []PerfTried, err error) {
	try := func(plan perfPlan, s PerfSetting) (*PerfRun, error) {
		return b.measure(ctx, fmt.Sprintf("sweep (%s): %v", b.name, s), plan, s, nil)
	}
	short := b.plan.short()
	for _, s := range b.o.settings {
		run, err := try(short, s)
		if err != nil {
			return nil, err
		}
		swept = append(swept, PerfTried{Workload: b.name, Setting: s, Run: run})
	}
	for i, s := range slices.Backward(b.o.settings) {
		run, err := try(short, s)
		if err != nil {
			return nil, err
		}
		swept[i].Again = run
	}
	best := finalists(swept, b.o.aims)
	for range b.o.Turns {
		slices.Reverse(best)
		for _, t := range best {
			run, err := try(b.plan, t.Setting)
			if err != nil {
				return nil, err
			}
			t.Finals = append(t.Finals, run)
		}
	}
	for i := range b.o.aims {
		aim := &b.o.aims[i]
		first := slices.MinFunc(best, func(s, t *PerfTried) int { return cmp.Compare(s.cost(aim.spent), t.cost(aim.spent)) })
		rep.Best[aim.row] = first.Setting
	}
	return swept, nil
}

// finalists returns those of a sweep that are among the best perfFinalists of a row,
// in the order of the sweep.
func finalists(swept []PerfTried, aims []perfAim) (best []*PerfTried) {
	among := make([]bool, len(swept))
	for i := range aims {
		order := make([]int, len(swept))
		for k := range order {
			order[k] = k
		}
		slices.SortStableFunc(order, func(s, t int) int {
			return cmp.Compare(swept[s].cost(aims[i].spent), swept[t].cost(aims[i].spent))
		})
		for _, k := range order[:min(perfFinalists, len(order))] {
			among[k] = true
		}
	}
	for k := range swept {
		if among[k] {
			best = append(best, &swept[k])
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
			arms := []perfArm{{"before/" + aim.row, b.before(), nil}, {"static/" + aim.row, rep.Best[aim.row], nil}, {"perfcore/" + aim.row, b.before(), aim}}
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
	run, err := b.run(ctx, what, perfSpec{Setting: b.before(), Aim: aim.row, Turned: b.turned(), Learned: b.learned(aim.row), Learn: true, Plan: b.plan})
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
		spec.Aim, spec.Turned, spec.Learned = aim.row, b.turned(), b.learned(aim.row)
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
