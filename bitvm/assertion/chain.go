package assertion

import "github.com/consensys/gnark-crypto/ecc/bn254"

// An op is what the Miller loop does next to f.
type op struct {
	kind opKind
	step int // whose lines it is multiplied by, of byLines
}

type opKind uint8

const (
	squared opKind = iota
	byLines
	byC
	byCInv
	byPower // of c or its inverse, the next one
	// end, of the 64 iterations: the powers are computed.
	iterated
)

// ops returns what the Miller loop does.
func ops() []op {
	var all []op
	step := 0
	line := func() {
		all = append(all, op{byLines, step})
		step++
	}
	loop := digits()
	for i := len(loop) - 2; i >= 0; i-- {
		all = append(all, op{kind: squared})
		line()
		switch {
		case loop[i] > 0:
			all = append(all, op{kind: byCInv})
			line()
		case loop[i] < 0:
			all = append(all, op{kind: byC})
			line()
		}
	}
	all = append(all, op{kind: iterated}, op{kind: byPower}, op{kind: byPower}, op{kind: byPower})
	line()
	line()
	return all
}

// How much a chain computes: steps with T, and changes of f.
const (
	moves   = 64 + 21 + 2
	changes = 64 + 21 + moves + 3
)

// A chain is all values of the Miller loop, computed from what is committed to as though
// all of it were right. They are those that the parts compute one by one, but a part
// divides, and here the divisions of all are made together. What follows upon a value that
// there is not means nothing. Its memory may be used again.
type chain struct {
	motions  []motion // shorter than the loop if T becomes infinity
	partials [moves]partial
	products quotients // of three lines, of each motion
	powers   [3]bn254.E6
	f        quotients // behind each op that changes it
}

// compute computes the chain for c and its inverse, the points p4, p2 and p3, made ready,
// and q.
func (ch *chain) compute(k *Key, c, cInv *bn254.E6, p4, p2, p3 *bn254.G1Affine, q *bn254.G2Affine) {
	ch.motions = motions(ch.motions[:0], k.steps, q)
	ch.products.n, ch.f.n = 0, 0
	for i := range ch.motions {
		p := &ch.partials[i]
		*p = halfProduct(ch.motions[i].at(p4), k.ofGamma[i].at(p3), k.ofDelta[i].at(p2))
		numerator, denominator := p.product()
		ch.products.add(&numerator, &denominator)
	}
	ch.products.divide()
	for i, of := range []*bn254.E6{cInv, c, cInv} {
		ch.powers[i] = frobeniusOf(of, i+1)
	}
	ch.accumulate(k.ops, c, cInv)
	ch.f.divide()
}

// accumulate computes f as a whole element of the field with p^12 elements, as long as
// there are products.
func (ch *chain) accumulate(ops []op, c, cInv *bn254.E6) {
	f := bn254.E12{C1: *cInv}
	f.C0.SetOne()
	power := 0
	for _, o := range ops {
		switch o.kind {
		case iterated:
			continue
		case squared:
			f.Square(&f)
		case byC:
			times(&f, c)
		case byCInv:
			times(&f, cInv)
		case byPower:
			times(&f, &ch.powers[power])
			power++
		case byLines:
			if o.step == len(ch.motions) {
				return
			}
			times(&f, &ch.products.values[o.step])
		}
		ch.f.add(&f.C1, &f.C0)
	}
}

// times multiplies f by 1 + b·w.
func times(f *bn254.E12, b *bn254.E6) {
	var s, t bn254.E6
	s.MulByNonResidue(s.Mul(&f.C1, b))
	t.Mul(&f.C0, b)
	f.C0.Add(&f.C0, &s)
	f.C1.Add(&f.C1, &t)
}

// A motion is a step of the Miller loop with T: the line that it takes, and where T comes
// to.
type motion struct {
	slopeLine
	t bn254.G2Affine
}

// motions moves T from q on through the steps, until they end or T is infinity, and
// appends each motion to all, which is empty.
func motions(all []motion, steps []step, q *bn254.G2Affine) []motion {
	var slopes, overZ [moves]bn254.E2
	var at [moves]bn254.G2Jac
	t := bn254.G2Jac{X: q.X, Y: q.Y}
	t.Z.SetOne()
	n := 0
	for _, s := range steps {
		if s.double {
			slopes[n] = double(&t)
		} else {
			other := s.add.of(q)
			slopes[n] = add(&t, &other)
		}
		if t.Z.IsZero() {
			break
		}
		overZ[n], at[n] = t.Z, t
		n++
	}
	invert(overZ[:n])
	before := q
	for i := range n {
		var m motion
		var square bn254.E2
		m.slope.Mul(&slopes[i], &overZ[i])
		m.bias.Mul(&m.slope, &before.X).Sub(&m.bias, &before.Y)
		square.Square(&overZ[i])
		m.t.X.Mul(&at[i].X, &square)
		m.t.Y.Mul(&at[i].Y, square.Mul(&square, &overZ[i]))
		all = append(all, m)
		before = &all[i].t
	}
	return all
}

// slopeLines returns the lines that T takes from q on.
func slopeLines(steps []step, q *bn254.G2Affine) []slopeLine {
	all := motions(nil, steps, q)
	lines := make([]slopeLine, len(all))
	for i := range all {
		lines[i] = all[i].slopeLine
	}
	return lines
}

// double doubles t, and returns the tangent's slope times the new Z. Z is 0 if t becomes
// infinity. (Like "dbl-2009-l" of the Explicit-Formulas Database.)
func double(t *bn254.G2Jac) (m bn254.E2) {
	var xx, yy, s, u bn254.E2
	xx.Square(&t.X)
	yy.Square(&t.Y)
	m.Double(&xx).Add(&m, &xx)
	s.Mul(&t.X, &yy)
	s.Double(&s).Double(&s)
	t.Z.Mul(&t.Y, &t.Z).Double(&t.Z)
	t.X.Square(&m).Sub(&t.X, u.Double(&s))
	yy.Square(&yy)
	yy.Double(&yy).Double(&yy).Double(&yy)
	t.Y.Sub(&s, &t.X).Mul(&t.Y, &m).Sub(&t.Y, &yy)
	return m
}

// add adds a point to t, and returns the slope of the line through both times the new Z.
// Z is 0 if t becomes infinity. (Like "madd-2004-hmv" of the same.)
func add(t *bn254.G2Jac, q *bn254.G2Affine) (r bn254.E2) {
	var zz, h, hh, hhh, v bn254.E2
	zz.Square(&t.Z)
	h.Mul(&q.X, &zz).Sub(&h, &t.X)
	r.Mul(&q.Y, zz.Mul(&zz, &t.Z)).Sub(&r, &t.Y)
	if h.IsZero() && r.IsZero() {
		return double(t)
	}
	hh.Square(&h)
	hhh.Mul(&hh, &h)
	v.Mul(&t.X, &hh)
	t.Z.Mul(&t.Z, &h)
	t.X.Square(&r).Sub(&t.X, &hhh).Sub(&t.X, &v).Sub(&t.X, &v)
	hhh.Mul(&hhh, &t.Y)
	t.Y.Sub(&v, &t.X).Mul(&t.Y, &r).Sub(&t.Y, &hhh)
	return r
}
