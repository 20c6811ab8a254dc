package secp

import (
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// big returns the integer that z represents, not reduced.
func (z *Element) big() *big.Int {
	n := new(big.Int)
	for i := 4; i >= 0; i-- {
		n.Lsh(n, 52).Add(n, new(big.Int).SetUint64(z[i]))
	}
	return n
}

// newElement returns the normal element of n modulo p.
func newElement(n *big.Int) *Element {
	var z Element
	z.SetBytes(bytes32(mod(n, fieldPrime)))
	return &z
}

// limits returns the largest limbs of magnitude m.
func limits(m uint64) Element {
	const top, last = 2 * mask52, 2 * mask48
	return Element{m * top, m * top, m * top, m * top, m * last}
}

// loose returns an element of magnitude m. Limbs at their bounds, zero, and
// around 2⁵² are more frequent than by chance, and so are all of them at once.
func loose(r *rand.Rand, m uint64) *Element {
	z := limits(m)
	switch r.IntN(12) {
	case 0:
		return &z
	case 1:
		return newElement(edge256(r))
	case 2: // the value zero, in all its forms
		k := r.Uint64N(2*m + 1)
		return &Element{k * p0, k * mask52, k * mask52, k * mask52, k * p4}
	}
	for i, limit := range z {
		switch r.IntN(5) {
		case 0:
			z[i] = limit
		case 1:
			z[i] = 0
		case 2:
			z[i] = min(limit, 1<<52-2+r.Uint64N(4))
		case 3:
			z[i] = limit - min(limit, r.Uint64N(4))
		default:
			z[i] = r.Uint64N(limit + 1)
		}
	}
	return &z
}

func hasMagnitude(z *Element, m uint64) bool {
	for i, limit := range limits(m) {
		if z[i] > limit {
			return false
		}
	}
	return true
}

func isNormal(z *Element) bool {
	for _, limb := range z {
		if limb > mask52 {
			return false
		}
	}
	return z.big().Cmp(fieldPrime) < 0
}

func TestElementEncoding(t *testing.T) {
	r := newRand(t)
	numbers := slices.Clone(edges)
	for range rounds(2000) {
		numbers = append(numbers, edge256(r))
	}
	for _, n := range numbers {
		var z Element
		overflow := z.SetBytes(bytes32(n))
		want := mod(n, fieldPrime)
		if overflow != (n.Cmp(fieldPrime) >= 0) || z.big().Cmp(want) != 0 || !isNormal(&z) {
			t.Errorf("SetBytes(%x) = %x, overflow %v", n, z, overflow)
		}
		if b := z.Bytes(); b != *bytes32(want) {
			t.Errorf("Bytes of %x = %x", want, b)
		}
		if z.IsOdd() != (want.Bit(0) == 1) || z.IsZero() != (want.Sign() == 0) {
			t.Errorf("%x: odd %v, zero %v", want, z.IsOdd(), z.IsZero())
		}
	}
}

func TestNormalize(t *testing.T) {
	r := newRand(t)
	for range rounds(100000) {
		x := loose(r, 1+r.Uint64N(32))
		want := mod(x.big(), fieldPrime)
		normal, carried := *x, *x
		normal.Normalize()
		carried.Carry()
		if normal.big().Cmp(want) != 0 || !isNormal(&normal) {
			t.Fatalf("%x normalized is %x", *x, normal)
		}
		if mod(carried.big(), fieldPrime).Cmp(want) != 0 || !hasMagnitude(&carried, 1) ||
			carried.big().Cmp(sum(pow2(256), pow2(214))) >= 0 {
			t.Fatalf("%x carried is %x", *x, carried)
		}
		if x.IsZero() != (want.Sign() == 0) {
			t.Fatalf("%x: IsZero is %v", *x, x.IsZero())
		}
	}
}

// TestElementArithmetic checks the value and the magnitude of every operation,
// and that its result may lie over an operand.
func TestElementArithmetic(t *testing.T) {
	r := newRand(t)
	half := inverse(big.NewInt(2), fieldPrime)
	for range rounds(50000) {
		m, k := 1+r.Uint64N(8), 1+r.Uint64N(8)
		small := r.Uint64N(1 << 52)
		x, y := loose(r, m), loose(r, k)
		a, b := x.big(), y.big()
		for _, op := range []struct {
			name      string
			do        func(z, x, y *Element)
			want      *big.Int
			magnitude uint64
		}{
			{"Mul", (*Element).Mul, mul(a, b), 1},
			{"Sqr", func(z, x, _ *Element) { z.Sqr(x) }, mul(a, a), 1},
			{"Add", (*Element).Add, sum(a, b), m + k},
			{"AddSmall", func(z, x, _ *Element) { z.AddSmall(x, small) }, sum(a, new(big.Int).SetUint64(small)), m + 1},
			{"Sub", func(z, x, y *Element) { z.Sub(x, y, k) }, sub(a, b), m + k + 1},
			{"Negate", func(z, x, _ *Element) { z.Negate(x, m) }, new(big.Int).Neg(a), m + 1},
			{"MulSmall", func(z, x, _ *Element) { z.MulSmall(x, k) }, mul(a, new(big.Int).SetUint64(k)), m * k},
			{"Half", func(z, x, _ *Element) { z.Half(x) }, mul(a, half), m/2 + 1},
		} {
			want := mod(op.want, fieldPrime)
			var z Element
			op.do(&z, x, y)
			if mod(z.big(), fieldPrime).Cmp(want) != 0 || !hasMagnitude(&z, op.magnitude) {
				t.Fatalf("%s of %x and %x, of magnitudes %d and %d, is %x", op.name, *x, *y, m, k, z)
			}
			inX, inY := *x, *y
			op.do(&inX, &inX, y)
			op.do(&inY, x, &inY)
			if inX != z || inY != z {
				t.Fatalf("%s of %x and %x is %x, over the first operand %x, over the second %x",
					op.name, *x, *y, z, inX, inY)
			}
		}
		if got, want := x.Equal(y), mod(a, fieldPrime).Cmp(mod(b, fieldPrime)) == 0; got != want {
			t.Fatalf("%x equals %x: %v", *x, *y, got)
		}
	}
}

func TestElementInverse(t *testing.T) {
	r := newRand(t)
	numbers := slices.Clone(edges)
	for range rounds(10000) {
		numbers = append(numbers, edge256(r))
	}
	for _, n := range numbers {
		want := new(big.Int)
		if mod(n, fieldPrime).Sign() != 0 {
			want = inverse(n, fieldPrime)
		}
		z := *newElement(n)
		z.Inverse(&z)
		if z.big().Cmp(want) != 0 || !isNormal(&z) {
			t.Fatalf("1/%x = %x, want %x", n, z.big(), want)
		}
	}
}

func TestSqrt(t *testing.T) {
	r := newRand(t)
	roots := 0
	for range rounds(1000) {
		n := mod(edge256(r), fieldPrime)
		want := big.Jacobi(n, fieldPrime) >= 0
		x := newElement(n)
		z := *x
		if got := z.Sqrt(&z); got != want {
			t.Fatalf("%x has a root: %v, want %v", *x, got, want)
		}
		if want {
			roots++
		} else {
			n.Sub(fieldPrime, n)
		}
		if mod(mul(z.big(), z.big()), fieldPrime).Cmp(n) != 0 || !isNormal(&z) {
			t.Fatalf("the root of %x is %x", *x, z)
		}
	}
	if roots == 0 || roots == rounds(1000) {
		t.Errorf("%d of the numbers are squares", roots)
	}
}
