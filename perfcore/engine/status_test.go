package engine

import (
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// A resource of which a knob fails is not optimized until that has an owner again; one of
// which somebody else moved a knob is.
func TestSettleBadKnobs(t *testing.T) {
	const not, ing, done, failed = perfcore.NotOptimized, perfcore.Optimizing, perfcore.Optimized, perfcore.Failed
	good, bad, moved := knob{owner: Engine}, knob{owner: Nobody, failed: true}, knob{owner: Nobody}
	for _, tt := range []struct {
		name          string
		knobs         [2]knob
		was, to, want perfcore.OptimizationStatus
	}{
		{"one fails", [2]knob{good, bad}, done, failed, failed},
		{"one fails, and the other is at rest", [2]knob{good, bad}, ing, done, failed},
		{"one fails, and the other has been at rest", [2]knob{good, bad}, done, done, failed},
		{"one fails, and the other is searched", [2]knob{bad, good}, failed, ing, ing},
		{"one fails, and what is known is out of date", [2]knob{bad, good}, failed, not, not},
		{"both fail", [2]knob{bad, bad}, failed, ing, failed},
		{"both fail in a search", [2]knob{bad, bad}, ing, ing, failed},
		{"both fail, and were not searched", [2]knob{bad, bad}, not, ing, failed},
		{"one fails, the other was moved", [2]knob{bad, moved}, ing, ing, failed},
		{"one failed and was released", [2]knob{good, good}, failed, done, not},
		{"one was moved", [2]knob{moved, good}, ing, done, done},
		{"one was moved, and another's fails", [2]knob{moved, good}, done, failed, done},
	} {
		p := plant.New(plant.Config{Start: []int{5, 5}, Surface: plant.Flat(), Seed: 1})
		o, err := New(Config{Knobs: p.Knobs(), Collector: p, Slice: time.Second, Seed: 2})
		if err != nil {
			t.Fatal(err)
		}
		for i, k := range tt.knobs {
			o.Resources.knobs[i].owner, o.Resources.knobs[i].failed = k.owner, k.failed
		}
		o.statuses[perfcore.CPU] = tt.was
		o.settle(tt.to)
		if got := o.Status(perfcore.CPU); got != tt.want {
			t.Errorf("%s: %v, and to become %v: it is %v, want %v", tt.name, tt.was, tt.to, got, tt.want)
		}
		o.mayTry(false)
		o.statuses[perfcore.CPU] = tt.was
		o.settle(done)
		if got, bad := o.Status(perfcore.CPU), tt.knobs[0].failed || tt.knobs[1].failed; bad && got != failed || !bad && got != not {
			t.Errorf("%s: %v, and nothing is searched: it is %v", tt.name, tt.was, got)
		}
	}
}
