package hashlane

import (
	"crypto/sha256"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/btcsuite/btcd/address/v2"
)

// compare reports the shortest times of ours and of the standard library's way,
// for each of n hashes, and how many times as fast ours is. The two take turns,
// so that a slow phase of the machine hits both.
func compare(b *testing.B, n int, ours, standard func()) {
	b.ReportAllocs()
	best := [2]time.Duration{1 << 62, 1 << 62}
	for b.Loop() {
		for i, f := range []func(){ours, standard} {
			start := time.Now()
			f()
			best[i] = min(best[i], time.Since(start))
		}
	}
	b.ReportMetric(float64(best[0].Nanoseconds())/float64(n), "ns/hash")
	b.ReportMetric(float64(best[1].Nanoseconds())/float64(n), "std-ns/hash")
	b.ReportMetric(float64(best[1])/float64(best[0]), "x")
	b.ReportMetric(0, "ns/op")
}

// eachPath runs f as a benchmark for every path of this processor.
func eachPath(b *testing.B, f func(b *testing.B, p path)) {
	for _, p := range detect().fallbacks() {
		b.Run(p.String(), func(b *testing.B) { f(b, p) })
	}
}

func doubleSHA(b []byte) [32]byte {
	h := sha256.Sum256(b)
	return sha256.Sum256(h[:])
}

func BenchmarkDoubleSum64(b *testing.B) {
	src, dst := make([]byte, 64*1024), make([][32]byte, 1024)
	eachPath(b, func(b *testing.B, p path) {
		compare(b, len(dst), func() { p.fixed(double64, bytesOf(dst), src) }, func() {
			for i := range dst {
				dst[i] = doubleSHA(src[64*i : 64*i+64])
			}
		})
	})
}

func BenchmarkDoubleSum80(b *testing.B) {
	src, dst := make([]byte, 80*1024), make([][32]byte, 1024)
	msgs := messages{data: src, size: 80, n: len(dst)}
	eachPath(b, func(b *testing.B, p path) {
		compare(b, len(dst), func() { doubleSum(p, dst, msgs, "") }, func() {
			for i := range dst {
				dst[i] = doubleSHA(src[80*i : 80*i+80])
			}
		})
	})
}

// Transactions of 250 bytes.
func BenchmarkDoubleSum250(b *testing.B) {
	whole := equalMessages(1024, 250)
	dst := make([][32]byte, len(whole))
	eachPath(b, func(b *testing.B, p path) {
		compare(b, len(dst), func() { doubleSum(p, dst, messages{whole: whole, n: len(dst)}, "") }, func() {
			for i, m := range whole {
				dst[i] = doubleSHA(m)
			}
		})
	})
}

// Transactions of 250 bytes, few of them.
func BenchmarkFew250(b *testing.B) {
	for _, n := range []int{1, 2, 4, 8, 13, 16, 32} {
		whole := equalMessages(n, 250)
		dst := make([][32]byte, len(whole))
		p := detect()
		b.Run(string(rune('0'+n/10))+string(rune('0'+n%10)), func(b *testing.B) {
			compare(b, len(dst), func() { doubleSum(p, dst, messages{whole: whole, n: len(dst)}, "") }, func() {
				for i, m := range whole {
					dst[i] = doubleSHA(m)
				}
			})
		})
	}
}

// The ids of a block's transactions without their witnesses.
func BenchmarkTxids(b *testing.B) {
	parts := blockOfParts(5000)
	dst := make([][32]byte, len(parts))
	eachPath(b, func(b *testing.B, p path) {
		compare(b, len(dst), func() { doubleSum(p, dst, messages{parts: parts, n: len(dst)}, "") }, func() {
			for i, m := range parts {
				h := sumOne(&m)
				dst[i] = sha256.Sum256(h[:])
			}
		})
	})
}

// The ids of a block's transactions with their witnesses.
func BenchmarkWtxids(b *testing.B) {
	parts := blockOfParts(5000)
	whole := make([][]byte, len(parts))
	for i, p := range parts {
		whole[i] = append(append(append([]byte(nil), p.Head...), p.Body...), p.Tail...)
	}
	dst := make([][32]byte, len(parts))
	eachPath(b, func(b *testing.B, p path) {
		compare(b, len(dst), func() { doubleSum(p, dst, messages{whole: whole, n: len(dst)}, "") }, func() {
			for i, m := range whole {
				dst[i] = doubleSHA(m)
			}
		})
	})
}

// Compressed public keys.
func BenchmarkHash160(b *testing.B) {
	whole := equalMessages(1024, 33)
	dst := make([][20]byte, len(whole))
	eachPath(b, func(b *testing.B, p path) {
		compare(b, len(dst), func() { p.hash160(dst, messages{whole: whole, n: len(dst)}) }, func() {
			for i, m := range whole {
				copy(dst[i][:], address.Hash160(m))
			}
		})
	})
}

// A Winternitz signature's chains, of 0 to 15 steps. The time is of a step.
func BenchmarkHash160Chain(b *testing.B) {
	values, steps := make([][20]byte, 1024), make([]int, 1024)
	rng := rand.New(rand.NewPCG(1, 1))
	total := 0
	for i := range steps {
		steps[i] = rng.IntN(16)
		total += steps[i]
	}
	eachPath(b, func(b *testing.B, p path) {
		compare(b, total, func() { p.chains(values, steps) }, func() {
			for i := range values {
				for range steps[i] {
					copy(values[i][:], address.Hash160(values[i][:]))
				}
			}
		})
	})
}

func BenchmarkMerkle4096(b *testing.B) {
	leaves := make([][32]byte, 4096)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range leaves {
		leaves[i][0], leaves[i][1] = byte(rng.Uint32()), byte(rng.Uint32())
	}
	eachPath(b, func(b *testing.B, p path) {
		compare(b, len(leaves)-1, func() { merkle(p, leaves) }, func() {
			for n := len(leaves); n > 1; n /= 2 {
				var pair [64]byte
				for i := 0; i < n; i += 2 {
					copy(pair[:], leaves[i][:])
					copy(pair[32:], leaves[i+1][:])
					leaves[i/2] = doubleSHA(pair[:])
				}
			}
		})
	})
}

// equalMessages returns n messages of the size given.
func equalMessages(n, size int) [][]byte {
	data := make([]byte, n*size)
	whole := make([][]byte, n)
	for i := range whole {
		whole[i] = data[i*size : (i+1)*size]
	}
	return whole
}

// blockOfParts returns n transactions without witnesses, with sizes that are
// spread as in a block: most of one to three inputs and two outputs, and some
// that are large.
func blockOfParts(n int) []Parts {
	rng := rand.New(rand.NewPCG(1, 1))
	parts := make([]Parts, n)
	for i := range parts {
		size := 72 + 41*(1+rng.IntN(3)) + 32*rng.IntN(3)
		switch rng.IntN(100) {
		case 0:
			size += rng.IntN(20000)
		case 1, 2, 3, 4:
			size += rng.IntN(2000)
		}
		data := make([]byte, size+8)
		parts[i] = Parts{data[:4], data[4 : size+4], data[size+4:]}
	}
	return parts
}
