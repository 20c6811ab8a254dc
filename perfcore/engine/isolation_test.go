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
	"github.com/outrider-project/outrider/perfcore/plant"
)

// An operator's knob that hung, or could not be set back, is the operator's again once it is
// released, at the value that it had.
func TestReleaseOfAnOperatorsKnob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lever{value: 20, refuse: make(map[int64]error)}
		k := l.knob("plant.operators", new([]string))
		k.Carry = perfcore.Stateful
		free, hangs := make(chan struct{}), true
		apply := k.Apply
		k.Apply = func(ctx context.Context, v int64) error {
			if hangs {
				hangs = false
				<-free
			}
			return apply(ctx, v)
		}
		m, err := NewResourceManager([]perfcore.Knob{k})
		if err != nil {
			t.Fatal(err)
		}
		is := func(o Owner, value int64) {
			t.Helper()
			if k := m.Knobs()[0]; k.Owner != o || k.Incumbent != value || l.value != value {
				t.Errorf("it is the %v's at %d, and reads %d; want the %v's at %d", k.Owner, k.Incumbent, l.value, o, value)
			}
		}
		if err := m.Pin(t.Context(), k.Name, 30); !errors.Is(err, errHangs) {
			t.Errorf("pinned: %v", err)
		}
		is(Nobody, 20)
		if err := m.Release(k.Name); !errors.Is(err, errHangs) {
			t.Errorf("released while it hangs: %v", err)
		}
		close(free)
		synctest.Wait() // it has been set to 30, late
		if err := m.Release(k.Name); err != nil {
			t.Error(err)
		}
		is(Operator, 20)
		if err := m.Release(k.Name); err == nil {
			t.Error("an operator's knob was released to nobody")
		}
		l.refuse[30], l.refuse[20] = errStuck, errStuck
		if err := m.Pin(t.Context(), k.Name, 30); !errors.Is(err, errStuck) {
			t.Errorf("pinned: %v", err)
		}
		is(Nobody, 20)
		clear(l.refuse)
		if err := m.Release(k.Name); err != nil {
			t.Error(err)
		}
		is(Operator, 20)
	})
}

// A knob that takes a value and reads another is set back by whoever has set it.
func TestReadingDiffers(t *testing.T) {
	log := new([]string)
	levers := []*lever{{value: 20}, {value: 20}}
	knobs := []perfcore.Knob{levers[0].knob("plant.lease", log), levers[1].knob("plant.free", log)}
	for i := range knobs {
		apply := knobs[i].Apply
		knobs[i].Apply = func(ctx context.Context, v int64) error {
			if v == 30 {
				v = 31 // as it happens
			}
			return apply(ctx, v)
		}
	}
	m, err := NewResourceManager(knobs)
	if err != nil {
		t.Fatal(err)
	}
	m.Entrust([]string{"plant.lease"})
	check := func(what string, err error, lease, free int64, owners ...Owner) {
		t.Helper()
		if got := values(levers); err == nil || !slices.Equal(got, []int64{lease, free}) {
			t.Errorf("%s: they are at %v, %v", what, got, err)
		}
		for i, k := range m.Knobs() {
			if k.Owner != owners[i] {
				t.Errorf("%s: %s is the %v's: %s", what, k.Name, k.Owner, k.Why)
			}
		}
	}
	ctx := t.Context()
	for range maxFailures - 1 {
		check("leased", m.Lease(ctx, "plant.lease", 30), 20, 20, Arbiter, Engine)
	}
	check("leased once too often", m.Lease(ctx, "plant.lease", 30), 20, 20, Nobody, Engine)
	for range maxFailures {
		check("pinned", m.Pin(ctx, "plant.free", 30), 20, 20, Nobody, Engine)
	}
	levels, _, epoch := m.incumbents()
	levels[1] = 0
	if err := m.apply(ctx, levels, epoch, false); err != nil {
		t.Fatal(err)
	}
	check("pinned in a trial", m.Pin(ctx, "plant.free", 30), 20, 10, Nobody, Engine)
	levers[0].value = 10 // while it is nobody's
	check("pinned where it is nobody's", m.Pin(ctx, "plant.lease", 30), 10, 10, Nobody, Engine)
}

// Nobody sets what somebody else has moved since the last slice: neither who begins a slice nor
// who ends one. What was set before it goes back.
func TestMovedBetweenSlices(t *testing.T) {
	m, levers, _ := newLevers(t)
	levels, _, epoch := m.incumbents()
	levels[0], levels[1] = 0, 0
	levers[1].value = 30
	if err := m.apply(t.Context(), levels, epoch, false); !errors.Is(err, errOwner) {
		t.Errorf("applied: %v", err)
	}
	if got := values(levers); !slices.Equal(got, []int64{20, 30, 20}) || m.Knobs()[1].Owner != Nobody {
		t.Errorf("they are at %v, and the second is the %v's", got, m.Knobs()[1].Owner)
	}
	levers[2].value = 30
	if err := m.restore(t.Context()); err != nil {
		t.Error(err)
	}
	if got := values(levers); !slices.Equal(got, []int64{20, 30, 30}) {
		t.Errorf("restored, they are at %v", got)
	}
	if news := m.news(); len(news) != 2 || len(m.news()) != 0 {
		t.Errorf("the news are %q, and then again", news)
	}
}

// A passing plant is in another regime once the first one is gone.
type passing struct {
	*plant.Plant
	gone atomic.Bool
}

func (p *passing) Regime() string {
	if p.gone.Load() {
		return "second"
	}
	return "first"
}

// Knobs that are isolated behind a slice are told of, also where the regime is another one once
// they have been read.
func TestIsolatedWhenTheRegimeChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plant.New(plant.Config{Start: []int{5, 5, 5}, Surface: plant.Flat(), Seed: 1})
		in := &passing{Plant: p}
		knobs := p.Knobs()
		hangs, free := false, make(chan struct{})
		read := knobs[0].Read
		knobs[0].Read = func() int64 {
			if hangs {
				in.gone.Store(true)
				<-free
			}
			return read()
		}
		o, err := New(Config{Knobs: knobs, Collector: in, Slice: time.Second, Seed: 2})
		if err != nil {
			t.Fatal(err)
		}
		tu := newTuner(o)
		if err := tu.watched(t.Context()); err != nil {
			t.Fatal(err)
		}
		hangs = true
		p.Interfere(1, 9)
		if err := tu.watched(t.Context()); err != nil {
			t.Fatal(err)
		}
		if o.Resources.Knobs()[0].Owner != Nobody || o.Resources.Knobs()[1].Owner != Nobody || !tu.switched() {
			t.Fatalf("in the regime %q the knobs are %+v", in.Regime(), o.Resources.Knobs())
		}
		all := o.Decisions(0)
		if len(all) != 1 || all[0].Verdict != perfcore.Isolated || !strings.Contains(all[0].Reason, "knob0") || !strings.Contains(all[0].Reason, "knob1") {
			t.Errorf("it was decided: %v", all)
		}
		close(free)
		synctest.Wait()
	})
}
