package utxocache

import (
	"math/rand/v2"
	"testing"
)

// fuzzBytes makes choices from bytes: zero when they are used up.
type fuzzBytes struct{ rest []byte }

func (f *fuzzBytes) IntN(n int) int {
	var v int
	for m := n - 1; m > 0 && len(f.rest) > 0; m >>= 8 {
		v = v<<8 | int(f.rest[0])
		f.rest = f.rest[1:]
	}
	return v % n
}

func FuzzCache(f *testing.F) {
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		data := make([]byte, 300)
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		f.Add(byte(seed), byte(seed*5), data)
	}
	f.Fuzz(func(t *testing.T, kind, blocks byte, data []byte) {
		opts := worldOptions{genesis: kind&1 != 0}
		opts.Blocks = 1 + int(blocks)%24
		opts.Bytes = []int64{1, 4 << 10, 64 << 10, 64 << 20}[kind>>1&3]
		opts.mustKnow = opts.genesis && opts.Bytes == 64<<20
		src := &fuzzBytes{data}
		w := newWorld(t, src, opts)
		for len(src.rest) > 0 {
			w.step()
		}
		w.audit()
	})
}
