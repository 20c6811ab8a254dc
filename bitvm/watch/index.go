package watch

import (
	"encoding/binary"
	"slices"

	"github.com/btcsuite/btcd/wire/v2"
)

// An index finds watched outputs. Nearly no input of a block spends one, so a filter of
// bits comes before the map: 10,000 outputs set a 26th of it, and the rest of the inputs
// is done with after one look at 32 KiB.
type index struct {
	filter  [1 << filterBits / 64]uint64
	outputs map[wire.OutPoint][]place
}

const filterBits = 18

// A place is an output of a track.
type place struct {
	track *track
	slot  int
}

// A hit is a watched output that an input spends.
type hit struct {
	place
	input int
}

// bit returns the place of an outpoint in the filter. Ids are hashes: their bytes are as
// good as random, and whoever grinds them makes the filter useless, not wrong.
func bit(op *wire.OutPoint) uint32 {
	return (binary.LittleEndian.Uint32(op.Hash[:]) ^ op.Index*0x9e3779b1) >> (32 - filterBits)
}

func (x *index) add(op wire.OutPoint, p place) {
	if x.outputs == nil {
		x.outputs = make(map[wire.OutPoint][]place)
	}
	b := bit(&op)
	x.filter[b/64] |= 1 << (b % 64)
	x.outputs[op] = append(x.outputs[op], p)
}

// addTrack adds all outputs of a track, addOutputs those that one sighting made.
func (x *index) addTrack(t *track) {
	for slot := range t.outputs {
		if t.outputs[slot].there {
			x.add(t.outputs[slot].at, place{t, slot})
		}
	}
}

func (x *index) addOutputs(t *track, s *Sighting) {
	if s.Transaction == unknown {
		return
	}
	t.bound.eachOutput(s.Transaction, func(connector, n int) {
		if connector != unknown {
			slot := t.slot(connector, n)
			x.add(t.outputs[slot].at, place{t, slot})
		}
	})
}

// removeTrack removes all outputs of a track. Their bits stay: others may have them.
func (x *index) removeTrack(t *track) {
	for slot := range t.outputs {
		if !t.outputs[slot].there {
			continue
		}
		op := t.outputs[slot].at
		rest := slices.DeleteFunc(x.outputs[op], func(p place) bool { return p.track == t })
		if len(rest) == 0 {
			delete(x.outputs, op)
		} else {
			x.outputs[op] = rest
		}
	}
}

// find appends to hits the watched outputs that a transaction spends, in the order of its
// inputs.
func (x *index) find(tx *wire.MsgTx, hits []hit) []hit {
	for i, in := range tx.TxIn {
		b := bit(&in.PreviousOutPoint)
		if x.filter[b/64]&(1<<(b%64)) == 0 {
			continue
		}
		for _, p := range x.outputs[in.PreviousOutPoint] {
			hits = append(hits, hit{p, i})
		}
	}
	return hits
}
