package hashlane

import (
	"crypto/sha256"
	"math/rand/v2"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
)

// newRand returns a source whose seed the test prints, so that a failure can
// be repeated.
func newRand(tb testing.TB) *rand.Rand {
	seed := rand.Uint64()
	tb.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// rounds is how often a test does what takes it long.
func rounds(n int) int {
	if testing.Short() {
		return n / 5
	}
	return n
}

// randomBytes returns n bytes, of which many are 0 or 0xff.
func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		switch x := r.Uint32(); x >> 8 % 4 {
		case 0:
			b[i] = 0xff
		case 1:
		default:
			b[i] = byte(x)
		}
	}
	return b
}

// edgeLength returns a length up to most, more often than chance one at which
// the number of blocks changes.
func edgeLength(r *rand.Rand, most int) int {
	n := r.IntN(most + 1)
	switch r.IntN(4) {
	case 0:
		n = n&^63 + 53 + r.IntN(5) // the length no longer fits into the block
	case 1:
		n = n&^63 + r.IntN(3) - 1 // the block is full
	}
	return min(max(n, 0), most)
}

// split returns b in parts, some of which are often empty or short.
func split(r *rand.Rand, b []byte) Parts {
	cut := func(n int) int {
		switch r.IntN(4) {
		case 0:
			return 0
		case 1:
			return n
		case 2:
			return min(4, n)
		}
		return r.IntN(n + 1)
	}
	head := cut(len(b))
	tail := head + len(b[head:]) - cut(len(b)-head)
	return Parts{b[:head], b[head:tail], b[tail:]}
}

// onEachPath runs f for every path that this processor can take.
func onEachPath(t *testing.T, f func(t *testing.T, p path)) {
	for _, p := range detect().fallbacks() {
		t.Run(p.String(), func(t *testing.T) { f(t, p) })
	}
}

// A sample is a batch of messages in every form, with what their hashes are
// according to others.
type sample struct {
	whole  [][]byte
	parts  []Parts
	single [][32]byte
	double [][32]byte
	hash20 [][20]byte
}

// newSample returns the sample of the messages given.
func newSample(r *rand.Rand, whole [][]byte) *sample {
	s := &sample{whole: whole}
	for _, m := range whole {
		once := sha256.Sum256(m)
		s.parts = append(s.parts, split(r, m))
		s.single = append(s.single, once)
		s.double = append(s.double, sha256.Sum256(once[:]))
		s.hash20 = append(s.hash20, [20]byte(address.Hash160(m)))
	}
	return s
}

// check fails if p computes another hash of a message in any form.
func (s *sample) check(t *testing.T, p path) {
	t.Helper()
	n := len(s.whole)
	got, got20 := make([][32]byte, n), make([][20]byte, n)
	compare := func(name string, want [][32]byte) {
		t.Helper()
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%s of message %d of %d, of %d bytes in parts of %d, %d and %d: got %x, want %x", name, i, n,
					len(s.whole[i]), len(s.parts[i].Head), len(s.parts[i].Body), len(s.parts[i].Tail), got[i], want[i])
			}
		}
		clear(got)
	}
	p.sums(got, messages{whole: s.whole, n: n})
	compare("SHA-256", s.single)
	p.sums(got, messages{parts: s.parts, n: n})
	compare("SHA-256 in parts", s.single)
	doubleSum(p, got, messages{whole: s.whole, n: n}, "")
	compare("double SHA-256", s.double)
	doubleSum(p, got, messages{parts: s.parts, n: n}, "")
	compare("double SHA-256 in parts", s.double)
	p.hash160(got20, messages{whole: s.whole, n: n})
	for i := range got20 {
		if got20[i] != s.hash20[i] {
			t.Fatalf("HASH160 of message %d of %d, of %d bytes: got %x, want %x", i, n, len(s.whole[i]), got20[i], s.hash20[i])
		}
	}
}
