package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"testing"

	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// madeBy returns every output of a recording's blocks.
func madeBy(t *testing.T, rec *nodetest.BitcoindRecording) map[wire.OutPoint]blockval.Coin {
	t.Helper()
	made := make(map[wire.OutPoint]blockval.Coin)
	for hash, raw := range rec.Blocks {
		b, err := blockval.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		for i, tx := range b.Msg.Transactions {
			for vout, out := range tx.TxOut {
				made[wire.OutPoint{Hash: b.Txids[i], Index: uint32(vout)}] = blockval.Coin{
					Value: out.Value, Script: out.PkScript, Height: rec.Height(hash), Coinbase: i == 0,
				}
			}
		}
	}
	return made
}

func sameCoin(a, b *blockval.Coin) bool {
	return a.Missing == b.Missing && a.Value == b.Value && bytes.Equal(a.Script, b.Script) && a.Height == b.Height && a.Coinbase == b.Coinbase
}

// Every answer of a real bitcoind's gettxout is the coin that its block made.
func TestTxOutAsRecorded(t *testing.T) {
	rec := spentRecording(t, "bitcoind/zoo/")
	made := madeBy(t, rec)
	coins := 0
	for _, c := range rec.Calls {
		if c.Request.Method != "gettxout" || c.Response.Result == nil {
			continue
		}
		var params []json.RawMessage
		var txid displayHash
		var n uint32
		if err := errors.Join(json.Unmarshal(c.Request.Params, &params), json.Unmarshal(params[0], &txid), json.Unmarshal(params[1], &n)); err != nil {
			t.Fatalf("recorded %s: %v", c.RawRequest, err)
		}
		var out txOut
		if err := out.decode(&answer{Result: c.Response.Result}, parseBitcoins); err != nil {
			t.Errorf("%s: %v", c.Response.Result, err)
			continue
		}
		if !out.known || out.confirmations == 0 {
			continue // is none, or was asked for with the mempool
		}
		got, err := out.prevout(rec.Height(out.best))
		want, ok := made[wire.OutPoint{Hash: chainhash.Hash(txid), Index: n}]
		if err != nil || ok && !sameCoin(&got.Coin, &want) {
			t.Errorf("%s: %+v (%v), want %+v", c.Response.Result, got, err, want)
		}
		if ok {
			coins++
		}
	}
	if coins < 20 {
		t.Errorf("only %d coins were recorded", coins)
	}
}

func TestBitcoindUnspent(t *testing.T) {
	core := nodetest.NewCore(t, nodetest.CoreOptions{BitcoindOptions: nodetest.BitcoindOptions{NoTxIndex: true}})
	b, err := NewBitcoind(BitcoindConfig{Address: core.Addr(), CookieFile: core.CookieFile()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	testUnspent(t, b, &core.Tree)
}

func TestBtcdUnspent(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true, NoTxIndex: true})
	b, err := NewBtcd(BtcdConfig{Address: fake.Addr(), User: nodetest.User, Password: nodetest.Password, NoTLS: true})
	if err != nil {
		t.Fatal(err)
	}
	testUnspent(t, b, &fake.Tree)
	// A tip that moves each time that it is asked for, before all is told.
	height, hash := 0, regexp.MustCompile("[0-9a-f]{64}")
	fake.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
		if method == "getbestblock" {
			height++
			a.Body = hash.ReplaceAll(a.Body, fmt.Appendf(nil, "%064x", height))
		}
		return a
	})
	if _, _, err := b.Unspent(t.Context(), []wire.OutPoint{{}}); !errors.Is(err, ErrMoved) || height != unspentTries+1 {
		t.Errorf("asked for the tip %d times: %v", height, err)
	}
}

// testUnspent has n tell of all coins of a chain: what is unspent is told with its
// height, the rest is missing: what is spent, what the mempool makes, and what was
// never there.
func testUnspent(t *testing.T, n interface {
	Node
	Unspender
}, core *nodetest.Tree) {
	t.Helper()
	core.Mine(110)
	core.AddTxs(70)
	core.Mine(1)
	pending := core.AddTxs(1)[0]
	want := make(map[wire.OutPoint]blockval.Coin)
	missing := blockval.Coin{Missing: true}
	ops := []wire.OutPoint{{Hash: pending}, {Hash: chainhash.Hash{1}}}
	want[ops[0]], want[ops[1]] = missing, missing
	for height, hash := range core.Chain() {
		block, err := blockval.Parse(core.Block(hash))
		if err != nil {
			t.Fatal(err)
		}
		for i, tx := range block.Msg.Transactions {
			for _, in := range tx.TxIn {
				if i > 0 {
					want[in.PreviousOutPoint] = missing
				}
			}
			for vout, out := range tx.TxOut {
				op := wire.OutPoint{Hash: block.Txids[i], Index: uint32(vout)}
				ops = append(ops, op)
				want[op] = blockval.Coin{Value: out.Value, Script: out.PkScript, Height: uint32(height), Coinbase: i == 0}
				if height == 0 || out.PkScript[0] == 0x6a {
					want[op] = missing // never a coin
				}
			}
		}
	}
	got, tip, err := n.Unspent(t.Context(), ops)
	if best, _ := n.Tip(t.Context()); tip != best || tip.Height != 111 {
		t.Errorf("told as of %v, the tip is %v", tip, best)
	}
	if err != nil || len(got) != len(ops) || len(ops) < 200 {
		t.Fatalf("%d of %d: %v", len(got), len(ops), err)
	}
	for i, op := range ops {
		if coin := want[op]; !sameCoin(&got[i].Coin, &coin) || got[i].Block != (chainhash.Hash{}) {
			t.Errorf("%v: %+v, want %+v", op, got[i], coin)
		}
	}
	if got, _, err := n.Unspent(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("of nothing: %v, %v", got, err)
	}
}

// An answer that is none is an error, never a coin and never a missing one.
func TestTxOutDecoding(t *testing.T) {
	const good = `{"bestblock":"4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b","confirmations":3,"value":0.00010000,"scriptPubKey":{"hex":"51"},"coinbase":false}`
	for _, tt := range []struct {
		name, old, new string
		ok             bool
	}{
		{"good", "x", "x", true},
		{"no best block", `"bestblock"`, `"best"`, false},
		{"no confirmations", `"confirmations":3,`, "", false},
		{"no value", `"value":0.00010000,`, "", false},
		{"too much", "0.00010000", "21000000.00000001", false},
		{"negative", "0.00010000", "-0.00010000", false},
		{"no script", `{"hex":"51"}`, `{}`, false},
		{"not hexadecimal", `"51"`, `"5"`, false},
		{"no coinbase", `,"coinbase":false`, "", false},
		{"not confirmed", ":3,", ":0,", false},
		{"confirmed before the first block", ":3,", ":6,", false},
		{"nothing", good, "", false},
	} {
		raw := bytes.Replace([]byte(good), []byte(tt.old), []byte(tt.new), 1)
		var out txOut
		err := out.decode(&answer{Result: raw}, parseBitcoins)
		if err == nil {
			_, err = out.prevout(5)
		}
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	var out txOut
	if err := out.decode(&answer{Result: json.RawMessage("null")}, parseBitcoins); err != nil || out.known {
		t.Errorf("null: %+v, %v", out, err)
	}
}

// btcd tells amounts as JSON encodes floating-point numbers: no satoshi is lost.
func TestFloatBitcoins(t *testing.T) {
	for _, n := range []int64{0, 1, 9, 546, 12_345_678, 99_999_999, 1e8, 5_000_000_001, 21e14 - 1, 21e14} {
		text, err := json.Marshal(btcutil.Amount(n).ToBTC())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseFloatBitcoins(text); err != nil || got != n {
			t.Errorf("%s: %d, %v, want %d", text, got, err, n)
		}
	}
	for _, bad := range []string{"", "null", "-1e-08", "NaN", "Inf", "21000000.00000001", "1e300", `"1"`} {
		if got, err := parseFloatBitcoins([]byte(bad)); err == nil {
			t.Errorf("%q is %d", bad, got)
		}
	}
}

func FuzzTxOut(f *testing.F) {
	f.Add([]byte(`{"bestblock":"4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b","confirmations":3,"value":0.00010000,"scriptPubKey":{"hex":"51"},"coinbase":false}`), uint32(5))
	f.Add([]byte("null"), uint32(0))
	f.Fuzz(func(t *testing.T, raw []byte, best uint32) {
		var out txOut
		parse := parseBitcoins
		if best%2 == 1 {
			parse = parseFloatBitcoins
		}
		if out.decode(&answer{Result: raw}, parse) != nil {
			return
		}
		p, err := out.prevout(best)
		if err == nil && !p.Missing && (p.Height < 1 || p.Height > best || p.Value < 0 || 2*len(p.Script) > len(raw)) {
			t.Errorf("%+v", p)
		}
	})
}
