package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// recorded returns what a real btcd said, by what was asked.
func recorded(tb testing.TB) map[string]json.RawMessage {
	tb.Helper()
	data, err := os.ReadFile("nodetest/testdata/btcd.json")
	if err != nil {
		tb.Fatal(err)
	}
	var said map[string]json.RawMessage
	if err := json.Unmarshal(data, &said); err != nil {
		tb.Fatal(err)
	}
	return said
}

func TestDisplayHash(t *testing.T) {
	const genesis = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
	var h displayHash
	if err := json.Unmarshal([]byte(`"`+genesis+`"`), &h); err != nil || chainhash.Hash(h).String() != genesis {
		t.Errorf("got %v, %v", chainhash.Hash(h), err)
	}
	for _, bad := range []string{
		`null`, `""`, `"00"`, `1`, `[]`, `{}`, `"` + genesis[1:] + `"`, `"` + genesis + `0"`,
		`"` + genesis[:63] + `g"`, `"` + genesis[:62] + `é"`, `"` + genesis[:58] + `\u0030"`,
	} {
		if err := json.Unmarshal([]byte(bad), &h); err == nil {
			t.Errorf("%s is taken for a hash", bad)
		}
	}
}

func TestHeight(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "1": 1, "2147483647": 2147483647,
		"2147483648": -1, "-1": -1, "1.0": -1, "1e3": -1, "null": -1, `"1"`: -1, "[]": -1, "99999999999999999999": -1,
	} {
		var h height
		err := json.Unmarshal([]byte(in), &h)
		if (err == nil) != (want >= 0) || err == nil && int64(h) != want {
			t.Errorf("height %s is %d, %v", in, h, err)
		}
	}
}

// Whatever a node answers, decoding ends without panic, in an answer to this
// call or an error; and what decodes into the fields of one of our methods is
// complete.
func FuzzAnswer(f *testing.F) {
	for _, data := range recorded(f) {
		f.Add([]byte(data), uint64(7), uint8(3))
	}
	for _, seed := range []string{"", "null", "[]", "[null]", `{"id":7}`, `{"id":7,"error":{}}`, `[{"id":7},{"id":8},{"id":9}]`} {
		f.Add([]byte(seed), uint64(7), uint8(3))
	}
	f.Fuzz(func(t *testing.T, body []byte, id uint64, n uint8) {
		if a, err := decodeAnswer(body, id); err == nil {
			if a.ID == nil || *a.ID != id {
				t.Errorf("an answer to call %v is taken for one to %d", a.ID, id)
			}
			decodeResults(t, a)
		}
		answers, err := decodeBatch(body, id, int(n))
		if err != nil {
			return
		}
		for i := range answers {
			if answers[i].ID == nil || *answers[i].ID != id+uint64(i) {
				t.Errorf("answer %d of a batch from %d is to call %v", i, id, answers[i].ID)
			}
			decodeResults(t, &answers[i])
		}
	})
}

// decodeResults decodes an answer as every kind of result that there is.
func decodeResults(t *testing.T, a *answer) {
	var (
		hash    displayHash
		hashes  []displayHash
		raw     hexBytes
		headers []hexHeader
		at      height
	)
	for _, v := range []any{&hash, &hashes, &raw, &headers, &at} {
		if err := a.decodeInto(v); err == nil && !a.hasResult() {
			t.Errorf("a null is taken for a %T", v)
		}
	}
	// What a hash decodes from is its only spelling, but for upper case.
	if a.decodeInto(&hash) == nil {
		want := fmt.Appendf(nil, "%q", chainhash.Hash(hash).String())
		if !bytes.Equal(bytes.ToLower(a.Result), want) {
			t.Errorf("%s is taken for %s", a.Result, want)
		}
	}
}

// Whatever comes over the websocket, reading it ends without panic, and a hint
// is one that a reader can follow.
func FuzzNotification(f *testing.F) {
	for _, data := range recorded(f) {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeMessage(data)
		if err != nil {
			return
		}
		h, ok, err := m.hint(time.Unix(1, 0))
		switch {
		case err != nil && ok:
			t.Error("a hint with an error")
		case ok && h.Kind == HintTx:
			var tx struct{ Txid displayHash }
			if err := m.param(0, &tx); err != nil {
				t.Errorf("a hint of a transaction without a name: %v", err)
			}
			if _, err := decodeTx(h.Tx, chainhash.Hash(tx.Txid)); err != nil {
				t.Errorf("a hint of a transaction: %v", err)
			}
		case ok && h.Kind != HintBlockConnected && h.Kind != HintBlockDisconnected:
			t.Errorf("a hint of kind %d", h.Kind)
		}
	})
}
