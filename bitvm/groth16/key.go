package groth16

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
)

// MaxInputs is how many public inputs a key may have at most. Known bridges have five or
// fewer; a prepared key takes 61 KB for each.
const MaxInputs = 64

type point2 = bn254.G2Affine

// A VerifyingKey is the key of a circuit as its maker publishes it. No point is negated.
// IC[0] is the constant term, IC[i] belongs to public input i-1.
type VerifyingKey struct {
	Alpha              bn254.G1Affine
	Beta, Gamma, Delta bn254.G2Affine
	IC                 []bn254.G1Affine
}

// eachG2 calls f for beta, gamma and delta until it fails.
func (vk *VerifyingKey) eachG2(f func(*point2) error) error {
	for _, p := range []*point2{&vk.Beta, &vk.Gamma, &vk.Delta} {
		if err := f(p); err != nil {
			return err
		}
	}
	return nil
}

// Equal reports whether two keys have the same points.
func (vk *VerifyingKey) Equal(other *VerifyingKey) bool {
	if !vk.Alpha.Equal(&other.Alpha) || !vk.Beta.Equal(&other.Beta) || !vk.Gamma.Equal(&other.Gamma) ||
		!vk.Delta.Equal(&other.Delta) || len(vk.IC) != len(other.IC) {
		return false
	}
	for i := range vk.IC {
		if !vk.IC[i].Equal(&other.IC[i]) {
			return false
		}
	}
	return true
}

// ErrKey is wrapped by the errors of [Prepare].
var ErrKey = errors.New("not a verifying key")

// check says what is wrong with the points of a key.
func (vk *VerifyingKey) check() error {
	if n := len(vk.IC); n < 1 || n > MaxInputs+1 {
		return fmt.Errorf("groth16: %w: %d points of inputs", ErrKey, n)
	}
	if vk.Alpha.IsInfinity() || !vk.Alpha.IsOnCurve() {
		return fmt.Errorf("groth16: %w: alpha is not on the curve", ErrKey)
	}
	if err := vk.eachG2(func(p *point2) error {
		if p.IsInfinity() || !p.IsOnCurve() || !p.IsInSubGroup() {
			return fmt.Errorf("groth16: %w: a point is not in G2", ErrKey)
		}
		return nil
	}); err != nil {
		return err
	}
	for i := range vk.IC {
		if !onG1(&vk.IC[i]) {
			return fmt.Errorf("groth16: %w: a point of the inputs is not on the curve", ErrKey)
		}
	}
	return nil
}

// A Key is a verifying key made ready to verify many proofs. It is immutable, and safe
// for concurrent use.
type Key struct {
	alphaBeta    bn254.GT // the Miller loop's value for alpha and beta
	gamma, delta lines
	constant     bn254.G1Affine
	multiples    []multiples // of the public inputs' points
}

// Prepare checks a key and makes it ready, in a few milliseconds. It keeps nothing of vk.
func Prepare(vk *VerifyingKey) (*Key, error) {
	if err := vk.check(); err != nil {
		return nil, err
	}
	k := &Key{
		alphaBeta: miller([]pair{{p: vk.Alpha, q: vk.Beta}}, nil),
		gamma:     lines{bn254.PrecomputeLines(vk.Gamma)},
		delta:     lines{bn254.PrecomputeLines(vk.Delta)},
		constant:  vk.IC[0],
		multiples: make([]multiples, len(vk.IC)-1),
	}
	for i := range k.multiples {
		k.multiples[i] = newMultiples(&vk.IC[i+1])
	}
	return k, nil
}

// Inputs returns how many public inputs the circuit has.
func (k *Key) Inputs() int { return len(k.multiples) }

// combine returns constant times IC[0] plus the sum of inputs[i] times IC[i+1].
func (k *Key) combine(constant *fr.Element, inputs []fr.Element) bn254.G1Affine {
	var sum bn254.G1Jac
	sum.FromAffine(&k.constant)
	if !constant.IsOne() {
		var c bn254.G1Affine
		sum.FromAffine(c.ScalarMultiplication(&k.constant, constant.BigInt(new(big.Int))))
	}
	for i := range inputs {
		k.multiples[i].add(&sum, &inputs[i])
	}
	var p bn254.G1Affine
	p.FromJacobian(&sum)
	return p
}
