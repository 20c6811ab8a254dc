package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sidecar/node/zmq"
)

// withResults lets the fake answer these methods with these results, in place of
// its own. An empty result stands for a method that the node does not have, and
// "403" for one that it does not allow.
func withResults(results map[string]string) func(string, nodetest.Answer) nodetest.Answer {
	return func(what string, a nodetest.Answer) nodetest.Answer {
		result, ok := results[what]
		var call struct{ ID json.RawMessage }
		if !ok || json.Unmarshal(a.Body, &call) != nil {
			return a
		}
		switch result {
		case "403":
			return nodetest.Answer{Status: 403}
		case "":
			return nodetest.Answer{Status: 404, Body: fmt.Appendf(nil, `{"result":null,"error":{"code":-32601,"message":"Method not found"},"id":%s}`, call.ID)}
		}
		return nodetest.Answer{Status: 200, Body: fmt.Appendf(nil, `{"result":%s,"error":null,"id":%s}`, result, call.ID)}
	}
}

func TestBitcoindSurvey(t *testing.T) {
	rec := bitcoindRecording(t)
	recorded := make(map[string]string)
	for _, method := range []string{"getnetworkinfo", "getblockchaininfo", "getindexinfo", "getzmqnotifications"} {
		recorded[method] = string(said[json.RawMessage](t, rec, 0, method, "[]"))
	}
	const at = "tcp://127.0.0.1:28900"
	all := []Notifier{
		{zmq.TopicHashBlock, at, 1000}, {zmq.TopicHashTx, at, 1000}, {zmq.TopicRawBlock, at, 1000},
		{zmq.TopicRawTx, at, 1000}, {zmq.TopicSequence, at, 1000},
	}
	for _, tt := range []struct {
		name   string
		change map[string]string
		noREST bool
		want   Survey
	}{
		{"as recorded", nil, false, Survey{Version: 319900, Agent: "/Satoshi:31.99.0/", REST: true, Notifiers: all, TxIndex: true}},
		{"of an earlier version", map[string]string{
			// warnings was a text, and there was no target.
			"getnetworkinfo":      `{"version":260000,"subversion":"/Satoshi:26.0.0/","warnings":"","networks":[]}`,
			"getblockchaininfo":   `{"chain":"main","blocks":7,"bestblockhash":"` + strings.Repeat("0", 64) + `","pruned":true,"pruneheight":5,"warnings":""}`,
			"getindexinfo":        `{}`,
			"getzmqnotifications": `[]`,
		}, true, Survey{Version: 260000, Agent: "/Satoshi:26.0.0/", Pruned: true, PruneHeight: 5, Notifiers: []Notifier{}}},
		{"without methods", map[string]string{"getnetworkinfo": "", "getindexinfo": "", "getzmqnotifications": ""}, false, Survey{REST: true}},
		{"with a whitelist", map[string]string{"getnetworkinfo": "403", "getindexinfo": "403", "getzmqnotifications": "403"}, false,
			Survey{REST: true, Refused: []string{"getnetworkinfo", "getindexinfo", "getzmqnotifications"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{NoREST: tt.noREST})
			b := newBitcoind(t, bitcoindConfig(fake))
			results := make(map[string]string)
			maps.Copy(results, recorded)
			maps.Copy(results, tt.change)
			fake.Rewrite(withResults(results))
			if got, err := b.Survey(t.Context()); err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Survey() = %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}

// A survey that cannot be made whole says why, and makes nothing up.
func TestBitcoindSurveyFails(t *testing.T) {
	rec := bitcoindRecording(t)
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{})
	b := newBitcoind(t, bitcoindConfig(fake))
	fake.SetWarmUp(true)
	if got, err := b.Survey(t.Context()); !errors.Is(err, ErrWarmUp) || !reflect.DeepEqual(got, Survey{}) {
		t.Errorf("of a node that starts: %+v, %v", got, err)
	}
	fake.SetWarmUp(false)
	for _, broken := range []string{"getnetworkinfo", "getblockchaininfo", "getindexinfo", "getzmqnotifications", "/rest/chaininfo.json"} {
		fake.Rewrite(func(what string, a nodetest.Answer) nodetest.Answer {
			if what == broken {
				return nodetest.Answer{Status: 502, Body: []byte("<html>")}
			}
			return a
		})
		if got, err := b.Survey(t.Context()); err == nil || !strings.Contains(err.Error(), "502") || !reflect.DeepEqual(got, Survey{}) {
			t.Errorf("with a broken %s: %+v, %v", broken, got, err)
		}
	}
}

// A survey notices that the node was started anew with REST, or without it.
func TestBitcoindSurveyFindsREST(t *testing.T) {
	rec := bitcoindRecording(t)
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{NoREST: true})
	b := newBitcoind(t, bitcoindConfig(fake))
	for _, on := range []bool{false, true, false} {
		fake.SetREST(on)
		if s, err := b.Survey(t.Context()); err != nil || s.REST != on {
			t.Fatalf("REST is %v, the survey says %v, %v", on, s.REST, err)
		}
		before := fake.Calls("/rest/block/")
		raw, err := b.Block(t.Context(), rec.Chain[5])
		if err != nil || !bytes.Equal(raw, rec.Blocks[rec.Chain[5]]) {
			t.Fatal(err)
		}
		if (fake.Calls("/rest/block/") > before) != on {
			t.Errorf("REST is %v, and the block came the other way", on)
		}
	}
}
