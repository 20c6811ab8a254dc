package utxocache

import (
	"fmt"
	"runtime"
	"slices"

	"github.com/dgraph-io/ristretto/v2"
)

// older holds the unspent coins from below the ring, in pages. Ristretto decides
// which pages stay: it has the number of each as a key, hears of the look-ups,
// and evicts. What it evicts is gone from the next view; the views before it
// keep the page.
//
// It belongs to the writer. Readers use the pages and the index of their view,
// and count hits in the pages; only the writer calls ristretto.
type older struct {
	cache  *ristretto.Cache[uint64, uint64] // page number -> id
	hasher *hasher
	// budget is what the pages may take, first what it was at first.
	budget, first int64
	pageSize      int

	pages      pages // by id, 0 being none
	names      names
	lastNumber uint64 // of a page
	// open is the id of the page to which coins are added, 0 for none; fresh
	// are the ids of pages that ristretto has not been offered yet.
	open  uint64
	fresh []uint64
	// added is what the index does not have yet.
	added addition
	// holey are the ids of pages in which records died.
	holey []uint64
	// evicted are the ids of pages that ristretto gave up. Its goroutine adds
	// them, before wait returns.
	evicted []uint64
	record  []byte // scratch memory

	// coins and bytes are what is held, lost counts the coins lost since clear.
	// indexed is how many of the bytes are for the index.
	coins          int
	bytes, indexed int64
	lost           uint64
}

const (
	// credit is how many hits a page is said to have had when it is new.
	// Ristretto's TinyLFU turns away a key that was seen less often than those
	// it would take the room of, and all new pages were it not for this; and
	// as it halves all counts now and then, it makes young pages outlive old
	// ones that are hit as rarely.
	credit = 16
	// countersPerPage is the number of ristretto's counters for each page that
	// there is room for: the counts are halved when they sum up to the number
	// of counters.
	countersPerPage = 4
	// growth is how much larger than at first the budget can be made.
	growth = 4
	// stripe is how many keys ristretto hears of at once.
	stripe = 64
	// offers bounds how often ristretto is offered a page that it turns away.
	offers = 4
)

func newOlder(budget int64, h *hasher) (*older, error) {
	o := &older{first: budget, hasher: h, pages: make(pages, 1)}
	o.resize(budget)
	evict := func(i *ristretto.Item[uint64]) {
		// One write may evict the same page more than once; all but the first
		// eviction find no value.
		if i.Value != 0 {
			o.evicted = append(o.evicted, i.Value)
		}
	}
	var err error
	o.cache, err = ristretto.NewCache(&ristretto.Config[uint64, uint64]{
		NumCounters:        max(countersPerPage*growth*budget/pageCost(o.pageSize), 64),
		MaxCost:            budget,
		BufferItems:        stripe,
		IgnoreInternalCost: true,
		OnEvict:            evict,
		OnReject:           evict,
	})
	if err != nil {
		return nil, fmt.Errorf("ristretto: %w", err)
	}
	return o, nil
}

// put takes a coin that it does not hold.
func (o *older) put(k *key, a *Answer) {
	record, ok := appendRecord(o.record[:0], k, a)
	o.record = record
	if !ok || !o.append(k, record) {
		o.lost++
		return
	}
	o.coins++
}

// append adds a record to the open page, or to a new one. It fails when the
// budget has no room for a page that the record fits.
func (o *older) append(k *key, record []byte) bool {
	id, size := o.open, o.pageSize
	switch {
	case len(record) > size:
		if id = o.newPage(len(record)); id == 0 {
			return false
		}
	case id == 0 || !o.pages[id].fits(len(record)):
		if id = o.newPage(size); id == 0 {
			return false
		}
		o.open = id
	}
	o.added.put(o.hasher.of(k), pageRef(id, o.pages[id].add(record)))
	return true
}

// newPage returns the id of a new page; 0 when the budget has no room for it, or
// there are more pages than a ref can tell apart: more than 64 GiB.
func (o *older) newPage(size int) uint64 {
	if pageCost(size) > o.budget || o.names.last+1 == maxPages {
		return 0
	}
	o.lastNumber++
	p := newPage(o.lastNumber, size)
	id := o.names.take()
	if id == uint64(len(o.pages)) {
		o.pages = append(o.pages, nil)
	}
	o.pages[id] = p
	o.fresh = append(o.fresh, id)
	o.bytes += p.cost
	o.indexed += p.indexed()
	return id
}

// kill drops the coin at ref as of epoch.
func (o *older) kill(ref uint64, epoch uint32) {
	id, offset := pageOf(ref)
	o.pages[id].kill(offset, epoch)
	o.coins--
	o.holey = append(o.holey, id)
}

// settle ends a change: it moves what is left on pages that have a quarter of
// holes, and offers ristretto the new pages.
func (o *older) settle(epoch uint32) {
	slices.Sort(o.holey)
	for _, id := range slices.Compact(o.holey) {
		if p := o.pages[id]; p != nil && id != o.open && 4*p.liveBytes < 3*len(p.buf) {
			o.move(id, epoch)
		}
	}
	o.holey = o.holey[:0]
	o.wait() // for pages that moved
	o.tell()
	for _, id := range o.fresh {
		o.offer(id)
	}
	o.fresh = o.fresh[:0]
}

// move adds the coins of a page anew, and drops the page.
func (o *older) move(id uint64, epoch uint32) {
	p := o.pages[id]
	for offset, record := range p.records {
		if !p.has(offset, epoch) {
			continue
		}
		p.kill(offset, epoch)
		if !o.append((*key)(record), record) {
			o.coins--
			o.lost++
		}
	}
	o.cache.Del(p.number)
	o.drop(id)
}

// drop takes a page out of the next view.
func (o *older) drop(id uint64) {
	p := o.pages[id]
	o.bytes -= p.cost
	o.indexed -= p.indexed()
	o.coins -= p.live
	o.lost += uint64(p.live)
	o.pages[id] = nil
	o.names.release(id)
	if id == o.open {
		o.open = 0
	}
}

// tell gives ristretto the hits of all pages, and new pages their credit.
func (o *older) tell() {
	for _, p := range o.pages {
		if p != nil {
			o.hit(p.number, min(int(p.hits.Swap(0)), stripe))
		}
	}
	for _, id := range o.fresh {
		o.hit(o.pages[id].number, credit)
	}
}

func (o *older) hit(number uint64, n int) {
	for range n {
		o.cache.Get(number)
	}
}

// offer gives ristretto a page, and drops what it then has no room for.
func (o *older) offer(id uint64) {
	p := o.pages[id]
	for try := 1; ; try++ {
		// Ristretto drops a Set that finds its buffer full. There is never
		// more than one.
		if !o.cache.Set(p.number, id, p.cost) {
			o.evicted = append(o.evicted, id)
		}
		again := false
		for _, gone := range o.wait() {
			if gone == id && try < offers {
				again = true
			} else {
				o.drop(gone)
			}
		}
		if !again {
			return
		}
		// The goroutine that counts hits has not heard of this page's.
		o.hit(p.number, stripe)
		runtime.Gosched()
	}
}

// wait waits until ristretto has done what it was told, and returns the ids of
// the pages that it gave up. They are good until the next wait.
func (o *older) wait() []uint64 {
	o.cache.Wait()
	gone := o.evicted
	o.evicted = o.evicted[:0]
	return gone
}

// resize sets the bytes that the pages may take, growth times the first budget
// at most. It evicts nothing: shrink does.
func (o *older) resize(budget int64) {
	o.budget = budget
	o.pageSize = pageSize(budget)
	if o.cache != nil {
		o.cache.UpdateMaxCost(budget)
	}
}

// shrink makes ristretto evict what exceeds the budget: it does so for a key
// that takes no room itself.
func (o *older) shrink() {
	o.tell()
	for try := 0; o.cache.RemainingCost() < 0 && try < 1000; try++ {
		o.lastNumber++
		o.hit(o.lastNumber, stripe)
		runtime.Gosched()
		o.cache.Set(o.lastNumber, 0, 0)
		for _, gone := range o.wait() {
			o.drop(gone)
		}
		o.cache.Del(o.lastNumber)
	}
}

// clear drops everything, and forgets that anything was ever lost. No index may
// have what it held.
func (o *older) clear() {
	o.cache.Clear()
	o.pages, o.names, o.open = make(pages, 1), names{}, 0
	o.added, o.fresh, o.holey, o.evicted = addition{}, nil, nil, nil
	o.coins, o.bytes, o.indexed, o.lost = 0, 0, 0, 0
}

// close ends ristretto's goroutines.
func (o *older) close() {
	o.clear()
	o.cache.Close()
}
