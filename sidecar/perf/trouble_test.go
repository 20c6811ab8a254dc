package perf

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// Changes of the regime count for half an hour.
func TestFlapping(t *testing.T) {
	var f flapping
	start := time.Unix(0, 0)
	for _, tt := range []struct {
		at       time.Duration
		switches int
		want     int
	}{
		{0, 0, 0}, {time.Minute, 2, 2}, {2 * time.Minute, 2, 2}, {20 * time.Minute, 3, 3},
		{31 * time.Minute, 3, 1}, {49 * time.Minute, 3, 1}, {50 * time.Minute, 3, 0}, {51 * time.Minute, 9, 6},
	} {
		if got := f.count(tt.switches, start.Add(tt.at)); got != tt.want {
			t.Errorf("behind %v there were %d changes lately, want %d", tt.at, got, tt.want)
		}
	}
}

// Changes of the regime before a plant is followed are not told of it: the classifier is
// there for longer than a plant.
func TestFlappingBefore(t *testing.T) {
	m := newMill(t)
	p, err := New(Config{Mode: Observe, Datadir: m.dir, Registry: m.registry})
	if err != nil {
		t.Fatal(err)
	}
	swing := func() {
		for _, blocks := range []float64{10, 0} {
			for range 3 {
				p.classifier.Observe(chain(blocks))
			}
		}
	}
	swing()
	swing()
	f, err := p.newFollowing(Plant{Network: "regtest", Dir: filepath.Join(m.dir, "perf"), Knobs: m.knobs()})
	if err != nil {
		t.Fatal(err)
	}
	if n := f.flaps.count(p.classifier.Switches(), time.Now()); n != 0 || p.classifier.Switches() != 4 {
		t.Errorf("%d changes of %d are told of a plant that was not there", n, p.classifier.Switches())
	}
	swing()
	if n := f.flaps.count(p.classifier.Switches(), time.Now()); n != 2 {
		t.Errorf("%d changes are told, want 2", n)
	}
}

// A chain is so many blocks behind.
type chain float64

func (c chain) Value(quantity string) (float64, bool) { return float64(c), quantity == behind }

// A knob turns when it goes another way than last time, for good.
func TestTurns(t *testing.T) {
	now := time.Unix(1e9, 0)
	// series returns decisions that take a knob through values, one a minute up to now.
	series := func(knob string, v perfcore.Verdict, values ...int64) []perfcore.Decision {
		var list []perfcore.Decision
		for i := 1; i < len(values); i++ {
			list = append(list, perfcore.Decision{
				Verdict: v, At: now.Add(time.Duration(i-len(values)) * time.Minute),
				Moves: []perfcore.Move{{Knob: knob, From: values[i-1], To: values[i]}},
			})
		}
		return list
	}
	swing := make([]int64, 40)
	for i := range swing {
		swing[i] = int64(i % 2)
	}
	old := series("a", perfcore.Promoted, 1, 2, 1, 2, 1)
	for i := range old {
		old[i].At = now.Add(-25 * time.Hour)
	}
	for _, tt := range []struct {
		name      string
		decisions []perfcore.Decision
		want      int
	}{
		{"nothing", nil, 0},
		{"one way", series("a", perfcore.Promoted, 1, 2, 3, 5), 0},
		{"there and back", series("a", perfcore.Promoted, 1, 2, 1), 1},
		{"to and fro", series("a", perfcore.Promoted, 1, 2, 1, 3, 2, 4), 4},
		{"leases", series("a", perfcore.Leased, 1, 2, 1, 2), 2},
		{"promoted and withdrawn", append(series("a", perfcore.Promoted, 1, 2), series("a", perfcore.Withdrawn, 2, 1)...), 1},
		{"what was rejected", series("a", perfcore.Rejected, 1, 2, 1, 2), 0},
		{"what a regime brings back", series("a", perfcore.Recalled, 1, 2, 1, 2), 0},
		{"two knobs, one each", append(series("a", perfcore.Promoted, 1, 2, 3), series("b", perfcore.Promoted, 3, 2, 1)...), 0},
		{"the last twenty", series("a", perfcore.Promoted, swing...), 19},
		{"long ago", old, 0},
	} {
		if got := turns(tt.decisions, now); got != tt.want {
			t.Errorf("%s: %d turns, want %d", tt.name, got, tt.want)
		}
	}
}
