package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/utxocache/corefile"
)

// twoInputs returns a block whose second transaction spends two coins.
func twoInputs(tb testing.TB) *spending {
	tb.Helper()
	var msg wire.MsgBlock
	coinbase := wire.NewMsgTx(1)
	coinbase.AddTxIn(wire.NewTxIn(&wire.OutPoint{Index: wire.MaxPrevOutIndex}, []byte{0, 0}, nil))
	coinbase.AddTxOut(wire.NewTxOut(50e8, []byte{0x51}))
	spend := wire.NewMsgTx(2)
	spend.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: chainhash.Hash{7}, Index: 1}, nil, nil))
	spend.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: chainhash.Hash{8}, Index: 0}, nil, nil))
	spend.AddTxOut(wire.NewTxOut(1, []byte{0x51}))
	for _, tx := range []*wire.MsgTx{coinbase, spend} {
		if err := msg.AddTransaction(tx); err != nil {
			tb.Fatal(err)
		}
	}
	var raw bytes.Buffer
	if err := msg.Serialize(&raw); err != nil {
		tb.Fatal(err)
	}
	b, err := blockval.Parse(raw.Bytes())
	if err != nil {
		tb.Fatal(err)
	}
	s, err := newSpending(Tip{b.Hash, 500}, b, []int{0, 1})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// verboseJSON returns the answer for the block of s in which the inputs spend
// coins.
func verboseJSON(s *spending, coins []Prevout) string {
	var vin []string
	for i, in := range s.txs()[0].TxIn {
		c := &coins[i]
		vin = append(vin, fmt.Sprintf(`{"txid":"%s","vout":%d,"scriptSig":{"asm":"\"]}\\","hex":""},"prevout":{"generated":%t,"height":%d,"value":%d.%08d,"scriptPubKey":{"asm":"1","hex":"%x"}}}`,
			in.PreviousOutPoint.Hash, in.PreviousOutPoint.Index, c.Coinbase, c.Height, c.Value/1e8, c.Value%1e8, c.Script))
	}
	return fmt.Sprintf(`{"hash":"%s","height":500,"tx":[{"txid":"%s","vin":[{"coinbase":"0000"}]},{"vin":[%s],"txid":"%s"}],"more":{"a":[1,{}]}}`,
		s.Hash, s.body.Txids[0], strings.Join(vin, ","), s.body.Txids[1])
}

func twoCoins() []Prevout {
	return []Prevout{
		{Coin: blockval.Coin{Value: 123456789, Script: []byte{0x51, 0xff}, Height: 7}},
		{Coin: blockval.Coin{Value: corefile.MaxMoney, Script: []byte{}, Height: 499, Coinbase: true}},
	}
}

func TestVerboseBlock(t *testing.T) {
	s := twoInputs(t)
	whole := verboseJSON(s, twoCoins())
	v := verboseBlock{s: s}
	if err := json.Unmarshal([]byte(whole), &v); err != nil || !slices.EqualFunc(v.coins, twoCoins(), samePrevout) {
		t.Fatalf("%+v, %v", v.coins, err)
	}
	for _, tt := range []struct{ old, new, want string }{
		{`"hash":`, `"Hash":`, "hash or tx is missing"},
		{`"tx":`, `"txs":`, "hash or tx is missing"},
		{`"tx":[`, `"tx":[{},`, "txid or vin is missing"},
		{`}],"more"`, `},{}],"more"`, "more than the block's 2 transactions"},
		{`"vin":[{"txid"`, `"vin":[{},{"txid"`, "txid or vout is missing"},
		{`"vin":[{"coinbase":"0000"}]`, `"vin":[]`, "0 inputs, it has 1"},
		{`"vin":[{"coinbase":"0000"}]`, `"vin":[{},{}]`, "more than its 1 inputs"},
		{`"vout":1`, `"vout":4294967296`, "is not a number from 0 to 4294967295"},
		{`"vout":1`, `"vout":-1`, "is not a number"},
		{`"vout":1`, `"vout":"1"`, "is not a number"},
		{`"vout":1`, `"vout":0`, "the block spends 1"},
		{`"generated":false`, `"generated":0`, "is not true or false"},
		{`"height":7`, `"height":2147483648`, "is not a number from 0 to 2147483647"},
		{`"height":7`, `"height":null`, "is not a number"},
		{`"value":1.23456789`, `"value":1.234567890`, "is not an amount"},
		{`"value":1.23456789`, `"value":-1.2`, "is not an amount"},
		{`"value":1.23456789`, `"value":21000000.00000001`, "more than there are"},
		{`"value":1.23456789`, `"value":"1.2"`, "is not an amount"},
		{`"hex":"51ff"`, `"hex":"51f"`, "hexadecimal"},
		{`"hex":"51ff"`, `"hex":51`, "hexadecimal"},
		{`"scriptPubKey":{"asm":"1","hex":"51ff"}`, `"scriptPubKey":"51ff"`, "not the JSON"},
		{`"scriptPubKey":{"asm":"1","hex":"51ff"}`, `"scriptPubKey":{}`, "is missing"},
		{`"prevout":{"generated":false`, `"prevout":null,"other":{"generated":false`, "not the JSON"},
		{`{"hash":`, `[{"hash":`, ""},
	} {
		text := strings.Replace(whole, tt.old, tt.new, 1)
		if text == whole {
			t.Errorf("nothing is replaced by %s", tt.new)
		}
		if tt.new[0] == '[' {
			text += "]"
		}
		v := verboseBlock{s: s}
		if err := json.Unmarshal([]byte(text), &v); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.new, err, tt.want)
		}
	}
	short := fmt.Sprintf(`{"hash":"%s","tx":[{"txid":"%s","vin":[{}]}]}`, s.Hash, s.body.Txids[0])
	if err := json.Unmarshal([]byte(short), &v); err == nil || !strings.Contains(err.Error(), "1 transactions, the block has 2") {
		t.Errorf("without a transaction: %v", err)
	}
	v = verboseBlock{s: s}
	if err := json.Unmarshal([]byte(strings.Replace(whole, `"prevout"`, `"prevous"`, 1)), &v); err != nil || !v.coins[0].Missing || v.coins[1].Missing {
		t.Errorf("without a prevout: %+v, %v", v.coins, err)
	}
}

// FuzzVerboseBlock has answers that are taken tell coins that are told again in
// the usual form.
func FuzzVerboseBlock(f *testing.F) {
	s := twoInputs(f)
	whole := verboseJSON(s, twoCoins())
	f.Add([]byte(whole))
	f.Add([]byte(strings.ReplaceAll(whole, ",", " ,\n")))
	f.Add([]byte(strings.ReplaceAll(whole, `"vin"`, `"vin":[],"vin"`)))
	f.Add([]byte(`{"tx":[[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v := verboseBlock{s: s}
		// Also of what encoding/json would have refused.
		direct := v.UnmarshalJSON(data)
		checked := verboseBlock{s: s}
		if err := json.Unmarshal(data, &checked); err != nil {
			return
		}
		if direct != nil || len(v.coins) != s.inputs || !slices.EqualFunc(v.coins, checked.coins, samePrevout) {
			t.Fatalf("%+v, %v, by way of encoding/json %+v", v.coins, direct, checked.coins)
		}
		if slices.ContainsFunc(v.coins, func(p Prevout) bool { return p.Missing }) {
			return
		}
		again := verboseBlock{s: s}
		if err := json.Unmarshal([]byte(verboseJSON(s, v.coins)), &again); err != nil || !slices.EqualFunc(v.coins, again.coins, samePrevout) {
			t.Fatalf("%+v becomes %+v, %v", v.coins, again.coins, err)
		}
	})
}

// FuzzJSONScan has the walk end where valid JSON does, and nowhere crash.
func FuzzJSONScan(f *testing.F) {
	for _, s := range []string{`{}`, `[]`, ` [1, {"a\\\"":"]"}, null ] `, `"\\"`, `"\u0022"`, `-1.5e3`, `{"a":{"b":[[],[{}]]}}`, `[`, `"`, ``, `{"a"}`, `}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := jsonScan{data: data}
		err := d.skip()
		if json.Valid(data) && (err != nil || d.space() != 0 || d.at != len(data)) {
			t.Fatalf("%q: %v, at byte %d", data, err, d.at)
		}
		var walk func(d *jsonScan) error
		walk = func(d *jsonScan) error {
			switch d.space() {
			case '{':
				return d.object(func([]byte) error { return walk(d) })
			case '[':
				return d.array(func() error { return walk(d) })
			}
			_, err := d.scalar()
			return err
		}
		d = jsonScan{data: data}
		if err := walk(&d); json.Valid(data) && (err != nil || d.space() != 0 || d.at != len(data)) {
			t.Fatalf("%q: walked %v, to byte %d", data, err, d.at)
		}
	})
}

// FuzzParseBitcoins compares amounts with exact fractions.
func FuzzParseBitcoins(f *testing.F) {
	for _, s := range []string{"0", "0.00000001", "21000000.00000000", "20999999.99999999", "21000000.00000001", "1.1", "1.", ".1", "1e8", "+1", "1_0", "99999999.99999999", "0x1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseBitcoins([]byte(s))
		plain := s != "" && strings.Trim(s, "0123456789.") == "" && strings.Count(s, ".") <= 1
		if err != nil {
			whole, decimals, _ := strings.Cut(s, ".")
			if exact, ok := new(big.Rat).SetString(s); ok && plain && len(whole) > 0 && len(whole) <= 8 && len(decimals) <= 8 &&
				!strings.HasSuffix(s, ".") && exact.Cmp(big.NewRat(21_000_000, 1)) <= 0 {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		exact, ok := new(big.Rat).SetString(s)
		if !plain || !ok || exact.Mul(exact, big.NewRat(1e8, 1)).Cmp(big.NewRat(got, 1)) != 0 || got > corefile.MaxMoney {
			t.Fatalf("%q becomes %d", s, got)
		}
	})
}

// BenchmarkSpent reads the recorded block with the most inputs from each source,
// by the fake node and from the recorded files.
func BenchmarkSpent(b *testing.B) {
	rec := spentRecording(b, "bitcoind/zoo/")
	blocks := spentChain(b, rec, rec.Chain[len(rec.Chain)-1])
	block := slices.MaxFunc(blocks, func(x, y *spentBlock) int { return len(x.want) - len(y.want) })
	for _, name := range allSpentSources {
		b.Run(name, func(b *testing.B) {
			fake := nodetest.NewBitcoind(b, rec, nodetest.BitcoindOptions{})
			cfg := bitcoindConfig(fake)
			cfg.BlocksDir = rec.WriteBlocks(b)
			benchmarkSpent(b, cfg, name, block.tip, block.body)
		})
	}
}

func benchmarkSpent(b *testing.B, cfg BitcoindConfig, name string, tip Tip, body *blockval.Block) {
	b.Helper()
	n := newBitcoind(b, cfg)
	only(n, name)
	var places []int
	for _, tx := range body.Msg.Transactions[1:] {
		for range tx.TxIn {
			places = append(places, len(places))
		}
	}
	for b.Loop() {
		if _, err := n.Spent(b.Context(), tip, body, places); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(places))*float64(b.N)/b.Elapsed().Seconds(), "inputs/s")
}
