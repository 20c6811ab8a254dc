package nodetest

import (
	"bytes"
	"encoding/hex"
	"maps"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

func decodeBlock(tb testing.TB, rawHex string) *wire.MsgBlock {
	tb.Helper()
	raw, err := hex.DecodeString(rawHex)
	if err != nil {
		tb.Fatal(err)
	}
	var msg wire.MsgBlock
	if err := msg.Deserialize(bytes.NewReader(raw)); err != nil {
		tb.Fatal(err)
	}
	return &msg
}

// checkBlock fails unless a block of the fake is one that btcd finds sane.
func checkBlock(tb testing.TB, b *Btcd, hash chainhash.Hash) *wire.MsgBlock {
	tb.Helper()
	raw := b.Block(hash)
	block, err := btcutil.NewBlockFromBytes(raw)
	if err != nil {
		tb.Fatal(err)
	}
	if err := blockchain.CheckBlockSanity(block, chaincfg.RegressionNetParams.PowLimit, blockchain.NewMedianTime()); err != nil {
		tb.Errorf("block %s: %v", hash, err)
	}
	if err := blockchain.ValidateWitnessCommitment(block); err != nil {
		tb.Errorf("block %s: %v", hash, err)
	}
	if *block.Hash() != hash {
		tb.Errorf("block %s has hash %s", hash, block.Hash())
	}
	return block.MsgBlock()
}

// A chain of the fake is a chain, through reorganisations too, and no coin in
// it is spent twice or too early.
func TestChain(t *testing.T) {
	b := NewBtcd(t, BtcdOptions{})
	b.Mine(150) // so many that the oldest coins stay mature through it all
	b.AddTxs(30)
	b.Mine(2)
	b.AddTxs(10)
	b.Reorg(3, 5)
	if n := len(b.Mempool()); n != 40 {
		t.Errorf("the mempool has %d transactions after the reorganisation, want all 40 again", n)
	}
	b.Mine(1)
	if n := len(b.Mempool()); n != 0 {
		t.Errorf("the mempool has %d transactions after a block", n)
	}
	b.Mine(99)

	born := make(map[wire.OutPoint]int)
	coinbases := make(map[chainhash.Hash]bool)
	chain := b.Chain()
	spends := 0
	for height, hash := range chain[1:] {
		msg := checkBlock(t, b, hash)
		if msg.Header.PrevBlock != chain[height] {
			t.Fatalf("block %d does not follow the one before it", height+1)
		}
		for i, tx := range msg.Transactions {
			for _, in := range tx.TxIn {
				if i == 0 {
					continue
				}
				at, ok := born[in.PreviousOutPoint]
				if !ok || coinbases[in.PreviousOutPoint.Hash] && height+1-at < coinbaseMaturity {
					t.Errorf("block %d spends %v, which was born at %d (%t)", height+1, in.PreviousOutPoint, at, ok)
				}
				delete(born, in.PreviousOutPoint)
				spends++
			}
			coinbases[tx.TxHash()] = i == 0
			for n := range tx.TxOut {
				born[wire.OutPoint{Hash: tx.TxHash(), Index: uint32(n)}] = height + 1
			}
		}
	}
	if spends != 40 {
		t.Errorf("%d coins were spent, want 40", spends)
	}
}

func TestBranches(t *testing.T) {
	b := NewBtcd(t, BtcdOptions{})
	b.Mine(10)
	before := b.Chain()
	for _, status := range []BranchStatus{ValidFork, HeadersOnly, Refused} {
		for _, hash := range b.Branch(2, 3, status) {
			checkBlock(t, b, hash)
		}
	}
	bad := b.Branch(2, 1, Invalid)
	msg := decodeBlock(t, hex.EncodeToString(b.Block(bad[0])))
	if paid := msg.Transactions[0].TxOut[0].Value; paid != subsidy(9)+1 {
		t.Errorf("the invalid block pays %d", paid)
	}
	if !slices.Equal(b.Chain(), before) {
		t.Error("a branch changed the best chain")
	}
}

func TestMempool(t *testing.T) {
	b := NewBtcd(t, BtcdOptions{})
	b.Mine(100)
	txids := b.AddTxs(5) // one coin: each spends of those before
	if got := slices.Collect(maps.Keys(b.Mempool())); len(got) != 5 {
		t.Fatalf("%d transactions", len(got))
	}
	b.RemoveTx(txids[0])
	if n := len(b.Mempool()); n != 0 {
		t.Errorf("%d transactions are left of a removed parent", n)
	}
	b.AddTxs(3)
	b.Restart(nil)
	if n := len(b.Mempool()); n != 0 {
		t.Errorf("%d transactions are left after a restart", n)
	}
}

// As many calls as allowed are served at once; the next is refused.
func TestMaxClients(t *testing.T) {
	b := NewBtcd(t, BtcdOptions{MaxClients: 2})
	entered, release := make(chan struct{}), make(chan struct{})
	b.Rewrite(func(_ string, a Answer) Answer {
		entered <- struct{}{}
		<-release
		return a
	})
	call := func() error {
		_, err := post(b.Addr(), b.Certificate(), []byte(`{"jsonrpc":"1.0","id":1,"method":"getbestblock","params":[]}`))
		return err
	}
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- call() }()
		select {
		case <-entered:
		case err := <-errs:
			t.Fatalf("the first calls: %v", err)
		}
	}
	if err := call(); err == nil || err.Error() != "HTTP status 503" {
		t.Errorf("the third call: %v, want status 503", err)
	}
	close(release)
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
