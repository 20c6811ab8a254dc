package secp

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

// newResidue returns the normal residue of n modulo p.
func newResidue(n *big.Int) *residue {
	var z residue
	z[0], z[1], z[2], z[3] = words(bytes32(mod(n, fieldPrime)))
	return &z
}

func (z *residue) big() *big.Int { return (*Scalar)(z).big() }

// respell returns n modulo p, not normal if it can be.
func respell(r *rand.Rand, n *big.Int) *residue {
	z := newResidue(n)
	if z[3]|z[2]|z[1] == 0 && z[0] < fold && r.IntN(2) == 0 {
		*z = residue{z[0] + pWord0, pWord, pWord, pWord}
	}
	return z
}

// weird returns a residue like edge256, or one of words that are around the ends
// of their range; above p more often than chance.
func weird(r *rand.Rand) *residue {
	var z residue
	switch r.IntN(8) {
	case 0, 1:
		z[0], z[1], z[2], z[3] = words(bytes32(edge256(r)))
	case 2:
		z = residue{pWord0 + r.Uint64N(fold), pWord, pWord, pWord}
	case 3:
		z = residue{r.Uint64N(4)}
	default:
		for i := range z {
			switch r.IntN(5) {
			case 0:
				z[i] = 0
			case 1:
				z[i] = 1<<64 - 1
			case 2:
				z[i] = r.Uint64N(4)
			case 3:
				z[i] = -r.Uint64N(4 * fold)
			default:
				z[i] = r.Uint64()
			}
		}
	}
	return &z
}

func TestResidueEncoding(t *testing.T) {
	r := newRand(t)
	for range rounds(20000) {
		x := weird(r)
		n := x.big()
		want := mod(n, fieldPrime)
		var z residue
		if overflow := z.setBytes(bytes32(n)); overflow != (n.Cmp(fieldPrime) >= 0) || z != *x {
			t.Fatalf("setBytes(%x) = %x, overflow %v", n, z, overflow)
		}
		if z.isNormal() != (n.Cmp(fieldPrime) < 0) || z.isZero() != (want.Sign() == 0) || z.isOdd() != (n.Bit(0) == 1) {
			t.Fatalf("%x: normal %v, zero %v, odd %v", n, z.isNormal(), z.isZero(), z.isOdd())
		}
		if z.normalize(); z != *newResidue(want) {
			t.Fatalf("%x normalized is %x", n, z)
		}
		var e Element
		if e.setResidue(x); e.big().Cmp(want) != 0 || e.residue() != z {
			t.Fatalf("%x is the element %x, and that %x", n, e, e.residue())
		}
	}
}

// TestResidueArithmetic checks the value of every operation, and that its result
// may lie over an operand.
func TestResidueArithmetic(t *testing.T) {
	r := newRand(t)
	half := inverse(big.NewInt(2), fieldPrime)
	for range rounds(100000) {
		x, y := weird(r), weird(r)
		a, b := x.big(), y.big()
		for _, op := range []struct {
			name string
			do   func(z, x, y *residue)
			want *big.Int
		}{
			{"mul", (*residue).mul, mul(a, b)},
			{"sqr", func(z, x, _ *residue) { z.sqr(x) }, mul(a, a)},
			{"add", (*residue).add, sum(a, b)},
			{"sub", (*residue).sub, sub(a, b)},
			{"subTwice", (*residue).subTwice, sub(a, mul(big.NewInt(2), b))},
			{"negate", func(z, x, _ *residue) { z.negate(x) }, new(big.Int).Neg(a)},
			{"threeHalves", func(z, x, _ *residue) { z.threeHalves(x) }, mul(a, mul(big.NewInt(3), half))},
		} {
			var z residue
			op.do(&z, x, y)
			if mod(sub(z.big(), op.want), fieldPrime).Sign() != 0 {
				t.Fatalf("%s of %x and %x is %x", op.name, *x, *y, z)
			}
			inX, inY := *x, *y
			op.do(&inX, &inX, y)
			op.do(&inY, x, &inY)
			if inX != z || inY != z {
				t.Fatalf("%s of %x and %x is %x, over the first operand %x, over the second %x",
					op.name, *x, *y, z, inX, inY)
			}
		}
		if got, want := x.equal(y), mod(sub(a, b), fieldPrime).Sign() == 0; got != want {
			t.Fatalf("%x equals %x: %v", *x, *y, got)
		}
		if z := *respell(r, a); !z.equal(x) {
			t.Fatalf("%x does not equal %x", z, *x)
		}
	}
}

// carrying returns factors whose product, once it is k⋅2²⁵⁶ + r, carries out of
// r + k⋅fold, and then, as the last fold is added, out of the first word.
func carrying(r *rand.Rand) (x, y *residue) {
	f := new(big.Int).SetUint64(fold)
	for {
		k := new(big.Int).SetUint64(1<<32 + r.Uint64N(900))
		left := new(big.Int).SetUint64(1<<64 - 1 - r.Uint64N(fold))
		// (2²⁵⁶-1)⋅y has y-1 in its upper half and 2²⁵⁶-y in the lower one, so that
		// k⋅2²⁵⁶ + r is y⋅(fold-1) + 2²⁵⁶ - fold; r is to be 2²⁵⁶ + left - k⋅fold.
		n := sum(mul(k, pow2(256)), sum(sub(left, mul(k, f)), f))
		if n.Div(n, sub(f, big.NewInt(1))); n.BitLen() <= 256 {
			x, y = &residue{pWord, pWord, pWord, pWord}, new(residue)
			y[0], y[1], y[2], y[3] = words(bytes32(n))
			return x, y
		}
	}
}

func TestMulCarries(t *testing.T) {
	r := newRand(t)
	for range rounds(2000) {
		x, y := carrying(r)
		want := mod(mul(x.big(), y.big()), fieldPrime)
		var z, sub residue
		z.mul(x, y)
		sub.mulSub(x, y, &residue{}, &residue{})
		if mod(z.big(), fieldPrime).Cmp(want) != 0 || sub != z {
			t.Fatalf("%x⋅%x is %x, and %x by mulSub", *x, *y, z, sub)
		}
	}
}

func TestMulSub(t *testing.T) {
	r := newRand(t)
	for range rounds(100000) {
		a, b, c, d := weird(r), weird(r), weird(r), weird(r)
		want := mod(sub(mul(a.big(), b.big()), mul(c.big(), d.big())), fieldPrime)
		var z residue
		if z.mulSub(a, b, c, d); mod(z.big(), fieldPrime).Cmp(want) != 0 {
			t.Fatalf("%x⋅%x - %x⋅%x is %x", *a, *b, *c, *d, z)
		}
		for _, over := range []*residue{a, b, c, d} {
			before := *over
			if over.mulSub(a, b, c, d); *over != z {
				t.Fatalf("mulSub over an operand is %x, want %x", *over, z)
			}
			*over = before
		}
	}
}

func TestResidueRoots(t *testing.T) {
	r := newRand(t)
	for range rounds(2000) {
		x := weird(r)
		n := mod(x.big(), fieldPrime)
		var z residue
		if got, want := z.sqrt(x), big.Jacobi(n, fieldPrime) >= 0; got != want {
			t.Fatalf("%x has a root: %v, want %v", *x, got, want)
		}
		if square := mod(mul(z.big(), z.big()), fieldPrime); square.Cmp(n) != 0 && sum(square, n).Cmp(fieldPrime) != 0 {
			t.Fatalf("the root of %x is %x", *x, z)
		}
		want := new(big.Int)
		if n.Sign() != 0 {
			want = inverse(n, fieldPrime)
		}
		z = *x
		if z.inverse(&z); z != *newResidue(want) {
			t.Fatalf("1/%x is %x", *x, z)
		}
	}
}
