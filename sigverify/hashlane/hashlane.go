package hashlane

import "unsafe"

// A Parts is a message that lies in memory in up to three parts: Head, Body and
// Tail one after the other. Any of them may be empty. A transaction without its
// witnesses is an example: version, inputs with outputs, lock time.
type Parts struct{ Head, Body, Tail []byte }

// Sum256 sets dst[i] to the SHA-256 of msgs[i], for every i. It panics if dst is
// not as long as msgs. A message may lie in the memory of its own digest, but
// not overlap that of another's.
//
// Messages of any lengths may be mixed. The most is gained from 32 or more of
// them, none much longer than all the others together divided by 32.
func Sum256[D ~[32]byte](dst []D, msgs [][]byte) {
	sum(current(), digests(dst), messages{whole: msgs, n: len(msgs)}, "Sum256")
}

// DoubleSum256 sets dst[i] to the SHA-256 of the SHA-256 of msgs[i], for every
// i, in the order of the bytes in which Bitcoin hashes them on: that of a txid
// in a merkle tree, the reverse of how it is shown. It is else like Sum256.
func DoubleSum256[D ~[32]byte](dst []D, msgs [][]byte) {
	doubleSum(current(), digests(dst), messages{whole: msgs, n: len(msgs)}, "DoubleSum256")
}

// SumParts is Sum256 of messages in parts.
func SumParts[D ~[32]byte](dst []D, msgs []Parts) {
	sum(current(), digests(dst), messages{parts: msgs, n: len(msgs)}, "SumParts")
}

// DoubleSumParts is DoubleSum256 of messages in parts.
func DoubleSumParts[D ~[32]byte](dst []D, msgs []Parts) {
	doubleSum(current(), digests(dst), messages{parts: msgs, n: len(msgs)}, "DoubleSumParts")
}

// DoubleSum80 is DoubleSum256 of messages of 80 bytes, such as block headers.
func DoubleSum80[D ~[32]byte, M ~[80]byte](dst []D, msgs []M) {
	data := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(msgs))), 80*len(msgs))
	doubleSum(current(), digests(dst), messages{data: data, size: 80, n: len(msgs)}, "DoubleSum80")
}

// DoubleSum64 is DoubleSum256 of messages of 64 bytes, such as the two hashes
// below a node of a merkle tree. Other than there, dst may begin where msgs
// does: then the nodes of a level replace the lower half of the level below.
// What else of dst's memory is msgs' must be beyond the end of dst.
func DoubleSum64[D ~[32]byte, M ~[64]byte](dst []D, msgs []M) {
	if len(dst) != len(msgs) {
		panic("hashlane: DoubleSum64: len(dst) != len(msgs)")
	}
	data := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(msgs))), 64*len(msgs))
	current().fixed(double64, bytesOf(digests(dst)), data)
}

// Hash160 sets dst[i] to the RIPEMD-160 of the SHA-256 of msgs[i], for every i.
// It panics if dst is not as long as msgs. No message may overlap dst.
func Hash160[D ~[20]byte](dst []D, msgs [][]byte) {
	if len(dst) != len(msgs) {
		panic("hashlane: Hash160: len(dst) != len(msgs)")
	}
	current().hash160(digests20(dst), messages{whole: msgs, n: len(msgs)})
}

// Hash160Chain replaces values[i] by what HASH160 makes of it when it is taken
// steps[i] times, as in the chains of a Winternitz signature; a number that is
// not positive leaves the value. It panics if steps is not as long as values.
// Chains of equal or similar lengths need not be adjacent.
func Hash160Chain[D ~[20]byte](values []D, steps []int) {
	if len(values) != len(steps) {
		panic("hashlane: Hash160Chain: len(values) != len(steps)")
	}
	current().chains(digests20(values), steps)
}

// MerkleRoot returns the root of Bitcoin's merkle tree over leaves, which it
// overwrites; zero for no leaves. On a level with an odd number of hashes the
// last is combined with itself. mutated says that on some level two hashes that
// are combined are equal for another reason (CVE-2012-2459): then other lists of
// leaves have the same root.
func MerkleRoot[D ~[32]byte](leaves []D) (root D, mutated bool) {
	nodes := digests(leaves)
	if len(nodes) == 0 {
		return root, false
	}
	mutated = merkle(current(), nodes)
	return D(nodes[0]), mutated
}

// digests returns d as a slice of the underlying type.
func digests[D ~[32]byte](d []D) [][32]byte {
	return unsafe.Slice((*[32]byte)(unsafe.Pointer(unsafe.SliceData(d))), len(d))
}

// digests20 returns d as a slice of the underlying type.
func digests20[D ~[20]byte](d []D) [][20]byte {
	return unsafe.Slice((*[20]byte)(unsafe.Pointer(unsafe.SliceData(d))), len(d))
}

// bytesOf returns the bytes of d, one digest after the other.
func bytesOf(d [][32]byte) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(d))), 32*len(d))
}

// bytesOf20 returns the bytes of d, one digest after the other.
func bytesOf20(d [][20]byte) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(d))), 20*len(d))
}

func sum(p path, dst [][32]byte, msgs messages, caller string) {
	if len(dst) != msgs.n {
		panic("hashlane: " + caller + ": len(dst) != len(msgs)")
	}
	p.sums(dst, msgs)
}

func doubleSum(p path, dst [][32]byte, msgs messages, caller string) {
	sum(p, dst, msgs, caller)
	p.fixed(sum32, bytesOf(dst), bytesOf(dst))
}
