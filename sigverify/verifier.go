package sigverify

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sigverify/internal/secp"
)

// Options configures a Verifier. The zero value is ready to use.
type Options struct {
	// Workers bounds the goroutines that verify at once, up to 1024; 0 means
	// GOMAXPROCS.
	Workers int
	// Chunk is how many signatures a worker takes at a time, from 16 to 256; 0
	// means 256.
	Chunk int
	// CacheBytes bounds the memory for signatures that VerifyMempool found
	// valid; 0 means 32 MiB, and a negative number none.
	CacheBytes int64
	// Path is PathLane or PathScalar; empty means the best that there is. Where
	// the lanes cannot be had, PathLane means PathScalar too: LaneCheck tells.
	Path Path
	// RecheckEvery says how many verdicts there are, on average, to one that is
	// checked by an independent verifier; 0 means 1024, and 1 checks all.
	RecheckEvery int
	// Recorder receives the metrics; nil means perfcore.Discard.
	Recorder perfcore.Recorder
	// Log hears which path is taken, and of a verifier that was wrong; nil
	// means nobody.
	Log *slog.Logger
}

const (
	defaultChunk      = maxChunk
	defaultCacheBytes = 32 << 20
	// defaultRecheck makes decred's verifier, which takes 40 times as long as the
	// lanes, cost 4 % of their time.
	defaultRecheck = 1024
	// minLanes is the smallest number of signatures for which the lanes are
	// faster: a vector of eight takes as long as 1.8 by the scalar verifier,
	// however many lanes of it are used.
	minLanes = 2
)

// A Verifier verifies batches. It is safe for concurrent use. It has no
// goroutines until a batch needs a second one, and none any more when Close has
// returned.
type Verifier struct {
	code    code
	trust   trust
	pool    *pool
	cache   *cache
	drawn   uint64 // the share of verdicts that are checked again, of 2⁶⁴
	metrics instruments
	log     *slog.Logger
}

// New returns a Verifier. If it may take the lanes, and nobody has asked for them
// before, it tests them, which takes some ten milliseconds.
func New(o Options) *Verifier { return newVerifier(o, ourCode()) }

func newVerifier(o Options, c code) *Verifier {
	checkPath(o.Path)
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Chunk == 0 {
		o.Chunk = defaultChunk
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.RecheckEvery <= 0 {
		o.RecheckEvery = defaultRecheck
	}
	if o.Recorder == nil {
		o.Recorder = perfcore.Discard
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	v := &Verifier{
		code:    c,
		pool:    newPool(min(o.Workers, maxWorkers), min(max(o.Chunk, vectors), maxChunk)),
		cache:   newCache(o.CacheBytes),
		drawn:   math.MaxUint64 / uint64(o.RecheckEvery),
		metrics: newInstruments(o.Recorder),
		log:     o.Log,
	}
	v.pool.newExecutor = func() *executor { return newExecutor(v) }
	v.pool.lanes = func() bool { return v.trust.now() == rankLane }
	v.pool.depth = v.metrics.depth
	v.trust.begin(o.Path, c.checkLanes)
	path, why := v.Path()
	v.metrics.path(path)
	v.log.Info("signatures will be verified", "path", string(path), "why", why, "scalar", secp.Code(), "workers", o.Workers, "recheck_every", o.RecheckEvery)
	return v
}

// Path returns the code that verifies now, and a sentence on why it is that one.
func (v *Verifier) Path() (path Path, why string) { return v.trust.told() }

// Falls returns a number that grows whenever a path loses its trust. What was said
// before that counts no more: who keeps verdicts, or puts several together, asks before
// the first and after the last, and verifies again if the number is another.
func (v *Verifier) Falls() int { return int(v.rank()) }

// CacheBytes returns the memory in bytes that the cache of verified signatures takes now,
// and the most that it may take. It takes memory when VerifyMempool finds something valid,
// and keeps that until it is made smaller.
func (v *Verifier) CacheBytes() (taken, limit int64) {
	return v.cache.taken(), v.cache.limit.Load()
}

// Verify verifies the signatures of a block. It sets valid[i] to whether items[i]
// verifies, for every i; valid must be as long as items. What VerifyMempool has
// found valid, and the cache still knows, is not verified again.
//
// Verify returns ctx's error when ctx ends first, and ErrClosed when the Verifier
// is closed; then the content of valid means nothing. Nobody reads items or
// writes valid after it has returned. It may verify for other calls while they
// are before it.
func (v *Verifier) Verify(ctx context.Context, items []Item, valid []bool) error {
	return v.verify(ctx, items, valid, forBlock)
}

// VerifyMempool is Verify for transactions that are not in a block yet: it gives
// way to Verify after each chunk, and what is valid goes into the cache.
func (v *Verifier) VerifyMempool(ctx context.Context, items []Item, valid []bool) error {
	return v.verify(ctx, items, valid, forMempool)
}

func (v *Verifier) verify(ctx context.Context, items []Item, valid []bool, prio priority) error {
	if len(valid) != len(items) {
		panic("sigverify: Verify: len(valid) != len(items)")
	}
	if err := ctx.Err(); err != nil || len(items) == 0 {
		return err
	}
	began := time.Now()
	for {
		rank := v.rank()
		t, err := v.pool.do(ctx, items, valid, prio)
		if err != nil {
			return err
		}
		if v.rank() == rank {
			v.metrics.record(&t, prio, time.Since(began))
			v.metrics.cacheBytes.Set(float64(v.cache.limit.Load()))
			v.metrics.cacheRecords.Set(float64(v.cache.records.Load()))
			return nil
		}
		// A path lost its trust meanwhile, and some verdicts may be its.
	}
}

// Exact verifies one signature after the other on the goroutine that calls it,
// without the lanes, the cache and the pool: by the scalar verifier, and what that
// calls invalid, and one in a hundred of the others, by decred's code too. Where the two
// disagree, the [Verifier] does what it does then. Once the scalar verifier was found
// wrong it is not asked: decred's code is, and the slow code that settles disagreements
// in place of decred's. It is what a verdict against a block rests on. Verify is safe for
// concurrent use.
type Exact struct{ v *Verifier }

// Exact returns v without what makes it fast.
func (v *Verifier) Exact() Exact { return Exact{v} }

// Verify sets valid[i] to whether items[i] verifies, for every i; valid must be as
// long as items. The error is ctx's, and then the content of valid means nothing.
func (e Exact) Verify(ctx context.Context, items []Item, valid []bool) error {
	if len(valid) != len(items) {
		panic("sigverify: Verify: len(valid) != len(items)")
	}
	for i := range items {
		if err := ctx.Err(); err != nil {
			return err
		}
		valid[i] = e.verdict(&items[i])
	}
	return ctx.Err()
}

// verdict returns whether the signature is valid.
func (e Exact) verdict(it *Item) bool {
	code, sampled := &e.v.code, rand.IntN(100) == 0
	if e.v.rank() == rankDecred {
		said := code.decred(it)
		if said && !sampled || code.exact(it) == said {
			return said
		}
		return e.v.settle(it, opinions{decred: of(said)})
	}
	said := opinions{scalar: of(code.scalar(it))}
	if said.scalar == no || sampled {
		said.decred = of(code.decred(it))
	}
	if verdict, agreed := said.verdict(); agreed {
		return verdict
	}
	return e.v.settle(it, said)
}

// Close ends all calls with ErrClosed, and returns when the Verifier's goroutines
// have ended. Calling it again does nothing.
func (v *Verifier) Close() { v.pool.close() }
