package sigverify

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"unsafe"
)

// A record is everything that a verdict depends on: the scheme, the length of
// the key, the key padded with zeros, the signature, the digest. Two items have
// the same record only if all of it is the same.
type record [2 + maxKey + 64 + 32]byte

// maxKey is the longest key that a valid signature can have.
const maxKey = 65

// set makes r the record of it, and reports whether there is one: a longer key
// has none.
func (r *record) set(it *Item) bool {
	if len(it.Key) > maxKey {
		return false
	}
	r[0], r[1] = byte(it.Scheme), byte(len(it.Key))
	n := copy(r[2:2+maxKey], it.Key)
	clear(r[2+n : 2+maxKey])
	copy(r[2+maxKey:], it.Sig[:])
	copy(r[2+maxKey+64:], it.Digest[:])
	return true
}

// A cache remembers the signatures that were valid. A lookup compares the whole
// record, so that it cannot take one for another, whatever their hashes. It is
// safe for concurrent use.
//
// It is a table of small sets. A record's hash, whose salt nobody else knows,
// names its set. A set that is full loses the one of its records that came
// first.
type cache struct {
	hash func(*record) uint64
	// limit is the memory in bytes that the cache may take, and sets how many
	// sets that makes for each shard; without any it remembers nothing.
	limit    atomic.Int64
	sets     atomic.Int64
	records  atomic.Int64
	resizing sync.Mutex // one resize at a time
	// epoch counts the purges.
	epoch  atomic.Uint64
	shards [cacheShards]cacheShard
}

const (
	// cacheShards bounds how often two goroutines want the same lock.
	cacheShards = 64
	// cacheWays is the records of a set. With one tag of a byte for each, a
	// lookup that misses compares a record in 3 % of cases.
	cacheWays = 8
	setBytes  = int64(unsafe.Sizeof(recordSet{}))
)

type cacheShard struct {
	mu   sync.Mutex // guards sets
	sets []recordSet
	_    [64]byte // the next lock is in another cache line
}

// A recordSet is a few records, of which used are occupied, from the first on.
type recordSet struct {
	tags    [cacheWays]uint8
	used    uint8
	next    uint8 // the one to be lost next, once all are occupied
	records [cacheWays]record
}

func newCache(bytes int64) *cache {
	seed := maphash.MakeSeed()
	c := &cache{hash: func(r *record) uint64 { return maphash.Bytes(seed, r[:]) }}
	c.resize(bytes)
	return c
}

// place returns where a record of that hash is: the shard, the set of n, and the
// tag.
func (c *cache) place(hash uint64, n int) (s *cacheShard, set int, tag uint8) {
	s = &c.shards[hash%cacheShards]
	return s, int(hash >> 16 & 0xFFFFFFFF * uint64(n) >> 32), uint8(hash >> 8)
}

// has reports whether r is in the cache.
func (c *cache) has(r *record) bool {
	hash := c.hash(r)
	s := &c.shards[hash%cacheShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sets) == 0 {
		return false
	}
	_, i, tag := c.place(hash, len(s.sets))
	return s.sets[i].has(r, tag)
}

func (set *recordSet) has(r *record, tag uint8) bool {
	for i := range int(set.used) {
		if set.tags[i] == tag && set.records[i] == *r {
			return true
		}
	}
	return false
}

// add puts r, which must be valid, into the cache, unless that was purged since
// epoch was read.
func (c *cache) add(r *record, epoch uint64) {
	hash := c.hash(r)
	s := &c.shards[hash%cacheShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	n := int(c.sets.Load())
	if n == 0 || c.epoch.Load() != epoch {
		return
	}
	if len(s.sets) == 0 {
		s.sets = make([]recordSet, n)
	}
	_, i, tag := c.place(hash, len(s.sets))
	if set := &s.sets[i]; !set.has(r, tag) {
		c.records.Add(int64(set.add(r, tag)))
	}
}

// add puts r into the set and returns by how many records that made it grow.
func (set *recordSet) add(r *record, tag uint8) int {
	i, grown := set.used, 1
	if i < cacheWays {
		set.used++
	} else {
		i, grown = set.next, 0
		set.next = (set.next + 1) % cacheWays
	}
	set.tags[i], set.records[i] = tag, *r
	return grown
}

// resize makes the cache take at most that many bytes from now on, and up to a
// shard's more until it returns. A shard takes its memory when its first record
// comes. Records that still find room stay.
func (c *cache) resize(bytes int64) {
	c.resizing.Lock()
	defer c.resizing.Unlock()
	bytes = max(bytes, 0)
	n := bytes / (cacheShards * setBytes)
	c.limit.Store(bytes)
	c.sets.Store(n)
	for i := range c.shards {
		c.resizeShard(&c.shards[i], int(n))
	}
}

func (c *cache) resizeShard(s *cacheShard, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.sets
	if len(old) == n {
		return
	}
	s.sets = nil
	if n > 0 && len(old) > 0 {
		s.sets = make([]recordSet, n)
	}
	grown := 0
	for i := range old {
		set := &old[i]
		grown -= int(set.used)
		if n == 0 {
			continue
		}
		for j := range int(set.used) {
			r := &set.records[(int(set.next)+j)%cacheWays]
			_, at, tag := c.place(c.hash(r), n)
			grown += s.sets[at].add(r, tag)
		}
	}
	c.records.Add(int64(grown))
}

// taken returns the memory in bytes that the cache takes now.
func (c *cache) taken() (bytes int64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		bytes += int64(len(s.sets)) * setBytes
		s.mu.Unlock()
	}
	return bytes
}

// purge forgets everything, and what is added by those who read the epoch
// before.
func (c *cache) purge() {
	c.epoch.Add(1)
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for j := range s.sets {
			c.records.Add(-int64(s.sets[j].used))
		}
		s.sets = nil
		s.mu.Unlock()
	}
}
