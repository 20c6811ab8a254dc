package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// outPoints returns references to the given outputs of a transaction.
func outPoints(txid chainhash.Hash, outputs ...uint32) []wire.OutPoint {
	var ops []wire.OutPoint
	for _, n := range outputs {
		ops = append(ops, wire.OutPoint{Hash: txid, Index: n})
	}
	return ops
}

// allCoins returns every output of the fake's best chain, spent or not, but for
// the genesis block's.
func allCoins(tb testing.TB, fake *nodetest.Btcd) map[wire.OutPoint]Prevout {
	tb.Helper()
	coins := make(map[wire.OutPoint]Prevout)
	for h, hash := range fake.Chain()[1:] {
		var msg wire.MsgBlock
		if err := msg.Deserialize(bytes.NewReader(fake.Block(hash))); err != nil {
			tb.Fatal(err)
		}
		for i, tx := range msg.Transactions {
			for n, out := range tx.TxOut {
				coins[wire.OutPoint{Hash: tx.TxHash(), Index: uint32(n)}] = Prevout{
					Coin:  blockval.Coin{Value: out.Value, Script: out.PkScript, Height: uint32(h + 1), Coinbase: i == 0},
					Block: hash,
				}
			}
		}
	}
	return coins
}

func samePrevout(x, y Prevout) bool {
	return x.Value == y.Value && bytes.Equal(x.Script, y.Script) && x.Height == y.Height &&
		x.Coinbase == y.Coinbase && x.Missing == y.Missing && x.Block == y.Block
}

func TestPrevouts(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{})
	fake.Mine(120)
	fake.AddTxs(300)
	fake.Mine(1)
	fake.AddTxs(40)
	fake.Mine(2)
	genesisTx := genesisTxid(t, fake)
	pending := fake.AddTxs(2)
	b := newBtcd(t, fakeConfig(fake))

	coins := allCoins(t, fake)
	var ops []wire.OutPoint
	for op := range coins {
		ops = append(ops, op, op) // each twice
		if op.Index == 0 {
			ops = append(ops, wire.OutPoint{Hash: op.Hash, Index: 1_000_000}, wire.OutPoint{Hash: op.Hash, Index: 1<<32 - 1})
		}
	}
	ops = append(ops, outPoints(pending[0], 0, 1)...)
	ops = append(ops, outPoints(chainhash.Hash{1}, 0)...)
	ops = append(ops, outPoints(genesisTx, 0)...)
	rand.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })

	got, err := b.Prevouts(t.Context(), ops)
	if err != nil || len(got) != len(ops) {
		t.Fatalf("Prevouts: %d coins for %d, %v", len(got), len(ops), err)
	}
	missing := Prevout{Coin: blockval.Coin{Missing: true}}
	for i, op := range ops {
		want, ok := coins[op]
		if !ok {
			want = missing
		}
		if !samePrevout(got[i], want) {
			t.Fatalf("Prevouts: %v is %+v, want %+v", op, got[i], want)
		}
	}
	// Each transaction is asked for once, but those that may be on their way
	// into a block.
	txs := make(map[chainhash.Hash]bool)
	for _, op := range ops {
		txs[op.Hash] = true
	}
	if calls, want := fake.Calls("getrawtransaction"), len(txs)+prevoutRounds-1; calls != want {
		t.Errorf("getrawtransaction was called %d times for %d transactions, want %d", calls, len(txs), want)
	}
	if got, err := b.Prevouts(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("Prevouts of nothing: %v, %v", got, err)
	}
}

func genesisTxid(tb testing.TB, fake *nodetest.Btcd) chainhash.Hash {
	tb.Helper()
	var msg wire.MsgBlock
	if err := msg.Deserialize(bytes.NewReader(fake.Block(fake.Chain()[0]))); err != nil {
		tb.Fatal(err)
	}
	return msg.Transactions[0].TxHash()
}

func TestPrevoutsWithoutIndex(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTxIndex: true})
	fake.Mine(120)
	b := newBtcd(t, fakeConfig(fake))
	for op := range allCoins(t, fake) {
		got, err := b.Prevouts(t.Context(), []wire.OutPoint{op})
		if got != nil || !errors.Is(err, ErrNoPrevouts) || !strings.Contains(err.Error(), "txindex=1") {
			t.Errorf("Prevouts = %v, %v, want ErrNoPrevouts and what to do", got, err)
		}
		break
	}
}

// A transaction that is still in the mempool although its block is connected
// must not be taken for a missing one.
func TestPrevoutsOfJustMined(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	fake.Mine(120)
	txid := fake.AddTxs(1)[0]
	b := newBtcd(t, fakeConfig(fake))
	var asked atomic.Int32
	fake.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
		if method == "batch" && asked.Add(1) == 1 {
			fake.Mine(1) // the answer, already written, says mempool
		}
		return a
	})
	got, err := b.Prevouts(t.Context(), outPoints(txid, 0))
	if err != nil || got[0].Missing || got[0].Height != 121 {
		t.Errorf("Prevouts = %+v, %v, want height 121", got, err)
	}
}

// A reorganisation between the questions moves a transaction to another block.
func TestPrevoutsDuringReorg(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	fake.Mine(120)
	txid := fake.AddTxs(1)[0]
	fake.Mine(1)
	b := newBtcd(t, fakeConfig(fake))
	var asked atomic.Int32
	fake.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
		if method == "batch" && asked.Add(1) == 1 {
			fake.Reorg(3, 5)
			fake.Mine(1)
		}
		return a
	})
	got, err := b.Prevouts(t.Context(), outPoints(txid, 0, 1))
	want := allCoins(t, fake)
	for i, op := range outPoints(txid, 0, 1) {
		if err != nil || want[op].Height != 124 || !samePrevout(got[i], want[op]) {
			t.Errorf("Prevouts = %+v, %v, want %+v", got, err, want[op])
		}
	}
}

// A block that is said to hold a transaction and never to be in the chain is an
// error, not a missing coin.
func TestPrevoutsNeverSettled(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	fake.Mine(120)
	txid := fake.AddTxs(1)[0]
	fake.Mine(1)
	side := fake.Branch(1, 1, nodetest.ValidFork)
	b := newBtcd(t, fakeConfig(fake))
	tip, _ := fake.Tip()
	fake.Rewrite(func(_ string, a nodetest.Answer) nodetest.Answer {
		a.Body = bytes.ReplaceAll(a.Body, []byte(`"blockhash":"`+tip.String()), []byte(`"blockhash":"`+side[0].String()))
		return a
	})
	got, err := b.Prevouts(t.Context(), outPoints(txid, 0))
	if got != nil || err == nil || !strings.Contains(err.Error(), "is not in the main chain") {
		t.Errorf("Prevouts = %v, %v", got, err)
	}
}

// A batch whose answer is too long is asked for in parts.
func TestPrevoutsSplitsLongBatches(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	fake.Mine(150)
	b := newBtcd(t, fakeConfig(fake))
	pad := []byte(`{"hex":`)
	padded := append(append([]byte(`{"padding":"`), bytes.Repeat([]byte("x"), maxBatchAnswer/20)...), `","hex":`...)
	fake.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
		a.Body = bytes.ReplaceAll(a.Body, pad, padded)
		return a
	})
	coins := allCoins(t, fake)
	var ops []wire.OutPoint
	for op := range coins {
		if ops = append(ops, op); len(ops) == 24 {
			break
		}
	}
	got, err := b.Prevouts(t.Context(), ops)
	if err != nil {
		t.Fatal(err)
	}
	for i, op := range ops {
		if !samePrevout(got[i], coins[op]) {
			t.Errorf("%v is %+v, want %+v", op, got[i], coins[op])
		}
	}
	if fake.Calls("getrawtransaction") <= len(ops) {
		t.Error("no answer was too long")
	}
}

// A batch must have each answer once, whatever their order.
func TestPrevoutsBatchAnswers(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	fake.Mine(150)
	b := newBtcd(t, fakeConfig(fake))
	coins := allCoins(t, fake)
	var ops []wire.OutPoint
	for op := range coins {
		if ops = append(ops, op); len(ops) == 5 {
			break
		}
	}
	for _, tt := range []struct {
		name   string
		change func(answers []json.RawMessage) any
		ok     bool
	}{
		{"reversed", func(a []json.RawMessage) any { a[0], a[4], a[1], a[3] = a[4], a[0], a[3], a[1]; return a }, true},
		{"one missing", func(a []json.RawMessage) any { return a[1:] }, false},
		{"one doubled", func(a []json.RawMessage) any { a[1] = a[0]; return a }, false},
		{"one too many", func(a []json.RawMessage) any { return append(a, a[0]) }, false},
		{"one null", func(a []json.RawMessage) any { a[2] = json.RawMessage("null"); return a }, false},
		{"one alone", func(a []json.RawMessage) any { return a[0] }, false},
		{"refused", func([]json.RawMessage) any {
			return json.RawMessage(`{"result":null,"error":{"code":-32603,"message":"limited user not authorized for this method"},"id":null}`)
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
				var answers []json.RawMessage
				if err := json.Unmarshal(a.Body, &answers); err != nil {
					t.Error(err)
				}
				if len(answers) == 5 {
					a.Body = mustJSON(tt.change(answers))
				}
				return a
			})
			got, err := b.Prevouts(t.Context(), ops)
			if (err == nil) != tt.ok {
				t.Fatalf("got error %v", err)
			}
			for i, op := range ops {
				if tt.ok && !samePrevout(got[i], coins[op]) {
					t.Errorf("%v is %+v, want %+v", op, got[i], coins[op])
				}
			}
		})
	}
}

func TestInChunks(t *testing.T) {
	for _, n := range []int{0, 1, batchSize - 1, batchSize, batchSize + 1, 10*batchSize + 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			done := make([]atomic.Int32, n)
			err := newRPCClient(rpcOptions{maxCalls: 4}).inChunks(t.Context(), n, func(_ context.Context, from, to int) error {
				if to-from > batchSize {
					t.Errorf("a chunk of %d", to-from)
				}
				for i := from; i < to; i++ {
					done[i].Add(1)
				}
				return nil
			})
			for i := range done {
				if err != nil || done[i].Load() != 1 {
					t.Errorf("%d was done %d times, error %v", i, done[i].Load(), err)
				}
			}
		})
	}
	broken := errors.New("broken")
	err := newRPCClient(rpcOptions{maxCalls: 4}).inChunks(t.Context(), 100*batchSize, func(_ context.Context, from, _ int) error {
		if from >= 10*batchSize {
			return broken
		}
		return nil
	})
	if !errors.Is(err, broken) {
		t.Errorf("got error %v, want the first", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newRPCClient(rpcOptions{maxCalls: 4}).inChunks(ctx, 1, func(context.Context, int, int) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want the context's", err)
	}
}
