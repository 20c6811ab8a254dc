package sidecar

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/utxocache"
)

// aTrial returns a valid block of two transactions on a chain of regtest's, and
// all that is to say of its coins.
func aTrial(t testing.TB) exhibit {
	t.Helper()
	btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	btcd.Mine(110)
	btcd.AddTxs(2)
	btcd.Mine(1)
	var chain header.Chain
	made := make(map[wire.OutPoint]utxocache.Answer)
	var x exhibit
	for height, hash := range btcd.Chain() {
		raw := btcd.Block(hash)
		b, err := blockval.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		x = exhibit{Tip: node.Tip{Hash: hash, Height: uint32(height)}, header: b.Header, raw: raw, ancestors: chain, taken: true}
		x.told.knew = true
		for i, tx := range b.Msg.Transactions {
			for _, in := range tx.TxIn {
				if i > 0 {
					x.told.ops = append(x.told.ops, in.PreviousOutPoint)
					x.told.answers = append(x.told.answers, made[in.PreviousOutPoint])
				}
			}
			for vout, out := range tx.TxOut {
				made[wire.OutPoint{Hash: b.Txids[i], Index: uint32(vout)}] = utxocache.Answer{
					State: utxocache.Unspent, Own: true,
					Coin: utxocache.Coin{Value: out.Value, Script: out.PkScript, Height: uint32(height), Coinbase: i == 0},
				}
			}
		}
		chain = append(chain, b.Header)
	}
	if len(x.told.ops) != 2 {
		t.Fatalf("the block has %d inputs", len(x.told.ops))
	}
	return x
}

// Whatever was said of the coins is in the bundle, and leads to the same verdict.
func TestRetrial(t *testing.T) {
	for _, tt := range []struct {
		name     string
		change   func(t *testimony)
		rule     blockval.Rule
		prevouts blockval.Source
		missing  bool
		first    int64 // value of the first spent output in the file
	}{
		{"valid", func(*testimony) {}, "", blockval.Own, false, 50e8},
		{"of the node", func(t *testimony) { t.answers[1].Own = false }, "", blockval.Node, false, 50e8},
		{"missing", func(t *testimony) { t.answers[0] = utxocache.Answer{State: utxocache.Absent, Own: true} },
			blockval.MissingInputs, blockval.Own, true, -1},
		{"missing by the node", func(t *testimony) { t.answers[0] = utxocache.Answer{State: utxocache.Absent} },
			blockval.MissingInputs, blockval.Node, true, -1},
		{"of less value", func(t *testimony) { t.answers[0].Coin.Value = 1 }, blockval.InBelowOut, blockval.Own, false, 1},
		{"immature", func(t *testimony) { t.answers[0].Coin.Height = 50 }, blockval.ImmatureCoinbase, blockval.Own, false, 50e8},
		{"false", func(t *testimony) { t.answers[1].Coin.Script = []byte{0} }, blockval.BadScript, blockval.Own, false, 50e8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := aTrial(t)
			tt.change(&x.told)
			retrial(t, x, tt.rule, tt.prevouts)
			content, why := spentOf(&x)
			if why != "" || bytes.Contains(content, []byte(`"missing":true`)) != tt.missing {
				t.Errorf("the spent outputs are %s (%s)", content, why)
			}
			told, err := new(bundleBlock).testimony(content)
			if err != nil {
				t.Fatal(err)
			}
			// What is missing has no value that counts.
			value := told.answers[0].Coin.Value
			if tt.missing {
				value = -1
			}
			if value != tt.first {
				t.Errorf("the first is of %d satoshis, want %d", value, tt.first)
			}
		})
	}
	t.Run("repeated", func(t *testing.T) {
		x := aTrial(t)
		b, err := blockval.Parse(x.raw)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 * maxRepeated {
			x.told.unspent = append(x.told.unspent, wire.OutPoint{Hash: b.Txids[1], Index: 1})
		}
		retrial(t, x, blockval.RepeatedTx, "")
	})
	t.Run("undecodable", func(t *testing.T) {
		x := aTrial(t)
		x.raw, x.told = append(x.raw, 0), testimony{}
		retrial(t, x, blockval.BlockDecode, "")
	})
}

// retrial keeps evidence of the verdict that x leads to, which must break rule,
// and judges it again.
func retrial(t *testing.T, x exhibit, rule blockval.Rule, prevouts blockval.Source) {
	t.Helper()
	e := newEvidence(t, filepath.Join(t.TempDir(), "evidence"), 1, 1<<30)
	v, err := rejudge(t.Context(), e.params, []exhibit{x}, time.Unix(int64(x.header.Time()), 0), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := blockval.Rule(verdictOf(&v).Rule); got != rule || v.Prevouts != prevouts || len(v.Unchecked) != 0 {
		t.Fatalf("verdict %v on the word of %q, unchecked %v, want %q", v.Err, v.Prevouts, v.Unchecked, rule)
	}
	path, err := e.keep(t.Context(), &Report{Verdict: v, NodeValid: rule != "", Outcome: Differ}, []exhibit{x})
	if err != nil {
		t.Fatal(err)
	}
	e.tryAgain(t.Context(), <-e.retrials.waiting)
	if b := checkRetrial(t, path); b.Outrider.Rule != string(rule) || b.Outrider.Prevouts != string(prevouts) ||
		b.Again.Prevouts != string(prevouts) || len(b.Again.Unchecked) != 0 {
		t.Errorf("verdict.json: %+v, %+v", b.Outrider, b.Again)
	}
	if r, err := JudgeEvidence(t.Context(), path); err != nil || r.Now.Prevouts != string(prevouts) || len(r.Now.Unchecked) != 0 {
		t.Errorf("judged again: %+v (%v)", r, err)
	}
}

// Evidence that is damaged, or is of something else, is no verdict.
func TestRetrialOfDamagedEvidence(t *testing.T) {
	x := aTrial(t)
	e := newEvidence(t, filepath.Join(t.TempDir(), "evidence"), 1, 1<<30)
	v := blockval.Verdict{Hash: x.Hash, Height: x.Height}
	path, err := e.keep(t.Context(), &Report{Verdict: v, Outcome: Differ}, []exhibit{x})
	if err != nil {
		t.Fatal(err)
	}
	e.tryAgain(t.Context(), <-e.retrials.waiting)
	checkRetrial(t, path)
	for _, name := range []string{verdictFile, headersFile, blockFile(x.Height), spentFile(x.Height)} {
		file := filepath.Join(path, name)
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		empty, err := pack(nil)
		if err != nil {
			t.Fatal(err)
		}
		for what, content := range map[string][]byte{
			"empty": {}, "half": whole[:len(whole)/2], "no content": empty, "more": append(bytes.Clone(whole), whole...), "gone": nil,
		} {
			if what == "gone" {
				err = os.Remove(file)
			} else {
				err = os.WriteFile(file, content, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			r, err := JudgeEvidence(t.Context(), path)
			if name == blockFile(x.Height) && (what == "no content" || what == "more") {
				// It is a block that cannot be decoded, and that is a verdict.
				if err != nil || r.Now.Rule != string(blockval.BlockDecode) || r.Same {
					t.Errorf("%s, %s: %+v (%v)", name, what, r, err)
				}
				continue
			}
			if !errors.Is(err, ErrUnjudged) || r != nil {
				t.Errorf("%s, %s: %+v (%v)", name, what, r, err)
			}
		}
		if err := os.WriteFile(file, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	checkRetrial(t, path)
	for from, to := range map[string]string{
		`"format": 1`: `"format": 2`, `"network": "regtest"`: `"network": "moon"`, `"blocks": [`: `"clocks": [`,
	} {
		file := filepath.Join(path, verdictFile)
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.Replace(string(whole), from, to, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := JudgeEvidence(t.Context(), path); !errors.Is(err, ErrUnjudged) {
			t.Errorf("%s: %v", to, err)
		}
		if err := os.WriteFile(file, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// What a bundle holds may come from anywhere: reading it neither panics nor
// takes much more memory than it has bytes.
func FuzzEvidence(f *testing.F) {
	x := aTrial(f)
	spent, why := spentOf(&x)
	if why != "" {
		f.Fatal(why)
	}
	headers, why := headersOf(keptHeaders{3: x.header, 110: x.header})
	if why != "" {
		f.Fatal(why)
	}
	packed, err := pack(spent)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(spent, headers, packed, "ab:1")
	f.Add([]byte("[]"), []byte("[]"), []byte{}, x.told.ops[0].String())
	f.Add([]byte(`[{"outpoint":"x"}]`), []byte(`[{"header":"00"}]`), []byte("\x28\xb5\x2f\xfd"), "")
	f.Fuzz(func(t *testing.T, spent, headers, packed []byte, repeated string) {
		told, err := (&bundleBlock{Repeated: []string{repeated}}).testimony(spent)
		if err == nil && (len(told.ops) != len(told.answers) || len(told.ops) > len(spent)) {
			t.Errorf("%d outpoints and %d answers of %d bytes", len(told.ops), len(told.answers), len(spent))
		}
		if kept, err := decodeHeaders(headers); err == nil {
			content, why := headersOf(kept)
			if again, err := decodeHeaders(content); why != "" || err != nil || len(again) != len(kept) {
				t.Errorf("%d headers become %d (%v, %s)", len(kept), len(again), err, why)
			}
		}
		if data, err := unpack(packed, 1<<16); err == nil && len(data) > 1<<16 {
			t.Errorf("unpacked %d bytes, more than allowed", len(data))
		}
	})
}
