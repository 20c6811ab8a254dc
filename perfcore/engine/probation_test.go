package engine_test

import (
	"context"
	"testing"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// A rambler proposes two knobs one level up, one behind the other, and then others that do
// nothing.
type rambler struct {
	fixed
	next int
}

func (r *rambler) Propose(_ context.Context, s engine.Space, _ func(plus, minus []int) (float64, error)) ([]int, error) {
	y := append([]int(nil), s.At...)
	for i := range 2 {
		if y[i] == 5 {
			y[i]++
			return y, nil
		}
	}
	r.next++
	y[2+r.next%(len(y)-2)]++
	return y, nil
}

// A promotion is tested three times, 10, 40 and 160 slices later, also while the search goes
// on, and so is each of several. Two tests of one have the distance that the schedule has
// between them, and none is later than the trial that runs takes, and the tests beside it.
func TestProbationIsOnTime(t *testing.T) {
	const late = 80
	surface := func(levels []int, _ int) float64 { return -0.15 * float64(levels[0]+levels[1]-10) }
	w := plant.Noisy()
	w.SD = 0.02
	for seed := range uint64(10) {
		promoted := make([]int, 2) // the slice behind it
		cfg := plant.Config{Start: []int{5, 5, 5, 5, 5, 5, 5, 5}, Surface: surface, World: w, Seed: seed}
		tr := run(t, 700, 0, cfg, func(c *engine.Config) {
			tr := c.Collector.(*trace)
			c.Engine = new(rambler)
			decided := c.Decided
			c.Decided = func(d perfcore.Decision) {
				for _, m := range d.Moves {
					for i := range promoted {
						if d.Verdict == perfcore.Promoted && m.Knob == c.Knobs[i].Name && d.Trigger != "probation" {
							promoted[i] = tr.Plant.Slice()
						}
					}
				}
				decided(d)
			}
		})
		for knob, from := range promoted {
			if from == 0 {
				t.Fatalf("seed %d: knob %d was not promoted", seed, knob)
			}
			var tests []int // slices behind its promotion
			for n := from; n < len(tr.levels); n++ {
				if tr.levels[n][knob] == 5 && (len(tests) == 0 || n-from > tests[len(tests)-1]+8) {
					tests = append(tests, n-from)
				}
			}
			if len(tests) != 3 {
				t.Errorf("seed %d: knob %d was tested %v slices behind its promotion", seed, knob, tests)
				continue
			}
			// A block may begin with two slices of the incumbent, and the one that is left out.
			at := 0
			for i, gap := range []int{10, 30, 120} {
				if d := tests[i] - at; d < gap-8 || d > gap+late {
					t.Errorf("seed %d: knob %d was tested %v slices behind its promotion", seed, knob, tests)
				}
				at = tests[i]
			}
		}
	}
}

// Where slices say nothing, what is on probation is not tested, and does not keep anything
// else waiting.
func TestProbationWaits(t *testing.T) {
	const from = 120
	trials := 0
	run(t, 600, 0, better(1), func(c *engine.Config) {
		tr := c.Collector.(*trace)
		c.Engine, c.Collector = new(swinger), &muffled{trace: tr, from: from}
		decided := c.Decided
		c.Decided = func(d perfcore.Decision) {
			if tr.Plant.Slice() > from && (d.Trigger == "search" || d.Trigger == "audit") {
				trials++
			}
			decided(d)
		}
	})
	if trials < 4 {
		t.Errorf("%d trials while slices said nothing", trials)
	}
}

// A swinger proposes the level above 5 at 5, and the one above that anywhere else.
type swinger struct{ fixed }

func (swinger) Propose(_ context.Context, s engine.Space, _ func(plus, minus []int) (float64, error)) ([]int, error) {
	if s.At[0] == 5 {
		return []int{6}, nil
	}
	return []int{s.At[0] + 1}, nil
}

// A muffled plant says nothing from a slice on.
type muffled struct {
	*trace
	from int
}

func (m *muffled) Collect() perfcore.Sample {
	s := m.trace.Collect()
	if m.Plant.Slice() > m.from {
		s.Void = "it is muffled"
	}
	return s
}
