package perf

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore/snapshot"
)

// works has the mill work, in a bubble, until the function that it returns is called.
func (m *mill) works(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	working.Go(func() { m.work(ctx) })
	return func() { cancel(); working.Wait() }
}

func (m *mill) frozenFile() string { return filepath.Join(m.dir, "regtest", "perf", frozenFile) }

// What an operator has frozen stays frozen through a restart, for the same reason, until it
// thaws; then a restart does not freeze it again.
func TestFreezeOutlastsRestarts(t *testing.T) {
	for _, mode := range []Mode{Optimize, Observe} {
		t.Run(string(mode), func(t *testing.T) { freezeOutlastsRestarts(t, mode) })
	}
}

func freezeOutlastsRestarts(t *testing.T, mode Mode) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		defer m.works(t)()
		tried := func(p *Performance) bool {
			list, err := p.decisions(0)
			if err != nil {
				t.Fatal(err)
			}
			return slices.ContainsFunc(list, func(d Decision) bool { return d.Trigger == "calibration" || d.Trigger == "search" })
		}
		p, stop := m.start(t, Config{Mode: mode, seed: 1}, 100)
		time.Sleep(time.Minute)
		if err := p.freeze("maintenance"); err != nil {
			t.Fatal(err)
		}
		was := p.status()
		if info, err := os.Stat(m.frozenFile()); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("the file is %v, %v", info, err)
		}
		time.Sleep(time.Hour)
		if err := p.freeze("longer maintenance"); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}

		p, stop = m.start(t, Config{Mode: mode, seed: 1}, 100)
		time.Sleep(3 * time.Hour)
		s := p.status()
		if s.Frozen != "longer maintenance" || s.FrozenSince.IsZero() || !s.FrozenSince.Equal(was.FrozenSince) || s.Problem != "" {
			t.Errorf("behind a restart the status is %+v", s)
		}
		if tried(p) || m.speed.Load() != 1 {
			t.Errorf("something is tried though it is frozen; a knob is at %d", m.speed.Load())
		}
		if why := p.following.rests(); !strings.Contains(why, "maintenance") {
			t.Errorf("the arbiter rests: %q", why)
		}
		if err := p.thawed(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if s := p.status(); s.Frozen != "" || !s.FrozenSince.IsZero() || tried(p) != (mode == Optimize) {
			t.Errorf("thawed, the status is %+v, and something is tried: %t", s, tried(p))
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		p, stop = m.start(t, Config{Mode: mode, seed: 1}, 100)
		time.Sleep(time.Minute)
		if s := p.status(); s.Frozen != "" {
			t.Errorf("thawed, a restart freezes it: %q", s.Frozen)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Where a freeze cannot be read, one holds.
func TestFreezeThatCannotBeRead(t *testing.T) {
	for name, leave := range map[string]func(file string) error{
		"garbage":   func(file string) error { return os.WriteFile(file, []byte("froz"), 0o600) },
		"empty":     func(file string) error { return os.WriteFile(file, nil, 0o600) },
		"no reason": func(file string) error { return os.WriteFile(file, []byte("{}"), 0o600) },
		"too large": func(file string) error {
			return os.WriteFile(file, []byte(`{"why":"maintenance"}`+strings.Repeat(" ", maxFrozen)), 0o600)
		},
		"directory": func(file string) error { return os.Mkdir(file, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMill(t)
				if err := os.MkdirAll(filepath.Dir(m.frozenFile()), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := leave(m.frozenFile()); err != nil {
					t.Fatal(err)
				}
				p, stop := m.start(t, Config{Mode: Optimize}, 0)
				time.Sleep(time.Minute)
				if s := p.status(); !strings.Contains(s.Frozen, m.frozenFile()) {
					t.Errorf("it is frozen: %q", s.Frozen)
				}
				if err := p.thawed(); err != nil {
					t.Error(err)
				}
				if z := p.following.store.frozen(); z != (Frozen{}) {
					t.Errorf("thawed, there is still %+v", z)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A freeze that cannot be kept holds all the same, and so does a thaw; the errors tell what a
// restart does.
func TestFreezeThatIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		p, stop := m.start(t, Config{Mode: Optimize}, 0)
		time.Sleep(time.Minute)
		if err := os.MkdirAll(filepath.Join(m.frozenFile(), "full"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := p.freeze("maintenance"); err == nil || !strings.Contains(err.Error(), "a restart will thaw it") || p.status().Frozen != "maintenance" {
			t.Errorf("frozen: %v, %q", err, p.status().Frozen)
		}
		if err := p.defaults(t.Context()); err == nil || !strings.Contains(err.Error(), "a restart will thaw it") || p.status().Frozen == "" {
			t.Errorf("defaults: %v, %q", err, p.status().Frozen)
		}
		if err := p.thawed(); err == nil || !strings.Contains(err.Error(), "a restart will freeze it") || p.status().Frozen != "" {
			t.Errorf("thawed: %v, %q", err, p.status().Frozen)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Behind defaults a restart is frozen at the defaults, even one behind a crash.
func TestDefaultsOutlastACrash(t *testing.T) {
	for _, mode := range []Mode{Optimize, Observe} { // in which defaults was asked for
		t.Run(string(mode), func(t *testing.T) { defaultsOutlastACrash(t, mode) })
	}
}

func defaultsOutlastACrash(t *testing.T, mode Mode) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		defer m.works(t)()
		p, stop := m.start(t, Config{Mode: mode}, 0)
		time.Sleep(time.Minute)
		kept, err := p.following.ring.Take(snapshot.Asked, snapshot.State{
			Knobs: []snapshot.Knob{{Name: "plant.speed", Value: 3, Mode: snapshot.Free}}, Regime: p.classifier.Regime(),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.restore(t.Context(), kept.Seq); err != nil || m.speed.Load() != 3 {
			t.Fatalf("restored: %v, at %d", err, m.speed.Load())
		}
		if err := p.defaults(t.Context()); err != nil || m.speed.Load() != 1 {
			t.Fatalf("defaults: %v, at %d", err, m.speed.Load())
		}
		synctest.Wait()
		left := t.TempDir()
		if err := os.CopyFS(filepath.Join(left, "regtest"), os.DirFS(filepath.Join(m.dir, "regtest"))); err != nil { // what a crash leaves
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		m.dir = left
		m.speed.Store(1) // as a new program begins
		p, stop = m.start(t, Config{Mode: Optimize}, 0)
		time.Sleep(3 * time.Hour)
		if s := p.status(); s.Frozen != "all knobs are at their defaults" || m.speed.Load() != 1 {
			t.Errorf("behind a crash it is frozen: %q, and a knob is at %d", s.Frozen, m.speed.Load())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
