package engine

import (
	"strings"
	"testing"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/snapshot"
)

// What was pinned since a snapshot is pinned no more when that is restored: an operator's knob
// has the snapshot's value, a lease goes back to its arbiter as it is, and the way back brings
// both pins back. What cannot go back is named.
func TestRestoreUnpins(t *testing.T) {
	log := new([]string)
	levers := []*lever{{value: 20}, {value: 20}, {value: 20}}
	own := levers[0].knob("plant.own", log)
	own.Carry = perfcore.Stateful
	lease := levers[1].knob("plant.lease", log)
	o, err := New(Config{Knobs: []perfcore.Knob{own, lease, levers[2].knob("plant.engine", log)}, Collector: blank{}})
	if err != nil {
		t.Fatal(err)
	}
	m, ctx := o.Resources, t.Context()
	m.Entrust([]string{"plant.lease"})
	kept, err := o.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"plant.own", "plant.lease"} {
		if err := m.Pin(ctx, name, 30); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(when string, name string, owner Owner, pinned bool, value int64) {
		t.Helper()
		k, err := m.Knob(name)
		if err != nil || k.Owner != owner || (k.Why == whyPinned) != pinned || k.Incumbent != value || k.Read() != value {
			t.Errorf("%s %s is the %v's, %q, at %d, reads %d, %v", when, name, k.Owner, k.Why, k.Incumbent, k.Read(), err)
		}
	}
	if refused, err := o.Restore(ctx, kept.Seq); err != nil || refused != nil {
		t.Fatalf("Restore: %v, %v", refused, err)
	}
	holds("restored,", "plant.own", Operator, false, 20)
	holds("restored,", "plant.lease", Arbiter, false, 30)
	all := o.Decisions(0)
	d := all[len(all)-1]
	if len(d.Moves) != 1 || d.Moves[0] != (perfcore.Move{Knob: "plant.own", From: 30, To: 20}) {
		t.Errorf("the decision is %v", d)
	}
	if refused, err := o.Restore(ctx, d.Before); err != nil || refused != nil {
		t.Fatalf("the way back: %v, %v", refused, err)
	}
	holds("back,", "plant.own", Operator, true, 30)
	holds("back,", "plant.lease", Operator, true, 30)

	odd, err := o.cfg.Snapshots.Take(snapshot.Asked, snapshot.State{Knobs: []snapshot.Knob{
		{Name: "plant.lease", Value: 20, Mode: snapshot.Isolated}, {Name: "plant.own", Value: 25, Mode: snapshot.Fixed},
	}})
	if err != nil {
		t.Fatal(err)
	}
	refused, err := o.Restore(ctx, odd.Seq)
	if err != nil || len(refused) != 2 || !strings.Contains(refused[0].String(), "plant.lease") || !strings.Contains(refused[1].String(), "plant.own: 25") {
		t.Errorf("where they cannot go back: %v, %v", refused, err)
	}
	holds("refused,", "plant.own", Operator, true, 30)
	holds("refused,", "plant.lease", Operator, true, 30)
}

// A pinned knob of an operator that refuses to go back keeps the whole restoration.
func TestRestoreUnpinsAllOrNone(t *testing.T) {
	log := new([]string)
	l := &lever{value: 20, refuse: make(map[int64]error)}
	k := l.knob("plant.own", log)
	k.Carry = perfcore.Stateful
	o, err := New(Config{Knobs: []perfcore.Knob{k}, Collector: blank{}})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := o.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Resources.Pin(t.Context(), "plant.own", 30); err != nil {
		t.Fatal(err)
	}
	l.refuse[20] = errStuck
	if _, err := o.Restore(t.Context(), kept.Seq); err == nil {
		t.Error("restored, though it is stuck")
	}
	if s, err := o.Resources.Knob("plant.own"); err != nil || s.Why != whyPinned || s.Incumbent != 30 || l.value != 30 {
		t.Errorf("it is %+v, %v, at %d", s, err, l.value)
	}
}
