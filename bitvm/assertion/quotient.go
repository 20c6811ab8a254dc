package assertion

import (
	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fp"
)

// invert replaces each element by its inverse, with one inversion for all; 0 stays.
func invert(xs []bn254.E2) {
	var norms, before [changes]fp.Element // of each: its norm, and the product of those before
	product := fp.One()
	for i := range xs {
		n, t := &norms[i], new(fp.Element)
		n.Square(&xs[i].A0)
		n.Add(n, t.Square(&xs[i].A1))
		before[i] = product
		if !n.IsZero() {
			product.Mul(&product, n)
		}
	}
	product.Inverse(&product)
	for i := len(xs) - 1; i >= 0; i-- {
		if norms[i].IsZero() {
			continue
		}
		var inverse fp.Element
		inverse.Mul(&product, &before[i])
		product.Mul(&product, &norms[i])
		xs[i].Conjugate(&xs[i])
		xs[i].MulByElement(&xs[i], &inverse)
	}
}

// Quotients are quotients of which the divisions are made together: of each, numerator and
// denominator are multiplied by what makes the denominator an element of the field with
// p^2 elements.
type quotients struct {
	n            int
	values       [changes]bn254.E6
	denominators [changes]bn254.E2 // 0 where the denominator is 0, and nowhere else
	// ok says of which quotients the division could be made.
	ok [changes]bool
}

// add adds a / b. See [bn254.E6.Inverse] and algorithm 17 of eprint 2010/354.
func (q *quotients) add(a, b *bn254.E6) {
	var s, t bn254.E2
	c, norm := &q.values[q.n], &q.denominators[q.n]
	c.B0.Square(&b.B0)
	c.B0.Sub(&c.B0, t.MulByNonResidue(t.Mul(&b.B1, &b.B2)))
	c.B1.MulByNonResidue(c.B1.Square(&b.B2))
	c.B1.Sub(&c.B1, t.Mul(&b.B0, &b.B1))
	c.B2.Square(&b.B1)
	c.B2.Sub(&c.B2, t.Mul(&b.B0, &b.B2))
	s.Mul(&b.B2, &c.B1)
	t.Mul(&b.B1, &c.B2)
	norm.MulByNonResidue(s.Add(&s, &t))
	norm.Add(norm, t.Mul(&b.B0, &c.B0))
	c.Mul(c, a)
	q.ok[q.n] = !norm.IsZero()
	q.n++
}

// divide makes the divisions.
func (q *quotients) divide() {
	invert(q.denominators[:q.n])
	for i := range q.n {
		q.values[i].MulByE2(&q.values[i], &q.denominators[i])
	}
}
