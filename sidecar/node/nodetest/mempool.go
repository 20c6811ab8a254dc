package nodetest

import (
	"maps"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A mempoolTx is a transaction of the mempool and its place in the order of
// arrival.
type mempoolTx struct {
	msg *wire.MsgTx
	seq int
}

func (b *Tree) putTx(tx *wire.MsgTx) {
	b.arrived++
	b.mempool[tx.TxHash()] = &mempoolTx{tx, b.arrived}
}

// mempoolTxs returns the mempool in the order of arrival, but parents first: a
// reorg puts children back before their parents.
func (b *Tree) mempoolTxs() []*wire.MsgTx {
	var ordered []*wire.MsgTx
	visited := make(map[*mempoolTx]bool)
	var visit func(tx *mempoolTx)
	visit = func(tx *mempoolTx) {
		if tx == nil || visited[tx] {
			return
		}
		visited[tx] = true
		for _, in := range tx.msg.TxIn {
			visit(b.mempool[in.PreviousOutPoint.Hash])
		}
		ordered = append(ordered, tx.msg)
	}
	for _, tx := range slices.SortedFunc(maps.Values(b.mempool), func(x, y *mempoolTx) int { return x.seq - y.seq }) {
		visit(tx)
	}
	return ordered
}

// AddTxs puts n new transactions into the mempool and returns their ids. Each
// spends the oldest coin that can be spent, be it of the chain or of the
// mempool; there must be one, so a chain of 100 blocks is the least.
func (b *Tree) AddTxs(n int) []chainhash.Hash {
	b.mu.Lock()
	defer b.mu.Unlock()
	free := b.freeCoins()
	txids := make([]chainhash.Hash, 0, n)
	for range n {
		if len(free) == 0 {
			panic("nodetest: no coin to spend: mine 100 blocks first")
		}
		tx := spend(free[0])
		free = append(free[1:], outputs(tx)...)
		txids = append(txids, b.accept(tx))
	}
	return txids
}

// AddTx puts a transaction of the test's own into the mempool, unchecked. When
// it spends what does not exist, the next change of the chain or of the mempool
// takes it out again.
func (b *Tree) AddTx(tx *wire.MsgTx) chainhash.Hash {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accept(tx)
}

func (b *Tree) accept(tx *wire.MsgTx) chainhash.Hash {
	b.putTx(tx)
	b.told.added(tx)
	return tx.TxHash()
}

// RemoveTx takes a transaction and those that spend from it out of the mempool.
func (b *Tree) RemoveTx(txid chainhash.Hash) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mempool[txid] == nil {
		return
	}
	delete(b.mempool, txid)
	b.told.removed(append([]chainhash.Hash{txid}, b.dropConflicts()...))
}

// dropConflicts takes out of the mempool what the chain no longer allows, and
// returns their ids: transactions whose coin is spent, gone or not yet mature.
func (b *Tree) dropConflicts() (dropped []chainhash.Hash) {
	if len(b.mempool) == 0 {
		return nil
	}
	free := make(map[wire.OutPoint]bool)
	for _, c := range coins(b.best) {
		free[c.op] = true
	}
	for _, tx := range b.mempoolTxs() {
		txid := tx.TxHash()
		ok := true
		for _, in := range tx.TxIn {
			ok = ok && free[in.PreviousOutPoint]
			delete(free, in.PreviousOutPoint)
		}
		if !ok {
			delete(b.mempool, txid)
			dropped = append(dropped, txid)
			continue
		}
		for n := range tx.TxOut {
			free[wire.OutPoint{Hash: txid, Index: uint32(n)}] = true
		}
	}
	return dropped
}

// freeCoins returns the coins of the chain and the mempool that no transaction
// of the mempool spends, oldest first.
func (b *Tree) freeCoins() []coin {
	free := coins(b.best)
	spent := make(map[wire.OutPoint]bool)
	for _, tx := range b.mempoolTxs() {
		for _, in := range tx.TxIn {
			spent[in.PreviousOutPoint] = true
		}
		free = append(free, outputs(tx)...)
	}
	return slices.DeleteFunc(free, func(c coin) bool { return spent[c.op] })
}

// outputs returns the coins that a transaction makes.
func outputs(tx *wire.MsgTx) []coin {
	txid := tx.TxHash()
	var made []coin
	for n, out := range tx.TxOut {
		if out.Value > 10*txFee {
			made = append(made, coin{wire.OutPoint{Hash: txid, Index: uint32(n)}, out.Value})
		}
	}
	return made
}
