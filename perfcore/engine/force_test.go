package engine

import (
	"maps"
	"testing"
)

// What was in force all the time is told apart from what was set and set back: a move counts,
// and so does one that is refused; values that are applied again are in force all the time. A
// knob that cannot be read leaves nothing known.
func TestInForce(t *testing.T) {
	m, levers, _ := newLevers(t)
	want := map[string]int64{"plant.a": 20, "plant.b": 20, "plant.c": 20}
	looked := func(what string, moved bool, before uint64) (moves uint64) {
		t.Helper()
		values, moves := m.InForce(t.Context())
		if !maps.Equal(values, want) || (moves != before) != moved {
			t.Errorf("%s: the values are %v, by %d moves after %d", what, values, moves, before)
		}
		return moves
	}
	apply := func(levels []int, again bool) error { return m.apply(t.Context(), levels, m.epoch, again) }
	n := looked("at the start", false, 0)
	if err := apply([]int{1, 1, 1}, true); err != nil {
		t.Fatal(err)
	}
	n = looked("applied again", false, n)
	for _, levels := range [][]int{{2, 1, 1}, {1, 1, 1}} {
		if err := apply(levels, false); err != nil {
			t.Fatal(err)
		}
	}
	n = looked("there and back", true, n)
	levers[1].refuse[30] = errStuck
	if err := m.Pin(t.Context(), "plant.b", 30); err == nil {
		t.Fatal("a stuck lever moves")
	}
	n = looked("refused", true, n)
	for _, v := range []int64{10, 20} {
		if err := m.Pin(t.Context(), "plant.c", v); err != nil {
			t.Fatal(err)
		}
	}
	looked("pinned there and back", true, n)
	levers[0].blind = true
	if values, _ := m.InForce(t.Context()); values != nil {
		t.Errorf("a knob cannot be read, and the values are %v", values)
	}
}
