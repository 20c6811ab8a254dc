package perf

import (
	"context"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore/collect"
)

// A process that is larger than the operator lets it be is told to be, by the alert, the
// resource and the guard of trials, however much memory the machine has.
func TestOperatorsMemoryLimit(t *testing.T) {
	if _, told := collect.Linux().Anonymous(); !told {
		if os.Getenv("CI") == "true" && runtime.GOOS == "linux" {
			t.Fatal("procfs does not tell of the process's memory")
		}
		t.Skip("the system does not tell of the process's memory")
	}
	for _, tt := range []struct {
		limit uint64
		full  bool
	}{{1 << 20, true}, {collect.Linux().Limit() - 1, false}, {0, false}} {
		synctest.Test(t, func(t *testing.T) {
			m := newMill(t)
			p, err := New(Config{
				Mode: Observe, Datadir: m.dir, Registry: m.registry, MemoryLimit: tt.limit, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			var parts sync.WaitGroup
			parts.Go(func() {
				if err := p.Run(ctx, "127.0.0.1:1", nil); err != nil {
					t.Error(err)
				}
			})
			firing := func() bool {
				return slices.ContainsFunc(p.status().Alerts, func(a Alert) bool { return a.Name == "memory_pressure" && a.State == Firing })
			}
			time.Sleep(2 * time.Minute)
			if firing() != tt.full {
				t.Errorf("of a limit of %d bytes, without a node, the alert is raised: %v", tt.limit, firing())
			}
			parts.Go(func() {
				plant := Plant{Network: "regtest", Dir: filepath.Join(m.dir, "regtest", "perf"), Knobs: m.knobs(), Behind: func() (float64, bool) { return 0, true }}
				if err := p.Follow(ctx, plant); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(2 * time.Minute)
			if firing() != tt.full {
				t.Errorf("of a limit of %d bytes, with a node, the alert is raised: %v", tt.limit, firing())
			}
			memory := math.NaN()
			for _, r := range p.status().Resources {
				if r.Resource == "memory" && r.Usage != nil {
					memory = *r.Usage.Utilization
				}
			}
			if (memory > 1) != tt.full {
				t.Errorf("of a limit of %d bytes the resource is used by %v", tt.limit, memory)
			}
			if why := p.system().(collect.Alarmer).Alarm(); (why != "") != tt.full {
				t.Errorf("of a limit of %d bytes the alarm is %q", tt.limit, why)
			}
			told, want := uint64(p.told["memory_limit_bytes"].Value()), collect.Linux().Within(tt.limit).Limit()
			if told != want {
				t.Errorf("of a limit of %d bytes %d are told, want %d", tt.limit, told, want)
			}
			cancel()
			parts.Wait()
		})
	}
}
