package sidecar

import (
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"
)

// What a transaction touched that has just left is not sure: a block that takes its
// place may be on its way. Another that spends the same is sure of it.
func TestOverlayIsNotSureOfWhatLeft(t *testing.T) {
	spent, other := wire.OutPoint{Index: 1}, wire.OutPoint{Index: 2}
	spend := func(op wire.OutPoint, value int64) *wire.MsgTx {
		tx := wire.NewMsgTx(2)
		tx.AddTxIn(wire.NewTxIn(&op, nil, nil))
		tx.AddTxOut(wire.NewTxOut(value, []byte{opTrue}))
		return tx
	}
	first, second := spend(spent, 1), spend(spent, 2)
	made := func(tx *wire.MsgTx) wire.OutPoint { return wire.OutPoint{Hash: tx.TxHash()} }
	o, now := newOverlay(1<<20), time.Now()
	enter := func(tx *wire.MsgTx) {
		o.expect(tx.TxHash())
		o.put(tx.TxHash(), tx)
	}
	check := func(when string, at time.Time, op wire.OutPoint, want pending) {
		t.Helper()
		if got, _ := o.look(op, at); got != want {
			t.Errorf("%s: %d, want %d", when, got, want)
		}
	}
	check("empty", now, spent, pendingNothing)
	enter(first)
	check("spent", now, spent, pendingGone)
	check("made", now, made(first), pendingMade)
	o.leave(first.TxHash(), now)
	check("just left", now, spent, pendingUnknown)
	check("just left", now, made(first), pendingUnknown)
	check("not touched", now, other, pendingNothing)
	check("long ago", now.Add(2*settling), spent, pendingNothing)
	enter(first)
	o.leave(first.TxHash(), now)
	enter(second)
	check("replaced, a while ago", now.Add(2*settling), spent, pendingGone)
	check("replaced, a while ago", now.Add(2*settling), made(first), pendingNothing)
	o.doubt(now)
	check("a block left", now, other, pendingUnknown)
	check("a block left long ago", now.Add(2*settling), other, pendingNothing)
	for range maxLeft + 1 {
		tx := spend(wire.OutPoint{Index: uint32(len(o.left)) + 10}, 3)
		enter(tx)
		o.leave(tx.TxHash(), now)
	}
	check("too many left", now, other, pendingUnknown)
	check("too many left long ago", now.Add(2*settling), other, pendingNothing)
	if len(o.left)+len(o.unsure)+len(o.gone) != 0 {
		t.Errorf("%d, %d and %d are kept", len(o.left), len(o.unsure), len(o.gone))
	}
}
