package bitvm

import (
	"bytes"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/bitvm/watch"
)

// peek tells of a transaction of the mempool that spends a watched output. The heaviest
// never come there, and what comes may never be in a block.
func (w *Watch) peek(watcher *watch.Watcher, raw []byte) {
	tx := new(wire.MsgTx)
	if raw == nil || tx.Deserialize(bytes.NewReader(raw)) != nil {
		return
	}
	for _, h := range watcher.Peek(tx) {
		w.perf.hints.Add(1)
		w.log.Info("bridge, in the mempool", "instance", h.Instance, "transaction", h.Transaction, "why", h.Why, "txid", tx.TxHash().String())
	}
}
