package secp

import (
	"math/big"
	"slices"
	"testing"
)

// lambda is the cube root of 1 modulo n that goes with bigBeta modulo p.
var (
	lambda  = fromHex("5363AD4CC05C30E0A5261C028812645A122E22EA20816678DF02967C1B23BD72")
	bigBeta = fromHex("7AE96A2B657C07106E64479EAC3434E99CF0497512F58995C1396C28719501EE")
)

// newScalar returns k modulo n.
func newScalar(k *big.Int) *Scalar {
	var z Scalar
	z.SetBytes(bytes32(mod(k, groupOrder)))
	return &z
}

func (z *Scalar) big() *big.Int {
	n := new(big.Int)
	for i := 3; i >= 0; i-- {
		n.Lsh(n, 64).Add(n, new(big.Int).SetUint64(z[i]))
	}
	return n
}

func TestScalarEncoding(t *testing.T) {
	r := newRand(t)
	numbers := slices.Clone(edges)
	for range rounds(2000) {
		numbers = append(numbers, edge256(r))
	}
	for _, n := range numbers {
		var z Scalar
		overflow := z.SetBytes(bytes32(n))
		want := mod(n, groupOrder)
		if overflow != (n.Cmp(groupOrder) >= 0) || z.big().Cmp(want) != 0 {
			t.Errorf("SetBytes(%x) = %x, overflow %v", n, z.big(), overflow)
		}
		if b := z.Bytes(); b != *bytes32(want) {
			t.Errorf("Bytes of %x = %x", want, b)
		}
		if z.IsZero() != (want.Sign() == 0) {
			t.Errorf("IsZero of %x = %v", want, z.IsZero())
		}
	}
}

func TestScalarArithmetic(t *testing.T) {
	r := newRand(t)
	check := func(a, b *big.Int) {
		x, y := newScalar(a), newScalar(b)
		for _, op := range []struct {
			name string
			do   func(z, x, y *Scalar)
			want *big.Int
		}{
			{"Add", (*Scalar).Add, sum(a, b)},
			{"Mul", (*Scalar).Mul, mul(a, b)},
			{"Negate", func(z, x, _ *Scalar) { z.Negate(x) }, new(big.Int).Neg(a)},
		} {
			want := newScalar(op.want)
			var z Scalar
			op.do(&z, x, y)
			inX, inY := *x, *y
			op.do(&inX, &inX, y)
			op.do(&inY, x, &inY)
			if z != *want || inX != *want || inY != *want {
				t.Fatalf("%s of %x and %x is %x, over the first operand %x, over the second %x; want %x",
					op.name, a, b, z.big(), inX.big(), inY.big(), want.big())
			}
		}
	}
	for _, a := range edges {
		for _, b := range edges {
			check(a, b)
		}
	}
	// Products with n - 1 for which the last reduction of Mul carries.
	fold := sub(pow2(256), groupOrder)
	for range rounds(1000) {
		check(sub(groupOrder, big.NewInt(1)), sub(sub(groupOrder, fold), mod(edge256(r), fold)))
	}
	for range rounds(20000) {
		check(edge256(r), edge256(r))
	}
}

func TestScalarInverse(t *testing.T) {
	r := newRand(t)
	numbers := slices.Clone(edges)
	for range rounds(10000) {
		numbers = append(numbers, edge256(r))
	}
	for k := range int64(300) {
		numbers = append(numbers, big.NewInt(k), sub(groupOrder, big.NewInt(k)), pow2(uint(k)%256))
	}
	for _, n := range numbers {
		var want Scalar
		if mod(n, groupOrder).Sign() != 0 {
			want = *newScalar(inverse(n, groupOrder))
		}
		z := *newScalar(n)
		z.Inverse(&z)
		if z != want {
			t.Fatalf("1/%x = %x, want %x", n, z.big(), want.big())
		}
	}
}

func TestInvertAll(t *testing.T) {
	r := newRand(t)
	for size := range 40 {
		s, want := make([]Scalar, size), make([]Scalar, size)
		for i := range s {
			s[i] = *newScalar(edge256(r))
			want[i].Inverse(&s[i])
		}
		if InvertAll(s, make([]Scalar, size+r.IntN(2))); !slices.Equal(s, want) {
			t.Errorf("InvertAll of %d is %x, want %x", size, s, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("InvertAll took a scratch that is too short")
		}
	}()
	InvertAll(make([]Scalar, 2), make([]Scalar, 1))
}

func (h Half) big() *big.Int {
	n := sum(new(big.Int).SetUint64(h.Lo), new(big.Int).Lsh(new(big.Int).SetUint64(h.Hi), 64))
	if h.Neg {
		n.Neg(n)
	}
	return n
}

// The lattice behind SplitLambda is the curve's.
func TestLattice(t *testing.T) {
	one := big.NewInt(1)
	for _, root := range []struct{ x, m *big.Int }{{lambda, groupOrder}, {bigBeta, fieldPrime}} {
		if root.x.Cmp(one) == 0 || mod(mul(root.x, mul(root.x, root.x)), root.m).Cmp(one) != 0 {
			t.Errorf("%x is no third root of unity", root.x)
		}
	}
	if p := generator.times(lambda); !p.equal(&bigPoint{mod(mul(bigBeta, generator.x), fieldPrime), generator.y}) {
		t.Error("lambda and bigBeta do not belong together")
	}
	a1, b1 := Half{Lo: a1lo, Hi: a1hi}.big(), Half{Lo: b1lo, Hi: b1hi}.big()
	a2 := sum(Half{Lo: a2lo, Hi: a2hi}.big(), mul(big.NewInt(a2up), pow2(128)))
	for _, v := range [][2]*big.Int{{a1, new(big.Int).Neg(b1)}, {a2, a1}} {
		if mod(sum(v[0], mul(v[1], lambda)), groupOrder).Sign() != 0 {
			t.Errorf("(%x, %x) is not in the lattice", v[0], v[1])
		}
	}
	if sum(mul(a1, a1), mul(a2, b1)).Cmp(groupOrder) != 0 {
		t.Error("the determinant is not the group order")
	}
	half := new(big.Int).Rsh(groupOrder, 1)
	for _, g := range []struct {
		words Scalar
		of    *big.Int
	}{{Scalar{g10, g11, g12, g13}, a1}, {Scalar{g20, g21, g22, g23}, b1}} {
		want := sum(new(big.Int).Lsh(g.of, 384), half)
		if want.Div(want, groupOrder); g.words.big().Cmp(want) != 0 {
			t.Errorf("g is %x, want %x", g.words.big(), want)
		}
	}
}

func TestSplitLambda(t *testing.T) {
	r := newRand(t)
	max1 := new(big.Int).Div(mul(big.NewInt(64), pow2(128)), big.NewInt(100))
	max2 := new(big.Int).Div(mul(big.NewInt(55), pow2(128)), big.NewInt(100))
	check := func(n *big.Int) {
		k1, k2 := newScalar(n).SplitLambda()
		if mod(sum(k1.big(), mul(k2.big(), lambda)), groupOrder).Cmp(mod(n, groupOrder)) != 0 {
			t.Errorf("%x is split into %x and %x", n, k1.big(), k2.big())
		}
		if k1.big().CmpAbs(max1) >= 0 || k2.big().CmpAbs(max2) >= 0 {
			t.Errorf("%x is split into %x and %x, which are too large", n, k1.big(), k2.big())
		}
	}
	for _, n := range edges {
		check(n)
	}
	// The corners of the region that everything is reduced into lie where both
	// roundings are undecided: at halves of lattice vectors.
	a1, b1 := Half{Lo: a1lo, Hi: a1hi}.big(), Half{Lo: b1lo, Hi: b1hi}.big()
	vectors := [][2]*big.Int{{a1, new(big.Int).Neg(b1)}, {sum(a1, b1), a1}}
	two := inverse(big.NewInt(2), groupOrder)
	for range rounds(5000) {
		corner := new(big.Int)
		for _, v := range vectors {
			sign := big.NewInt(int64(r.IntN(3) - 1))
			x, y := new(big.Int).Quo(mul(sign, v[0]), big.NewInt(2)), new(big.Int).Quo(mul(sign, v[1]), big.NewInt(2))
			corner.Add(corner, sum(x, mul(y, lambda)))
		}
		check(mod(sum(corner, big.NewInt(int64(r.IntN(5)-2))), groupOrder))
		check(mod(mul(two, edge256(r)), groupOrder))
		check(edge256(r))
	}
}
