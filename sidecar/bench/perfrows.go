package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
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

func (run *PerfRun) whole() PerfFigures { return run.Figures }

// judge adds the rows of an aim: the improvement on before, by the optimizer and by the
// best static setting, and that of the optimizer on the best static setting where
// the regime switches, and within each regime.
func (r *PerfReport) judge(aim *perfAim) {
	sync := func(run *PerfRun) PerfFigures { return run.part(false) }
	tip := func(run *PerfRun) PerfFigures { return run.part(true) }
	before, static, tuned := "before/"+aim.row, "static/"+aim.row, "perfcore/"+aim.row
	for _, row := range []struct {
		name, from, to string
		of             func(*PerfRun) PerfFigures
		original       bool
	}{
		{aim.row, before, tuned, (*PerfRun).whole, true},
		{aim.row + "/static", before, static, (*PerfRun).whole, true},
		{aim.row + "/switching", static, tuned, (*PerfRun).whole, false},
		{aim.row + "/sync", static, tuned, sync, false},
		{aim.row + "/tip", static, tuned, tip, false},
	} {
		var improved, rounds []float64
		for i := range r.Learned[aim.row] {
			turns := r.improved(row.from, row.to, i*r.Turns, func(run *PerfRun) float64 { return aim.value(row.of(run)) })
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
	r.Notes = append(r.Notes, r.outcome(aim))
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
	in := r.Intervals[aim.row]
	var side strings.Builder
	for _, other := range perfAims {
		if other.row != aim.row {
			before, after := r.figures("before/"+aim.row, other.value), r.figures("perfcore/"+aim.row, other.value)
			side.WriteString(fmt.Sprintf(", %s %+.1f %%", other.row, 100*(median(after)/median(before)-1)))
		}
	}
	promoted := func(runs []*PerfRun) (n []int) {
		for _, run := range runs {
			n = append(n, run.Decisions["promoted"])
		}
		return n
	}
	return fmt.Sprintf("%s: %.1f %% less, the median of %d turns; from %.1f to %.1f in %d rounds (the true median, with %.0f %%); %s the original %.1f %%. It is %.1f %% below the best static setting, and %s to be at most %.0f %% above. Beside it%s. Changes that were promoted while it learned, in each round: %v, and while it was measured: %v. Best static setting of %d: %s",
		aim.row, improved, len(r.Runs["before/"+aim.row]), in[0], in[1], len(r.Learned[aim.row]), coverage(len(r.Learned[aim.row])), reached(improved >= aim.original), aim.original, switching, reached(switching >= -worseThanStatic), worseThanStatic, side.String(), promoted(r.Learned[aim.row]), promoted(r.Runs["perfcore/"+aim.row]), len(r.Sweep), r.Best[aim.row])
}

// lateness is by how much a run that is measured may outlast its timetable before the report says
// so.
const lateness = 1.05

// late says how many runs did not keep to the timetable.
func (r *PerfReport) late(plan perfPlan) string {
	due, most, n, all := plan.due(), 1.0, 0, 0
	for _, runs := range r.Runs {
		for _, run := range runs {
			over := run.Figures.Seconds / due.Seconds()
			if all++; over > lateness {
				n++
			}
			most = max(most, over)
		}
	}
	return fmt.Sprintf("the timetable: of %d runs %d took more than %.0f %% longer than its %v, the longest %.1f %%", all, n, 100*(lateness-1), due, 100*(most-1))
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
	return fmt.Sprintf("observe: durations from 0 to %d ms in a Timer, and in a histogram of client_golang with its default buckets; one thread, the time that it had a processor. It takes %.2f of the anchor's, with %.0f allocations, and %s to be at most %.0f ns, and %.1f, with none",
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

// perfNotes returns what the rows are of.
func perfNotes(r *PerfReport, shape perfShape, plan perfPlan) []string {
	notes := []string{
		r.observed(),
		fmt.Sprintf("what is replayed: %d blocks of a synchronisation, one each %v, %d of the tip, one each %v, and %d of a synchronisation again, of %d transactions each, with real signatures; %d coins of %d are asked for, one in %d of which does not exist. All runs did the same: %d blocks, %d inputs, %d transactions of the mempool, %d look-ups that found %d",
			plan.Sync, syncGap, plan.Tip, tipGap, plan.Sync, shape.Transactions, r.Work.Lookups, shape.Coins, absentOf, r.Work.Blocks, r.Work.Inputs, r.Work.Mempool, r.Work.Lookups, r.Work.Found),
		"cpu: processor time for an input that was decided, a transaction's input that was verified, or a coin that was asked for. memory: the mean of what the Go runtime has mapped and not given back, and Pebble's cache and memtables. database: the 90th percentile of the time to look up one coin, misses of Pebble's cache included; the files are in the system's cache",
		"of each row, the original figure is for perfcore and for /static, the best of the sweep; /switching is how much less than that perfcore is at on the whole replay, /sync and /tip within one regime. Below 0 it is more",
		fmt.Sprintf("perfcore learns for each row and in each round anew, from what is before, in %d blocks of a synchronisation and %d of the tip, one each %v and %v. It resumes from what it had verified then, and goes on while it is measured; its own work is in its figures", plan.LearnSync, plan.LearnTip, syncGap, tipGap),
		"not in it: the node, the flight of several blocks, and the MuHash of the coins",
	}
	notes = append(notes, r.late(plan))
	if r.Quick {
		notes = append(notes, "quick: everything is short, and the figures mean little")
	}
	return notes
}
