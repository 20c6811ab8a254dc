package lane

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// The models are tested against math/big on every platform.

func fromHex(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 16)
	if !ok {
		panic("not a number: " + s)
	}
	return n
}

var (
	bigP    = fromHex("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F")
	bigN    = fromHex("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141")
	bigR    = new(big.Int).Lsh(big.NewInt(1), 260)
	bigLam  = fromHex("5363AD4CC05C30E0A5261C028812645A122E22EA20816678DF02967C1B23BD72")
	bigBeta = fromHex("7AE96A2B657C07106E64479EAC3434E99CF0497512F58995C1396C28719501EE")
)

// big returns the value of limbs that have no carried bits.
func (x element) big() *big.Int { return bigOf(x[:]) }

// semiBig returns the value of a semi-reduced element.
func (x element) semiBig() *big.Int {
	for i := range 4 {
		x[i] &= mask52
	}
	return x.big()
}

func bigOf(limbs []uint64) *big.Int {
	n := new(big.Int)
	for i, l := range limbs {
		n.Add(n, new(big.Int).Lsh(new(big.Int).SetUint64(l), uint(52*i)))
	}
	return n
}

func mod(n, m *big.Int) *big.Int { return new(big.Int).Mod(n, m) }
func mul(x, y *big.Int) *big.Int { return new(big.Int).Mul(x, y) }
func sub(x, y *big.Int) *big.Int { return new(big.Int).Sub(x, y) }

// same fails if x and y differ modulo m.
func same(t *testing.T, what string, m, x, y *big.Int) {
	t.Helper()
	if mod(sub(x, y), m).Sign() != 0 {
		t.Fatalf("%s: %x, want %x", what, mod(x, m), mod(y, m))
	}
}

// isReduced reports whether x is within the bounds of a reduced element.
func isReduced(x element) bool {
	return x[0] <= mask52 && x[1] <= mask52 && x[2] <= mask52 && x[3] <= mask52 && x[4] <= topReduced
}

func TestElementModel(t *testing.T) {
	r := newRand(t)
	for range 4000 {
		x, y, s := edgeElement(r), edgeElement(r), edgeSemi(r)
		for _, tt := range []struct {
			what string
			got  element
			want *big.Int
		}{
			{"mul", x.mul(y), mul(x.big(), y.big())},
			{"mul of semi-reduced", x.mul(s), mul(x.big(), s.semiBig())},
			{"sqr", x.sqr(), mul(x.big(), x.big())},
			{"sqr of semi-reduced", s.sqr(), mul(s.semiBig(), s.semiBig())},
			{"fold without spill", mulColumns(x, y).foldAll().reduced(), mul(x.big(), y.big())},
			{"times", mulColumns(x, y).fold().times(8).reduced(), mul(mul(x.big(), y.big()), big.NewInt(8))},
			{"negated", negated(5, x, y, y).reduced(), sub(new(big.Int), mul(big.NewInt(2), y.big())).Sub(
				sub(new(big.Int), mul(big.NewInt(2), y.big())), x.big())},
			{"minus8", mulColumns(x, y).minus8(mulColumns(y, y)).fold().reduced(),
				sub(mul(x.big(), y.big()), mul(big.NewInt(8), mul(y.big(), y.big())))},
			{"fits", x.fits(), x.big()},
			{"normal", x.normal(), x.big()},
		} {
			same(t, tt.what, bigP, tt.got.big(), tt.want)
			if !isReduced(tt.got) {
				t.Fatalf("%s: limbs %x of %x, %x", tt.what, tt.got, x, y)
			}
		}
		for _, tt := range []struct {
			what string
			got  element
			want *big.Int
		}{
			{"mulSemi", s.mulSemi(x), mul(x.big(), s.semiBig())},
			{"sqrSemi", s.sqrSemi(), mul(s.semiBig(), s.semiBig())},
			{"minus", x.minus(y), sub(x.big(), y.big())},
			{"addWhere", raw{l: biasRaw}.addWhere(true, mulColumns(x, s).foldAll()).semi(),
				sub(new(big.Int), mul(x.big(), s.semiBig()))},
		} {
			same(t, tt.what, bigP, tt.got.semiBig(), tt.want)
			if tt.got[4] > mask52 {
				t.Fatalf("%s: limbs %x", tt.what, tt.got)
			}
		}
		if f := x.fits(); f.big().BitLen() > 256 || unpacked(f.packed()) != f {
			t.Fatalf("%x fits as %x", x, f)
		}
		if n := x.normal(); n.big().Cmp(mod(x.big(), bigP)) != 0 || n.isZero() != (n.big().Sign() == 0) {
			t.Fatalf("%x is normal as %x", x, n)
		}
		if w := unpackedSemi(x.fits().packed()); w.semiBig().Cmp(x.fits().big()) != 0 {
			t.Fatalf("%x unpacked is %x", x, w)
		}
	}
}

func TestConstants(t *testing.T) {
	p := func(what string, x *big.Int) { same(t, what, bigP, x, new(big.Int)) }
	p("p", primeLimbs.big())
	p("biasColumns", bigOf(biasColumns[:]))
	p("biasRaw", biasRaw.big())
	same(t, "beta", bigP, beta.big(), bigBeta)
	same(t, "n", bigN, orderLimbs.big(), new(big.Int))
	same(t, "2^260", bigN, montgomeryOne.big(), bigR)
	same(t, "2^260", bigN, bigOf64(montgomeryR[:]), bigR)
	same(t, "words of p", bigP, bigOf64(fieldPrime[:]), new(big.Int))
	same(t, "words of n", bigN, bigOf64(groupOrder[:]), new(big.Int))
	// Both lattice vectors are zero as scalars, and their parities are (1, 1) and
	// (0, 1).
	a1, b1, a2 := signed(latticeA1), signed(latticeB1), signed(latticeA2)
	same(t, "a1 + b1λ", bigN, new(big.Int).Add(a1, mul(b1, bigLam)), new(big.Int))
	same(t, "a2 + a1λ", bigN, new(big.Int).Add(a2, mul(a1, bigLam)), new(big.Int))
	if a1.Bit(0) != 1 || b1.Bit(0) != 1 || a2.Bit(0) != 0 {
		t.Error("the parities of the lattice vectors are not (1, 1) and (0, 1)")
	}
	for _, pair := range [][2]half{{latticeA1, latticeNegA1}, {latticeB1, latticeNegB1}, {latticeA2, latticeNegA2}} {
		if new(big.Int).Add(signed(pair[0]), signed(pair[1])).Sign() != 0 {
			t.Errorf("%x and %x are not each other's negatives", pair[0], pair[1])
		}
	}
}

func bigOf64(words []uint64) *big.Int {
	n := new(big.Int)
	for i, w := range words {
		n.Add(n, new(big.Int).Lsh(new(big.Int).SetUint64(w), uint(64*i)))
	}
	return n
}

// signed returns a half as the number between -2^155 and 2^155 that it is.
func signed(h half) *big.Int {
	h = h.carried()
	n := bigOf(h[:])
	if n.Bit(155) == 1 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), 156))
	}
	return n
}

func TestScalarModel(t *testing.T) {
	r := newRand(t)
	limit := new(big.Int).Lsh(big.NewInt(1), 130)
	for range 4000 {
		x, y := edgeScalar(r), edgeScalar(r)
		p := montgomery(x, y)
		same(t, "montgomery", bigN, mul(p.big(), bigR), mul(x.big(), y.big()))
		if p.big().Cmp(mul(bigN, big.NewInt(2))) >= 0 {
			t.Fatalf("montgomery: %x is not below 2n", p)
		}
		if w := p.scalar(); bigOf64(w[:]).Cmp(mod(p.big(), bigN)) != 0 {
			t.Fatalf("scalar of %x is %x", p, w)
		}

		k1, k2 := x.split()
		n1, n2 := signed(k1), signed(k2)
		same(t, "split", bigN, new(big.Int).Add(n1, mul(n2, bigLam)), x.big())
		for _, n := range []*big.Int{n1, n2} {
			if n.CmpAbs(limit) >= 0 || n.Bit(0) == 0 {
				t.Fatalf("split of %x has %x", x, n)
			}
		}
		q := k1.digitsQ()
		if got := fromDigits(q[:], windowQ); got.Cmp(n1) != 0 {
			t.Fatalf("digits of %x are those of %x", n1, got)
		}
		g := x.digitsG()
		same(t, "digits of G", bigN, fromDigits(g[:], windowG), x.big())
	}
}

// fromDigits returns the number whose digits these windows stand for.
func fromDigits(windows []uint64, w int) *big.Int {
	n := new(big.Int)
	for i := len(windows) - 1; i >= 0; i-- {
		index, negative := digit(windows[i], w)
		d := big.NewInt(int64(2*index + 1))
		if negative {
			d.Neg(d)
		}
		n.Add(n.Lsh(n, uint(w)), d)
	}
	return n
}

// affineOf returns the point that (X/Z², Y/Z³) is.
func affineOf(t *testing.T, x, y, z *big.Int) (ax, ay *big.Int) {
	t.Helper()
	inverse := new(big.Int).ModInverse(mod(z, bigP), bigP)
	if inverse == nil {
		t.Fatal("Z is zero")
	}
	zz := mul(inverse, inverse)
	return mod(mul(x, zz), bigP), mod(mul(y, mul(zz, inverse)), bigP)
}

func (p jacobian) check(t *testing.T, what string, want *keypair) {
	t.Helper()
	x, y := affineOf(t, p.x.big(), p.y.big(), p.z.semiBig())
	if x.Cmp(new(big.Int).SetBytes(want.x[:])) != 0 || y.Cmp(new(big.Int).SetBytes(want.y[:])) != 0 {
		t.Fatalf("%s: (%x, %x), want (%x, %x)", what, x, y, want.x, want.y)
	}
	if !isReduced(p.x) || !isReduced(p.y) {
		t.Fatalf("%s: limbs %x, %x", what, p.x, p.y)
	}
}

// scaled returns the point with a random Z, and coordinates that are not normal.
func (k *keypair) scaled(r *rand.Rand) jacobian {
	z := edgeElement(r)
	for z.normal().isZero() {
		z = edgeElement(r)
	}
	x, y := k.elements()
	return jacobian{x.mul(z.sqr()), y.mul(z.sqr().mul(z)), z}
}

func (k *keypair) elements() (x, y element) {
	return unpacked(readNumber(&k.x)), unpacked(readNumber(&k.y))
}

func TestPointModel(t *testing.T) {
	r := newRand(t)
	for range 60 {
		k, l := pairOf(edgeMod(r)), pairOf(edgeMod(r))
		twice := k.d
		twice.Add(&k.d)
		double := pairOf(twice)
		p := k.scaled(r)
		p.double().check(t, "double", &double)

		x, y := l.elements()
		xs, ys := unpackedSemi(x.packed()), unpackedSemi(y.packed())
		for _, negative := range []bool{false, true} {
			other := l.d
			if negative {
				other.Negate()
			}
			var sum secp256k1.ModNScalar
			sum.Add2(&k.d, &other)
			got := p.addAffine(p.z, xs, ys, negative)
			if l.x == k.x {
				if got.z.semiBig().Sign() != 0 && mod(got.z.semiBig(), bigP).Sign() != 0 {
					t.Fatal("the sum of equal or opposite points has a Z other than zero")
				}
				continue
			}
			want := pairOf(sum)
			got.check(t, "add", &want)
		}
		// Z stays zero.
		p.z = primeLimbs
		for _, q := range []jacobian{p.double(), p.addAffine(p.z, xs, ys, false)} {
			if mod(q.z.semiBig(), bigP).Sign() != 0 {
				t.Fatal("Z was zero and is not any more")
			}
		}
	}
}

// All entries of a key's table are odd multiples of the key, or λ times those.
func TestTableModel(t *testing.T) {
	r := newRand(t)
	v, w := &aligned[vector](1)[0], &aligned[work](1)[0]
	keys := make([]keypair, 8)
	for i := range keys {
		keys[i] = pairOf(edgeMod(r))
		x, y := keys[i].elements()
		put(v[rowQX:], i, x)
		put(v[rowQY:], i, y)
	}
	tableModel([]*vector{v}, w)
	var lambda secp256k1.ModNScalar
	lambda.SetByteSlice(bigLam.Bytes())
	for i, key := range keys {
		z := get(hotOf(w, 0)[hotFactor:], i).semiBig()
		for n := range 2 * multiplesQ {
			var k secp256k1.ModNScalar
			k.SetInt(uint32(2*(n%multiplesQ) + 1))
			k.Mul(&key.d)
			if n >= multiplesQ {
				k.Mul(&lambda)
			}
			x, y := entryAt(&coldOf(w, 0)[coldTable+i*2*multiplesQ+n])
			ax, ay := affineOf(t, bigOf64(x[:]), bigOf64(y[:]), z)
			if want := pairOf(k); want.x != [32]byte(ax.FillBytes(make([]byte, 32))) || want.y != [32]byte(ay.FillBytes(make([]byte, 32))) {
				t.Fatalf("lane %d, entry %d: (%x, %x), want (%x, %x)", i, n, ax, ay, want.x, want.y)
			}
		}
	}
}

func TestMultiplesOfG(t *testing.T) {
	r, table := newRand(t), newTable()
	indices := []int{0, 1, 2, multiplesG - 1}
	for range 20 {
		indices = append(indices, r.IntN(multiplesG))
	}
	var shift secp256k1.ModNScalar
	shift.SetByteSlice(new(big.Int).Lsh(big.NewInt(1), 130).Bytes())
	for _, i := range indices {
		var k secp256k1.ModNScalar
		k.SetInt(uint32(2*i + 1))
		for group := range 2 {
			want := pairOf(k)
			x, y := entryAt(&table[group*multiplesG+i])
			if bytes32(x) != want.x || bytes32(y) != want.y {
				t.Fatalf("multiple %d of group %d is wrong", i, group)
			}
			k.Mul(&shift)
		}
	}
}
