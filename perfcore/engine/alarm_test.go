package engine

import (
	"errors"
	"testing"
	"testing/synctest"

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
