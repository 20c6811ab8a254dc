package endpoint

import (
	"strings"

	"github.com/outrider-project/outrider/perfcore"
)

// instruments are the metrics of a pool.
type instruments struct{ hedges, unconfirmed *perfcore.Counter }

func newInstruments(rec perfcore.Recorder, layer string) *instruments {
	counter := func(name, help string) *perfcore.Counter {
		return rec.Counter(perfcore.Metric{Name: name, Help: help, Labels: []string{"layer", layer}})
	}
	return &instruments{
		hedges:      counter("outrider_bob_rpc_hedges_total", "Reads that were asked at a second endpoint because the first was slow."),
		unconfirmed: counter("outrider_bob_rpc_unconfirmed_total", "Reads that an endpoint answered with null, and that too few others answered to be sure."),
	}
}

// nodePerf are the metrics of one endpoint.
type nodePerf struct {
	class    map[class]*perfcore.Timer
	failures map[Kind]*perfcore.Counter
	bytes    *perfcore.Counter
	queued   *perfcore.Gauge
	resting  *perfcore.Gauge
	wrong    *perfcore.Gauge
}

// node returns the metrics of an endpoint. Its name is the operator's and has a form that
// no address has.
func (*instruments) node(rec perfcore.Recorder, layer, name string) *nodePerf {
	labels := func(more ...string) []string {
		return append([]string{"layer", layer, "endpoint", name}, more...)
	}
	p := &nodePerf{
		class:    make(map[class]*perfcore.Timer, len(classes)),
		failures: make(map[Kind]*perfcore.Counter, len(Kinds)),
		bytes: rec.Counter(perfcore.Metric{
			Name: "outrider_bob_rpc_bytes_total", Help: "Bytes of answers from an endpoint.", Labels: labels(),
		}),
		queued: rec.Gauge(perfcore.Metric{
			Name: "outrider_bob_rpc_queued", Help: "Callers that wait for their turn at an endpoint.", Labels: labels(),
		}),
		resting: rec.Gauge(perfcore.Metric{
			Name: "outrider_bob_rpc_resting", Help: "Whether an endpoint is left alone, because it failed or limits the rate.", Labels: labels(),
		}),
		wrong: rec.Gauge(perfcore.Metric{
			Name: "outrider_bob_rpc_wrong_chain", Help: "Whether an endpoint is of another chain.", Labels: labels(),
			Alert: perfcore.Alert{
				Name: "bob_wrong_chain", Help: "A node is of another chain than was said, and is not asked any more: see its address, and bob-chain-id or bob-l1-chain-id.", Urgent: true,
			},
		}),
	}
	for _, c := range classes {
		p.class[c] = rec.Timer(perfcore.Metric{
			Name: "outrider_bob_rpc_seconds", Help: "Time of an exchange with an endpoint, by the class of its method.",
			Labels: labels("class", string(c)),
		})
	}
	for _, k := range Kinds {
		if k == Unconfirmed {
			continue // it is about the pool
		}
		p.failures[k] = rec.Counter(perfcore.Metric{
			Name: "outrider_bob_rpc_failures_total", Help: "Calls without a result, by why.", Labels: labels("kind", strings.ReplaceAll(string(k), " ", "_")),
		})
	}
	return p
}

func (p *nodePerf) failed(k Kind) { p.failures[k].Add(1) }

func (p *nodePerf) open(yes bool) {
	v := 0.0
	if yes {
		v = 1
	}
	p.resting.Set(v)
}
