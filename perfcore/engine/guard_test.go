package engine_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// The guard ends a candidate within its first slice, and it stays away.
func TestGuard(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  plant.Config
	}{
		{"costs more", plant.Config{Surface: plant.Cliff(plant.Flat(), 6, 0.8)}},
		{"does less", plant.Config{Surface: plant.Flat(), Goodhart: 0.3}},
		{"does nothing", plant.Config{Surface: plant.Flat(), Stall: 6}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := tt.cfg
				cfg.Start, cfg.World, cfg.Seed = []int{5}, plant.Noisy(), 3
				r := newRig(t, cfg, propose(6))
				stop := r.start(t)
				until(t, "a trial", time.Hour, r.trying)
				began := time.Now()
				until(t, "the guard", time.Minute, func() bool { return !r.trying() })
				if took := time.Since(began); took > 13*time.Second {
					t.Errorf("it took %v, want one slice", took)
				}
				until(t, "the decision", time.Minute, r.decided(perfcore.Aborted))
				again := 0
				for range 3600 {
					time.Sleep(time.Second)
					synctest.Wait()
					if r.trying() {
						again++
					}
				}
				if again > 0 {
					t.Errorf("beyond the guard again for %d seconds", again)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// An alarm needs no slice.
func TestAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := worse(4)
		cfg.AlarmAbove = 0.05
		var began time.Time
		var took []time.Duration
		cfg.Applied = func(levels []int) {
			switch {
			case levels[0] == 6:
				began = time.Now()
			case !began.IsZero():
				took, began = append(took, time.Since(began)), time.Time{}
			}
		}
		r := newRig(t, cfg, propose(6))
		stop := r.start(t)
		until(t, "the alarm", time.Hour, r.decided(perfcore.Aborted))
		if len(took) == 0 || slices.Max(took) > 1500*time.Millisecond {
			t.Errorf("the incumbents were back after %v, want a second", took)
		}
		if d, ok := r.last(perfcore.Aborted); !ok || !strings.Contains(d.Reason, "overheats") {
			t.Errorf("decision %v, want one that names the alarm", d)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// What a candidate has left in the slices behind it is no excuse: one that costs twice as
// much is blamed in its first trial, within two slices at a time, and stays away.
func TestGuardWithCarryOver(t *testing.T) {
	for seed := range uint64(20) {
		cfg := plant.Config{
			Start: []int{5}, Surface: plant.Step(5, math.Ln2), World: plant.Noisy(), Seed: seed,
			Carry: 0.6, Settle: time.Second,
		}
		tr := run(t, 300, 0, cfg, propose(6))
		i := slices.IndexFunc(tr.decisions, func(d perfcore.Decision) bool { return len(d.Moves) > 0 })
		if i < 0 || tr.decisions[i].Verdict != perfcore.Aborted {
			t.Errorf("seed %d: the decisions are %v", seed, tr.decisions)
		}
		tried, inARow := 0, 0
		for _, l := range tr.levels {
			if inARow++; l[0] == 5 {
				inARow = 0
			} else if tried++; inARow > 2 {
				t.Errorf("seed %d: %d slices beyond the guard in a row", seed, inARow)
			}
		}
		if tried > 6 {
			t.Errorf("seed %d: %d slices beyond the guard", seed, tried)
		}
	}
}

// A ringing plant raises an alarm when rings says so.
type ringing struct {
	*plant.Plant
	rings func() bool
}

func (r *ringing) Alarm() string {
	if r.rings() {
		return "the plant overheats"
	}
	return ""
}

// A level that comes with an alarm, which goes with it at once or within the washout, stays
// away, and is charged.
func TestAlarmBlames(t *testing.T) {
	for _, lasts := range []time.Duration{0, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			cfg := plant.Config{Start: []int{5}, Surface: plant.Flat(), Seed: 4}
			visits := 0
			var rang time.Time
			cfg.Applied = func(levels []int) {
				if levels[0] == 6 {
					visits++
				}
			}
			r := newRig(t, cfg, func(c *engine.Config) {
				p := c.Collector.(*plant.Plant)
				c.Engine = fixed{6}
				c.Collector = &ringing{p, func() bool {
					if p.Levels()[0] == 6 {
						rang = time.Now()
					}
					return !rang.IsZero() && time.Since(rang) <= lasts
				}}
			})
			stop := r.start(t)
			until(t, "the decision", time.Hour, r.decided(perfcore.Aborted))
			time.Sleep(time.Hour)
			if visits != 1 {
				t.Errorf("an alarm that lasts %v: it was tried %d times", lasts, visits)
			}
			if d, _ := r.last(perfcore.Aborted); !strings.Contains(d.Reason, "overheats, and with the incumbent") {
				t.Errorf("decision %v", d)
			}
			if r.Regret() == 0 {
				t.Errorf("an alarm that lasts %v has cost nothing", lasts)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// An alarm that stays with the incumbent in force, or was there before the candidate, is
// not the candidate's, which is tried again.
func TestAlarmBlamesNobody(t *testing.T) {
	for _, early := range []bool{false, true} {
		for seed := range uint64(5) {
			synctest.Test(t, func(t *testing.T) {
				var r *rig
				var began, end time.Time
				r = newRig(t, better(seed), func(c *engine.Config) {
					p := c.Collector.(*plant.Plant)
					c.Engine = fixed{6}
					c.Collector = &ringing{p, func() bool {
						if began.IsZero() && (early && r.decided(perfcore.Calibrated)() || p.Levels()[0] == 6) {
							began, end = time.Now(), time.Now().Add(90*time.Second)
						}
						return time.Now().Before(end)
					}}
				})
				stop := r.start(t)
				until(t, "the promotion", 40*time.Minute, r.decided(perfcore.Promoted))
				if began.IsZero() {
					t.Error("there was no alarm")
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A prober measures one perturbation at a time, and says where the knob may go.
type prober struct {
	fixed
	highs []int
}

func (p *prober) Propose(_ context.Context, s engine.Space, probe func(plus, minus []int) (float64, error)) ([]int, error) {
	p.highs = append(p.highs, s.High[0])
	if s.High[0] < 6 {
		return s.At, nil
	}
	_, err := probe([]int{6}, []int{5})
	return s.At, err
}

// An alarm at a perturbation is a limit, like a guard's.
func TestAlarmAtAPerturbation(t *testing.T) {
	cfg := worse(4)
	cfg.AlarmAbove = 0.05
	p := new(prober)
	tr := run(t, 300, 0, cfg, func(c *engine.Config) { c.Engine = p })
	if len(p.highs) < 2 || p.highs[0] != plant.Levels-1 || p.highs[1] != 5 {
		t.Errorf("the knob could go up to %v", p.highs)
	}
	aborted := 0
	for _, d := range tr.decisions {
		if d.Verdict != perfcore.Aborted {
			continue
		}
		if aborted++; !strings.Contains(d.Reason, "a perturbation was stopped: the plant overheats") {
			t.Errorf("decision %v", d)
		}
	}
	if aborted != 1 {
		t.Errorf("it was tried %d times: %v", aborted, tr.decisions)
	}
}
