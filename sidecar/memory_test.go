package sidecar

import (
	"bytes"
	"log/slog"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
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
		m, err := newMemory(tt.limit, 64<<20, nil, collect.Linux(), new(perfcore.Registry), slog.New(slog.DiscardHandler))
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
	m, err := newMemory(100<<20, 32<<20, nil, collect.Linux(), new(perfcore.Registry), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer m.governor.Release()
	m.step()
	if m.short.Value() != 1 {
		t.Errorf("%d bytes are held of 100 MiB, and memory is not short", len(held))
	}
}

// The process may take what the operator lets it, or less where there is less.
func TestDivide(t *testing.T) {
	for _, tt := range []struct {
		limit, coins int64
		there        uint64
		all, head    int64 // MiB
	}{
		{0, 1024, 0, 1792, 496},
		{4096, 1024, 0, 4096, 2616},
		{4096, 1024, 16384, 4096, 2616},
		{4096, 1024, 2048, 2048, 732},
		{0, 1024, 1024, 1024, 32},
	} {
		all, head := divide(tt.limit<<20, tt.coins<<20, tt.there<<20)
		if all>>20 != tt.all || head>>20 != tt.head {
			t.Errorf("of %d MiB with %d for coins, where there are %d: %d, and %d of headroom; want %d, %d", tt.limit, tt.coins, tt.there, all>>20, head>>20, tt.all, tt.head)
		}
	}
}

// Where the system does not tell of memory that is not Go's, the log says so once, and
// what is declared counts.
func TestSystemThatTellsNothing(t *testing.T) {
	var said bytes.Buffer
	m, err := newMemory(4<<30, 1<<40, nil, new(collect.System), new(perfcore.Registry), slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer m.governor.Release()
	for range 3 {
		m.step()
	}
	const limit = 4 << 30 * 92 / 100
	if outside := limit - debug.SetMemoryLimit(-1); outside < -2 || outside > 2 || strings.Count(said.String(), "not Go's") != 1 {
		t.Errorf("%d bytes are outside, and the log is\n%s", outside, said.String())
	}
}
