package assertion

import (
	"errors"
	"slices"
	"sync"

	"github.com/consensys/gnark-crypto/ecc/bn254"

	"github.com/outrider-project/outrider/bitvm/groth16"
)

// A slopeLine is a line through a multiple of a point of G2, y = slope·x - bias.
type slopeLine struct{ slope, bias bn254.E2 }

// A Key is a verifying key with what the parts take of it. It is immutable, and safe for
// concurrent use.
type Key struct {
	verifier   *groth16.Key
	fixed      bn254.E6 // what alpha and beta contribute to the last check
	constant   bn254.G1Affine
	base       bn254.G1Affine // of the public input
	alpha      bn254.G1Affine
	minusBeta  bn254.G2Affine
	minusGamma bn254.G2Affine
	minusDelta bn254.G2Affine
	// ofGamma and ofDelta are the lines of -gamma and -delta for each step1 of the
	// chain.
	ofGamma, ofDelta []slopeLine
	steps            []step
	ops              []op

	spare sync.Pool // of *chain
}

// msmParts is how many parts multiply with the public input; each takes 64 bits of it.
const msmParts = 4

// ErrInputs says that a key has another number of public inputs than one.
var ErrInputs = errors.New("assertion: BitVM2 has one public input, the key has another number")

// Prepare makes a key ready. The errors are [ErrInputs], and those of [groth16.Prepare].
func Prepare(vk *groth16.VerifyingKey) (*Key, error) {
	verifier, err := groth16.Prepare(vk)
	if err != nil {
		return nil, err
	}
	if len(vk.IC) != 2 {
		return nil, ErrInputs
	}
	k := &Key{verifier: verifier, constant: vk.IC[0], base: vk.IC[1], alpha: vk.Alpha}
	k.minusBeta.Neg(&vk.Beta)
	k.minusGamma.Neg(&vk.Gamma)
	k.minusDelta.Neg(&vk.Delta)
	k.steps, k.ops = steps(), ops()
	// Of a point in G2, no multiple here is infinity.
	k.ofGamma, k.ofDelta = slopeLines(k.steps, &k.minusGamma), slopeLines(k.steps, &k.minusDelta)

	f, err := bn254.MillerLoop([]bn254.G1Affine{vk.Alpha}, []bn254.G2Affine{k.minusBeta})
	if err != nil {
		return nil, err
	}
	k.fixed.Div(&f.C1, &f.C0)
	return k, nil
}

// KeyBytes is about how much memory a Key takes, in bytes.
const KeyBytes = 128 << 10

// Verifier returns the same key, ready to verify proofs.
func (k *Key) Verifier() *groth16.Key { return k.verifier }

// A step is one step of the Miller loop: T is doubled, or a point is added to it.
type step struct {
	double bool
	// add is which point: B or -B, or what Frobenius makes of it.
	add addend
}

type addend uint8

const (
	plain addend = iota
	minus
	frobenius      // π(B)
	minusFrobenius // -π²(B)
)

// digits are those of 6x+2, lowest first, as arkworks writes it: none is both beside
// another and not 0, but the two highest.
func digits() []int8 {
	return append(slices.Clone(bn254.LoopCounter[:63]), 1, 1)
}

// steps returns the steps of the Miller loop.
func steps() []step {
	var all []step
	loop := digits()
	for i := len(loop) - 2; i >= 0; i-- {
		all = append(all, step{double: true})
		switch loop[i] {
		case 1:
			all = append(all, step{add: plain})
		case -1:
			all = append(all, step{add: minus})
		}
	}
	return append(all, step{add: frobenius}, step{add: minusFrobenius})
}

// of returns the point that is added, for a point q.
func (a addend) of(q *bn254.G2Affine) (p bn254.G2Affine) {
	switch a {
	case minus:
		p.Neg(q)
	case frobenius:
		p.X.Conjugate(&q.X).MulByNonResidue1Power2(&p.X)
		p.Y.Conjugate(&q.Y).MulByNonResidue1Power3(&p.Y)
	case minusFrobenius:
		p.X.MulByNonResidue2Power2(&q.X)
		p.Y = q.Y
	default:
		p = *q
	}
	return p
}
