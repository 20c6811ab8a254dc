package lane

import (
	"slices"
	"syscall"
	"testing"
	"unsafe"
)

// A fence is memory between two guards, which nobody may touch.
type fence []byte

// guardBytes is the size of a guard: whole pages, and more than some vectors, each of
// which is larger than a page.
const guardBytes = 1 << 16

// newFence returns a fence of size bytes, rounded up to pages.
func newFence(t *testing.T, size int) fence {
	t.Helper()
	page := syscall.Getpagesize()
	inside := (size + page - 1) / page * page
	pages, err := syscall.Mmap(-1, 0, inside+2*guardBytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(pages); err != nil {
			t.Error(err)
		}
	})
	for _, guard := range [][]byte{pages[:guardBytes], pages[guardBytes+inside:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	return pages[guardBytes : guardBytes+inside]
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
// work area and the table, which they only read. Vector 0 is there for those only that
// need one before the first.
func TestKernelGuardPages(t *testing.T) {
	needKernels(t)
	const vectorBytes, workBytes, tableBytes = int(unsafe.Sizeof(vector{})), int(unsafe.Sizeof(work{})), int(unsafe.Sizeof(table{}))
	r, multiples := newRand(t), newTable()
	for i := range kernelTests {
		test := &kernelTests[i]
		first := 1
		if slices.Contains([]string{"scalarPrefix", "scalarQuotient", "zPrefix", "odd"}, test.name) {
			first = 0
		}
		for _, n := range []int{1, 2, min(test.most, 5)} {
			for _, atEnd := range []bool{true, false} {
				bytes := (n + 1 - first) * vectorBytes
				vectors := unsafe.Pointer(&newFence(t, bytes).room(bytes, atEnd)[0])
				area := newFence(t, workBytes).room(workBytes, atEnd)
				fencedTable := (*table)(unsafe.Pointer(&newFence(t, tableBytes).room(tableBytes, atEnd)[0]))
				*fencedTable = *multiples
				want := newTrial(r, n, multiples)
				test.prepare(r, want)
				fenced := &trial{
					vectors: unsafe.Slice((*vector)(unsafe.Add(vectors, -first*vectorBytes)), n+1),
					work:    (*work)(unsafe.Pointer(&area[0])), table: fencedTable,
				}
				for i := range n {
					fenced.pair = append(fenced.pair, &fenced.vectors[1+i])
				}
				copy(fenced.vectors[first:], want.vectors[first:])
				*fenced.work = *want.work
				test.run(assembly(), fenced)
				test.run(models(), want)
				if !slices.Equal(fenced.vectors[first:], want.vectors[first:]) {
					t.Errorf("%s of %d vectors between guard pages differs from its model", test.name, n)
				}
				if *fencedTable != *multiples {
					t.Errorf("%s of %d vectors writes to the multiples of G, which all share", test.name, n)
				}
			}
		}
	}
}
