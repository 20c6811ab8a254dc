package perf

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
)

// What makes the program faster is found, promoted with evidence and explained; and
// the next run begins with it.
func TestOptimize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		ctx, cancel := context.WithCancel(context.Background())
		var working sync.WaitGroup
		working.Go(func() { m.work(ctx) })
		p, stop := m.start(t, Config{Mode: Optimize, SnapshotEvery: 1}, 100)
		for range 100 {
			if time.Sleep(time.Minute); m.incumbent(t, p) == 3 {
				break
			}
		}
		if s := p.status(); s.Regime != "catch-up" || s.Slice == nil || s.Slice.Void != "" || s.Slice.Work <= 0 {
			t.Errorf("the status is %+v", s)
		}
		list, err := p.decisions(0)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(list, func(d Decision) bool { return d.Verdict == "promoted" })
		if i < 0 {
			t.Fatalf("nothing was promoted: %+v", list)
		}
		why, err := p.why(list[i].Seq)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(why.Effect, "cost -") || why.Trigger == "" || len(why.Guards) < 3 || why.Prediction == "" || list[i].Evidence.Low <= 0 {
			t.Errorf("it is explained by %+v, on %+v", why, list[i].Evidence)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if got := m.speed.Load(); got != 3 {
			t.Errorf("when the loop has ended the knob is at %d, want the incumbent, 3", got)
		}
		if err := p.pin(t.Context(), "plant.speed", 2); err == nil || m.speed.Load() != 3 {
			t.Errorf("a knob was pinned behind the end: %v", err)
		}

		m.speed.Store(1)
		p, stop = m.start(t, Config{Mode: Optimize, SnapshotEvery: 1}, 100)
		time.Sleep(time.Minute)
		if got := m.incumbent(t, p); got != 3 {
			t.Errorf("the next run begins at %d, want 3", got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}

		m.speed.Store(1)
		p, stop = m.start(t, Config{Mode: Observe, SnapshotEvery: 1}, 100)
		time.Sleep(10 * time.Minute)
		if got := m.speed.Load(); got != 1 {
			t.Errorf("observing moved the knob to %d", got)
		}
		if s, err := p.snapshots(); err != nil || len(s.Snapshots) == 0 || s.Problem != "" {
			t.Errorf("observing finds %+v, %v", s, err)
		}
		if plan, err := p.plan(); err != nil || len(plan.Trials) != 1 || !slices.Equal(plan.Trials[0].To, []int64{2}) ||
			len(plan.Left) != 1 || len(plan.Waits) == 0 {
			t.Errorf("the plan is %+v, %v", plan, err)
		}
		cancel()
		working.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// incumbent returns the value of the mill's first knob that was promoted.
func (m *mill) incumbent(t *testing.T, p *Performance) int64 {
	t.Helper()
	knobs, err := p.knobs()
	if err != nil {
		t.Fatal(err)
	}
	return knobs[0].Incumbent
}

// A block that is at hand makes the regime "tip block" until it has been judged.
func TestAnnounce(t *testing.T) {
	p, err := New(Config{Mode: Observe, Datadir: t.TempDir(), Registry: new(perfcore.Registry)})
	if err != nil {
		t.Fatal(err)
	}
	p.Announce()
	if got := p.classifier.Regime(); got != "tip block" {
		t.Errorf("the regime is %s", got)
	}
	p.Arrived()
	if got := p.classifier.Regime(); got != "tip idle" {
		t.Errorf("behind the block the regime is %s", got)
	}
	var off *Performance
	off.Announce()
	off.Arrived()
}

// An audit is asked for where the optimizer moves knobs, and refused where it only tells.
func TestAudit(t *testing.T) {
	for mode, allowed := range map[Mode]bool{Optimize: true, Observe: false} {
		synctest.Test(t, func(t *testing.T) {
			p, stop := newMill(t).start(t, Config{Mode: mode}, 100)
			time.Sleep(time.Minute)
			if err := p.audit(); (err == nil) != allowed {
				t.Errorf("in %s: %v", mode, err)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A target that is missed is an alert, in the stream too, and one that is met is
// none. A knob that somebody else broke is left out.
func TestTargetMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		p, stop := m.start(t, Config{Mode: Observe}, 0)
		time.Sleep(time.Minute)
		if err := p.target(perfcore.CPU, perfcore.Targets{Utilization: 0.4}); err != nil {
			t.Fatal(err)
		}
		for _, wrong := range []perfcore.Targets{{Throughput: 1, Utilization: 2}, {Latency: time.Second, Quantile: 0.9}} {
			if err := p.target(perfcore.CPU, wrong); err == nil {
				t.Errorf("%+v is accepted", wrong)
			}
		}
		if err := p.target(perfcore.Database, perfcore.Targets{Latency: time.Second, Quantile: 0.5}); err == nil {
			t.Error("a quantile that is not measured is accepted")
		}
		if err := p.target(perfcore.Network, perfcore.Targets{Utilization: 0.5}); err == nil {
			t.Error("a resource that is not measured is accepted")
		}
		time.Sleep(time.Minute)
		if s := p.status(); len(s.Alerts) != 1 || s.Alerts[0].State != Pending {
			t.Errorf("after a minute the alerts are %+v", s.Alerts)
		}
		time.Sleep(2 * time.Minute)
		if s := p.status(); len(s.Alerts) != 1 || s.Alerts[0].State != Firing || s.Resources[0].Missed != "utilization 0.5 > 0.4" {
			t.Errorf("after three minutes the alerts are %+v, the resources %+v", s.Alerts, s.Resources)
		}
		if err := p.target(perfcore.CPU, perfcore.Targets{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		if s := p.status(); len(s.Alerts) != 0 {
			t.Errorf("without a target the alerts are %+v", s.Alerts)
		}
		var told []AlertState
		list, _, _ := p.events.after(0)
		for _, e := range list {
			var a Alert
			if e.Kind == Alerted && json.Unmarshal(e.Data, &a) == nil {
				told = append(told, a.State)
			}
		}
		if !slices.Equal(told, []AlertState{Firing, Cleared}) {
			t.Errorf("the stream told of %v", told)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A noisy machine's processors are used by 0.6 in four slices of five, by 0.3 in the fifth,
// and for one of a minute nothing says by how much.
type noisy struct {
	machine
	slices int
}

func (n *noisy) End(s *collect.Slice) {
	n.slices++
	s.Set("process_cpu_cores", 1)
	switch {
	case n.slices%6 == 0:
	case n.slices%5 == 0:
		s.Set("process_cpu_ratio", 0.3)
	default:
		s.Set("process_cpu_ratio", 0.6)
	}
}

// A target that most slices miss, and not all, is missed: the alert is raised, and stays.
func TestTargetMissedByMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		m.machine = func() collect.Source { return new(noisy) }
		p, stop := m.start(t, Config{Mode: Observe}, 0)
		time.Sleep(time.Minute)
		if err := p.target(perfcore.CPU, perfcore.Targets{Utilization: 0.45}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		for range 60 {
			time.Sleep(10 * time.Second)
			if s := p.status(); len(s.Alerts) != 1 || s.Alerts[0].State != Firing || s.Alerts[0].Times != 1 || s.Resources[0].Missed == "" {
				t.Fatalf("the alerts are %+v, the resources %+v", s.Alerts, s.Resources)
			}
		}
		if err := p.target(perfcore.CPU, perfcore.Targets{Utilization: 0.6}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if s := p.status(); len(s.Alerts) != 0 || s.Resources[0].Missed != "" {
			t.Errorf("where it is met the alerts are %+v, the resources %+v", s.Alerts, s.Resources)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestKnobThatIsLeftOut(t *testing.T) {
	m := newMill(t)
	m.size.Store(11) // on no ladder
	_, c := m.served(t, Config{Mode: Observe})
	var knobs []Knob
	if err := c.Get(t.Context(), "knobs", &knobs); err != nil || len(knobs) != 1 || knobs[0].Name != "plant.speed" {
		t.Errorf("the knobs are %+v, %v", knobs, err)
	}
}

func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s, err := OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := s.All(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("an empty store has %v, %v", all, err)
	}
	for i := range uint64(20) {
		if err := s.Put(t.Context(), i+1, []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(t.Context(), 20, []byte("again")); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{".new-7": "torn", "notes.txt": "mine", "1.snap": "short", "000000000000000g.snap": "none"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = OpenStore(dir); err != nil {
		t.Fatal(err)
	}
	all, err := s.All(t.Context())
	if err != nil || len(all) != 8 || string(all[0].Encoded) != "\x0c" || string(all[7].Encoded) != "again" {
		t.Errorf("the store has %v, %v", all, err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".new-7")); err == nil {
		t.Error("what a crash has left is there")
	}
	if _, err := os.Stat(filepath.Join(dir, "notes.txt")); err != nil {
		t.Error("a file of somebody else is gone")
	}
	if err := s.Put(t.Context(), 21, make([]byte, 4<<20)); err == nil {
		t.Error("a snapshot of 4 MiB is kept")
	}
	if err := s.Put(t.Context(), 12, []byte("older")); err == nil || !strings.Contains(err.Error(), "a newer one, 20") {
		t.Errorf("an older one is kept, in the place of what is there: %v", err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "0000000000000015.snap")); err != nil {
		t.Fatal(err)
	}
	all, err = s.All(t.Context())
	if err != nil || len(all) != 8 || all[6].Err != nil || all[7].Seq != 21 || all[7].Err == nil {
		t.Errorf("with one that cannot be read the store has %v, %v", all, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, 22, nil); err == nil {
		t.Error("a snapshot is kept behind the end")
	}
}

// Damage to what is stored is found, and the older snapshots count.
func TestDamagedSnapshot(t *testing.T) {
	m := newMill(t)
	dir := filepath.Join(m.dir, "regtest", "perf")
	p, stop := m.start(t, Config{Mode: Optimize, SnapshotEvery: 1, Slice: time.Hour}, 0)
	await(t, func() (bool, bool) { return true, p.status().Following })
	if err := p.pin(t.Context(), "plant.speed", 2); err != nil {
		t.Fatal(err)
	}
	if err := p.pin(t.Context(), "plant.size", 40); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.snap"))
	if err != nil || len(files) < 2 {
		t.Fatalf("the files are %q, %v", files, err)
	}
	newest := files[len(files)-1]
	b, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(newest, b, 0o600); err != nil {
		t.Fatal(err)
	}
	m.speed.Store(1)
	p, _ = m.start(t, Config{Mode: Optimize, SnapshotEvery: 1, Slice: time.Hour}, 0)
	await(t, func() (bool, bool) { return true, p.status().Following })
	if got := m.speed.Load(); got != 2 {
		t.Errorf("the knob is at %d, want what the older snapshot says, 2", got)
	}
	s, err := p.snapshots()
	if err != nil || s.Problem != "" || s.Sound() || len(s.LeftOut) != 1 || s.LeftOut[0].Seq != uint64(len(files)) || !strings.Contains(s.LeftOut[0].Why, "checksum") {
		t.Errorf("it tells of %+v, %v", s, err)
	}
	var out strings.Builder
	if err := s.WriteTable(&out); err != nil || !strings.Contains(out.String(), fmt.Sprintf("\n%d", len(files))) || !strings.Contains(out.String(), "left out when the sidecar started") {
		t.Errorf("in words it tells\n%s, %v", out.String(), err)
	}
	// Its slices take an hour, so that nobody else looks.
	p.mu.RLock()
	defer p.mu.RUnlock()
	values := make(map[string]float64)
	if p.following.aboutOptimizer(values); values[badSnapshots] != 1 {
		t.Errorf("%s is %v behind a snapshot that does not verify", badSnapshots, values[badSnapshots])
	}
	p.following.spoilt = time.Now().Add(-badWithin)
	if p.following.aboutOptimizer(values); values[badSnapshots] != 0 {
		t.Errorf("%s is %v an hour later", badSnapshots, values[badSnapshots])
	}
}
