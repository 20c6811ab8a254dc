package groth16

import (
	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fp"
)

// A pair is what a pairing takes; q is in G2.
type pair struct {
	p bn254.G1Affine
	q bn254.G2Affine
}

// A fixedPair is a pair whose point of G2 is known by its lines.
type fixedPair struct {
	p bn254.G1Affine
	q *lines
}

// lines are the lines of the Miller loop of a point of G2, in affine coordinates: of
// step i, the tangent is [0][i], and the line through another point [1][i].
type lines struct {
	at [2][len(bn254.LoopCounter)]bn254.LineEvaluationAff
}

// A line is the element c0 + c3·w + c4·v·w of the field with p^12 elements: that of a
// line at a point.
type line struct{ c0, c3, c4 bn254.E2 }

// times returns the product of two lines, as MulBy01234 takes it.
func (l *line) times(m *line) [5]bn254.E2 {
	var x0, x3, x4, t, u bn254.E2
	x0.Mul(&l.c0, &m.c0)
	x3.Mul(&l.c3, &m.c3)
	x4.Mul(&l.c4, &m.c4)
	// cross returns ab' + a'b, of which sum is the product of aa' and bb' added.
	cross := func(a, b, a2, b2, aa, bb *bn254.E2) bn254.E2 {
		t.Add(a, b)
		u.Add(a2, b2)
		t.Mul(&t, &u)
		t.Sub(&t, aa)
		t.Sub(&t, bb)
		return t
	}
	var product [5]bn254.E2
	product[0].MulByNonResidue(&x4).Add(&product[0], &x0)
	product[1] = x3
	product[2] = cross(&l.c3, &l.c4, &m.c3, &m.c4, &x3, &x4)
	product[3] = cross(&l.c0, &l.c3, &m.c0, &m.c3, &x0, &x3)
	product[4] = cross(&l.c0, &l.c4, &m.c0, &m.c4, &x0, &x4)
	return product
}

// A runner is the multiple of q that the Miller loop of a pair has come to, in
// homogeneous coordinates.
type runner struct {
	pair
	minus   bn254.G2Affine
	x, y, z bn254.E2
}

// double doubles the multiple, and returns the tangent's value at p. It is "double" of
// section 4.3 of "The Realm of the Pairings" (eprint 2013/722).
func (r *runner) double() (l line) {
	var a, b, c, e, f, g, h, t bn254.E2
	a.Mul(&r.x, &r.y)
	a.Halve()
	b.Square(&r.y)
	c.Square(&r.z)
	t.Double(&c).Add(&t, &c)
	e.MulBybTwistCurveCoeff(&t)
	f.Double(&e).Add(&f, &e)
	g.Add(&b, &f)
	g.Halve()
	h.Add(&r.y, &r.z)
	h.Square(&h).Sub(&h, &b).Sub(&h, &c)

	l.c0.MulByElement(&h, &r.p.Y).Neg(&l.c0)
	t.Square(&r.x)
	l.c3.Double(&t).Add(&l.c3, &t)
	l.c3.MulByElement(&l.c3, &r.p.X)
	l.c4.Sub(&e, &b)

	r.x.Sub(&b, &f).Mul(&r.x, &a)
	e.Square(&e)
	t.Double(&e).Add(&t, &e)
	r.y.Square(&g).Sub(&r.y, &t)
	r.z.Mul(&b, &h)
	return l
}

// add adds q to the multiple, and returns the value of the line through both at p. It
// is "add" of the same section.
func (r *runner) add(q *bn254.G2Affine) (l line) {
	theta, lambda := r.slope(q)
	l = r.through(q, &theta, &lambda)

	var c, d, e, f, g, h, t bn254.E2
	c.Square(&theta)
	d.Square(&lambda)
	e.Mul(&lambda, &d)
	f.Mul(&r.z, &c)
	g.Mul(&r.x, &d)
	h.Add(&e, &f).Sub(&h, t.Double(&g))
	r.x.Mul(&lambda, &h)
	t.Mul(&e, &r.y)
	r.y.Sub(&g, &h).Mul(&r.y, &theta).Sub(&r.y, &t)
	r.z.Mul(&r.z, &e)
	return l
}

// slope returns numerator and denominator of the slope between q and the multiple.
func (r *runner) slope(q *bn254.G2Affine) (theta, lambda bn254.E2) {
	theta.Mul(&q.Y, &r.z)
	theta.Sub(&r.y, &theta)
	lambda.Mul(&q.X, &r.z)
	lambda.Sub(&r.x, &lambda)
	return theta, lambda
}

// through returns the value at p of the line with a slope through q.
func (r *runner) through(q *bn254.G2Affine, theta, lambda *bn254.E2) (l line) {
	var t bn254.E2
	l.c0.MulByElement(lambda, &r.p.Y)
	l.c3.MulByElement(theta, &r.p.X).Neg(&l.c3)
	l.c4.Mul(theta, &q.X).Sub(&l.c4, t.Mul(lambda, &q.Y))
	return l
}

// last returns the product of the loop's last two lines, through what Frobenius makes of
// q when it is applied once, and twice.
func (r *runner) last() [5]bn254.E2 {
	var once, twice bn254.G2Affine
	once.X.Conjugate(&r.q.X).MulByNonResidue1Power2(&once.X)
	once.Y.Conjugate(&r.q.Y).MulByNonResidue1Power3(&once.Y)
	twice.X.MulByNonResidue2Power2(&r.q.X)
	twice.Y.MulByNonResidue2Power3(&r.q.Y).Neg(&twice.Y)
	first := r.add(&once)
	theta, lambda := r.slope(&twice)
	second := r.through(&twice, &theta, &lambda)
	return first.times(&second)
}

// A fixedRunner evaluates the lines of a fixed point at p = (x, y): 1 - (x/y)·R0·w +
// (1/y)·R1·v·w, which is the line's value divided by y.
type fixedRunner struct {
	*lines
	overY, minusXOverY fp.Element
}

func (r *fixedRunner) line(kind, step int) (l line) {
	of := &r.at[kind][step]
	l.c0.SetOne()
	l.c3.MulByElement(&of.R0, &r.minusXOverY)
	l.c4.MulByElement(&of.R1, &r.overY)
	return l
}

// miller returns the product of the values of the optimal Ate Miller loop of all pairs,
// which share its squarings. A pair with a point at infinity counts 1. A power of the
// result, [bn254.FinalExponentiation], is the product of the pairings.
func miller(pairs []pair, fixed []fixedPair) bn254.GT {
	runners := make([]runner, 0, len(pairs))
	for i := range pairs {
		if pairs[i].p.IsInfinity() || pairs[i].q.IsInfinity() {
			continue
		}
		r := runner{pair: pairs[i], x: pairs[i].q.X, y: pairs[i].q.Y}
		r.minus.Neg(&r.q)
		r.z.SetOne()
		runners = append(runners, r)
	}
	known := make([]fixedRunner, 0, len(fixed))
	for i := range fixed {
		if fixed[i].p.IsInfinity() {
			continue
		}
		r := fixedRunner{lines: fixed[i].q}
		r.overY.Inverse(&fixed[i].p.Y)
		r.minusXOverY.Mul(&fixed[i].p.X, &r.overY).Neg(&r.minusXOverY)
		known = append(known, r)
	}

	var f bn254.GT
	f.SetOne()
	for step := len(bn254.LoopCounter) - 2; step >= 0; step-- {
		f.Square(&f)
		digit := bn254.LoopCounter[step]
		for i := range runners {
			r := &runners[i]
			tangent := r.double()
			if digit == 0 {
				f.MulBy034(&tangent.c0, &tangent.c3, &tangent.c4)
				continue
			}
			q := &r.q
			if digit < 0 {
				q = &r.minus
			}
			chord := r.add(q)
			product := tangent.times(&chord)
			f.MulBy01234(&product)
		}
		for i := range known {
			l := known[i].line(0, step)
			if digit == 0 {
				f.MulBy34(&l.c3, &l.c4)
				continue
			}
			m := known[i].line(1, step)
			product := l.times(&m)
			f.MulBy01234(&product)
		}
	}
	for i := range runners {
		product := runners[i].last()
		f.MulBy01234(&product)
	}
	const end = len(bn254.LoopCounter) - 1
	for i := range known {
		l, m := known[i].line(0, end), known[i].line(1, end)
		product := l.times(&m)
		f.MulBy01234(&product)
	}
	return f
}
