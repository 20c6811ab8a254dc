package perf

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// What is in force at the end is kept where a start restores it, and only there.
func TestSnapshotAtTheEnd(t *testing.T) {
	for mode, want := range map[Mode]int{Optimize: 1, Observe: 0} {
		synctest.Test(t, func(t *testing.T) {
			m := newMill(t)
			p, stop := m.start(t, Config{Mode: mode, SnapshotEvery: 100}, 0)
			time.Sleep(time.Minute)
			if err := p.pin(t.Context(), "plant.size", 40); err != nil {
				t.Fatal(err)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
			files, err := filepath.Glob(filepath.Join(m.dir, "regtest", "perf", "*.snap"))
			if err != nil || len(files) != want {
				t.Errorf("at the end of %s there are %q, %v, want %d", mode, files, err, want)
			}
		})
	}
}
