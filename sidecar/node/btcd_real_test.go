package node

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// TestRealBtcd runs the client against a real btcd, of the version that the
// module asks for.
func TestRealBtcd(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: no real btcd was built, so the client was not run against one")
	}
	real := nodetest.NewRealBtcd(t, nodetest.BuildRealBtcd(t))
	cfg := BtcdConfig{
		Address: real.Addr(), Certificate: real.Certificate(),
		// What the limited user may do must be enough.
		User: nodetest.LimitedUser, Password: nodetest.LimitedPassword,
		ReconnectDelay: 10 * time.Millisecond, MaxReconnectDelay: 200 * time.Millisecond,
	}
	real.Mine(105)
	spent := real.Spend(1)
	real.Mine(1)
	pending := real.Spend(2)

	t.Run("calls", func(t *testing.T) { testRealCalls(t, real, newBtcd(t, cfg), pending) })
	t.Run("places", func(t *testing.T) {
		b := newBtcd(t, cfg)
		tip, err := b.Tip(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if hash, err := b.BlockOf(t.Context(), spent.TxHash()); err != nil || hash != tip.Hash {
			t.Errorf("BlockOf = %s, %v, want %s", hash, err, tip.Hash)
		}
		if height, err := b.HeightOf(t.Context(), tip.Hash); err != nil || height != tip.Height {
			t.Errorf("HeightOf = %d, %v, want %d", height, err, tip.Height)
		}
		if _, err := b.BlockOf(t.Context(), pending.TxHash()); !errors.Is(err, ErrUnconfirmed) {
			t.Errorf("BlockOf a transaction of the mempool: %v", err)
		}
		_, txErr := b.BlockOf(t.Context(), chainhash.Hash{1})
		_, blockErr := b.HeightOf(t.Context(), chainhash.Hash{1})
		if !errors.Is(txErr, ErrNotFound) || errors.Is(txErr, ErrNoIndex) || !errors.Is(blockErr, ErrNotFound) {
			t.Errorf("of what is not there: %v, %v", txErr, blockErr)
		}
	})
	t.Run("prevouts", func(t *testing.T) { testRealPrevouts(t, real, newBtcd(t, cfg), spent, pending) })
	t.Run("refusals", func(t *testing.T) {
		cfg := cfg
		cfg.Password = "wrong"
		b := newBtcd(t, cfg)
		if _, err := b.Tip(t.Context()); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("wrong password: got %v", err)
		}
		if _, err := b.subscribe(t.Context()); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("wrong password on the websocket: got %v", err)
		}
		cfg.Certificate, cfg.NoTLS = nil, true
		if _, err := newBtcd(t, cfg).Tip(t.Context()); err == nil || !strings.Contains(err.Error(), "may expect TLS") {
			t.Errorf("without TLS: got %v", err)
		}
	})
	t.Run("branches", func(t *testing.T) {
		b := newBtcd(t, cfg)
		old, err := b.Tip(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fresh := real.Reorg(2, 3)
		want := []ChainTip{
			{Tip: old, BranchLen: 2, Status: "invalid"},
			{Tip: Tip{fresh[2], old.Height + 1}, Status: "active"},
		}
		if got, err := b.ChainTips(t.Context()); err != nil || !slices.Equal(got[max(0, len(got)-2):], want) {
			t.Errorf("ChainTips() = %v, %v, want %v last", got, err, want)
		}
		if raw, err := b.Block(t.Context(), old.Hash); err != nil || len(raw) == 0 {
			t.Errorf("Block of the branch that was left: %v", err)
		}
		if h, err := b.Header(t.Context(), old.Hash); err != nil || h.Hash() != old.Hash {
			t.Errorf("Header of the branch that was left: %v", err)
		}
		if _, err := b.HeightOf(t.Context(), old.Hash); !errors.Is(err, ErrStale) {
			t.Errorf("HeightOf a block that left: %v", err)
		}
		if got, err := b.HeightOf(t.Context(), fresh[0]); err != nil || got != old.Height-1 {
			t.Errorf("HeightOf its successor: %d, %v", got, err)
		}
	})
	t.Run("watch", func(t *testing.T) { testRealWatch(t, real, watch(t, cfg)) })
}

func testRealCalls(t *testing.T, real *nodetest.RealBtcd, b *Btcd, pending *wire.MsgTx) {
	ctx := t.Context()
	var tipHash, rawBlock string
	real.Call(&tipHash, "getbestblockhash")
	real.Call(&rawBlock, "getblock", tipHash, 0)
	if name, err := b.Network(ctx); err != nil || name != "regtest" {
		t.Errorf("Network() = %q, %v", name, err)
	}
	if agent, err := b.Agent(ctx); err != nil || !strings.HasPrefix(agent, "/btcd:0.") {
		t.Errorf("Agent() = %q, %v", agent, err)
	}
	tip, err := b.Tip(ctx)
	if err != nil || tip.Hash.String() != tipHash || tip.Height != 106 {
		t.Errorf("Tip() = %v, %v, want %s at 106", tip, err, tipHash)
	}
	if hash, err := b.BlockHash(ctx, 106); err != nil || hash != tip.Hash {
		t.Errorf("BlockHash(106) = %v, %v", hash, err)
	}
	if hash, err := b.BlockHash(ctx, 107); !errors.Is(err, ErrNotFound) {
		t.Errorf("BlockHash(107) = %v, %v", hash, err)
	}
	raw, err := b.Block(ctx, tip.Hash)
	if err != nil || hex.EncodeToString(raw) != rawBlock {
		t.Errorf("Block(%s): %d bytes, %v", tipHash, len(raw), err)
	}
	if h, err := b.Header(ctx, tip.Hash); err != nil || !bytes.Equal(h[:], raw[:len(h)]) {
		t.Errorf("Header(%s) = %x, %v", tipHash, h, err)
	}
	all, err := b.Headers(ctx, nil)
	if err != nil || len(all) != 106 || all[105].Hash() != tip.Hash {
		t.Errorf("Headers(nil): %d headers, %v", len(all), err)
	}
	some, err := b.Headers(ctx, []chainhash.Hash{{1}, all[99].Hash(), all[9].Hash()})
	if err != nil || !slices.Equal(some, all[100:]) {
		t.Errorf("Headers from 100 on: %d headers, %v", len(some), err)
	}
	if none, err := b.Headers(ctx, []chainhash.Hash{tip.Hash}); err != nil || len(none) != 0 {
		t.Errorf("Headers after the tip: %d headers, %v", len(none), err)
	}
	if tips, err := b.ChainTips(ctx); err != nil || !slices.Equal(tips, []ChainTip{{Tip: tip, Status: "active"}}) {
		t.Errorf("ChainTips() = %v, %v", tips, err)
	}
	txid := pending.TxHash()
	if pool, err := b.Mempool(ctx); err != nil || !slices.Equal(pool, []chainhash.Hash{txid}) {
		t.Errorf("Mempool() = %v, %v, want %v", pool, err, txid)
	}
	var want bytes.Buffer
	if err := pending.Serialize(&want); err != nil {
		t.Fatal(err)
	}
	if tx, err := b.Transaction(ctx, txid); err != nil || !bytes.Equal(tx, want.Bytes()) {
		t.Errorf("Transaction(%s) = %x, %v", txid, tx, err)
	}
	unknown := chainhash.Hash{1}
	_, blockErr := b.Block(ctx, unknown)
	_, headerErr := b.Header(ctx, unknown)
	_, txErr := b.Transaction(ctx, unknown)
	for _, err := range []error{blockErr, headerErr, txErr} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
	}
}

func testRealPrevouts(t *testing.T, real *nodetest.RealBtcd, b *Btcd, spent, pending *wire.MsgTx) {
	ctx := t.Context()
	block := func(height uint32) (chainhash.Hash, *wire.MsgBlock) {
		hash, err := b.BlockHash(ctx, height)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := b.Block(ctx, hash)
		if err != nil {
			t.Fatal(err)
		}
		var msg wire.MsgBlock
		if err := msg.Deserialize(bytes.NewReader(raw)); err != nil {
			t.Fatal(err)
		}
		return hash, &msg
	}
	_, genesis := block(0)
	first, firstBlock := block(1)
	last, _ := block(106)
	coinbase := firstBlock.Transactions[0]
	gone := Prevout{Coin: blockval.Coin{Missing: true}}
	ops := slices.Concat(
		outPoints(coinbase.TxHash(), 0, 1), // spent by the transaction in block 106
		outPoints(spent.TxHash(), 1, 0, 2),
		outPoints(pending.TxHash(), 0),
		outPoints(genesis.Transactions[0].TxHash(), 0),
		outPoints(chainhash.Hash{1}, 0),
	)
	want := []Prevout{
		{blockval.Coin{Value: coinbase.TxOut[0].Value, Script: coinbase.TxOut[0].PkScript, Height: 1, Coinbase: true}, first}, gone,
		{blockval.Coin{Value: spent.TxOut[1].Value, Script: spent.TxOut[1].PkScript, Height: 106}, last},
		{blockval.Coin{Value: spent.TxOut[0].Value, Script: spent.TxOut[0].PkScript, Height: 106}, last}, gone,
		gone, gone, gone,
	}
	got, err := b.Prevouts(ctx, ops)
	if err != nil || !slices.EqualFunc(got, want, samePrevout) {
		t.Errorf("Prevouts = %+v, %v, want\n%+v", got, err, want)
	}
}

func testRealWatch(t *testing.T, real *nodetest.RealBtcd, w *watcher) {
	w.expect(HintConnected)
	tip, err := w.b.Tip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	height := tip.Height
	mined := func() {
		t.Helper()
		height++
		hash := real.Mine(1)[0]
		if h := w.next(); h.Kind != HintBlockConnected || h.Tip != (Tip{hash, height}) {
			t.Errorf("got hint %+v, want that %s connected", h, hash)
		}
	}
	mined()
	tx := real.Spend(3)
	var raw bytes.Buffer
	if err := tx.Serialize(&raw); err != nil {
		t.Fatal(err)
	}
	if h := w.next(); h.Kind != HintTx || !bytes.Equal(h.Tx, raw.Bytes()) {
		t.Errorf("got hint %+v, want transaction %s", h, tx.TxHash())
	}
	mined()
	mined()
	var left []chainhash.Hash
	for h := height; h > height-3; h-- {
		hash, err := w.b.BlockHash(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, hash)
	}
	fresh := real.Reorg(3, 4)
	for i, hash := range left {
		if h := w.next(); h.Kind != HintBlockDisconnected || h.Tip != (Tip{hash, height - uint32(i)}) {
			t.Errorf("got hint %+v, want that %s disconnected", h, hash)
		}
	}
	var connected []chainhash.Hash
	for range 4 {
		h := w.next()
		if connected = append(connected, h.Tip.Hash); h.Kind != HintBlockConnected {
			t.Errorf("got hint %+v, want a block that connected", h)
		}
	}
	if !slices.Equal(connected, fresh) {
		t.Errorf("%v connected, want %v", connected, fresh)
	}
	for _, end := range []func(){real.Stop, real.Kill} {
		end()
		w.expect(HintLost)
		real.Start()
		w.expect(HintConnected)
		height = 0
		mined()
	}
}
