package groth16

import (
	"errors"
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
)

// A Proof is a Groth16 proof. Its points may be anything until a proof is verified.
type Proof struct {
	A bn254.G1Affine
	B bn254.G2Affine
	C bn254.G1Affine
}

// Equal reports whether two proofs have the same points.
func (p *Proof) Equal(q *Proof) bool {
	return p.A.Equal(&q.A) && p.B.Equal(&q.B) && p.C.Equal(&q.C)
}

// Why a proof is not valid. [Key.Verify] and [Key.VerifyBatch] wrap them.
var (
	ErrPoint    = errors.New("a point is not in its group")
	ErrInputs   = errors.New("wrong number of public inputs")
	ErrEquation = errors.New("the pairing equation does not hold")
)

// onG1 reports whether a point is in G1, which has all points of its curve.
func onG1(p *bn254.G1Affine) bool { return p.IsInfinity() || p.IsOnCurve() }

// check says what is wrong with a proof before it comes to the equation.
func (k *Key) check(p *Proof, inputs []fr.Element) error {
	switch {
	case len(inputs) != k.Inputs():
		return fmt.Errorf("groth16: %w: %d, the key has %d", ErrInputs, len(inputs), k.Inputs())
	case !onG1(&p.A):
		return fmt.Errorf("groth16: %w: A", ErrPoint)
	case !onG1(&p.C):
		return fmt.Errorf("groth16: %w: C", ErrPoint)
	case !p.B.IsInfinity() && (!p.B.IsOnCurve() || !p.B.IsInSubGroup()):
		return fmt.Errorf("groth16: %w: B", ErrPoint)
	}
	return nil
}

// Verify returns nil if the proof is valid for the public inputs, else an error that
// wraps [ErrPoint], [ErrInputs] or [ErrEquation]. The equation is
//
//	e(-A, B) · e(alpha, beta) · e(IC[0] + Σ inputs[i]·IC[i+1], gamma) · e(C, delta) = 1
func (k *Key) Verify(p *Proof, inputs []fr.Element) error {
	if err := k.check(p, inputs); err != nil {
		return err
	}
	one := fr.One()
	sum := pair{q: p.B}
	sum.p.Neg(&p.A)
	f := miller([]pair{sum}, []fixedPair{{k.combine(&one, inputs), &k.gamma}, {p.C, &k.delta}})
	if !isOne(&f, &k.alphaBeta) {
		return fmt.Errorf("groth16: %w", ErrEquation)
	}
	return nil
}

// isOne reports whether the final exponentiation makes 1 of the product of f and g.
func isOne(f, g *bn254.GT) bool {
	result := bn254.FinalExponentiation(f, g)
	return result.IsOne()
}
