package blockval

import (
	"context"
	"testing"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// fuzzCoins answers with coins of a kind that the outpoint tells, made below a
// height; the scripts are taken from a list.
type fuzzCoins struct {
	scripts [][]byte
	height  uint32
}

func (f fuzzCoins) Prevouts(_ context.Context, ops []wire.OutPoint, coins []Coin) (Source, error) {
	for i, op := range ops {
		coins[i] = Coin{
			Value:    int64(op.Index) << 20,
			Script:   f.scripts[int(op.Hash[0])%len(f.scripts)],
			Height:   uint32(op.Hash[1]) % f.height,
			Coinbase: op.Hash[2] == 1,
			Missing:  op.Hash[2] == 2,
		}
	}
	return Own, nil
}

func (f fuzzCoins) Unspent(context.Context, []wire.OutPoint) (first int, known bool, err error) {
	return -1, true, nil
}

// FuzzCheck validates blocks of arbitrary transactions. Their header is made to
// commit to them, so that the rules behind it are reached: with mended set the
// coinbase is made too, and only what follows it is arbitrary. The verdict must
// not depend on the number of workers or on halves, and what is valid must be so
// when every script runs exactly.
func FuzzCheck(f *testing.F) {
	c := newTestChain(f, "regtest", 120)
	seed := func(txs ...*wire.MsgTx) []byte {
		d := c.draft(txs...)
		return d.seal()[header.Size:]
	}
	forms := spendForms()
	scripts := [][]byte{anyone, {txscript.OP_FALSE}, p2wsh(anyone), p2sh(anyone), {txscript.OP_16, 2, 1, 2}}
	for i, form := range forms {
		scripts = append(scripts, form.lock(testKey(byte(i))))
	}
	f.Add(seed(), false)
	f.Add(seed(pay([]*wire.TxIn{{}}, 0)), true)
	for i, form := range forms {
		tx := pay([]*wire.TxIn{{}}, 1)
		tx.TxIn[0].PreviousOutPoint.Hash[0], tx.TxIn[0].PreviousOutPoint.Index = byte(5+i), 1
		s := &spendTx{tx: tx, prevouts: []wire.TxOut{{Value: 1 << 20, PkScript: scripts[5+i]}}}
		if err := form.sign(s, 0, txscript.SigHashAll, testKey(byte(i))); err != nil {
			f.Fatal(err)
		}
		f.Add(seed(tx), true)
		f.Add(seed(tx), false)
	}
	f.Fuzz(func(t *testing.T, txs []byte, mended bool) {
		b, err := Parse(append(make([]byte, header.Size), txs...))
		if err != nil {
			return
		}
		d := c.draft()
		if mended && len(b.Msg.Transactions) > 0 {
			d.msg.Transactions = append(d.msg.Transactions, b.Msg.Transactions[1:]...)
			d.commit()
		} else {
			d.msg.Transactions = b.Msg.Transactions
		}
		if len(d.msg.Transactions) > 0 {
			d.root()
		}
		raw := d.solve()
		at := c.at()
		at.Coins = fuzzCoins{scripts, at.Height}
		if !everyWay(t, c, raw, at).Valid() {
			return
		}
		if b, err = Parse(raw); err != nil {
			t.Fatal(err)
		}
		if rule := exactVerdict(t, c.validator(t, Options{}), b, at); rule != nil {
			t.Errorf("valid, but not when run exactly: %v", rule)
		}
	})
}
