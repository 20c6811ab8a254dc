package sidecar

import (
	"log/slog"
	"os"
	"runtime/debug"
	"syscall"
	"testing"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
)

// Memory that is not Go's, and that nobody has declared, is taken off the limit for Go when
// it is touched.
func TestOthersMemoryIsCounted(t *testing.T) {
	system := collect.Linux()
	if _, told := system.Anonymous(); !told {
		if os.Getenv("CI") == "true" {
			t.Fatal("procfs does not tell what memory the process has in no file")
		}
		t.Skip("procfs does not tell what memory the process has in no file")
	}
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	m, err := newMemory(8<<30, 1<<40, nil, system, new(perfcore.Registry), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer m.governor.Release()
	limit := func() int64 {
		m.step()
		return debug.SetMemoryLimit(-1)
	}
	const size, slack = 96 << 20, 16 << 20
	debug.FreeOSMemory() // what other tests have left, not to be taken again meanwhile
	at, mapped := limit(), []byte(nil)
	if mapped, err = syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Munmap(mapped); err != nil {
			t.Error(err)
		}
	}()
	if got := at - limit(); got > slack || got < -slack {
		t.Errorf("memory that nobody has touched takes %d MiB off the limit", got>>20)
	}
	for i := 0; i < size; i += syscall.Getpagesize() {
		mapped[i] = 1
	}
	if got := at - limit(); got < size-slack || got > size+slack {
		t.Errorf("%d MiB that are not Go's take %d MiB off the limit for Go", size>>20, got>>20)
	}
}
