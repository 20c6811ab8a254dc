package main

import "math/big"

// Field elements modulo p = 2^256 - 2^32 - 977 are five limbs of 52 bits, the
// lowest first, eight elements to a vector. How loose the limbs are is a type of
// its own, so that a slip does not compile:
//
//   - reduced: limbs 0 to 3 below 2^52, limb 4 at most reducedTop. It may be
//     multiplied, added and subtracted.
//   - semi: the same value, but limbs 0 to 3 keep the bits that are already
//     carried. It may only be multiplied, for which those bits do not exist.
//   - raw: five columns with whatever they hold, and the part of column 9 that
//     is not folded in yet. It may be added to, and carried.
//   - columns: the ten columns of a product.
//
// Every constructor checks the bounds of what it makes.

const (
	// fold is 2^256 mod p, fold52 is 2^260 mod p.
	fold   = 1<<32 + 977
	fold52 = fold << 4

	// reducedTop bounds limb 4 of a reduced element: carry adds at most the 12
	// bits that column 3 has above 2^52.
	reducedTop = 1<<48 + 1<<12
)

type (
	reduced struct{ l [5]*value }
	semi    struct{ l [5]*value }
	raw     struct {
		l [5]*value
		// spill times 2^260 belongs to the value; nil is zero.
		spill *value
	}
	columns struct{ t [10]*value }
)

// A factor can be multiplied.
type factor interface{ limbs() [5]*value }

func (r reduced) limbs() [5]*value { return r.l }
func (s semi) limbs() [5]*value    { return s.l }

// fieldPrime is p.
var fieldPrime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(fold))

// limbsOf returns the number n, below 2^260, in limbs of 52 bits.
func limbsOf(n *big.Int) [5]uint64 {
	var l [5]uint64
	m := big.NewInt(mask52)
	for i := range l {
		l[i] = new(big.Int).And(new(big.Int).Rsh(n, uint(52*i)), m).Uint64()
	}
	return l
}

// primeLimbs are the limbs of p.
var primeLimbs = limbsOf(fieldPrime)

func (b *block) loadReduced(a addr) reduced {
	var r reduced
	for i := range r.l {
		r.l[i] = b.load(a.plus(i), limbBound(i))
	}
	return r
}

// limbBound is the largest limb i of a reduced element.
func limbBound(i int) uint64 {
	if i == 4 {
		return reducedTop
	}
	return mask52
}

func (b *block) loadSemi(a addr) semi {
	var s semi
	for i := range s.l {
		if i == 4 {
			s.l[i] = b.load(a.plus(i), reducedTop)
			continue
		}
		s.l[i] = b.load(a.plus(i), all64)
		s.l[i].carried = true
	}
	return s
}

func (b *block) storeReduced(a addr, r reduced) {
	for i, l := range r.l {
		b.plain(l)
		b.store(a.plus(i), l, limbBound(i))
	}
}

// storeSemi stores s where loadSemi finds it.
func (b *block) storeSemi(a addr, s semi) {
	for i, l := range s.l {
		if i == 4 {
			b.plain(l)
			b.store(a.plus(i), l, reducedTop)
			continue
		}
		b.store(a.plus(i), l, all64)
	}
}

func (b *block) constantElement(n *big.Int) reduced {
	var r reduced
	for i, l := range limbsOf(n) {
		r.l[i] = b.constant(l)
	}
	return r
}

// mulColumns returns the columns of x⋅y, added to those of c.
func (b *block) mulColumns(c columns, x, y factor) columns {
	p, q := x.limbs(), y.limbs()
	for i := range p {
		for j := range q {
			c.t[i+j] = b.maddLo(c.t[i+j], p[i], q[j])
		}
		for j := range q {
			c.t[i+j+1] = b.maddHi(c.t[i+j+1], p[i], q[j])
		}
	}
	return c
}

// sqrColumns returns the columns of x². The products of two limbs are counted
// once and their sums doubled: a doubled limb would have 53 bits.
func (b *block) sqrColumns(x factor) columns {
	var c columns
	p := x.limbs()
	for i := range p {
		for j := i + 1; j < 5; j++ {
			c.t[i+j] = b.maddLo(c.t[i+j], p[i], p[j])
		}
		for j := i + 1; j < 5; j++ {
			c.t[i+j+1] = b.maddHi(c.t[i+j+1], p[i], p[j])
		}
	}
	for i := 1; i < 9; i++ {
		c.t[i] = b.add(c.t[i], c.t[i])
	}
	for i := range p {
		c.t[2*i] = b.maddLo(c.t[2*i], p[i], p[i])
		c.t[2*i+1] = b.maddHi(c.t[2*i+1], p[i], p[i])
	}
	return c
}

// scaled returns x⋅2^n.
func (b *block) scaled(x *value, n uint8) *value {
	if n == 1 {
		return b.add(x, x)
	}
	return b.shl(x, n)
}

// negatedColumns returns biasColumns - 2^n⋅c.
func (b *block) negatedColumns(c columns, n uint8) columns {
	k := multipleOfPrime(biasColumns)
	for i := range c.t {
		c.t[i] = b.sub(b.constant(k[i]), b.scaled(c.t[i], n))
	}
	return c
}

// columnsOf returns x as columns that a product can be added to.
func columnsOf(x raw) columns {
	var c columns
	copy(c.t[:], x.l[:])
	return c
}

// multipleOfPrime returns a multiple of p whose column i is at least 2^bias[i].
func multipleOfPrime(bias []uint8) []uint64 {
	k := make([]uint64, len(bias))
	sum := new(big.Int)
	for i, n := range bias {
		k[i] = 1 << n
		sum.Add(sum, new(big.Int).Lsh(big.NewInt(1), uint(n)+uint(52*i)))
	}
	rest := new(big.Int).Sub(fieldPrime, new(big.Int).Mod(sum, fieldPrime))
	for i, l := range limbsOf(rest) {
		k[i] += l
	}
	return k
}

// biasColumns and biasRaw are the sizes, in bits, of the columns of the
// multiples of p that are added before something is subtracted. Column 9 must
// stay below 2^52.
var (
	biasColumns = []uint8{59, 59, 59, 59, 59, 59, 59, 59, 59, 49}
	biasRaw     = []uint8{57, 57, 57, 57, 57}
)

// fold folds columns 5 to 9 into 0 to 4.
func (b *block) fold(c columns) raw {
	t, spill := b.foldTop(c)
	return raw{l: t, spill: spill}
}

func (b *block) foldTop(c columns) (t [5]*value, spill *value) {
	m := b.constant(fold52)
	for i := 5; i < 9; i++ {
		c.t[i+1] = b.add(c.t[i+1], b.shr(c.t[i], 52))
		b.carry(c.t[i])
	}
	spill = b.maddHi(nil, c.t[9], m)
	copy(t[:], c.t[:5])
	for i := range t {
		t[i] = b.maddLo(t[i], c.t[5+i], m)
		if i > 0 {
			t[i] = b.maddHi(t[i], c.t[4+i], m)
		}
	}
	return t, spill
}

// carry marks the bits of v from 2^52 on as added to the next limb.
func (b *block) carry(v *value) { v.carried = v.hi > mask52 }

// foldAll folds like fold, and leaves no spill: for what is to be negated.
func (b *block) foldAll(c columns) raw {
	t, spill := b.foldTop(c)
	m := b.constant(fold52)
	t[0] = b.maddLo(t[0], spill, m)
	t[1] = b.maddHi(t[1], spill, m)
	return raw{l: t}
}

// times2 returns 2^n⋅x.
func (b *block) times2(x raw, n uint8) raw {
	for i := range x.l {
		x.l[i] = b.scaled(x.l[i], n)
	}
	if x.spill != nil {
		x.spill = b.scaled(x.spill, n)
	}
	return x
}

// times3 returns 3x.
func (b *block) times3(x raw) raw {
	d := b.times2(x, 1)
	for i := range x.l {
		x.l[i] = b.add(x.l[i], d.l[i])
	}
	if x.spill != nil {
		x.spill = b.add(x.spill, d.spill)
	}
	return x
}

// asRaw returns x as something that can be added to.
func asRaw(x reduced) raw { return raw{l: x.l} }

func (b *block) addReduced(x raw, y reduced) raw {
	for i := range x.l {
		x.l[i] = b.add(x.l[i], y.l[i])
	}
	return x
}

// addSmall returns x + n.
func (b *block) addSmall(x raw, n uint64) raw {
	x.l[0] = b.add(x.l[0], b.constant(n))
	return x
}

// negated returns k⋅p - y1 - y2 …, limb by limb. It fails if k is too small for
// that.
func (b *block) negated(k uint64, ys ...reduced) raw {
	var x raw
	for i := range x.l {
		x.l[i] = b.constant(k * primeLimbs[i])
		for _, y := range ys {
			x.l[i] = b.sub(x.l[i], y.l[i])
		}
	}
	return x
}

// plus returns x + y, of which only one may have a spill.
func (b *block) plus(x, y raw) raw {
	for i := range x.l {
		x.l[i] = b.add(x.l[i], y.l[i])
	}
	if x.spill == nil {
		x.spill = y.spill
	} else if y.spill != nil {
		b.fail("a sum of two spills")
	}
	return x
}

// addWhere returns x + y, but x - y in the lanes of the mask. y has no spill.
func (b *block) addWhere(mask *value, x, y raw) raw {
	if y.spill != nil {
		b.fail("a spill cannot be subtracted")
	}
	for i := range x.l {
		x.l[i] = b.subWhere(mask, b.add(x.l[i], y.l[i]), x.l[i], y.l[i])
	}
	return x
}

// foldTopLimb folds what limb 4 has above 2^48, and the spill, into limbs 0 and
// 1.
func (b *block) foldTopLimb(x raw) raw {
	m := b.constant(fold)
	top := b.shr(x.l[4], 48)
	x.l[4] = b.and(x.l[4], mask48)
	if x.spill == nil {
		x.l[0] = b.maddSmall(x.l[0], top, m)
		return x
	}
	top = b.add(top, b.shl(x.spill, 4))
	x.l[0] = b.maddLo(x.l[0], top, m)
	x.l[1] = b.maddHi(x.l[1], top, m)
	x.spill = nil
	return x
}

// semiOf returns x carried, for multiplications only.
func (b *block) semiOf(x raw) semi {
	if x.spill != nil {
		b.fail("a spill that is not folded")
	}
	for i := range 4 {
		x.l[i+1] = b.add(x.l[i+1], b.shr(x.l[i], 52))
		b.carry(x.l[i])
	}
	if x.l[4].hi > mask52 {
		b.fail("limb 4 of a factor is up to %#x", x.l[4].hi)
	}
	return semi{x.l}
}

// reduce returns x reduced.
func (b *block) reduce(x raw) reduced {
	x = b.foldTopLimb(x)
	for i := range 4 {
		x.l[i+1] = b.add(x.l[i+1], b.shr(x.l[i], 52))
		x.l[i] = b.and(x.l[i], mask52)
	}
	if x.l[4].hi > reducedTop {
		b.fail("limb 4 of a reduced element is up to %#x", x.l[4].hi)
	}
	return reduced{x.l}
}

// reduceSemi returns x as small as reduce does, for multiplications only.
func (b *block) reduceSemi(x raw) semi {
	s := b.semiOf(b.foldTopLimb(x))
	if s.l[4].hi > reducedTop {
		b.fail("limb 4 of a reduced element is up to %#x", s.l[4].hi)
	}
	return s
}

func (b *block) mul(x, y factor) reduced  { return b.reduce(b.fold(b.mulColumns(columns{}, x, y))) }
func (b *block) sqr(x factor) reduced     { return b.reduce(b.fold(b.sqrColumns(x))) }
func (b *block) mulSemi(x, y factor) semi { return b.reduceSemi(b.fold(b.mulColumns(columns{}, x, y))) }
func (b *block) sqrSemi(x factor) semi    { return b.reduceSemi(b.fold(b.sqrColumns(x))) }

// fits returns x with a value below 2^256, which need not be below p.
func (b *block) fits(x reduced) reduced {
	y := b.reduce(asRaw(x))
	// If limb 4 was below 2^48 nothing changed. Else it is now at most 2^12 and a
	// carry: reducedTop is below 2^48 + 2^13.
	b.assume(y.l[4], mask48)
	return y
}

// normal returns the one representation of x that is below p.
func (b *block) normal(x reduced) reduced {
	// x is below 2p. x + fold reaches 2^256 if and only if x is p or more; then
	// what is left of it below 2^256 is x - p.
	t := b.add(x.l[0], b.constant(fold))
	for i := 1; i < 5; i++ {
		t = b.add(x.l[i], b.shr(t, 52))
	}
	q := b.shr(t, 48)
	if q.hi > 1 {
		b.fail("a number of 2p or more")
	}
	x.l[0] = b.maddSmall(x.l[0], q, b.constant(fold))
	for i := range 4 {
		x.l[i+1] = b.add(x.l[i+1], b.shr(x.l[i], 52))
		x.l[i] = b.and(x.l[i], mask52)
	}
	x.l[4] = b.and(x.l[4], mask48)
	return x
}

// zeroMask returns where x, which is normal, is zero.
func (b *block) zeroMask(x reduced) *value {
	or := x.l[0]
	for _, l := range x.l[1:] {
		or = b.or(or, l)
	}
	return b.isZero(or, or)
}

// selectReduced returns y in the lanes of the mask, and x in the others.
func (b *block) selectReduced(mask *value, x, y reduced) reduced {
	for i := range x.l {
		x.l[i] = b.selectWhere(mask, x.l[i], y.l[i])
	}
	return x
}

// unpackSemi returns the number of four words of 64 bits, for multiplications
// only.
func (b *block) unpackSemi(w [4]*value) semi {
	s := semi{[5]*value{
		w[0], b.funnel(w[0], w[1], 52), b.funnel(w[1], w[2], 40), b.funnel(w[2], w[3], 28), b.shr(w[3], 16),
	}}
	for _, l := range s.l[:4] {
		l.carried = true
	}
	return s
}

// unpack returns the number of four words of 64 bits.
func (b *block) unpack(w [4]*value) reduced {
	return reduced{[5]*value{
		b.and(w[0], mask52), b.and(b.funnel(w[0], w[1], 52), mask52), b.and(b.funnel(w[1], w[2], 40), mask52),
		b.and(b.funnel(w[2], w[3], 28), mask52), b.shr(w[3], 16),
	}}
}

// pack returns the four words of x, which fits.
func (b *block) pack(x reduced) [4]*value {
	if x.l[4].hi > mask48 {
		b.fail("a number that may not fit into 256 bits")
	}
	l := x.l
	return [4]*value{
		b.or(l[0], b.shlBits(l[1], 52)), b.or(b.shr(l[1], 12), b.shlBits(l[2], 40)),
		b.or(b.shr(l[2], 24), b.shlBits(l[3], 28)), b.or(b.shr(l[3], 36), b.shlBits(l[4], 16)),
	}
}

// transpose returns the columns of the 8×8 words of rows.
func (b *block) transpose(rows [8]*value) [8]*value {
	var out [8]*value
	for odd, o := range []op{opUnpackLo, opUnpackHi} {
		var pairs [4]*value
		for i := range pairs {
			pairs[i] = b.permute(o, rows[2*i], rows[2*i+1], 0)
		}
		for i, imm := range []uint8{0x88, 0xDD} {
			low := b.permute(opShuffle, pairs[0], pairs[1], imm)
			high := b.permute(opShuffle, pairs[2], pairs[3], imm)
			out[odd+2*i] = b.permute(opShuffle, low, high, 0x88)
			out[odd+2*i+4] = b.permute(opShuffle, low, high, 0xDD)
		}
	}
	return out
}
