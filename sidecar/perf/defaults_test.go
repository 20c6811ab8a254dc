package perf

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/snapshot"
)

// Behind defaults nothing is left of what was promoted anywhere, but for the knobs that refuse,
// which the error and the stream name.
func TestDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		var rust atomic.Int64
		rust.Store(1)
		m.leases = []perfcore.Knob{{
			Name: "plant.rust", Help: "A knob of the test.", Unit: "things", Scope: perfcore.Live, Carry: perfcore.Stateful, Ladder: []int64{1, 2},
			Apply: func(_ context.Context, n int64) error {
				if n < rust.Load() {
					return errors.New("it is stuck")
				}
				rust.Store(n)
				return nil
			},
			Read: rust.Load,
		}}
		p, stop := m.start(t, Config{Mode: Optimize}, 0)
		time.Sleep(time.Minute)
		ctx := t.Context()
		var f *following
		if err := p.read(func(now *following) error { f = now; return nil }); err != nil {
			t.Fatal(err)
		}
		kept, err := f.ring.Take(snapshot.Asked, snapshot.State{
			Knobs:   []snapshot.Knob{{Name: "plant.speed", Value: 3, Mode: snapshot.Free}},
			Regime:  p.classifier.Regime(),
			Regimes: []snapshot.Regime{{Name: "RPC burst", Values: []snapshot.Value{{Knob: "plant.speed", Value: 2}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.restore(ctx, kept.Seq); err != nil || m.speed.Load() != 3 {
			t.Fatalf("restored: %v, at %d", err, m.speed.Load())
		}
		regimes := func() []snapshot.Regime {
			t.Helper()
			s, err := f.optimizer.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			state, err := f.ring.Open(s.Seq)
			if err != nil {
				t.Fatal(err)
			}
			return state.Regimes
		}
		if got := regimes(); len(got) != 1 {
			t.Fatalf("of other regimes are known %+v", got)
		}
		if err := p.pin(ctx, "plant.rust", 2); err != nil {
			t.Fatal(err)
		}
		before := p.events.last()
		if err := p.defaults(ctx); err == nil || !strings.Contains(err.Error(), "knob plant.rust") {
			t.Errorf("defaults, where a knob is stuck: %v", err)
		}
		if got := regimes(); len(got) != 0 || m.speed.Load() != 1 || p.status().Frozen == "" {
			t.Errorf("behind defaults of other regimes are known %+v, a knob is at %d, and it is frozen: %q", got, m.speed.Load(), p.status().Frozen)
		}
		told := 0
		list, _, _ := p.events.after(before)
		for _, e := range list {
			if e.Kind != Commanded {
				continue
			}
			var c Command
			if err := json.Unmarshal(e.Data, &c); err != nil || c.Did != "defaults" || !strings.HasPrefix(c.What, "in part: knob plant.rust") {
				t.Errorf("the stream tells of %+v, %v", c, err)
			}
			told++
		}
		if told != 1 {
			t.Errorf("the stream tells %d times", told)
		}
		rust.Store(1)
		if err := p.defaults(ctx); err != nil {
			t.Errorf("defaults, where none is stuck: %v", err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
