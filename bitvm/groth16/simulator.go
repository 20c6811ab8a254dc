package groth16

import (
	"encoding/binary"
	"math/big"
	"math/rand/v2"

	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
)

// A Simulator makes proofs that are valid without a circuit, for measurements and tests:
// it knows the secrets of its key, which whoever set up a real one has destroyed. It is
// not safe for concurrent use.
type Simulator struct {
	Key *VerifyingKey
	// rng draws what a test can repeat; nothing that is made here protects anything.
	rng                       *rand.ChaCha8
	alpha, beta, gamma, delta fr.Element
	ic                        []fr.Element
}

// NewSimulator makes a key with so many public inputs, at most [MaxInputs].
func NewSimulator(inputs int, seed uint64) *Simulator {
	var long [32]byte
	binary.LittleEndian.PutUint64(long[:], seed)
	s := &Simulator{Key: new(VerifyingKey), rng: rand.NewChaCha8(long)}
	for _, secret := range []*fr.Element{&s.alpha, &s.beta, &s.gamma, &s.delta} {
		*secret = s.Scalar()
	}
	s.Key.Alpha = g1Times(&s.alpha)
	s.Key.Beta, s.Key.Gamma, s.Key.Delta = g2Times(&s.beta), g2Times(&s.gamma), g2Times(&s.delta)
	for range inputs + 1 {
		secret := s.Scalar()
		s.ic = append(s.ic, secret)
		s.Key.IC = append(s.Key.IC, g1Times(&secret))
	}
	return s
}

// Scalar returns a random number below r.
func (s *Simulator) Scalar() (e fr.Element) {
	var b [48]byte
	s.rng.Read(b[:])
	e.SetBytes(b[:])
	return e
}

// Prove returns a new proof that is valid for the inputs: A and B are random, and C is
// what the equation then asks for.
func (s *Simulator) Prove(inputs []fr.Element) *Proof {
	a, b := s.Scalar(), s.Scalar()
	sum := s.ic[0]
	var c, t fr.Element
	for i := range inputs {
		sum.Add(&sum, t.Mul(&inputs[i], &s.ic[i+1]))
	}
	c.Mul(&a, &b)
	c.Sub(&c, t.Mul(&s.alpha, &s.beta))
	c.Sub(&c, t.Mul(&sum, &s.gamma))
	c.Div(&c, &s.delta)
	return &Proof{A: g1Times(&a), B: g2Times(&b), C: g1Times(&c)}
}

// Item returns a proof with random inputs.
func (s *Simulator) Item() Item {
	inputs := make([]fr.Element, len(s.ic)-1)
	for i := range inputs {
		inputs[i] = s.Scalar()
	}
	return Item{s.Prove(inputs), inputs}
}

func g1Times(k *fr.Element) (p bn254.G1Affine) {
	p.ScalarMultiplicationBase(k.BigInt(new(big.Int)))
	return p
}

func g2Times(k *fr.Element) (p bn254.G2Affine) {
	p.ScalarMultiplicationBase(k.BigInt(new(big.Int)))
	return p
}
