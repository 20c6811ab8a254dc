package perfcore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// newKnob returns a knob of a value that it also returns.
func newKnob() (*perfcore.Knob, *int64) {
	v := new(int64)
	return &perfcore.Knob{
		Name: "part.workers", Help: "How many work.", Unit: "goroutines", Scope: perfcore.Live, Ladder: []int64{0, 1, 2, 4},
		Apply: func(_ context.Context, n int64) error { *v = n; return nil },
		Read:  func() int64 { return *v },
	}, v
}

func TestKnobSet(t *testing.T) {
	k, v := newKnob()
	for _, n := range k.Ladder {
		if err := k.Set(t.Context(), n); err != nil || *v != n {
			t.Errorf("Set(%d): %v, and the value is %d", n, err, *v)
		}
	}
	for _, n := range []int64{-1, 3, 5} {
		if err := k.Set(t.Context(), n); err == nil || *v != 4 {
			t.Errorf("Set(%d), which is not on the ladder: %v, and the value is %d", n, err, *v)
		}
	}

	k.Read = func() int64 { return 7 }
	if err := k.Set(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "reads 7") {
		t.Errorf("a knob that reads otherwise: %v", err)
	}
	k.Scope = perfcore.Restart
	if err := k.Set(t.Context(), 1); err != nil {
		t.Errorf("a knob that changes at the next start: %v", err)
	}

	stuck := errors.New("it is stuck")
	k.Apply = func(context.Context, int64) error { return stuck }
	if err := k.Set(t.Context(), 2); !errors.Is(err, stuck) {
		t.Errorf("a knob that is stuck: %v", err)
	}
}

func TestKnobCheck(t *testing.T) {
	for _, tt := range []struct {
		spoil func(*perfcore.Knob)
		want  string // "" when the knob is right
	}{
		{func(*perfcore.Knob) {}, ""},
		{func(k *perfcore.Knob) { k.Ladder = []int64{5} }, ""},
		{func(k *perfcore.Knob) { k.Scope = perfcore.Restart }, ""},
		{func(k *perfcore.Knob) { k.Name = "" }, "name"},
		{func(k *perfcore.Knob) { k.Help = "" }, "help"},
		{func(k *perfcore.Knob) { k.Unit = "" }, "unit"},
		{func(k *perfcore.Knob) { k.Scope = 0 }, "scope"},
		{func(k *perfcore.Knob) { k.Scope = 3 }, "scope"},
		{func(k *perfcore.Knob) { k.Resource = perfcore.Custom(1) }, ""},
		{func(k *perfcore.Knob) { k.Resource = perfcore.Cache + 1 }, "resource"},
		{func(k *perfcore.Knob) { k.Carry, k.Settle = perfcore.Stateful, time.Hour }, ""},
		{func(k *perfcore.Knob) { k.Carry = perfcore.Stateful + 1 }, "carry"},
		{func(k *perfcore.Knob) { k.Settle = -1 }, "carry"},
		{func(k *perfcore.Knob) { k.Apply = nil }, "Apply"},
		{func(k *perfcore.Knob) { k.Read = nil }, "Read"},
		{func(k *perfcore.Knob) { k.Ladder = nil }, "empty"},
		{func(k *perfcore.Knob) { k.Ladder = []int64{1, 2, 2} }, "ascend"},
		{func(k *perfcore.Knob) { k.Ladder = []int64{1, 0} }, "ascend"},
	} {
		k, _ := newKnob()
		tt.spoil(k)
		switch err := k.Check(); {
		case tt.want == "" && err != nil:
			t.Errorf("Check: %v, want nothing wrong", err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("Check: %v, want a word on %q", err, tt.want)
		}
	}
}
