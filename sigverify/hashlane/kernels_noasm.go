//go:build !amd64 || purego

package hashlane

// detect returns what the processor offers: here nothing that is used.
func detect() path { return path{} }

// sums sets dst[i] to the SHA-256 of message i.
func (p path) sums(dst [][32]byte, msgs messages) { sumEach(dst, msgs) }

// fixed sets the results of dst to o of the messages of src. dst may begin where
// src does.
func (p path) fixed(o op, dst, src []byte) { o.each(dst, src) }

// chains replaces values[i] by what HASH160 makes of it when it is taken
// steps[i] times.
func (p path) chains(values [][20]byte, steps []int) {
	for i := range values {
		chainOne(&values[i], steps[i])
	}
}
