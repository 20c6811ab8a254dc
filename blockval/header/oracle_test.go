package header

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
)

// rulesBroken is the slow and plain statement of what a header must satisfy on
// top of chain: every rule looked at, none hiding another, in the order in
// which Bitcoin Core looks, with math/big. The chain must be valid and not
// empty.
func rulesBroken(p *Params, h Header, chain Chain, now time.Time) []Rule {
	var rules []Rule
	add := func(rule Rule, broken bool) {
		if broken {
			rules = append(rules, rule)
		}
	}
	height, prev := len(chain), chain[len(chain)-1]
	target, limit, hash := blockchain.CompactToBig(h.Bits()), toBig(p.PowLimit), h.Hash()
	add(HighHash, target.Sign() <= 0 || target.Cmp(limit) > 0 || blockchain.HashToBig(&hash).Cmp(target) > 0)
	add(BadPrevBlock, h.Prev() != prev.Hash())
	add(BadDiffBits, h.Bits() != oracleBits(p, chain, h.Time()))

	var times []uint32
	for _, a := range chain[max(0, height-11):] {
		times = append(times, a.Time())
	}
	slices.Sort(times)
	add(TimeTooOld, h.Time() <= times[len(times)/2])
	add(TimeWarp, p.BIP94 && height%int(p.Interval()) == 0 && int64(h.Time()) < int64(prev.Time())-600)
	add(TimeTooNew, int64(h.Time()) > now.Unix()+7200)
	add(BadVersion, h.Version() < 2 && height >= int(p.BIP34Height) ||
		h.Version() < 3 && height >= int(p.BIP66Height) ||
		h.Version() < 4 && height >= int(p.BIP65Height))
	return rules
}

// oracleBits returns the bits that the next header of chain must have.
func oracleBits(p *Params, chain Chain, time uint32) uint32 {
	interval := int(p.TargetTimespan / p.TargetSpacing)
	limit := blockchain.BigToCompact(toBig(p.PowLimit))
	height, last := len(chain), chain[len(chain)-1]
	switch {
	case p.NoRetargeting:
		return last.Bits()
	case height%interval == 0:
		first := chain[height-interval]
		base := last
		if p.BIP94 {
			base = first
		}
		actual := int64(last.Time()) - int64(first.Time())
		actual = max(actual, p.TargetTimespan/4)
		actual = min(actual, p.TargetTimespan*4)
		target := blockchain.CompactToBig(base.Bits())
		target.Mul(target, big.NewInt(actual))
		target.Div(target, big.NewInt(p.TargetTimespan))
		if target.Cmp(toBig(p.PowLimit)) > 0 {
			return limit
		}
		return blockchain.BigToCompact(target)
	case !p.AllowMinDifficulty:
		return last.Bits()
	case int64(time)-int64(last.Time()) > 2*p.TargetSpacing:
		return limit
	}
	// The last block of this period that did not use the exception, or its
	// first.
	period := chain[height-height%interval:]
	for _, h := range slices.Backward(period) {
		if h.Bits() != limit {
			return h.Bits()
		}
	}
	return period[0].Bits()
}

// build makes a header that follows prev.
func build(prev Header, version int32, time, bits uint32) Header {
	var h Header
	binary.LittleEndian.PutUint32(h[0:], uint32(version))
	hash := prev.Hash()
	copy(h[4:36], hash[:])
	h.setTime(time)
	h.setBits(bits)
	return h
}

func (h *Header) setTime(t uint32)  { binary.LittleEndian.PutUint32(h[68:], t) }
func (h *Header) setBits(b uint32)  { binary.LittleEndian.PutUint32(h[72:], b) }
func (h *Header) setNonce(n uint32) { binary.LittleEndian.PutUint32(h[76:], n) }

// mine sets h's nonce to the first for which its hash is at most the target
// that its bits encode, or the first for which it is above.
func mine(t testing.TB, h *Header, above bool) {
	t.Helper()
	target := blockchain.CompactToBig(h.Bits())
	for nonce := range uint32(1 << 20) {
		h.setNonce(nonce)
		hash := h.Hash()
		if (blockchain.HashToBig(&hash).Cmp(target) > 0) == above {
			return
		}
	}
	t.Fatalf("no nonce for bits %08x", h.Bits())
}

// small returns a network's parameters, changed so that a test can mine its
// blocks and reach its rules: periods of 20 blocks, the greatest proof-of-work
// limit, versions that rise at heights 3, 5 and 7.
func small(t testing.TB, network string) *Params {
	t.Helper()
	p, err := For(network)
	if err != nil {
		t.Fatal(err)
	}
	p.TargetTimespan = 20 * p.TargetSpacing
	p.PowLimit = Uint256{^uint64(0), ^uint64(0), ^uint64(0), 1<<63 - 1}
	p.Genesis.setBits(0x207fffff)
	p.BIP34Height, p.BIP66Height, p.BIP65Height = 3, 5, 7
	mine(t, &p.Genesis, false)
	return p
}

// grow returns a valid chain of n headers, spaced by spacing seconds.
func grow(t testing.TB, p *Params, n int, spacing uint32) Chain {
	t.Helper()
	chain := Chain{p.Genesis}
	for len(chain) < n {
		prev := chain[len(chain)-1]
		time := prev.Time() + spacing
		h := build(prev, 4, time, oracleBits(p, chain, time))
		mine(t, &h, false)
		if rules := rulesBroken(p, h, chain, clock(h)); rules != nil {
			t.Fatalf("header %d: the test's own chain breaks %v", len(chain), rules)
		}
		chain = append(chain, h)
	}
	return chain
}

// clock returns the time that h claims.
func clock(h Header) time.Time { return time.Unix(int64(h.Time()), 0) }

// toBig returns x as a big.Int.
func toBig(x Uint256) *big.Int {
	n, ok := new(big.Int).SetString(x.String(), 16)
	if !ok {
		panic("not hexadecimal: " + x.String())
	}
	return n
}

// fromBig returns n modulo 2^256.
func fromBig(n *big.Int) Uint256 {
	var x Uint256
	word := new(big.Int)
	mask := new(big.Int).SetUint64(^uint64(0))
	for i := range x {
		x[i] = word.And(word.Rsh(n, uint(64*i)), mask).Uint64()
	}
	return x
}

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

// sparse is a chain of which only some headers are known.
type sparse map[uint32]Header

func (s sparse) At(height uint32) (Header, error) {
	h, ok := s[height]
	if !ok {
		return h, fmt.Errorf("no header at height %d", height)
	}
	return h, nil
}
