package engine_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// Where the regime switches, the optimizer is better than the best setting that stays as it
// is, with what its experiments cost. It is never more than 5 % worse, also where both regimes
// want the same, and nothing can be better than to stay.
func TestBestStatic(t *testing.T) {
	if testing.Short() {
		t.Skip("the optimizer was not held against the best static setting: it takes some seconds")
	}
	const stay, visits, knobs, plants = 400, 6, 2, 40
	for name, same := range map[string]bool{"they want other values": false, "they want the same": true} {
		t.Run(name, func(t *testing.T) {
			var ours, theirs []float64
			better := 0
			for seed := range uint64(plants) {
				r := rand.New(rand.NewPCG(seed, 5))
				one, other := plant.RandomBowl(r, knobs).Surface(), plant.RandomBowl(r, knobs).Surface()
				if same {
					other = one
				}
				surface := func(levels []int, t int) float64 {
					if t/stay%2 == 1 {
						return other(levels, t)
					}
					return one(levels, t)
				}
				_, a := plant.Oracle(one, knobs, 0)
				_, b := plant.Oracle(other, knobs, 0)
				_, best := plant.Oracle(func(levels []int, t int) float64 {
					return math.Log((math.Exp(one(levels, t)-a) + math.Exp(other(levels, t)-b)) / 2)
				}, knobs, 0)

				cfg := plant.Config{Start: []int{5, 5}, Surface: surface, World: plant.Noisy(), Seed: seed}
				tr := run(t, visits*stay, 0, cfg, func(c *engine.Config) {
					c.Collector = &commuter{trace: c.Collector.(*trace), stay: stay, tells: true}
				})
				// In the first visit to each it learns.
				mine, static := mean(tr.spent[2*stay:]), math.Expm1(best)
				ours, theirs = append(ours, mine), append(theirs, static)
				if mine < static {
					better++
				}
				if (1+mine)/(1+static) > 1.05 {
					t.Errorf("plant %d: %.4f more than the oracle, and the best static setting %.4f", seed, mine, static)
				}
			}
			t.Logf("more than the oracle: %.4f, the best static setting %.4f; better than that on %d of %d plants", mean(ours), mean(theirs), better, plants)
			if !same && (mean(ours) > mean(theirs)/3 || better < plants*8/10) {
				t.Errorf("%.4f more than the oracle, want a third of %.4f at most; better on %d of %d plants", mean(ours), mean(theirs), better, plants)
			}
			if same && mean(ours) > 0.02 {
				t.Errorf("%.4f more than the oracle, want 0.02 at most", mean(ours))
			}
		})
	}
}
