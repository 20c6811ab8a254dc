package bench

import (
	"context"
	"runtime"

	"github.com/outrider-project/outrider/bob/headers"
)

// A verifyFigure measures how many headers are verified in a second, in turns with
// hashing alone.
type verifyFigure struct {
	*relayBench
	ours, hashing []float64
	allocations   float64
}

// verify verifies the chain once.
func (f *verifyFigure) verify(context.Context) (int, error) {
	run := f.params.NewRun(0)
	n, _, err := headers.Verify(&run, f.chain, nil, f.now)
	return n, err
}

// hash only hashes it.
func (f *verifyFigure) hash(context.Context) (int, error) {
	var sum [32]byte
	for i := range f.chain {
		digest := sha256Twice(&f.chain[i])
		sum[0] ^= digest[0]
	}
	runtime.KeepAlive(sum)
	return len(f.chain), nil
}

func (f *verifyFigure) measure(ctx context.Context) error {
	for _, half := range []struct {
		do   task
		took *[]float64
	}{{f.verify, &f.ours}, {f.hash, &f.hashing}} {
		rate, err := perSecond(ctx, []task{half.do}, true)
		if err != nil {
			return err
		}
		*half.took = append(*half.took, rate)
	}
	var before, after runtime.MemStats
	const times = 10
	runtime.ReadMemStats(&before)
	for range times {
		if _, err := f.verify(ctx); err != nil {
			return err
		}
	}
	runtime.ReadMemStats(&after)
	// Whole ones: others allocate too.
	f.allocations = max(f.allocations, float64((after.Mallocs-before.Mallocs)/uint64(times*len(f.chain))))
	return nil
}

func (f *verifyFigure) rows() []Row {
	return []Row{moreIsBetter("headers/verify", median(f.ours), "headers/s", "crypto/sha256 alone", median(f.hashing))}
}
