package bitvm0

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/address/v2"
)

// A Hash is a HASH160.
type Hash [20]byte

// A Preimage opens a bit, or challenges a gate.
type Preimage [32]byte

// Hash returns the preimage's hash.
func (p *Preimage) Hash() Hash { return Hash(address.Hash160(p[:])) }

// A Commitment is to the bit of a wire: the hash of what opens it as 0, and of what opens
// it as 1.
type Commitment [2]Hash

// index returns the place that a bit has in a pair.
func index(bit bool) int {
	if bit {
		return 1
	}
	return 0
}

// Open returns what opens a wire as a bit, by the prover's seed. It is for the prover; of
// both bits of a wire it shows one at most.
func Open(seed [32]byte, w Wire, bit bool) Preimage {
	b := binary.BigEndian.AppendUint64(append([]byte("bit"), seed[:]...), uint64(w))
	return sha256.Sum256(append(b, byte(index(bit))))
}

// Commit returns the commitments to so many wires by a seed of 32 random bytes.
func Commit(seed [32]byte, wires int) []Commitment {
	all := make([]Commitment, wires)
	for w := range all {
		zero, one := Open(seed, Wire(w), false), Open(seed, Wire(w), true)
		all[w] = Commitment{zero.Hash(), one.Hash()}
	}
	return all
}

// Challenge returns what challenges a gate, by the verifier's seed.
func Challenge(seed [32]byte, gate int) Preimage {
	b := binary.BigEndian.AppendUint64(append([]byte("challenge"), seed[:]...), uint64(gate))
	return sha256.Sum256(b)
}

// Challenges returns the hashes of what challenges so many gates.
func Challenges(seed [32]byte, gates int) []Hash {
	all := make([]Hash, gates)
	for i := range all {
		p := Challenge(seed, i)
		all[i] = p.Hash()
	}
	return all
}

// ErrOpening says that a preimage opens no bit of its wire.
var ErrOpening = errors.New("bitvm0: the preimage opens nothing")

// Observed is what a prover has shown, as the verifier keeps it.
type Observed struct {
	commitments []Commitment
	seen        map[Wire][2]*Preimage
}

// Observe returns that nothing has been shown yet of these commitments, which it keeps.
func Observe(commitments []Commitment) *Observed {
	return &Observed{commitments, make(map[Wire][2]*Preimage)}
}

// Add takes note of a preimage that the prover has shown for a wire, and returns the bit
// that it opens. The error wraps [ErrOpening].
func (o *Observed) Add(w Wire, p Preimage) (bit bool, err error) {
	if w < 0 || int(w) >= len(o.commitments) {
		return false, fmt.Errorf("%w: there is no wire %d", ErrOpening, w)
	}
	h := p.Hash()
	for i := range o.commitments[w] {
		if o.commitments[w][i] == h {
			pair := o.seen[w]
			pair[i] = &p
			o.seen[w] = pair
			return i == 1, nil
		}
	}
	return false, fmt.Errorf("%w: wire %d", ErrOpening, w)
}

// Equivocation returns both preimages of a wire that the prover has opened as 0 and as 1,
// with which the verifier wins; ok is false if there is none. Of several wires it is that
// with the lowest number.
func (o *Observed) Equivocation() (w Wire, pair [2]Preimage, ok bool) {
	for at, seen := range o.seen {
		if seen[0] != nil && seen[1] != nil && (!ok || at < w) {
			w, pair, ok = at, [2]Preimage{*seen[0], *seen[1]}, true
		}
	}
	return w, pair, ok
}
