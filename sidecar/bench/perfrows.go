package bench

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// originalFigure is what the improvements are held against: what was asked for when the
// project began.
const originalFigure = "original figure"

// part returns what was measured of a part of the replay: those of a synchronisation
// together, or the tip.
func (run *PerfRun) part(tip bool) PerfFigures {
	if tip {
		return run.Parts[1]
	}
	a, b := run.Parts[0], run.Parts[2]
	return PerfFigures{
		CPU: (a.CPU + b.CPU) / 2, Memory: (a.Memory + b.Memory) / 2, Peak: max(a.Peak, b.Peak),
		ReadP90: (a.ReadP90 + b.ReadP90) / 2, Seconds: a.Seconds + b.Seconds,
	}
}

// judge adds the rows of an aim: the improvement on before, by the optimizer and by the
// best static setting, and that of the optimizer on the best static setting where
// the regime switches, and within each regime; and, of a row that is the cost itself, how much
// there is to win by switching.
func (r *PerfReport) judge(aim *perfAim) {
	sync := func(run *PerfRun) float64 { return aim.value(run.part(false)) }
	tip := func(run *PerfRun) float64 { return aim.value(run.part(true)) }
	before, static, tuned := "before/"+aim.row, "static/"+aim.row, "perfcore/"+aim.row
	for _, row := range []struct {
		name, from, to string
		of             func(*PerfRun) float64
		original       bool
	}{
		{aim.row, before, tuned, aim.whole, aim.figure != nil},
		{aim.row + "/static", before, static, aim.whole, aim.figure != nil},
		{aim.row + "/switching", static, tuned, aim.whole, false},
		{aim.row + "/sync", static, tuned, sync, false},
		{aim.row + "/tip", static, tuned, tip, false},
	} {
		var improved, rounds []float64
		for i := range r.Learned[aim.row] {
			turns := r.improved(row.from, row.to, i*r.Turns, row.of)
			if len(turns) > 0 {
				improved, rounds = append(improved, turns...), append(rounds, median(turns))
			}
		}
		if len(improved) == 0 {
			continue
		}
		r.Intervals[row.name] = [2]float64{slices.Min(rounds), slices.Max(rounds)}
		v := median(improved)
		if row.original {
			r.Rows = append(r.Rows, moreIsBetter(row.name, v, "% less", originalFigure, aim.original))
		} else {
			r.Rows = append(r.Rows, plain(row.name, v, "% less"))
		}
	}
	if rooms := r.room(aim); aim.figure == nil && rooms != nil {
		name := aim.row + "/room"
		r.Intervals[name] = [2]float64{slices.Min(rooms), slices.Max(rooms)}
		r.Rows = append(r.Rows, plain(name, median(rooms), "% less"))
	}
	r.Notes = append(r.Notes, r.outcome(aim))
}

// tried returns what of the sweep is of an aim's workload.
func (r *PerfReport) tried(aim *perfAim) (tried []*PerfTried) {
	for i := range r.Sweep {
		if r.Sweep[i].Workload == aim.workload {
			tried = append(tried, &r.Sweep[i])
		}
	}
	return tried
}

// room returns by how many per cent the settings of the sweep that are best for each regime,
// each in its own, cost less than the one that is best for all of the replay. Those that are
// best by the first turn are judged by the second, and the other way round: who is both chosen
// and judged by the same turn is better by luck.
func (r *PerfReport) room(aim *perfAim) (rooms []float64) {
	tried := r.tried(aim)
	if len(tried) == 0 {
		return nil
	}
	first := func(t *PerfTried) *PerfRun { return t.Run }
	second := func(t *PerfTried) *PerfRun { return t.Again }
	for _, turns := range [][2]func(*PerfTried) *PerfRun{{first, second}, {second, first}} {
		best := func(cost func(*PerfRun) float64) float64 {
			return cost(turns[1](slices.MinFunc(tried, func(s, t *PerfTried) int { return cmp.Compare(cost(turns[0](s)), cost(turns[0](t))) })))
		}
		own := (best(aim.sync) + best(aim.tip)) / 2
		rooms = append(rooms, 100*(1-math.Exp(own-best(aim.regimes))))
	}
	return rooms
}

// improved returns by how many per cent a value is less in one arm than in another, in each
// turn of the round that begins with turn first.
func (r *PerfReport) improved(from, to string, first int, value func(*PerfRun) float64) (turns []float64) {
	for i, run := range r.Runs[from][first:][:r.Turns] {
		if was := value(run); was > 0 {
			turns = append(turns, 100*(1-value(r.Runs[to][first+i])/was))
		}
	}
	return turns
}

// coverage returns how probable it is, in per cent, that the median of what rounds are drawn
// from is between the least and the greatest of n, whatever its distribution.
func coverage(n int) float64 { return 100 * (1 - math.Pow(0.5, float64(n-1))) }

// worseThanStatic is by how many per cent the optimizer may at most be worse than the best static
// setting.
const worseThanStatic = 5.0

// outcome says, in a sentence, whether a row reached what it is held against, and what
// it cost elsewhere.
func (r *PerfReport) outcome(aim *perfAim) string {
	value := func(name string) float64 {
		return r.Rows[slices.IndexFunc(r.Rows, func(row Row) bool { return row.Name == name })].Value
	}
	improved, switching := value(aim.row), value(aim.row+"/switching")
	in, beside := r.Intervals[aim.row], r.Intervals[aim.row+"/switching"]
	within := func(below float64) string { return reached(below >= -worseThanStatic) }
	var regimes strings.Builder
	for _, row := range r.Rows {
		switch row.Name {
		case aim.row + "/sync":
			fmt.Fprintf(&regimes, ", %s in a synchronisation (%.1f)", within(row.Value), row.Value)
		case aim.row + "/tip":
			fmt.Fprintf(&regimes, ", %s at the tip (%.1f)", within(row.Value), row.Value)
		}
	}
	var side strings.Builder
	for _, other := range perfAims {
		if other.row != aim.row && other.figure != nil {
			before, after := r.figures("before/"+aim.row, other.figure), r.figures("perfcore/"+aim.row, other.figure)
			fmt.Fprintf(&side, ", %s %+.1f %%", other.row, 100*(median(after)/median(before)-1))
		}
	}
	promoted := func(runs []*PerfRun) (n []int) {
		for _, run := range runs {
			n = append(n, run.Decisions["promoted"])
		}
		return n
	}
	tuned, tried := r.Runs["perfcore/"+aim.row], 0
	for _, run := range tuned {
		if run.triedSomething() {
			tried++
		}
	}
	var regret []string
	for _, run := range r.Learned[aim.row] {
		regret = append(regret, fmt.Sprintf("%.1f", 100*run.Regret))
	}
	wanted := fmt.Sprintf("%s the original %.1f %%", reached(improved >= aim.original), aim.original)
	if aim.figure == nil {
		wanted = fmt.Sprintf("%s to be better than the best static setting by its median, %s in each round", reached(switching > 0), reached(beside[0] > 0))
	}
	return fmt.Sprintf("%s: %.1f %% less, the median of %d turns; from %.1f to %.1f in %d rounds (the true median, with %.0f %%); %s. It is %.1f %% below the best static setting (from %.1f to %.1f in its rounds), and %s to be at most %.0f %% above by its median, %s in each round%s. Beside it%s. Changes that were promoted while it learned, in each round: %v, and while it was measured: %v. In %d of these %d runs something was tried: in the others there is nothing of what experiments take, which was %s %% of the cost while it learned. Best static setting of %d: %s",
		aim.row, improved, len(r.Runs["before/"+aim.row]), in[0], in[1], len(r.Learned[aim.row]), coverage(len(r.Learned[aim.row])), wanted, switching, beside[0], beside[1], within(switching), worseThanStatic, within(beside[0]), regimes.String(), side.String(), promoted(r.Learned[aim.row]), promoted(tuned), tried, len(tuned), strings.Join(regret, ", "), len(r.tried(aim)), r.Best[aim.row])
}

// triedSomething reports whether the optimizer came to a verdict on an experiment. Behind its start
// it calibrates, and rests, for longer than most runs take.
func (run *PerfRun) triedSomething() bool {
	return slices.ContainsFunc([]perfcore.Verdict{
		perfcore.Promoted, perfcore.Rejected, perfcore.Aborted, perfcore.Withdrawn, perfcore.Confirmed,
	}, func(v perfcore.Verdict) bool { return run.Decisions[v.String()] > 0 })
}

// lateness is by how much a run that is measured may outlast its timetable before the report says
// so.
const lateness = 1.05

// late says how many runs on a workload did not keep to the timetable, those as long as what is measured
// and the shorter ones of the sweep.
func (r *PerfReport) late(w *perfWorkload) string {
	count := func(runs []*PerfRun, due time.Duration) string {
		most, n := 1.0, 0
		for _, run := range runs {
			over := run.Figures.Seconds / due.Seconds()
			if over > lateness {
				n++
			}
			most = max(most, over)
		}
		return fmt.Sprintf("%d took more than %.0f %% longer than their %v, the longest %.1f %%", n, 100*(lateness-1), due, 100*(most-1))
	}
	var measured, swept []*PerfRun
	for name, runs := range r.Runs {
		_, row, _ := strings.Cut(name, "/")
		if aim, err := aimOf(row); err == nil && aim.workload == w.name {
			measured = append(measured, runs...)
		}
	}
	for _, t := range r.Sweep {
		if t.Workload == w.name {
			swept, measured = append(swept, t.Run, t.Again), append(measured, t.Finals...)
		}
	}
	return fmt.Sprintf("the timetable: of %d runs %s; of %d in the sweep %s", len(measured), count(measured, w.due(w.plan)), len(swept), count(swept, w.due(w.plan.short())))
}

// reached says in a note whether something was reached.
func reached(it bool) string {
	if it {
		return "reaches"
	}
	return "MISSES"
}

// These are what an observation may take at most: nanoseconds, and of the time of client_golang's.
const observeMost, observeShare = 10.0, 0.4

// observed says what the row observe, the first, is of, and whether it reached what it is held
// against.
func (r *PerfReport) observed() string {
	row := r.Rows[0]
	share := row.Value / row.AnchorValue
	return fmt.Sprintf("observe: durations from 0 to %d ms in a Timer, and in a histogram of client_golang with its default buckets; one thread, the time that it had a processor. It takes %.2f of the anchor's, with %.3g allocations, and %s to be at most %.0f ns, and %.1f, with none",
		observeStep*observeTimes/1_000_000, share, r.AllocationsPerObserve,
		reached(row.Value <= observeMost && share <= observeShare && r.AllocationsPerObserve == 0), observeMost, observeShare)
}

// figures returns one figure of each run of an arm.
func (r *PerfReport) figures(arm string, value func(PerfFigures) float64) []float64 {
	var vs []float64
	for _, run := range r.Runs[arm] {
		vs = append(vs, value(run.Figures))
	}
	return vs
}

// perfNotes returns what the rows are of, and the workloads.
func perfNotes(r *PerfReport, of []perfWorkload) []string {
	notes := []string{r.observed()}
	for i := range of {
		w := &of[i]
		shape, plan, work := &w.shape, &w.plan, r.Work[w.name]
		notes = append(notes,
			fmt.Sprintf("what is replayed (%s): %d blocks of a synchronisation, one each %v, %d of the tip, one each %v, and %d of a synchronisation again, of %d transactions each, with real signatures; %d coins of %d are asked for, %d for each block of a synchronisation and %d for one of the tip, one in %d of which does not exist. All runs did the same: %d blocks, %d inputs, %d transactions of the mempool, %d look-ups that found %d",
				w.name, plan.Sync, shape.SyncGap, plan.Tip, tipGap, plan.Sync, shape.Transactions, work.Lookups, shape.Coins, shape.SyncLookups, shape.TipLookups, absentOf, work.Blocks, work.Inputs, work.Mempool, work.Lookups, work.Found),
			fmt.Sprintf("perfcore learns (%s) for each row and in each round anew, from what is before, in %d blocks of a synchronisation and %d of the tip, one each %v and %v, in slices of %v. It resumes from what it had verified then, and calibrates, which is about as long as it is measured; its own work is in its figures", w.name, plan.LearnSync, plan.LearnTip, shape.SyncGap, tipGap, plan.Slice),
			r.late(w))
	}
	notes = append(notes,
		"cpu: processor time for an input that was decided, a transaction's input that was verified, or a coin that was asked for. memory: the mean of what the Go runtime has mapped and not given back, and Pebble's cache and memtables. database: the 90th percentile of the time to look up one coin, misses of Pebble's cache included; the files are in the system's cache. contrast: processor time for a unit, times memory; the geometric mean of both regimes, with the files on the disk, and with the least caches of signatures in all settings, before too",
		"of each row, the original figure is for perfcore and for /static, the best of the sweep; /switching is how much less than that perfcore is at on the whole replay, /sync and /tip within one regime. Below 0 it is more. /room is how much less it would be than with the best setting of the sweep for both regimes, if each had its own; chosen by one turn, and judged by another",
		"not in it: the node, the arbiter that has coindb.memory in a sidecar, the flight of several blocks, the MuHash of the coins, bursts of RPC, and work for an L2 or for bridges")
	if r.Quick {
		notes = append(notes, "quick: everything is short, and the figures mean little")
	}
	return notes
}
