package sidecar

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/testvectors"
	"github.com/outrider-project/outrider/utxocache"
)

// What the node tells of a coin counts only if the coin was made in the chain
// below the block that spends it.
func TestCoinsFromTheNodeAreOfTheRightChain(t *testing.T) {
	btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	btcd.Mine(10)
	n, err := node.NewBtcd(node.BtcdConfig{Address: btcd.Addr(), User: nodetest.User, Password: nodetest.Password, NoTLS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var chain header.Chain
	var op wire.OutPoint // the coinbase of block 5
	for height, hash := range btcd.Chain() {
		b, err := blockval.Parse(btcd.Block(hash))
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, b.Header)
		if height == 5 {
			op.Hash = b.Txids[0]
		}
	}
	other := slices.Clone(chain)
	other[5][40] ^= 1
	unknown := func(_ []wire.OutPoint, answers []utxocache.Answer) error {
		clear(answers)
		return nil
	}
	tests := []struct {
		name   string
		parent uint32
		chain  header.Chain
		found  bool
	}{
		{"in the chain", 10, chain, true},
		{"in the parent", 5, chain, true},
		{"above the parent", 4, chain, false},
		{"in another chain", 10, other, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var remembered int
			c := prevouts{fetch: unknown, node: n, parent: tt.parent, chain: tt.chain, remember: func(ops []wire.OutPoint, _ []utxocache.Coin) {
				remembered += len(ops)
			}}
			got := make([]blockval.Coin, 1)
			source, err := c.Prevouts(t.Context(), []wire.OutPoint{op}, got)
			if err != nil || source != blockval.Node || got[0].Missing == tt.found || (remembered == 1) != tt.found {
				t.Errorf("got %+v from %q, %d remembered (%v)", got[0], source, remembered, err)
			}
			if tt.found && (got[0].Height != 5 || !got[0].Coinbase) {
				t.Errorf("got %+v", got[0])
			}
			// A block that the node has connected spends nothing that is not
			// there: the node's answer is what cannot be trusted then.
			c.connected = true
			if _, err := c.Prevouts(t.Context(), []wire.OutPoint{op}, got); errors.Is(err, errUnknownCoins) == tt.found {
				t.Errorf("for a connected block: %v", err)
			}
		})
	}
}

// A bitcoind without a transaction index is asked what a connected block spends,
// in one call; a block that it did not connect it knows nothing of.
func TestCoinsOfAConnectedBlock(t *testing.T) {
	rec := nodetest.ReadBitcoindRecording(t, func(name string) []byte {
		return testvectors.LoadFixture(t, "bitcoind/zoo/"+name, "the coins that blocks spend, as a real bitcoind tells of them")
	})
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{NoTxIndex: true})
	n, err := node.NewBitcoind(node.BitcoindConfig{Address: fake.Addr(), CookieFile: fake.CookieFile()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var chain header.Chain
	made := make(map[wire.OutPoint]blockval.Coin)
	var block *blockval.Block
	for height, hash := range rec.Chain {
		b, err := blockval.Parse(rec.Blocks[hash])
		if err != nil {
			t.Fatal(err)
		}
		for i, tx := range b.Msg.Transactions {
			for vout, out := range tx.TxOut {
				made[wire.OutPoint{Hash: b.Txids[i], Index: uint32(vout)}] = blockval.Coin{
					Value: out.Value, Script: out.PkScript, Height: uint32(height), Coinbase: i == 0,
				}
			}
		}
		chain = append(chain, b.Header)
		block = b
	}
	tip := node.Tip{Hash: block.Hash, Height: uint32(len(chain) - 1)}
	var ops []wire.OutPoint
	for _, tx := range block.Msg.Transactions[1:] {
		for _, in := range tx.TxIn {
			if made[in.PreviousOutPoint].Height < tip.Height {
				ops = append(ops, in.PreviousOutPoint)
			}
		}
	}
	// Of every third coin the sidecar knows itself.
	fetch := func(ops []wire.OutPoint, answers []utxocache.Answer) error {
		for i, op := range ops {
			if i%3 == 0 {
				c := made[op]
				answers[i] = utxocache.Answer{
					Coin:  utxocache.Coin{Value: c.Value, Script: c.Script, Height: c.Height, Coinbase: c.Coinbase},
					State: utxocache.Unspent, Own: true,
				}
			}
		}
		return nil
	}
	remembered := 0
	c := prevouts{
		fetch: fetch, node: n, parent: tip.Height - 1, chain: chain, connected: true, block: block, tip: tip,
		remember: func(ops []wire.OutPoint, _ []utxocache.Coin) { remembered += len(ops) },
	}
	got := make([]blockval.Coin, len(ops))
	source, err := c.Prevouts(t.Context(), ops, got)
	if err != nil || source != blockval.Node {
		t.Fatalf("from %q, %v", source, err)
	}
	for i, op := range ops {
		if want := made[op]; !reflect.DeepEqual(got[i], want) {
			t.Errorf("%v: %+v, want %+v", op, got[i], want)
		}
	}
	if want := len(ops) - (len(ops)+2)/3; remembered != want || want == 0 {
		t.Errorf("%d coins are remembered, want %d", remembered, want)
	}
	calls := fake.Calls("getblock")
	if _, err := c.Prevouts(t.Context(), ops, got); err != nil || fake.Calls("getblock") != calls+1 {
		t.Errorf("%d calls for one block, %v", fake.Calls("getblock")-calls, err)
	}

	c.parent = got[len(got)-1].Height - 1
	if _, err := c.Prevouts(t.Context(), ops, got); !errors.Is(err, errUnknownCoins) {
		t.Errorf("a coin of a later block than the parent: %v", err)
	}
	c.parent = tip.Height - 1
	if _, err := c.Prevouts(t.Context(), []wire.OutPoint{ops[0], ops[2], ops[1]}, got); err == nil || errors.Is(err, errUnknownCoins) {
		t.Errorf("inputs out of order: %v", err)
	}
	fake.Prune(len(chain))
	if _, err := c.Prevouts(t.Context(), ops, got); !errors.Is(err, errUnknownCoins) || !strings.Contains(err.Error(), "pruned") {
		t.Errorf("pruned: %v", err)
	}
	fake.Prune(0)
	c.connected, calls = false, fake.Calls("getblock")
	if _, err := c.Prevouts(t.Context(), ops, got); !errors.Is(err, errUnknownCoins) || fake.Calls("getblock") != calls {
		t.Errorf("a block that is not connected: %v, %d calls", err, fake.Calls("getblock")-calls)
	}
}

func TestCompareRejected(t *testing.T) {
	broken := &blockval.RuleError{Rule: blockval.BadScript}
	tests := []struct {
		name    string
		verdict blockval.Verdict
		source  blockval.Source
		before  bool // the node had accepted it
		want    Outcome
	}{
		{"invalid, own coins", blockval.Verdict{Err: broken}, blockval.Own, false, Agree},
		{"invalid, the node's coins", blockval.Verdict{Err: broken}, blockval.Node, false, Agree},
		{"invalid, accepted before", blockval.Verdict{Err: broken}, blockval.Own, true, Agree},
		{"valid, own coins", blockval.Verdict{}, blockval.Own, false, Differ},
		{"valid, accepted before", blockval.Verdict{}, blockval.Own, true, Undecided},
		{"valid, the node's coins", blockval.Verdict{}, blockval.Node, false, Undecided},
		{"valid as far as checked", blockval.Verdict{Unchecked: []blockval.Rule{blockval.RepeatedTx}}, blockval.Own, false, Undecided},
	}
	for _, tt := range tests {
		if got, reason := compareRejected(&tt.verdict, tt.source, tt.before); got != tt.want || (reason == "") != (got == Agree) {
			t.Errorf("%s: %s (%q), want %s", tt.name, got, reason, tt.want)
		}
	}
}
