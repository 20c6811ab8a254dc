package collect_test

import (
	"bytes"
	"log/slog"
	"math"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/regime"
)

// A Collector is what the optimizer asks for.
var _ engine.MetricsCollector = (*collect.Collector)(nil)

// A dial is a source that shows what it is told to.
type dial struct {
	values  map[string]float64
	missing []string
	alarm   string
	begun   int
}

func (d *dial) Begin()            { d.begun++ }
func (d *dial) Missing() []string { return d.missing }
func (d *dial) Alarm() string     { return d.alarm }
func (d *dial) End(s *collect.Slice) {
	for name, v := range d.values {
		s.Set(name, v)
	}
}

func objective() collect.Objective {
	return collect.Objective{
		Terms: []collect.Term{
			{Quantity: "process_cpu_cores", Weight: 0.75, PerWork: true, Floor: 1e-6},
			{Quantity: "block_p90", Weight: 0.25, Floor: 0.001},
		},
		Work: "signatures_per_second", MinWork: 50,
		Void: []collect.Limit{{Quantity: "machine_steal_ratio", Above: 0.05, Why: "a neighbour took the processor"}},
		Uses: map[perfcore.ResourceType]collect.Use{
			perfcore.CPU:      {Utilization: "process_cpu_ratio", Throughput: "signatures_per_second"},
			perfcore.Database: {Latency: "get_p90"},
			perfcore.Disk:     {Utilization: "nobody_knows"},
		},
	}
}

func TestObjective(t *testing.T) {
	const n = "signatures_per_second"
	good := map[string]float64{n: 100, "process_cpu_cores": 2, "block_p90": 0.5, "process_cpu_ratio": 0.25, "get_p90": 0.02, "machine_steal_ratio": 0.01}
	cost := 0.75*math.Log(0.02) + 0.25*math.Log(0.5)
	for _, tt := range []struct {
		name   string
		change map[string]float64 // not a number takes away
		cost   float64
		void   string
	}{
		{"as it is", nil, cost, ""},
		{"twice the load at the same cost each", map[string]float64{n: 200, "process_cpu_cores": 4}, cost, ""},
		{"a tenth more of the processor", map[string]float64{"process_cpu_cores": 2.2}, cost + 0.75*math.Log(1.1), ""},
		{"below the floor", map[string]float64{"block_p90": 0}, 0.75*math.Log(0.02) + 0.25*math.Log(0.001), ""},
		{"little work", map[string]float64{n: 4}, 0.75*math.Log(0.5) + 0.25*math.Log(0.5), "only 40 units"},
		{"no work at all is the engine's to judge", map[string]float64{n: 0}, math.Inf(1), ""},
		{"steal", map[string]float64{"machine_steal_ratio": 0.06}, cost, "neighbour"},
		{"no steal known", map[string]float64{"machine_steal_ratio": math.NaN()}, cost, ""},
		{"no work known", map[string]float64{n: math.NaN()}, 0, "signatures_per_second was not measured"},
		{"a term is missing", map[string]float64{"block_p90": math.NaN()}, 0.75 * math.Log(0.02), "block_p90 was not measured"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := collect.Slice{Length: 10 * time.Second}
			for name, v := range good {
				if changed, ok := tt.change[name]; ok {
					v = changed
				}
				s.Set(name, v)
			}
			o := objective()
			o.MinWork = 50
			got := o.Sample(&s)
			if math.Abs(got.Cost-tt.cost) > 1e-12 || !strings.Contains(got.Void, tt.void) || (got.Void == "") != (tt.void == "") {
				t.Errorf("cost %v, void %q; want %v, %q", got.Cost, got.Void, tt.cost, tt.void)
			}
			if tt.void == "neighbour" {
				if got.Usage != nil {
					t.Errorf("a neighbour took the processor, and resources are used by %+v", got.Usage)
				}
				return
			}
			if u := got.Usage[perfcore.CPU]; u.Utilization != 0.25 {
				t.Errorf("usage %+v", got.Usage)
			}
			if u := got.Usage[perfcore.Database]; u.Latency != 20*time.Millisecond {
				t.Errorf("usage %+v", got.Usage)
			}
			if _, ok := got.Usage[perfcore.Disk]; ok {
				t.Error("the disk's usage was made up")
			}
		})
	}
}

func TestCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		a := &dial{values: map[string]float64{"signatures_per_second": 10, "process_cpu_cores": 1}, missing: []string{"the weather"}}
		b := &dial{values: map[string]float64{"block_p90": 1}}
		c, err := collect.New(collect.Config{
			Sources: []collect.Source{a, b}, Objective: objective(), Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(log.String(), "the weather") != 1 {
			t.Errorf("what is missing is not said once: %s", &log)
		}
		c.Begin()
		time.Sleep(10 * time.Second)
		if s := c.Collect(); s.Void != "" || math.Abs(s.Cost-0.75*math.Log(0.1)) > 1e-12 || s.Work != 10 {
			t.Errorf("sample %+v", s)
		}
		if s := c.Slice(); s.Length != 10*time.Second {
			t.Errorf("a slice of %v", s.Length)
		}
		// A slice does not inherit from the one before.
		b.values = nil
		c.Begin()
		time.Sleep(10 * time.Second)
		if s := c.Collect(); s.Void == "" || a.begun != 2 {
			t.Errorf("sample %+v after %d begins", s, a.begun)
		}
		if c.Alarm() != "" {
			t.Errorf("alarm %q", c.Alarm())
		}
		if b.alarm = "it burns"; c.Alarm() != "it burns" {
			t.Errorf("alarm %q", c.Alarm())
		}
	})
	for _, cfg := range []collect.Config{
		{Objective: objective()},
		{Sources: []collect.Source{new(dial)}},
		{Sources: []collect.Source{new(dial)}, Objective: collect.Objective{Work: "w", Terms: []collect.Term{{Quantity: "q", Weight: 1}}}},
	} {
		if _, err := collect.New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

// Every slice is shown to the classifier, whose changes the optimizer can count.
func TestCollectorRegime(t *testing.T) {
	classifier, err := regime.New(regime.Config{Dwell: 1})
	if err != nil {
		t.Fatal(err)
	}
	d := &dial{values: map[string]float64{"chain_blocks_behind": 10}}
	c, err := collect.New(collect.Config{Sources: []collect.Source{d}, Objective: objective(), Classifier: classifier})
	if err != nil {
		t.Fatal(err)
	}
	var counter engine.RegimeCounter = c
	before, changes := counter.Regime(), counter.Changes()
	c.Begin()
	c.Collect()
	if got := counter.Regime(); before != regime.TipIdle || got != regime.CatchUp || counter.Changes() == changes {
		t.Errorf("regimes %q, then %q, %d changes and then %d", before, got, changes, counter.Changes())
	}
}

func TestInstruments(t *testing.T) {
	timer, counter, gauge := new(perfcore.Timer), new(perfcore.Counter), new(perfcore.Gauge)
	in := &collect.Instruments{
		Timers:   map[string]*perfcore.Timer{"get": timer, "idle": new(perfcore.Timer), "off": nil},
		Counters: map[string]*perfcore.Counter{"blocks_per_second": counter},
		Gauges:   map[string]*perfcore.Gauge{"queue": gauge},
	}
	for range 1000 { // before the slice: none of it may show
		timer.Observe(time.Hour)
	}
	counter.Add(7)
	in.Begin()
	for i := range 100 {
		timer.Observe(time.Duration(i+1) * time.Millisecond)
	}
	counter.Add(30)
	gauge.Set(5)
	s := collect.Slice{Length: 10 * time.Second}
	in.End(&s)
	for name, want := range map[string][2]float64{
		"get_per_second": {10, 10}, "get_mean": {0.05049, 0.05051}, "get_p50": {0.05, 0.05625}, "get_p90": {0.09, 0.10125},
		"get_p99": {0.099, 0.1114}, "blocks_per_second": {3, 3}, "queue": {5, 5}, "idle_per_second": {0, 0}, "off_per_second": {0, 0},
	} {
		if got, ok := s.Value(name); !ok || got < want[0] || got > want[1] {
			t.Errorf("%s = %v, %v; want %v", name, got, ok, want)
		}
	}
	for _, name := range []string{"idle_p50", "off_mean"} {
		if v, ok := s.Value(name); ok {
			t.Errorf("%s = %v of nothing", name, v)
		}
	}
}

var sink [][]byte

func TestRuntime(t *testing.T) {
	// Whatever the environment says.
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(math.MaxInt64))
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	r := collect.NewRuntime()
	if m := r.Missing(); m != nil {
		t.Errorf("missing %q", m)
	}
	runtime.GC()
	r.Begin()
	for range 100 {
		sink = append(sink, make([]byte, 1<<20))
	}
	done := make(chan struct{})
	go func() { close(done) }()
	<-done
	runtime.GC()
	s := collect.Slice{Length: time.Second}
	r.End(&s)
	runtime.KeepAlive(sink)
	sink = nil
	for name, least := range map[string]float64{
		"go_heap_live_bytes": 100 << 20, "go_heap_goal_bytes": 100 << 20, "go_heap_objects_bytes": 100 << 20, "go_memory_bytes": 100 << 20,
		"go_allocated_bytes_per_second": 100 << 20, "go_gc_cycles_per_second": 1, "go_gc_cpu_ratio": 0, "go_goroutines": 2,
		"go_gc_percent": 1, "go_sched_latency_p99_seconds": 0,
	} {
		if v, ok := s.Value(name); !ok || v < least || v > 1e12 {
			t.Errorf("%s = %v, %v; want at least %v", name, v, ok, least)
		}
	}
	if v, _ := s.Value("go_gc_cpu_ratio"); v > 1 {
		t.Errorf("%v of the processor time was the collector's", v)
	}
	if v, ok := s.Value("go_memory_limit_bytes"); ok {
		t.Errorf("a memory limit of %v was made up", v)
	}
	for range 5 { // what was before a slice does not show in it
		r.Begin()
		s = collect.Slice{Length: time.Second}
		r.End(&s)
	}
	if v, ok := s.Value("go_allocated_bytes_per_second"); !ok || v > 50<<20 {
		t.Errorf("%v bytes a second in an empty slice", v)
	}
}

func BenchmarkRuntime(b *testing.B) {
	r := collect.NewRuntime()
	for b.Loop() {
		r.Begin()
		r.End(&collect.Slice{Length: time.Second})
	}
}

// A slice has a burst in it while bursts are seldom, and no longer when there is one in most.
func TestBursts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dial{values: map[string]float64{"signatures_per_second": 100, "process_cpu_cores": 1, "block_p90": 1}}
		o := objective()
		o.Bursts = []collect.Limit{{Quantity: "compacting", Why: "tables were compacted"}}
		c, err := collect.New(collect.Config{Sources: []collect.Source{d}, Objective: o})
		if err != nil {
			t.Fatal(err)
		}
		slice := func(compacting float64) bool {
			d.values["compacting"] = compacting
			c.Begin()
			time.Sleep(10 * time.Second)
			s := c.Collect()
			if s.Void != "" || s.Burst != "" && s.Burst != "tables were compacted" {
				t.Fatalf("void %q, burst %q", s.Void, s.Burst)
			}
			return s.Burst != ""
		}
		if slice(math.NaN()) {
			t.Error("a burst where nothing was measured")
		}
		for i := range 2000 { // one slice in five
			running := 0.0
			if i%10 < 2 {
				running = 1
			}
			if slice(running) != (running > 0) {
				t.Fatalf("slice %d, with %v compactions: the burst is wrong", i, running)
			}
		}
		for range 500 {
			slice(2)
		}
		if slice(2) {
			t.Error("there is a burst in each slice, and they are called seldom")
		}
		for range 500 {
			slice(0)
		}
		if !slice(2) {
			t.Error("bursts have become seldom again, and are none")
		}
	})
}
