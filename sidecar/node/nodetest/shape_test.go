package nodetest

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/coder/websocket"
)

// record makes TestRealBtcdShapes write the recordings that the fake is
// compared with.
var record = flag.Bool("record", false, "write testdata/btcd.json from a real btcd")

// recordings holds what a real btcd answered to the calls of talk.
const recordings = "testdata/btcd.json"

// A btcd is the real one or the fake.
type btcd interface {
	Addr() string
	Certificate() []byte
	Mine(n int) []chainhash.Hash
	Reorg(depth, length int) []chainhash.Hash
}

// A talker talks to a btcd and keeps what it says.
type talker struct {
	tb   testing.TB
	node btcd
	said map[string]json.RawMessage
}

// call sends a request, keeps the answer under name and returns the result.
func (s *talker) call(name, method, params string) json.RawMessage {
	s.tb.Helper()
	answer, err := post(s.node.Addr(), s.node.Certificate(),
		fmt.Appendf(nil, `{"jsonrpc":"1.0","id":7,"method":%q,"params":[%s]}`, method, params))
	if err != nil {
		s.tb.Fatalf("%s: %v", name, err)
	}
	s.said[name] = bytes.TrimSpace(answer)
	var a struct{ Result json.RawMessage }
	if err := json.Unmarshal(answer, &a); err != nil {
		s.tb.Fatalf("%s: %v in %s", name, err, answer)
	}
	return a.Result
}

// talk makes every call that a sidecar makes, in every state that changes the
// shape of the answer, and hears every notification.
func talk(tb testing.TB, node btcd, addTx func()) map[string]json.RawMessage {
	tb.Helper()
	s := &talker{tb, node, make(map[string]json.RawMessage)}
	node.Mine(102)
	genesis := s.call("getblockhash", "getblockhash", "0")
	s.call("getblockhash: too high", "getblockhash", "103")
	s.call("getcurrentnet", "getcurrentnet", "")
	s.call("getrawmempool: empty", "getrawmempool", "false")
	s.call("getheaders: no locator", "getheaders", `[],""`)
	addTx()
	s.call("getrawmempool", "getrawmempool", "false")
	var pool []string
	if err := json.Unmarshal(s.call("getrawmempool", "getrawmempool", "false"), &pool); err != nil || len(pool) != 1 {
		tb.Fatalf("getrawmempool: %v, %d transactions", err, len(pool))
	}
	s.call("getrawtransaction: mempool", "getrawtransaction", fmt.Sprintf("%q,0", pool[0]))
	s.call("getrawtransaction: mempool, verbose", "getrawtransaction", fmt.Sprintf("%q,1", pool[0]))
	parent := s.call("getblockhash: tip", "getblockhash", "102")
	node.Mine(1)
	tip := s.call("getblockhash: tip", "getblockhash", "103")
	s.call("getbestblock", "getbestblock", "")
	s.call("getchaintips", "getchaintips", "")
	s.call("getheaders", "getheaders", `[`+string(parent)+`],""`)
	s.call("getblockheader", "getblockheader", string(parent)+",false")
	s.call("getblockheader: verbose", "getblockheader", string(parent)+",true")
	s.call("getblockheader: verbose, tip", "getblockheader", string(tip)+",true")
	s.call("getblock", "getblock", string(tip)+",0")
	s.call("getrawtransaction: chain", "getrawtransaction", fmt.Sprintf("%q,0", pool[0]))
	s.call("getrawtransaction: chain, verbose", "getrawtransaction", fmt.Sprintf("%q,1", pool[0]))
	s.call("getrawtransaction: coinbase", "getrawtransaction", fmt.Sprintf("%q,1", s.coinbase()))
	s.call("getrawtransaction: genesis", "getrawtransaction", `"4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b",1`)
	nobody := `"` + strings.Repeat("11", 32) + `"`
	s.call("getrawtransaction: unknown", "getrawtransaction", nobody+",1")
	s.call("getblock: unknown", "getblock", nobody+",0")
	s.call("getblockheader: unknown", "getblockheader", nobody+",false")
	s.call("getblock: not a hash", "getblock", `"zz",0`)
	s.call("getblock: no hash", "getblock", "")
	s.call("no such method", "nosuchmethod", "")
	s.batch("batch", `[{"jsonrpc":"1.0","id":1,"method":"getblockheader","params":[`+string(genesis)+`,true]},`+
		`{"jsonrpc":"1.0","id":2,"method":"nosuchmethod","params":[]}]`)
	s.batch("batch: empty", "[]")
	s.batch("batch: not JSON", "[{")
	s.notifications(addTx)
	s.call("getblockheader: verbose, other branch", "getblockheader", string(tip)+",true")
	s.call("getchaintips: two", "getchaintips", "")
	return s.said
}

// coinbase returns the id of the best block's coinbase.
func (s *talker) coinbase() string {
	s.tb.Helper()
	var header struct {
		Hash string
	}
	if err := json.Unmarshal(s.call("getbestblock", "getbestblock", ""), &header); err != nil {
		s.tb.Fatal(err)
	}
	var raw string
	if err := json.Unmarshal(s.call("getblock", "getblock", fmt.Sprintf("%q,0", header.Hash)), &raw); err != nil {
		s.tb.Fatal(err)
	}
	msg := decodeBlock(s.tb, raw)
	return msg.Transactions[0].TxHash().String()
}

func (s *talker) batch(name, body string) {
	s.tb.Helper()
	answer, err := post(s.node.Addr(), s.node.Certificate(), []byte(body))
	if err != nil {
		s.tb.Fatalf("%s: %v", name, err)
	}
	s.said[name] = bytes.TrimSpace(answer)
}

// notifications subscribes, provokes every kind of notification and keeps the
// first of each, and the order of all.
func (s *talker) notifications(addTx func()) {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(s.tb.Context(), time.Minute)
	defer cancel()
	auth := http.Header{}
	req := http.Request{Header: auth}
	req.SetBasicAuth(User, Password)
	conn, _, err := websocket.Dial(ctx, "wss://"+s.node.Addr()+"/ws", &websocket.DialOptions{
		HTTPHeader: auth,
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: trust(s.node.Certificate())}},
	})
	if err != nil {
		s.tb.Fatalf("websocket: %v", err)
	}
	defer conn.CloseNow()
	read := func() json.RawMessage {
		_, msg, err := conn.Read(ctx)
		if err != nil {
			s.tb.Fatalf("websocket: %v", err)
		}
		return msg
	}
	for _, command := range []string{
		`{"jsonrpc":"1.0","id":1,"method":"notifyblocks","params":[]}`,
		`{"jsonrpc":"1.0","id":2,"method":"notifynewtransactions","params":[true]}`,
	} {
		if err := conn.Write(ctx, websocket.MessageText, []byte(command)); err != nil {
			s.tb.Fatalf("websocket: %v", err)
		}
		s.said["answer to "+command] = read()
	}
	addTx()
	s.node.Mine(1)
	s.node.Reorg(2, 3)
	var order []string
	for range 1 + 2*(1+2+3) {
		msg := read()
		var n struct{ Method string }
		if err := json.Unmarshal(msg, &n); err != nil {
			s.tb.Fatalf("websocket: %v", err)
		}
		order = append(order, n.Method)
		if _, ok := s.said[n.Method]; !ok {
			s.said[n.Method] = msg
		}
	}
	data, err := json.Marshal(strings.Join(order, " "))
	if err != nil {
		s.tb.Fatal(err)
	}
	s.said["order of notifications"] = data
}

var (
	hexHash  = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	longHex  = regexp.MustCompile(`^[0-9a-f]{65,}$`)
	shortHex = regexp.MustCompile(`^(?:[0-9a-f]{2})+$`)
)

// shape describes the fields and types of a JSON value: what two answers have
// in common that differ only in the chain that they are about.
func shape(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var fields []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			fields = append(fields, key+": "+shape(v[key]))
		}
		return "{" + strings.Join(fields, ", ") + "}"
	case []any:
		var elements []string
		for _, e := range v {
			elements = append(elements, shape(e))
		}
		slices.Sort(elements)
		return "[" + strings.Join(slices.Compact(elements), " | ") + "]"
	case string:
		switch {
		case hexHash.FindString(v) == v && v != "":
			return "hash"
		case longHex.MatchString(v), shortHex.MatchString(v):
			return "hex"
		}
		return fmt.Sprintf("%q", hexHash.ReplaceAllString(v, "HASH"))
	case float64:
		if v != float64(int64(v)) {
			return "fraction"
		}
		return "integer"
	default:
		return fmt.Sprint(v)
	}
}

// shapes returns the shapes of all that was said. The words in which scripts
// and addresses are put, and amounts, depend on the chain; and a real btcd can
// only be made to leave a branch by calling it invalid.
func shapes(tb testing.TB, said map[string]json.RawMessage) map[string]string {
	tb.Helper()
	free := regexp.MustCompile(`(address|asm): "[^"]*"|addresses: \["[^"]*"\]`)
	amount := regexp.MustCompile(`value: (integer|fraction)`)
	left := regexp.MustCompile(`status: "(invalid|valid-fork)"`)
	all := make(map[string]string)
	for name, data := range said {
		var v any
		if err := json.Unmarshal(data, &v); err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		s := free.ReplaceAllString(shape(v), "$1")
		s = amount.ReplaceAllString(s, "value: amount")
		all[name] = left.ReplaceAllString(s, "status: left")
	}
	return all
}

func compareShapes(t *testing.T, got map[string]json.RawMessage) {
	t.Helper()
	data, err := os.ReadFile(recordings)
	if err != nil {
		t.Fatal(err)
	}
	var recorded map[string]json.RawMessage
	if err := json.Unmarshal(data, &recorded); err != nil {
		t.Fatal(err)
	}
	want, have := shapes(t, recorded), shapes(t, got)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if have[name] != want[name] {
			t.Errorf("%s:\n     got %s\nrecorded %s", name, have[name], want[name])
		}
		delete(have, name)
	}
	for name, s := range have {
		t.Errorf("%s is not recorded: %s", name, s)
	}
}

// The fake says what a real btcd said, in the same fields and types and order.
func TestFakeShapes(t *testing.T) {
	fake := NewBtcd(t, BtcdOptions{})
	compareShapes(t, talk(t, fake, func() { fake.AddTxs(1) }))
}

// A real btcd, of the version that the module asks for, still says what was
// recorded. With -record it is recorded.
func TestRealBtcdShapes(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: no real btcd was built, so the recordings were not compared with one")
	}
	real := NewRealBtcd(t, BuildRealBtcd(t))
	height := 0
	said := talk(t, real, func() {
		height++
		real.Spend(height)
	})
	if *record {
		data, err := json.MarshalIndent(said, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(recordings, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	compareShapes(t, said)
}
