package sidecar

import "github.com/btcsuite/btcd/chainhash/v2"

// An orphanage holds transactions of the mempool that spend outputs of one that is
// not known yet, up to a bound on their memory. The oldest make room.
type orphanage struct {
	txs *txQueue
	// parent is the transaction that each waits for, and children are those that
	// wait for one.
	parent   map[chainhash.Hash]chainhash.Hash
	children map[chainhash.Hash]map[chainhash.Hash]struct{}
}

func newOrphanage(limit int64) *orphanage {
	return &orphanage{
		txs: newTxQueue(limit), parent: make(map[chainhash.Hash]chainhash.Hash),
		children: make(map[chainhash.Hash]map[chainhash.Hash]struct{}),
	}
}

// add lets tx wait for parent. It returns how many had to make room; tx itself
// counts if it is too large.
func (o *orphanage) add(tx *mempoolTx, parent chainhash.Hash) (evicted int) {
	o.remove(tx.txid)
	if tx.bytes() > o.txs.limit {
		return 1
	}
	for !o.txs.push(tx) {
		o.remove(o.txs.order.Front().Value.(*mempoolTx).txid)
		evicted++
	}
	o.parent[tx.txid] = parent
	if o.children[parent] == nil {
		o.children[parent] = make(map[chainhash.Hash]struct{})
	}
	o.children[parent][tx.txid] = struct{}{}
	return evicted
}

// release takes out those that wait for parent, in no order.
func (o *orphanage) release(parent chainhash.Hash) []*mempoolTx {
	var txs []*mempoolTx
	for txid := range o.children[parent] {
		txs = append(txs, o.txs.byTxid[txid].Value.(*mempoolTx))
		o.remove(txid)
	}
	return txs
}

// remove takes a transaction out, if it is there.
func (o *orphanage) remove(txid chainhash.Hash) {
	parent, ok := o.parent[txid]
	if !ok {
		return
	}
	o.txs.remove(txid)
	delete(o.parent, txid)
	delete(o.children[parent], txid)
	if len(o.children[parent]) == 0 {
		delete(o.children, parent)
	}
}
