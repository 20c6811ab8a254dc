package lane

import (
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// allInvalid fails if a verdict on samples is not Invalid, or one on the valid
// neighbours, of which each vector has some in every lane, is not Valid: what is
// malformed must not spoil the inversions that it takes part in.
func allInvalid(t *testing.T, impl implementation, samples []*sample) {
	t.Helper()
	r, s := newRand(t), impl.new()
	good := make([]*sample, 8)
	for i := range good {
		good[i] = valid(r)
	}
	var all []*sample
	for i, it := range samples {
		// Nine apart, they go through all lanes.
		all = append(all, good...)
		all = append(all, it)
		if it.want || oracle(&it.Item) {
			t.Fatalf("sample %d is valid: %v", i, it)
		}
	}
	for i, v := range verify(s, all) {
		if want := all[i].want; v == Unsure || (v == Valid) != want {
			t.Errorf("verdict %d, want valid %v: %v", v, want, all[i])
		}
	}
}

// A point that is not on the curve is no key. G stands in for it, so it must not
// be what a signature under G's key is valid for.
func TestKeysOffTheCurve(t *testing.T) {
	r := newRand(t)
	root := new(big.Int).Rsh(new(big.Int).Add(bigP, big.NewInt(1)), 2)
	var one secp256k1.ModNScalar
	one.SetInt(1)
	var samples []*sample
	for len(samples) < 60 {
		b := edge32(r)
		x := new(big.Int).SetBytes(b[:])
		cube := mod(new(big.Int).Add(mul(x, mul(x, x)), big.NewInt(7)), bigP)
		y := new(big.Int).Exp(cube, root, bigP) // of a square it is a root
		if x.Cmp(bigP) >= 0 || mod(mul(y, y), bigP).Cmp(cube) == 0 {
			continue
		}
		key := keypair{d: one, x: b, odd: y.Bit(0) == 1}
		y.FillBytes(key.y[:])
		nonce := pairOf(edgeMod(r))
		for _, form := range []byte{2, 4, 6} {
			samples = append(samples, signECDSA(&key, &nonce, edge32(r), form))
		}
		key.odd = false
		samples = append(samples, signBIP340(&key, &nonce, edge32(r), false))
	}
	for _, s := range samples {
		s.name += " under a key off the curve"
		s.want = false
	}
	eachImpl(t, func(t *testing.T, impl implementation) { allInvalid(t, impl, some(impl, samples)) })
}

// A key is valid in no other form than its own: every first byte, and lengths
// around those of the forms.
func TestKeyForms(t *testing.T) {
	r := newRand(t)
	var samples []*sample
	for _, form := range []byte{2, 4, 6, 0} {
		key, nonce := pairOf(edgeMod(r)), pairOf(edgeMod(r))
		s := signECDSA(&key, &nonce, random32(r), form)
		if form == 0 {
			s = signBIP340(&key, &nonce, random32(r), false)
		}
		if !oracle(&s.Item) {
			t.Fatalf("not valid: %v", s)
		}
		add := func(what string, key []byte) {
			c := s.clone()
			c.name, c.Key, c.want = what, key, false
			if !oracle(&c.Item) {
				samples = append(samples, c)
			}
		}
		for first := range 256 {
			key := slices.Clone(s.Key)
			key[0] = byte(first)
			add(fmt.Sprintf("form %d with first byte %d", form, first), key)
		}
		for n := range 67 {
			add(fmt.Sprintf("form %d in %d bytes", form, n), append(slices.Clone(s.Key), s.Key...)[:min(n, 2*len(s.Key))])
		}
		if form == 0 {
			add("BIP340's key with a parity", append([]byte{2}, s.Key...))
		}
	}
	// At least the wrong first bytes and all wrong lengths of four forms.
	if least := 3*254 + 4*60; len(samples) < least {
		t.Errorf("%d samples, want %d", len(samples), least)
	}
	eachImpl(t, func(t *testing.T, impl implementation) { allInvalid(t, impl, some(impl, samples)) })
}

// Zero and what is too large are no r, s or coordinate.
func TestNumbersOutOfRange(t *testing.T) {
	r := newRand(t)
	var samples []*sample
	for _, n := range [][32]byte{{}, bytes32(groupOrder), bytes32(fieldPrime), bytes32(number{1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1})} {
		for _, form := range []byte{2, 4, 6, 0} {
			for _, place := range []string{"r", "s", "x", "y"} {
				key, nonce := pairOf(edgeMod(r)), pairOf(edgeMod(r))
				var s *sample
				if form == 0 {
					s = signBIP340(&key, &nonce, random32(r), false)
				} else {
					s = signECDSA(&key, &nonce, random32(r), form)
				}
				s.want = false
				s.name += " with another " + place
				switch place {
				case "r":
					copy(s.sig[:32], n[:])
				case "s":
					copy(s.sig[32:], n[:])
				case "x":
					copy(s.Key[len(s.Key)%32:], n[:])
				case "y":
					if len(s.Key) != 65 {
						continue
					}
					copy(s.Key[33:], n[:])
				}
				samples = append(samples, s)
			}
		}
	}
	eachImpl(t, func(t *testing.T, impl implementation) { allInvalid(t, impl, some(impl, samples)) })
}

// Only numbers in range are staged. Of a BIP340 signature whose r is p or more
// nobody can make one that is valid but for that.
func TestStage(t *testing.T) {
	r := newRand(t)
	var v vector
	for _, n := range edges {
		below := func(limit *big.Int) bool { return new(big.Int).SetBytes(n[:]).Cmp(limit) < 0 }
		zero := n == [32]byte{}
		for _, bip340 := range []bool{false, true} {
			s := valid(r)
			for s.BIP340 != bip340 {
				s = valid(r)
			}
			staged := func(set func(c *sample)) bool {
				c := s.clone()
				set(c)
				return stage(&v, &lanes{}, r.IntN(8), &c.Item)
			}
			for _, tt := range []struct {
				what string
				got  bool
				want bool
			}{
				{"r", staged(func(c *sample) { copy(c.sig[:], n[:]) }), below(bigP) && (bip340 || below(bigN) && !zero)},
				{"s", staged(func(c *sample) { copy(c.sig[32:], n[:]) }), below(bigN) && (bip340 || !zero)},
				{"x", staged(func(c *sample) { copy(c.Key[len(c.Key)%32:], n[:]) }), below(bigP)},
				{"digest", staged(func(c *sample) { c.digest = n }), true},
			} {
				if tt.got != tt.want {
					t.Errorf("BIP340 %v, %s is %x: stage returns %v", bip340, tt.what, n, tt.got)
				}
			}
		}
	}
}

func TestLess(t *testing.T) {
	r := newRand(t)
	for range 2000 {
		// Words of x and y are equal or off by one, or any.
		var x, y number
		for i := range x {
			x[i] = edgeLimb(r, 1<<64-1)
			switch r.IntN(4) {
			case 0:
				y[i] = x[i] + 1
			case 1:
				y[i] = edgeLimb(r, 1<<64-1)
			default:
				y[i] = x[i]
			}
		}
		if want := bigOf64(x[:]).Cmp(bigOf64(y[:])) < 0; less(&x, &y) != want {
			t.Fatalf("less(%x, %x) is not %v", x, y, want)
		}
	}
}
