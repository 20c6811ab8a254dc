package utxocache

import "unsafe"

// An Event is what happened to an outpoint.
type Event uint8

// These are the events. The first four are look-ups, by where they ended.
const (
	FoundInRing  Event = iota // the coin was in the ring
	FoundInPages              // the coin was below it
	FoundAbsent               // it was certain that there is no such coin
	NotFound                  // the cache could not say
	Created                   // a block that was applied created the coin
	Spent                     // a block that was applied spent the coin
)

// String returns the event in words.
func (e Event) String() string {
	names := [...]string{"found in the ring", "found in the pages", "found absent", "not found", "created", "spent"}
	if int(e) < len(names) {
		return names[e]
	}
	return "no event"
}

// SampleShift is the logarithm of the share of outpoints that are in the sample:
// one in 16 of them, always the same ones. What holds n coins of all is to the
// sample as large as one of n >> SampleShift, so that a miss ratio by size of the
// one is that of the other (SHARDS: Waldspurger et al., FAST 2015).
const SampleShift = 4

// A Reference is one event of an outpoint in the sample.
//
// The events of an outpoint come in order, but for look-ups that go on beside a
// change. A coin that a block both creates and spends has none, and neither has
// one that Remember tells of: its look-up came before. What a Disconnect brings
// back is left out. So the references to count, for how much a larger cache would
// find, are Created and the look-ups; from Spent on a coin needs no room.
type Reference struct {
	// Hash stands for the outpoint as long as the cache lives. Nobody outside can
	// choose outpoints by it, for its seed is secret.
	Hash  uint64
	Event Event
	// Bytes is the memory that the coin takes where it was found or created, as
	// accounted; 0 for other events.
	Bytes int
	// Age is how many blocks the tip is above the one that created the coin; 0
	// where no coin was found.
	Age uint32
}

// sampled reports whether the outpoint with a hash is in the sample. The bits are
// others than those of its place in an index, and of hitSample.
func sampled(hash uint64) bool { return hash>>2&(1<<SampleShift-1) == 0 }

// observe records a look-up in v of an outpoint in the sample.
func (p *instruments) observe(v *view, hash uint64, a *Answer, at where) {
	r := Reference{Hash: hash, Event: Event(at.tier)}
	if a.State == Unspent {
		r.Age = v.ring[len(v.ring)-1].tip.Height - a.Coin.Height
		p.ages[at.tier][ageOf(r.Age)].Add(1 << SampleShift)
	}
	if p.refer == nil {
		return
	}
	switch at.tier {
	case tierRing:
		r.Bytes = ringBytes(&a.Coin)
	case tierRistretto:
		_, record := v.pages.at(at.ref, v.epoch)
		_, size := decodeRecord(record)
		r.Bytes = max(size, place) + 4 + indexBytes
	}
	p.refer(r)
}

// ringBytes returns the memory of a coin in the ring.
func ringBytes(c *Coin) int { return int(unsafe.Sizeof(entry{})) + len(c.Script) + indexBytes }

// referTo records what a block that was applied did to outpoints in the sample.
func (p *instruments) referTo(d *delta, h *hasher) {
	if p.refer == nil {
		return
	}
	for i := range d.layer.entries {
		e := &d.layer.entries[i]
		hash := h.of(&e.key)
		if !sampled(hash) {
			continue
		}
		switch {
		case e.flags&unspent != 0:
			c := d.layer.coin(e)
			p.refer(Reference{Hash: hash, Event: Created, Bytes: ringBytes(&c)})
		case e.flags&created == 0:
			p.refer(Reference{Hash: hash, Event: Spent})
		}
	}
}
