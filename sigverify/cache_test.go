package sigverify

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
)

// numbered returns the record of that number. Those of different numbers differ
// in a few bytes only, which ones depends on the number.
func numbered(n uint64) *record {
	r := new(record)
	at := n % uint64(len(r)-4)
	binary.BigEndian.PutUint32(r[at:], uint32(n))
	r[0] ^= byte(at)
	r[1] ^= byte(at >> 8)
	return r
}

func put(c *cache, r *record) { c.add(r, c.epoch.Load()) }

// fill puts the records 0 to n-1.
func (c *cache) fill(n uint64) {
	for i := range n {
		put(c, numbered(i))
	}
}

// The record tells apart what Verify may answer differently.
func TestRecordsDiffer(t *testing.T) {
	r := newRand(t)
	seen := make(map[record]Item)
	for _, it := range []Item{signedECDSA(r), signedBIP340(r)} {
		all := []Item{it}
		change := func(spoil func(it *Item)) {
			other := it
			other.Key = append([]byte(nil), it.Key...)
			spoil(&other)
			all = append(all, other)
		}
		change(func(it *Item) { it.Scheme++ })
		for i := range it.Key {
			change(func(it *Item) { it.Key[i] ^= 1 << r.IntN(8) })
			change(func(it *Item) { it.Key = it.Key[:i] })
		}
		for len(it.Key) < maxKey { // zeros at the end are no padding
			it.Key = append(it.Key[:len(it.Key):len(it.Key)], 0)
			all = append(all, it)
		}
		it = all[0]
		for i := range it.Sig {
			change(func(it *Item) { it.Sig[i] ^= 1 << r.IntN(8) })
		}
		for i := range it.Digest {
			change(func(it *Item) { it.Digest[i] ^= 1 << r.IntN(8) })
		}
		for _, it := range all {
			var rec record
			if !rec.set(&it) {
				t.Fatalf("no record of %+v", it)
			}
			if other, ok := seen[rec]; ok && string(other.Key) != string(it.Key) {
				t.Errorf("one record of %+v and %+v", it, other)
			}
			seen[rec] = it
		}
		if len(seen) < len(all) {
			t.Errorf("%d items have %d records", len(all), len(seen))
		}
	}
	if new(record).set(&Item{Key: make([]byte, maxKey+1)}) {
		t.Error("a key that is too long has a record")
	}
}

// A record that is used again holds nothing of what it held before.
func TestRecordIsSetWhole(t *testing.T) {
	r := newRand(t)
	long, short := signedECDSA(r), signedBIP340(r)
	var fresh, used record
	for i := range used {
		used[i] = 0xFF
	}
	for _, it := range []Item{long, short, {}} {
		fresh = record{}
		if fresh.set(&it); !used.set(&it) || used != fresh {
			t.Errorf("%+v: record %x, want %x", it, used, fresh)
		}
	}
}

// With any hash, also one that is the same for all, the cache knows what was put
// in and nothing else, and has no more than its bytes.
func TestCacheWithBadHashes(t *testing.T) {
	for name, hash := range map[string]func(*record) uint64{
		"constant":   func(*record) uint64 { return 1<<63 | 12345 },
		"zero":       func(*record) uint64 { return 0 },
		"few":        func(r *record) uint64 { return uint64(r[3]&3) << 40 },
		"last bytes": func(r *record) uint64 { return binary.BigEndian.Uint64(r[len(r)-8:]) },
		"all ones":   func(*record) uint64 { return ^uint64(0) },
	} {
		c := newCache(1 << 20)
		c.hash = hash
		for n := range uint64(3000) {
			if r := numbered(n); c.has(r) {
				t.Fatalf("%s: record %d is known before it was put", name, n)
			}
			put(c, numbered(n))
			if !c.has(numbered(n)) {
				t.Fatalf("%s: record %d is not known after it was put", name, n)
			}
		}
	}
}

// The record that came first is the one that a full set loses.
func TestCacheLosesTheOldest(t *testing.T) {
	c := newCache(cacheShards * setBytes) // a set for each shard
	c.hash = func(*record) uint64 { return 7 }
	for n := range uint64(5 * cacheWays) {
		put(c, numbered(n))
		put(c, numbered(n)) // again: it changes nothing
		for old := range n + 1 {
			if want := old+cacheWays > n; c.has(numbered(old)) != want {
				t.Fatalf("after record %d, record %d is known: %v, want %v", n, old, !want, want)
			}
		}
		if got, want := c.records.Load(), int64(min(n+1, cacheWays)); got != want {
			t.Fatalf("%d records counted, want %d", got, want)
		}
	}
}

// held counts the records and the bytes that the cache has.
func held(c *cache) (records, bytes int64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for j := range s.sets {
			records += int64(s.sets[j].used)
		}
		bytes += int64(cap(s.sets)) * setBytes
		s.mu.Unlock()
	}
	return records, bytes
}

// The cache keeps to its bytes at every size, and keeps what has room.
func TestCacheResize(t *testing.T) {
	c := newCache(2 << 20)
	const n = 5000
	c.fill(n)
	known := func() (k int) {
		for i := range uint64(n) {
			if c.has(numbered(i)) {
				k++
			}
		}
		return k
	}
	if k := known(); k < n*99/100 {
		t.Errorf("of %d records %d are known, and there is room for all", n, k)
	}
	for _, bytes := range []int64{16 << 20, 2 << 20, 256 << 10, 1, 0, -1, 1 << 20} {
		before := known()
		c.resize(bytes)
		records, got := held(c)
		if got > max(bytes, 0) {
			t.Errorf("%d bytes, and %d are taken", bytes, got)
		}
		if c.taken() != got {
			t.Errorf("%d bytes: %d are taken, and it says %d", bytes, got, c.taken())
		}
		if records != c.records.Load() || int64(known()) != records {
			t.Errorf("%d bytes: %d records, %d counted, %d known", bytes, records, c.records.Load(), known())
		}
		room := max(bytes, 0) / setBytes / cacheShards * cacheShards * cacheWays
		if int64(known()) < min(int64(before), room/2) {
			t.Errorf("%d bytes: of %d records %d stayed, and there is room for %d", bytes, before, known(), room)
		}
	}
	put(c, numbered(1))
	if !c.has(numbered(1)) {
		t.Error("a cache that got memory again takes no record")
	}
}

// After a resize a set still loses the record that came first.
func TestResizeKeepsTheOrder(t *testing.T) {
	c := newCache(cacheShards * setBytes)
	c.hash = func(*record) uint64 { return 7 }
	const n = cacheWays + cacheWays/2 // so that the oldest is in the middle
	c.fill(n)
	c.resize(3 * cacheShards * setBytes)
	for lost := range uint64(cacheWays) {
		put(c, numbered(n+lost))
		if oldest := n - cacheWays + lost; c.has(numbered(oldest)) || lost < cacheWays-1 && !c.has(numbered(oldest+1)) {
			t.Fatalf("record %d is known: %v; record %d: %v", oldest, c.has(numbered(oldest)), oldest+1, c.has(numbered(oldest+1)))
		}
	}
}

// What was read before a purge is not put in after it.
func TestCachePurge(t *testing.T) {
	c := newCache(1 << 20)
	epoch := c.epoch.Load()
	put(c, numbered(1))
	c.purge()
	c.add(numbered(2), epoch)
	if c.has(numbered(1)) || c.has(numbered(2)) || c.records.Load() != 0 {
		t.Errorf("after a purge: %v, %v, %d records counted", c.has(numbered(1)), c.has(numbered(2)), c.records.Load())
	}
	put(c, numbered(3))
	if !c.has(numbered(3)) {
		t.Error("nothing goes in after a purge")
	}
}

// Records are put and looked for while the cache is resized and purged. Odd
// numbers are never put, and never known.
func TestCacheUnderLoad(t *testing.T) {
	c := newCache(1 << 20)
	r := newRand(t)
	var users, resizer sync.WaitGroup
	done := make(chan struct{})
	resizer.Go(func() {
		own := rand.New(rand.NewPCG(r.Uint64(), 0))
		for {
			select {
			case <-done:
				return
			default:
			}
			if own.IntN(20) == 0 {
				c.purge()
			}
			c.resize(int64(own.IntN(1 << 20)))
		}
	})
	for i := range 3 {
		own := rand.New(rand.NewPCG(uint64(i), 7))
		users.Go(func() {
			for range rounds(20000) {
				n := own.Uint64N(4000)
				if n%2 == 0 {
					put(c, numbered(n))
				} else if c.has(numbered(n)) {
					t.Errorf("record %d is known, and was never put", n)
				}
			}
		})
	}
	users.Wait()
	close(done)
	resizer.Wait()
	c.resize(1 << 20)
	if records, bytes := held(c); records != c.records.Load() || bytes > 1<<20 {
		t.Errorf("%d records, %d counted, in %d bytes", records, c.records.Load(), bytes)
	}
}

// What the mempool's batches found valid, and only that, blocks find again
// without verifying, each item for itself.
func TestCacheServesBlocks(t *testing.T) {
	r := newRand(t)
	items, want := mixed(r, 24)
	asked := 0
	c := ourCode()
	c.checkLanes = noLanes
	c.scalar = func(it *Item) bool { asked++; return verifyScalar(it) }
	v := newVerifier(Options{Workers: 1}, c)
	defer v.Close()
	v.drawn = 0
	valid := 0
	for _, ok := range want {
		if ok {
			valid++
		}
	}
	valids := make([]bool, len(items))
	for i, tt := range []struct {
		verify func() error
		asked  int
	}{
		{func() error { return v.Verify(t.Context(), items, valids) }, len(items)},
		{func() error { return v.VerifyMempool(t.Context(), items, valids) }, len(items)}, // blocks put nothing in
		{func() error { return v.VerifyMempool(t.Context(), items, valids) }, len(items) - valid},
		{func() error { return v.Verify(t.Context(), items, valids) }, len(items) - valid},
	} {
		asked = 0
		clear(valids)
		if err := tt.verify(); err != nil {
			t.Fatal(err)
		}
		for j := range want {
			if valids[j] != want[j] {
				t.Errorf("call %d, item %d: verdict %v", i, j, valids[j])
			}
		}
		if asked != tt.asked {
			t.Errorf("call %d: %d signatures were verified, want %d", i, asked, tt.asked)
		}
	}
	for i, it := range items { // one bit off: it must be verified, and fails
		if !want[i] {
			continue
		}
		it.Digest[r.IntN(32)] ^= 1 << r.IntN(8)
		if exact := verifyExact(&it); exact != verifyAll(t, v, []Item{it})[0] {
			t.Errorf("item %d with another digest: verdict %v", i, !exact)
		}
	}
}
