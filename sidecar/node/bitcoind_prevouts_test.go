package node

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

func TestBitcoindPrevouts(t *testing.T) {
	rec := bitcoindRecording(t)
	_, lost, after := moments(t, rec)
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{})
	// The index keeps what the lost branch wrote of its coinbases.
	fake.MoveTo(t, lost)
	fake.MoveTo(t, after)
	fake.MoveTo(t, rec.Chain[120])
	b := newBitcoind(t, bitcoindConfig(fake))
	want := make(map[wire.OutPoint]Prevout)
	for h, hash := range rec.Chain {
		for i, tx := range decodeBlock(t, rec.Blocks[hash]).Transactions {
			for n, out := range tx.TxOut {
				p := Prevout{Coin: blockval.Coin{Value: out.Value, Script: out.PkScript, Height: uint32(h), Coinbase: i == 0}, Block: hash}
				if h == 0 {
					p = Prevout{Coin: blockval.Coin{Missing: true}}
				}
				want[wire.OutPoint{Hash: tx.TxHash(), Index: uint32(n)}] = p
			}
			want[wire.OutPoint{Hash: tx.TxHash(), Index: uint32(len(tx.TxOut))}] = Prevout{Coin: blockval.Coin{Missing: true}}
		}
	}
	stale := wire.OutPoint{Hash: decodeBlock(t, rec.Blocks[lost]).Transactions[0].TxHash()}
	want[stale] = Prevout{Coin: blockval.Coin{Missing: true}}
	want[wire.OutPoint{Hash: chainhash.Hash{1}}] = Prevout{Coin: blockval.Coin{Missing: true}}
	var ops []wire.OutPoint
	for op := range want {
		ops = append(ops, op)
	}
	got, err := b.Prevouts(t.Context(), ops)
	if err != nil || len(got) != len(ops) {
		t.Fatalf("%d prevouts of %d, %v", len(got), len(ops), err)
	}
	for i, op := range ops {
		if !samePrevout(got[i], want[op]) {
			t.Errorf("%s: %+v, want %+v", op, got[i], want[op])
		}
	}
	// A transaction that is in the mempool only makes no coin of the chain.
	pending := decodeBlock(t, rec.Blocks[rec.Chain[120]]).Transactions[1].TxHash()
	fake.SetMempool([]chainhash.Hash{pending})
	if got, err := b.Prevouts(t.Context(), outPoints(pending, 0)); err != nil || !got[0].Missing {
		t.Errorf("of the mempool: %+v, %v", got, err)
	}
}

func decodeBlock(tb testing.TB, raw []byte) *wire.MsgBlock {
	tb.Helper()
	var msg wire.MsgBlock
	if err := msg.Deserialize(bytes.NewReader(raw)); err != nil {
		tb.Fatal(err)
	}
	return &msg
}

func TestBitcoindPrevoutsWithoutIndex(t *testing.T) {
	rec := bitcoindRecording(t)
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{NoTxIndex: true})
	b := newBitcoind(t, bitcoindConfig(fake))
	mined := decodeBlock(t, rec.Blocks[rec.Chain[10]]).Transactions[0].TxHash()
	_, err := b.Prevouts(t.Context(), outPoints(mined, 0))
	if !errors.Is(err, ErrNoPrevouts) || !strings.Contains(err.Error(), "txindex=1") {
		t.Errorf("without an index: %v", err)
	}
	fake.Rewrite(func(_ string, a nodetest.Answer) nodetest.Answer {
		a.Body = bytes.ReplaceAll(a.Body, []byte("Use -txindex or provide a block hash to enable blockchain transaction queries."),
			[]byte("Blockchain transactions are still in the process of being indexed."))
		return a
	})
	if _, err = b.Prevouts(t.Context(), outPoints(mined, 0)); !errors.Is(err, ErrNoPrevouts) || !strings.Contains(err.Error(), "still building") {
		t.Errorf("with half an index: %v", err)
	}
}
