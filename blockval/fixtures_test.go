package blockval

import (
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/testvectors"
)

// TestRecordedChains validates whole chains that a bitcoind made on regtest,
// each block with everything below it: nothing may stay unchecked. The second
// has outputs of 28 kinds and spends of them.
func TestRecordedChains(t *testing.T) {
	for _, name := range []string{"chain.hex.zst", "zoo/chain.hex.zst"} {
		t.Run(name, func(t *testing.T) {
			data := testvectors.Load(t, "../fixtures/bitcoind/"+name, "that a chain of bitcoind's is valid")
			v := newValidator(t, "regtest", Options{Workers: 2})
			var chain header.Chain
			coins := testCoins{}
			inputs, signatures := 0, 0
			lines := slices.Collect(strings.Lines(string(data)))
			for height, line := range lines {
				b, err := Parse(decodeHex(t, strings.TrimSpace(line)))
				if err != nil {
					t.Fatal(err)
				}
				at := At{Height: uint32(height), Ancestors: chain, Coins: coins}
				got, err := v.Check(t.Context(), b, at)
				if err != nil {
					t.Fatal(err)
				}
				if !got.Valid() || len(got.Unchecked) != 0 || (height > 0 && got.Prevouts != Own) {
					t.Fatalf("block %d: %v, unchecked %v, prevouts %q", height, got.Err, got.Unchecked, got.Prevouts)
				}
				inputs += got.Inputs
				signatures += got.Signatures
				chain = append(chain, b.Header)
				if height == 0 {
					continue
				}
				coins.apply(b, at.Height)
				if got, err = v.Check(t.Context(), b, at); err != nil || got.Valid() || got.Err.Rule != RepeatedTx {
					t.Fatalf("block %d again: %v, %v, want %s", height, got, err, RepeatedTx)
				}
			}
			t.Logf("%d blocks, %d inputs, %d signatures", len(lines), inputs, signatures)
			if len(lines) < 100 || inputs < 10 || signatures < 10 {
				t.Error("the recording has another chain than it had")
			}
		})
	}
}

// apply spends and creates what a block does.
func (c testCoins) apply(b *Block, height uint32) {
	c.create(b, height)
	for _, tx := range b.Msg.Transactions {
		for _, in := range tx.TxIn {
			delete(c, in.PreviousOutPoint)
		}
	}
}

// create adds the coins that a block creates, those that it spends again too.
func (c testCoins) create(b *Block, height uint32) {
	for i, tx := range b.Msg.Transactions {
		for j, out := range tx.TxOut {
			if !isUnspendable(out.PkScript) {
				c[wire.OutPoint{Hash: b.Txids[i], Index: uint32(j)}] = Coin{
					Value: out.Value, Script: out.PkScript, Height: height, Coinbase: i == 0,
				}
			}
		}
	}
}

// output returns a coin as the output that it is.
func (c testCoins) output(op wire.OutPoint) *wire.TxOut {
	coin := c[op]
	return &wire.TxOut{Value: coin.Value, PkScript: coin.Script}
}
