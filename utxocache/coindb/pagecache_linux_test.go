package coindb

import (
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/btcsuite/btcd/wire/v2"
	"golang.org/x/sys/unix"
)

// With NoPageCache hardly anything that look-ups read of tables stays in the system's cache, and
// they are answered as ever. Linux keeps some tens of pages that it has just read on a list of
// their own, and drops none of those.
func TestNoPageCache(t *testing.T) {
	m, ops := loaded(seedOf(t), 24_000)
	kept := make(map[bool]int)
	for _, without := range []bool{true, false} {
		dir := onDisk(t)
		if dir == "" {
			return
		}
		open := func() *DB {
			d, err := Open(dir, Options{NoPageCache: without, Memory: 8 << 20})
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		d := open()
		if err := load(d, m, ops, LoadOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		d = open()
		v, err := d.View()
		if err != nil {
			t.Fatal(err)
		}
		for op, want := range m.coins { // here and there, as applications ask
			var answers [1]Answer
			if err := v.GetBatch([]wire.OutPoint{op}, answers[:]); err != nil || !answers[0].Found || !equalCoin(answers[0].Coin, want) {
				t.Fatalf("%s is %+v, %v, want %+v", op, answers[0], err, want)
			}
		}
		kept[without] = resident(t, dir)
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if kept[true] > kept[false]/4 {
		t.Errorf("the system has cached %d bytes of the tables, and %d where it may", kept[true], kept[false])
	}
}

// onDisk returns a directory that is on a disk; "" where there is none for temporary files, which
// it tells.
func onDisk(t *testing.T) string {
	t.Helper()
	for _, parent := range []string{os.TempDir(), "/var/tmp"} {
		dir, err := os.MkdirTemp(parent, "coindb-")
		if err != nil {
			continue
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		if st.Type != unix.TMPFS_MAGIC {
			return dir
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("no directory for temporary files is on a disk: set TMPDIR to one that is")
	}
	t.Log("not checked: that nothing stays in the system's cache, for no directory for temporary files is on a disk")
	return ""
}

// resident returns how many bytes of the tables in a directory the system has cached.
func resident(t *testing.T, dir string) (sum int) {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("%d tables, %v", len(tables), err)
	}
	for _, name := range tables {
		sum += residentOf(t, name)
	}
	return sum
}

func residentOf(t *testing.T, name string) (sum int) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	table, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(table)
	page := os.Getpagesize()
	pages := make([]byte, (len(table)+page-1)/page)
	_, _, no := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&table[0])), uintptr(len(table)), uintptr(unsafe.Pointer(&pages[0])))
	if no != 0 {
		t.Fatal(no)
	}
	for _, p := range pages {
		sum += int(p&1) * page
	}
	return sum
}
