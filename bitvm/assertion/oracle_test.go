package assertion

import (
	"math/big"
	"slices"

	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fp"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
	"github.com/zeebo/blake3"

	"github.com/outrider-project/outrider/bitvm/groth16"
)

// An oracle computes the hashes of an assertion in another way: with whole elements of
// the field with p^12 elements, gnark-crypto's points and big integers.
type oracle struct{ hashes [][hashSize]byte }

func (o *oracle) emit(h []byte) { o.hashes = append(o.hashes, [hashSize]byte(swapped(h))) }

// hash hashes words of 32 bytes or less, big-endian.
func hash(words ...[]byte) []byte {
	var b []byte
	for _, w := range words {
		b = append(b, make([]byte, 32-len(w))...)
		b = append(b, w...)
	}
	for four := range slices.Chunk(b, 4) {
		slices.Reverse(four)
	}
	h := blake3.Sum256(b)
	return h[:16]
}

func word(e fp.Element) []byte { b := e.Bytes(); return b[:] }

func words(es ...bn254.E2) (all [][]byte) {
	for _, e := range es {
		all = append(all, word(e.A0), word(e.A1))
	}
	return all
}

// f returns x as the chain carries it.
func carried(x *bn254.E12) (r bn254.E6) {
	r.Div(&x.C1, &x.C0)
	return r
}

func (o *oracle) f(x *bn254.E12) {
	r := carried(x)
	o.emit(hash(words(r.B0, r.B1, r.B2)...))
}

// ready returns (-x/y, 1/y).
func ready(p bn254.G1Affine) (r bn254.G1Affine) {
	r.X.Div(&p.X, &p.Y)
	r.X.Neg(&r.X)
	r.Y.Inverse(&p.Y)
	return r
}

func (o *oracle) g1(p bn254.G1Affine) { o.emit(hash(word(p.X), word(p.Y))) }

// chord returns the line through t and q at a point that is ready, as 1 + (a0 + a1·v)·w.
func chord(t, q *bn254.G2Affine, p *bn254.G1Affine) (x bn254.E12) {
	var slope, d bn254.E2
	if t.Equal(q) {
		slope.Square(&t.X)
		d.Double(&slope)
		slope.Add(&slope, &d)
		d.Double(&t.Y)
	} else {
		slope.Sub(&q.Y, &t.Y)
		d.Sub(&q.X, &t.X)
	}
	slope.Mul(&slope, d.Inverse(&d))
	x.C0.SetOne()
	x.C1.B0.MulByElement(&slope, &p.X)
	d.Mul(&slope, &q.X).Sub(&d, &q.Y)
	x.C1.B1.MulByElement(&d, &p.Y)
	return x
}

// line moves all three points by what is added to each; nil doubles them.
func (o *oracle) line(f *bn254.E12, t, add []bn254.G2Affine, p []bn254.G1Affine) {
	if add == nil {
		add = slices.Clone(t)
	}
	var lines [3]bn254.E12
	for i := range lines {
		lines[i] = chord(&t[i], &add[i], &p[i])
		t[i].Add(&t[i], &add[i])
	}
	// The first two are multiplied but for the division: their product is
	// denominator + numerator·w.
	var product bn254.E12
	product.Mul(&lines[0], &lines[1])
	point := hash(words(t[0].X, t[0].Y)...)
	half := hash(words(product.C1.B0, product.C1.B1, product.C0.B0, product.C0.B1, product.C0.B2,
		lines[2].C1.B0, lines[2].C1.B1)...)
	o.emit(hash(point, half))
	product.Mul(&product, &lines[2])
	o.f(&product)
	f.Mul(f, &product)
	o.f(f)
}

// oracleHashes returns the hashes for a valid proof and c.
func oracleHashes(vk *groth16.VerifyingKey, p *groth16.Proof, input fr.Element, c6 *bn254.E6) [][hashSize]byte {
	o := new(oracle)
	k := input.BigInt(new(big.Int))
	o.g1(ready(p.A))
	o.g1(ready(p.C))
	var sum bn254.G1Affine
	for i := 1; i <= 4; i++ {
		low := new(big.Int).Mod(k, new(big.Int).Lsh(big.NewInt(1), uint(64*i)))
		o.g1(*sum.ScalarMultiplication(&vk.IC[1], low))
	}
	sum.Add(&sum, &vk.IC[0])
	o.g1(sum)
	o.g1(ready(sum))
	points := []bn254.G1Affine{ready(p.A), ready(sum), ready(p.C)}

	var c, cInv bn254.E12
	c.C0.SetOne()
	c.C1 = *c6
	cInv.Conjugate(&c)
	o.f(&c)
	o.f(&cInv)
	var minusGamma, minusDelta bn254.G2Affine
	minusGamma.Neg(&vk.Gamma)
	minusDelta.Neg(&vk.Delta)
	q := []bn254.G2Affine{p.B, minusGamma, minusDelta}
	t := slices.Clone(q)
	o.emit(hash(hash(words(t[0].X, t[0].Y)...), hash(make([][]byte, 14)...)))

	of := func(change func(q bn254.G2Affine) bn254.G2Affine) (all []bn254.G2Affine) {
		for i := range q {
			all = append(all, change(q[i]))
		}
		return all
	}
	f := cInv
	// 6x + 2, signed, from its second highest digit down.
	for i := 63; i >= 0; i-- {
		f.Square(&f)
		o.f(&f)
		o.line(&f, t, nil, points)
		digit := int8(1)
		if i < 63 {
			digit = bn254.LoopCounter[i]
		}
		switch digit {
		case 1:
			f.Mul(&f, &cInv)
			o.f(&f)
			o.line(&f, t, q, points)
		case -1:
			f.Mul(&f, &c)
			o.f(&f)
			o.line(&f, t, of(func(q bn254.G2Affine) bn254.G2Affine { q.Y.Neg(&q.Y); return q }), points)
		}
	}
	prime := fp.Modulus()
	var powers [3]bn254.E12
	for i, x := range []bn254.E12{cInv, c, cInv} {
		powers[i].Exp(x, new(big.Int).Exp(prime, big.NewInt(int64(i+1)), nil))
		o.f(&powers[i])
	}
	for i := range powers {
		f.Mul(&f, &powers[i])
		o.f(&f)
	}
	// Frobenius, by which a point of G2 is multiplied by p.
	times := func(k *big.Int) []bn254.G2Affine {
		return of(func(q bn254.G2Affine) bn254.G2Affine { q.ScalarMultiplication(&q, k); return q })
	}
	o.line(&f, t, times(prime), points)
	o.line(&f, t, times(new(big.Int).Neg(new(big.Int).Mul(prime, prime))), points)
	return o.hashes
}
