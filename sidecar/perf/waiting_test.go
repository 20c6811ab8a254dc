package perf

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
)

// A full machine has nearly no memory left.
type full struct{ machine }

func (full) End(s *collect.Slice) { s.Set("memory_ratio", 0.97) }

// There are alerts before there is a node: that there is none, and what ails the machine.
// What was raised then is still raised when there is one, and is then cleared.
func TestAlertsWithoutANode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		reported := m.registry.Gauge(perfcore.Metric{
			Name: "outrider_reported", Help: "What another part reports.", Alert: perfcore.Alert{Name: "reported", Help: "A part reports something."},
		})
		p, err := New(Config{
			Mode: Observe, Datadir: m.dir, Registry: m.registry, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		p.system = func() collect.Source { return full{} }
		ctx, cancel := context.WithCancel(context.Background())
		var parts sync.WaitGroup
		parts.Go(func() {
			if err := p.Run(ctx, "127.0.0.1:1", nil); err != nil {
				t.Error(err)
			}
		})
		state := func(name string) (AlertState, int) {
			for _, a := range p.status().Alerts {
				if a.Name == name {
					return a.State, a.Times
				}
			}
			return "", 0
		}
		time.Sleep(30 * time.Second)
		if s, _ := state("node_missing"); s != Pending {
			t.Errorf("in half a minute without a node the alert is %q", s)
		}
		time.Sleep(2 * time.Minute)
		for _, name := range []string{"node_missing", "memory_pressure"} {
			if s, times := state(name); s != Firing || times != 1 {
				t.Errorf("in two minutes and a half %s is %q, %d times", name, s, times)
			}
		}
		if v := p.told[nodeMissing].Value(); v != 1 {
			t.Errorf("%s is told to be %v", nodeMissing, v)
		}

		following, lost := context.WithCancel(ctx)
		var plant sync.WaitGroup
		plant.Go(func() {
			err := p.Follow(following, Plant{
				Network: "regtest", Dir: filepath.Join(m.dir, "regtest", "perf"), Knobs: m.knobs(),
				Behind: func() (float64, bool) { return 0, true },
			})
			if err != nil {
				t.Error(err)
			}
		})
		time.Sleep(30 * time.Second)
		if s, _ := state("node_missing"); s != "" {
			t.Errorf("with a node the alert is %q", s)
		}
		if s, times := state("memory_pressure"); s != Firing || times != 1 {
			t.Errorf("with a node memory_pressure is %q, %d times", s, times)
		}
		lost()
		plant.Wait()
		time.Sleep(3 * time.Minute)
		if s, times := state("node_missing"); s != Firing || times != 2 {
			t.Errorf("without a node again the alert is %q, %d times", s, times)
		}
		var told []string
		for _, e := range p.events.kept {
			var a Alert
			if err := json.Unmarshal(e.Data, &a); e.Kind == Alerted && err == nil && a.Name == "node_missing" {
				told = append(told, string(a.State))
			}
		}
		if !slices.Equal(told, []string{"firing", "cleared", "firing"}) {
			t.Errorf("the stream told %q", told)
		}
		// A node whose parts cannot be observed is there all the same, and so is what
		// others report.
		file := filepath.Join(m.dir, "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.Follow(ctx, Plant{Network: "regtest", Dir: filepath.Join(file, "perf"), Knobs: m.knobs()}); err == nil {
			t.Error("snapshots can be kept below a file")
		}
		reported.Set(1)
		time.Sleep(3 * time.Minute)
		if s, _ := state("node_missing"); s != "" {
			t.Errorf("with a node that cannot be observed the alert is %q", s)
		}
		if s, _ := state("reported"); s != Firing {
			t.Errorf("of what is reported the alert is %q", s)
		}
		cancel()
		parts.Wait()
	})
}
