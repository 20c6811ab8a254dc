package lane

import (
	"unsafe"

	"github.com/outrider-project/outrider/sigverify/internal/secp"
)

// A table holds the odd multiples of G, and of 2^130⋅G behind them: 512 KiB for
// digits of 13 bits. It is only read once it is made.
type table = [2 * multiplesG]row

// rowBytes is the size of a row, and what every row is aligned to.
const rowBytes = 64

// newTable computes the multiples.
func newTable() *table {
	t := &aligned[table](1)[0]
	base := affine{secp.Element(generatorX), secp.Element(generatorY)}
	base = base.fillOdd(t[:multiplesG])
	for range windowG*windowsG/2 - windowG {
		base = base.add(&base)
	}
	base.fillOdd(t[multiplesG:])
	return t
}

// aligned returns n zero values that begin at a multiple of rowBytes. T must be
// made of rows.
func aligned[T any](n int) []T {
	var v T
	rows := make([]row, n*int(unsafe.Sizeof(v))/rowBytes+1)
	first := unsafe.Pointer(unsafe.SliceData(rows))
	return unsafe.Slice((*T)(unsafe.Add(first, -uintptr(first)%rowBytes)), n)
}

// An affine is a point in normal coordinates.
type affine struct{ x, y secp.Element }

// add returns p + q, which must not be the point at infinity.
func (p *affine) add(q *affine) affine {
	var inverse secp.Element
	d := p.denominator(q)
	inverse.Inverse(&d)
	return p.addInverse(q, &inverse)
}

// denominator returns what the slope of the line through p and q is divided by.
func (p *affine) denominator(q *affine) (d secp.Element) {
	if p == q {
		d.Add(&p.y, &p.y)
	} else {
		d.Sub(&q.x, &p.x, 1)
	}
	d.Normalize()
	return d
}

// addInverse is add with the inverse of the denominator.
func (p *affine) addInverse(q *affine, inverse *secp.Element) (sum affine) {
	var slope secp.Element
	if p == q {
		slope.Sqr(&p.x)
		slope.MulSmall(&slope, 3)
	} else {
		slope.Sub(&q.y, &p.y, 1)
	}
	slope.Mul(&slope, inverse)
	sum.x.Sqr(&slope)
	sum.x.Sub(&sum.x, &p.x, 1)
	sum.x.Sub(&sum.x, &q.x, 1)
	sum.x.Normalize()
	sum.y.Sub(&p.x, &sum.x, 1)
	sum.y.Mul(&sum.y, &slope)
	sum.y.Sub(&sum.y, &p.y, 1)
	sum.y.Normalize()
	return sum
}

// fillOdd sets t[i] to (2i+1)⋅p for all entries, a power of two of them, and
// returns 2⋅len(t)⋅p.
func (p affine) fillOdd(t []row) affine {
	points := make([]affine, len(t))
	denominators := make([]secp.Element, len(t))
	points[0] = p
	step := p.add(&p)
	for have := 1; have < len(t); have *= 2 {
		for i := range have {
			denominators[i] = points[i].denominator(&step)
		}
		invertAll(denominators[:have])
		for i := range have {
			points[have+i] = points[i].addInverse(&step, &denominators[i])
		}
		step = step.add(&step)
	}
	for i := range t {
		x, y := element(points[i].x).packed(), element(points[i].y).packed()
		copy(t[i][:4], x[:])
		copy(t[i][4:], y[:])
	}
	return step
}

// invertAll replaces all xs, of magnitude 8 at most, by their inverses, at the
// price of one inversion (Montgomery's trick). None may be zero.
func invertAll(xs []secp.Element) {
	products := make([]secp.Element, len(xs))
	invertAllIn(xs, products)
}

// invertAllIn is invertAll with room for as many products.
func invertAllIn(xs, products []secp.Element) {
	products[0] = xs[0]
	for i := 1; i < len(xs); i++ {
		products[i].Mul(&products[i-1], &xs[i])
	}
	var inverse, next secp.Element
	last := products[len(xs)-1]
	last.Normalize()
	inverse.Inverse(&last)
	for i := len(xs) - 1; i > 0; i-- {
		next.Mul(&inverse, &xs[i])
		xs[i].Mul(&inverse, &products[i-1])
		inverse = next
	}
	xs[0] = inverse
}
