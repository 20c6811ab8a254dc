package claim

import (
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// instruments are the metrics of a Verifier.
type instruments struct {
	claim, load    *perfcore.Timer
	outcomes       [outcomes]*perfcore.Counter // at 0, claims without a verdict
	contradictions *perfcore.Counter
	commitments    *perfcore.Counter
	waiting        *perfcore.Gauge
	hits, misses   *perfcore.Counter
	keyBytes       *perfcore.Gauge
}

func newInstruments(rec perfcore.Recorder) *instruments {
	in := &instruments{
		claim: rec.Timer(perfcore.Metric{
			Name: "outrider_bitvm_claim_seconds", Help: "Time from a claim that is handed in to its verdict, with the time for which it waited.",
		}),
		load: rec.Timer(perfcore.Metric{
			Name: "outrider_bitvm_claim_load_seconds", Help: "Time until the witnesses of a claim are there.",
		}),
		contradictions: rec.Counter(perfcore.Metric{
			Name: "outrider_bitvm_contradictions_total", Help: "Claims whose proof and whose parts contradict each other: a fault of this program or machine.",
			Alert: perfcore.Alert{
				Name: "claim_contradiction", Help: "The proof of a BitVM claim and the parts of its assertion contradict each other: a fault of this program or machine. There is no verdict on the claim: judge it by another program before its deadline.",
				Urgent: true, Keep: time.Hour,
			},
		}),
		commitments: rec.Counter(perfcore.Metric{
			Name: "outrider_bitvm_commitments_total", Help: "Commitments of the claims that have a verdict: signatures that were read, and verified unless their block was validated.",
		}),
		waiting: rec.Gauge(perfcore.Metric{
			Name: "outrider_bitvm_claims_waiting", Help: "Claims that wait for their turn.",
		}),
		keyBytes: rec.Gauge(perfcore.Metric{
			Name: "outrider_bitvm_key_bytes", Help: "Memory of the prepared verifying keys.",
		}),
	}
	for o := range in.outcomes {
		name := "none"
		if o > 0 {
			name = Outcome(o).String()
		}
		in.outcomes[o] = rec.Counter(perfcore.Metric{
			Name: "outrider_bitvm_claims_total", Help: "Claims that were judged, by outcome; none for those that could not be.",
			Labels: []string{"outcome", name},
		})
	}
	for result, to := range map[string]**perfcore.Counter{"hit": &in.hits, "miss": &in.misses} {
		*to = rec.Counter(perfcore.Metric{
			Name: "outrider_bitvm_keys_total", Help: "Verifying keys that claims asked for, by whether they were prepared already.",
			Labels: []string{"result", result},
		})
	}
	return in
}

// asked notes that a key was asked for.
func (in *instruments) asked(hit bool) {
	if hit {
		in.hits.Add(1)
	} else {
		in.misses.Add(1)
	}
}
