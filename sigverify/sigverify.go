// Package sigverify verifies ECDSA and BIP340 signatures over secp256k1 in
// batches, one verdict for each.
//
// It answers one question: does this signature fit this key and this digest?
// What a script demands of an encoding (BIP66's strict DER, low S, the hash
// type) is the caller's. Consensus accepts a high S, and so does this package.
//
// Verification is variable-time. Everything it sees is public, so there is no
// secret for the time to tell.
package sigverify

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// A Scheme says how a signature is to be verified.
type Scheme uint8

// These are the schemes of Bitcoin.
const (
	// ECDSA is the scheme of every script before taproot.
	ECDSA Scheme = iota + 1
	// BIP340 is the Schnorr scheme of taproot, with its tagged challenge.
	BIP340
)

// An Item is one signature to verify. All integers are big-endian.
type Item struct {
	// Key is the public key: for ECDSA in SEC 1 form, compressed (33 bytes),
	// uncompressed or hybrid (65 bytes); for BIP340 the x coordinate (32
	// bytes). A key that is no curve point makes the verdict false. Key is
	// only read, and not kept.
	Key []byte
	// Sig is r ‖ s.
	Sig [64]byte
	// Digest is the signature hash.
	Digest [32]byte
	// Scheme is ECDSA or BIP340; any other makes the verdict false.
	Scheme Scheme
}

// Options configures a Verifier. The zero value is ready to use.
type Options struct {
	// Workers bounds the goroutines of one Verify; 0 means GOMAXPROCS.
	Workers int
	// Recorder receives the metrics; nil means perfcore.Discard.
	Recorder perfcore.Recorder
}

// A Verifier verifies batches. It is safe for concurrent use.
type Verifier struct {
	workers int
	valid   *perfcore.Counter
	invalid *perfcore.Counter
	batch   *perfcore.Timer
}

// New returns a Verifier.
func New(o Options) *Verifier {
	rec := o.Recorder
	if rec == nil {
		rec = perfcore.Discard
	}
	workers := o.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	return &Verifier{
		workers: workers,
		valid: rec.Counter(perfcore.Metric{
			Name: "outrider_sigverify_signatures_total", Help: "Signatures verified, by verdict.",
			Labels: []string{"verdict", "valid"},
		}),
		invalid: rec.Counter(perfcore.Metric{
			Name: "outrider_sigverify_signatures_total", Help: "Signatures verified, by verdict.",
			Labels: []string{"verdict", "invalid"},
		}),
		batch: rec.Timer(perfcore.Metric{
			Name: "outrider_sigverify_batch_seconds", Help: "Time to verify one batch of signatures.",
		}),
	}
}

// chunk is how many signatures a worker takes at a time: about 2 ms of work,
// so that workers end together and cancellation is quick.
const chunk = 16

// Verify sets valid[i] to whether items[i] verifies, for every i; valid must
// be as long as items. It returns ctx's error when ctx ends first, and then
// the content of valid means nothing. All its goroutines have ended when it
// returns.
func (v *Verifier) Verify(ctx context.Context, items []Item, valid []bool) error {
	if len(valid) != len(items) {
		panic("sigverify: Verify: len(valid) != len(items)")
	}
	began := time.Now()
	var next atomic.Int64
	var good atomic.Uint64
	work := func() {
		var n uint64
		for ctx.Err() == nil {
			end := int(next.Add(chunk))
			start := end - chunk
			if start >= len(items) {
				break
			}
			for i := start; i < min(end, len(items)); i++ {
				if valid[i] = items[i].verify(); valid[i] {
					n++
				}
			}
		}
		good.Add(n)
	}
	var wg sync.WaitGroup
	for range min(v.workers, (len(items)+chunk-1)/chunk) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	v.batch.Since(began)
	v.valid.Add(good.Load())
	v.invalid.Add(uint64(len(items)) - good.Load())
	return nil
}

// verify reports whether the item's signature is valid.
func (it *Item) verify() bool {
	switch it.Scheme {
	case ECDSA:
		return verifyECDSA(it.Key, &it.Sig, &it.Digest)
	case BIP340:
		return verifyBIP340(it.Key, &it.Sig, &it.Digest)
	}
	return false
}
