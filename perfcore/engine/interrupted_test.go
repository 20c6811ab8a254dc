package engine

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/outrider-project/outrider/perfcore"
)

// A pupil proposes a level, behind a perturbation or without one, and keeps what it is told.
type pupil struct {
	proposes int
	probes   bool
	told     []perfcore.Verdict
}

func (p *pupil) Propose(_ context.Context, s Space, probe func(plus, minus []int) (float64, error)) ([]int, error) {
	y := []int{p.proposes}
	if p.probes {
		if _, err := probe(y, s.At); err != nil {
			return nil, err
		}
	}
	return y, nil
}

func (p *pupil) Learn(v perfcore.Verdict) { p.told = append(p.told, v) }

func (*pupil) Forget() {}

// watch runs a slice of the incumbent.
func watch(t *testing.T, tu *tuner) {
	t.Helper()
	if err := tu.watched(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// What was interrupted, its perturbations or its trial, is no miss and teaches nothing, unless
// that happens several times in a row.
func TestInterruptionIsNoMiss(t *testing.T) {
	for _, tt := range []struct{ probes, alarms bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		synctest.Test(t, func(t *testing.T) {
			tu, p := promoted(t, linear(-0.1), []int{5}, []int{6})
			e := &pupil{proposes: 4, probes: tt.probes}
			tu.engine = e
			search := func(times int) {
				t.Helper()
				for range times {
					if err := tu.search(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			tu.o.cfg.Collector = &hindrance{p, tt.alarms, 0}
			watch(t, tu) // an alarm that comes with a candidate may be its
			if search(maxTries - 1); tu.misses != 0 || len(e.told) != 0 {
				t.Errorf("%+v: interrupted seldom there are %d misses, and %v is known", tt, tu.misses, e.told)
			}
			tu.o.cfg.Collector = p
			if search(1); tu.misses != 1 || !slices.Equal(e.told, []perfcore.Verdict{perfcore.Rejected}) {
				t.Errorf("%+v: behind a verdict there are %d misses, and %v is known", tt, tu.misses, e.told)
			}
			tu.o.cfg.Collector, e.told = &hindrance{p, tt.alarms, 0}, nil
			watch(t, tu)
			var told []perfcore.Verdict // a perturbation has no verdict
			if !tt.probes {
				told = []perfcore.Verdict{perfcore.Inconclusive}
			}
			if search(2*maxTries - 1); tu.misses != 2 || !slices.Equal(e.told, told) {
				t.Errorf("%+v: interrupted always there are %d misses, and %v is known; want %v", tt, tu.misses, e.told, told)
			}
		})
	}
}

// Other hands that end a trial are an interruption, too.
func TestLeaseIsNoMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tu, p := promoted(t, linear(-0.1, 0), []int{5, 5}, []int{6, 5})
		tu.engine = &leasing{tu.o.Resources}
		before := p.Slice()
		if err := tu.search(t.Context()); err != nil {
			t.Fatal(err)
		}
		all := tu.o.Decisions(0)
		if d := all[len(all)-1]; tu.misses != 0 || d.Verdict != perfcore.Inconclusive || p.Slice() != before {
			t.Errorf("there are %d misses: %v", tu.misses, d)
		}
	})
}

// A leasing engine proposes something, and memory moves before it is tried.
type leasing struct{ *ResourceManager }

func (l *leasing) Propose(_ context.Context, s Space, _ func(plus, minus []int) (float64, error)) ([]int, error) {
	l.mu.Lock()
	l.epoch++
	l.mu.Unlock()
	return []int{7, 5}, nil
}

func (*leasing) Learn(perfcore.Verdict) {}

func (*leasing) Forget() {}

// A search that was interrupted all the time has found nothing: when it rests, that is not
// optimized, and the next rest is as long, until there is a verdict.
func TestSearchInVain(t *testing.T) {
	for _, alarms := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) { searchInVain(t, alarms) })
	}
}

func searchInVain(t *testing.T, alarms bool) {
	tu, p := promoted(t, linear(-0.1), []int{5}, []int{6})
	tu.engine = &pupil{proposes: 4}
	tu.beginAnew()
	for _, tt := range []struct {
		name  string
		heard bool
		is    perfcore.OptimizationStatus
		rest  int
	}{
		{"search", false, perfcore.NotOptimized, firstRest},
		{"audit", false, perfcore.NotOptimized, firstRest},
		{"heard audit", true, perfcore.Optimized, 2 * firstRest},
		{"interrupted audit", false, perfcore.Optimized, 4 * firstRest},
	} {
		if tu.o.cfg.Collector = p; !tt.heard {
			tu.o.cfg.Collector = &hindrance{p, alarms, 0}
			watch(t, tu)
		}
		for tu.misses < tu.most() {
			if err := tu.search(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		tu.trials = nil
		if err := tu.park(t.Context()); err != nil {
			t.Fatal(err)
		}
		if is := tu.o.Status(perfcore.CPU); is != tt.is || tu.rest != tt.rest {
			t.Errorf("alarms %v, %s: at rest it is %v, and the next rest has %d slices; want %v and %d", alarms, tt.name, is, tu.rest, tt.is, tt.rest)
		}
	}
}

// Where nothing was measured of a proposal, the next ones go as far.
func TestInterruptionKeepsTheRadius(t *testing.T) {
	h := &hybrid{radius: firstRadius}
	if h.Learn(perfcore.Inconclusive); h.radius != firstRadius {
		t.Errorf("the radius is %v", h.radius)
	}
	if h.Learn(perfcore.Rejected); h.radius >= firstRadius {
		t.Errorf("the radius is %v", h.radius)
	}
}
