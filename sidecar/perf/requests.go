package perf

import (
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
)

// These are the loads that the regimes of requests are told by (perfcore/regime).
const (
	// rpcLoad are requests that the sidecar serves, and those that it makes of its node.
	rpcLoad = "rpc_requests_per_second"
	// l2Load are exchanges with the nodes of an L2.
	l2Load = "l2_requests_per_second"
)

// requestCounters are the counters and timers whose sum is a load, by the metric's name.
var requestCounters = map[string][]string{
	rpcLoad: {"outrider_web_requests_total", "outrider_node_rpc_seconds"},
	l2Load:  {"outrider_bob_rpc_seconds"},
}

// requests is the source of one load. The load is absent where nobody counts it.
type requests struct {
	quantity string
	counts   []func() uint64
	from     uint64
}

// newRequests returns the source of a load, as what is among series counts it.
func newRequests(quantity string, series []perfcore.Series) *requests {
	r := &requests{quantity: quantity}
	for _, s := range series {
		for _, name := range requestCounters[quantity] {
			switch {
			case s.Metric.Name != name:
			case s.Counter != nil:
				r.counts = append(r.counts, s.Counter.Value)
			case s.Timer != nil:
				r.counts = append(r.counts, func() uint64 { return s.Timer.Snapshot().Count })
			}
		}
	}
	return r
}

func (r *requests) done() (sum uint64) {
	for _, count := range r.counts {
		sum += count()
	}
	return sum
}

// Begin implements collect.Source.
func (r *requests) Begin() { r.from = r.done() }

// End implements collect.Source.
func (r *requests) End(s *collect.Slice) {
	if len(r.counts) > 0 {
		s.SetRate(r.quantity, float64(r.from), float64(r.done()))
	}
}

// Missing implements collect.Source.
func (*requests) Missing() []string { return nil }
