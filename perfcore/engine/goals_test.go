package engine_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// A trace is a plant that an optimizer ran on: the true excess of cost over the
// oracle, slice by slice, as a share.
type trace struct {
	*plant.Plant
	surface   plant.Surface
	optimizer *engine.PerformanceOptimizer
	stop      context.CancelFunc
	slices    int
	moved     int     // slice in which the optimum moves; 0 for never
	best      float64 // the oracle's cost now
	start     int     // slice in which experiments begin

	spent     []float64 // of the levels that the slice ran with
	incumbent []float64 // of the incumbents
	levels    [][]int
	decisions []perfcore.Decision
}

func (tr *trace) Collect() perfcore.Sample {
	t := tr.Plant.Slice()
	levels := tr.Plant.Levels()
	if t == 0 || t == tr.moved {
		_, tr.best = plant.Oracle(tr.surface, len(levels), t)
	}
	at := make([]int, len(levels))
	for i, k := range tr.optimizer.Resources.Knobs() {
		at[i] = slices.Index(k.Ladder, k.Incumbent)
	}
	tr.levels = append(tr.levels, levels)
	tr.spent = append(tr.spent, math.Expm1(tr.surface(levels, t)-tr.best))
	tr.incumbent = append(tr.incumbent, math.Expm1(tr.surface(at, t)-tr.best))
	if len(tr.spent) == tr.slices {
		tr.stop()
	}
	return tr.Plant.Collect()
}

// run runs an optimizer for so many slices on a plant, in virtual time.
func run(t *testing.T, n, moved int, cfg plant.Config, change func(*engine.Config)) *trace {
	t.Helper()
	tr := &trace{Plant: plant.New(cfg), surface: cfg.Surface, slices: n, moved: moved}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		tr.stop = stop
		c := engine.Config{
			Knobs: tr.Knobs(), Collector: tr, Slice: time.Second, Seed: cfg.Seed + 1,
			Decided: func(d perfcore.Decision) {
				if d.Verdict == perfcore.Calibrated && tr.start == 0 {
					tr.start = tr.Plant.Slice()
				}
				tr.decisions = append(tr.decisions, d)
			},
		}
		if change != nil {
			change(&c)
		}
		var err error
		if tr.optimizer, err = engine.New(c); err != nil {
			t.Fatal(err)
		}
		if err := tr.optimizer.Run(ctx); err != nil {
			t.Fatal(err)
		}
	})
	return tr
}

// hit returns how many slices after from the incumbent came to within 5 % of
// the oracle, for thirty slices at least; -1 if it never did before to.
func (tr *trace) hit(from, to int) int {
	near := 0
	for i := from; i < to; i++ {
		if tr.incumbent[i] > 0.05 {
			near = 0
		} else if near++; near == 30 {
			return i - 29 - from
		}
	}
	return -1
}

func quantile(x []float64, q float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	x = slices.Sorted(slices.Values(x))
	return x[int(math.Ceil(q*float64(len(x))))-1]
}

func mean(x []float64) float64 {
	var sum float64
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

func TestExplore(t *testing.T) {
	for _, c := range []struct {
		name         string
		d, n, plants int
		moved, cliff bool
		optimal      bool
	}{
		{"D=1", 1, 1200, 100, false, false, false},
		{"D=3", 3, 2000, 100, false, false, false},
		{"D=6", 6, 4000, 50, false, false, false},
		{"cliff", 3, 2000, 100, false, true, false},
		{"moved", 3, 4000, 100, true, false, false},
		{"opt1", 1, 500, 100, false, false, true},
		{"opt3", 3, 500, 100, false, false, true},
		{"opt6", 6, 500, 100, false, false, true},
		{"opt1", 1, 2000, 50, false, false, true},
		{"opt6", 6, 2000, 50, false, false, true},
	} {
		began := time.Now()
		var hits, rehits, tail, total, visits, regret, final []float64
		missed, remissed := 0, 0
		for seed := range uint64(c.plants) {
			r := rand.New(rand.NewPCG(seed, 99))
			bowl := plant.RandomBowl(r, c.d)
			start := make([]int, c.d)
			for i := range start {
				start[i] = 1 + r.IntN(9)
				if c.optimal {
					start[i] = int(math.Round(bowl.Bottom[i]))
				}
			}
			if c.cliff {
				bowl.Bottom[0] = 7.5
				start[0] = min(start[0], 8)
			}
			s := bowl.Surface()
			moved := 0
			if c.moved {
				moved = c.n / 2
				s = plant.Moved(s, plant.RandomBowl(r, c.d).Surface(), moved)
			}
			if c.cliff {
				s = plant.Cliff(s, 9, 0.8)
			}
			w := plant.Noisy()
			w.Season, w.Period = 0.05, 700
			tr := run(t, c.n, moved, plant.Config{Start: start, Surface: s, World: w, Seed: seed}, nil)
			end := c.n
			if c.moved {
				end = c.n / 2
				if h := tr.hit(end, c.n); h < 0 {
					remissed++
				} else {
					rehits = append(rehits, float64(h))
				}
			}
			if h := tr.hit(tr.start, end); h < 0 {
				missed++
			} else {
				hits = append(hits, float64(h))
			}
			tail = append(tail, mean(tr.spent[c.n/2:]))
			total = append(total, mean(tr.spent))
			regret = append(regret, tr.optimizer.Regret())
			final = append(final, tr.incumbent[len(tr.incumbent)-1])
			if c.cliff {
				v, row := 0, 0
				for i, l := range tr.levels {
					if l[0] >= 9 {
						if i == 0 || tr.levels[i-1][0] < 9 {
							v++
						}
						row++
					}
				}
				if row != v {
					t.Logf("seed %d: %d visits, %d slices", seed, v, row)
				}
				visits = append(visits, float64(v))
			}
		}
		t.Logf("%s: hit p50 %.0f p95 %.0f missed %d/%d; rehit %.0f/%.0f missed %d; tail %.4f total %.4f p95 %.4f; visits mean %.2f p95 %.0f max %.0f; regret %.4f final p99 %.3f; %v", c.name,
			quantile(hits, .5), quantile(hits, .95), missed, c.plants, quantile(rehits, .5), quantile(rehits, .95), remissed,
			mean(tail), mean(total), quantile(total, .95), mean(append([]float64{0}, visits...)), quantile(visits, .95), quantile(visits, 1), mean(regret), quantile(final, .99), time.Since(began))
	}
}
