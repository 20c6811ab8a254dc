package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
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
		if err := m.join(t.Context()); err != nil {
			t.Errorf("join: %v", err)
		}
		if !slices.Equal(*hangs, []int{1, 0}) {
			t.Errorf("%v knobs hung", *hangs)
		}
		if err := m.Release("plant.b"); err != nil {
			t.Error(err)
		}
		if k := m.Knobs()[1]; k.Owner != Engine || k.Incumbent != 30 {
			t.Errorf("released, it is the %v's at %d, want the 30 that came late", k.Owner, k.Incumbent)
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
		m, levers, h, _ := newHeavy(t)
		h.read = make(chan struct{})
		whys := m.foreign()
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
		if err := m.join(t.Context()); err != nil {
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
		time.Sleep(perfcore.DefaultWithin)
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
