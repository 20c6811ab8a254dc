package testvectors

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
)

// TestMainnetBlocks has each block decode, and its spent outputs be those of its
// inputs as far as sums can tell: one for each input, worth what the block pays.
func TestMainnetBlocks(t *testing.T) {
	for _, height := range MainnetHeights() {
		t.Run(fmt.Sprint(height), func(t *testing.T) {
			raw, spent := LoadMainnet(t, height, "the mainnet blocks among the vectors")
			var block wire.MsgBlock
			r := bytes.NewReader(raw)
			if err := block.Deserialize(r); err != nil || r.Len() != 0 {
				t.Fatalf("%d bytes are left after the block: %v", r.Len(), err)
			}
			var in, out, coinbase int64
			inputs := 0
			for i, tx := range block.Transactions {
				var sum int64
				for _, o := range tx.TxOut {
					sum += o.Value
				}
				if i == 0 {
					coinbase = sum
					continue
				}
				out += sum
				inputs += len(tx.TxIn)
			}
			for _, o := range spent {
				in += o.Value
				if o.Height > height || o.Time == 0 {
					t.Errorf("block %d spends an output of height %d, time %d", height, o.Height, o.Time)
				}
			}
			if len(spent) != inputs {
				t.Fatalf("%d inputs, %d spent outputs", inputs, len(spent))
			}
			subsidy := int64(50_0000_0000) >> (height / 210_000)
			if fees := in - out; fees < 0 || coinbase != subsidy+fees {
				t.Errorf("the coinbase pays %d, subsidy and fees are %d and %d", coinbase, subsidy, fees)
			}
		})
	}
}

// TestFirstPayment has the one coin that block 170 spends.
func TestFirstPayment(t *testing.T) {
	_, spent := LoadMainnet(t, 170, "the coin of the first payment")
	script, err := hex.DecodeString("410411db93e1dcdb8a016b49840f8c53bc1eb68a382e97b1482ecad7b148a6909a5c" +
		"b2e0eaddfb84ccf9744464f82e160bfa9b8b64f9d4c03f999b8643f656b412a3ac")
	if err != nil {
		t.Fatal(err)
	}
	want := []SpentOutput{{Value: 50_0000_0000, Script: script, Coinbase: true, Height: 9, Time: 1231470988}}
	if !reflect.DeepEqual(spent, want) {
		t.Errorf("block 170 spends %v, want %v", spent, want)
	}
}

// encodeSpent returns the JSON form of outputs.
func encodeSpent(t testing.TB, outputs []SpentOutput) []byte {
	t.Helper()
	list := []any{}
	for _, o := range outputs {
		list = append(list, map[string]any{
			"txout":           map[string]any{"value": o.Value, "script_pubkey": hex.EncodeToString(o.Script)},
			"is_coinbase":     o.Coinbase,
			"creation_height": o.Height,
			"creation_time":   o.Time,
		})
	}
	data, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// edgeOutputs has each field at its ends.
func edgeOutputs() []SpentOutput {
	return []SpentOutput{
		{Script: []byte{}},
		{Value: 1<<63 - 1, Script: []byte{0x51, 0xff}, Coinbase: true, Height: 1<<32 - 1, Time: 1<<32 - 1},
		{Value: 21_000_000_0000_0001, Script: bytes.Repeat([]byte{0xa5}, 10_000), Height: 1, Time: 1},
		{Value: -1, Script: []byte{0}},
	}
}

func TestReadSpent(t *testing.T) {
	dir := t.TempDir()
	for _, want := range [][]SpentOutput{{}, edgeOutputs()[:1], edgeOutputs()} {
		data := encodeSpent(t, want)
		for name, content := range map[string][]byte{"s.json": data, "s.json.zst": compress(t, data)} {
			if got, err := ReadSpent(write(t, dir, name, content)); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v, %v, want %v", name, got, err, want)
			}
		}
	}
	const extra = `[{"txout":{"value":1,"script_pubkey":"AbCd","type":"x"},"is_coinbase":false,"creation_height":2,"creation_time":3,"note":[{}]}]`
	want := []SpentOutput{{Value: 1, Script: []byte{0xab, 0xcd}, Height: 2, Time: 3}}
	if got, err := ReadSpent(write(t, dir, "s.json", []byte(extra))); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("with fields that are not known: %v, %v, want %v", got, err, want)
	}
}

// TestReadSpentMalformed cuts a good file at every byte, and breaks each field in
// many ways: all of that is an ErrMalformed that names the file.
func TestReadSpentMalformed(t *testing.T) {
	dir := t.TempDir()
	refuse := func(what, data string) {
		t.Helper()
		path := write(t, dir, "s.json", []byte(data))
		got, err := ReadSpent(path)
		if got != nil || !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v, want ErrMalformed", what, got, err)
		}
	}
	whole := string(encodeSpent(t, edgeOutputs()[:2]))
	for n := range len(whole) {
		refuse(fmt.Sprintf("cut at byte %d", n), whole[:n])
	}
	const good = `[{"txout": {"value": 1, "script_pubkey": "51"}, "is_coinbase": false, "creation_height": 2, "creation_time": 3}]`
	if _, err := decodeSpent([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for from, bad := range map[string][]string{
		`{"value": 1, "script_pubkey": "51"}`:            {`null`, `[]`, `{}`, `1`},
		`"txout": {"value": 1, "script_pubkey": "51"}, `: {``},
		`"value": 1, `:            {``},
		`"value": 1`:              {`"value": null`, `"value": "1"`, `"value": 1.0`, `"value": 1.5`, `"value": 1e8`, `"value": 9223372036854775808`, `"value": 01`},
		`, "script_pubkey": "51"`: {``},
		`"51"`:                    {`null`, `"5"`, `"5x"`, `51`, `["51"]`, `"0x51"`},
		`"is_coinbase": false, `:  {``},
		`false`:                   {`null`, `0`, `"false"`},
		`"creation_height": 2, `:  {``},
		`"creation_height": 2`:    {`"creation_height": null`, `"creation_height": -1`, `"creation_height": 4294967296`, `"creation_height": 2.5`},
		`, "creation_time": 3`:    {``},
		`"creation_time": 3`:      {`"creation_time": null`, `"creation_time": -1`, `"creation_time": 4294967296`},
		`[{"txout"`:               {`{"txout"`, `{"outputs": [{"txout"`, `null [{"txout"`},
		`3}]`:                     {`3}`, `3},]`, `3}] []`, `3}]]`, `3}{}]`},
	} {
		if strings.Count(good, from) != 1 {
			t.Fatalf("%q is not just once in the good file", from)
		}
		for _, to := range bad {
			refuse(fmt.Sprintf("%q for %q", to, from), strings.Replace(good, from, to, 1))
		}
	}
	for _, data := range []string{"null", "true", "0", `"x"`, "{}", "\xff", strings.Repeat("[", 100_000)} {
		refuse(fmt.Sprintf("%.10q", data), data)
	}
}

func TestReadBlock(t *testing.T) {
	dir := t.TempDir()
	want := []byte{1, 2, 3}
	for name, content := range map[string][]byte{"b.block": want, "b.block.zst": compress(t, want)} {
		if got, err := ReadBlock(write(t, dir, name, content)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	huge := make([]byte, maxBlock+1)
	if got, err := ReadBlock(write(t, dir, "huge.zst", compress(t, huge))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a block of %d bytes: %d bytes, %v, want ErrTooLarge", len(huge), len(got), err)
	}
	if _, err := ReadBlock(dir + "/none"); !errors.Is(err, ErrMissing) {
		t.Errorf("no file: %v, want ErrMissing", err)
	}
}

// FuzzReadSpent has arbitrary bytes decoded: no panic, and what decodes is the
// same after encoding and decoding it again.
func FuzzReadSpent(f *testing.F) {
	f.Add([]byte("[]"))
	f.Add(encodeSpent(f, edgeOutputs()))
	f.Add([]byte(`[{"txout":{"value":1e3,"script_pubkey":"zz"},"is_coinbase":null}`))
	f.Add([]byte(`[{"TXOUT":{"value":1,"script_pubkey":"51"},"is_coinbase":true,"creation_height":2,"creation_time":3,"x":[[]]}] `))
	f.Fuzz(func(t *testing.T, data []byte) {
		outputs, err := decodeSpent(data)
		if err != nil {
			if outputs != nil {
				t.Fatalf("%d outputs and an error: %v", len(outputs), err)
			}
			return
		}
		again, err := decodeSpent(encodeSpent(t, outputs))
		if err != nil || !slices.EqualFunc(again, outputs, func(a, b SpentOutput) bool { return reflect.DeepEqual(a, b) }) {
			t.Fatalf("%v is %v after a round trip: %v", outputs, again, err)
		}
	})
}
