package engine

import (
	"errors"
	"math"
	"testing"

	"github.com/outrider-project/outrider/perfcore"
)

// The metric of a knob's value is its incumbent, whoever has changed it.
func TestKnobValue(t *testing.T) {
	var registry perfcore.Registry
	l := &lever{value: 20}
	o, err := New(Config{
		Knobs: []perfcore.Knob{l.knob("plant.a", new([]string))}, Collector: blank{}, Recorder: &registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	m, ctx := o.Resources, t.Context()
	check := func(what string, want float64, err error) {
		t.Helper()
		got := math.NaN()
		for _, s := range registry.Series() {
			if s.Metric.Name == "outrider_perfcore_knob_value" {
				got = s.Gauge.Value()
			}
		}
		if err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", what, got, err, want)
		}
	}
	check("at the start", 20, nil)
	check("pinned", 30, m.Pin(ctx, "plant.a", 30))
	snap, err := o.Snapshot()
	check("kept", 30, err)
	l.value = 10
	check("released where it reads", 10, m.Release("plant.a"))
	levels, _, epoch := m.incumbents()
	levels[0] = 1
	if check("tried", 10, m.apply(ctx, levels, epoch, false)); !m.promote(levels, epoch) {
		t.Error("not promoted")
	}
	check("promoted", 20, nil)
	_, err = o.Restore(ctx, snap.Seq)
	check("restored", 30, err)
	m.Entrust([]string{"plant.a"})
	check("leased", 10, errors.Join(m.Release("plant.a"), m.Lease(ctx, "plant.a", 10)))
}
