package utxocache

import (
	"bytes"
	"fmt"
	"unsafe"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A Block is a block as the cache reads it. The cache keeps nothing of it.
type Block struct {
	Tip
	// Prev is the hash of the block before it.
	Prev chainhash.Hash
	// Txids holds the id of each transaction of Txs.
	Txids []chainhash.Hash
	// Txs holds the transactions in block order, the coinbase first.
	Txs []*wire.MsgTx
}

// follows returns an error unless b is the block after tip; one that wraps
// ErrTip if it follows another.
func (b *Block) follows(tip Tip) error {
	if b.Prev != tip.Hash {
		return fmt.Errorf("%w: at %s, the block follows %s", ErrTip, tip, b.Prev)
	}
	if b.Height != tip.Height+1 {
		return fmt.Errorf("its height does not follow %d", tip.Height)
	}
	return nil
}

// A record is what is known of one outpoint. Once readers can see it, only
// keeper changes, which they do not read.
type record struct {
	coin Coin
	// keeper is the delta that lists the record, nil outside the ring.
	keeper *delta
	// op is not set in a delta's gone, which stands for many outpoints.
	op    wire.OutPoint
	state State
	own   bool
}

// answer returns what the record says; nil says Unknown.
func (r *record) answer() Answer {
	if r == nil {
		return Answer{}
	}
	return Answer{Coin: r.coin, State: r.state, Own: r.own}
}

// shared reports whether r is the gone of a delta.
func (r *record) shared() bool { return r.keeper != nil && r == &r.keeper.gone }

// kept reports whether a delta that is still in the ring lists the record.
func (r *record) kept() bool {
	return r != nil && r.keeper != nil && !r.keeper.settled
}

// coins returns 1 for a coin in the ring, else 0.
func (r *record) coins() int {
	if r != nil && r.state == Unspent && r.keeper != nil {
		return 1
	}
	return 0
}

// recordBytes is a record's size class.
const recordBytes = 96

// bytes returns the memory that the record takes.
func (r *record) bytes() int64 {
	if r == nil || r.shared() {
		return 0
	}
	return recordBytes + sizeClass(len(r.coin.Script))
}

// sizeClass returns what the allocator takes for n bytes, as far as scripts
// are of common lengths.
func sizeClass(n int) int64 {
	if n <= 32 {
		return int64(n+7) &^ 7
	}
	return int64(n+15) &^ 15
}

// A change is what a block did to one outpoint, all its transactions together.
type change struct {
	// now is what is known after the block: a record of the block's own
	// output, or the block's gone.
	now *record
	// prior is what was known before it; nil where nothing was and the block
	// created the output. A spent coin that was not known has a record that
	// says Unknown.
	prior *record
}

// op returns the outpoint that changed.
func (ch change) op() wire.OutPoint {
	if ch.now.shared() {
		return ch.prior.op
	}
	return ch.now.op
}

// before returns what was known before the block d; nil for nothing. complete
// says that the cache knows of every coin.
func (ch change) before(d *delta, complete bool) *record {
	switch {
	case ch.prior == nil && d.repeats && !complete:
		return nil
	case ch.prior == nil:
		return &record{op: ch.op(), state: Absent, own: true}
	case ch.prior.state == Unknown:
		return nil
	}
	return ch.prior
}

// A delta is one block of the ring: what it changed and how to undo it.
type delta struct {
	tip     Tip
	changes []change
	// carried lists records of the ring that no change of a block in it made:
	// disconnected blocks left them here.
	carried []*record
	// gone is the record of every coin that the block spent, other than its
	// own.
	gone record
	// repeats says that the block may have overwritten unspent coins.
	repeats bool
	// settled says that the delta has left the ring.
	settled bool
	// records is the memory of the records that the delta answers for: those
	// that it lists and no later delta has as prior, and its own priors.
	records int64
}

func newDelta(tip Tip) *delta {
	d := &delta{tip: tip, repeats: repeatsCoinbase(tip.Hash)}
	d.gone = record{state: Absent, own: true, keeper: d}
	return d
}

// carry makes d the keeper of r.
func (d *delta) carry(r *record) {
	r.keeper = d
	d.carried = append(d.carried, r)
	d.records += r.bytes()
}

// bytes returns the memory that the delta takes.
func (d *delta) bytes() int64 {
	return d.records + int64(cap(d.changes))*int64(unsafe.Sizeof(change{})) +
		int64(cap(d.carried))*int64(unsafe.Sizeof(&record{}))
}

// repeatsCoinbase reports whether the block is one of the two that BIP30
// exempts: their coinbases overwrite unspent coins (Bitcoin Core's
// IsBIP30Repeat).
func repeatsCoinbase(hash chainhash.Hash) bool {
	switch hash.String() {
	case "00000000000a4d0a398161ffc163c503763b1f4360639393e0e4c8e300e0caec", // 91842
		"00000000000743f190a18c5577a3c2d2a1f610ae9601ac046a38084ccb7cd721": // 91880
		return true
	}
	return false
}

// A connection plays a block on top of what is known, and changes nothing else.
type connection struct {
	delta *delta
	// look returns what is known before the block, or nil.
	look func(wire.OutPoint) *record
	// complete says that an outpoint of which look knows nothing is Absent.
	complete bool
	// touched is the index in delta.changes of each outpoint's change.
	touched map[wire.OutPoint]int
}

// connect returns what b changes on top of what look knows.
func connect(b *Block, look func(wire.OutPoint) *record, complete bool) (*delta, error) {
	if len(b.Txs) == 0 || len(b.Txids) != len(b.Txs) {
		return nil, fmt.Errorf("%d transactions, %d ids", len(b.Txs), len(b.Txids))
	}
	var most int
	for _, tx := range b.Txs {
		most += len(tx.TxIn) + len(tx.TxOut)
	}
	d := newDelta(b.Tip)
	d.changes = make([]change, 0, most)
	c := connection{delta: d, look: look, complete: complete, touched: make(map[wire.OutPoint]int, most)}
	for i, tx := range b.Txs {
		coinbase := i == 0
		if !coinbase {
			for j, in := range tx.TxIn {
				if !c.spend(in.PreviousOutPoint) {
					return nil, fmt.Errorf("transaction %d input %d: %w: %s", i, j, ErrAbsent, in.PreviousOutPoint)
				}
			}
		}
		for j, out := range tx.TxOut {
			if !unspendable(out.PkScript) {
				c.create(wire.OutPoint{Hash: b.Txids[i], Index: uint32(j)}, out, coinbase)
			}
		}
	}
	return d, nil
}

// spend reports whether op can be spent: whether it is not certainly Absent.
func (c *connection) spend(op wire.OutPoint) bool {
	if i, ok := c.touched[op]; ok {
		now := c.delta.changes[i].now
		if now.state == Absent {
			return false
		}
		now.coin, now.state = Coin{}, Absent
		return true
	}
	prior := c.look(op)
	switch {
	case prior == nil && c.complete, prior != nil && prior.state == Absent:
		return false
	case prior == nil:
		prior = &record{op: op}
	}
	c.change(op, change{now: &c.delta.gone, prior: prior})
	return true
}

// create makes out a coin, in place of one with the same outpoint.
func (c *connection) create(op wire.OutPoint, out *wire.TxOut, coinbase bool) {
	now := &record{
		coin: Coin{
			Value: out.Value, Script: bytes.Clone(out.PkScript),
			Height: c.delta.tip.Height, Coinbase: coinbase,
		},
		keeper: c.delta,
		op:     op,
		state:  Unspent,
		own:    true,
	}
	if i, ok := c.touched[op]; ok {
		c.delta.changes[i].now = now
		return
	}
	c.change(op, change{now: now, prior: c.look(op)})
}

func (c *connection) change(op wire.OutPoint, ch change) {
	c.touched[op] = len(c.delta.changes)
	c.delta.changes = append(c.delta.changes, ch)
}
