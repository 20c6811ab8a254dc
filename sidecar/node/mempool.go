package node

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
)

// followMempool gives the transactions that notifications told of, and
// compares the mempool with the node's when that is due. It returns false when
// the chain has moved on and must be followed first.
func (f *follower) followMempool(ctx context.Context, txs [][]byte) (bool, error) {
	for _, raw := range txs {
		var tx wire.MsgTx
		if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
			f.resyncDue = time.Time{}
			continue
		}
		txid := tx.TxHash()
		if f.mined.has(txid) {
			continue // told of late
		}
		if err := f.add(ctx, txid, raw); err != nil {
			return false, err
		}
	}
	if time.Now().Before(f.resyncDue) {
		return true, nil
	}
	if node, ok := f.node.(Sequencer); ok && f.steps.ok {
		return true, f.weigh(ctx, node)
	}
	return f.resync(ctx)
}

// add gives a transaction that is new to the mempool.
func (f *follower) add(ctx context.Context, txid chainhash.Hash, raw []byte) error {
	if _, ok := f.pool[txid]; ok {
		return nil
	}
	f.pool[txid] = struct{}{}
	return f.emit(ctx, MempoolAdded{Txid: txid, Raw: raw})
}

// resync makes the mempool the node's. A list that may be of another tip is
// not used, and resync returns false: what a block has mined would look as if
// it had been thrown out.
func (f *follower) resync(ctx context.Context) (bool, error) {
	snapshot := stepState{asked: time.Now()}
	list, err := f.snapshot(ctx, &snapshot)
	if err != nil {
		return false, fmt.Errorf("ask for the mempool: %w", err)
	}
	best, err := f.node.Tip(ctx)
	if err != nil {
		return false, fmt.Errorf("ask for the tip: %w", err)
	}
	if best != f.tip {
		return false, nil
	}
	theirs := make(map[chainhash.Hash]struct{}, len(list))
	var drift uint64
	for _, txid := range list {
		if f.mined.has(txid) {
			continue // the node has not cleared its mempool yet
		}
		theirs[txid] = struct{}{}
		if _, ok := f.pool[txid]; !ok {
			drift++
		}
		if err := f.add(ctx, txid, nil); err != nil {
			return false, err
		}
	}
	for txid := range f.pool {
		if _, ok := theirs[txid]; ok {
			continue
		}
		drift++
		delete(f.pool, txid)
		if err := f.emit(ctx, MempoolRemoved{Txid: txid}); err != nil {
			return false, err
		}
	}
	f.steps = snapshot
	f.resyncDue = soon(&f.resyncEvery)
	f.metrics.resyncs.Add(1)
	f.metrics.drift.Add(drift)
	f.update(func(s *FeedStatus) {
		s.Sequenced, s.Mempool, s.Resyncs, s.Drift = snapshot.ok, len(f.pool), s.Resyncs+1, s.Drift+drift
	})
	return true, nil
}

// snapshot returns the transactions of the node's mempool. If its
// notifications are steps, st becomes the state from which they go on.
func (f *follower) snapshot(ctx context.Context, st *stepState) ([]chainhash.Hash, error) {
	node, ok := f.node.(Sequencer)
	if !ok || !f.sequenced {
		return f.node.Mempool(ctx)
	}
	list, next, err := node.MempoolAt(ctx)
	st.ok, st.from, st.next = err == nil, next, next
	return list, err
}

// mine takes a connected block's transactions out of the mempool, and returns
// how many were there.
func (f *follower) mine(b *blockval.Block) int {
	if b == nil {
		return 0
	}
	f.mined.push(b.Txids)
	before := len(f.pool)
	for _, txid := range b.Txids {
		delete(f.pool, txid)
	}
	return before - len(f.pool)
}

// minedBlocks is how many blocks a notification of a transaction may come after
// the one that mined it without being taken for news. A node under load sends
// them some blocks late; what comes later still is given as added, and the next
// comparison takes it back.
const minedBlocks = 8

// minedTxs holds the transactions of the last connected blocks, the newest
// block last.
type minedTxs []map[chainhash.Hash]struct{}

func (m *minedTxs) push(txids []chainhash.Hash) {
	block := make(map[chainhash.Hash]struct{}, len(txids))
	for _, txid := range txids {
		block[txid] = struct{}{}
	}
	if len(*m) == minedBlocks {
		*m = slices.Delete(*m, 0, 1)
	}
	*m = append(*m, block)
}

// pop forgets the newest block: its transactions may enter the mempool again.
func (m *minedTxs) pop() {
	if len(*m) > 0 {
		*m = slices.Delete(*m, len(*m)-1, len(*m))
	}
}

func (m minedTxs) has(txid chainhash.Hash) bool {
	for _, block := range m {
		if _, ok := block[txid]; ok {
			return true
		}
	}
	return false
}
