package relay

import (
	"fmt"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// TestFork does random calls on relays, and each on a fork of a fork of its twin, too: both
// answer the same, take the same gas and end in the same state, a call that reverts
// changes neither, and none changes what was forked.
func TestFork(t *testing.T) {
	rng := seeded(t)
	genesis := first(easyBits)
	// Two branches off a trunk, across the end of a period.
	trunk := chainOn(genesis, 6, easyBits, 1)
	var pool [][]byte
	for i := range 6 {
		pool = append(pool, at(trunk, i))
	}
	for _, salt := range []uint32{2, 3} {
		branch := chainOn(at(trunk, 2), 6, easyBits, salt)
		for i := range 6 {
			pool = append(pool, at(branch, i))
		}
	}
	parents := map[chainhash.Hash][]byte{hash256(genesis): genesis}
	for _, h := range pool {
		parents[hash256(h)] = h
	}
	worked := map[string]int{}
	for range 300 {
		r := newRelay(t, genesis, 2016*10-2)
		twin := newRelay(t, genesis, 2016*10-2)
		for range 12 {
			h := pool[rng.IntN(len(pool))]
			for range 10 { // mostly one that can be added
				if _, err := r.FindHeight(prevAt(h, 0)); err == nil {
					break
				}
				h = pool[rng.IntN(len(pool))]
			}
			c := Call{Function: "addHeaders", Args: [][]byte{parents[prevAt(h, 0)], h}}
			if rng.IntN(3) == 0 {
				for i := 0; i < 20 && !r.Knows(hash256(h)); i++ {
					h = pool[rng.IntN(len(pool))]
				}
				ancestor := r.BestKnownDigest()
				if rng.IntN(3) == 0 {
					ancestor = hash256(pool[rng.IntN(len(pool))])
				}
				c = Call{Function: "markNewHeaviest", Args: [][]byte{parents[r.BestKnownDigest()], h}, Ancestor: ancestor, Limit: uint64(rng.IntN(14))}
			}
			if rng.IntN(20) == 0 {
				c.Args[1] = slices.Clone(c.Args[1])
				c.Args[1][rng.IntN(header.Size)] ^= 1
			}
			before := copyFull(&r.FullRelay)
			fork := twin.Fork().Fork()
			receipt, err := r.Do(&c)
			twinReceipt, twinErr := fork.Do(&c)
			if fmt.Sprint(receipt, err) != fmt.Sprint(twinReceipt, twinErr) {
				t.Fatalf("%s: %v, %v, on a fork %v, %v", c.Function, receipt, err, twinReceipt, twinErr)
			}
			if !sameFull(&before, &twin.FullRelay) {
				t.Fatalf("%s on a fork changed what was forked", c.Function)
			}
			if err != nil && !sameFull(&before, &r.FullRelay) {
				t.Fatalf("%s reverted and left its mark: %v", c.Function, err)
			}
			if fork.Headers() != r.Headers() || fork.BestKnownDigest() != r.BestKnownDigest() ||
				fork.LastReorgCommonAncestor() != r.LastReorgCommonAncestor() {
				t.Fatalf("%s: the fork is in another state", c.Function)
			}
			for digest := range parents {
				height, err := r.FindHeight(digest)
				forkHeight, forkErr := fork.FindHeight(digest)
				if height != forkHeight || (err == nil) != (forkErr == nil) || r.Knows(digest) != fork.Knows(digest) {
					t.Fatalf("%s: header %s is at %d, on a fork at %d", c.Function, digest, height, forkHeight)
				}
			}
			if err == nil {
				worked[c.Function]++
				if _, err := twin.Do(&c); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if worked["addHeaders"] < 500 || worked["markNewHeaviest"] < 50 {
		t.Errorf("%v calls worked: the test is too weak", worked)
	}
}
