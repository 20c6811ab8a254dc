package lane

import "math/bits"

// An element is one lane of a field element modulo p = 2²⁵⁶ - 2³² - 977: five
// limbs of 52 bits, the lowest first. Limbs 0 to 3 may have higher bits that are
// already carried to the next limb; such a semi-reduced element may only be
// multiplied. A reduced one has none, and a limb 4 of at most 2⁴⁸ + 2¹².
type element [5]uint64

// A columns is the ten columns of a product.
type columns [10]uint64

// A raw is what a product is after columns 5 to 9 are folded into the others:
// spill times 2²⁶⁰ belongs to it.
type raw struct {
	l     element
	spill uint64
}

const (
	mask52 = 1<<52 - 1
	mask48 = 1<<48 - 1

	// fold is 2²⁵⁶ mod p, fold52 is 2²⁶⁰ mod p.
	fold   = 1<<32 + 977
	fold52 = fold << 4
)

// primeLimbs are the limbs of p.
var primeLimbs = element{mask52 - fold + 1, mask52, mask52, mask52, mask48}

// biasColumns and biasRaw are multiples of p, added so that a difference does
// not become negative: every column but the last is above 2⁵⁹, every limb above
// 2⁵⁷.
var (
	biasColumns = columns{
		0x80F03BEFE0F600F, 0x80FF7FFFFDF777F, 0x80FF7FFFFE1777F, 0x80FF7FFFFE1777F, 0x800F7FFFFE1777F,
		1 << 59, 1 << 59, 1 << 59, 1 << 59, 1 << 49,
	}
	biasRaw = element{
		0x20FFDFEFFF85A2F, 0x20FFFFFFFFFFFDF, 0x20FFFFFFFFFFFDF, 0x20FFFFFFFFFFFDF, 0x200FFFFFFFFFFDF,
	}
)

// lowProduct and highProduct are the halves of the 104-bit product of the low 52
// bits of x and y, as VPMADD52LUQ and VPMADD52HUQ make them.
func lowProduct(x, y uint64) uint64 {
	return (x & mask52) * (y & mask52) & mask52
}

func highProduct(x, y uint64) uint64 {
	hi, lo := bits.Mul64(x&mask52, y&mask52)
	return hi<<12 | lo>>52
}

// addMul returns c plus the columns of x⋅y.
func (c columns) addMul(x, y element) columns {
	for i := range x {
		for j := range y {
			c[i+j] += lowProduct(x[i], y[j])
			c[i+j+1] += highProduct(x[i], y[j])
		}
	}
	return c
}

func mulColumns(x, y element) columns { return columns{}.addMul(x, y) }

// minus8 returns c - 8d plus biasColumns.
func (c columns) minus8(d columns) columns {
	for i := range c {
		c[i] += biasColumns[i] - d[i]<<3
	}
	return c
}

// fold folds columns 5 to 9 into 0 to 4.
func (c columns) fold() raw {
	for i := 5; i < 9; i++ {
		c[i+1] += c[i] >> 52
	}
	r := raw{l: element(c[:5]), spill: highProduct(c[9], fold52)}
	for i := range r.l {
		r.l[i] += lowProduct(c[5+i], fold52)
		if i > 0 {
			r.l[i] += highProduct(c[4+i], fold52)
		}
	}
	return r
}

// foldAll is fold without a spill.
func (c columns) foldAll() raw {
	r := c.fold()
	r.l[0] += lowProduct(r.spill, fold52)
	r.l[1] += highProduct(r.spill, fold52)
	r.spill = 0
	return r
}

// times returns k⋅r.
func (r raw) times(k uint64) raw {
	for i := range r.l {
		r.l[i] *= k
	}
	r.spill *= k
	return r
}

// plus returns r + s.
func (r raw) plus(s raw) raw {
	for i := range r.l {
		r.l[i] += s.l[i]
	}
	r.spill += s.spill
	return r
}

// addWhere returns r + s, or r - s if negative.
func (r raw) addWhere(negative bool, s raw) raw {
	for i := range r.l {
		if negative {
			r.l[i] -= s.l[i]
		} else {
			r.l[i] += s.l[i]
		}
	}
	return r
}

// negated returns k⋅p minus the elements, limb by limb.
func negated(k uint64, xs ...element) raw {
	var r raw
	for i := range r.l {
		r.l[i] = k * primeLimbs[i]
		for _, x := range xs {
			r.l[i] -= x[i]
		}
	}
	return r
}

func (x element) raw() raw { return raw{l: x} }

// topFolded returns r with what limb 4 has above 2⁴⁸, and the spill, folded into
// limbs 0 and 1.
func (r raw) topFolded() raw {
	top := r.l[4]>>48 + r.spill<<4
	r.l[4] &= mask48
	r.l[0] += lowProduct(top, fold)
	r.l[1] += highProduct(top, fold)
	r.spill = 0
	return r
}

// carried returns r carried, for multiplications only.
func (r raw) carried() element {
	for i := range 4 {
		r.l[i+1] += r.l[i] >> 52
	}
	return r.l
}

// masked is carried, without the carried bits.
func (r raw) masked() element {
	x := r.carried()
	for i := range 4 {
		x[i] &= mask52
	}
	return x
}

func (r raw) reduced() element { return r.topFolded().masked() }
func (r raw) semi() element    { return r.topFolded().carried() }

func (x element) mul(y element) element     { return mulColumns(x, y).fold().reduced() }
func (x element) sqr() element              { return x.mul(x) }
func (x element) mulSemi(y element) element { return mulColumns(x, y).fold().semi() }
func (x element) sqrSemi() element          { return x.mulSemi(x) }

// minus returns x - y, for multiplications only.
func (x element) minus(y element) element { return negated(2, y).plus(x.raw()).carried() }

// fits returns x with a value below 2²⁵⁶.
func (x element) fits() element { return x.raw().reduced() }

// normal returns the one representation of x below p.
func (x element) normal() element {
	t := x[0] + fold
	for _, l := range x[1:] {
		t = l + t>>52
	}
	x[0] += lowProduct(t>>48, fold)
	x = x.raw().masked()
	x[4] &= mask48
	return x
}

func (x element) isZero() bool { return x[0]|x[1]|x[2]|x[3]|x[4] == 0 }

// unpacked returns the number of four words.
func unpacked(w [4]uint64) element {
	x := unpackedSemi(w)
	for i := range 4 {
		x[i] &= mask52
	}
	return x
}

// unpackedSemi is unpacked for multiplications only.
func unpackedSemi(w [4]uint64) element {
	return element{w[0], w[0]>>52 | w[1]<<12, w[1]>>40 | w[2]<<24, w[2]>>28 | w[3]<<36, w[3] >> 16}
}

// packed returns the words of x, which fits.
func (x element) packed() [4]uint64 {
	return [4]uint64{x[0] | x[1]<<52, x[1]>>12 | x[2]<<40, x[2]>>24 | x[3]<<28, x[3]>>36 | x[4]<<16}
}
