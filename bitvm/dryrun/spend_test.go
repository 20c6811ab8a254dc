package dryrun

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/txscript/v2"
)

// file writes a spend as Parse reads it.
func file(t testing.TB, s *Spend) []byte {
	t.Helper()
	var raw bytes.Buffer
	if err := s.Tx.Serialize(&raw); err != nil {
		t.Fatal(err)
	}
	f := map[string]any{"tx": hex.EncodeToString(raw.Bytes())}
	var prevouts []any
	for i, p := range s.Prevouts {
		if p == nil {
			prevouts = append(prevouts, nil)
			continue
		}
		at := s.Tx.TxIn[i].PreviousOutPoint
		prevouts = append(prevouts, map[string]any{
			"value": p.Value, "scriptPubKey": hex.EncodeToString(p.PkScript), "txid": at.Hash.String(), "vout": at.Index,
		})
	}
	f["prevouts"] = prevouts
	if s.Input >= 0 {
		f["input"] = s.Input
	}
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A spend that was written is read as it was.
func TestParse(t *testing.T) {
	all := spend(tapLeaf(t, ops(txscript.OP_1)), payToKeyHash())
	all.sign(t, 1)
	single := spend(payToWitnessKeyHash(), payToWitnessKeyHash())
	single.sign(t, 1)
	single.Prevouts[0], single.Input = nil, 1
	for name, s := range map[string]*Spend{"all": all, "one": single, "large": bigLeaf(t)} {
		got, err := Parse(file(t, s))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.Tx.WitnessHash() != s.Tx.WitnessHash() || got.Input != s.Input {
			t.Errorf("%s: another transaction, or input %d", name, got.Input)
		}
		for i, p := range s.Prevouts {
			if q := got.Prevouts[i]; (p == nil) != (q == nil) || p != nil && (p.Value != q.Value || !bytes.Equal(p.PkScript, q.PkScript)) {
				t.Errorf("%s: prevout %d is %+v, want %+v", name, i, q, p)
			}
		}
		if r := run(t, got); !r.Passed {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// What is not of the form is refused with a word on what to do.
func TestParseRefuses(t *testing.T) {
	good := string(file(t, spend(tapLeaf(t, ops(txscript.OP_1)))))
	if _, err := Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	change := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q in %s", old, good)
		}
		return strings.Replace(good, old, new, 1)
	}
	var f struct{ Tx string }
	if err := json.Unmarshal([]byte(good), &f); err != nil {
		t.Fatal(err)
	}
	txid := spend(tapLeaf(t, ops(txscript.OP_1))).Tx.TxIn[0].PreviousOutPoint.Hash.String()
	// 4 bytes of version, marker and flag, and then counts that nothing follows.
	bomb := func(counts string) string { return `{"tx":"02000000` + counts + `","prevouts":[]}` }
	for name, tt := range map[string]struct{ file, want string }{
		"nothing":             {"", "want JSON"},
		"no JSON":             {"0200", "want JSON"},
		"two":                 {good + good, "follows"},
		"another field":       {change(`"tx"`, `"feerate":1,"tx"`), "feerate"},
		"no tx":               {`{"prevouts":[]}`, "tx is missing"},
		"no hexadecimal":      {change(f.Tx, "xyz"), "not hexadecimal"},
		"too short":           {change(f.Tx, f.Tx[:len(f.Tx)-2]), "ends too early"},
		"too long":            {change(f.Tx, f.Tx+"00"), "1 bytes follow"},
		"too large":           {change(f.Tx, strings.Repeat("0", 2*MaxTx+2)), "no block has room"},
		"inputs for nothing":  {bomb("feffffff7f"), "counts more"},
		"outputs for nothing": {bomb("00"), "ends too early"},
		"items for nothing": {bomb("000101" + strings.Repeat("00", 36) + "00ffffffff" + "01" + strings.Repeat("00", 8) + "00" + "fe00093d00" + "00000000"),
			"counts more"},
		"too many items": {bomb("000101" + strings.Repeat("00", 36) + "00ffffffff" + "01" + strings.Repeat("00", 8) + "00" + "fea1860100" + strings.Repeat("00", 100_001) + "00000000"),
			"100000 items"},
		"no inputs":          {bomb("000100" + "00" + "00000000"), "tx"},
		"no prevouts":        {`{"tx":"` + f.Tx + `"}`, "0 prevouts for 1 inputs"},
		"a prevout too much": {change(`"prevouts":[`, `"prevouts":[null,`), "2 prevouts for 1 inputs"},
		"null":               {`{"tx":"` + f.Tx + `","prevouts":[null]}`, "prevout 0 is null"},
		"no value":           {change(`"value"`, `"vout"`), "value is missing"},
		"a value in coins":   {change("100000", "0.001"), "want JSON"},
		"negative":           {change("100000", "-1"), "-1 satoshis"},
		"more than there is": {change("100000", "2100000000000001"), "2100000000000001 satoshis"},
		"script":             {change(`"scriptPubKey":"51`, `"scriptPubKey":"5`), "scriptPubKey is not hexadecimal"},
		"another txid":       {change(txid, strings.Repeat("ab", 32)), "inputs' order"},
		"a short txid":       {change(txid, "ab"), "64 hexadecimal digits"},
		"another vout":       {change(`"vout":0`, `"vout":7`), "inputs' order"},
		"no such input":      {change(`"prevouts"`, `"input":1,"prevouts"`), "there is no input 1"},
		"input -1":           {change(`"prevouts"`, `"input":-1,"prevouts"`), "leave it out"},
	} {
		if _, err := Parse([]byte(tt.file)); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want a word on %q", name, err, tt.want)
		}
	}
	if _, err := Parse(make([]byte, MaxInput+1)); !errors.Is(err, ErrInput) {
		t.Error(err)
	}
	if _, err := Run(context.Background(), new(Spend), nil); !errors.Is(err, ErrInput) {
		t.Error(err)
	}
}

// Counts without what they count make nobody allocate for them.
func TestCountsAllocateNothing(t *testing.T) {
	data := fmt.Appendf(nil, `{"tx":"02000000fe%s","prevouts":[]}`, "20a10700")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Parse(data); err == nil {
		t.Error("half a million inputs that are not there are taken")
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes", used)
	}
}

// FuzzParse reads any bytes, and runs what is a spend.
func FuzzParse(f *testing.F) {
	s := spend(tapLeaf(f, ops(txscript.OP_1)), payToKeyHash())
	s.sign(f, 1)
	f.Add(file(f, s))
	s.Input, s.Prevouts[0] = 1, nil
	f.Add(file(f, s))
	f.Add([]byte(`{"tx":"02000000000100","prevouts":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrInput) {
				t.Error(err)
			}
			return
		}
		r := run(t, s)
		again, err := Parse(file(t, s))
		if err != nil {
			t.Fatal(err)
		}
		if r2 := run(t, again); r2.Passed != r.Passed || r2.TxID != r.TxID {
			t.Errorf("%+v, and again %+v", r, r2)
		}
	})
}

// FuzzTx decodes any bytes as a transaction, which are written as they were.
func FuzzTx(f *testing.F) {
	s := spend(tapLeaf(f, ops(txscript.OP_1)), payToKeyHash())
	var raw bytes.Buffer
	if err := s.Tx.Serialize(&raw); err != nil {
		f.Fatal(err)
	}
	f.Add(raw.Bytes())
	f.Add([]byte{2, 0, 0, 0, 0, 1, 0xfe, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		tx, err := decodeTx(hex.EncodeToString(b))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := tx.Serialize(&again); err != nil || !bytes.Equal(again.Bytes(), b) {
			t.Errorf("%x became %x (%v)", b, again.Bytes(), err)
		}
	})
}
