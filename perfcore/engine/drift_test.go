package engine

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/outrider-project/outrider/perfcore"
)

// inspected returns an optimizer over three levers, which it does not run: the engine's, an
// arbiter's and an operator's.
func inspected(t *testing.T) (*PerformanceOptimizer, []*lever) {
	t.Helper()
	log := new([]string)
	levers := make([]*lever, 3)
	var knobs []perfcore.Knob
	for i, name := range []string{"plant.engine", "plant.lease", "plant.pinned"} {
		levers[i] = &lever{value: 20}
		knobs = append(knobs, levers[i].knob(name, log))
	}
	o, err := New(Config{Knobs: knobs, Collector: blank{}})
	if err != nil {
		t.Fatal(err)
	}
	o.Resources.Entrust([]string{"plant.lease"})
	if err := o.Resources.Pin(t.Context(), "plant.pinned", 30); err != nil {
		t.Fatal(err)
	}
	return o, levers
}

// A blank collector has nothing to tell.
type blank struct{}

func (blank) Begin()                   {}
func (blank) Collect() perfcore.Sample { return perfcore.Sample{} }
func (blank) Alarm() string            { return "" }

func owners(o *PerformanceOptimizer) (list []Owner) {
	for _, k := range o.Resources.Knobs() {
		list = append(list, k.Owner)
	}
	return list
}

// Who inspects finds every knob that somebody else moved, says so once, and moves none.
func TestInspect(t *testing.T) {
	o, levers := inspected(t)
	ctx := t.Context()
	if o.Inspect(ctx); len(o.Decisions(0)) != 0 || !slices.Equal(owners(o), []Owner{Engine, Arbiter, Operator}) {
		t.Fatalf("where nothing has moved: %+v, %v", o.Decisions(0), owners(o))
	}
	verdicts := []perfcore.Verdict{perfcore.Isolated, perfcore.Isolated, perfcore.Drifted}
	for i, l := range levers {
		l.value = 10
		for range 2 {
			o.Inspect(ctx)
		}
		name := o.Resources.Knobs()[i].Name
		d := o.Decisions(0)
		if len(d) != i+1 || d[i].Verdict != verdicts[i] || !strings.Contains(d[i].Reason, name) || !strings.Contains(d[i].Reason, "reads 10: somebody else") {
			t.Fatalf("%s was moved: the decisions are %+v", name, d)
		}
	}
	if got := owners(o); !slices.Equal(got, []Owner{Nobody, Nobody, Operator}) || !slices.Equal(values(levers), []int64{10, 10, 10}) {
		t.Errorf("the owners are %v, the values %v", got, values(levers))
	}
	drift := func() string { k, _ := o.Resources.Knob("plant.pinned"); return k.Drift }
	if got := drift(); got != "it was set to 30, and reads 10: somebody else moved it" {
		t.Errorf("the pinned knob: %q", got)
	}
	if k, _ := o.Resources.Knob("plant.pinned"); k.Why != whyPinned || k.Incumbent != 30 {
		t.Errorf("it is %+v", k)
	}
	levers[2].value = 30 // and it is back
	if o.Inspect(ctx); drift() != "" || len(o.Decisions(0)) != 3 {
		t.Errorf("a pinned knob that is back: %q, %+v", drift(), o.Decisions(0))
	}
	levers[2].value = 20
	if o.Inspect(ctx); drift() == "" || len(o.Decisions(0)) != 4 {
		t.Errorf("moved once more: %q, %+v", drift(), o.Decisions(0))
	}
	if err := o.Resources.Pin(ctx, "plant.pinned", 30); err != nil || drift() != "" || levers[2].value != 30 {
		t.Errorf("pinned again: %v, %q", err, drift())
	}
	levers[2].value = 20
	o.Inspect(ctx)
	if err := o.Resources.Release("plant.pinned"); err != nil || drift() != "" {
		t.Errorf("released: %v, %q", err, drift())
	}
	if k, _ := o.Resources.Knob("plant.pinned"); k.Owner != Engine || k.Incumbent != 20 {
		t.Errorf("once released it is %+v", k)
	}
	// What cannot be read is none to be counted on, and takes nobody with it.
	levers[2].blind = true
	if o.Inspect(ctx); !strings.Contains(o.Decisions(0)[5].Reason, "cannot be read") {
		t.Errorf("of a knob that cannot be read: %+v", o.Decisions(5))
	}
}

// While it runs, and is not frozen, the engine's own knobs are the loop's to look at.
func TestInspectLeavesTrials(t *testing.T) {
	o, levers := inspected(t)
	o.running = true
	epoch := o.Resources.epoch
	levers[0].value, levers[2].value = 10, 10
	o.Inspect(t.Context())
	if got := owners(o); !slices.Equal(got, []Owner{Engine, Arbiter, Operator}) || o.Resources.epoch != epoch || len(o.Decisions(0)) != 1 {
		t.Errorf("the owners are %v, the decisions %+v", got, o.Decisions(0))
	}
	thaw := o.Freeze("a test")
	o.Inspect(t.Context())
	if got := owners(o)[0]; got != Nobody {
		t.Errorf("where it is frozen a knob that was moved is the %v's", got)
	}
	thaw()
	levers[1].value = 10
	o.Inspect(t.Context())
	if got := owners(o)[1]; got != Nobody {
		t.Errorf("a lease that was moved is the %v's", got)
	}
}

// Whoever sets a knob meanwhile is not somebody else.
func TestInspectRace(t *testing.T) {
	var at [3]atomic.Int64
	var knobs []perfcore.Knob
	for i, name := range []string{"plant.engine", "plant.lease", "plant.pinned"} {
		k := (&lever{}).knob(name, new([]string))
		at[i].Store(20)
		k.Read = at[i].Load
		k.Apply = func(_ context.Context, v int64) error {
			at[i].Store(-1) // for a moment
			at[i].Store(v)
			return nil
		}
		knobs = append(knobs, k)
	}
	o, err := New(Config{Knobs: knobs, Collector: blank{}})
	if err != nil {
		t.Fatal(err)
	}
	m := o.Resources
	m.Entrust([]string{"plant.lease"})
	if err := m.Pin(t.Context(), "plant.pinned", 20); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	var setting, inspecting sync.WaitGroup
	ended := make(chan struct{})
	inspecting.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
				o.Inspect(ctx)
			}
		}
	})
	for i := range 300 {
		v := []int64{10, 20, 30}[i%3]
		setting.Go(func() { _ = m.Pin(ctx, "plant.pinned", v) })
		setting.Go(func() { _ = m.Lease(ctx, "plant.lease", v) })
		setting.Go(func() {
			levels, _, epoch := m.incumbents()
			levels[0] = i % 3
			_ = m.apply(ctx, levels, epoch, false) // another has changed the owners
		})
		setting.Wait()
	}
	close(ended)
	inspecting.Wait()
	if got := owners(o); len(o.Decisions(0)) != 0 || !slices.Equal(got, []Owner{Engine, Arbiter, Operator}) {
		t.Errorf("nobody else moved a knob: %+v, %v", o.Decisions(0), got)
	}
}
