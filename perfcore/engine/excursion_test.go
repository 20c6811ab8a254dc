package engine

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// A chain is a plant that blocks come to, and what happens at the begin of a slice.
type chain struct {
	*plant.Plant
	begun            func(level int)
	blocks           int
	announced, rings time.Time // until when a block is, and an alarm does
	void             bool      // the slice says nothing
	idles            bool      // at 6 no work is done
}

func (c *chain) Regime() string {
	if time.Now().Before(c.announced) {
		return "block"
	}
	return ""
}

func (c *chain) Changes() int { return c.blocks }

func (c *chain) Alarm() string {
	if time.Now().Before(c.rings) {
		return "memory runs out"
	}
	return ""
}

func (c *chain) Begin() { c.begun(c.Levels()[0]) }

func (c *chain) Collect() perfcore.Sample {
	s := c.Plant.Collect()
	if c.void {
		s.Void = "somebody else was busy"
	}
	if c.idles && c.Levels()[0] == 6 {
		s.Work = 0
	}
	return s
}

// announce announces a block that is there in five seconds.
func (c *chain) announce() { c.announced = time.Now().Add(5 * time.Second) }

// flash has a block be announced and judged between two looks.
func (c *chain) flash() { c.blocks++ }

// onChain returns a tuner in a world without noise, of whose knob each level but 5 has an
// effect on the cost.
func onChain(t *testing.T, effect float64) (*tuner, *chain) {
	t.Helper()
	tu := settledTuner(t, plant.World{}, effect, 1)
	c := &chain{Plant: tu.o.cfg.Collector.(*plant.Plant), begun: func(int) {}}
	tu.o.cfg.Collector, tu.o.cfg.Quiet = c, []string{"block"}
	tu.noise.addZero([]float64{0.04, -0.04, 0.04, -0.04})
	tu.plain = tu.noise
	tu.effort.addZero(make([]float64, maxBlocks))
	return tu, c
}

// A candidate that the guard or an alarm has stopped is not put in force again in its trial
// when a block comes before it is known who is to blame.
func TestBlockBehindAGuard(t *testing.T) {
	for _, tt := range []struct {
		name   string
		effect float64
		alarm  bool
		idles  bool
		behind int // the slice of the incumbent, behind the candidate's, in which it comes
		comes  func(*chain)
	}{
		{"guard, announced in the washout", 1, false, false, 1, (*chain).announce},
		{"guard, announced behind it", 1, false, false, 2, (*chain).announce},
		{"guard, between two looks", 1, false, false, 2, (*chain).flash},
		{"no work, announced behind the washout", 0, false, true, 2, (*chain).announce},
		{"alarm, announced in the washout", 0, true, false, 1, (*chain).announce},
		{"alarm, announced behind it", 0, true, false, 2, (*chain).announce},
		{"alarm, between two looks", 0, true, false, 1, (*chain).flash},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tu, c := onChain(t, tt.effect)
				c.idles = tt.idles
				tried, behind := 0, 0
				c.begun = func(level int) {
					switch {
					case level == 6:
						tried++
						behind = 0
						if tt.alarm {
							c.rings = time.Now().Add(1100 * time.Millisecond)
						}
					case tried > 0:
						if behind++; behind == tt.behind {
							tt.comes(c)
						}
					}
				}
				r, err := tu.trial(t.Context(), []int{6}, tu.isBetter())
				if err != nil || r.verdict != perfcore.Inconclusive || !r.interrupted || tried != 1 {
					t.Errorf("in %d slices of the candidate: %v, %s; %v", tried, r.verdict, r.reason, err)
				}
			})
		})
	}
}

// An alarm that is seen together with a block is not the candidate's.
func TestAlarmWithABlock(t *testing.T) {
	for name, comes := range map[string]func(*chain){"announced": (*chain).announce, "between two looks": (*chain).flash} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tu, c := onChain(t, -0.2)
				tried := 0
				c.begun = func(level int) {
					if level != 6 {
						return
					}
					if tried++; tried == 1 {
						comes(c)
						c.rings = time.Now().Add(1100 * time.Millisecond)
					}
				}
				r, err := tu.trial(t.Context(), []int{6}, tu.isBetter())
				if err != nil || r.verdict != perfcore.Promoted || r.interrupted {
					t.Errorf("%v, %s; %v", r.verdict, r.reason, err)
				}
			})
		})
	}
}

// A trial ends behind the fourth slice that a block has interrupted, and behind the fourth that
// says nothing, and neither counts for the other.
func TestTrialInterruptedTooOften(t *testing.T) {
	for _, tt := range []struct {
		slices string // the first ones: one with "a" is interrupted, and one with "v" says nothing
		want   perfcore.Verdict
		reason string
	}{
		{"vvvaaa", perfcore.Promoted, "it costs less"},
		{"aaavvv", perfcore.Promoted, "it costs less"},
		{"vvvaaaa", perfcore.Inconclusive, "interrupted too often; the last time: the regime was another one"},
		{"aaavvvv", perfcore.Inconclusive, "said nothing; of the last one: somebody else was busy"},
	} {
		synctest.Test(t, func(t *testing.T) {
			tu, c := onChain(t, -0.2)
			n := 0
			c.begun = func(int) {
				if c.void = n < len(tt.slices) && tt.slices[n] == 'v'; n < len(tt.slices) && tt.slices[n] == 'a' {
					c.flash()
				}
				n++
			}
			r, err := tu.trial(t.Context(), []int{6}, tu.isBetter())
			if ended := n == len(tt.slices); err != nil || r.verdict != tt.want || !strings.Contains(r.reason, tt.reason) || ended != (tt.want == perfcore.Inconclusive) {
				t.Errorf("%s: behind %d slices %v, %s; %v", tt.slices, n, r.verdict, r.reason, err)
			}
		})
	}
}
