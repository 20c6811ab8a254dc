package perf

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/arbiter"
)

const unit = 1 << 20

// A store of the mill has memory, and gives back what it is told to unless it is stuck.
type store struct {
	lease, held atomic.Int64
	stuck       atomic.Bool
	worth       atomic.Int64 // units by which something is saved
}

// share gives the mill two stores, of 50 units each of 100, whose leases are knobs.
func (m *mill) share() (small, large *store) {
	m.memory = &Memory{Limit: 100 * unit, Unit: unit}
	add := func(name string, worth int64) *store {
		s := new(store)
		s.lease.Store(50 * unit)
		s.held.Store(50 * unit)
		s.worth.Store(worth)
		k := perfcore.Knob{
			Name: name, Help: "A store of the test.", Unit: "bytes", Scope: perfcore.Live, Carry: perfcore.Stateful, Settle: time.Minute, Resource: perfcore.Memory,
			Apply: func(_ context.Context, n int64) error {
				s.lease.Store(n)
				if !s.stuck.Load() {
					s.held.Store(n)
				}
				return nil
			},
			Read: s.lease.Load,
		}
		for n := int64(0); n <= 100; n++ {
			k.Ladder = append(k.Ladder, n*unit)
		}
		m.leases = append(m.leases, k)
		m.memory.Tenants = append(m.memory.Tenants, arbiter.Tenant{
			Knob: name, Least: func() int64 { return unit }, Most: 100 * unit, Settle: time.Minute, Held: s.held.Load,
			Bid: func(_ int64, units int) arbiter.Bid {
				b := arbiter.Bid{Miss: make(arbiter.Curve, units+1), References: 1000, Penalty: 1e6}
				for u := range b.Miss {
					b.Miss[u] = max(0, 1-float64(u)/float64(s.worth.Load()))
				}
				b.Saved = arbiter.CacheSavings(b.Miss, b.References, b.Penalty)
				return b
			},
		})
		return s
	}
	return add("plant.small", 10), add("plant.large", 90)
}

// In optimize the leases move to where they save most, are explained, kept and undone
// like any change; experiments leave them alone.
func TestMemoryMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		small, large := m.share()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go m.work(ctx)
		p, stop := m.start(t, Config{Mode: Optimize, SnapshotEvery: 1}, 100)
		for range 3 * 60 {
			time.Sleep(time.Minute)
			// What grows is read first: it may only when the other has shrunk.
			grown := large.lease.Load()
			if sum := grown + small.lease.Load(); sum > 100*unit {
				t.Fatalf("%d bytes are leased", sum)
			}
		}
		if small.lease.Load() != 10*unit || large.lease.Load() != 90*unit {
			t.Errorf("the leases are %d and %d units", small.lease.Load()/unit, large.lease.Load()/unit)
		}
		list, err := p.decisions(0)
		if err != nil {
			t.Fatal(err)
		}
		moves := 0
		for _, d := range list {
			touched := slices.ContainsFunc(d.Moves, func(m Move) bool { return m.Knob == "plant.small" || m.Knob == "plant.large" })
			if touched != (d.Verdict == "leased") {
				t.Errorf("decision %+v", d)
			}
			if d.Verdict != "leased" {
				continue
			}
			moves++
			why, err := p.why(d.Seq)
			if err != nil || why.Prediction == "" || why.Trigger == "" || len(why.Guards) != 3 || why.Effect != "" {
				t.Errorf("it is explained by %+v, %v", why, err)
			}
			if moves == 4 && !slices.Contains(why.Undo, "outrider perf pin plant.large 83886080") {
				t.Errorf("it is undone by %q", why.Undo)
			}
		}
		if moves != 4 {
			t.Errorf("memory moved %d times", moves)
		}
		curves, err := p.curves()
		if err != nil || !curves.Moves || curves.Free != 0 || curves.Memories[1].Would != 90*unit || len(curves.Memories[1].Points) != 101 {
			t.Errorf("the curves are %+v, %v", curves, err)
		}
		var b strings.Builder
		if err := curves.WriteTable(&b); err != nil || !strings.Contains(b.String(), "> ") || !strings.Contains(b.String(), "misses 45.6 %") {
			t.Errorf("the plot is\n%s, %v", b.String(), err)
		}

		// A pin is the operator's, and so is what follows from it.
		if err := p.pin(ctx, "plant.large", 30*unit); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if small.lease.Load() != 10*unit || large.lease.Load() != 30*unit {
			t.Errorf("with one pinned they are %d and %d units", small.lease.Load()/unit, large.lease.Load()/unit)
		}
		if err := p.release("plant.large"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if large.lease.Load() != 90*unit {
			t.Errorf("released it is %d units", large.lease.Load()/unit)
		}
		if err := p.defaults(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if small.lease.Load() != 50*unit || large.lease.Load() != 50*unit {
			t.Errorf("frozen at the defaults they are %d and %d units", small.lease.Load()/unit, large.lease.Load()/unit)
		}
		if knobs, err := p.knobs(); err != nil || knobs[2].Owner != "arbiter" || knobs[3].Owner != "arbiter" {
			t.Errorf("the knobs are %+v, %v", knobs, err)
		}
		if err := p.thawed(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if large.lease.Load() != 90*unit {
			t.Errorf("thawed it is %d units", large.lease.Load()/unit)
		}
		cancel()
		if err := stop(); err != nil {
			t.Error(err)
		}

		// Another run begins as the operator has it.
		small.lease.Store(50 * unit)
		large.lease.Store(50 * unit)
		_, stop = m.start(t, Config{Mode: Optimize, SnapshotEvery: 1}, 100)
		time.Sleep(time.Minute)
		if small.lease.Load() != 50*unit || large.lease.Load() != 50*unit {
			t.Errorf("the next run begins with %d and %d units", small.lease.Load()/unit, large.lease.Load()/unit)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// In observe it is said once what would be done, and nothing moves.
func TestMemoryIsObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		small, large := m.share()
		p, stop := m.start(t, Config{Mode: Observe}, 0)
		time.Sleep(3 * time.Hour)
		list, err := p.decisions(0)
		if err != nil || len(list) != 1 || list[0].Verdict != "advised" || len(list[0].Moves) != 2 {
			t.Errorf("decided was %+v, %v", list, err)
		}
		if curves, err := p.curves(); err != nil || curves.Moves || curves.Memories[1].Would != 90*unit {
			t.Errorf("the curves are %+v, %v", curves, err)
		}
		if small.lease.Load() != 50*unit || large.lease.Load() != 50*unit {
			t.Error("a lease has moved")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Who does not give memory back keeps others from growing, and an alert is raised until
// it does.
func TestMemoryPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		small, large := m.share()
		small.stuck.Store(true)
		p, stop := m.start(t, Config{Mode: Optimize}, 0)
		time.Sleep(20 * time.Minute)
		firing := func() bool {
			return slices.ContainsFunc(p.status().Alerts, func(a Alert) bool { return a.Name == "memory_pressure" && a.State == Firing })
		}
		if !firing() || small.lease.Load() != 40*unit || large.lease.Load() != 50*unit {
			t.Errorf("the alerts are %+v, the leases %d and %d units", p.status().Alerts, small.lease.Load()/unit, large.lease.Load()/unit)
		}
		if c, err := p.curves(); err != nil || !strings.Contains(c.Late, "plant.small") {
			t.Errorf("the curves say %q, %v", c.Late, err)
		}
		small.stuck.Store(false)
		small.held.Store(small.lease.Load())
		time.Sleep(5 * time.Minute)
		if firing() || large.lease.Load() != 60*unit {
			t.Errorf("behind it the alerts are %+v, and %d units are leased", p.status().Alerts, large.lease.Load()/unit)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Without anybody who shares memory there are no curves.
func TestNoMemory(t *testing.T) {
	m := newMill(t)
	_, c := m.served(t, Config{Mode: Observe})
	if err := c.Get(t.Context(), "curves", nil); err == nil || err.Error() != errNoMemory.Error() {
		t.Errorf("curves: %v", err)
	}
}
