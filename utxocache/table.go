package utxocache

import "slices"

// A slot of a table is part of a key's hash, the tag, above a ref to where the
// key stands. No slot in use is 0, for no ref is.
const (
	shardBits = 4
	tagBits   = 28
	refBits   = 64 - tagBits
	refMask   = 1<<refBits - 1

	shards = 1 << shardBits

	// These are turns in which no shard settles, or all do.
	noShard, allShards = -1, -2
)

// shardOf returns the shard of a hash, and tagOf its tag: the bits after the
// shard's.
func shardOf(hash uint64) int       { return int(hash >> (64 - shardBits)) }
func tagOf(hash uint64) uint64      { return hash << shardBits >> refBits }
func slotOf(tag, ref uint64) uint64 { return tag<<refBits | ref }

// A table is an immutable hash table of slots. They ascend, and each is at the
// home of its tag or after it, with no gap between: a search begins at the home
// and ends at a gap or at a larger tag. So that two tables merge in one pass,
// and a change makes a new table instead of changing one that is being read.
//
//	home:   0     1     2     3     4     5     (overflow)
//	slots:  t0    -     t2    t2'   t2''  t5    -
type table struct {
	slots []uint64
	homes uint64 // places that are a home; slots may overflow beyond
	used  int
}

// home returns where a search for tag begins.
func (t *table) home(tag uint64) int { return int(tag * t.homes >> tagBits) }

// at returns the slot at the home of tag.
func (t *table) at(tag uint64) uint64 {
	if i := t.home(tag); i < len(t.slots) {
		return t.slots[i]
	}
	return 0
}

// first returns the first ref with the tag; 0 when there is none.
func (t *table) first(tag uint64) uint64 {
	for i := t.home(tag); i < len(t.slots); i++ {
		switch slot := t.slots[i]; {
		case slot == 0 || slot>>refBits > tag:
			return 0
		case slot>>refBits == tag:
			return slot & refMask
		}
	}
	return 0
}

// bytes returns the memory that the table takes.
func (t *table) bytes() int64 { return 8 * int64(cap(t.slots)) }

// all yields the slots in ascending order.
func (t *table) all(yield func(slot uint64) bool) {
	for _, slot := range t.slots {
		if slot != 0 && !yield(slot) {
			return
		}
	}
}

// newTable returns an empty table for n slots, three of four places used. They
// come by add, in ascending order of their tags.
func newTable(n int) table {
	if n == 0 {
		return table{}
	}
	homes := n + n/3 + 1
	return table{slots: make([]uint64, 0, homes+8), homes: uint64(homes)}
}

func (t *table) add(slot uint64) {
	if home := t.home(slot >> refBits); home > len(t.slots) {
		t.slots = t.slots[:home] // which is zero
	}
	t.slots = append(t.slots, slot)
	t.used++
}

// keys are what the refs of a table name.
type keys interface {
	// key returns the key at ref; nil when it is no longer there.
	key(ref uint64) *key
}

// merge returns a table of what two hold, and of the slots that are for the same
// key in both only the newer's. prune leaves out what is no longer there.
func merge(old, newer *table, ks keys, prune bool) table {
	out := newTable(old.used + newer.used)
	add := func(slot uint64) {
		if !prune || ks.key(slot&refMask) != nil {
			out.add(slot)
		}
	}
	a, b := old.slots, newer.slots
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(a) > 0 && a[0] == 0:
			a = a[1:]
		case len(b) > 0 && b[0] == 0:
			b = b[1:]
		case len(b) == 0 || len(a) > 0 && a[0]>>refBits < b[0]>>refBits:
			add(a[0])
			a = a[1:]
		case len(a) == 0 || a[0]>>refBits > b[0]>>refBits:
			add(b[0])
			b = b[1:]
		default:
			if !replaced(a[0], b, ks) {
				add(a[0])
			}
			a = a[1:]
		}
	}
	return out
}

// replaced reports whether newer, which begins with slots of slot's tag, has one
// for its key.
func replaced(slot uint64, newer []uint64, ks keys) bool {
	k := ks.key(slot & refMask)
	if k == nil {
		return false
	}
	for _, other := range newer {
		if other>>refBits != slot>>refBits {
			return false
		}
		if o := ks.key(other & refMask); o != nil && *o == *k {
			return true
		}
	}
	return false
}

// An index finds refs by key. It is immutable, and in two parts, so that a
// change copies little: what was added lately lies in fresh and goes to settled
// one shard a turn. A slot of fresh hides those of settled for the same key.
type index struct {
	fresh, settled [shards]table
}

// An addition is slots for an index, by shard, the later of two for one key
// being the one that counts.
type addition [shards][]uint64

func (a *addition) put(hash, ref uint64) {
	s := shardOf(hash)
	a[s] = append(a[s], slotOf(tagOf(hash), ref))
}

// with returns the index with slots added, of which no two are for one key that
// is there. turn is the shard that settles. Slots that name nothing any more are
// gone from a shard once it has settled.
func (x index) with(a *addition, turn int, ks keys) index {
	for s := range shards {
		fresh, settled := &x.fresh[s], &x.settled[s]
		if len(a[s]) > 0 {
			slices.Sort(a[s])
			added := newTable(len(a[s]))
			for _, slot := range a[s] {
				added.add(slot)
			}
			*fresh = merge(fresh, &added, ks, false)
		}
		if s == turn || turn == allShards || fresh.used > settled.used/4+1024 {
			*settled = merge(settled, fresh, ks, true)
			*fresh = table{}
		}
	}
	return x
}

// first returns the first ref with the hash's tag; 0 when there is none.
func (x *index) first(hash uint64) uint64 {
	s, tag := shardOf(hash), tagOf(hash)
	if ref := x.fresh[s].first(tag); ref != 0 {
		return ref
	}
	return x.settled[s].first(tag)
}

// bytes returns the memory that the index takes.
func (x *index) bytes() (n int64) {
	for s := range shards {
		n += x.fresh[s].bytes() + x.settled[s].bytes()
	}
	return n
}

// names hands out the numbers of what refs name. A number that was released is
// handed out again only when no slot of an index has it any more: after each
// shard has settled.
type names struct {
	last uint64 // the largest that was handed out; not 0
	turn uint64
	free []released
}

type released struct{ id, turn uint64 }

// advance begins the next turn and returns the shard that settles in it.
func (n *names) advance() (turn int) {
	n.turn++
	return int(n.turn % shards)
}

func (n *names) take() uint64 {
	if len(n.free) > 0 && n.turn > n.free[0].turn+shards {
		id := n.free[0].id
		n.free = n.free[1:]
		return id
	}
	n.last++
	return n.last
}

func (n *names) release(id uint64) { n.free = append(n.free, released{id, n.turn}) }
