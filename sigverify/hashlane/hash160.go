package hashlane

import "crypto/sha256"

// hashWindow is how many SHA-256 digests wait for their RIPEMD-160 at most.
const hashWindow = 1024

// waiting holds memory for digests that wait.
var waiting = newSpares(func() *[hashWindow][32]byte { return new([hashWindow][32]byte) })

// hash160 sets dst[i] to the HASH160 of message i.
func (p path) hash160(dst [][20]byte, msgs messages) {
	sums := waiting.take()
	defer waiting.give(sums)
	for lo := 0; lo < len(dst); lo += hashWindow {
		hi := min(lo+hashWindow, len(dst))
		p.sums(sums[:hi-lo], msgs.slice(lo, hi))
		p.fixed(ripemd32, bytesOf20(dst[lo:hi]), bytesOf(sums[:hi-lo]))
	}
}

// chainOne replaces v by what HASH160 makes of it when it is taken so many
// times, without assembly of ours.
func chainOne(v *[20]byte, steps int) {
	for range steps {
		*v = ripemd160(sha256.Sum256(v[:]))
	}
}
