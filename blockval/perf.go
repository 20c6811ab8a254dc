package blockval

import (
	"slices"
	"strings"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sigverify/hashlane"
)

// instruments are the metrics of a Validator.
type instruments struct {
	check                         *perfcore.Timer
	parse, lookup, rules, scripts *perfcore.Timer
	valid, invalid                *perfcore.Counter
	remembered, collected, exact  *perfcore.Counter
	disputed                      *perfcore.Counter
	seen                          *perfcore.Gauge
	kinds                         [kinds]*perfcore.Counter
	signatures                    *perfcore.Counter
	signature                     *perfcore.Timer
	hashedWrong                   *perfcore.Counter
}

// hashingSets are what hashlane.Path can name but "go".
var hashingSets = [...]string{"avx512", "avx2", "shani"}

func newInstruments(rec perfcore.Recorder) instruments {
	stage := func(name string) *perfcore.Timer {
		return rec.Timer(perfcore.Metric{
			Name: "outrider_blockval_stage_seconds", Help: "Time of one stage of a block's validation.",
			Labels: []string{"stage", name},
		})
	}
	verdicts := func(name string) *perfcore.Counter {
		return rec.Counter(perfcore.Metric{
			Name: "outrider_blockval_verdicts_total", Help: "Blocks validated, by verdict.",
			Labels: []string{"verdict", name},
		})
	}
	inputs := func(path string) *perfcore.Counter {
		return rec.Counter(perfcore.Metric{
			Name:   "outrider_blockval_inputs_total",
			Help:   "Inputs whose scripts were decided, by what decided them: their transaction was verified before its block came, a batch of signatures, or an exact run.",
			Labels: []string{"path", path},
		})
	}
	in := instruments{
		check: rec.Timer(perfcore.Metric{
			Name: "outrider_blockval_check_seconds", Help: "Time from a decoded block to its verdict.",
		}),
		parse: stage("parse"), lookup: stage("lookup"), rules: stage("rules"), scripts: stage("scripts"),
		valid: verdicts("valid"), invalid: verdicts("invalid"),
		remembered: inputs("remembered"), collected: inputs("collected"), exact: inputs("exact"),
		seen: rec.Gauge(perfcore.Metric{
			Name: "outrider_blockval_seen_transactions", Help: "Transactions that are remembered to have valid scripts.",
		}),
		disputed: rec.Counter(perfcore.Metric{
			Name: "outrider_blockval_disputed_total", Help: "Inputs that two exact runs decided differently: a fault of this program.",
			Alert: perfcore.Alert{
				Name: "script_disputed", Help: "Two exact runs of one script came to different results: a fault of this program or machine; look at the log.",
				Urgent: true, Keep: time.Hour,
			},
		}),
		hashedWrong: rec.Counter(perfcore.Metric{
			Name: "outrider_blockval_hashed_wrong_total", Help: "Blocks that were hashed wrong at first, as the standard library found.",
			Alert: perfcore.Alert{
				Name: "hashed_wrong", Help: "A block was hashed wrong, which the standard library found: a fault of this program or machine. The verdict rests on the right hashes.",
				Urgent: true, Keep: time.Hour,
			},
		}),
		signatures: rec.Counter(perfcore.Metric{
			Name: "outrider_blockval_signatures_total", Help: "Signatures that the inputs of validated blocks present, valid or not.",
		}),
		signature: rec.Timer(perfcore.Metric{
			Name: "outrider_blockval_signature_seconds",
			Help: "Time of the scripts stage of a block, divided by the signatures that it presents and that were not verified before: what one costs on all workers that were at work on it.",
		}),
	}
	used := strings.Split(hashlane.Path(), "+")
	for _, set := range hashingSets {
		info := rec.Gauge(perfcore.Metric{
			Name: "outrider_blockval_hashing_info", Help: "1 for the instructions that blocks are hashed with; without any, the standard library hashes.",
			Labels: []string{"instructions", set},
		})
		if slices.Contains(used, set) {
			info.Set(1)
		}
	}
	for k := range in.kinds {
		in.kinds[k] = rec.Counter(perfcore.Metric{
			Name: "outrider_blockval_patterns_total", Help: "Inputs whose scripts were decided, by the pattern of what they spend.",
			Labels: []string{"pattern", kind(k).String()},
		})
	}
	return in
}

// ran records a run of the scripts, and the time that it took.
func (in *instruments) ran(t *tally, took time.Duration) {
	if t.fresh > 0 {
		in.signature.Observe(took / time.Duration(t.fresh))
	}
	inputs := uint64(0)
	for k, n := range t.kinds {
		in.kinds[k].Add(n)
		inputs += n
	}
	remembered, exact := uint64(t.remembered), uint64(len(t.undecided))
	in.remembered.Add(remembered)
	in.collected.Add(inputs - remembered - exact)
	in.exact.Add(exact)
}

// record records a verdict that was reached.
func (in *instruments) record(v *Verdict) {
	in.parse.Observe(v.Stages.Parse)
	in.lookup.Observe(v.Stages.Lookup)
	in.rules.Observe(v.Stages.Rules)
	in.scripts.Observe(v.Stages.Scripts)
	if v.Signatures > 0 {
		in.signatures.Add(uint64(v.Signatures))
	}
	if v.Valid() {
		in.valid.Add(1)
	} else {
		in.invalid.Add(1)
	}
}
