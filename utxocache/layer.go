package utxocache

import "unsafe"

// An entry is what is known of one outpoint after a block of the ring, and what
// its undoing needs. It has room for one coin: the one that is there after the
// block, or else the one that was there before it.
type entry struct {
	value  int64
	height uint32
	script uint32 // where the script begins in the layer's scripts
	size   uint16 // of the script
	flags  flags
	key    key
	_      [8]byte // fill a cache line, so that a look-up waits for one only
}

type flags uint8

const (
	unspent    flags = 1 << iota // the outpoint is Unspent after the block, else Absent
	own                          // an Unspent one rests on our own blocks
	coinbase                     // of the coin that the entry has room for
	created                      // the block created the outpoint
	wasUnspent                   // it was Unspent before the block
	wasAbsent                    // it was Absent before the block
	wasOwn                       // it rested on our own blocks before
)

// A layer is what one block of the ring, or the undoing of others, says of
// outpoints, each at most once. It is immutable once a view has it; the scripts
// of answers lie in it.
type layer struct {
	entries []entry
	scripts []byte
}

// The upper part of a ref is the number of a layer, the lower one of an entry.
const (
	entryBits  = 22
	maxEntries = 1 << entryBits
	maxLayers  = 1 << (refBits - entryBits)
)

// Each block has two layers at most, and the numbers of those that all leave at
// once wait for their turn while others take their place.
const _ = uint(maxLayers - 2*2*(MaxBlocks+2+shards))

// coin returns the coin that e has room for. Its script lies in the layer.
func (l *layer) coin(e *entry) Coin {
	end := e.script + uint32(e.size)
	return Coin{
		Value: e.value, Script: l.scripts[e.script:end:end],
		Height: e.height, Coinbase: e.flags&coinbase != 0,
	}
}

// answer returns what e says of its outpoint after the block.
func (l *layer) answer(e *entry) Answer {
	if e.flags&unspent == 0 {
		return Answer{State: Absent, Own: true}
	}
	return Answer{Coin: l.coin(e), State: Unspent, Own: e.flags&own != 0}
}

// hold puts coin into the room of e, which is of the layer.
func (l *layer) hold(e *entry, coin *Coin) {
	e.value, e.height = coin.Value, coin.Height
	e.script, e.size = uint32(len(l.scripts)), uint16(len(coin.Script))
	l.scripts = append(l.scripts, coin.Script...)
	e.flags &^= coinbase
	if coin.Coinbase {
		e.flags |= coinbase
	}
}

// newLayer returns a layer that says what known does.
func newLayer(known map[key]Answer) *layer {
	scripts := 0
	for _, a := range known {
		scripts += len(a.Coin.Script)
	}
	l := &layer{entries: make([]entry, 0, len(known)), scripts: make([]byte, 0, scripts)}
	for k, a := range known {
		l.entries = append(l.entries, entry{key: k})
		if a.State == Unspent {
			e := &l.entries[len(l.entries)-1]
			l.hold(e, &a.Coin)
			e.flags |= unspent
			if a.Own {
				e.flags |= own
			}
		}
	}
	return l
}

// trim gives memory back that the layer does not need.
func (l *layer) trim() {
	if cap(l.entries)-len(l.entries) > len(l.entries)/16 {
		l.entries = append(make([]entry, 0, len(l.entries)), l.entries...)
	}
	if cap(l.scripts)-len(l.scripts) > len(l.scripts)/16 {
		l.scripts = append(make([]byte, 0, len(l.scripts)), l.scripts...)
	}
}

// bytes returns the memory that the layer takes.
func (l *layer) bytes() int64 {
	if l == nil {
		return 0
	}
	return int64(unsafe.Sizeof(*l)) + int64(cap(l.entries))*int64(unsafe.Sizeof(entry{})) + int64(cap(l.scripts))
}

// layers holds the layers of a view by number, which is the upper part of the
// refs into them.
type layers []*layer

func layerRef(id uint64, i int) uint64 { return id<<entryBits | uint64(i) }

// at returns the entry at ref and its layer; nil when the layer is gone.
func (ls layers) at(ref uint64) (*layer, *entry) {
	l := ls[ref>>entryBits]
	if l == nil {
		return nil, nil
	}
	return l, &l.entries[ref&(maxEntries-1)]
}

func (ls layers) key(ref uint64) *key {
	if _, e := ls.at(ref); e != nil {
		return &e.key
	}
	return nil
}
