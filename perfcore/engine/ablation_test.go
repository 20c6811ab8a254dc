package engine_test

import (
	"testing"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// mixed is a plant of two knobs that are far from their best levels, one that does
// nothing, and one that is at its best, where each level away costs.
func mixed(seed uint64, sd float64) plant.Config {
	b := plant.Bowl{Bottom: []float64{9, 8, 0, 4}, Weight: []float64{1.2, 0.9, 0, 2}}
	cfg := plant.Config{Start: []int{4, 4, 4, 4}, World: plant.Noisy(), Seed: seed}
	cfg.World.SD = sd
	if seed%2 == 1 {
		cfg.Start[0], b.Bottom[0] = 6, 1
	}
	cfg.Surface = b.Surface()
	return cfg
}

// Of a vector that is promoted, two knobs are useful, one does nothing and one harms. The
// latter two go back, and the useful ones stay.
func TestAblation(t *testing.T) {
	const times, n = 40, 400
	promoted, useful, idle, harmful := 0, 0, 0, 0
	for seed := range uint64(times) {
		cfg := mixed(seed, 0.05)
		vector := []int{7, 7, 6, 6}
		if seed%2 == 1 {
			vector[0] = 3
		}
		tr := run(t, n, 0, cfg, propose(vector...))
		for _, d := range tr.decisions {
			if d.Verdict == perfcore.Promoted && len(d.Moves) == 4 {
				promoted++
				break
			}
		}
		at := tr.incumbents[n-1]
		for i, count := range []*int{&useful, &useful, &idle, &harmful} {
			want := vector[i]
			if i > 1 {
				want = cfg.Start[i]
			}
			if at[i] == want {
				*count++
			}
		}
	}
	t.Logf("of %d vectors %d were promoted; %d useful knobs stayed, %d idle and %d harmful ones went back", times, promoted, useful, idle, harmful)
	if promoted < times*9/10 || useful < 2*times*95/100 || idle < times*3/4 || harmful < times*3/4 {
		t.Errorf("of %d vectors %d were promoted; %d useful knobs stayed, %d idle and %d harmful ones went back", times, promoted, useful, idle, harmful)
	}
}

// The standard engine ends within 5 % of the oracle although a knob that does nothing
// and one that can only harm take part, with twice the usual noise in nearly all runs; and the idle
// one is at its first level as a rule, where no ablation leaves it one time in eight.
func TestMixedKnobs(t *testing.T) {
	if testing.Short() {
		t.Skip("idle and harmful knobs beside useful ones were not tried: it takes seconds")
	}
	const times, n = 100, 1500
	for _, tt := range []struct {
		sd         float64
		near, home int // of times, at least
	}{{0.05, 98, 50}, {0.1, 90, 45}} {
		near, home := 0, 0
		for seed := range uint64(times) {
			cfg := mixed(seed, tt.sd)
			tr := run(t, n, 0, cfg, nil)
			if tr.incumbent[n-1] <= 0.05 {
				near++
			}
			if tr.incumbents[n-1][2] == cfg.Start[2] {
				home++
			}
		}
		t.Logf("noise of %v: %d of %d end within 5 %% of the oracle, in %d the idle knob is where it was", tt.sd, near, times, home)
		if near < tt.near || home < tt.home {
			t.Errorf("noise of %v: %d of %d end within 5 %% of the oracle, in %d the idle knob is where it was; want %d and %d", tt.sd, near, times, home, tt.near, tt.home)
		}
	}
}
