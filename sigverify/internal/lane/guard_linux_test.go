package lane

import (
	"syscall"
	"testing"
	"unsafe"
)

// A fence is memory between two pages that nobody may touch.
type fence []byte

// newFence returns a fence of size bytes, rounded up to pages.
func newFence(t *testing.T, size int) fence {
	t.Helper()
	page := syscall.Getpagesize()
	inside := (size + page - 1) / page * page
	pages, err := syscall.Mmap(-1, 0, inside+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(pages); err != nil {
			t.Error(err)
		}
	})
	for _, guard := range [][]byte{pages[:page], pages[page+inside:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	return pages[page : page+inside]
}

// room returns size bytes that end where the fence does, or begin where it does.
func (f fence) room(size int, atEnd bool) []byte {
	if atEnd {
		return f[len(f)-size:]
	}
	return f[:size:size]
}

// put returns a copy of b in such a place.
func (f fence) put(b []byte, atEnd bool) []byte {
	room := f.room(len(b), atEnd)
	copy(room, b)
	return room
}

// Nothing is read outside of keys, signatures and digests, and nothing written
// outside of verdicts.
func TestGuardPages(t *testing.T) {
	eachImpl(t, func(t *testing.T, impl implementation) {
		r, s := newRand(t), impl.new()
		key, sig, digest, verdict := newFence(t, 1), newFence(t, 1), newFence(t, 1), newFence(t, 1)
		for range impl.rounds(200) {
			for _, atEnd := range []bool{true, false} {
				it := mixed(r, 3)[r.IntN(3)]
				item := Item{
					Key: key.put(it.Key, atEnd), Sig: (*[64]byte)(sig.put(it.sig[:], atEnd)),
					Digest: (*[32]byte)(digest.put(it.digest[:], atEnd)), BIP340: it.BIP340,
				}
				place := verdict.put([]byte{255}, atEnd)
				got := unsafe.Slice((*Verdict)(unsafe.SliceData(place)), 1)
				s.Verify([]Item{item}, got)
				check(t, []*sample{it}, got)
			}
		}
	})
}

// Kernels read and write nothing outside of the vectors and the work area.
func TestKernelGuardPages(t *testing.T) {
	needKernels(t)
	r, table := newRand(t), newTable()
	for i := range kernelTests {
		test := &kernelTests[i]
		for _, atEnd := range []bool{true, false} {
			const vectorBytes, workBytes = int(unsafe.Sizeof(vector{})), int(unsafe.Sizeof(work{}))
			vectors := newFence(t, 2*vectorBytes).room(2*vectorBytes, atEnd)
			area := newFence(t, workBytes).room(workBytes, atEnd)
			tr := newTrial(r, 1, table)
			test.prepare(r, tr)
			fenced := &trial{
				vectors: unsafe.Slice((*vector)(unsafe.Pointer(&vectors[0])), 2),
				work:    (*work)(unsafe.Pointer(&area[0])), table: table,
			}
			fenced.pair = []*vector{&fenced.vectors[1]}
			tr.copyTo(fenced)
			test.run(assembly(), fenced)
		}
	}
}
