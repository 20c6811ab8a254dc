package engine

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// A loud plant raises an alarm in as many slices as are left.
type loud struct {
	*plant.Plant
	left int
}

func (l *loud) Alarm() string {
	if l.left == 0 {
		return ""
	}
	l.left--
	return "the plant overheats"
}

// An alarm is blamed on the candidate that it came with, if it has gone behind its washout,
// and on nobody where it was there before, or where there is no candidate.
func TestAlarmIsBlamed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before bool // in the incumbent's slice before the candidate's
		behind int  // in so many of the incumbent's behind it
		level  int
		blamed bool
	}{
		{"gone at once", false, 0, 6, true},
		{"gone behind the washout", false, 1, 6, true},
		{"stays", false, 2, 6, false},
		{"was there", true, 0, 6, false},
		{"of the incumbent", false, 0, 5, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tu := settledTuner(t, plant.World{}, 0, 1)
				if _, err := tu.incumbent(t.Context(), false); err != nil {
					t.Fatal(err)
				}
				c := &loud{Plant: tu.o.cfg.Collector.(*plant.Plant)}
				tu.o.cfg.Collector = c
				var rang *alarm
				if tt.before {
					c.left = 1
					if _, err := tu.incumbent(t.Context(), false); !errors.As(err, &rang) {
						t.Fatal(err)
					}
				}
				c.left = 1 + tt.behind
				var spent bill
				_, err := tu.candidate(t.Context(), []int{tt.level}, &spent, false)
				if errors.Is(err, errBlamed) != tt.blamed || !tt.blamed && !errors.As(err, &rang) {
					t.Errorf("it is blamed: %v", err)
				}
				if charged := spent.excess == 1; charged != tt.blamed {
					t.Errorf("%v slices are charged", spent.excess)
				}
			})
		})
	}
}

// A smoky plant raises an alarm while its knob is at 6, and for half a minute behind.
type smoky struct {
	*plant.Plant
	until time.Time
}

func (s *smoky) Alarm() string {
	if s.Levels()[0] == 6 {
		s.until = time.Now().Add(30 * time.Second)
	}
	if time.Now().Before(s.until) {
		return "there is smoke"
	}
	return ""
}

// Of an alarm that came with a candidate, and outlasts its washout, nobody knows. It is no
// evidence for a limit, and a miss all the same, or the same step would come again and again.
func TestAlarmThatOutlastsItsCandidate(t *testing.T) {
	for _, probes := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			tu := settledTuner(t, plant.World{}, 0, 1)
			e := &pupil{proposes: 6, probes: probes}
			tu.engine = e
			tu.o.cfg.Collector = &smoky{Plant: tu.o.cfg.Collector.(*plant.Plant)}
			for range 3 {
				time.Sleep(time.Minute)
				watch(t, tu)
				if err := tu.search(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			told := slices.Repeat([]perfcore.Verdict{perfcore.Aborted}, 3)
			if probes { // a perturbation has no verdict
				told = nil
			}
			if tu.misses != 3 || !slices.Equal(e.told, told) {
				t.Errorf("probes %v: there are %d misses, and %v is known; want %v", probes, tu.misses, e.told, told)
			}
		})
	}
}

// While an alarm stands nothing is tried, and the loop says why.
func TestStandingAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plant.New(plant.Config{Start: []int{5}, Surface: plant.Flat(), Seed: 1})
		o, err := New(Config{Knobs: p.Knobs(), Collector: &hindrance{p, true, 80}, Slice: time.Second, Seed: 2, Engine: &pupil{proposes: 6}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- o.Run(ctx) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		if why := o.Waits(); !slices.Contains(why, ringing) {
			t.Errorf("it waits for %q", why)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		all := o.Decisions(0)
		aborted := 0
		for _, d := range all {
			if d.Verdict == perfcore.Aborted {
				aborted++
			}
		}
		if aborted > 1 || len(all) < 2 {
			t.Errorf("in an hour %d trials were ended by it: %v", aborted, all)
		}
	})
}

// A scorched plant has an alarm that stands, and counts how often it was looked at with the knob
// elsewhere than at 5.
type scorched struct {
	*plant.Plant
	elsewhere int
}

func (s *scorched) Alarm() string {
	if s.Levels()[0] != 5 {
		s.elsewhere++
	}
	return "the plant overheats"
}

// While an alarm stands nothing that is on probation is tested, at rest neither, and the test is
// still due when it is over.
func TestStandingAlarmAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tu := settledTuner(t, plant.World{}, 0, 1)
		watch(t, tu)
		p := tu.o.cfg.Collector.(*plant.Plant)
		c := &scorched{Plant: p}
		tu.o.cfg.Collector = c
		tu.trials = []probation{{from: []int{4}, to: []int{5}}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		tu.rest = math.MaxInt
		tu.begin(tu.most())
		if err := tu.park(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if c.elsewhere != 0 || tu.dueTrial(true) != 0 {
			t.Errorf("%d times another value was in force; what is due: %+v", c.elsewhere, tu.trials)
		}
		tu.o.cfg.Collector = p
		watch(t, tu)
		if err := tu.retest(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if len(tu.trials) > 0 && tu.trials[0].passed == 0 {
			t.Errorf("behind it nothing was tested: %+v", tu.trials)
		}
	})
}
