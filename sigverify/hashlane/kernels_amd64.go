//go:build !purego

package hashlane

//go:generate go run -C ../internal/asm ./hash -out ../../hashlane/kernels_amd64.s

// The kernels end with VZEROUPPER: instructions of the SHA extensions, which
// crypto/sha256 uses, may be a hundred times slower while the upper halves of
// vector registers are not zero. None can be preempted; their callers keep a
// call below 50 µs.

// cpuid returns the registers that the instruction CPUID leaves.
//
//go:noescape
func cpuid(leaf, subleaf uint32) (a, b, c, d uint32)

// xgetbv returns what the instruction XGETBV does for the index given.
//
//go:noescape
func xgetbv(index uint32) (lo, hi uint32)

// advance32 hashes steps ≥ 1 blocks of SHA-256 in each of 32 lanes, with
// AVX-512. Lane i reads left[i] bytes at base[i] + offset[i] and not one more.
// After the last of them comes the padding of a message of length[1][i] bits
// (the low 32 bits, and in length[0] the high ones); after that the lane rests. A
// lane with a left below -8 rests from the start, and one that reads the blocks
// before the last of a message must not get further than them.
//
// state holds word w of lane i's state in state[w][i]. Of a lane whose bit in
// fresh is set it holds nothing, and the lane begins with the initial state.
// digests receives the states as digests, those of unfinished messages too. The
// offsets grow by steps blocks, and what is left shrinks by as much.
//
//go:noescape
func advance32(digests *[32][32]byte, state *[8][32]uint32, base *[32]*byte, offset, left *[32]int32, length *[2][32]uint32, steps int, fresh uint32)

// advance8 hashes steps ≥ 1 blocks of SHA-256 in each of eight lanes, with AVX2.
// Lane i reads them at base[i] + offset[i]. state and digests are like those of
// advance32.
//
//go:noescape
func advance8(digests *[8][32]byte, state *[8][8]uint32, base *[8]*byte, offset *[8]int32, steps int)

// advance2 hashes steps ≥ 1 blocks of SHA-256 in each of two lanes, with the SHA
// extensions. It is like advance8, but word w of lane i's state is in
// state[i][w].
//
//go:noescape
func advance2(digests *[2][32]byte, state *[2][8]uint32, base *[2]*byte, offset *[2]int32, steps int)

// sum32x32 sets groups ≥ 1 times 32 digests at dst to the SHA-256 of as many
// messages of 32 bytes at src. dst may be src.
//
//go:noescape
func sum32x32(dst, src *byte, groups int)

// sum32x8 is sum32x32 for groups of eight, with AVX2.
//
//go:noescape
func sum32x8(dst, src *byte, groups int)

// sum32x2 is sum32x32 for groups of two, with the SHA extensions.
//
//go:noescape
func sum32x2(dst, src *byte, groups int)

// double64x32 sets groups ≥ 1 times 32 digests at dst to the SHA-256 of the
// SHA-256 of as many messages of 64 bytes at src. dst may be src.
//
//go:noescape
func double64x32(dst, src *byte, groups int)

// double64x8 is double64x32 for groups of eight, with AVX2.
//
//go:noescape
func double64x8(dst, src *byte, groups int)

// double64x2 is double64x32 for groups of two, with the SHA extensions.
//
//go:noescape
func double64x2(dst, src *byte, groups int)

// ripemd32x32 sets groups ≥ 1 times 32 digests of 20 bytes at dst to the
// RIPEMD-160 of as many messages of 32 bytes at src. dst may be src.
//
//go:noescape
func ripemd32x32(dst, src *byte, groups int)

// ripemd32x8 is ripemd32x32 for groups of eight, with AVX2.
//
//go:noescape
func ripemd32x8(dst, src *byte, groups int)

// chain160x32 replaces each of 32 values by its HASH160, as often as its count
// says but at most steps ≥ 1 times, and takes steps from the counts. Word w of
// value i, little-endian, is in values[w][i]. A count that is not positive means
// that nothing is left to do.
//
//go:noescape
func chain160x32(values *[5][32]uint32, counts *[32]int32, steps int)

// chain160x8 is chain160x32 for eight values, with AVX2.
//
//go:noescape
func chain160x8(values *[5][8]uint32, counts *[8]int32, steps int)
