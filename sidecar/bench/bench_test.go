package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/testvectors"
)

// mainnet returns a mainnet block as input.
func mainnet(t *testing.T, height uint32) BlockInput {
	t.Helper()
	raw, outputs := testvectors.LoadMainnet(t, height, "that the benchmark judges real blocks")
	in := BlockInput{Network: "mainnet", Height: height, Raw: raw}
	for _, o := range outputs {
		in.Spent = append(in.Spent, blockval.Coin{Value: o.Value, Script: o.Script, Height: o.Height, Coinbase: o.Coinbase})
	}
	return in
}

func TestBlockReport(t *testing.T) {
	rep, err := Block(t.Context(), mainnet(t, 757739), BlockOptions{Rounds: 1})
	if err != nil {
		t.Fatal(err)
	}
	if !rep.Valid || rep.Rule != "" || rep.Transactions != 63 || rep.Inputs != 91 || rep.Prevouts != blockval.Node {
		t.Errorf("got %+v", rep)
	}
	var out bytes.Buffer
	if err := WriteJSON(&out, rep); err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(out.Bytes(), &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"machine", "rows", "valid", "rule", "unchecked", "transactions", "inputs", "signatures"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("the report has no field %q", name)
		}
	}
	if unchecked, _ := fields["unchecked"].([]any); !slices.Contains(unchecked, any("time-too-old")) {
		t.Errorf("unchecked is %v: a block alone does not tell the median time past", fields["unchecked"])
	}
	row := fields["rows"].([]any)[0].(map[string]any)
	for _, name := range []string{"name", "value", "unit", "anchor", "anchor_value", "ratio"} {
		if _, ok := row[name]; !ok {
			t.Errorf("a row has no field %q", name)
		}
	}
	out.Reset()
	if err := rep.WriteTable(&out); err != nil || !strings.Contains(out.String(), "block/total/1core") {
		t.Errorf("table (%v):\n%s", err, out.String())
	}
}

func TestBlockNamesTheBrokenRule(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*BlockInput)
		rule  blockval.Rule
	}{
		{"header", func(in *BlockInput) { in.Raw[76] ^= 1 }, header.HighHash},
		{"transaction", func(in *BlockInput) { in.Raw[len(in.Raw)-1] ^= 1 }, blockval.BadMerkleRoot},
		{"cut short", func(in *BlockInput) { in.Raw = in.Raw[:len(in.Raw)-1] }, blockval.BlockDecode},
		{"too long", func(in *BlockInput) { in.Raw = append(in.Raw, 0) }, blockval.BlockDecode},
		{"nothing", func(in *BlockInput) { in.Raw = nil }, blockval.BlockDecode},
		{"value", func(in *BlockInput) { in.Spent[0].Value-- }, ""},
		{"script", func(in *BlockInput) { in.Spent[0].Script = []byte{0x51, 0x88} }, blockval.BadScript},
		{"young coinbase", func(in *BlockInput) { in.Spent[0].Coinbase, in.Spent[0].Height = true, 100 }, blockval.ImmatureCoinbase},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := mainnet(t, 170)
			tt.spoil(&in)
			rep, err := Block(t.Context(), in, BlockOptions{Rounds: 1})
			if err != nil {
				t.Fatal(err)
			}
			if rep.Valid || rep.Rule == "" || tt.rule != "" && rep.Rule != tt.rule {
				t.Errorf("valid %v, rule %q, want %q", rep.Valid, rep.Rule, tt.rule)
			}
			if rep.Rows == nil || len(rep.Rows) > 0 {
				t.Errorf("an invalid block has the rows %v, want none and not null", rep.Rows)
			}
		})
	}
}

func TestBlockWithoutItsSpentOutputs(t *testing.T) {
	in := mainnet(t, 170)
	in.Spent = nil
	if _, err := Block(t.Context(), in, BlockOptions{Rounds: 1}); !errors.Is(err, ErrUnjudged) || !strings.Contains(err.Error(), "has 0 coins, the block spends 1") {
		t.Errorf("got %v", err)
	}
	in = mainnet(t, 170)
	in.Spent = append(in.Spent, in.Spent...)
	if _, err := Block(t.Context(), in, BlockOptions{Rounds: 1}); !errors.Is(err, ErrUnjudged) || !strings.Contains(err.Error(), "has 2 coins, the block spends 1") {
		t.Errorf("got %v", err)
	}
	in = BlockInput{Network: "regtest", Height: 1, Spent: in.Spent[:1]}
	in.Raw = nodetest.NewBtcd(t, nodetest.BtcdOptions{}).MineAt(time.Now())
	if _, err := Block(t.Context(), in, BlockOptions{Rounds: 1}); !errors.Is(err, ErrUnjudged) || !strings.Contains(err.Error(), "has 1 coins, the block spends 0") {
		t.Errorf("got %v", err)
	}
	in.Network = "mainent"
	if _, err := Block(t.Context(), in, BlockOptions{Rounds: 1}); !errors.Is(err, ErrUnjudged) || !strings.Contains(err.Error(), "regtest") {
		t.Errorf("got %v", err)
	}
}

func TestFiguresOfMerit(t *testing.T) {
	if got := median([]float64{5, 1, 3}); got != 3 {
		t.Errorf("median of three: %v", got)
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median of four: %v", got)
	}
	if median(nil) != 0 || quantile(nil, 0.5) != 0 {
		t.Error("nothing has a median")
	}
	vs := []float64{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}
	if quantile(vs, 0.5) != 5 || quantile(vs, 0.99) != 10 || quantile(vs, 0.01) != 1 {
		t.Errorf("quantiles: %v %v %v", quantile(vs, 0.5), quantile(vs, 0.99), quantile(vs, 0.01))
	}
	row := lessIsBetter("x", 2, "ms", "y", 8)
	if math.Abs(row.Ratio-4) > 1e-9 {
		t.Errorf("2 ms beside 8 ms is %v times better", row.Ratio)
	}
	m := ThisMachine()
	if m.Cores < 1 || m.Go == "" || m.OS == "" {
		t.Errorf("machine: %+v", m)
	}
}
