package sidecar

import (
	"errors"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
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
			c := coins{fetch: unknown, node: n, parent: tt.parent, chain: tt.chain, remember: func(ops []wire.OutPoint, _ []utxocache.Coin) {
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

func TestCompareRejected(t *testing.T) {
	broken := &blockval.RuleError{Rule: blockval.BadScript}
	tests := []struct {
		name    string
		verdict blockval.Verdict
		source  blockval.Source
		want    Outcome
	}{
		{"invalid, own coins", blockval.Verdict{Err: broken}, blockval.Own, Agree},
		{"invalid, the node's coins", blockval.Verdict{Err: broken}, blockval.Node, Agree},
		{"valid, own coins", blockval.Verdict{}, blockval.Own, Differ},
		{"valid, the node's coins", blockval.Verdict{}, blockval.Node, Undecided},
		{"valid as far as checked", blockval.Verdict{Unchecked: []blockval.Rule{blockval.RepeatedTx}}, blockval.Own, Undecided},
	}
	for _, tt := range tests {
		if got, reason := compareRejected(&tt.verdict, tt.source); got != tt.want || (reason == "") != (got == Agree) {
			t.Errorf("%s: %s (%q), want %s", tt.name, got, reason, tt.want)
		}
	}
}
