package script

import "math/bits"

// maxMultisigKeys is how many keys a multisig operation may name.
const maxMultisigKeys = 20

// A matching is what is known of which signature of a multisig operation fits
// which of its keys. Signatures and keys are in the order of the script.
//
// Bitcoin Core goes through the keys once, from the last on, and gives each
// signature the first key that it fits. That succeeds if and only if some keys, in
// the order of the signatures, fit one each: giving away a key early leaves most
// to those that come after.
type matching struct {
	signatures, keys int
	// yes[i] has bit j set if signature i is known to fit key j, no[i] if it is
	// known not to.
	yes, no [maxMultisigKeys]uint32
}

// An outcome is what a matching says.
type outcome int

const (
	open   outcome = iota // it depends on pairs that are not known
	fits                  // the operation succeeds
	misfit                // the operation fails
)

// set notes whether signature i fits key j.
func (m *matching) set(i, j int, valid bool) {
	if valid {
		m.yes[i] |= 1 << j
	} else {
		m.no[i] |= 1 << j
	}
}

// outcome returns what the known pairs decide.
func (m *matching) outcome() outcome {
	if m.chain(func(i int) uint32 { return m.yes[i] }) {
		return fits
	}
	if !m.chain(func(i int) uint32 { return ^m.no[i] }) {
		return misfit
	}
	return open
}

// chain reports whether the signatures can have one key each, in their order, if
// mayTake has the keys that one can take.
func (m *matching) chain(mayTake func(i int) uint32) bool {
	left := uint32(1)<<m.keys - 1
	for i := range m.signatures {
		can := mayTake(i) & left
		if can == 0 {
			return false
		}
		left &^= uint32(2)<<bits.TrailingZeros32(can) - 1
	}
	return true
}

// bounds sets first[i] and last[i] to the first and the last key that signature i
// can have if every pair that is not known fits. The outcome must be open.
func (m *matching) bounds(first, last *[maxMultisigKeys]int) {
	all := uint32(1)<<m.keys - 1
	left := all
	for i := range m.signatures {
		first[i] = bits.TrailingZeros32(left &^ m.no[i])
		left = all &^ (uint32(2)<<first[i] - 1)
	}
	left = all
	for i := m.signatures - 1; i >= 0; i-- {
		last[i] = bits.Len32(left&^m.no[i]) - 1
		left = uint32(1)<<last[i] - 1
	}
}

// guess calls try for pairs that are worth knowing next, at least one: for each
// signature that is not known to fit a key within its bounds, the key where it is
// likeliest. The outcome must be open.
func (m *matching) guess(try func(i, j int)) {
	var first, last [maxMultisigKeys]int
	m.bounds(&first, &last)
	some := false
	// A signature that fits several keys may need to be tried with more of them.
	for again := range 2 {
		for i := range m.signatures {
			lo, hi := first[i], last[i]
			within := (uint32(2)<<hi - 1) &^ (uint32(1)<<lo - 1)
			unknown := within &^ m.yes[i] &^ m.no[i]
			if unknown == 0 || again == 0 && m.yes[i]&within != 0 {
				continue
			}
			some = true
			try(i, nearest(unknown, m.likeliest(i, lo, hi)))
		}
		if some {
			return
		}
	}
}

// likeliest returns the key from lo to hi that signature i most likely fits.
// Signers that are any of the keys alike lie evenly among them; one alone is
// looked for where Bitcoin Core begins.
func (m *matching) likeliest(i, lo, hi int) int {
	n := m.signatures - 1
	if n == 0 {
		return hi
	}
	return lo + ((hi-lo)*i+n/2)/n
}

// nearest returns the number of the bit in set that is closest to at. set must not
// be empty.
func nearest(set uint32, at int) int {
	below := bits.Len32(set&(uint32(2)<<at-1)) - 1
	above := bits.TrailingZeros32(set &^ (uint32(1)<<at - 1))
	if below < 0 || above < 32 && above-at < at-below {
		return above
	}
	return below
}
