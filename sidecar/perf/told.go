package perf

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// prefix begins the name of every metric of the program. Without it, that of a told
// one is the name of the quantity.
const prefix = "outrider_"

// These are quantities about the optimizer.
const (
	missedTargets  = "perf_targets_missed"
	isolatedKnobs  = "perf_knobs_isolated"
	driftedKnobs   = "perf_knobs_drifted"
	abortedLately  = "perf_trials_aborted"
	abortedWithin  = time.Hour
	budgetUsed     = "perfcore_budget_used_ratio"
	miscalibrated  = "perf_miscalibrated"
	optimizerEnded = "perf_optimizer_ended"
	anomalies      = "perf_anomalies"
	badSnapshots   = "perf_snapshot_invalid"
	badWithin      = time.Hour
	regimeChanges  = "perf_regime_changes"
	knobTurns      = "perf_knob_turns"
)

// toldMetrics returns what a slice measures that no part of the program records, and
// that /metrics tells of: what alerts look at, and what explains it.
func toldMetrics() []perfcore.Metric {
	const (
		processors = "Processors"
		pressure   = "Time waiting"
		optimizer  = "Optimizer"
	)
	metrics := []perfcore.Metric{
		{
			Name: prefix + workRate, Help: "Units of work done in a second: inputs decided for blocks, transactions of the mempool that were verified, and commitments of BitVM claims that were judged.",
		},
		{
			Name: prefix + behind, Help: "Blocks of the node's chain that are not judged yet.",
			Alert: perfcore.Alert{
				Name: "behind", Help: "The sidecar has been blocks behind its node for minutes.",
				Raise: 5, Clear: 1, For: 5 * time.Minute, Keep: time.Minute,
			},
		},
		{
			Name: prefix + mempoolLoad + "_forecast_skill",
			Help: "By how much of persistence's error that of the forecast of the mempool's load is smaller; the forecast is silent while it loses.",
		},
		{
			Name: prefix + rpcLoad, Help: "Requests in a second that the sidecar serves, and makes of its node; many of them are a regime.",
		},
		{
			Name: prefix + rpcLoad + "_forecast_skill",
			Help: "By how much of persistence's error that of the forecast of requests is smaller; the forecast is silent while it loses.",
		},
		{
			Name: prefix + l2Load, Help: "Exchanges in a second with the nodes of the L2; many of them are a regime.",
		},
		{
			Name: prefix + nodeMissing, Help: "1 while no node is followed, else 0.",
			Alert: perfcore.Alert{
				Name: "node_missing", Help: "No node is followed: no block is judged; the log says what the node answers.",
				For: 2 * time.Minute, Urgent: true,
			},
		},
		{Name: prefix + "process_cpu_ratio", Help: "Share of the processor time that the process may use and does.", Panel: processors},
		{Name: prefix + "machine_idle_ratio", Help: "Share of the machine's processor time that nobody used.", Panel: processors},
		{Name: prefix + "machine_steal_ratio", Help: "Share of the machine's processor time that others on its host took.", Panel: processors},
		{
			Name: prefix + "group_throttled_ratio", Help: "Share of the time in which the control group held the process back.",
			Alert: perfcore.Alert{
				Name: "cpu_throttled", Help: "The control group holds the process back: give it more processor time.",
				Raise: 0.25, Clear: 0.10, For: time.Minute, Keep: 5 * time.Minute,
			},
		},
		{
			Name: prefix + "go_gc_cpu_ratio", Help: "Share of the processor time that the garbage collector took, in the last slice that saw it run.",
			Alert: perfcore.Alert{
				Name: "gc_pressure", Help: "The garbage collector takes a large share of the processors: give Go more memory.",
				Raise: 0.25, Clear: 0.15, For: time.Minute, Keep: 5 * time.Minute,
			},
		},
		{Name: prefix + "go_sched_latency_p99_seconds", Help: "Time that goroutines were ready and did not run, its 99th percentile."},
		{Name: prefix + "memory_limit_bytes", Help: "Memory that the process may use: memory-limit, or what the tightest control group around it or the machine has, whichever is least."},
		{Name: prefix + "memory_ratio", Help: "Memory that the process has in no file, swapped out or not, as a share of what it may use."},
		{
			Name: prefix + memoryPressure, Help: "How full the memory is that the process may use, or how far a part exceeds its lease that is late with giving memory back.",
			Alert: perfcore.Alert{
				Name: "memory_pressure",
				Help: "The process is close to the memory that it may use, or a part does not give back what it was told to: outrider perf curves says which; lower utxo-bytes, or raise memory-limit if there is more.",
				// The garbage collector lets 0.92 be used, and 0.96 while it would do nothing
				// else (perfcore/heap).
				Raise: 0.96, Clear: 0.94, For: 30 * time.Second, Keep: 2 * time.Minute,
			},
		},
		{Name: prefix + "pressure_cpu_some_ratio", Help: "Share of the time in which some tasks waited for a processor.", Panel: pressure},
		{Name: prefix + "pressure_io_some_ratio", Help: "Share of the time in which some tasks waited for disks.", Panel: pressure},
		{
			Name: prefix + "pressure_memory_full_ratio", Help: "Share of the time in which all tasks waited for memory.", Panel: pressure,
			Alert: perfcore.Alert{
				Name: "memory_stall", Help: "Tasks wait for memory: the machine or the control group has too little.",
				Raise: 0.10, Clear: 0.02, For: 30 * time.Second, Keep: 2 * time.Minute,
			},
		},
		{
			Name: prefix + missedTargets, Help: "Resources that miss their targets.", Panel: optimizer,
			Alert: perfcore.Alert{
				Name: "target_missed", Help: "A resource misses its target: outrider perf status says which.",
				For: 2 * time.Minute, Keep: 2 * time.Minute,
			},
		},
		{
			Name: prefix + isolatedKnobs, Help: "Knobs that the optimizer leaves alone because somebody else moved them, or they fail.", Panel: optimizer,
			Alert: perfcore.Alert{
				Name: "knob_isolated", Help: "Somebody else moved a knob, or it fails: outrider perf knobs says which; release gives it back.",
			},
		},
		{
			Name: prefix + driftedKnobs, Help: "Knobs of an operator that are not what they were set to, because somebody else moved them.", Panel: optimizer,
			Alert: perfcore.Alert{
				Name: "knob_drift", Help: "Somebody else moved a knob that an operator has set: outrider perf knobs says which; pin sets it again.",
			},
		},
		{
			Name: prefix + abortedLately, Help: "Trials that guards have stopped within the last hour.", Panel: optimizer,
			Alert: perfcore.Alert{
				Name: "trials_aborted", Help: "Guards have stopped many trials within an hour.",
				Raise: 4, Clear: 1, Keep: 10 * time.Minute,
			},
		},
		{
			Name: prefix + miscalibrated, Help: "1 while experiments are off because the incumbent was found different from itself, else 0.", Panel: optimizer,
			Alert: perfcore.Alert{
				Name: "miscalibrated", Help: "The incumbent was found different from itself: experiments are off until it is not.",
			},
		},
		{
			Name: prefix + badSnapshots, Help: "1 for an hour after a snapshot was found that does not verify, else 0.", Panel: optimizer,
			Alert: perfcore.Alert{
				Name: "snapshot_invalid", Help: "A snapshot of the knobs does not verify, and was left out: its file or the memory is damaged; the log and outrider perf snap verify say which.",
			},
		},
		{
			Name: prefix + regimeChanges, Help: "Changes of the regime within the last half hour; that a block is at hand is none.", Panel: optimizer,
			Alert: perfcore.Alert{
				Name: "regime_flap", Help: "The regime changes to and fro, and each time ends a trial: the load lies at a threshold of its rules.",
				Raise: 8, Clear: 4, Keep: 5 * time.Minute,
			},
		},
		{
			Name: prefix + knobTurns, Help: "How often the knob that turned most has changed its direction, in its last twenty changes within a day.", Panel: optimizer,
			Alert: perfcore.Alert{
				Name: "oscillation", Help: "A knob goes up and down by evidence: the load changes faster than it is measured; outrider perf decisions says which, and pin holds it.",
				Raise: 3, Clear: 2, Keep: 10 * time.Minute,
			},
		},
		{
			Name: prefix + optimizerEnded, Help: "1 when the optimizer has ended by an error, else 0.", Panel: optimizer,
			Alert: perfcore.Alert{
				Name: "optimizer_ended", Help: "The optimizer has ended by an error; the incumbents are in force, and nothing is tried any more.",
			},
		},
	}
	for _, quantity := range slices.Sorted(maps.Keys(watched)) {
		metrics = append(metrics, anomalyOf(quantity))
	}
	return metrics
}

// anomalyOf returns the metric that says whether a watched quantity is an anomaly. The
// quantity of the slice has its name behind that of anomalies.
func anomalyOf(quantity string) perfcore.Metric {
	return perfcore.Metric{
		Name: prefix + anomalies, Help: "1 while a quantity has left the range in which it usually is, else 0.", Panel: "Optimizer",
		Labels: []string{"quantity", quantity},
		Alert: perfcore.Alert{
			Name: "anomaly", Help: "A quantity has left the range in which it usually is: outrider perf status says which.",
			Keep: 2 * time.Minute,
		},
	}
}

// told are the gauges of what is told, by quantity.
type told map[string]*perfcore.Gauge

// newTold returns gauges that are not a number until something is measured.
func newTold(rec perfcore.Recorder) told {
	t := make(told)
	for _, m := range toldMetrics() {
		gauge := rec.Gauge(m)
		gauge.Set(math.NaN())
		t[toldAs(m)] = gauge
	}
	return t
}

// toldAs returns the quantity that a told metric tells of.
func toldAs(m perfcore.Metric) string {
	if len(m.Labels) > 0 {
		return quantityOf(m)
	}
	return strings.TrimPrefix(m.Name, prefix)
}

// tell tells of the quantities of a slice. Of one that was not measured, the last
// value stands.
func (t told) tell(values map[string]float64) {
	for quantity, gauge := range t {
		if v, measured := values[quantity]; measured {
			gauge.Set(v)
		}
	}
}

// others returns the series that are not t's own, nor what other processes tell of: what is
// told of a slice is not measured again in the next.
func (t told) others(series []perfcore.Series) []perfcore.Series {
	var list []perfcore.Series
	for _, s := range series {
		if t[toldAs(s.Metric)] == nil && s.Metric.Name != outsideName {
			list = append(list, s)
		}
	}
	return list
}
