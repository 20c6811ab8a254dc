package perf

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
)

// A machine is an idle one, which takes nothing from anybody.
type machine struct{}

func (machine) Begin() {}
func (machine) End(s *collect.Slice) {
	s.Set("process_cpu_cores", 1)
	s.Set("process_cpu_ratio", 0.5)
}
func (machine) Missing() []string { return nil }

// A mill is a program with two knobs, of which the first makes it faster and the
// second is an operator's.
type mill struct {
	registry *perfcore.Registry
	speed    atomic.Int64
	size     atomic.Int64
	done     *perfcore.Counter
	dir      string
	memory   *Memory         // nil for none
	leases   []perfcore.Knob // of the memory
	machine  func() collect.Source
}

func newMill(t testing.TB) *mill {
	m := &mill{registry: new(perfcore.Registry), dir: t.TempDir(), machine: func() collect.Source { return machine{} }}
	m.speed.Store(1)
	m.size.Store(10)
	m.done = m.registry.Counter(perfcore.Metric{Name: "outrider_mempool_verified_total", Help: "Work done."})
	return m
}

func (m *mill) knobs() []perfcore.Knob {
	lever := func(v *atomic.Int64, k perfcore.Knob) perfcore.Knob {
		k.Scope, k.Help, k.Unit = perfcore.Live, "A knob of the test.", "things"
		k.Apply = func(_ context.Context, n int64) error { v.Store(n); return nil }
		k.Read = v.Load
		return k
	}
	return append([]perfcore.Knob{
		lever(&m.speed, perfcore.Knob{Name: "plant.speed", Ladder: []int64{1, 2, 3}, Resource: perfcore.CPU, Carry: perfcore.Memoryless}),
		lever(&m.size, perfcore.Knob{Name: "plant.size", Ladder: []int64{10, 20, 40}, Resource: perfcore.Memory, Carry: perfcore.Stateful}),
	}, m.leases...)
}

// work does work until ctx ends, in a bubble.
func (m *mill) work(ctx context.Context) {
	for ctx.Err() == nil {
		m.done.Add(100 * uint64(m.speed.Load()))
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// start follows the mill in a mode. The function that it returns ends that, and
// returns what was returned.
func (m *mill) start(t testing.TB, cfg Config, behind float64) (p *Performance, stop func() error) {
	t.Helper()
	cfg.Datadir, cfg.Registry = m.dir, m.registry
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.system = m.machine
	ctx, cancel := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	loops.Go(func() {
		err = p.Follow(ctx, Plant{
			Network: "regtest", Dir: filepath.Join(m.dir, "regtest", "perf"), Knobs: m.knobs(), Memory: m.memory,
			Behind: func() (float64, bool) { return behind, true },
		})
	})
	stop = func() error { cancel(); loops.Wait(); return err }
	t.Cleanup(func() { _ = stop() })
	return p, stop
}

// served follows the mill beside a server of its API, in real time.
func (m *mill) served(t testing.TB, cfg Config) (*Performance, *Client) {
	t.Helper()
	if cfg.Slice == 0 {
		cfg.Slice = 10 * time.Millisecond
	}
	p, _ := m.start(t, cfg, 0)
	server := httptest.NewServer(p.Handler())
	t.Cleanup(server.Close)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	var err error
	running.Go(func() { err = p.Run(ctx, server.Listener.Addr().String(), nil) })
	t.Cleanup(func() {
		cancel()
		if running.Wait(); err != nil {
			t.Error(err)
		}
	})
	c := await(t, func() (*Client, bool) { c, err := Dial(m.dir, ""); return c, err == nil })
	await(t, func() (Status, bool) {
		var s Status
		if err := c.Get(t.Context(), "status", &s); err != nil {
			t.Fatal(err)
		}
		return s, s.Following && s.Slice != nil
	})
	return p, c
}

// await waits until look has seen something.
func await[T any](t testing.TB, look func() (T, bool)) T {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		if v, ok := look(); ok {
			return v
		}
		select {
		case <-deadline:
			t.Fatal("waited in vain")
		case <-time.After(5 * time.Millisecond):
		}
	}
}
