package engine_test

import (
	"testing"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// rests returns how many slices each rest of at least n took in which the knob was at its
// incumbent all the time, until the slice to.
func (tr *trace) rests(n, to int) []int {
	var rests []int
	still := 0
	for i := tr.start; i < to; i++ {
		if tr.levels[i][0] == tr.incumbents[i][0] {
			still++
			continue
		}
		if still >= n {
			rests = append(rests, still)
		}
		still = 0
	}
	return rests
}

// A candidate that was rejected is tried again at distances that double, up to 500
// slices; and when it has become better, which the incumbent does not show, it is found
// at the next of them.
func TestParkedCandidates(t *testing.T) {
	const (
		good, n = 2600, 4000
		rest    = 25 // slices; within an audit the knob is left alone for less
		late    = 500 + 4*16*7
	)
	for seed := range uint64(10) {
		// From the slice good on, level 6 costs 12 % less than 5; before, 3 % more.
		surface := func(levels []int, t int) float64 {
			switch {
			case levels[0] != 6:
				return 0
			case t < good:
				return 0.03
			}
			return -0.12
		}
		cfg := plant.Config{Start: []int{5}, Surface: surface, World: plant.Noisy(), Seed: seed}
		tr := run(t, n, good, cfg, propose(6))
		rests := tr.rests(rest, good)
		if len(rests) < 5 {
			t.Errorf("seed %d: it rested for %v slices, want it to be tried again five times", seed, rests)
			continue
		}
		for i, got := range rests {
			// An audit begins and ends with slices of the incumbent.
			if want := min(30<<i, 500); got < want-4 || got > want+16 {
				t.Errorf("seed %d: it rested for %v slices, and rest %d is not one of %d", seed, rests, i, want)
			}
		}
		audits := 0
		for _, d := range tr.decisions {
			if d.Trigger == "audit" && d.Verdict != perfcore.Promoted {
				audits++
			}
		}
		if audits < 4*4 {
			t.Errorf("seed %d: %d candidates of audits were rejected, want four in each", seed, audits)
		}
		found := -1
		for i := good; i < n && found < 0; i++ {
			if tr.incumbents[i][0] == 6 {
				found = i - good
			}
		}
		if found < 0 || found > late {
			t.Errorf("seed %d: it is found after %d slices, want at most %d", seed, found, late)
		}
	}
}
