package nodetest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"testing"

	"github.com/outrider-project/outrider/testvectors"
)

func loadBitcoind(tb testing.TB) func(name string) []byte {
	return func(name string) []byte {
		return testvectors.LoadFixture(tb, "bitcoind/"+name, "the fake bitcoind against a real one")
	}
}

// TestBitcoindSaysWhatWasRecorded puts the recorded questions to the fake. Of an
// object it may leave fields out.
func TestBitcoindSaysWhatWasRecorded(t *testing.T) {
	rec := ReadBitcoindRecording(t, loadBitcoind(t))
	fake := NewBitcoind(t, rec, BitcoindOptions{})
	moment := rec.Chain[115]
	fake.MoveTo(t, moment)
	fake.ForgetBranches()
	compared := make(map[string]int)
	asking := false
	for _, c := range rec.Calls {
		switch method := c.Request.Method; {
		case method == "getbestblockhash":
			asking = true // from here on the recording asks, until it mines again
		case method == "generatetoaddress":
			asking = false
		case !asking:
			continue
		}
		var hash string
		if c.Request.Method == "getbestblockhash" && json.Unmarshal(c.Response.Result, &hash) == nil && hash != moment.String() {
			break
		}
		var params []json.RawMessage
		if err := json.Unmarshal(c.Request.Params, &params); err != nil {
			t.Fatal(err)
		}
		switch c.Request.Method {
		case "nosuchmethod", "getbestblockhash", "getblockcount", "getblockchaininfo", "getblockhash", "getblockheader", "getchaintips":
		case "getblock":
			if len(params) > 1 && string(params[1]) != "0" && string(params[1]) != "1" {
				continue
			}
		case "getrawtransaction":
			if string(params[1]) != "0" {
				continue
			}
		default:
			continue
		}
		fake.mu.Lock()
		result, rpcErr := fake.call(c.Request.Method, params)
		fake.mu.Unlock()
		compared[c.Request.Method]++
		if rpcErr != nil {
			if !includes(t, c.Response.Error, rpcErr) {
				t.Errorf("%s: the fake refuses with %+v, the node said %.300s", c.RawRequest, rpcErr, c.RawResponse)
			}
		} else if !includes(t, c.Response.Result, result) {
			t.Errorf("%s: the fake says %v, the node said %.300s", c.RawRequest, result, c.RawResponse)
		}
	}
	for _, method := range []string{"nosuchmethod", "getblockchaininfo", "getblockhash", "getblockheader", "getchaintips", "getblock", "getrawtransaction"} {
		if compared[method] == 0 {
			t.Errorf("no answer of %s was compared", method)
		}
	}
}

// includes reports whether recorded is said, or an object with said's fields.
func includes(tb testing.TB, recorded json.RawMessage, said any) bool {
	tb.Helper()
	data, err := json.Marshal(said)
	if err != nil {
		tb.Fatal(err)
	}
	var want, got any
	if json.Unmarshal(recorded, &want) != nil || json.Unmarshal(data, &got) != nil {
		return false
	}
	if fields, ok := got.(map[string]any); ok {
		all, ok := want.(map[string]any)
		for name, value := range fields {
			if !ok || !reflect.DeepEqual(all[name], value) {
				return false
			}
		}
		return ok
	}
	return reflect.DeepEqual(want, got)
}

func TestBitcoindRESTSaysWhatWasRecorded(t *testing.T) {
	load := loadBitcoind(t)
	rec := ReadBitcoindRecording(t, load)
	fake := NewBitcoind(t, rec, BitcoindOptions{})
	fake.MoveTo(t, rec.Chain[115])
	fake.ForgetBranches()
	var index []struct {
		Path, File string
		Status     int
	}
	if err := json.Unmarshal(load("rest/index.json"), &index); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, e := range index {
		switch e.File {
		case "rest/block_tip.bin", "rest/headers_from_genesis.bin", "rest/missing_block.txt", "rest/chaininfo.json":
		default:
			continue
		}
		resp, err := http.Get("http://" + fake.Addr() + e.Path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		compared++
		want := load(e.File)
		same := bytes.Equal(body, want)
		if e.File == "rest/chaininfo.json" {
			same = includes(t, want, json.RawMessage(body))
		}
		if resp.StatusCode != e.Status || !same {
			t.Errorf("%s: the fake says %d %.200q, the node said %d %.200q", e.Path, resp.StatusCode, body, e.Status, want)
		}
	}
	if compared != 4 {
		t.Errorf("%d files were compared, want 4", compared)
	}
	http.DefaultClient.CloseIdleConnections()
}
