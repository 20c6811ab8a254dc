package headers

import (
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sigverify/hashlane"
	"github.com/outrider-project/outrider/testvectors"
)

// BenchmarkVerify verifies the main network's first 10,237 headers in one run, and
// beside it only hashes them: the ratio is what the rules cost.
func BenchmarkVerify(b *testing.B) {
	data := testvectors.Load(b, "headers/mainnet_0_10236.bin.zst", "the speed of header verification")
	chain, err := Parse(data)
	if err != nil {
		b.Fatal(err)
	}
	p, err := header.For("main")
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	hashes := make([]chainhash.Hash, len(chain))
	var hashing time.Duration
	b.ReportAllocs()
	for b.Loop() {
		run := p.NewRun(0)
		if _, _, err := Verify(&run, chain, nil, now); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		start := time.Now()
		for i := 0; i < len(chain); i += batch {
			to := min(i+batch, len(chain))
			hashlane.DoubleSum80(hashes[i:to], chain[i:to])
		}
		hashing += time.Since(start)
		b.StartTimer()
	}
	count := float64(b.N) * float64(len(chain))
	b.ReportMetric(count/b.Elapsed().Seconds(), "headers/s")
	b.ReportMetric(float64(b.Elapsed())/float64(hashing), "x-hashing")
	b.ReportMetric(0, "ns/op")
}
