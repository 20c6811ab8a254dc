package main

import "math/big"

// Scalars modulo the group order n are five limbs of 52 bits as well, the lowest
// first, with limb 4 at most scalarTop: a number below 2n. Products are
// Montgomery's with R = 2^260.
type scalar struct{ l [5]*value }

func (s scalar) limbs() [5]*value { return s.l }

// scalarTop bounds limb 4 of a scalar.
const scalarTop = 1<<49 - 1

var (
	groupOrder = number("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141")

	// The lattice of the endomorphism: a1 + b1⋅λ = a2 + b2⋅λ = 0 modulo n.
	latticeA1 = number("3086D221A7D46BCDE86C90E49284EB15")
	latticeB1 = new(big.Int).Neg(number("E4437ED6010E88286F547FA90ABFE4C3"))
	latticeA2 = number("114CA50F7A8E2F3F657C1108D9D44CFD8")
	latticeB2 = latticeA1

	// 2^384⋅b2/n and -2^384⋅b1/n, rounded.
	splitG1 = number("3086D221A7D46BCDE86C90E49284EB153DAA8A1471E8CA7FE893209A45DBB031")
	splitG2 = number("E4437ED6010E88286F547FA90ABFE4C4221208AC9DF506C61571B4AE8AC47F71")
)

// number returns the integer of a hexadecimal string.
func number(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 16)
	if !ok {
		panic("not a number: " + s)
	}
	return n
}

func (b *block) loadScalar(a addr) scalar {
	var s scalar
	for i := range s.l {
		s.l[i] = b.load(a.plus(i), scalarBound(i))
	}
	return s
}

func scalarBound(i int) uint64 {
	if i == 4 {
		return scalarTop
	}
	return mask52
}

func (b *block) storeScalar(a addr, s scalar) {
	for i, l := range s.l {
		b.store(a.plus(i), l, scalarBound(i))
	}
}

func (b *block) constantLimbs(n *big.Int) [5]*value {
	var l [5]*value
	for i, w := range limbsOf(n) {
		l[i] = b.constant(w)
	}
	return l
}

// montgomery returns x⋅y/2^260 modulo n, below 2n if both are below 2^257.
func (b *block) montgomery(x, y factor) scalar {
	n := b.constantLimbs(groupOrder)
	// -1/n modulo 2^52.
	r := new(big.Int).Lsh(big.NewInt(1), 52)
	inv := new(big.Int).ModInverse(groupOrder, r)
	minus := b.constant(new(big.Int).Sub(r, inv).Uint64())
	t := b.mulColumns(columns{}, x, y).t
	for i := range 5 {
		// m is what makes the low 52 bits of column i zero.
		m := b.lowOfProduct(t[i], minus)
		for j := range n {
			t[i+j] = b.maddLo(t[i+j], m, n[j])
		}
		for j := range n {
			t[i+j+1] = b.maddHi(t[i+j+1], m, n[j])
		}
		t[i+1] = b.add(t[i+1], b.shr(t[i], 52))
	}
	var s scalar
	copy(s.l[:], t[5:])
	for i := range 4 {
		s.l[i+1] = b.add(s.l[i+1], b.shr(s.l[i], 52))
		s.l[i] = b.and(s.l[i], mask52)
	}
	if s.l[4].hi > scalarTop {
		b.fail("limb 4 of a scalar is up to %#x", s.l[4].hi)
	}
	return s
}

// highProduct returns about x⋅g / 2^384, in three limbs: the columns below the
// sixth are left out, so the result may be one too small.
func (b *block) highProduct(x scalar, g *big.Int) [3]*value {
	k := b.constantLimbs(g)
	var t [10]*value
	for i := range k {
		for j := range k {
			if i+j >= 5 {
				t[i+j] = b.maddLo(t[i+j], x.l[i], k[j])
			}
			if i+j+1 >= 5 {
				t[i+j+1] = b.maddHi(t[i+j+1], x.l[i], k[j])
			}
		}
	}
	for i := 5; i < 9; i++ {
		t[i+1] = b.add(t[i+1], b.shr(t[i], 52))
		t[i] = b.and(t[i], mask52)
	}
	// 384 is 7⋅52 + 20.
	limb := func(low, high *value) *value {
		return b.or(b.shr(low, 20), b.shl(b.and(high, 1<<20-1), 32))
	}
	t[9] = b.and(t[9], mask52)
	return [3]*value{limb(t[7], t[8]), limb(t[8], t[9]), b.shr(t[9], 20)}
}

// lowProduct returns acc + c⋅k modulo 2^156, not carried.
func (b *block) lowProduct(acc [3]*value, c [3]*value, k *big.Int) [3]*value {
	l := b.constantLimbs(modulo156(k))
	for i := range 3 {
		for j := range 3 - i {
			acc[i+j] = b.maddLo(acc[i+j], c[i], l[j])
			if i+j < 2 {
				acc[i+j+1] = b.maddHi(acc[i+j+1], c[i], l[j])
			}
		}
	}
	return acc
}

func modulo156(k *big.Int) *big.Int {
	return new(big.Int).Mod(k, new(big.Int).Lsh(big.NewInt(1), 156))
}

// carry156 carries x modulo 2^156.
func (b *block) carry156(x [3]*value) [3]*value {
	for i := range x {
		if i < 2 {
			x[i+1] = b.add(x[i+1], b.shr(x[i], 52))
		}
		x[i] = b.and(x[i], mask52)
	}
	return x
}

// split returns k1 and k2, both odd, with k1 + k2⋅λ = k modulo n, as numbers
// modulo 2^156. Before they are made odd they are those of the endomorphism's
// lattice, up to one step: below 1.1(a1+a2) and 1.1(|b1|+b2). Making them odd
// adds at most one of each lattice vector. So both are below 2^130.
func (b *block) split(k scalar) (k1, k2 [3]*value) {
	c1, c2 := b.highProduct(k, splitG1), b.highProduct(k, splitG2)
	neg := func(n *big.Int) *big.Int { return new(big.Int).Neg(n) }
	k1 = b.carry156(b.lowProduct(b.lowProduct([3]*value(k.l[:3]), c1, neg(latticeA1)), c2, neg(latticeA2)))
	k2 = b.carry156(b.lowProduct(b.lowProduct([3]*value{}, c1, neg(latticeB1)), c2, neg(latticeB2)))
	// The parities of the lattice vectors are (1, 1) and (0, 1).
	even1 := b.evenness(k1[0])
	k1 = b.addIf(k1, even1, latticeA1)
	k2 = b.addIf(k2, even1, latticeB1)
	even2 := b.evenness(k2[0])
	k1 = b.addIf(k1, even2, latticeA2)
	k2 = b.addIf(k2, even2, latticeB2)
	return k1, k2
}

// evenness returns 1 where x is even, else 0.
func (b *block) evenness(x *value) *value {
	return b.value(value{op: opXor, args: []*value{b.and(x, 1), b.constant(1)}, hi: 1})
}

// addIf returns x + e⋅k, not carried; e is 0 or 1.
func (b *block) addIf(x [3]*value, e *value, k *big.Int) [3]*value {
	l := b.constantLimbs(modulo156(k))
	for i := range x {
		x[i] = b.maddSmall(x[i], e, l[i])
	}
	return x
}

// The digits of a scalar are odd and may be negative: with L bits in windows of
// w bits, the window v of (k + 2^L - 1)/2 stands for the digit 2v - (2^w - 1).
// Nothing is ever zero, and no scalar is special; k must be odd.
const (
	windowQ  = 5
	windowsQ = (130 + windowQ - 1) / windowQ
	bitsQ    = windowsQ * windowQ
	windowG  = 13
	bitsG    = 260
	windowsG = bitsG / windowG

	// multiplesQ and multiplesG are how many odd multiples there are.
	multiplesQ = 1 << (windowQ - 1)
	multiplesG = 1 << (windowG - 1)
)

// window returns w bits of the limbs, which are masked but for the last one, from
// bit at on.
func (b *block) window(limbs []*value, at, w int) *value {
	i, off := at/52, uint8(at%52)
	if i >= len(limbs) {
		i, off = len(limbs)-1, uint8(at-52*(len(limbs)-1))
	}
	v := limbs[i]
	if off > 0 {
		v = b.shr(v, off)
	}
	if int(off)+w > 52 && i+1 < len(limbs) {
		v = b.or(v, b.shlBits(limbs[i+1], 52-off))
	}
	return v
}

// storeDigit stores the digit whose window begins at that bit of k: the offset of
// its entry in a table, base plus 2^entryBits for each entry before it, and the
// mask of the lanes where the digit is negative.
func (b *block) storeDigit(k []*value, at, w int, base uint64, entryBits uint8, digits, sign addr) {
	v := b.window(k, at, w)
	negative := b.isZero(v, b.constant(1<<(w-1)))
	index := b.and(v, 1<<(w-1)-1)
	index = b.xorWhere(negative, index, b.constant(1<<(w-1)-1))
	offset := b.shl(index, entryBits)
	if base != 0 {
		offset = b.add(offset, b.constant(base))
	}
	b.storeNarrow(digits, offset)
	b.storeMask(sign, negative)
}
