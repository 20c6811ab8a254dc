package relay

import (
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/testvectors"
)

// seeded returns a generator whose seed the test prints when it fails.
func seeded(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// load returns a file of the vectors.
func load(t testing.TB, name string) *HeadersFile {
	t.Helper()
	f, err := ParseHeadersFile(testvectors.Load(t, name, "the relay models on real headers"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// raw returns the headers one after another.
func raw(headers []FileHeader) []byte {
	var data []byte
	for _, h := range headers {
		data = append(data, h.Raw...)
	}
	return data
}

// Bits of which half of all hashes meet the target, whose difficulty is 0, and of
// which one of 65,536 does.
const (
	easyBits = 0x207fffff
	hardBits = 0x1f00ffff
)

// chainOn mines n headers on top of the header prev, ten minutes apart; salt makes them
// others. They have no zero bytes to speak of, as real ones.
func chainOn(prev []byte, n int, bits, salt uint32) []byte {
	var chain []byte
	target, _, _ := header.FromCompact(bits)
	stamp := timeAt(prev, 0)
	for i := range n {
		digest := hash256(prev)
		h := make([]byte, header.Size)
		binary.LittleEndian.PutUint32(h, 0x20040201)
		copy(h[4:], digest[:])
		for j := 36; j < 68; j += 4 {
			binary.LittleEndian.PutUint32(h[j:], (salt+uint32(i*j))*2654435761|0x01010101)
		}
		binary.LittleEndian.PutUint32(h[68:], stamp+600*uint32(i+1))
		binary.LittleEndian.PutUint32(h[72:], bits)
		for nonce := uint32(0x12345678); ; nonce++ {
			binary.LittleEndian.PutUint32(h[76:], nonce)
			if littleEndian(hash256(h)).Cmp(target) < 0 {
				break
			}
		}
		chain = append(chain, h...)
		prev = h
	}
	return chain
}

// first returns a header to begin with.
func first(bits uint32) []byte {
	zero := make([]byte, header.Size)
	binary.LittleEndian.PutUint32(zero[68:], 1_600_000_000)
	return chainOn(zero, 1, bits, 1)
}

// at returns the header with this index.
func at(chain []byte, i int) []byte { return chain[i*header.Size:][:header.Size] }

// last returns the last header.
func last(chain []byte) []byte { return chain[len(chain)-header.Size:] }

// newRelay returns a relay that begins with a header.
func newRelay(t testing.TB, genesis []byte, height uint64) *FullRelayWithVerify {
	t.Helper()
	r, err := NewFullRelayWithVerify(genesis, height, chainhash.Hash{1})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// must fails the test if a call reverted.
func must(t testing.TB, receipt Receipt, err error) Receipt {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

// reverts fails the test if err is not a revert with these words.
func reverts(t testing.TB, what string, err error, want string) {
	t.Helper()
	r, ok := errors.AsType[*Revert](err)
	if !ok || revertText(r) != want {
		t.Errorf("%s: %v, want it to revert with %q", what, err, want)
	}
}

// copyFull returns a copy of a relay's state.
func copyFull(r *FullRelay) FullRelay {
	c := *r
	c.previous, c.heights = maps.Clone(r.previous), maps.Clone(r.heights)
	return c
}

// sameFull reports whether two states are equal. A height of 0 is none.
func sameFull(a, b *FullRelay) bool {
	return a.genesis == b.genesis && a.best == b.best && a.lastReorgAncestor == b.lastReorgAncestor &&
		a.currentEpochDiff == b.currentEpochDiff && a.prevEpochDiff == b.prevEpochDiff &&
		maps.Equal(a.previous, b.previous) && maps.Equal(a.heights, b.heights)
}
