package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore/engine"
)

// TestMain is one process of Perf when Perf starts it: the tests' program is the
// program under test.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{"bench", "perf", "run"}) {
		if err := RunPerf(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// program returns the program that runs the tests.
func program(t *testing.T) string {
	t.Helper()
	p, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The report has its rows, what each arm did is the same, and the best of the sweep is
// named. Each process is a real one.
func TestPerfReport(t *testing.T) {
	small := PerfSetting{"go.gogc": 50, "coindb.memory": 8 << 20, "sigverify.cache": 2 << 20, "blockval.seen": 1 << 20}
	o := PerfOptions{Program: program(t), Dir: t.TempDir(), Rounds: 1, Turns: 2, Quick: true, settings: []PerfSetting{{}, small}}
	aims := perfAims
	if testing.Short() {
		o.Rows, aims = []string{"memory"}, perfAims[1:2] // which no other program on the machine disturbs
	}
	rep, err := Perf(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"observe"}
	for _, aim := range aims {
		want = append(want, aim.row, aim.row+"/static", aim.row+"/switching", aim.row+"/sync", aim.row+"/tip")
		if aim.figure == nil {
			want = append(want, aim.row+"/room")
		}
	}
	rows := make(map[string]Row)
	var got []string
	for _, row := range rep.Rows {
		got, rows[row.Name] = append(got, row.Name), row
	}
	if !slices.Equal(got, want) {
		t.Errorf("rows %q,\nwant %q", got, want)
	}
	if row := rows["observe"]; row.Value <= 0 || row.Anchor != "client_golang" || row.AnchorValue <= 0 || row.Ratio != row.AnchorValue/row.Value {
		t.Errorf("row %+v", row)
	}
	if rep.AllocationsPerObserve != 0 {
		t.Errorf("%v allocations for an observation", rep.AllocationsPerObserve)
	}
	for _, aim := range aims {
		for _, name := range []string{aim.row, aim.row + "/static"} {
			row := rows[name]
			if aim.original == 0 {
				if row.Anchor != "" {
					t.Errorf("row %+v", row)
				}
			} else if row.Anchor != originalFigure || row.AnchorValue != aim.original || row.Ratio != row.Value/aim.original {
				t.Errorf("row %+v", row)
			}
			if in := rep.Intervals[name]; in[0] > row.Value || in[1] < row.Value {
				t.Errorf("%s is %v, which is not within %v", name, row.Value, in)
			}
		}
		if setting := rep.Best[aim.row]; !slices.ContainsFunc(rep.Sweep, func(s PerfTried) bool { return s.Setting.String() == setting.String() }) {
			t.Errorf("the best setting for %s is %v, which was not tried", aim.row, setting)
		}
	}
	for i, tried := range rep.Sweep {
		if tried.Workload != quickWorkloads()[i/2].name || len(tried.Finals) != 2 {
			t.Errorf("setting %d that was tried: %+v", i, tried)
		}
	}
	if rep.Turns != 2 || len(rep.Sweep) != 2*len(rep.Work) {
		t.Errorf("%d settings were tried", len(rep.Sweep))
	}
	// Thirty-two megabytes less for signatures, and fifteen for transactions, cannot be
	// missed.
	if best := rep.Best["memory"]; best.String() != small.String() || rows["memory/static"].Value < 20 {
		t.Errorf("the best setting for memory is %v, with %v %% less", best, rows["memory/static"].Value)
	}
	checkRuns(t, rep, aims)

	var out bytes.Buffer
	if err := WriteJSON(&out, rep); err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(out.Bytes(), &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"machine", "rows", "before", "work", "sweep", "best_static", "runs", "learned", "intervals", "notes"} {
		if fields[name] == nil {
			t.Errorf("the report has no field %q", name)
		}
	}
	out.Reset()
	if err := rep.WriteTable(&out); err != nil || !strings.Contains(out.String(), "the original 20.0 %") || !strings.Contains(out.String(), "quick") {
		t.Errorf("table (%v):\n%s", err, out.String())
	}
	if left, err := filepath.Glob(filepath.Join(o.Dir, "run*")); err != nil || len(left) > 0 {
		t.Errorf("left are %v: %v", left, err)
	}
}

// checkRuns checks that all runs on a workload did the same, and that those of the optimizer say
// what it set.
func checkRuns(t *testing.T, rep *PerfReport, aims []perfAim) {
	t.Helper()
	lookups := map[string]int{usualWork: 24*20 + 10*100, contrastWork: 10 * 400}
	of := make(map[string]perfWork)
	for _, aim := range aims {
		w := rep.Work[aim.workload]
		of[aim.row] = w
		if w.Blocks != 34 || w.Inputs == 0 || w.Mempool == 0 || w.Lookups != lookups[aim.workload] || w.Found >= w.Lookups || w.Found < w.Lookups*8/10 || w.Value == 0 {
			t.Errorf("the work was %+v", w)
		}
	}
	if len(rep.Runs) != 3*len(aims) {
		t.Errorf("%d arms", len(rep.Runs))
	}
	if len(rep.Learned) != len(aims) {
		t.Errorf("it learned for %d rows", len(rep.Learned))
	}
	for row, runs := range rep.Learned {
		if rep.Turns*len(runs) != len(rep.Runs["before/"+row]) {
			t.Errorf("for %s it learned %d times", row, len(runs))
		}
		for _, run := range runs {
			if len(run.Settings) != 2 || run.Decisions["restored"] != 0 {
				t.Errorf("for %s it learned %+v, want it to begin anew", row, run)
			}
		}
	}
	for name, runs := range rep.Runs {
		for _, run := range runs {
			f := run.Figures
			if run.Work != of[name[strings.Index(name, "/")+1:]] || f.CPU <= 0 || f.ReadP90 <= 0 || f.Memory < 1<<20 || f.Peak < f.Memory || f.Seconds < 0.5 {
				t.Errorf("%s: %+v", name, run)
			}
			if tuned := strings.HasPrefix(name, "perfcore/"); tuned != (len(run.Settings) == 2) {
				t.Errorf("%s: settings %v", name, run.Settings)
			}
			decided := 0
			for _, n := range run.Decisions {
				decided += n
			}
			if len(run.Decided) != decided {
				t.Errorf("%s: it has decided %v, and explains %d", name, run.Decisions, len(run.Decided))
			}
			if restored := run.Decisions["restored"]; strings.HasPrefix(name, "perfcore/") && restored != 1 {
				t.Errorf("%s: what was learned was restored %d times", name, restored)
			}
			for regime, setting := range run.Settings {
				for knob := range perfBefore {
					if _, ok := setting[knob]; !ok {
						t.Errorf("%s: %s is not known at the end of %s", name, knob, regime)
					}
				}
				if pinned := setting["sigverify.cache"] == 0 && setting["blockval.seen"] == 1<<20; !pinned && strings.HasSuffix(name, "/contrast") {
					t.Errorf("%s: the caches of signatures, which are pinned, are at %v at the end of %s", name, setting, regime)
				}
			}
		}
	}
}

// smallRecording is that of the tests; its slices are not to be changed.
var smallRecording = sync.OnceValues(func() (*recording, error) {
	return generateRecording(context.Background(), quickWorkloads()[0].shape)
})

// newTestReplay returns a replay of a small recording.
func newTestReplay(t *testing.T, spoil func(*recording)) (*replay, perfPlan) {
	t.Helper()
	plan := quickWorkloads()[0].plan
	small, err := smallRecording()
	if err != nil {
		t.Fatal(err)
	}
	rec := &recording{Shape: small.Shape, Headers: small.Headers, Height: small.Height, Sync: small.Sync, Tip: slices.Clone(small.Tip)}
	dir := t.TempDir()
	if err := rec.writeCoins(filepath.Join(dir, recordedCoins)); err != nil {
		t.Fatal(err)
	}
	if spoil != nil {
		spoil(rec)
	}
	if err := rec.write(dir); err != nil {
		t.Fatal(err)
	}
	r, err := newReplay(dir, t.TempDir(), len(rec.Tip))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	return r, plan
}

// A replay does real work: it can go on for ever, finds the coins that it asks for, and
// notices a block that is not valid, and coins that are not there.
func TestReplay(t *testing.T) {
	r, _ := newTestReplay(t, nil)
	n := len(r.blocks)
	var inputs int
	for round := range 3 {
		r.ask(1)
		r.work = perfWork{}
		if err := r.synchronise(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if did := r.did(); did.Blocks != n || did.Inputs < n || did.Lookups != n*r.rec.Shape.SyncLookups {
			t.Errorf("round %d did %+v", round, did)
		}
		if round > 0 && r.work.Inputs != inputs {
			t.Errorf("round %d decided %d inputs, the one before %d", round, r.work.Inputs, inputs)
		}
		inputs = r.work.Inputs
	}
	counted := func(name, label string) (sum uint64) {
		for _, s := range r.registry.Series() {
			if s.Metric.Name == name && slices.Contains(s.Metric.Labels, label) {
				sum += s.Counter.Value()
			}
		}
		return sum
	}
	const spent = "outrider_coindb_spent_total"
	if known, read := counted(spent, "known"), counted(spent, "read"); known < 8*read || read == 0 {
		t.Errorf("the database knew %d coins that were spent, and read %d, want one in %d or so", known, read, 64)
	}
	if err := r.follow(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if counted("outrider_blockval_inputs_total", "remembered") == 0 {
		t.Error("the block had nothing that was in the mempool")
	}
	if err := r.follow(t.Context(), r.coming.left+1); err == nil {
		t.Error("blocks of the tip were replayed again")
	}
	if stats, err := r.db.Stats(); err != nil || stats.Tip.Height != r.tip.Height {
		t.Errorf("the database is at %+v, the replay at %v: %v", stats, r.tip, err)
	}
}

func TestReplayNoticesInvalidBlocks(t *testing.T) {
	r, _ := newTestReplay(t, func(rec *recording) {
		raw := bytes.Clone(rec.Tip[0].Raw)
		raw[len(raw)-10] ^= 1
		rec.Tip[0].Raw = raw
	})
	var first [2]*recordedBlock
	for i := range first {
		var err error
		if first[i], err = r.coming.next(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.connect(t.Context(), first[0], nil); err == nil || !strings.Contains(err.Error(), "invalid") {
		t.Errorf("a spoilt block: %v", err)
	}
	if err := r.connect(t.Context(), first[1], nil); err != nil {
		t.Fatal(err)
	}
	if err := r.connect(t.Context(), first[1], nil); err == nil {
		t.Error("its coins are spent twice")
	}
}

// Every setting of the sweep can be set, and what is before is in force when a replay
// begins.
func TestPerfSettings(t *testing.T) {
	r, _ := newTestReplay(t, nil)
	knobs := r.knobs(&perfPlan{Fills: time.Hour})
	for _, k := range knobs {
		if k.Name == "coindb.memory" && k.Settle != time.Hour {
			t.Errorf("%s shows behind %v, and the plan says an hour", k.Name, k.Settle)
		}
	}
	values := func() PerfSetting {
		s := make(PerfSetting)
		for _, k := range knobs {
			if err := k.Check(); err != nil {
				t.Error(err)
			}
			for _, w := range perfWorkloads() {
				if why := k.WhyNot(k.Read()); slices.Contains(w.turned(), k.Name) && why != "" {
					t.Errorf("%s is not tried: %s", k.Name, why)
				}
			}
			s[k.Name] = k.Read()
		}
		return s
	}
	for name, v := range perfBefore {
		if got, ok := values()[name]; !ok || got != v {
			t.Errorf("%s is %d at first, want %d", name, got, v)
		}
	}
	for _, w := range perfWorkloads() {
		settings := w.settings()
		of, before := 27, "as before"
		if w.name == contrastWork {
			of, before = 18, "blockval.seen=1048576 sigverify.cache=0"
		}
		if len(settings) != of || w.before().String() != before {
			t.Errorf("%s has %d settings, want %d, and before is %v, want %s", w.name, len(settings), of, w.before(), before)
		}
		seen := make(map[string]bool)
		for _, s := range settings {
			if err := s.apply(t.Context(), knobs); err != nil {
				t.Error(err)
			}
			for name, v := range s {
				if values()[name] != v || w.before()[name] != v && !slices.Contains(w.turned(), name) {
					t.Errorf("%s: %s is %d, and was set to %d", w.name, name, values()[name], v)
				}
			}
			if seen[s.String()] {
				t.Errorf("%v is tried twice", s)
			}
			seen[s.String()] = true
		}
		if w.name != contrastWork {
			continue
		}
		for _, k := range knobs {
			if tried := slices.Sorted(slices.Values(w.memory)); k.Name == "coindb.memory" && !slices.Equal(tried, k.Ladder) {
				t.Errorf("the sweep of %s tries %v for %s, and the optimizer %v", w.name, tried, k.Name, k.Ladder)
			}
		}
	}
	if err := (PerfSetting{"coindb.memroy": 1}).apply(t.Context(), knobs); err == nil || !strings.Contains(err.Error(), "memroy") {
		t.Errorf("a knob that does not exist: %v", err)
	}
	if err := (PerfSetting{"coindb.memory": 3}).apply(t.Context(), knobs); err == nil {
		t.Error("a value that is not on the ladder was set")
	}
}

// docs/perf.md lists what is before.
func TestBeforeIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/perf.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range perfBefore {
		value := fmt.Sprint(v)
		switch {
		case name == "sigverify.workers":
			value = "one for each processor"
		case v >= 1<<20:
			value = fmt.Sprintf("%d MiB", v>>20)
		}
		if !strings.Contains(string(text), fmt.Sprintf("| `%s` | %s |", name, value)) {
			t.Errorf("docs/perf.md does not say that %s is %s", name, value)
		}
	}
}

func TestRunPerfRefuses(t *testing.T) {
	for _, tt := range []struct{ stdin, want string }{
		{"", "standard input"},
		{"{}", "no such file"},
		{`{"Plan": "long"}`, "standard input"},
	} {
		if err := RunPerf(t.Context(), strings.NewReader(tt.stdin), new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v", tt.stdin, err)
		}
	}
	r, plan := newTestReplay(t, nil)
	if _, err := newTuning(t.Context(), r, &memoryMeter{replay: r}, &perfSpec{Aim: "fame"}); err == nil || !strings.Contains(err.Error(), "fame") {
		t.Errorf("an aim that does not exist: %v", err)
	}
	plan.Sync++
	if err := r.measure(t.Context(), &memoryMeter{replay: r}, &plan, new(PerfRun), func() {}); err == nil {
		t.Error("half a synchronisation was measured")
	}
	for _, rows := range [][]string{{"network"}, {"cpu", "cpu"}} {
		if _, err := Perf(t.Context(), PerfOptions{Rounds: 1, Turns: 1, Rows: rows}); err == nil || !strings.Contains(err.Error(), rows[0]) {
			t.Errorf("rows %q: %v", rows, err)
		}
	}
	for _, o := range []PerfOptions{{Turns: 1}, {Rounds: 1}} {
		if _, err := Perf(t.Context(), o); err == nil || !strings.Contains(err.Error(), "are none") {
			t.Errorf("%d rounds of %d turns: %v", o.Rounds, o.Turns, err)
		}
	}
}

// A run that did something else is refused, and so is one that fails.
func TestRunsThatDoNotCompare(t *testing.T) {
	plan := quickWorkloads()[0].plan
	dir := t.TempDir()
	small, err := smallRecording()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(small.writeCoins(filepath.Join(dir, recordedCoins)), small.write(dir)); err != nil {
		t.Fatal(err)
	}
	b := &perfBench{o: PerfOptions{Program: program(t), Dir: t.TempDir(), Log: new(bytes.Buffer)}, recorded: dir, runs: 1, work: map[perfPlan]perfWork{plan: {Blocks: 1}}}
	if _, err := b.measure(t.Context(), "it", plan, nil, nil); err == nil || !strings.Contains(err.Error(), "do not compare") {
		t.Errorf("other work: %v", err)
	}
	if _, err := b.measure(t.Context(), "it", plan, nil, &perfAims[0]); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("nothing was learned: %v", err)
	}
	if err := os.MkdirAll(b.learned(perfAims[0].row), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := b.measure(t.Context(), "it", plan, nil, &perfAims[0]); err == nil || !strings.Contains(err.Error(), "resumed 0 times") {
		t.Errorf("nothing of what was learned is there: %v", err)
	}
	if _, err := b.measure(t.Context(), "it", plan, PerfSetting{"go.gogc": 7}, nil); err == nil || !strings.Contains(err.Error(), "go.gogc: 7 is not one of") {
		t.Errorf("a setting that cannot be: %v", err)
	}
	plan.Tip = plan.mostTipBlocks() // behind those before which nothing is measured
	if _, err := b.measure(t.Context(), "it", plan, nil, nil); err == nil || !strings.Contains(err.Error(), "the recording has") {
		t.Errorf("a plan that the recording is too short for: %v", err)
	}
}

func TestObserved(t *testing.T) {
	for _, tt := range []struct {
		took, anchor, allocations float64
		want                      string
	}{{3, 10, 0, "reaches"}, {11, 40, 0, "MISSES"}, {3, 7, 0, "MISSES"}, {3, 10, 1, "MISSES"}} {
		rep := &PerfReport{AllocationsPerObserve: tt.allocations}
		rep.Rows = []Row{lessIsBetter("observe", tt.took, "ns", "client_golang", tt.anchor)}
		if got := rep.observed(); !strings.Contains(got, tt.want+" to be at most 10 ns, and 0.4, with none") {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

// Those that are best by two turns have finals, which say which is.
func TestFinalists(t *testing.T) {
	run := func(cpu, read float64) *PerfRun {
		return &PerfRun{Figures: PerfFigures{CPU: cpu, ReadP90: read, Memory: 1}}
	}
	var swept []PerfTried
	for i, costs := range [][2]float64{{10, 9}, {11, 8}, {12, 1}, {9, 7}, {20, 2}, {30, 3}, {8, 10}} {
		cpu, read := costs[0], costs[1]
		swept = append(swept, PerfTried{Setting: PerfSetting{"go.gogc": int64(i)}, Run: run(cpu-2, read), Again: run(cpu+2, read)})
	}
	numbers := func(aims []perfAim) (got []int64) {
		for _, t := range finalists(swept, aims) {
			got = append(got, t.Setting["go.gogc"])
		}
		return got
	}
	if got := numbers(perfAims[:1]); !slices.Equal(got, []int64{0, 3, 6}) {
		t.Errorf("of cpu %v", got)
	}
	if got := numbers([]perfAim{perfAims[0], perfAims[2]}); !slices.Equal(got, []int64{0, 2, 3, 4, 5, 6}) {
		t.Errorf("of both %v", got)
	}
	tried := &swept[6]
	if a, b := tried.cost(perfAims[0].spent), (math.Log(6e-6)+math.Log(10e-6))/2; math.Abs(a-b) > 1e-9 {
		t.Errorf("the mean of two turns is %v, want %v", a, b)
	}
	tried.Finals = []*PerfRun{run(100, 1), run(400, 1)}
	if a, b := tried.cost(perfAims[0].spent), math.Log(200e-6); math.Abs(a-b) > 1e-9 {
		t.Errorf("the mean of the finals is %v, want %v", a, b)
	}
	swept = swept[:2]
	if got := numbers(perfAims[:1]); !slices.Equal(got, []int64{0, 1}) {
		t.Errorf("of two %v", got)
	}
}

// Improvements are told as they are: medians of rounds, with what they cost elsewhere.
func TestJudge(t *testing.T) {
	run := func(cpu float64, parts ...float64) *PerfRun {
		r := &PerfRun{Figures: PerfFigures{CPU: cpu, Memory: 2 * cpu, ReadP90: 1}}
		for i, v := range parts {
			r.Parts[i].CPU = v
		}
		return r
	}
	rep := &PerfReport{
		Intervals: make(map[string][2]float64), Best: map[string]PerfSetting{"cpu": {"go.gogc": 400}},
		Learned: map[string][]*PerfRun{"cpu": {{Decisions: map[string]int{"promoted": 7}, Regret: 0.0239}, {Decisions: map[string]int{"promoted": 2}}}},
		Runs: map[string][]*PerfRun{
			"before/cpu":   {run(100), run(200), run(100), run(100)},
			"static/cpu":   {run(90, 80, 100, 80), run(160, 80, 100, 80), run(100, 80, 100, 80), run(80, 80, 100, 80)},
			"perfcore/cpu": {run(45, 60, 110, 60), run(140, 60, 110, 60), run(70, 60, 110, 60), run(80, 60, 110, 60)},
		},
		Turns: 2,
	}
	for i, verdict := range []string{"recalled", "rejected", "calibrated", "confirmed"} {
		rep.Runs["perfcore/cpu"][i].Decisions = map[string]int{verdict: 1}
	}
	rep.judge(&perfAims[0])
	want := map[string][3]float64{ // median of the turns, least and greatest of the rounds
		"cpu": {30, 25, 42.5}, "cpu/static": {15, 10, 15}, "cpu/switching": {21.25, 15, 31.25}, "cpu/sync": {25, 25, 25}, "cpu/tip": {-10, -10, -10},
	}
	for _, row := range rep.Rows {
		w, in := want[row.Name], rep.Intervals[row.Name]
		for i, got := range []float64{row.Value, in[0], in[1]} {
			if math.Abs(got-w[i]) > 1e-9 {
				t.Errorf("%s is %v within %v, want %v", row.Name, row.Value, in, w)
				break
			}
		}
	}
	if len(rep.Rows) != len(want) {
		t.Errorf("rows %+v", rep.Rows)
	}
	if note := rep.Notes[0]; !strings.Contains(note, "30.0 % less, the median of 4 turns; from 25.0 to 42.5 in 2 rounds (the true median, with 50 %); reaches the original 23.5 %") ||
		!strings.Contains(note, "21.2 % below the best static setting (from 15.0 to 31.2 in its rounds), and reaches to be at most 5 % above by its median, reaches in each round, reaches in a synchronisation (25.0), MISSES at the tip (-10.0)") || !strings.Contains(note, "memory -25.0 %, database +0.0 %") || !strings.Contains(note, "learned, in each round: [7 2], and while") || !strings.Contains(note, "go.gogc=400") ||
		!strings.Contains(note, "In 2 of these 4 runs something was tried: in the others there is nothing of what experiments take, which was 2.4, 0.0 % of the cost") {
		t.Errorf("note %q", note)
	}
	rep.Rows = append(rep.Rows, plain("observe", 40, "ns"))
	var out strings.Builder
	if err := rep.WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	var table []string
	for line := range strings.Lines(out.String()) {
		table = append(table, strings.Join(strings.Fields(line), " "))
	}
	for _, want := range []string{
		"name value from to unit anchor ratio", "cpu 30.0 25.0 42.5 % less original figure 23.5 1.28", "cpu/switching 21.2 15.0 31.2 % less", "observe 40.0 ns",
	} {
		if !slices.Contains(table, want) {
			t.Errorf("there is no %q in\n%s", want, out.String())
		}
	}
	rep.Runs["perfcore/cpu"] = rep.Runs["static/cpu"]
	rep.Rows, rep.Notes = nil, nil
	if rep.judge(&perfAims[0]); !strings.Contains(rep.Notes[0], "MISSES the original") {
		t.Errorf("note %q", rep.Notes[0])
	}
	rep.Runs["static/cpu"], rep.Runs["perfcore/cpu"] = []*PerfRun{run(100), run(100), run(100), run(100)}, []*PerfRun{run(105), run(106), run(106), run(104)}
	rep.Rows, rep.Notes = nil, nil
	if rep.judge(&perfAims[0]); !strings.Contains(rep.Notes[0], "-5.5 % below the best static setting (from -5.5 to -5.0 in its rounds), and MISSES to be at most 5 % above by its median, MISSES in each round") {
		t.Errorf("note %q", rep.Notes[0])
	}
	rep.Runs["perfcore/cpu"] = []*PerfRun{run(105), run(106), run(103), run(104)}
	rep.Rows, rep.Notes = nil, nil
	if rep.judge(&perfAims[0]); !strings.Contains(rep.Notes[0], "reaches to be at most 5 % above by its median, MISSES in each round") {
		t.Errorf("note %q", rep.Notes[0])
	}
}

// What memory is due follows the settings at once, and what is given back is given back.
func TestDue(t *testing.T) {
	r, _ := newTestReplay(t, nil)
	knobs := collecting(r.knobs(new(perfPlan)))
	due := func(s PerfSetting) float64 {
		t.Helper()
		if err := s.apply(t.Context(), knobs); err != nil {
			t.Fatal(err)
		}
		outside, err := r.outside()
		if err != nil {
			t.Fatal(err)
		}
		return r.due(outside)
	}
	small := due(PerfSetting{"go.gogc": 50, "sigverify.cache": 1 << 20})
	if large := due(PerfSetting{"go.gogc": 400}); large < 1.5*small {
		t.Errorf("%.0f bytes are due where the heap may grow to five times what is live, and %.0f at half as much again", large, small)
	}
	if again := due(PerfSetting{"go.gogc": 50}); math.Abs(again/small-1) > 0.1 {
		t.Errorf("%.0f bytes are due again, and %.0f were before", again, small)
	}
	if err := (PerfSetting{"sigverify.cache": 64 << 20}).apply(t.Context(), knobs); err != nil {
		t.Fatal(err)
	}
	if err := r.follow(t.Context(), 2); err != nil { // which fills it
		t.Fatal(err)
	}
	runtime.GC() // else it is not known yet that this is live
	filled, small := due(nil), due(PerfSetting{"sigverify.cache": 1 << 20})
	if filled < small+16<<20 {
		t.Errorf("%.0f bytes are due with a cache of 64 MiB, and %.0f with one of 1 MiB", filled, small)
	}
	// Pebble fills its cache later than a slice can see, and memtables may take more than both have.
	few, most := due(PerfSetting{"coindb.memory": 1 << 20}), due(PerfSetting{"coindb.memory": 32 << 20})
	if least := float64(r.db.OffHeap()) - 16<<20; most-few < least {
		t.Errorf("%.0f bytes more are due where Pebble may take 32 MiB instead of 1, and it has read little", most-few)
	}
	due(PerfSetting{"coindb.memory": perfBefore["coindb.memory"]})
	// A cache of signatures that is empty takes nothing until the mempool fills it.
	none := due(PerfSetting{"sigverify.cache": 0})
	if empty := due(PerfSetting{"sigverify.cache": 64 << 20}); math.Abs(empty/filled-1) > 0.1 || none > small {
		t.Errorf("%.0f bytes are due with an empty cache of 64 MiB, %.0f with a full one, and %.0f without", empty, filled, none)
	}
}

func TestReadTimes(t *testing.T) {
	var r readTimes
	r.add(time.Second) // nobody measures yet
	if r.drain() != nil || r.drainSlice() != nil {
		t.Error("what was before is measured")
	}
	for i := range 100 {
		r.add(time.Duration(i+1) * time.Microsecond)
	}
	if got := p90(r.drainSlice()); got != 91e-6 {
		t.Errorf("the 90th percentile is %v", got)
	}
	r.add(time.Hour)
	if took := r.drain(); len(took) != 101 || took[100] != math.MaxUint32 {
		t.Errorf("%d times", len(took))
	}
	if p90(nil) != 0 {
		t.Error("nothing has a percentile")
	}
}

// The aims of the optimizer are costs that the sweep's winner is chosen by, too.
func TestAims(t *testing.T) {
	better, worse := PerfFigures{CPU: 1, Memory: 1e8, ReadP90: 1e-5}, PerfFigures{CPU: 2, Memory: 2e8, ReadP90: 2e-5}
	for i := range perfAims {
		aim := &perfAims[i]
		if err := aim.objective().Check(); err != nil {
			t.Error(err)
		}
		if aim.cost(better) >= aim.cost(worse) || aim.value(better) >= aim.value(worse) {
			t.Errorf("%s: what is better costs more", aim.row)
		}
		busier, larger := better, better
		busier.CPU *= 1.5
		larger.Memory *= 1.5
		if aim.cost(busier) <= aim.cost(better) || aim.cost(larger) <= aim.cost(better) {
			t.Errorf("%s: processor time or memory costs nothing", aim.row)
		}
	}
}

// The optimizer turns the knobs that the sweep turns, and no other.
func TestTurned(t *testing.T) {
	r, _ := newTestReplay(t, nil)
	turned := []string{"coindb.memory", "go.gogc"}
	tuning, err := newTuning(t.Context(), r, &memoryMeter{replay: r}, &perfSpec{Aim: "contrast", Turned: turned, Learned: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var its []string
	for _, k := range tuning.optimizer.Resources.Knobs() {
		if k.Owner == engine.Engine {
			its = append(its, k.Name)
		}
	}
	if slices.Sort(its); !slices.Equal(its, turned) {
		t.Errorf("the optimizer turns %v, want %v", its, turned)
	}
	for _, w := range perfWorkloads() {
		if got := slices.Contains(w.turned(), "sigverify.cache"); got != (w.name == usualWork) {
			t.Errorf("%s: the cache of signatures is turned: %v", w.name, got)
		}
	}
}
