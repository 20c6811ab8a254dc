package assertion

import (
	"errors"
	"math/big"

	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fp"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"

	"github.com/outrider-project/outrider/bitvm/groth16"
)

// ErrProof says that a proof is not valid, so that nothing can be asserted that nobody
// can disprove.
var ErrProof = errors.New("assertion: the proof is not valid")

// Assert returns what an honest prover commits to for a valid proof with the public
// input, in some tens of milliseconds. BitVM's own prover chooses c among several; both
// choices cannot be disproved.
func (k *Key) Assert(p *groth16.Proof, input fr.Element) (*Raw, error) {
	f, err := k.pairings(p, input)
	if err != nil {
		return nil, err
	}
	root, ok := residueRoot(&f)
	if !ok {
		return nil, ErrProof
	}
	var c bn254.E6
	c.Div(&root.C1, &root.C0)
	raw := k.commit(p, input, &c)
	if raw == nil {
		return nil, ErrProof
	}
	return raw, nil
}

// pairings returns the product of the four Miller loops of a proof's equation.
func (k *Key) pairings(p *groth16.Proof, input fr.Element) (bn254.E12, error) {
	var sum, t bn254.G1Affine
	t.ScalarMultiplication(&k.base, input.BigInt(new(big.Int)))
	sum.Add(&k.constant, &t)
	return bn254.MillerLoop(
		[]bn254.G1Affine{k.alpha, p.C, sum, p.A},
		[]bn254.G2Affine{k.minusBeta, k.minusDelta, k.minusGamma, p.B})
}

// Shows reports whether the proof, the input and c that are committed to are such that
// the chain ends as a valid proof's does. It does not take the way of the parts, nor look
// at their hashes: it is there to find out who is wrong when verdicts differ, in some
// milliseconds.
func (k *Key) Shows(raw *Raw) bool {
	item, err := raw.Proof()
	if err != nil || !item.Proof.B.IsOnCurve() || !item.Proof.B.IsInSubGroup() {
		return false
	}
	f, err := k.pairings(item.Proof, item.Inputs[0])
	if err != nil {
		return false
	}
	c, ok := raw.c()
	if !ok {
		return false
	}
	power := bn254.E12{C1: c}
	power.C0.SetOne()
	power.Exp(power, lambda())
	power.Div(&power, &f)
	return power.C1.IsZero()
}

// commit returns an assertion whose hashes follow from the rest; nil if some part has no
// output, or the last finds the proof invalid.
func (k *Key) commit(p *groth16.Proof, input fr.Element, c *bn254.E6) *Raw {
	raw, v := k.fill(p, input, c)
	if v.Disproved {
		return nil
	}
	return raw
}

// fill commits to a proof, valid or not, and as many hashes as follow.
func (k *Key) fill(p *groth16.Proof, input fr.Element, c *bn254.E6) (*Raw, Verdict) {
	raw := new(Raw)
	number := input.Bytes()
	copy(raw.Input[:], swapped(number[:]))
	for i, x := range []*fp.Element{
		&p.A.Y, &p.A.X, &p.C.Y, &p.C.X,
		&c.B0.A0, &c.B0.A1, &c.B1.A0, &c.B1.A1, &c.B2.A0, &c.B2.A1,
		&p.B.X.A0, &p.B.X.A1, &p.B.Y.A0, &p.B.Y.A1,
	} {
		number := x.Bytes()
		copy(raw.Elements[i][:], swapped(number[:]))
	}
	e := evaluator{key: k, raw: raw, fill: true}
	e.run()
	return raw, e.verdict
}

// residueNumbers are those of "On Proving Pairings": p^12 - 1 = r·h = 27·t, and
// λ = 3·r·m with m prime to p^12 - 1.
type residueNumbers struct {
	h, t, third *big.Int  // third = (p^12-1)/3
	inverseR    *big.Int  // of r modulo h
	inverseM    *big.Int  // of m modulo p^12 - 1
	root        bn254.E12 // a 27th root of 1 that is no cube
}

func newResidueNumbers() *residueNumbers {
	one, three := big.NewInt(1), big.NewInt(3)
	p, r := fp.Modulus(), fr.Modulus()
	order := new(big.Int).Exp(p, big.NewInt(12), nil)
	order.Sub(order, one)
	n := new(residueNumbers)
	n.h = new(big.Int).Div(order, r)
	n.t = new(big.Int).Div(order, big.NewInt(27))
	n.third = new(big.Int).Div(order, three)

	m := lambda()
	m.Div(m, r)
	m.Div(m, three)
	n.inverseR = new(big.Int).ModInverse(r, n.h)
	n.inverseM = new(big.Int).ModInverse(m, order)

	// The power of an element that is no cube.
	for i := uint64(1); ; i++ {
		var z, power bn254.E12
		z.C0.B0.A0.SetUint64(i)
		z.C1.B0.A0.SetOne()
		if power.Exp(z, n.third); !power.IsOne() {
			n.root.Exp(z, n.t)
			return n
		}
	}
}

// lambda returns 6x + 2 + p - p² + p³, where x is the curve's number.
func lambda() *big.Int {
	l := new(big.Int).SetUint64(4965661367192848881)
	p := fp.Modulus()
	l.Mul(l, big.NewInt(6)).Add(l, big.NewInt(2)).Add(l, p)
	p2 := new(big.Int).Mul(p, p)
	return l.Sub(l, p2).Add(l, p2.Mul(p2, p))
}

// residueRoot returns c with c^λ = f·u, where u is in the field with p^6 elements; false
// if there is none, because f is not a power of r.
func residueRoot(f *bn254.E12) (c bn254.E12, ok bool) {
	n := newResidueNumbers()
	var power bn254.E12
	if power.Exp(*f, n.h); !power.IsOne() {
		return c, false
	}
	c = *f
	for range 2 { // f, or f times root, or f times its square is a cube
		if power.Exp(c, n.third); power.IsOne() {
			break
		}
		c.Mul(&c, &n.root)
	}
	c.Exp(c, n.inverseR)
	c.Exp(c, n.inverseM)
	return n.cubeRoot(&c)
}

// cubeRoot returns a cube root of a; false if there is none. With k the third part of t
// or of t + 1, whichever is whole, a^k or its inverse is one but for a 27th root of 1.
func (n *residueNumbers) cubeRoot(a *bn254.E12) (r bn254.E12, ok bool) {
	k, rest := new(big.Int).DivMod(n.t, big.NewInt(3), new(big.Int))
	if rest.Int64() == 2 {
		k.Add(k, big.NewInt(1))
	}
	r.Exp(*a, k)
	if rest.Int64() == 1 {
		r.Inverse(&r)
	}
	for range 27 {
		var cube bn254.E12
		cube.Square(&r)
		if cube.Mul(&cube, &r); cube.Equal(a) {
			return r, true
		}
		r.Mul(&r, &n.root)
	}
	return r, false
}
