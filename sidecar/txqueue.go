package sidecar

import (
	"container/list"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// A mempoolTx is a transaction that the node has in its mempool.
type mempoolTx struct {
	txid chainhash.Hash
	raw  []byte // serialised; nil if only its id is known
}

// txBytes is what a transaction that waits takes in memory beside its bytes, in a
// list and in maps.
const txBytes = 300

func (t *mempoolTx) bytes() int64 { return txBytes + int64(len(t.raw)) }

// A txQueue holds transactions in the order in which they came, up to a bound on
// their memory.
type txQueue struct {
	limit, bytes int64
	order        list.List // of *mempoolTx
	byTxid       map[chainhash.Hash]*list.Element
}

func newTxQueue(limit int64) *txQueue {
	return &txQueue{limit: limit, byTxid: make(map[chainhash.Hash]*list.Element)}
}

func (q *txQueue) len() int { return q.order.Len() }

// push adds a transaction that is not there yet. It returns false when there is no
// room for it.
func (q *txQueue) push(tx *mempoolTx) bool {
	if q.byTxid[tx.txid] != nil {
		return true
	}
	if q.bytes+tx.bytes() > q.limit {
		return false
	}
	q.bytes += tx.bytes()
	q.byTxid[tx.txid] = q.order.PushBack(tx)
	return true
}

// pop takes the first transaction; nil when there is none.
func (q *txQueue) pop() *mempoolTx {
	e := q.order.Front()
	if e == nil {
		return nil
	}
	return q.take(e)
}

// remove takes a transaction out, if it is there.
func (q *txQueue) remove(txid chainhash.Hash) {
	if e := q.byTxid[txid]; e != nil {
		q.take(e)
	}
}

func (q *txQueue) take(e *list.Element) *mempoolTx {
	tx := q.order.Remove(e).(*mempoolTx)
	delete(q.byTxid, tx.txid)
	q.bytes -= tx.bytes()
	return tx
}
