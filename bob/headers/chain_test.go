package headers

import (
	"encoding/binary"
	"errors"
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

// pick returns one of the values.
func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// load returns the headers of a vector.
func load(t testing.TB, name, unchecked string) []header.Header {
	t.Helper()
	chain, err := Parse(testvectors.Load(t, name, unchecked))
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// params returns the parameters of a network.
func params(t testing.TB, network string) *header.Params {
	t.Helper()
	p, err := header.For(network)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// easyBits is a target that half of all hashes meet.
const easyBits = 0x207fffff

// small returns a network's parameters, changed so that a test can mine its blocks
// and reach its rules: periods of 20 blocks, the greatest proof-of-work limit,
// versions that rise at heights 3, 5 and 7.
func small(t testing.TB, network string) *header.Params {
	t.Helper()
	p := params(t, network)
	p.TargetTimespan = 20 * p.TargetSpacing
	p.PowLimit = header.Uint256{^uint64(0), ^uint64(0), ^uint64(0), 1<<63 - 1}
	binary.LittleEndian.PutUint32(p.Genesis[72:], easyBits)
	p.BIP34Height, p.BIP66Height, p.BIP65Height = 3, 5, 7
	mine(t, p, &p.Genesis)
	return p
}

// build makes a header that follows prev; salt makes it another one.
func build(prev header.Header, version int32, time, bits, salt uint32) header.Header {
	var h header.Header
	binary.LittleEndian.PutUint32(h[0:], uint32(version))
	hash := prev.Hash()
	copy(h[4:36], hash[:])
	binary.LittleEndian.PutUint32(h[36:], salt)
	binary.LittleEndian.PutUint32(h[68:], time)
	binary.LittleEndian.PutUint32(h[72:], bits)
	return h
}

// mine gives h a nonce with which it has proof of work.
func mine(t testing.TB, p *header.Params, h *header.Header) {
	t.Helper()
	for nonce := range uint32(1 << 20) {
		binary.LittleEndian.PutUint32(h[76:], nonce)
		if p.CheckProofOfWork(h) == nil {
			return
		}
	}
	t.Fatalf("no nonce for header %x", *h)
}

// extend returns n valid headers on top of chain, whose first is the genesis block,
// spaced by spacing seconds; salt makes them others.
func extend(t testing.TB, p *header.Params, chain []header.Header, n int, spacing, salt uint32) []header.Header {
	t.Helper()
	all := append(header.Chain(nil), chain...)
	for range n {
		prev := all[len(all)-1]
		bits, err := p.NextBits(all, uint32(len(all)), prev.Time()+spacing)
		if err != nil {
			t.Fatal(err)
		}
		h := build(prev, 4, prev.Time()+spacing, bits, salt)
		mine(t, p, &h)
		all = append(all, h)
	}
	return all[len(chain):]
}

// clock returns the time that h claims.
func clock(h header.Header) time.Time { return time.Unix(int64(h.Time()), 0) }

// latest returns a time at which no header is too new.
func latest() time.Time { return time.Unix(1<<32, 0) }

// ruleOf returns the rule that err says is broken; "" for nil.
func ruleOf(t testing.TB, err error) header.Rule {
	t.Helper()
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[*header.RuleError](err)
	if !ok {
		t.Fatalf("not a broken rule: %v", err)
	}
	return e.Rule
}

// hashes returns the hashes of headers.
func hashes(headers []header.Header) []chainhash.Hash {
	sums := make([]chainhash.Hash, len(headers))
	for i := range headers {
		sums[i] = headers[i].Hash()
	}
	return sums
}
