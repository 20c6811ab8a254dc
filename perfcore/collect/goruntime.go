package collect

import (
	"math"
	"runtime"
	"runtime/metrics"
)

// The runtime's own names. The processor's classes are brought up to date by
// the collector of garbage only, so a slice without a cycle sees none of them.
const (
	heapLive     = "/gc/heap/live:bytes"
	heapGoal     = "/gc/heap/goal:bytes"
	heapObjects  = "/memory/classes/heap/objects:bytes"
	heapReleased = "/memory/classes/heap/released:bytes"
	memoryTotal  = "/memory/classes/total:bytes"
	memoryLimit  = "/gc/gomemlimit:bytes"
	percent      = "/gc/gogc:percent"
	allocated    = "/gc/heap/allocs:bytes"
	cycles       = "/gc/cycles/total:gc-cycles"
	cpuGC        = "/cpu/classes/gc/total:cpu-seconds"
	cpuTotal     = "/cpu/classes/total:cpu-seconds"
	goroutines   = "/sched/goroutines:goroutines"
	latencies    = "/sched/latencies:seconds"
)

// levels are what the runtime says at the end of a slice, and rates what grew
// over it.
var (
	levels = map[string]string{
		heapLive: "go_heap_live_bytes", heapGoal: "go_heap_goal_bytes", heapObjects: "go_heap_objects_bytes",
		memoryLimit: "go_memory_limit_bytes", percent: "go_gc_percent", goroutines: "go_goroutines",
	}
	rates = map[string]string{
		allocated: "go_allocated_bytes_per_second", cycles: "go_gc_cycles_per_second",
	}
)

// A Runtime is the source for the Go runtime: go_heap_live_bytes,
// go_heap_goal_bytes, go_heap_objects_bytes, go_memory_bytes (mapped and not
// released), go_memory_limit_bytes (GOMEMLIMIT; absent when there is none),
// go_gc_percent (GOGC; absent when it is off), go_goroutines,
// go_allocated_bytes_per_second, go_gc_cycles_per_second, go_gc_cpu_ratio (of
// the processor time that GOMAXPROCS allows), and the time that goroutines were
// ready and did not run, go_sched_latency_p50_seconds and
// go_sched_latency_p99_seconds.
type Runtime struct {
	now    []metrics.Sample
	before map[string]float64
	waits  []uint64 // of the latency histogram, at the slice's begin
}

// NewRuntime returns a source that has begun no slice.
func NewRuntime() *Runtime {
	r := &Runtime{before: make(map[string]float64)}
	for _, name := range []string{
		heapLive, heapGoal, heapObjects, heapReleased, memoryTotal, memoryLimit, percent, allocated, cycles,
		cpuGC, cpuTotal, goroutines, latencies,
	} {
		r.now = append(r.now, metrics.Sample{Name: name})
	}
	return r
}

// Missing implements Source: a runtime other than the one that this was written
// for may lack a metric.
func (r *Runtime) Missing() []string {
	metrics.Read(r.now)
	var missing []string
	for _, s := range r.now {
		if s.Value.Kind() == metrics.KindBad {
			missing = append(missing, "this Go runtime ("+runtime.Version()+") has no metric "+s.Name)
		}
	}
	return missing
}

// number returns the value of a sample that is one.
func number(s metrics.Sample) (float64, bool) {
	switch s.Value.Kind() {
	case metrics.KindUint64:
		return float64(s.Value.Uint64()), true
	case metrics.KindFloat64:
		return s.Value.Float64(), true
	}
	return 0, false
}

// Begin implements Source.
func (r *Runtime) Begin() {
	metrics.Read(r.now)
	for _, s := range r.now {
		if v, ok := number(s); ok {
			r.before[s.Name] = v
		} else if s.Value.Kind() == metrics.KindFloat64Histogram {
			r.waits = append(r.waits[:0], s.Value.Float64Histogram().Counts...)
		}
	}
}

// End implements Source.
func (r *Runtime) End(s *Slice) {
	metrics.Read(r.now)
	grown := make(map[string]float64)
	at := make(map[string]float64)
	for _, m := range r.now {
		if m.Value.Kind() == metrics.KindFloat64Histogram {
			h := m.Value.Float64Histogram()
			s.Set("go_sched_latency_p50_seconds", quantile(h, r.waits, 0.5))
			s.Set("go_sched_latency_p99_seconds", quantile(h, r.waits, 0.99))
			continue
		}
		v, ok := number(m)
		if !ok {
			continue
		}
		at[m.Name], grown[m.Name] = v, v-r.before[m.Name]
		if name, ok := levels[m.Name]; ok && v < math.MaxInt64 { // larger ones stand for none
			s.Set(name, v)
		}
		if name, ok := rates[m.Name]; ok {
			s.SetRate(name, r.before[m.Name], v)
		}
	}
	s.Set("go_memory_bytes", at[memoryTotal]-at[heapReleased])
	if grown[cpuTotal] > 0 {
		s.Set("go_gc_cpu_ratio", grown[cpuGC]/grown[cpuTotal])
	}
}

// quantile returns an upper bound of the q-quantile of what h counts beyond
// before; not a number when that is nothing.
func quantile(h *metrics.Float64Histogram, before []uint64, q float64) float64 {
	var total uint64
	count := func(i int) uint64 {
		if len(before) != len(h.Counts) {
			return h.Counts[i]
		}
		return h.Counts[i] - before[i]
	}
	for i := range h.Counts {
		total += count(i)
	}
	if total == 0 {
		return math.NaN()
	}
	rank := uint64(math.Ceil(q * float64(total)))
	var seen uint64
	for i := range h.Counts {
		if seen += count(i); seen >= rank {
			if end := h.Buckets[i+1]; !math.IsInf(end, 0) {
				return end
			}
			return h.Buckets[i]
		}
	}
	return math.NaN()
}
