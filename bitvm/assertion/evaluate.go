package assertion

import (
	"math/big"

	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fp"
)

// Evaluate computes the parts of an assertion one after the other, each from what the
// ones before committed to, and stops at the first that can be disproved. Signatures are
// [ReadSigned]'s.
func (k *Key) Evaluate(raw *Raw) Verdict {
	e := evaluator{key: k, raw: raw}
	e.run()
	return e.verdict
}

// An evaluator computes the parts of an assertion.
type evaluator struct {
	key *Key
	raw *Raw
	// fill says that hashes are to be committed to, and not compared.
	fill    bool
	verdict Verdict

	p4, p2, p3 bn254.G1Affine // as lines want them
	q4, t4     bn254.G2Affine
	c, cInv, f bn254.E6
}

// disprove ends the evaluation; it returns false.
func (e *evaluator) disprove(kind Kind, reason Reason) bool {
	v := &e.verdict
	v.Disproved, v.Leaf, v.Kind, v.Reason = true, v.Segments, kind, reason
	return false
}

// emit compares the output of a part with what is committed to; valid is false if the
// part's input is none. It returns whether to go on.
func (e *evaluator) emit(kind Kind, valid bool, h digest) bool {
	if !valid {
		return e.disprove(kind, InvalidInput)
	}
	claimed := &e.raw.Hashes[e.verdict.Segments]
	if e.fill {
		copy(claimed[:], swapped(h[:]))
	} else if got := digest(swapped(claimed[:])); got != h {
		e.verdict.Claimed, e.verdict.Expected = got, h
		return e.disprove(kind, HashMismatch)
	}
	e.verdict.Segments++
	return true
}

// run computes all parts in their order.
func (e *evaluator) run() {
	if !e.points() || !e.sum() || !e.start() || !e.miller() {
		return
	}
	if !e.proven() {
		e.disprove(FinalVerify, FinalCheck)
	}
}

// proven reports whether the chain ends where a valid proof's does: f and what alpha and
// beta contribute have the product 1, and T is -π³(B), as it is for B in G2.
func (e *evaluator) proven() bool {
	var sum bn254.E6
	var end bn254.G2Affine
	end.X.Conjugate(&e.q4.X).MulByNonResidue3Power2(&end.X)
	end.Y.Conjugate(&e.q4.Y).MulByNonResidue3Power3(&end.Y)
	end.Neg(&end)
	return sum.Add(&e.f, &e.key.fixed).IsZero() && e.t4.Equal(&end)
}

// prepared returns (-x/y, 1/y); false if p is not on the curve.
func prepared(p *bn254.G1Affine) (r bn254.G1Affine, ok bool) {
	if p.Y.IsZero() || !p.IsOnCurve() {
		return r, false
	}
	r.Y.Inverse(&p.Y)
	r.X.Mul(&p.X, &r.Y).Neg(&r.X)
	return r, true
}

// points makes A and C ready.
func (e *evaluator) points() bool {
	for i, to := range []*bn254.G1Affine{&e.p4, &e.p2} {
		y, okY := element(&e.raw.Elements[2*i])
		x, okX := element(&e.raw.Elements[2*i+1])
		p, ok := prepared(&bn254.G1Affine{X: x, Y: y})
		if !e.emit(PrecomputeP, okX && okY && ok, hashG1(&p)) {
			return false
		}
		*to = p
	}
	return true
}

// sum multiplies with the public input, 64 bits at a time, adds the constant term, and
// makes the sum ready.
func (e *evaluator) sum() bool {
	input, ok := scalar(&e.raw.Input)
	limbs := input.Bits()
	var sum, t bn254.G1Affine
	for i := range limbs {
		t.ScalarMultiplication(&e.key.bases[i], new(big.Int).SetUint64(limbs[i]))
		sum.Add(&sum, &t)
		if !e.emit(MSM, ok, hashG1(&sum)) {
			return false
		}
	}
	sum.Add(&sum, &e.key.constant)
	if !e.emit(HashP, true, hashG1(&sum)) {
		return false
	}
	e.p3, ok = prepared(&sum)
	return e.emit(PrecomputePFromHash, ok, hashG1(&e.p3))
}

// start reads c and B.
func (e *evaluator) start() bool {
	var ok bool
	e.c, ok = e.raw.c()
	e.cInv.Neg(&e.c)
	if !e.emit(HashC, ok, hashE6(&e.c)) || !e.emit(HashCInv, ok, hashE6(&e.cInv)) {
		return false
	}
	ok = true
	for i, to := range []*fp.Element{&e.q4.X.A0, &e.q4.X.A1, &e.q4.Y.A0, &e.q4.Y.A1} {
		x, below := element(&e.raw.Elements[10+i])
		*to, ok = x, ok && below
	}
	e.t4, e.f = e.q4, e.cInv
	// BitVM takes B at infinity, which it reads as (0, 0), for off the curve.
	ok = ok && !e.q4.IsInfinity() && e.q4.IsOnCurve()
	var none partial
	return e.emit(InitT4, ok, none.digest(&e.t4))
}

// miller runs the Miller loop, with powers of c in between.
func (e *evaluator) miller() bool {
	loop, at := digits(), 0
	moves := steps()
	line := func() bool {
		at++
		return e.line(moves[at-1], at-1)
	}
	for i := len(loop) - 2; i >= 0; i-- {
		if !e.square() || !line() {
			return false
		}
		if loop[i] == 0 {
			continue
		}
		power := &e.cInv
		if loop[i] < 0 {
			power = &e.c
		}
		if !e.multiply(power) || !line() {
			return false
		}
	}
	var powers [3]bn254.E6
	for i, of := range []*bn254.E6{&e.cInv, &e.c, &e.cInv} {
		powers[i] = frobeniusOf(of, i+1)
		if !e.emit(Frobenius, true, hashE6(&powers[i])) {
			return false
		}
	}
	for i := range powers {
		if !e.multiply(&powers[i]) {
			return false
		}
	}
	for at < len(moves) {
		if !line() {
			return false
		}
	}
	return true
}

// frobeniusOf returns (1 + a·w)^(p^power) without the 1.
func frobeniusOf(a *bn254.E6, power int) bn254.E6 {
	var x bn254.E12
	x.C0.SetOne()
	x.C1 = *a
	switch power {
	case 1:
		x.Frobenius(&x)
	case 2:
		x.FrobeniusSquare(&x)
	default:
		x.FrobeniusCube(&x)
	}
	return x.C1
}

// square squares f.
func (e *evaluator) square() bool {
	var d bn254.E6
	d.Square(&e.f)
	denominator(&d)
	valid := !d.IsZero()
	e.f.Double(&e.f)
	e.f.Div(&e.f, &d)
	return e.emit(Squaring, valid, hashE6(&e.f))
}

// multiply multiplies f by b.
func (e *evaluator) multiply(b *bn254.E6) bool {
	var d bn254.E6
	d.Mul(&e.f, b)
	denominator(&d)
	valid := !d.IsZero()
	e.f.Add(&e.f, b)
	e.f.Div(&e.f, &d)
	return e.emit(Multiply, valid, hashE6(&e.f))
}

// denominator replaces x by 1 + x·v.
func denominator(x *bn254.E6) {
	x.MulByNonResidue(x)
	var one fp.Element
	x.B0.A0.Add(&x.B0.A0, one.SetOne())
}

// A partial is the product of three lines, each (1 + (l0 + l1·v)·w), half done: of the
// first two, numerator and denominator, and the third.
type partial struct {
	numerator   [2]bn254.E2
	denominator bn254.E6
	third       [2]bn254.E2
}

// digest returns the digest of a point with a partial product, each of which can be
// shown without the other.
func (p *partial) digest(t *bn254.G2Affine) digest {
	var point, lines, both message
	point.e2(&t.X)
	point.e2(&t.Y)
	lines.e2(&p.numerator[0])
	lines.e2(&p.numerator[1])
	lines.e6(&p.denominator)
	lines.e2(&p.third[0])
	lines.e2(&p.third[1])
	both.digest(point.sum())
	both.digest(lines.sum())
	return both.sum()
}

// at evaluates a line at a point that was made ready.
func (l *slopeLine) at(p *bn254.G1Affine) (a [2]bn254.E2) {
	a[0].MulByElement(&l.slope, &p.X)
	a[1].MulByElement(&l.bias, &p.Y)
	return a
}

// line makes a step of the Miller loop with T, and multiplies f by the step's lines of
// all three pairs. n is the step's number.
func (e *evaluator) line(s step, n int) bool {
	l, ok := s.move(&e.t4, &e.q4)
	first := l.at(&e.p4)
	second := e.key.ofGamma[n].at(&e.p3)
	var p partial
	p.third = e.key.ofDelta[n].at(&e.p2)
	p.numerator[0].Add(&first[0], &second[0])
	p.numerator[1].Add(&first[1], &second[1])
	p.denominator = sparse(&first, &second)
	denominator(&p.denominator)
	ok = ok && !p.denominator.IsZero() && !e.t4.IsInfinity()
	if !e.emit(PointOpsStep1, ok, p.digest(&e.t4)) {
		return false
	}

	product := p.denominator
	product.MulBy01(&p.third[0], &p.third[1])
	product.B0.Add(&product.B0, &p.numerator[0])
	product.B1.Add(&product.B1, &p.numerator[1])
	d := sparse(&p.numerator, &p.third)
	d.MulByNonResidue(&d)
	d.Add(&d, &p.denominator)
	valid := !d.IsZero()
	product.Div(&product, &d)
	return e.emit(PointOpsStep2, valid, hashE6(&product)) && e.multiply(&product)
}

// sparse returns (a0 + a1·v)(b0 + b1·v).
func sparse(a, b *[2]bn254.E2) (r bn254.E6) {
	var t, u bn254.E2
	r.B0.Mul(&a[0], &b[0])
	r.B2.Mul(&a[1], &b[1])
	t.Add(&a[0], &a[1])
	u.Add(&b[0], &b[1])
	r.B1.Mul(&t, &u).Sub(&r.B1, &r.B0).Sub(&r.B1, &r.B2)
	return r
}
