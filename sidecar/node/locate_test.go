package node

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// Where transactions and blocks of a recorded chain are, and of which it cannot be told.
func TestBitcoindLocates(t *testing.T) {
	rec := bitcoindRecording(t)
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{})
	b := newBitcoind(t, bitcoindConfig(fake))
	for height, hash := range rec.Chain {
		if got, err := b.HeightOf(t.Context(), hash); err != nil || int(got) != height {
			t.Errorf("HeightOf(%s) = %d, %v, want %d", hash, got, err, height)
		}
		for _, tx := range decodeBlock(t, rec.Blocks[hash]).Transactions {
			txid := tx.TxHash()
			if got, err := b.BlockOf(t.Context(), txid); height > 0 && (err != nil || got != hash) || height == 0 && !errors.Is(err, ErrNotFound) {
				t.Errorf("block %d: BlockOf(%s) = %s, %v", height, txid, got, err)
			}
		}
	}
	unknown := chainhash.Hash{1}
	_, txErr := b.BlockOf(t.Context(), unknown)
	_, blockErr := b.HeightOf(t.Context(), unknown)
	for _, err := range []error{txErr, blockErr} {
		if !errors.Is(err, ErrNotFound) || errors.Is(err, ErrNoIndex) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
	}
	// A block that left, and what was in it.
	tip := rec.Chain[len(rec.Chain)-1]
	last := decodeBlock(t, rec.Blocks[tip]).Transactions[0].TxHash()
	fake.MoveTo(t, rec.Chain[len(rec.Chain)-2])
	if _, err := b.HeightOf(t.Context(), tip); !errors.Is(err, ErrStale) {
		t.Errorf("a block that left: %v", err)
	}
	// A transaction in the mempool.
	fake.SetMempool([]chainhash.Hash{last})
	if _, err := b.BlockOf(t.Context(), last); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("a transaction of the mempool: %v", err)
	}
	// An answer about another transaction, and of a block without its height.
	other := decodeBlock(t, rec.Blocks[rec.Chain[3]]).Transactions[0].TxHash()
	fake.Rewrite(func(what string, a nodetest.Answer) nodetest.Answer {
		a.Body = bytes.ReplaceAll(a.Body, []byte(`"height":`), []byte(`"depth":`))
		a.Body = bytes.Replace(a.Body, []byte(`"hex":"0`), []byte(`"hex":"1`), 1)
		return a
	})
	if _, err := b.BlockOf(t.Context(), other); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("another transaction: %v", err)
	}
	if _, err := b.HeightOf(t.Context(), rec.Chain[3]); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("without a height: %v", err)
	}
}

func TestBitcoindLocatesWithoutIndex(t *testing.T) {
	rec := bitcoindRecording(t)
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{NoTxIndex: true})
	b := newBitcoind(t, bitcoindConfig(fake))
	mined := decodeBlock(t, rec.Blocks[rec.Chain[10]]).Transactions[0].TxHash()
	if _, err := b.BlockOf(t.Context(), mined); !errors.Is(err, ErrNoIndex) || !strings.Contains(err.Error(), "txindex=1") {
		t.Errorf("without an index: %v", err)
	}
	fake.Rewrite(func(_ string, a nodetest.Answer) nodetest.Answer {
		a.Body = bytes.ReplaceAll(a.Body, []byte("Use -txindex or provide a block hash to enable blockchain transaction queries."),
			[]byte("Blockchain transactions are still in the process of being indexed."))
		return a
	})
	if _, err := b.BlockOf(t.Context(), mined); !errors.Is(err, ErrNoIndex) || !strings.Contains(err.Error(), "getindexinfo") {
		t.Errorf("with half an index: %v", err)
	}
}

func TestBtcdLocates(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{})
	fake.Mine(120)
	b := newBtcd(t, fakeConfig(fake))
	hash := fake.Chain()[7]
	txid := decodeBlock(t, fake.Block(hash)).Transactions[0].TxHash()
	if got, err := b.BlockOf(t.Context(), txid); err != nil || got != hash {
		t.Errorf("BlockOf(%s) = %s, %v, want %s", txid, got, err, hash)
	}
	if got, err := b.HeightOf(t.Context(), hash); err != nil || got != 7 {
		t.Errorf("HeightOf(%s) = %d, %v", hash, got, err)
	}
	if _, err := b.BlockOf(t.Context(), chainhash.Hash{1}); !errors.Is(err, ErrNotFound) || errors.Is(err, ErrNoIndex) {
		t.Errorf("an unknown transaction: %v", err)
	}
	if _, err := b.BlockOf(t.Context(), fake.AddTxs(1)[0]); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("a transaction of the mempool: %v", err)
	}
	fake.Rewrite(func(_ string, a nodetest.Answer) nodetest.Answer {
		a.Body = bytes.ReplaceAll(a.Body, []byte(`"height":`), []byte(`"depth":`))
		return a
	})
	if _, err := b.HeightOf(t.Context(), hash); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("without a height: %v", err)
	}
	bare := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTxIndex: true})
	bare.Mine(3)
	txid = decodeBlock(t, bare.Block(bare.Chain()[2])).Transactions[0].TxHash()
	if _, err := newBtcd(t, fakeConfig(bare)).BlockOf(t.Context(), txid); !errors.Is(err, ErrNoIndex) || !strings.Contains(err.Error(), "txindex=1") {
		t.Errorf("without an index: %v", err)
	}
}
