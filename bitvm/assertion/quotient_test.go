package assertion

import (
	"testing"

	"github.com/consensys/gnark-crypto/ecc/bn254"
)

// Quotients are those that divisions make one by one, whatever lies between them; one by
// 0 is told.
func TestQuotients(t *testing.T) {
	var q quotients
	var want []bn254.E6
	for i := range changes {
		var a, b bn254.E6
		a.MustSetRandom()
		switch b.MustSetRandom(); i % 5 {
		case 1:
			b = bn254.E6{}
		case 2:
			b = bn254.E6{B1: b.B1}
		case 3:
			a, b = bn254.E6{}, bn254.E6{B2: b.B2}
		}
		q.add(&a, &b)
		want = append(want, *a.Div(&a, &b))
	}
	q.divide()
	for i := range want {
		if ok := i%5 != 1; q.ok[i] != ok || ok && q.values[i] != want[i] {
			t.Errorf("quotient %d: %v, %v, want %v", i, q.ok[i], q.values[i], want[i])
		}
	}
	q.n = 0
	q.divide() // of none
}

// A multiplication that has no result is told where it is, and a step whose lines have no
// product.
func TestNoResult(t *testing.T) {
	f := loadFixture(t)
	var ch chain
	var c, cInv bn254.E6
	c.MustSetRandom()
	cInv.Neg(&c)
	ch.motions = make([]motion, moves)
	for i := range ch.products.values {
		ch.products.values[i].MustSetRandom()
	}
	// What f is after its first square, and what has no product with that.
	square := bn254.E12{C1: cInv}
	square.C0.SetOne()
	square.Square(&square)
	last := &ch.products.values[0]
	last.MulByNonResidue(&square.C1)
	last.Div(&square.C0, last)
	last.Neg(last)
	ch.accumulate(f.key.ops, &c, &cInv)
	ch.f.divide()
	if !ch.f.ok[0] || ch.f.ok[1] || ch.f.n != changes {
		t.Errorf("%v after %d changes", ch.f.ok, ch.f.n)
	}
	ch.motions, ch.f.n = ch.motions[:5], 0
	ch.accumulate(f.key.ops, &c, &cInv)
	if k := ch.f.n; f.key.ops[k].kind != byLines || f.key.ops[k].step != 5 {
		t.Errorf("it ends after %d changes", k)
	}
	e := evaluator{key: f.key, raw: f.raw}
	e.verdict.Segments = 40
	if e.lines(&ch, 5) || e.verdict.Leaf != 40 || e.verdict.Kind != PointOpsStep1 || e.verdict.Reason != InvalidInput {
		t.Errorf("%+v", e.verdict)
	}
}
