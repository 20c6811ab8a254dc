package sidecar

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/utxocache/coins"
)

// An early looks coins up that blocks spend whose turn has not come, so that the disk is
// read while others are judged, and they are then in memory: Pebble's, or the system's.
// What it finds decides nothing, and is forgotten: it is as of an earlier block.
type early struct {
	coins *coins.Set
	most  *atomic.Int64 // inputs of a block; 0 looks nothing up
	total *perfcore.Counter
}

func newEarly(set *coins.Set, most *atomic.Int64, rec perfcore.Recorder) *early {
	return &early{set, most, rec.Counter(perfcore.Metric{
		Name: "outrider_coins_early_total", Help: "Coins that were looked up before the turn of the block that spends them.",
	})}
}

// earlyPart is how many coins are looked up between two looks at whether there is still
// a need.
const earlyPart = 1024

// look looks the coins of a block up, if there is a database, until ctx ends.
func (e *early) look(ctx context.Context, b *blockval.Block) {
	most := int(e.most.Load())
	tip, ok := e.coins.Tip()
	if most == 0 || !ok || !e.coins.HasDB() {
		return
	}
	for part := range slices.Chunk(spentOutside(b, most), earlyPart) {
		if ctx.Err() != nil || e.coins.Touch(tip.Hash, part) != nil {
			return // there is another tip by now, or the block's turn will tell
		}
		e.total.Add(uint64(len(part)))
	}
}

// spentOutside returns the first outpoints that a block spends, so many at most, without
// those that it creates itself.
func spentOutside(b *blockval.Block, most int) []wire.OutPoint {
	own := make(map[chainhash.Hash]bool, len(b.Txids))
	for _, txid := range b.Txids {
		own[txid] = true
	}
	var ops []wire.OutPoint
	for i, tx := range b.Msg.Transactions {
		if i == 0 {
			continue
		}
		for _, in := range tx.TxIn {
			if len(ops) == most {
				return ops
			}
			if !own[in.PreviousOutPoint.Hash] {
				ops = append(ops, in.PreviousOutPoint)
			}
		}
	}
	return ops
}
