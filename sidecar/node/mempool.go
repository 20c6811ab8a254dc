package node

import (
	"bytes"
	"context"
	"fmt"
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
		if _, late := f.mined[txid]; late {
			continue
		}
		if err := f.add(ctx, txid, raw); err != nil {
			return false, err
		}
	}
	if time.Now().Before(f.resyncDue) {
		return true, nil
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
	list, err := f.node.Mempool(ctx)
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
		if _, late := f.mined[txid]; late {
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
	f.resyncDue = time.Now().Add(f.opt.Resync)
	f.metrics.resyncs.Add(1)
	f.metrics.drift.Add(drift)
	f.update(func(s *FeedStatus) {
		s.Mempool, s.Resyncs, s.Drift = len(f.pool), s.Resyncs+1, s.Drift+drift
	})
	return true, nil
}

// mine takes a connected block's transactions out of the mempool.
func (f *follower) mine(b *blockval.Block) {
	if b == nil {
		return
	}
	f.mined = make(map[chainhash.Hash]struct{}, len(b.Txids))
	for _, txid := range b.Txids {
		f.mined[txid] = struct{}{}
		delete(f.pool, txid)
	}
}
