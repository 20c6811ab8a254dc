package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// A heavy lever hangs when it is applied or read, until it is let go.
type heavy struct {
	lever
	apply, read chan struct{} // nil where it does not hang
	late        bool          // hangs whatever the context says
}

func (h *heavy) knob(name string) perfcore.Knob {
	k := h.lever.knob(name, new([]string))
	apply, read := k.Apply, k.Read
	k.Apply = func(ctx context.Context, v int64) error {
		if h.apply == nil {
			return apply(ctx, v)
		}
		ended := ctx.Done()
		if h.late {
			ended = nil
		}
		select {
		case <-h.apply:
			return apply(ctx, v)
		case <-ended:
			return ctx.Err()
		}
	}
	k.Read = func() int64 {
		if h.read != nil {
			<-h.read
		}
		return read()
	}
	return k
}

// Three levers of which the second is heavy, at 10 where the incumbents are at 20.
func newHeavy(t *testing.T) (m *ResourceManager, levers []*lever, h *heavy, hangs *[]int) {
	t.Helper()
	h = &heavy{lever: lever{value: 20}}
	a, c := &lever{value: 20}, &lever{value: 20}
	log := new([]string)
	var err error
	if m, err = NewResourceManager([]perfcore.Knob{a.knob("plant.a", log), h.knob("plant.b"), c.knob("plant.c", log)}); err != nil {
		t.Fatal(err)
	}
	hangs = new([]int)
	m.hangs = func(n int) { *hangs = append(*hangs, n) }
	if err := m.apply(t.Context(), []int{0, 0, 0}, m.epoch, false); err != nil {
		t.Fatal(err)
	}
	return m, []*lever{a, &h.lever, c}, h, hangs
}

// A knob whose Apply hangs is isolated when its time is over, and the others are at their
// incumbents then. While it hangs it is not called. When it has returned it can be
// released.
func TestApplyHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, levers, h, hangs := newHeavy(t)
		h.apply, h.late = make(chan struct{}), true
		began := time.Now()
		err := m.apply(t.Context(), []int{2, 2, 2}, m.epoch, false)
		if !errors.Is(err, errHangs) || !strings.Contains(err.Error(), "plant.b") {
			t.Errorf("apply: %v", err)
		}
		if took := time.Since(began); took != perfcore.DefaultWithin+graceTime {
			t.Errorf("it took %v", took)
		}
		// The third was away already, and comes back with the next restoration.
		if err := m.restore(t.Context()); err != nil {
			t.Errorf("restore: %v", err)
		}
		if levers[0].value != 20 || levers[2].value != 20 {
			t.Errorf("the others are at %d and %d, want 20", levers[0].value, levers[2].value)
		}
		k := m.Knobs()[1]
		if k.Owner != Nobody || !strings.Contains(k.Why, "hangs") {
			t.Errorf("it is the %v's: %s", k.Owner, k.Why)
		}
		if got := k.Read(); got != 10 {
			t.Errorf("it reads %d meanwhile, and read 10 last", got)
		}
		began = time.Now()
		if err := m.Pin(t.Context(), "plant.b", 30); !errors.Is(err, errHangs) {
			t.Errorf("it is pinned while it hangs: %v", err)
		}
		if err := m.Release("plant.b"); !errors.Is(err, errHangs) {
			t.Errorf("it is released while it hangs: %v", err)
		}
		if time.Since(began) != 0 {
			t.Errorf("a knob that hangs is waited for again, for %v", time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.join(ctx); !errors.Is(err, errHangs) || !strings.Contains(err.Error(), "plant.b") {
			t.Errorf("join: %v", err)
		}
		close(h.apply)
		synctest.Wait()
		if !slices.Equal(*hangs, []int{1, 0}) {
			t.Errorf("%v knobs hung", *hangs)
		}
		if h.value != 30 {
			t.Errorf("it is at %d, want the 30 that came late", h.value)
		}
		if err := m.Release("plant.b"); err != nil {
			t.Error(err)
		}
		if k := m.Knobs()[1]; k.Owner != Engine || k.Incumbent != 20 || h.value != 20 {
			t.Errorf("released, it is the %v's at %d, incumbent %d, want 20, which was verified", k.Owner, h.value, k.Incumbent)
		}
	})
}

// A knob that has returned is set back to its incumbent, with the next slice or at the end,
// and stays isolated.
func TestLateComesBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		back func(t *testing.T, m *ResourceManager) string
	}{
		{"with the next slice", func(t *testing.T, m *ResourceManager) string {
			return strings.Join(m.foreign(t.Context()), "; ")
		}},
		{"at the end", func(t *testing.T, m *ResourceManager) string {
			if err := m.join(t.Context()); err != nil {
				return err.Error()
			}
			return ""
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, _, h, _ := newHeavy(t)
				h.apply, h.late = make(chan struct{}), true
				if err := m.apply(t.Context(), []int{2, 2, 2}, m.epoch, false); !errors.Is(err, errHangs) {
					t.Fatalf("apply: %v", err)
				}
				close(h.apply)
				synctest.Wait()
				before := m.epoch
				if h.value != 30 {
					t.Fatalf("it is at %d, want the 30 that came late", h.value)
				}
				if why := tt.back(t, m); why != "" {
					t.Errorf("it came back: %s", why)
				}
				if k := m.Knobs()[1]; h.value != 20 || k.Owner != Nobody || m.epoch == before {
					t.Errorf("it is the %v's at %d, at epoch %d as before %d", k.Owner, h.value, m.epoch, before)
				}
				h.value = 30 // by its owner, who is nobody: that is left alone
				if why := tt.back(t, m); why != "" || h.value != 30 {
					t.Errorf("again it is at %d: %s", h.value, why)
				}
			})
		})
	}
}

// What has returned and cannot be set back says so.
func TestLateCannotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _, h, _ := newHeavy(t)
		h.apply, h.late = make(chan struct{}), true
		if err := m.apply(t.Context(), []int{2, 2, 2}, m.epoch, false); !errors.Is(err, errHangs) {
			t.Fatalf("apply: %v", err)
		}
		h.refuse = map[int64]error{20: errStuck}
		close(h.apply)
		synctest.Wait()
		if whys := m.foreign(t.Context()); len(whys) != 1 || !strings.Contains(whys[0], "stuck") {
			t.Errorf("left alone are %q", whys)
		}
		if k := m.Knobs()[1]; k.Owner != Nobody || !strings.Contains(k.Why, "stuck") {
			t.Errorf("it is the %v's: %s", k.Owner, k.Why)
		}
	})
}

// A knob that takes longer than others, and says so, has its time on its way back; and one that
// takes longer than it says is told of once.
func TestSlowComesBack(t *testing.T) {
	for _, within := range []time.Duration{10 * time.Second, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var takes, at atomic.Int64
			takes.Store(int64(time.Minute))
			at.Store(20)
			k := new(lever).knob("plant.b", nil)
			k.Within, k.Read = within, at.Load
			k.Apply = func(_ context.Context, v int64) error {
				time.Sleep(time.Duration(takes.Load()))
				at.Store(v)
				return nil
			}
			m, err := NewResourceManager([]perfcore.Knob{k})
			if err != nil {
				t.Fatal(err)
			}
			if err := m.apply(t.Context(), []int{2}, m.epoch, false); !errors.Is(err, errHangs) {
				t.Fatalf("apply: %v", err)
			}
			takes.Store(int64(7 * time.Second))
			var whys []string
			for range 5 {
				time.Sleep(time.Minute)
				whys = append(whys, m.foreign(t.Context())...)
			}
			if back := !m.knobs[0].hung; len(whys) != 0 || back != (within == 10*time.Second) {
				t.Errorf("within %v: back %v, %q", within, back, whys)
			}
			time.Sleep(time.Minute)
			if at.Load() != 20 {
				t.Errorf("within %v: it is at %d", within, at.Load())
			}
		})
	}
}

// Knobs that hang on their way back share its time, and the others have some.
func TestSeveralHangOnTheWayBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var levers []*heavy
		var knobs []perfcore.Knob
		for _, name := range []string{"plant.a", "plant.b", "plant.c"} {
			h := &heavy{lever: lever{value: 20}}
			levers, knobs = append(levers, h), append(knobs, h.knob(name))
		}
		m, err := NewResourceManager(knobs)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.apply(t.Context(), []int{0, 0, 0}, m.epoch, false); err != nil {
			t.Fatal(err)
		}
		let := make(chan struct{})
		for _, i := range []int{0, 2} {
			levers[i].apply, levers[i].late = let, true
		}
		began := time.Now()
		if err := m.restore(t.Context()); !errors.Is(err, errHangs) {
			t.Errorf("restore: %v", err)
		}
		if took := time.Since(began); took != undoTimeout+3*graceTime || levers[1].value != 20 {
			t.Errorf("after %v the one between is at %d", took, levers[1].value)
		}
		close(let)
		if err := m.join(t.Context()); err != nil {
			t.Error(err)
		}
		for i := range levers {
			if levers[i].value != 20 {
				t.Errorf("in the end plant.%c is at %d", 'a'+i, levers[i].value)
			}
		}
		let = make(chan struct{})
		for i, name := range []string{"plant.a", "plant.b", "plant.c"} {
			if err := m.Release(name); err != nil {
				t.Error(err)
			}
			levers[i].read = let
		}
		began = time.Now()
		if whys := m.foreign(t.Context()); len(whys) != 3 || time.Since(began) != perfcore.DefaultWithin+graceTime {
			t.Errorf("after %v left alone are %q", time.Since(began), whys)
		}
		close(let)
		if err := m.join(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// The time of a call is that of its context, and a second.
func TestCallEndsWithItsContext(t *testing.T) {
	for _, limit := range []time.Duration{0, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			m, _, h, _ := newHeavy(t)
			h.apply, h.late = make(chan struct{}), true
			ctx, stop := context.WithTimeout(t.Context(), limit)
			defer stop()
			began := time.Now()
			if err := m.Pin(ctx, "plant.b", 30); !errors.Is(err, errHangs) || time.Since(began) != limit+graceTime {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
			close(h.apply)
			if err := m.join(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A pin that hangs isolates the knob, and holds when it is given again.
func TestPinHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _, h, _ := newHeavy(t)
		h.apply, h.late = make(chan struct{}), true
		if err := m.Pin(t.Context(), "plant.b", 30); !errors.Is(err, errHangs) {
			t.Errorf("pin: %v", err)
		}
		if k := m.Knobs()[1]; k.Owner != Nobody || !strings.Contains(k.Why, "hangs") {
			t.Errorf("it is the %v's: %s", k.Owner, k.Why)
		}
		close(h.apply)
		synctest.Wait()
		if err := m.Pin(t.Context(), "plant.b", 30); err != nil {
			t.Error(err)
		}
		if whys := m.foreign(t.Context()); len(whys) > 0 {
			t.Errorf("left alone are %q", whys)
		}
		if k := m.Knobs()[1]; k.Owner != Operator || k.Incumbent != 30 || h.value != 30 {
			t.Errorf("it is the %v's at %d, incumbent %d", k.Owner, h.value, k.Incumbent)
		}
	})
}

// A knob that heeds its context has failed, and does not hang.
func TestApplyHeedsItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _, h, hangs := newHeavy(t)
		h.apply = make(chan struct{})
		if err := m.apply(t.Context(), []int{2, 2, 2}, m.epoch, false); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("apply: %v", err)
		}
		if len(*hangs) > 0 {
			t.Errorf("%v knobs hung", *hangs)
		}
	})
}

// A knob that says so has another time.
func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &heavy{lever: lever{value: 20}}
		k := h.knob("plant.b")
		k.Within = time.Minute
		m, err := NewResourceManager([]perfcore.Knob{k})
		if err != nil {
			t.Fatal(err)
		}
		h.apply, h.late = make(chan struct{}), true
		began := time.Now()
		if err := m.Pin(t.Context(), "plant.b", 30); !errors.Is(err, errHangs) || time.Since(began) != time.Minute+graceTime {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		close(h.apply)
		if err := m.join(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A knob whose Read hangs is isolated, too.
func TestReadHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fresh := &heavy{lever: lever{value: 20}}
		other, err := NewResourceManager([]perfcore.Knob{fresh.knob("plant.b")})
		if err != nil {
			t.Fatal(err)
		}
		m, levers, h, _ := newHeavy(t)
		h.read = make(chan struct{})
		fresh.read = h.read
		if got := other.Knobs()[0].Read(); got != 20 {
			t.Errorf("never read since, it reads %d, want the 20 of the beginning", got)
		}
		whys := m.foreign(t.Context())
		if len(whys) != 1 || !strings.Contains(whys[0], "plant.b") || !strings.Contains(whys[0], "hangs") {
			t.Errorf("left alone are %q", whys)
		}
		if err := m.restore(t.Context()); err != nil {
			t.Error(err)
		}
		if levers[0].value != 20 || levers[2].value != 20 {
			t.Errorf("the others are at %d and %d, want 20", levers[0].value, levers[2].value)
		}
		close(h.read)
		if err := errors.Join(m.join(t.Context()), other.join(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// Several calls that hang at once are one knob that hangs, until the last has returned.
func TestSeveralCallsHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _, h, hangs := newHeavy(t)
		h.read = make(chan struct{})
		k := m.Knobs()[1]
		for range 3 {
			go k.Read()
		}
		time.Sleep(perfcore.DefaultWithin + graceTime)
		synctest.Wait()
		if !slices.Equal(*hangs, []int{1}) {
			t.Errorf("%v knobs hang", *hangs)
		}
		h.read <- struct{}{}
		synctest.Wait()
		if m.leashes[1].hanging() == nil {
			t.Error("two calls hang, and nobody waits for them")
		}
		close(h.read)
		synctest.Wait()
		if !slices.Equal(*hangs, []int{1, 0}) {
			t.Errorf("%v knobs hung", *hangs)
		}
	})
}

// A lease of a knob that hangs is isolated at once.
func TestLeaseHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _, h, _ := newHeavy(t)
		if err := m.restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.Entrust([]string{"plant.b"})
		h.apply, h.late = make(chan struct{}), true
		if err := m.Lease(t.Context(), "plant.b", 30); !errors.Is(err, errHangs) {
			t.Errorf("lease: %v", err)
		}
		if k := m.Knobs()[1]; k.Owner != Nobody {
			t.Errorf("it is the %v's", k.Owner)
		}
		close(h.apply)
		if err := m.join(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
