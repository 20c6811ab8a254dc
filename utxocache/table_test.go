package utxocache

import (
	"math/rand/v2"
	"testing"
)

// somewhere holds keys by ref, as layers and pages do.
type somewhere map[uint64]*key

func (s somewhere) key(ref uint64) *key { return s[ref] }

func (s somewhere) find(x *index, k *key, hash uint64) (refs []uint64) {
	shard, tag := shardOf(hash), tagOf(hash)
	for _, t := range []*table{&x.fresh[shard], &x.settled[shard]} {
		for i := t.home(tag); i < len(t.slots) && t.slots[i] != 0; i++ {
			if slot := t.slots[i]; slot>>refBits == tag && s[slot&refMask] != nil && *s[slot&refMask] == *k {
				refs = append(refs, slot&refMask)
			}
		}
	}
	return refs
}

// An index finds what was put into it last, whatever the hashes are, and keeps
// no slot of what is gone once all shards have settled.
func TestIndex(t *testing.T) {
	for name, mask := range map[string]uint64{
		"random": ^uint64(0), "few hashes": 0xf << 56, "one hash": 0, "the largest": ^uint64(0),
	} {
		t.Run(name, func(t *testing.T) {
			seed := seedOf(t)
			t.Logf("UTXOCACHE_SEED=%d", seed)
			rnd := rand.New(rand.NewPCG(seed, 7))
			h := newHasher()
			h.mask = mask
			hashOf := func(k *key) uint64 {
				if name == "the largest" {
					return h.of(k) | 1<<63 - 1<<20 // all at the end of a shard
				}
				return h.of(k)
			}
			var x index
			var ids names
			where, now := make(somewhere), make(map[key]uint64)
			for step := range 100 {
				turn := ids.advance()
				var added addition
				put := make(map[key]bool)
				for range rnd.IntN(60) {
					k := key{byte(rnd.IntN(250)), byte(rnd.IntN(4))}
					if put[k] {
						continue
					}
					put[k] = true
					ref := ids.take()
					if where[ref] != nil {
						t.Fatalf("%d is in use", ref)
					}
					where[ref], now[k] = &k, ref
					added.put(hashOf(&k), ref)
				}
				old := x
				x = x.with(&added, turn, where)
				for k, ref := range now {
					refs := where.find(&x, &k, hashOf(&k))
					if len(refs) == 0 || refs[0] != ref {
						t.Fatalf("step %d: %x is at %d, found at %d", step, k, ref, refs)
					}
					if !put[k] {
						if refs := where.find(&old, &k, hashOf(&k)); len(refs) == 0 || refs[0] != ref {
							t.Fatalf("step %d: %x was at %d, found at %d in the index before", step, k, ref, refs)
						}
					}
				}
				// What was replaced, and some more, goes.
				for ref, k := range where {
					if now[*k] == ref && rnd.IntN(10) == 0 {
						delete(now, *k)
					}
					if now[*k] != ref {
						delete(where, ref)
						ids.release(ref)
					}
				}
			}
			x = x.with(new(addition), allShards, where)
			slots := 0
			for s := range shards {
				for slot := range x.settled[s].all {
					if where[slot&refMask] == nil {
						t.Errorf("a slot names %d, which is gone", slot&refMask)
					}
					slots++
				}
				if x.fresh[s].used != 0 {
					t.Errorf("shard %d has not settled", s)
				}
			}
			if slots != len(now) {
				t.Errorf("%d slots for %d keys", slots, len(now))
			}
		})
	}
}
