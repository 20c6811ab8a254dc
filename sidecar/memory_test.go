package sidecar

import (
	"log/slog"
	"runtime/debug"
	"testing"

	"github.com/outrider-project/outrider/perfcore"
)

// Memory that is short is told: when somebody else sets Go's limit, and when the process
// holds more than it may take.
func TestMemoryIsShort(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for _, tt := range []struct {
		name    string
		limit   int64
		disturb func()
		want    float64
	}{
		{"a limit that is enough", 8 << 30, func() {}, 0},
		{"somebody else's limit", 8 << 30, func() { debug.SetMemoryLimit(7 << 30) }, 1},
	} {
		m, err := newMemory(tt.limit, 64<<20, nil, new(perfcore.Registry), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		m.step()
		if got := m.short.Value(); got != 0 {
			t.Errorf("%s: short is %v at first", tt.name, got)
		}
		tt.disturb()
		m.step()
		if got := m.short.Value(); got != tt.want {
			t.Errorf("%s: short is %v, want %v", tt.name, got, tt.want)
		}
		m.governor.Release()
		debug.SetMemoryLimit(before)
	}
	held := make([]byte, 200<<20)
	for i := range held {
		held[i] = 1
	}
	m, err := newMemory(100<<20, 32<<20, nil, new(perfcore.Registry), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer m.governor.Release()
	m.step()
	if m.short.Value() != 1 {
		t.Errorf("%d bytes are held of 100 MiB, and memory is not short", len(held))
	}
}
