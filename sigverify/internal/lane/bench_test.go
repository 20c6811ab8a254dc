package lane

import (
	"fmt"
	"testing"

	"github.com/outrider-project/outrider/sigverify/internal/secp"
)

// The time of a signature in batches, beside package secp and decred.
func BenchmarkVerify(b *testing.B) {
	r := newRand(b)
	items := map[bool][]Item{}
	for len(items[false]) < chunk || len(items[true]) < chunk {
		if s := valid(r); s.BIP340 || len(s.Key) == 33 {
			items[s.BIP340] = append(items[s.BIP340], s.Item)
		}
	}
	table := newTable()
	for bip340, scheme := range map[bool]string{false: "ECDSA", true: "BIP340"} {
		for _, n := range []int{1, 8, 16, 64, chunk} {
			b.Run(fmt.Sprintf("%s/lane/%d", scheme, n), func(b *testing.B) {
				needKernels(b)
				s, verdicts := newScratch(assembly(), table), make([]Verdict, n)
				for b.Loop() {
					s.Verify(items[bip340][:n], verdicts)
				}
				perSignature(b, n)
			})
		}
		one := func(name string, verify func(it *Item) bool) {
			b.Run(fmt.Sprintf("%s/%s/1", scheme, name), func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					if !verify(&items[bip340][i%chunk]) {
						b.Fatal("a valid item is invalid")
					}
				}
				perSignature(b, 1)
			})
		}
		one("secp", oracle)
		one("decred", decredVerify)
	}
}

func perSignature(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/signature")
}

func BenchmarkKernel(b *testing.B) {
	needKernels(b)
	r, table, k := newRand(b), newTable(), assembly()
	for i := range kernelTests {
		test := &kernelTests[i]
		for _, n := range []int{1, 2, 8, maxVectors} {
			if n > test.most {
				continue
			}
			b.Run(fmt.Sprintf("%s/%d", test.name, n), func(b *testing.B) {
				tr := newTrial(r, n, table)
				test.prepare(r, tr)
				for b.Loop() {
					test.run(k, tr)
				}
				perSignature(b, 8*n)
			})
		}
	}
}

func BenchmarkChallenge(b *testing.B) {
	var r, key, digest [32]byte
	for b.Loop() {
		secp.Challenge(&r, &key, &digest)
	}
}
