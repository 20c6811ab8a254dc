package lane

import (
	"slices"
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

// Kernels, those for two vectors too, read and write nothing outside of the vectors, the
// work area and the table.
func TestKernelGuardPages(t *testing.T) {
	needKernels(t)
	const vectorBytes, workBytes, tableBytes = int(unsafe.Sizeof(vector{})), int(unsafe.Sizeof(work{})), int(unsafe.Sizeof(table{}))
	r, multiples := newRand(t), newTable()
	for i := range kernelTests {
		test := &kernelTests[i]
		for _, n := range []int{1, 2, min(test.most, 5)} {
			for _, atEnd := range []bool{true, false} {
				bytes := (n + 1) * vectorBytes
				vectors := newFence(t, bytes).room(bytes, atEnd)
				area := newFence(t, workBytes).room(workBytes, atEnd)
				fencedTable := (*table)(unsafe.Pointer(&newFence(t, tableBytes).room(tableBytes, atEnd)[0]))
				*fencedTable = *multiples
				want := newTrial(r, n, multiples)
				test.prepare(r, want)
				fenced := &trial{
					vectors: unsafe.Slice((*vector)(unsafe.Pointer(&vectors[0])), n+1),
					work:    (*work)(unsafe.Pointer(&area[0])), table: fencedTable,
				}
				for i := range n {
					fenced.pair = append(fenced.pair, &fenced.vectors[1+i])
				}
				want.copyTo(fenced)
				test.run(assembly(), fenced)
				test.run(models(), want)
				if !slices.Equal(fenced.vectors, want.vectors) {
					t.Errorf("%s of %d vectors between guard pages differs from its model", test.name, n)
				}
			}
		}
	}
}
