package blockval

import "github.com/outrider-project/outrider/perfcore"

// instruments are the metrics of a Validator.
type instruments struct {
	check                         *perfcore.Timer
	parse, lookup, rules, scripts *perfcore.Timer
	valid, invalid                *perfcore.Counter
	collected, engine             *perfcore.Counter
}

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
			Help:   "Inputs whose scripts were decided, by what decided them: a batch of signatures or the script engine.",
			Labels: []string{"path", path},
		})
	}
	return instruments{
		check: rec.Timer(perfcore.Metric{
			Name: "outrider_blockval_check_seconds", Help: "Time from a decoded block to its verdict.",
		}),
		parse: stage("parse"), lookup: stage("lookup"), rules: stage("rules"), scripts: stage("scripts"),
		valid: verdicts("valid"), invalid: verdicts("invalid"),
		collected: inputs("collected"), engine: inputs("engine"),
	}
}

// record records a verdict that was reached.
func (in *instruments) record(v *Verdict) {
	in.parse.Observe(v.Stages.Parse)
	in.lookup.Observe(v.Stages.Lookup)
	in.rules.Observe(v.Stages.Rules)
	in.scripts.Observe(v.Stages.Scripts)
	if v.Valid() {
		in.valid.Add(1)
	} else {
		in.invalid.Add(1)
	}
}
