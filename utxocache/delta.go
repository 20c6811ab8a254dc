package utxocache

import (
	"bytes"
	"fmt"

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

// A delta is one block of the ring: what it changed and how to undo it. It is
// immutable once a view has it.
type delta struct {
	tip Tip
	// layer is what the block changed, an entry for each outpoint, all its
	// transactions together. The floor has none.
	layer *layer
	id    uint64 // of layer
	// overwrote holds the coins that were there before the block where layer's
	// entry has another one, by the entry's place.
	overwrote map[int]Answer
	// repeats says that the block may have overwritten unspent coins.
	repeats bool
	// carried is what blocks that were disconnected left to this one; it
	// overrides layer. It may be nil.
	carried   *layer
	carriedID uint64
}

func newDelta(tip Tip) *delta { return &delta{tip: tip, repeats: repeatsCoinbase(tip.Hash)} }

// before returns what was known before the block of the outpoint of entry i.
// complete says that the cache knows of every coin.
func (d *delta) before(i int, complete bool) Answer {
	if a, ok := d.overwrote[i]; ok {
		return a
	}
	switch e := &d.layer.entries[i]; {
	case e.flags&wasUnspent != 0:
		return Answer{Coin: d.layer.coin(e), State: Unspent, Own: e.flags&wasOwn != 0}
	case e.flags&wasAbsent != 0, e.flags&created != 0 && (complete || !d.repeats):
		return Answer{State: Absent, Own: true}
	}
	return Answer{}
}

// bytes returns the memory that the delta takes, but for what it overwrote.
func (d *delta) bytes() int64 { return d.layer.bytes() + d.carried.bytes() }

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
	// look returns what is known before the block.
	look func(*key) found
	// touched is the place in the layer of each outpoint's entry.
	touched map[key]int
	// spent are the places below the ring of coins that the block spent or
	// overwrote.
	spent []uint64
	// coins is by how many the block changes the coins of the ring.
	coins int
}

// connect returns what b changes on top of what look knows.
func connect(b *Block, look func(*key) found) (*connection, error) {
	if len(b.Txs) == 0 || len(b.Txids) != len(b.Txs) {
		return nil, fmt.Errorf("%d transactions, %d ids", len(b.Txs), len(b.Txids))
	}
	var most, scripts int
	for _, tx := range b.Txs {
		most += len(tx.TxIn) + len(tx.TxOut)
		for _, out := range tx.TxOut {
			scripts += len(out.PkScript)
		}
	}
	if most > maxEntries {
		return nil, fmt.Errorf("%d inputs and outputs", most)
	}
	c := &connection{delta: newDelta(b.Tip), look: look, touched: make(map[key]int, most)}
	c.delta.layer = &layer{entries: make([]entry, 0, most), scripts: make([]byte, 0, scripts)}
	for i, tx := range b.Txs {
		if i > 0 {
			for j, in := range tx.TxIn {
				if !c.spend(keyOf(&in.PreviousOutPoint)) {
					return nil, fmt.Errorf("transaction %d input %d: %w: %s", i, j, ErrAbsent, in.PreviousOutPoint)
				}
			}
		}
		for j, out := range tx.TxOut {
			if !unspendable(out.PkScript) {
				c.create(keyOf(&wire.OutPoint{Hash: b.Txids[i], Index: uint32(j)}),
					&Coin{Value: out.Value, Script: out.PkScript, Height: b.Height, Coinbase: i == 0})
			}
		}
	}
	c.delta.layer.trim()
	return c, nil
}

// spend reports whether k can be spent: whether it is not certainly Absent.
func (c *connection) spend(k key) bool {
	if i, ok := c.touched[k]; ok {
		e := &c.delta.layer.entries[i]
		if e.flags&unspent == 0 {
			return false
		}
		e.flags &^= unspent | own
		c.coins--
		return true
	}
	f := c.look(&k)
	if f.State == Absent {
		return false
	}
	c.touch(k, &f)
	return true
}

// create makes coin the coin of k, in place of one that there was.
func (c *connection) create(k key, coin *Coin) {
	i, ok := c.touched[k]
	if !ok {
		f := c.look(&k)
		i = c.touch(k, &f)
	}
	l := c.delta.layer
	e := &l.entries[i]
	if e.flags&unspent == 0 {
		c.coins++
	}
	if _, kept := c.delta.overwrote[i]; e.flags&wasUnspent != 0 && !kept {
		before := c.delta.before(i, false)
		before.Coin.Script = bytes.Clone(before.Coin.Script)
		if c.delta.overwrote == nil {
			c.delta.overwrote = make(map[int]Answer)
		}
		c.delta.overwrote[i] = before
	}
	l.hold(e, coin)
	e.flags |= unspent | own | created
}

// touch adds an entry that says that k is Absent now, and was f. It returns the
// entry's place.
func (c *connection) touch(k key, f *found) int {
	l := c.delta.layer
	i := len(l.entries)
	l.entries = append(l.entries, entry{key: k})
	c.touched[k] = i
	e := &l.entries[i]
	switch {
	case f.State == Unspent:
		l.hold(e, &f.Coin)
		e.flags |= wasUnspent
		if f.Own {
			e.flags |= wasOwn
		}
		if f.ring {
			c.coins--
		} else {
			c.spent = append(c.spent, f.ref)
		}
	case f.State == Absent && f.ring:
		e.flags |= wasAbsent
	}
	return i
}
