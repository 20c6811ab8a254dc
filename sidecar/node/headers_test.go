package node

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// regtest returns the parameters of the network that tests mine on.
func regtest(tb testing.TB) *header.Params {
	tb.Helper()
	p, err := header.For("regtest")
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// mineHeaders returns n headers that follow prev, told apart from other
// branches by salt.
func mineHeaders(tb testing.TB, p *header.Params, prev header.Header, n int, salt uint64) []header.Header {
	tb.Helper()
	hs := make([]header.Header, n)
	for i := range hs {
		h := &hs[i]
		hash := prev.Hash()
		binary.LittleEndian.PutUint32(h[:], 4)
		copy(h[4:36], hash[:])
		binary.LittleEndian.PutUint64(h[36:], salt)
		binary.LittleEndian.PutUint32(h[68:], prev.Time()+60)
		binary.LittleEndian.PutUint32(h[72:], prev.Bits())
		for nonce := uint32(0); p.CheckProofOfWork(h) != nil; nonce++ {
			binary.LittleEndian.PutUint32(h[76:], nonce)
		}
		prev = *h
	}
	return hs
}

func openHeaders(tb testing.TB, path string) (*Headers, int) {
	tb.Helper()
	h, cut, err := OpenHeaders(path, regtest(tb), time.Now)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = h.Close() }) // the test may have closed it
	return h, cut
}

// extend verifies branch and makes it the chain above fork.
func extend(tb testing.TB, h *Headers, fork uint32, branch []header.Header) {
	tb.Helper()
	if _, err := h.Verify(fork, branch); err != nil {
		tb.Fatal(err)
	}
	if err := h.replace(fork, branch); err != nil {
		tb.Fatal(err)
	}
}

// checkChain fails unless h holds exactly want, from the genesis block on.
func checkChain(tb testing.TB, h *Headers, want []header.Header) {
	tb.Helper()
	last := want[len(want)-1]
	if got := h.Tip(); got != (Tip{last.Hash(), uint32(len(want) - 1)}) {
		tb.Fatalf("tip is %v, want height %d", got, len(want)-1)
	}
	for i := range want {
		got, err := h.At(uint32(i))
		if err != nil {
			tb.Fatal(err)
		}
		if got != want[i] {
			tb.Fatalf("header %d differs", i)
		}
	}
	if _, err := h.At(uint32(len(want))); err == nil {
		tb.Fatal("a header above the tip was given")
	}
}

func TestHeadersRandomReorganisations(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "headers.dat")
	h, _ := openHeaders(t, path)
	want := []header.Header{regtest(t).Genesis}
	// The first stretch is longer than what stays in memory, so that old
	// headers come from the file.
	first := mineHeaders(t, regtest(t), want[0], 2*recentHeaders+100, 0)
	extend(t, h, 0, first)
	want = append(want, first...)
	checkChain(t, h, want)
	for i := range 60 {
		depth := min(rng.IntN(30), len(want)-1)
		if i%20 == 19 {
			depth = min(recentHeaders+rng.IntN(2000), len(want)-1) // below what is in memory
		}
		fork := uint32(len(want) - 1 - depth)
		branch := mineHeaders(t, regtest(t), want[fork], rng.IntN(40), rng.Uint64())
		extend(t, h, fork, branch)
		want = append(want[:fork+1:fork+1], branch...)
		if i%10 == 0 {
			checkChain(t, h, want)
		}
		if rng.IntN(4) == 0 {
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			var cut int
			if h, cut = openHeaders(t, path); cut != 0 {
				t.Fatalf("%d records were cut off a whole file", cut)
			}
		}
	}
	checkChain(t, h, want)
}

func TestOpenHeadersCutsWhatIsTorn(t *testing.T) {
	genesis := regtest(t).Genesis
	chain := append([]header.Header{genesis}, mineHeaders(t, regtest(t), genesis, 50, 1)...)
	var whole []byte
	for i := range chain {
		whole = append(whole, chain[i][:]...)
	}
	tests := []struct {
		name  string
		spoil func([]byte) []byte
		keep  int // headers that stay
		cut   int
	}{
		{"whole", func(b []byte) []byte { return b }, 51, 0},
		{"empty", func([]byte) []byte { return nil }, 1, 0},
		{"half a genesis", func(b []byte) []byte { return b[:40] }, 1, 0},
		{"half a record", func(b []byte) []byte { return b[:20*header.Size+7] }, 20, 1},
		{"a bit in the link of record 30", func(b []byte) []byte { b[30*header.Size+10] ^= 4; return b }, 30, 21},
		{"zeros from record 10", func(b []byte) []byte { clear(b[10*header.Size:]); return b }, 10, 41},
		{"the last record twice", func(b []byte) []byte { return append(b, b[50*header.Size:]...) }, 51, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "headers.dat")
			if err := os.WriteFile(path, tt.spoil(append([]byte(nil), whole...)), 0o600); err != nil {
				t.Fatal(err)
			}
			h, cut := openHeaders(t, path)
			if cut != tt.cut {
				t.Errorf("%d records cut off, want %d", cut, tt.cut)
			}
			checkChain(t, h, chain[:tt.keep])
			// What was cut can be put back.
			extend(t, h, uint32(tt.keep-1), chain[tt.keep:])
			checkChain(t, h, chain)
		})
	}
}

func TestOpenHeadersRefusesAnotherNetwork(t *testing.T) {
	other, err := header.For("main")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "headers.dat")
	if err := os.WriteFile(path, other.Genesis[:], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenHeaders(path, regtest(t), time.Now); err == nil {
		t.Fatal("a file of another network was opened")
	}
	if got, err := os.ReadFile(path); err != nil || len(got) != header.Size {
		t.Fatalf("the refused file was changed: %d bytes, %v", len(got), err)
	}
}

func TestVerifyNamesTheBrokenRule(t *testing.T) {
	h, _ := openHeaders(t, filepath.Join(t.TempDir(), "headers.dat"))
	branch := mineHeaders(t, regtest(t), regtest(t).Genesis, 5, 1)
	stray := mineHeaders(t, regtest(t), branch[1], 1, 2)
	branch[3] = stray[0] // follows 2, not 3
	valid, err := h.Verify(0, branch)
	if valid != 3 || !errors.Is(err, header.BadPrevBlock) {
		t.Fatalf("got %d valid and %v, want 3 and %v", valid, err, header.BadPrevBlock)
	}
	if got := h.Tip(); got.Height != 0 {
		t.Fatalf("verifying moved the tip to %v", got)
	}
}

func TestLocatorHasEveryScale(t *testing.T) {
	h, _ := openHeaders(t, filepath.Join(t.TempDir(), "headers.dat"))
	extend(t, h, 0, mineHeaders(t, regtest(t), regtest(t).Genesis, 1000, 0))
	hashes, heights, err := h.locator()
	if err != nil {
		t.Fatal(err)
	}
	if len(hashes) > 25 || len(hashes) != len(heights) {
		t.Errorf("%d hashes, %d heights", len(hashes), len(heights))
	}
	prev, seen := uint32(1001), map[chainhash.Hash]bool{}
	for i, hash := range hashes {
		height, ok := heights[hash]
		if want, err := h.Hash(height); !ok || err != nil || want != hash || height >= prev || seen[hash] {
			t.Fatalf("entry %d: height %d after %d", i, height, prev)
		}
		prev, seen[hash] = height, true
	}
	if prev != 0 {
		t.Errorf("the last entry is %d, not the genesis block", prev)
	}
}

func TestBranchEndsWhereItEnds(t *testing.T) {
	h, _ := openHeaders(t, filepath.Join(t.TempDir(), "headers.dat"))
	base := mineHeaders(t, regtest(t), regtest(t).Genesis, 5, 0)
	extend(t, h, 0, base)
	side := mineHeaders(t, regtest(t), base[1], 2, 9)
	b := Branch{Base: h, Fork: 2, Headers: side}
	for height, want := range map[uint32]header.Header{1: base[0], 2: base[1], 3: side[0], 4: side[1]} {
		if got, err := b.At(height); err != nil || got != want {
			t.Errorf("At(%d) is not the branch's header (%v)", height, err)
		}
	}
	if _, err := b.At(5); err == nil {
		t.Error("At gave a header above the branch")
	}
}
