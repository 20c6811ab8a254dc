package sidecar

import (
	"bytes"
	"container/list"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// An overlay holds what transactions of the mempool create and spend, up to a bound
// on its memory; the oldest make room. A transaction's id is the hash of its inputs
// and outputs, so that nothing in it can be wrong, however late it learns what has
// become of the transaction.
type overlay struct {
	limit, bytes int64
	order        list.List // of *overlayTx, as they came
	byTxid       map[chainhash.Hash]*list.Element
	// spends holds what the transactions spend. Two may spend one coin while one
	// replaces the other.
	spends map[wire.OutPoint]int
	// missing holds the transactions of the mempool that are not here. More than
	// maxMissing are not counted: then many is true for good.
	missing map[chainhash.Hash]struct{}
	many    bool

	// A transaction may leave because a block that is still on its way takes its
	// place, or comes back when one leaves the chain. For a while it is not sure what
	// becomes of what it touched: left holds such transactions, the oldest first, and
	// unsure what they touched. Until blind nothing is sure.
	left   []leaving
	unsure map[wire.OutPoint]int
	gone   map[chainhash.Hash]int
	blind  time.Time
}

// A leaving is a transaction that left the mempool, and when.
type leaving struct {
	at time.Time
	tx *overlayTx
}

const (
	// settling is for how long what a transaction touched is not sure.
	settling = 5 * time.Second
	// maxLeft bounds overlay.left.
	maxLeft = 4096
)

// maxMissing bounds overlay.missing: some 20 MB, and more transactions than a
// mempool of the default size holds.
const maxMissing = 400_000

// An overlayTx is a transaction of an overlay.
type overlayTx struct {
	txid    chainhash.Hash
	inputs  []wire.OutPoint
	outputs []wire.TxOut
	bytes   int64
	// verified says that its scripts succeed.
	verified bool
}

const (
	// overlayTxBytes, overlayInBytes and overlayOutBytes are what a transaction, an
	// input and an output take in memory beside the scripts.
	overlayTxBytes  = 250
	overlayInBytes  = 130
	overlayOutBytes = 48
)

func newOverlay(limit int64) *overlay {
	return &overlay{
		limit: limit, byTxid: make(map[chainhash.Hash]*list.Element),
		spends: make(map[wire.OutPoint]int), missing: make(map[chainhash.Hash]struct{}),
		unsure: make(map[wire.OutPoint]int), gone: make(map[chainhash.Hash]int),
	}
}

// expect notes that a transaction is in the mempool.
func (o *overlay) expect(txid chainhash.Hash) {
	if o.byTxid[txid] != nil {
		return
	}
	if len(o.missing) >= maxMissing {
		o.many = true
		return
	}
	o.missing[txid] = struct{}{}
}

// whole reports whether all of the mempool is here.
func (o *overlay) whole() bool { return len(o.missing) == 0 && !o.many }

// put adds what tx creates and spends; nothing of tx is kept. One that is not
// expected, and one that is larger than the bound, is left out.
func (o *overlay) put(txid chainhash.Hash, tx *wire.MsgTx) {
	size := overlayTxBytes + overlayInBytes*int64(len(tx.TxIn))
	for _, out := range tx.TxOut {
		size += overlayOutBytes + int64(len(out.PkScript))
	}
	if _, ok := o.missing[txid]; !ok && !o.many || o.byTxid[txid] != nil || size > o.limit {
		return
	}
	for o.bytes+size > o.limit {
		oldest := o.order.Front().Value.(*overlayTx).txid
		o.remove(oldest)
		o.expect(oldest)
	}
	delete(o.missing, txid)
	t := &overlayTx{txid: txid, bytes: size, outputs: make([]wire.TxOut, len(tx.TxOut))}
	for i, out := range tx.TxOut {
		t.outputs[i] = wire.TxOut{Value: out.Value, PkScript: bytes.Clone(out.PkScript)}
	}
	for _, in := range tx.TxIn {
		t.inputs = append(t.inputs, in.PreviousOutPoint)
		o.spends[in.PreviousOutPoint]++
	}
	o.bytes += size
	o.byTxid[txid] = o.order.PushBack(t)
}

// get returns a transaction; nil when it is not there.
func (o *overlay) get(txid chainhash.Hash) *overlayTx {
	if e := o.byTxid[txid]; e != nil {
		return e.Value.(*overlayTx)
	}
	return nil
}

// output returns what op refers to; false when it is not there.
func (o *overlay) output(op wire.OutPoint) (wire.TxOut, bool) {
	t := o.get(op.Hash)
	if t == nil || uint64(op.Index) >= uint64(len(t.outputs)) {
		return wire.TxOut{}, false
	}
	return t.outputs[op.Index], true
}

// remove takes a transaction out, if it is there: it has left the mempool.
func (o *overlay) remove(txid chainhash.Hash) {
	delete(o.missing, txid)
	e := o.byTxid[txid]
	if e == nil {
		return
	}
	t := o.order.Remove(e).(*overlayTx)
	o.bytes -= t.bytes
	delete(o.byTxid, txid)
	for _, op := range t.inputs {
		release(o.spends, op)
	}
}

// leave takes a transaction out of which nobody has said what becomes of it.
func (o *overlay) leave(txid chainhash.Hash, now time.Time) {
	t := o.get(txid)
	o.remove(txid)
	o.settle(now)
	if t == nil || len(o.left) == maxLeft {
		o.doubt(now)
		return
	}
	o.left = append(o.left, leaving{now, t})
	o.gone[txid]++
	for _, op := range t.inputs {
		o.unsure[op]++
	}
}

// doubt makes nothing sure for a while.
func (o *overlay) doubt(now time.Time) { o.blind = now.Add(settling) }

// settle forgets what has had its time.
func (o *overlay) settle(now time.Time) {
	n := 0
	for n < len(o.left) && now.Sub(o.left[n].at) > settling {
		t := o.left[n].tx
		release(o.gone, t.txid)
		for _, op := range t.inputs {
			release(o.unsure, op)
		}
		n++
	}
	o.left = slices.Delete(o.left, 0, n)
}

// release takes one from the count of k.
func release[K comparable](counts map[K]int, k K) {
	if counts[k]--; counts[k] <= 0 {
		delete(counts, k)
	}
}

// A pending is what the mempool says of an outpoint.
type pending int

const (
	pendingNothing pending = iota // it neither makes nor spends it
	pendingMade                   // it makes it, and does not spend it
	pendingGone                   // it spends it, or its transaction has no such output
	pendingUnknown                // it is not known whole, so that nobody can say
)

// look returns what the mempool says of op, and the output if it makes it.
func (o *overlay) look(op wire.OutPoint, now time.Time) (pending, wire.TxOut) {
	o.settle(now)
	switch t := o.get(op.Hash); {
	case o.many, now.Before(o.blind), o.unsure[op] > 0, o.gone[op.Hash] > 0: // some may have left
		return pendingUnknown, wire.TxOut{}
	case o.spends[op] > 0:
		return pendingGone, wire.TxOut{}
	case !o.whole():
		return pendingUnknown, wire.TxOut{}
	case t == nil:
		return pendingNothing, wire.TxOut{}
	case uint64(op.Index) >= uint64(len(t.outputs)):
		return pendingGone, wire.TxOut{}
	default:
		return pendingMade, t.outputs[op.Index]
	}
}
