package utxocache

import (
	"sync/atomic"

	"github.com/outrider-project/outrider/utxocache/corefile"
)

// A page holds coins from below the ring that left it at about the same time.
// It is written at its end only, where no view reads: a view's refs name
// records that were there when it was made. Its memory is never used again, so
// that the scripts of answers can lie in it.
//
// A coin that is spent stays until the page goes, and dies: as of an epoch, so
// that older views still have it.
type page struct {
	// number is the page's key in ristretto. No two pages ever have the same.
	number uint64
	buf    []byte
	// dead has a bit for each place, set once the record there is dead as of
	// the epoch in died.
	dead [largestPage / place / 64]atomic.Uint64
	died []atomic.Uint32
	// hits counts look-ups, one in hitSample, until ristretto hears of them.
	hits atomic.Uint32

	// What follows is the writer's only.
	used            int // of buf
	live, liveBytes int // records that have not died
	cost            int64
}

// These are the sizes of pages. A record that is larger than a page has one of
// its own.
const (
	largestPage  = 1 << offsetBits
	smallestPage = 256
	offsetBits   = 13 // the lower part of a ref; the upper is the page's
	maxPages     = 1 << (refBits - offsetBits)
	// place is the least number of bytes from the beginning of a record to
	// that of the next, which are zero where it is shorter.
	place = 64
)

// pageOverhead is the memory of a page beside its slices: the page itself, its
// places in two tables, and what ristretto takes for one key. TestCoinBytes
// measures it.
const pageOverhead = 320

// indexBytes is the memory of a record in the index, at the load of its tables.
const indexBytes = 12

// hitSample is how many look-ups stand for one hit of ristretto's. The hash
// decides which, so that no look-up draws a number.
const hitSample = 4

// placesIn returns how many records a page of size bytes has room for. One that
// is larger than the largest has one record.
func placesIn(size int) int {
	if size > largestPage {
		return 1
	}
	return max(size/place, 1)
}

// pageCost returns the memory of a page with size bytes, and of what finds its
// records.
func pageCost(size int) int64 {
	return int64(size) + int64(placesIn(size))*(4+indexBytes) + pageOverhead
}

// pageSize returns the size of pages where they may take budget bytes in all:
// so that there are many of them, for ristretto takes or leaves a whole one.
func pageSize(budget int64) int {
	size := largestPage
	for size > smallestPage && pageCost(size) > budget/64 {
		size /= 2
	}
	return size
}

func newPage(number uint64, size int) *page {
	return &page{
		number: number, buf: make([]byte, size),
		died: make([]atomic.Uint32, placesIn(size)), cost: pageCost(size),
	}
}

// indexed returns what of the page's cost is for the index.
func (p *page) indexed() int64 { return int64(len(p.died)) * indexBytes }

// fits reports whether a record of size bytes fits the page.
func (p *page) fits(size int) bool {
	return p.used/place < len(p.died) && p.used+size <= len(p.buf)
}

// add appends a record, which fits, and returns where it begins.
func (p *page) add(record []byte) (offset int) {
	offset = p.used
	copy(p.buf[offset:], record)
	p.used += max(len(record), place)
	p.live++
	p.liveBytes += max(len(record), place)
	return offset
}

// records yields the record at each offset, dead ones too.
func (p *page) records(yield func(offset int, record []byte) bool) {
	for offset := 0; offset < p.used; {
		_, size := decodeRecord(p.buf[offset:])
		if !yield(offset, p.buf[offset:offset+size]) {
			return
		}
		offset += max(size, place)
	}
}

// kill says that the record at offset is gone as of epoch.
func (p *page) kill(offset int, epoch uint32) {
	_, size := decodeRecord(p.buf[offset:])
	i := offset / place
	p.died[i].Store(epoch)
	p.dead[i/64].Or(1 << (i % 64))
	p.live--
	p.liveBytes -= max(size, place)
}

// has reports whether the record at offset is there as of epoch.
func (p *page) has(offset int, epoch uint32) bool {
	i := offset / place
	return p.dead[i/64].Load()&(1<<(i%64)) == 0 || p.died[i].Load() > epoch
}

// A record is the key, then as VARINTs of Bitcoin Core's serialize.h
// 2·height + coinbase, the compressed amount, and 2·size of the script + own,
// then the script. This is Bitcoin Core's coin.h but for the script, which is
// as it is: an answer refers to it and copies nothing. The compressed form of
// common scripts is three bytes shorter at most; that of an uncompressed key
// takes a square root to undo.

// appendRecord appends the record of k's coin a to dst; false when the coin's
// value or script is none that a coin can have, and dst then is as it was.
func appendRecord(dst []byte, k *key, a *Answer) ([]byte, bool) {
	c := &a.Coin
	if c.Value < 0 || c.Value > corefile.MaxMoney || len(c.Script) > maxScriptSize {
		return dst, false
	}
	dst = append(dst, k[:]...)
	dst = corefile.AppendVarInt(dst, uint64(c.Height)<<1|bit(c.Coinbase))
	dst = corefile.AppendVarInt(dst, corefile.CompressAmount(c.Value))
	dst = corefile.AppendVarInt(dst, uint64(len(c.Script))<<1|bit(a.Own))
	return append(dst, c.Script...), true
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// decodeRecord returns the answer of the record at the start of b, after its
// key, and the record's size. The script lies in b. b is appendRecord's; of
// other bytes the answer is Unknown and the size 0, or they happen to be a
// record.
func decodeRecord(b []byte) (a Answer, size int) {
	if len(b) < len(key{}) {
		return Answer{}, 0
	}
	size = len(key{})
	var numbers [3]uint64
	for i := range numbers {
		n, width, err := corefile.DecodeVarInt(b[size:])
		if err != nil {
			return Answer{}, 0
		}
		numbers[i] = n
		size += width
	}
	value, err := corefile.DecompressAmount(numbers[1])
	script := numbers[2] >> 1
	if err != nil || numbers[0]>>33 != 0 || script > min(uint64(len(b)-size), maxScriptSize) {
		return Answer{}, 0
	}
	end := size + int(script)
	return Answer{
		Coin: Coin{
			Value: value, Script: b[size:end:end],
			Height: uint32(numbers[0] >> 1), Coinbase: numbers[0]&1 != 0,
		},
		State: Unspent, Own: numbers[2]&1 != 0,
	}, end
}

// pages holds the pages of a view by number, which is the upper part of the refs
// into them.
type pages []*page

func pageRef(id uint64, offset int) uint64 { return id<<offsetBits | uint64(offset) }

// pageOf returns the number of the page that ref names, and the place in it.
func pageOf(ref uint64) (id uint64, offset int) {
	return ref >> offsetBits, int(ref & (1<<offsetBits - 1))
}

// at returns the page that ref names, and its record to the end of the page; nil
// when the page is gone, or the record was as of epoch.
func (ps pages) at(ref uint64, epoch uint32) (*page, []byte) {
	id, offset := pageOf(ref)
	p := ps[id]
	if p == nil || !p.has(offset, epoch) {
		return nil, nil
	}
	return p, p.buf[offset:]
}

// pageKeys are the keys of the records that are there as of an epoch.
type pageKeys struct {
	pages
	epoch uint32
}

func (ks pageKeys) key(ref uint64) *key {
	p, record := ks.at(ref, ks.epoch)
	if p == nil {
		return nil
	}
	return (*key)(record)
}
