package monitor

import (
	"math"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// instruments are the metrics of a Monitor. What is not known is not a number.
type instruments struct {
	refresh, bitcoin, l2, located   *perfcore.Timer
	unknown                         map[string]*perfcore.Gauge
	best, marked, stored            *perfcore.Gauge
	lagBlocks, lagSeconds, epochGap *perfcore.Gauge
	forkDepth, wedged, toRetarget   *perfcore.Gauge
	outages                         map[OutageKind]*perfcore.Gauge
	reorganised                     *perfcore.Counter
}

func newInstruments(rec perfcore.Recorder) *instruments {
	gauge := func(name, help string, labels ...string) *perfcore.Gauge {
		return rec.Gauge(perfcore.Metric{Name: name, Help: help, Labels: labels})
	}
	alerted := func(name, help string, a perfcore.Alert, labels ...string) *perfcore.Gauge {
		return rec.Gauge(perfcore.Metric{Name: name, Help: help, Labels: labels, Alert: a})
	}
	asked := func(who string) *perfcore.Timer {
		return rec.Timer(perfcore.Metric{
			Name: "outrider_bob_relay_read_seconds", Help: "Time of a round's questions to the Bitcoin node, to the L2 about the relay, and to the L2 about headers.",
			Labels: []string{"of", who},
		})
	}
	const (
		heights = "Height up to which the Bitcoin node has blocks, and up to which the relay follows them and has stored their headers."
		unknown = "Whether something about the relay is not known, since a node did not answer."
		outages = "Ranges of blocks in which nothing can be proven now, by why."
	)
	in := &instruments{
		refresh: rec.Timer(perfcore.Metric{
			Name: "outrider_bob_relay_refresh_seconds", Help: "Time of a round that asks the L2 and the Bitcoin node about the relay.",
		}),
		bitcoin: asked("bitcoin"), l2: asked("relay"), located: asked("headers"),
		unknown: map[string]*perfcore.Gauge{},
		best:    gauge("outrider_bob_relay_height", heights, "of", "bitcoin"),
		marked:  gauge("outrider_bob_relay_height", heights, "of", "marked"),
		stored:  gauge("outrider_bob_relay_height", heights, "of", "stored"),
		lagBlocks: gauge("outrider_bob_relay_behind_blocks",
			"Blocks of Bitcoin that the relay does not follow yet, or that came since a light relay could be told of a retarget."),
		lagSeconds: alerted("outrider_bob_relay_lag_seconds", "For how long the first of these blocks has been there.", perfcore.Alert{
			Name: "bob_relay_lag", Help: "The relay has not followed Bitcoin for two hours: newer blocks cannot be proven. See whether its submitter runs and can pay.",
			Raise: 7200, Clear: 3600, For: 5 * time.Minute,
		}),
		epochGap: gauge("outrider_bob_relay_epoch_gap", "Periods of 2016 blocks that the relay is behind."),
		forkDepth: alerted("outrider_bob_relay_fork_depth", "Headers that the relay follows and Bitcoin left.", perfcore.Alert{
			Name: "bob_relay_fork", Help: "The relay follows a branch that Bitcoin left: proofs of it are accepted, and those of the best chain are not. It must be told of the best chain.",
			Urgent: true, For: 10 * time.Minute,
		}),
		wedged: alerted("outrider_bob_relay_wedged", "Whether the relay can never follow Bitcoin again.", perfcore.Alert{
			Name: "bob_relay_wedged", Help: "The relay left Bitcoin's best chain before a retarget, and counts no work: it can never follow again and must be deployed anew.",
			Urgent: true,
		}),
		toRetarget: gauge("outrider_bob_relay_retarget_blocks", "Blocks until Bitcoin's next retarget."),
		outages:    map[OutageKind]*perfcore.Gauge{},
		reorganised: rec.Counter(perfcore.Metric{
			Name: "outrider_bob_relay_l2_reorgs_total", Help: "Reorganisations of the L2 that took away a block in which the relay was read.",
		}),
	}
	for _, k := range OutageKinds {
		in.outages[k] = gauge("outrider_bob_relay_outages", outages, "kind", string(k))
	}
	for _, what := range []string{"bitcoin", "relay", "position"} {
		in.unknown[what] = alerted("outrider_bob_relay_unknown", unknown, perfcore.Alert{
			Name: "bob_relay_unknown", Help: "Where the relay is has not been known for five minutes: see the status for which node does not answer, and why.",
			For: 5 * time.Minute,
		}, "what", what)
	}
	in.tell(nil)
	return in
}

// tell sets what is known, and all else to NaN. What stays known is never NaN in between, for a
// scrape at that moment would take an alert back.
func (in *instruments) tell(known map[*perfcore.Gauge]float64) {
	set := func(g *perfcore.Gauge) {
		v, ok := known[g]
		if !ok {
			v = math.NaN()
		}
		g.Set(v)
	}
	for _, g := range []*perfcore.Gauge{in.best, in.marked, in.stored, in.lagBlocks, in.lagSeconds, in.epochGap, in.forkDepth, in.wedged, in.toRetarget} {
		set(g)
	}
	for _, g := range in.outages {
		set(g)
	}
}

// record records a state, and how long it took.
func (in *instruments) record(st *State, took time.Duration) {
	in.refresh.Observe(took)
	in.unknown["bitcoin"].Set(truth(!st.Bitcoin.Known))
	in.unknown["relay"].Set(truth(!st.Relay.Known))
	in.unknown["position"].Set(truth(!st.Position.Known))
	known := make(map[*perfcore.Gauge]float64)
	defer in.tell(known)
	if st.Bitcoin.Known {
		known[in.best] = float64(st.Bitcoin.V.Height)
	}
	if !st.Position.Known {
		return
	}
	p := st.Position.V
	known[in.lagBlocks] = float64(p.LagBlocks)
	known[in.lagSeconds] = p.LagSeconds
	known[in.epochGap] = float64(p.EpochGap)
	known[in.toRetarget] = float64(p.NextRetarget.Blocks)
	if st.Relay.V.Full != nil {
		known[in.marked] = float64(p.MarkedHeight)
		known[in.stored] = float64(p.StoredHeight)
		known[in.forkDepth] = float64(p.ForkDepth)
		known[in.wedged] = truth(p.Wedge == Wedged)
	}
	for _, g := range in.outages {
		known[g] = 0
	}
	for _, o := range p.Outages {
		if g := in.outages[o.Kind]; o.Active && g != nil {
			known[g]++
		}
	}
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
