package engine

import (
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// metrics are the optimizer's own.
type metrics struct {
	decisions map[perfcore.Verdict]*perfcore.Counter
	values    map[string]*perfcore.Gauge
	regret    *perfcore.Gauge
	budget    *perfcore.Gauge
	stalled   *perfcore.Gauge
	hanging   *perfcore.Gauge
}

func newMetrics(r perfcore.Recorder, knobs []KnobState) metrics {
	m := metrics{
		decisions: make(map[perfcore.Verdict]*perfcore.Counter),
		values:    make(map[string]*perfcore.Gauge),
		regret: r.Gauge(perfcore.Metric{
			Name: "outrider_perfcore_regret_ratio", Help: "The share of the cost so far that experiments have added.",
		}),
		budget: r.Gauge(perfcore.Metric{
			Name: "outrider_perfcore_budget_used_ratio", Help: "The share of their budget that experiments have spent: of its share (2 % by default) of all so far and of what a new program may spend, and of what promotions have saved.",
			Alert: perfcore.Alert{
				Name: "regret", Help: "Experiments have cost more than their budget.",
				Raise: 1.25, Clear: 1, For: time.Minute, Keep: 10 * time.Minute,
			},
		}),
	}
	m.stalled = r.Gauge(perfcore.Metric{
		Name: "outrider_perfcore_loop_stalled", Help: "1 while the optimizer's loop gives no sign, else 0.",
		Alert: perfcore.Alert{
			Name: "loop_stalled", Help: "The optimizer's loop gives no sign, for what it measures hangs. The incumbents are in force.",
			Keep: time.Minute,
		},
	})
	m.hanging = r.Gauge(perfcore.Metric{
		Name: "outrider_perfcore_knobs_hanging", Help: "Knobs of which a call has not returned in its time.",
		Alert: perfcore.Alert{
			Name: "knob_hangs", Help: "A knob does not return from being set or read. It is left alone, and the others are at their incumbents; perf knobs names it. When it does not come back, end the sidecar.",
			Keep: time.Minute,
		},
	})
	for v := perfcore.Promoted; v <= perfcore.Drifted; v++ {
		m.decisions[v] = r.Counter(perfcore.Metric{
			Name: "outrider_perfcore_decisions_total", Help: "Decisions of the optimizer, by verdict.",
			Labels: []string{"verdict", v.String()},
		})
	}
	for _, k := range knobs {
		m.values[k.Name] = r.Gauge(perfcore.Metric{
			Name: "outrider_perfcore_knob_value", Help: "The incumbent value of each knob, in its unit.",
			Labels: []string{"knob", k.Name},
		})
		m.values[k.Name].Set(float64(k.Incumbent))
	}
	return m
}
