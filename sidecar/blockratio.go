package sidecar

import (
	"context"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/outrider-project/outrider/perfcore/arbiter"
)

const (
	// tableBlock is the size of a block of the coin database's tables, and diskCoin what
	// a coin takes in them, about, in bytes.
	tableBlock, diskCoin = 4 << 10, 57
	// resized is by how much, as a power of two, the tables must have grown before their
	// blocks are numbered anew.
	resized = 0.75
)

// A blockRatio is the missRatio of the coin database's cache of blocks.
//
// Pebble does not say which blocks it is asked for. But coins lie in the order of their
// txids, which are spread evenly: the first bits of a txid tell which block of the
// lowest level, where most are, its coin is in, if there are as many values of them as
// blocks.
type blockRatio struct {
	missRatio
	// bits is how many bits of a place number a block, and tables how many bytes they
	// take together.
	bits   atomic.Int64
	tables atomic.Int64
}

// newBlockRatio returns one for at most most bytes, which are looked at in units of
// unit bytes. What misses cost is set before the first bid.
func newBlockRatio(most, unit int64) *blockRatio {
	step := max(int(unit/tableBlock), 1)
	m := new(blockRatio)
	m.missRatio = missRatio{
		sampler: arbiter.NewSampler(arbiter.SamplerConfig{Unit: step, Units: int(most/unit) + 1, RateShift: 2, MaxKeys: sampledBlocks, Salt: rand.Uint64()}),
		step:    float64(step), stands: 1,
		entry: m.blockBytes, room: func(bytes int64) int64 { return bytes }, began: time.Now(), faded: time.Now(),
		missed: func() (float64, time.Duration) { return 0, 0 }, hit: func() float64 { return 0 },
	}
	return m
}

// refer takes the place of a coin that the database was asked for.
func (m *blockRatio) refer(place uint64) {
	m.sampler.Reference(place >> (64 - m.bits.Load()))
}

// resize says how many coins are on the disk.
func (m *blockRatio) resize(coins uint64) {
	m.tables.Store(int64(coins * diskCoin))
	want := math.Log2(max(float64(coins)*diskCoin/tableBlock, 1))
	if math.Abs(want-float64(m.bits.Load())) > resized {
		m.bits.Store(int64(math.Round(want)))
	}
}

// blockBytes returns what a block takes that the bits number.
func (m *blockRatio) blockBytes() float64 {
	return max(math.Ldexp(float64(m.tables.Load()), -int(m.bits.Load())), 1)
}

// run follows the size of the database until ctx ends.
func (m *blockRatio) run(ctx context.Context, coins func() (uint64, bool)) {
	for {
		if n, ok := coins(); ok {
			m.resize(n)
		}
		if sleep(ctx, missEvery) != nil {
			return
		}
	}
}
