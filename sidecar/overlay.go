package sidecar

import (
	"bytes"
	"container/list"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// An overlay holds what transactions of the mempool create, up to a bound on its
// memory; the oldest make room. A transaction's id is the hash of its outputs too,
// so that nothing in it can be wrong, however late it learns what has become of the
// transaction.
type overlay struct {
	limit, bytes int64
	order        list.List // of *overlayTx, as they came
	byTxid       map[chainhash.Hash]*list.Element
}

// An overlayTx is a transaction of an overlay.
type overlayTx struct {
	txid    chainhash.Hash
	outputs []wire.TxOut
	bytes   int64
	// verified says that its scripts succeed.
	verified bool
}

const (
	// overlayTxBytes and overlayOutBytes are what a transaction and an output take
	// in memory beside the scripts.
	overlayTxBytes  = 250
	overlayOutBytes = 48
)

func newOverlay(limit int64) *overlay {
	return &overlay{limit: limit, byTxid: make(map[chainhash.Hash]*list.Element)}
}

// put adds what tx creates, of which nothing is kept. One that is larger than the
// bound is left out.
func (o *overlay) put(txid chainhash.Hash, tx *wire.MsgTx) {
	size := int64(overlayTxBytes)
	for _, out := range tx.TxOut {
		size += overlayOutBytes + int64(len(out.PkScript))
	}
	if o.byTxid[txid] != nil || size > o.limit {
		return
	}
	for o.bytes+size > o.limit {
		o.remove(o.order.Front().Value.(*overlayTx).txid)
	}
	t := &overlayTx{txid: txid, bytes: size, outputs: make([]wire.TxOut, len(tx.TxOut))}
	for i, out := range tx.TxOut {
		t.outputs[i] = wire.TxOut{Value: out.Value, PkScript: bytes.Clone(out.PkScript)}
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

// remove takes a transaction out, if it is there.
func (o *overlay) remove(txid chainhash.Hash) {
	if e := o.byTxid[txid]; e != nil {
		o.bytes -= o.order.Remove(e).(*overlayTx).bytes
		delete(o.byTxid, txid)
	}
}
