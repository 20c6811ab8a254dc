package groth16

import (
	"crypto/rand"
	"fmt"
	"math/big"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
)

// An Item is a proof with the public inputs that it is for.
type Item struct {
	Proof  *Proof
	Inputs []fr.Element
}

// VerifyBatch verifies many proofs for the same key in about a third of the time that
// one takes after the other, and returns for each what [Key.Verify] would: nil if it is
// valid. It verifies that a combination of their equations holds, whose coefficients of
// 128 bits are drawn from crypto/rand after the proofs are known; if it does not hold, it
// looks for the invalid ones by halves, so that each of them costs the more. That it
// takes an invalid proof for a valid one has a probability below 2^-120.
func (k *Key) VerifyBatch(items []Item) []error {
	verdicts := make([]error, len(items))
	var b batch
	b.key = k
	for i, item := range items {
		if verdicts[i] = k.check(item.Proof, item.Inputs); verdicts[i] == nil {
			b.add(i, item)
		}
	}
	b.search(0, len(b.terms), verdicts, false)
	return verdicts
}

// A batch is what is left of proofs that are to be verified at once.
type batch struct {
	key   *Key
	terms []term
	// c and coefficients are the points C and what they are multiplied by.
	c            []bn254.G1Affine
	coefficients []fr.Element
}

// A term is the part that one proof has in the combination.
type term struct {
	index int // of the item
	pair      // -A, multiplied by the coefficient, and B
	item  Item
}

// add multiplies a proof's equation by a new coefficient.
func (b *batch) add(index int, item Item) {
	var random [16]byte
	rand.Read(random[:])
	t := term{index: index, item: item}
	t.q = item.Proof.B
	var r big.Int
	r.SetBytes(random[:])
	t.p.Neg(&item.Proof.A)
	t.p.ScalarMultiplication(&t.p, &r)
	b.terms = append(b.terms, t)

	var words [32]byte
	copy(words[16:], random[:])
	var coefficient fr.Element
	coefficient.SetBytes(words[:])
	b.coefficients = append(b.coefficients, coefficient)
	b.c = append(b.c, item.Proof.C)
}

// search sets the verdicts of terms lo to hi. bad says that one of them is known to be
// invalid.
func (b *batch) search(lo, hi int, verdicts []error, bad bool) {
	if lo == hi || !bad && b.holds(lo, hi) {
		return
	}
	if hi == lo+1 {
		verdicts[b.terms[lo].index] = fmt.Errorf("groth16: %w", ErrEquation)
		return
	}
	// The combination of a whole is the product of its halves' ones: where that of
	// the first holds, that of the second does not.
	mid := (lo + hi) / 2
	firstHolds := b.holds(lo, mid)
	if !firstHolds {
		b.search(lo, mid, verdicts, true)
	}
	b.search(mid, hi, verdicts, firstHolds)
}

// holds reports whether the combination of terms lo to hi holds.
func (b *batch) holds(lo, hi int) bool {
	k := b.key
	pairs := make([]pair, 0, hi-lo)
	var sum fr.Element
	inputs := make([]fr.Element, k.Inputs())
	for i := lo; i < hi; i++ {
		pairs = append(pairs, b.terms[i].pair)
		sum.Add(&sum, &b.coefficients[i])
		for j := range inputs {
			var t fr.Element
			t.Mul(&b.coefficients[i], &b.terms[i].item.Inputs[j])
			inputs[j].Add(&inputs[j], &t)
		}
	}
	var c bn254.G1Affine
	if _, err := c.MultiExp(b.c[lo:hi], b.coefficients[lo:hi], ecc.MultiExpConfig{NbTasks: 1}); err != nil {
		panic("groth16: " + err.Error()) // there are as many points as coefficients
	}
	f := miller(pairs, []fixedPair{{k.combine(&sum, inputs), &k.gamma}, {c, &k.delta}})
	// e(alpha, beta) is a power of its Miller loop's value, so that this can be
	// raised to the sum of the coefficients before.
	var alphaBeta bn254.GT
	alphaBeta.Exp(k.alphaBeta, sum.BigInt(new(big.Int)))
	return isOne(&f, &alphaBeta)
}
