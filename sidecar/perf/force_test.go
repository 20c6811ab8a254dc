package perf

import (
	"context"
	"maps"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// inForce returns the values that the last slice has.
func inForce(t *testing.T, p *Performance) map[string]int64 {
	t.Helper()
	s := p.status().Slice
	if s == nil {
		t.Fatal("there is no slice")
	}
	return s.Knobs
}

// A slice in which a knob was set and set back has no values, and the next one has.
func TestSetAndSetBackInASlice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, stop := newMill(t).start(t, Config{Mode: Observe}, 0)
		time.Sleep(12 * time.Second)
		want := map[string]int64{"plant.speed": 1, "plant.size": 10}
		if got := inForce(t, p); !maps.Equal(got, want) {
			t.Errorf("where nothing was set the values are %v", got)
		}
		for _, v := range []int64{3, 1} {
			if time.Sleep(3 * time.Second); p.pin(t.Context(), "plant.speed", v) != nil {
				t.Fatalf("the knob cannot be set to %d", v)
			}
		}
		time.Sleep(4 * time.Second)
		if got := inForce(t, p); got != nil {
			t.Errorf("where a knob was set and set back the values are %v", got)
		}
		time.Sleep(10 * time.Second)
		if got := inForce(t, p); !maps.Equal(got, want) {
			t.Errorf("in the slice behind it the values are %v", got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A slice in which a knob hangs has no values: what hangs may set it at any time.
func TestNoValuesWhileAKnobHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		var hangs atomic.Bool
		returns := make(chan struct{})
		m.leases = []perfcore.Knob{{
			Name: "plant.late", Help: "A knob of the test.", Unit: "things", Scope: perfcore.Live, Ladder: []int64{1, 2}, Carry: perfcore.Memoryless,
			Apply: func(context.Context, int64) error { return nil },
			Read: func() int64 {
				if hangs.Load() {
					<-returns
				}
				return 1
			},
		}}
		p, stop := m.start(t, Config{Mode: Observe}, 0)
		time.Sleep(15 * time.Second)
		hangs.Store(true)
		time.Sleep(time.Minute)
		if got := inForce(t, p); got != nil {
			t.Errorf("while a knob hangs the values are %v", got)
		}
		hangs.Store(false)
		close(returns)
		time.Sleep(30 * time.Second)
		if got := inForce(t, p); got["plant.late"] != 1 || len(got) != 3 {
			t.Errorf("when it has returned the values are %v", got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
