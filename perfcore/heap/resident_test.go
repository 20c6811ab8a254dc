package heap

import (
	"math"
	"testing"
	"time"
)

// What is not Go's is told as it comes and goes, and what Go has released is not among it
// as long as that takes to leave the process.
func TestResident(t *testing.T) {
	type step struct{ all, used, want int64 } // MiB
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"as Go does it", []step{{500, 400, 100}, {400, 300, 100}, {500, 400, 100}}},
		{"mapped and not touched", []step{{500, 700, 0}, {800, 700, 100}}},
		{"others come and go", []step{{500, 400, 100}, {700, 400, 300}, {500, 400, 100}}},
		{"it leaves later", []step{{700, 600, 100}, {700, 300, 104}, {400, 300, 100}}},
		{"in part", []step{{700, 600, 100}, {700, 300, 104}, {550, 300, 106}, {400, 300, 100}}},
		{"others come meanwhile", []step{{700, 600, 100}, {750, 300, 154}, {450, 300, 150}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r resident
			for i, s := range tt.steps {
				if got := r.others(s.all*mib, s.used*mib); math.Abs(float64(got)/mib-float64(s.want)) > 1 {
					t.Errorf("step %d: %.2f MiB, want %d", i, float64(got)/mib, s.want)
				}
			}
		})
	}
}

// A kernel that never takes back what Go has released has that told as others' in the
// end: it is there.
func TestResidentForever(t *testing.T) {
	var r resident
	r.others(700*mib, 600*mib)
	got := int64(0)
	for range 1000 {
		before := got
		if got = r.others(700*mib, 300*mib); got < before {
			t.Fatalf("%d bytes after %d", got, before)
		}
	}
	if got < 399*mib || got > 400*mib {
		t.Errorf("%d MiB in the end, want 400", got/mib)
	}
}

// The limit comes to rest while Go's memory goes up and down below it, however late what
// it releases leaves the process, and others' memory is taken off it once.
func TestLimitRests(t *testing.T) {
	const (
		all      = 1000 * mib
		room     = 920 * mib
		live     = 200 * mib
		others   = 200 * mib
		declared = 150 * mib // of others
	)
	for name, stays := range map[string]float64{ // the share of what was released that is there after a reading
		"at once": 0, "within seconds": 0.5, "within half a minute": 0.9, "never": 1,
	} {
		t.Run(name, func(t *testing.T) {
			l := law{limit: all, ceiling: math.MaxInt64, reserve: 0.08}
			var rest resident
			limit, lazy := int64(room), 0.0 // of Go's
			least, most := int64(math.MaxInt64), int64(0)
			at := time.Unix(1, 0)
			used := int64(live)
			for i := range 2000 {
				before := used
				if used = min(live+100*mib, limit); i/10%2 == 0 {
					used = min(live+400*mib, limit)
				}
				// What it takes again is where it was.
				lazy = max(stays*lazy+float64(max(before-used, 0))-float64(max(used-before, 0)), 0)
				at = at.Add(2 * time.Second)
				trouble := ""
				limit, trouble = l.next(reading{
					at: at, live: live, share: 1, declared: declared, seen: rest.others(used+int64(lazy)+others, used),
				})
				if trouble != "" {
					t.Fatalf("reading %d: %s", i, trouble)
				}
				if i > 100 {
					least, most = min(least, limit), max(most, limit)
				}
			}
			if least < room-others-60*mib || most > room-others || most-least > 20*mib {
				t.Errorf("the limit goes from %d to %d MiB and back, and others have %d of %d MiB", least/mib, most/mib, others/mib, room/mib)
			}
		})
	}
}
