package blockval

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sigverify"
	"github.com/outrider-project/outrider/testvectors"
)

// spentCoins is a view of the coins that holds just what one block spends. It
// plays the node that gives a block's undo data.
type spentCoins map[wire.OutPoint]Coin

func (s spentCoins) Prevouts(_ context.Context, ops []wire.OutPoint, coins []Coin) (Source, error) {
	for i, op := range ops {
		c, ok := s[op]
		c.Missing = !ok
		coins[i] = c
	}
	return Node, nil
}

func (s spentCoins) Unspent(context.Context, []wire.OutPoint) (first int, known bool, err error) {
	return -1, false, nil
}

// A mainnetBlock is one of the mainnet vectors.
type mainnetBlock struct {
	height uint32
	raw    []byte
	coins  spentCoins
}

func (m *mainnetBlock) at() At { return At{Height: m.height, Coins: m.coins} }

// loadMainnet returns the mainnet vector at height. What the block's own
// transactions create is left out of the coins.
func loadMainnet(tb testing.TB, height uint32) *mainnetBlock {
	tb.Helper()
	raw, spent := testvectors.LoadMainnet(tb, height, fmt.Sprintf("that mainnet block %d is valid", height))
	b, err := Parse(raw)
	if err != nil {
		tb.Fatalf("parse mainnet block %d: %v", height, err)
	}
	coins := make(spentCoins)
	for _, tx := range b.Msg.Transactions[1:] {
		for _, in := range tx.TxIn {
			if len(spent) == 0 {
				tb.Fatalf("mainnet block %d has more inputs than its vector spent outputs", height)
			}
			if s := spent[0]; s.Height < height {
				coins[in.PreviousOutPoint] = Coin{Value: s.Value, Script: s.Script, Height: s.Height, Coinbase: s.Coinbase}
			}
			spent = spent[1:]
		}
	}
	if len(spent) != 0 {
		tb.Fatalf("mainnet block %d has %d inputs less than its vector spent outputs", height, len(spent))
	}
	return &mainnetBlock{height, raw, coins}
}

func newValidator(tb testing.TB, network string, o Options) *Validator {
	tb.Helper()
	p, err := ParamsFor(network)
	if err != nil {
		tb.Fatal(err)
	}
	return open(tb, p, o)
}

// open returns a Validator with a Verifier that ends with the test.
func open(tb testing.TB, p *Params, o Options) *Validator {
	tb.Helper()
	v := sigverify.New(sigverify.Options{Workers: o.Workers})
	tb.Cleanup(v.Close)
	o.Verifier = v
	return New(p, o)
}

// checkRaw validates bytes that need be no block.
func checkRaw(tb testing.TB, v *Validator, raw []byte, at At) *Verdict {
	tb.Helper()
	b, _ := Parse(raw)
	verdict, err := v.Check(tb.Context(), b, at)
	if err != nil {
		tb.Fatalf("check: %v", err)
	}
	return verdict
}

// exactVerdict validates b with every script run exactly.
func exactVerdict(tb testing.TB, v *Validator, b *Block, at At) *RuleError {
	tb.Helper()
	c := v.newCheck(b, at)
	rule, err := c.rules(tb.Context())
	if rule == nil && err == nil {
		rule, err = c.inputs()
	}
	if err != nil {
		tb.Fatal(err)
	}
	if rule != nil {
		return rule
	}
	inputs := make([]int, len(c.coins))
	for k := range inputs {
		inputs[k] = k
	}
	if rule, err = c.decide(tb.Context(), c.spends(), inputs); err != nil {
		tb.Fatal(err)
	}
	return rule
}

// TestMainnetBlocksExactly validates the vectors without batches.
func TestMainnetBlocksExactly(t *testing.T) {
	for _, height := range testvectors.MainnetHeights() {
		if height == 866342 && testing.Short() {
			continue
		}
		m := loadMainnet(t, height)
		b, err := Parse(m.raw)
		if err != nil {
			t.Fatal(err)
		}
		if rule := exactVerdict(t, newValidator(t, "main", Options{}), b, m.at()); rule != nil {
			t.Errorf("block %d: %v", height, rule)
		}
	}
}

func TestMainnetBlocks(t *testing.T) {
	headers := []Rule{header.BadPrevBlock, header.BadDiffBits, header.TimeTooOld}
	for _, want := range []Verdict{
		{Height: 170, Transactions: 2, Inputs: 1, Signatures: 1, Unchecked: append(headers, RepeatedTx)},
		{Height: 150013, Transactions: 47, Inputs: 94, Signatures: 94, Unchecked: append(headers, RepeatedTx)},
		{Height: 367891, Transactions: 420, Inputs: 20817, Signatures: 824, Unchecked: headers},
		{Height: 757739, Transactions: 63, Inputs: 91, Signatures: 112, Unchecked: append(headers, NonFinal)},
		{Height: 866342, Transactions: 4864, Inputs: 7972, Signatures: 8052, Unchecked: append(headers, NonFinal)},
	} {
		t.Run(fmt.Sprint(want.Height), func(t *testing.T) {
			m := loadMainnet(t, want.Height)
			got := checkRaw(t, newValidator(t, "main", Options{}), m.raw, m.at())
			if !got.Valid() {
				t.Fatalf("verdict %v", got.Err)
			}
			if got.Height != want.Height || got.Transactions != want.Transactions || got.Inputs != want.Inputs ||
				got.Signatures != want.Signatures || got.Prevouts != Node {
				t.Errorf("verdict %+v, want %+v", got, want)
			}
			if !slices.Equal(got.Unchecked, want.Unchecked) {
				t.Errorf("unchecked %v, want %v", got.Unchecked, want.Unchecked)
			}
			if s := got.Stages; s.Parse <= 0 || s.Lookup <= 0 || s.Rules <= 0 || s.Scripts <= 0 {
				t.Errorf("stages %+v, want a time for each", s)
			}
		})
	}
}
