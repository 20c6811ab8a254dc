package assertion

import (
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
		*claimed = h.swapped()
	} else if got := digest(*claimed).swapped(); got != h {
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
	sums := e.key.verifier.Sums(&input)
	for i := range sums[:msmParts] {
		if !e.emit(MSM, ok, hashG1(&sums[i])) {
			return false
		}
	}
	sum := &sums[msmParts]
	if !e.emit(HashP, true, hashG1(sum)) {
		return false
	}
	e.p3, ok = prepared(sum)
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

// miller compares the values of the Miller loop, with powers of c in between.
func (e *evaluator) miller() bool {
	ch, ok := e.key.spare.Get().(*chain)
	if !ok {
		ch = new(chain)
	}
	defer e.key.spare.Put(ch)
	ch.compute(e.key, &e.c, &e.cInv, &e.p4, &e.p2, &e.p3, &e.q4)
	at := 0 // in the values of f
	emit := func(kind Kind) bool {
		e.f = ch.f.values[at]
		at++
		return e.emit(kind, ch.f.ok[at-1], hashE6(&e.f))
	}
	for _, o := range e.key.ops {
		switch o.kind {
		case squared:
			if !emit(Squaring) {
				return false
			}
		case iterated:
			for i := range ch.powers {
				if !e.emit(Frobenius, true, hashE6(&ch.powers[i])) {
					return false
				}
			}
		case byLines:
			if !e.lines(ch, o.step) || !emit(Multiply) {
				return false
			}
		default:
			if !emit(Multiply) {
				return false
			}
		}
	}
	return true
}

// lines compares a step with T, and the product of the step's lines of all three pairs.
func (e *evaluator) lines(ch *chain, step int) bool {
	if step == len(ch.motions) {
		return e.disprove(PointOpsStep1, InvalidInput)
	}
	e.t4 = ch.motions[step].t
	p := &ch.partials[step]
	return e.emit(PointOpsStep1, !p.denominator.IsZero(), p.digest(&e.t4)) &&
		e.emit(PointOpsStep2, ch.products.ok[step], hashE6(&ch.products.values[step]))
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
func (l *slopeLine) at(p *bn254.G1Affine) *[2]bn254.E2 {
	var a [2]bn254.E2
	a[0].MulByElement(&l.slope, &p.X)
	a[1].MulByElement(&l.bias, &p.Y)
	return &a
}

// halfProduct returns the product of three lines, half done.
func halfProduct(first, second, third *[2]bn254.E2) (p partial) {
	p.third = *third
	p.numerator[0].Add(&first[0], &second[0])
	p.numerator[1].Add(&first[1], &second[1])
	p.denominator = sparse(first, second)
	denominator(&p.denominator)
	return p
}

// product returns numerator and denominator of the whole product.
func (p *partial) product() (n, d bn254.E6) {
	n = p.denominator
	n.MulBy01(&p.third[0], &p.third[1])
	n.B0.Add(&n.B0, &p.numerator[0])
	n.B1.Add(&n.B1, &p.numerator[1])
	d = sparse(&p.numerator, &p.third)
	d.MulByNonResidue(&d)
	d.Add(&d, &p.denominator)
	return n, d
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
