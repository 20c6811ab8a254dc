package bitvm

import (
	"time"

	"github.com/outrider-project/outrider/bitvm/watch"
	"github.com/outrider-project/outrider/perfcore"
)

// watchPerf are the metrics of bridges.
type watchPerf struct {
	instances, incomplete, disprovable, undecided, unknown, open *perfcore.Gauge
	events, hints                                                *perfcore.Counter
	block                                                        *perfcore.Timer
}

func newWatchPerf(rec perfcore.Recorder) *watchPerf {
	gauge := func(name, help string, a perfcore.Alert) *perfcore.Gauge {
		return rec.Gauge(perfcore.Metric{Name: "outrider_bitvm_" + name, Help: help, Alert: a})
	}
	return &watchPerf{
		instances: gauge("instances", "Instances of bridges that are watched.", perfcore.Alert{}),
		incomplete: gauge("instances_incomplete", "Instances of bridges of which blocks are missing.", perfcore.Alert{
			Name: "bitvm_incomplete", Help: "Blocks are missing in which a bridge's transactions may be: that nothing is told of it means nothing. The status says why.",
			Urgent: true, For: 2 * time.Minute,
		}),
		disprovable: gauge("claims_disprovable", "Claims on bridges that can be disproved, and that nobody has answered.", perfcore.Alert{
			Name: "bitvm_disprovable", Help: "A claim on a bridge can be disproved: the status names the leaf, the transaction, and the height before which it must be in a block. It may be too heavy for mempools: send it to miners.",
			Urgent: true,
		}),
		undecided: gauge("claims_undecided", "Claims on bridges that nobody here can verify, and that nobody has answered.", perfcore.Alert{
			Name: "bitvm_undecided", Help: "A claim on a bridge cannot be verified here: verify it by other means. The status says why, and until when it can be answered.",
			Urgent: true,
		}),
		unknown: gauge("spends_unknown", "Spends of bridges' outputs that their graphs do not have.", perfcore.Alert{
			Name: "bitvm_unknown_spend", Help: "An output of a bridge was spent in a way that its graph does not have: look at the transaction that the status names. What comes behind it is not watched.",
			Urgent: true,
		}),
		open: gauge("answers_open", "Transactions that what is known calls for, and that a block may have.", perfcore.Alert{
			Name: "bitvm_answer_open", Help: "Somebody should send a transaction of a bridge: it answers a false claim, or punishes who is late. The status names it.",
		}),
		events: rec.Counter(perfcore.Metric{Name: "outrider_bitvm_events_total", Help: "Events of bridges."}),
		hints:  rec.Counter(perfcore.Metric{Name: "outrider_bitvm_hints_total", Help: "Transactions of the mempool that spend outputs of bridges. They decide nothing."}),
		block: rec.Timer(perfcore.Metric{
			Name: "outrider_bitvm_block_seconds", Help: "Time from first hearing of a block until it was looked through for bridges, and claims in it were judged.",
		}),
	}
}

// outcome returns the height of the block that decided a bridge, behind which nobody has
// claims and spends of before to answer; 0 if it is open.
func outcome(s *watch.Status) uint32 {
	for _, tx := range s.Transactions {
		if tx.State == watch.Confirmed && tx.Outcome != "" {
			return tx.Height
		}
	}
	return 0
}

// record sets the gauges to what is known.
func (p *watchPerf) record(list []watch.Status) {
	var incomplete, disprovable, undecided, unknown, open int
	for _, s := range list {
		if !s.Complete {
			incomplete++
		}
		ended := outcome(&s)
		for _, u := range s.Unknown {
			if u.Height > ended {
				unknown++
			}
		}
		for _, c := range s.Claims {
			switch {
			case !c.Made || c.Answered != "" || ended > 0:
			case c.Judgement == nil || c.Judgement.Finding == watch.Undecided:
				undecided++
			case c.Judgement.Finding == watch.Disprovable:
				disprovable++
			}
		}
		for _, tx := range s.Transactions {
			if tx.CalledFor && tx.State == watch.Open {
				open++
			}
		}
	}
	p.incomplete.Set(float64(incomplete))
	p.disprovable.Set(float64(disprovable))
	p.undecided.Set(float64(undecided))
	p.unknown.Set(float64(unknown))
	p.open.Set(float64(open))
}
