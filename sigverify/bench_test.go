package sigverify

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// benchItems returns n valid items of a scheme, of which 64 are different.
func benchItems(b *testing.B, scheme Scheme, n int) []Item {
	r := newRand(b)
	sign := map[Scheme]func(*rand.Rand) Item{ECDSA: signedECDSA, BIP340: signedBIP340}[scheme]
	var some []Item
	for range min(n, 64) {
		it := sign(r)
		if scheme == ECDSA {
			it.Key = encodeKey(parseKey(it.Key), 2)
		}
		some = append(some, it)
	}
	return slices.Repeat(some, (n+len(some)-1)/len(some))[:n]
}

// Batches on one core and on all; ns/sig is what counts.
func BenchmarkVerify(b *testing.B) {
	for _, path := range []Path{PathScalar, PathLane} {
		for name, scheme := range map[string]Scheme{"ECDSA": ECDSA, "BIP340": BIP340} {
			for _, size := range []int{1, 2, 3, 4, 8, 64, 256, 4096} {
				for _, workers := range []int{1, 0} {
					cores := map[int]string{1: "1core", 0: "allcores"}[workers]
					b.Run(fmt.Sprintf("%s/%s/%d/%s", path, name, size, cores), func(b *testing.B) {
						needPath(b, path)
						items := benchItems(b, scheme, size)
						valid := make([]bool, size)
						v := newTestVerifier(b, Options{Workers: workers, Path: path})
						b.ReportAllocs()
						for b.Loop() {
							if err := v.Verify(b.Context(), items, valid); err != nil {
								b.Fatal(err)
							}
						}
						b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/sig")
					})
				}
			}
		}
	}
}

// What the cache costs a signature that is in it, and one that is not.
func BenchmarkCache(b *testing.B) {
	c := newCache(32 << 20)
	c.fill(100000)
	for name, from := range map[string]uint64{"hit": 0, "miss": 100000} {
		b.Run(name, func(b *testing.B) {
			var records [1024]record
			for i := range records {
				records[i] = *numbered(from + uint64(i)*97)
			}
			i := 0
			for b.Loop() {
				c.has(&records[i%len(records)])
				i++
			}
		})
	}
}
