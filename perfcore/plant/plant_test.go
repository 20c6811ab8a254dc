package plant_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// quiet is a plant of one knob that costs a tenth more for each level.
func quiet(change func(*plant.Config)) *plant.Plant {
	cfg := plant.Config{Start: []int{5}, Surface: func(l []int, _ int) float64 { return 0.1 * float64(l[0]) }}
	if change != nil {
		change(&cfg)
	}
	return plant.New(cfg)
}

func TestSameSeedSamePlant(t *testing.T) {
	w := plant.World{SD: 0.05, Phi: 0.6, Tails: true, Season: 0.1, Period: 50, Neighbour: 0.5, SeenNeighbour: true, Load: 0.1}
	measure := func(seed uint64) []perfcore.Sample {
		p := quiet(func(c *plant.Config) { c.World, c.Seed = w, seed })
		samples := make([]perfcore.Sample, 200)
		for i := range samples {
			p.Begin()
			samples[i] = p.Collect()
		}
		return samples
	}
	same := func(a, b perfcore.Sample) bool { return a.Cost == b.Cost && a.Work == b.Work && a.Void == b.Void }
	if !slices.EqualFunc(measure(1), measure(1), same) {
		t.Error("a seed gives two plants")
	}
	if slices.EqualFunc(measure(1), measure(2), same) {
		t.Error("two seeds give one plant")
	}
}

func TestKnobs(t *testing.T) {
	p := quiet(nil)
	k := p.Knobs()[0]
	if err := k.Check(); err != nil {
		t.Fatal(err)
	}
	if k.Read() != plant.Value(5) || p.Collect().Cost != 0.5 {
		t.Errorf("at the start the knob reads %d", k.Read())
	}
	for l := range plant.Levels {
		if err := k.Set(t.Context(), plant.Value(l)); err != nil {
			t.Fatal(err)
		}
		if got := p.Collect(); math.Abs(got.Cost-0.1*float64(l)) > 1e-12 || got.Work != 1 || got.Void != "" {
			t.Errorf("at level %d: %+v", l, got)
		}
	}
	if got, want := p.Excess([]int{3}), math.Expm1(0.3); math.Abs(got-want) > 1e-12 {
		t.Errorf("excess %v at level 3, want %v", got, want)
	}
	defer func() {
		if recover() == nil {
			t.Error("a value that is on no ladder was taken")
		}
	}()
	k.Apply(t.Context(), plant.Value(0)+1)
}

func TestTraits(t *testing.T) {
	set := func(p *plant.Plant, level int) error { return p.Knobs()[0].Set(t.Context(), plant.Value(level)) }
	t.Run("liar", func(t *testing.T) {
		p := quiet(func(c *plant.Config) { c.Liars = []int{0} })
		if err := set(p, 7); err == nil || p.Levels()[0] != 5 {
			t.Errorf("set a liar: %v, and it is at %v", err, p.Levels())
		}
	})
	t.Run("broken", func(t *testing.T) {
		p := quiet(func(c *plant.Config) { c.Broken = []int{0} })
		if err := set(p, 7); err == nil || p.Levels()[0] != 5 {
			t.Errorf("set a broken knob: %v, and it is at %v", err, p.Levels())
		}
	})
	t.Run("failing", func(t *testing.T) {
		p := quiet(func(c *plant.Config) { c.FailingApply = 0.3 })
		failed := 0
		for range 1000 {
			if set(p, 7) != nil {
				failed++
			}
		}
		if failed < 250 || failed > 350 {
			t.Errorf("%d of 1000 failed, want 300", failed)
		}
	})
	t.Run("carry-over", func(t *testing.T) {
		p := quiet(func(c *plant.Config) { c.Carry = 0.5 })
		p.Collect()
		if err := set(p, 7); err != nil {
			t.Fatal(err)
		}
		for _, want := range []float64{0.6, 0.65, 0.675} {
			if got := p.Collect().Cost; math.Abs(got-want) > 1e-12 {
				t.Errorf("cost %v, want %v", got, want)
			}
		}
	})
	t.Run("Goodhart", func(t *testing.T) {
		p := quiet(func(c *plant.Config) { c.Goodhart = 0.1; c.Surface = plant.Flat() })
		if err := set(p, 7); err != nil {
			t.Fatal(err)
		}
		if got := p.Collect(); math.Abs(got.Work-0.8) > 1e-12 || math.Abs(got.Cost-math.Log(0.8)) > 1e-12 {
			t.Errorf("%+v, want a fifth of the work dropped and as much of the cost", got)
		}
		if err := set(p, 3); err != nil {
			t.Fatal(err)
		}
		if got := p.Collect(); got.Work != 1 || got.Cost != 0 {
			t.Errorf("%+v below the start, want all the work", got)
		}
	})
	t.Run("stall", func(t *testing.T) {
		p := quiet(func(c *plant.Config) { c.Stall = 7 })
		for level, want := range map[int]float64{6: 1, 7: 0} {
			if err := set(p, level); err != nil {
				t.Fatal(err)
			}
			if got := p.Collect(); got.Work != want {
				t.Errorf("at level %d: %+v", level, got)
			}
		}
	})
	t.Run("hostile", func(t *testing.T) {
		p := quiet(func(c *plant.Config) { c.Hostile = 0.3; c.Surface = plant.Flat() })
		for i, want := range []float64{0, 0.3, 0, 0.3} {
			if got := p.Collect().Cost; got != want {
				t.Errorf("cost %v behind %d calls, want %v", got, i, want)
			}
			if err := set(p, 5); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("alarm", func(t *testing.T) {
		p := quiet(func(c *plant.Config) { c.AlarmAbove = 0.65 })
		if got := p.Alarm(); got != "" {
			t.Errorf("alarm at the start: %s", got)
		}
		p.Interfere(0, 7)
		if p.Alarm() == "" {
			t.Error("no alarm at level 7")
		}
	})
}

// The noise is what the world says it is.
func TestWorlds(t *testing.T) {
	const n = 200_000
	collect := func(w plant.World) (cost []float64, void int) {
		p := plant.New(plant.Config{Start: []int{0}, Surface: plant.Flat(), World: w, Seed: 1})
		for range n {
			s := p.Collect()
			cost = append(cost, s.Cost)
			if s.Void != "" {
				void++
			}
		}
		return cost, void
	}
	moments := func(x []float64) (mean, sd, phi float64) {
		for _, v := range x {
			mean += v / n
		}
		var square, lagged float64
		for i, v := range x {
			square += (v - mean) * (v - mean)
			if i > 0 {
				lagged += (v - mean) * (x[i-1] - mean)
			}
		}
		return mean, math.Sqrt(square / n), lagged / square
	}
	near := func(name string, got, want, tolerance float64) {
		if math.Abs(got-want) > tolerance {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	cost, void := collect(plant.World{SD: 0.05, Phi: 0.6})
	mean, sd, phi := moments(cost)
	near("mean", mean, 0, 0.002)
	near("deviation", sd, 0.05, 0.002)
	near("autocorrelation", phi, 0.6, 0.02)
	if void != 0 {
		t.Errorf("%d slices are void", void)
	}
	cost, _ = collect(plant.World{SD: 0.05, Tails: true})
	_, sd, _ = moments(cost)
	near("deviation with tails", sd, 0.05, 0.005)
	far := 0
	for _, c := range cost {
		if math.Abs(c) > 4*0.05 {
			far++
		}
	}
	// Of a normal distribution 0.006 % lie there, of this one 0.6 %.
	if far < n/400 {
		t.Errorf("%d of %d slices lie beyond four deviations", far, n)
	}
	cost, _ = collect(plant.World{Drift: 0.001, Step: 0.5, StepAt: 100})
	near("before the step", cost[99], 0.099, 1e-9)
	near("behind the step", cost[100], 0.6, 1e-9)
	cost, _ = collect(plant.World{Season: 0.1, Period: 700})
	near("season's height", slices.Max(cost), 0.1, 0.001)
	near("season's period", cost[700], cost[0], 1e-9)
	_, void = collect(plant.World{Neighbour: 0.5, SeenNeighbour: true})
	near("share of the neighbour", float64(void)/n, 3.5/(50+3.5-1), 0.01)
}

func TestOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	// Six knobs are searched by descent; four of them by looking at all. Where
	// two more stand at their best, both must find the same.
	for range 20 {
		b := plant.RandomBowl(r, 6)
		levels, cost := plant.Oracle(b.Surface(), 6, 0)
		if got := b.Surface()(levels, 0); got != cost {
			t.Fatalf("the oracle says %v, its levels cost %v", cost, got)
		}
		part := func(l []int, t int) float64 { return b.Surface()(append(slices.Clone(l), levels[4:]...), t) }
		if _, all := plant.Oracle(part, 4, 0); math.Abs(all-cost) > 1e-12 {
			t.Errorf("descent finds %v, there is %v", cost, all)
		}
	}
	for _, tt := range []struct {
		name    string
		surface plant.Surface
		knobs   int
		at      int
		want    []int
	}{
		{"ridge", plant.Ridge(8), 2, 0, []int{8, 8}},
		{"basins", plant.Basins(0.1), 1, 0, []int{8}},
		{"cliff", plant.Cliff(plant.Bowl{Bottom: []float64{9}, Weight: []float64{1}}.Surface(), 9, 0.8), 1, 0, []int{8}},
		{"step", plant.Step(6, 0.2), 1, 0, []int{6}},
		{"before the move", plant.Moved(plant.Step(2, 0.2), plant.Step(7, 0.2), 10), 1, 9, []int{2}},
		{"behind the move", plant.Moved(plant.Step(2, 0.2), plant.Step(7, 0.2), 10), 1, 10, []int{7}},
	} {
		if got, _ := plant.Oracle(tt.surface, tt.knobs, tt.at); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	p := plant.Plateau(plant.Bowl{Bottom: []float64{5, 5}, Weight: []float64{1, 1}}, 2)
	if p([]int{3, 7}, 0) != 0 || p([]int{2, 5}, 0) == 0 {
		t.Error("the plateau does not end two levels from its middle")
	}
	if plant.Basins(0.1)([]int{2}, 0) != 0.1 {
		t.Error("the near basin is not as shallow as it should be")
	}
}
