package perf

import (
	"runtime"
	"slices"
	"strings"

	"github.com/outrider-project/outrider/bitvm/claim"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
	"github.com/outrider-project/outrider/perfcore/regime"
)

// latencyQuantile is the quantile of latencies that targets can be set for.
const latencyQuantile = 0.9

// objective is what the sidecar lowers: the processor time that a unit of work
// costs, and while it is behind its node also the time itself, as though every
// processor were in use. A unit of work is an input that was decided for a block, a
// transaction of the mempool that was verified, or a commitment of a BitVM claim that was
// read, whose signature costs about as much; what was refused is none.
func objective() collect.Objective {
	return collect.Objective{
		Terms: []collect.Term{{Quantity: effortCores, Weight: 1, PerWork: true, Floor: 1e-9}},
		Work:  workRate,
		// With fewer, what a slice costs is not the work's doing: see docs/perf.md.
		MinWork: 20,
		Void: append(elasticLimits(),
			collect.Limit{Quantity: "machine_steal_ratio", Above: 0.05, Why: "a neighbour on the machine took processor time"},
			collect.Limit{Quantity: "group_throttled_ratio", Above: 0.05, Why: "the control group held the process back"},
		),
		Bursts: Bursts(),
		Uses: map[perfcore.ResourceType]collect.Use{
			perfcore.CPU:      {Utilization: "process_cpu_ratio", Throughput: workRate},
			perfcore.Memory:   {Utilization: "memory_ratio"},
			perfcore.Disk:     {Utilization: "pressure_io_some_ratio"},
			perfcore.Database: {Latency: databaseP90},
			perfcore.Network:  {Throughput: networkRate, Latency: networkP90},
			perfcore.Cache:    {Utilization: cacheUsed, Throughput: cacheRate, Latency: cacheP90},
			claim.Resource():  {Throughput: claimRate, Latency: claimP90},
		},
	}
}

// Bursts returns what tells that the coin database compacted, in quantities of
// Instruments. A compaction takes a processor, and the caches, for as long as it runs; when
// that is follows from what blocks have written since the last one.
func Bursts() []collect.Limit {
	const why = "coins on disk were compacted"
	return []collect.Limit{{Quantity: "coindb_compactions_per_second", Why: why}, {Quantity: "coindb_compacting", Why: why}}
}

// quiet are the regimes in which nothing is tried.
var quiet = []string{regime.TipBlock}

// timed are the regimes in which time is in the cost.
var timed = []string{regime.InitialSync, regime.CatchUp}

// These are quantities that the sidecar itself sets.
const (
	workRate    = "work_per_second"
	effortCores = "effort_cores"
	behind      = "chain_blocks_behind"
)

// predicted are the loads that are forecast by the hour of the day: the transactions of
// the mempool, and requests.
var predicted = []string{mempoolLoad, rpcLoad}

const mempoolLoad = "mempool_verified_per_second"

// workCounters are the counters whose sum is the work, by name.
var workCounters = []string{"outrider_blockval_inputs_total", "outrider_mempool_verified_total", "outrider_bitvm_commitments_total"}

// A workload is the source for the work that is done, what it costs, and how far
// the sidecar is behind its node. It stands behind the source of
// process_cpu_cores.
type workload struct {
	counters []*perfcore.Counter
	behind   func() (blocks float64, known bool)
	regime   func() string
	from     uint64
}

// newWorkload returns the source over the counters that are among series.
func newWorkload(series []perfcore.Series, behind func() (float64, bool), regime func() string) *workload {
	w := &workload{behind: behind, regime: regime}
	for _, s := range series {
		for _, name := range workCounters {
			if s.Counter != nil && s.Metric.Name == name {
				w.counters = append(w.counters, s.Counter)
			}
		}
	}
	return w
}

func (w *workload) done() (sum uint64) {
	for _, c := range w.counters {
		sum += c.Value()
	}
	return sum
}

// Begin implements collect.Source.
func (w *workload) Begin() { w.from = w.done() }

// End implements collect.Source.
func (w *workload) End(s *collect.Slice) {
	s.SetRate(workRate, float64(w.from), float64(w.done()))
	if blocks, known := w.behind(); known {
		s.Set(behind, blocks)
	}
	cores, measured := s.Value("process_cpu_cores")
	if !measured {
		return
	}
	if slices.Contains(timed, w.regime()) {
		cores += float64(runtime.GOMAXPROCS(0))
	}
	s.Set(effortCores, cores)
}

// Missing implements collect.Source.
func (*workload) Missing() []string { return nil }

// Instruments returns the source for everything that the program records of
// itself: Pebble, ristretto and the node are among it.
func Instruments(series []perfcore.Series) *collect.Instruments {
	in := &collect.Instruments{
		Timers:   make(map[string]*perfcore.Timer),
		Counters: make(map[string]*perfcore.Counter),
		Gauges:   make(map[string]*perfcore.Gauge),
	}
	for _, s := range series {
		name := quantityOf(s.Metric)
		switch {
		case s.Timer != nil:
			in.Timers[name] = s.Timer
		case s.Counter != nil:
			in.Counters[name+"_per_second"] = s.Counter
		case s.Gauge != nil:
			in.Gauges[name] = s.Gauge
		}
	}
	return in
}

// quantityOf returns the name of a series as a quantity: the metric's without
// prefix, _total and _seconds, and the values of its labels.
func quantityOf(m perfcore.Metric) string {
	name := strings.TrimPrefix(m.Name, prefix)
	name = strings.TrimSuffix(strings.TrimSuffix(name, "_total"), "_seconds")
	for i := 1; i < len(m.Labels); i += 2 {
		name += "_" + strings.Map(func(r rune) rune {
			switch {
			case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
				return r
			case r >= 'A' && r <= 'Z':
				return r - 'A' + 'a'
			}
			return '_'
		}, m.Labels[i])
	}
	return name
}
