package node

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// fakeConfig is a configuration for fake with waits that suit a test.
func fakeConfig(fake *nodetest.Btcd) BtcdConfig {
	return BtcdConfig{
		Address:           fake.Addr(),
		User:              nodetest.User,
		Password:          nodetest.Password,
		Certificate:       fake.Certificate(),
		NoTLS:             fake.Certificate() == nil,
		CallTimeout:       10 * time.Second,
		BulkTimeout:       10 * time.Second,
		RetryDelay:        time.Millisecond,
		ReconnectDelay:    time.Millisecond,
		MaxReconnectDelay: 10 * time.Millisecond,
	}
}

// newBtcd returns a client, and checks at the end of the test that it left no
// goroutine behind.
func newBtcd(tb testing.TB, cfg BtcdConfig) *Btcd {
	tb.Helper()
	b, err := NewBtcd(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		b.Close()
		checkGoroutines(tb)
	})
	return b
}

// checkGoroutines waits until no goroutine but tests is in this package, nor in
// the libraries that it calls.
func checkGoroutines(tb testing.TB) {
	tb.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		var left []string
		buf := make([]byte, 1<<20)
		for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			ours := strings.Contains(stack, "sidecar/node.") || strings.Contains(stack, "net/http.(*persistConn)") ||
				strings.Contains(stack, "coder/websocket")
			if ours && !strings.Contains(stack, "testing.") && !strings.Contains(stack, "nodetest.") {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			tb.Errorf("%d goroutines left:\n%s", len(left), strings.Join(left, "\n\n"))
			return
		}
		runtime.Gosched()
	}
}

func TestBtcdAnswers(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{})
	fake.Mine(120)
	txids := fake.AddTxs(3)
	side := fake.Branch(3, 2, nodetest.ValidFork)
	bad := fake.Branch(5, 1, nodetest.Invalid)
	headersOnly := fake.Branch(7, 4, nodetest.HeadersOnly)
	b := newBtcd(t, fakeConfig(fake))
	ctx := t.Context()
	chain := fake.Chain()
	tip := Tip{chain[120], 120}

	if got, err := b.Network(ctx); err != nil || got != "regtest" {
		t.Errorf("Network() = %q, %v, want regtest", got, err)
	}
	if got, err := b.Tip(ctx); err != nil || got != tip {
		t.Errorf("Tip() = %v, %v, want %v", got, err, tip)
	}
	for _, h := range []uint32{0, 1, 77, 120} {
		if got, err := b.BlockHash(ctx, h); err != nil || got != chain[h] {
			t.Errorf("BlockHash(%d) = %v, %v, want %v", h, got, err, chain[h])
		}
	}
	for _, hash := range []chainhash.Hash{chain[0], chain[60], tip.Hash, side[1], bad[0]} {
		raw, err := b.Block(ctx, hash)
		if err != nil || !bytes.Equal(raw, fake.Block(hash)) {
			t.Errorf("Block(%s) = %x, %v, want %x", hash, raw, err, fake.Block(hash))
		}
	}
	for _, hash := range []chainhash.Hash{chain[0], tip.Hash, side[0], bad[0], headersOnly[3]} {
		h, err := b.Header(ctx, hash)
		if err != nil || h.Hash() != hash {
			t.Errorf("Header(%s) = %x, %v", hash, h, err)
		}
	}
	tips, err := b.ChainTips(ctx)
	wantTips := []ChainTip{
		{Tip{side[1], 119}, 2, "valid-fork"},
		{Tip{bad[0], 116}, 1, "invalid"},
		{Tip{headersOnly[3], 117}, 4, "headers-only"},
		{tip, 0, "active"},
	}
	if err != nil || !slices.Equal(tips, wantTips) {
		t.Errorf("ChainTips() = %v, %v, want %v", tips, err, wantTips)
	}
	pool, err := b.Mempool(ctx)
	byHash := func(x, y chainhash.Hash) int { return bytes.Compare(x[:], y[:]) }
	slices.SortFunc(pool, byHash)
	if want := slices.SortedFunc(slices.Values(txids), byHash); err != nil || !slices.Equal(pool, want) {
		t.Errorf("Mempool() = %v, %v, want %v", pool, err, want)
	}
	for txid, want := range fake.Mempool() {
		if raw, err := b.Transaction(ctx, txid); err != nil || !bytes.Equal(raw, want) {
			t.Errorf("Transaction(%s) = %x, %v, want %x", txid, raw, err, want)
		}
	}
	checkTransactions(t, b, fake.Mempool())
}

// checkTransactions wants all of a mempool's transactions at once, and none that
// is not there.
func checkTransactions(t *testing.T, n Node, want map[chainhash.Hash][]byte) {
	t.Helper()
	txids := []chainhash.Hash{{1}}
	for txid := range want {
		txids = append(txids, txid, chainhash.Hash{2})
	}
	raws, err := n.Transactions(t.Context(), txids)
	if err != nil || len(raws) != len(txids) || len(want) == 0 {
		t.Fatalf("Transactions() of %d, %d there: %d, %v", len(txids), len(want), len(raws), err)
	}
	for i, txid := range txids {
		if !bytes.Equal(raws[i], want[txid]) {
			t.Errorf("Transactions(): %s is %x, want %x", txid, raws[i], want[txid])
		}
	}
	if raws, err := n.Transactions(t.Context(), nil); err != nil || len(raws) != 0 {
		t.Errorf("Transactions(nil) = %v, %v", raws, err)
	}
}

func TestBtcdHeaders(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{})
	fake.Mine(2100)
	side := fake.Branch(3, 1, nodetest.ValidFork)
	b := newBtcd(t, fakeConfig(fake))
	chain := fake.Chain()
	unknown := chainhash.Hash{1}
	for _, tt := range []struct {
		name     string
		locator  []chainhash.Hash
		from, to int // heights
	}{
		{"empty locator", nil, 1, 2000},
		{"nothing known", []chainhash.Hash{unknown}, 1, 2000},
		{"genesis", chain[:1], 1, 2000},
		{"middle", []chainhash.Hash{unknown, chain[150], chain[0]}, 151, 2100},
		{"side branch", []chainhash.Hash{side[0], chain[2090]}, 2091, 2100},
		{"tip", []chainhash.Hash{chain[2100]}, 2101, 2100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			headers, err := b.Headers(t.Context(), tt.locator)
			if err != nil {
				t.Fatal(err)
			}
			var got []chainhash.Hash
			for i := range headers {
				got = append(got, headers[i].Hash())
			}
			if want := chain[tt.from : tt.to+1]; !slices.Equal(got, want) {
				t.Errorf("%d headers, want %d from height %d", len(got), len(want), tt.from)
			}
		})
	}
}

func TestBtcdNotFound(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTxIndex: true})
	fake.Mine(3)
	headersOnly := fake.Branch(1, 1, nodetest.HeadersOnly)
	b := newBtcd(t, fakeConfig(fake))
	ctx := t.Context()
	_, headerErr := b.Header(ctx, chainhash.Hash{1})
	_, blockErr := b.Block(ctx, chainhash.Hash{1})
	_, headersOnlyErr := b.Block(ctx, headersOnly[0])
	_, txErr := b.Transaction(ctx, chainhash.Hash{1})
	for _, err := range []error{headerErr, blockErr, headersOnlyErr, txErr} {
		var rpcErr *RPCError
		if !errors.Is(err, ErrNotFound) || !errors.As(err, &rpcErr) || rpcErr.Code != -5 {
			t.Errorf("got %v, want ErrNotFound and code -5", err)
		}
	}
	for _, h := range []uint32{4, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		if got, err := b.BlockHash(ctx, h); !errors.Is(err, ErrNotFound) {
			t.Errorf("BlockHash(%d) = %v, %v, want ErrNotFound", h, got, err)
		}
	}
}

// ask calls every method once and returns their errors by name.
func ask(ctx context.Context, b *Btcd, block, txid chainhash.Hash) map[string]error {
	errs := make(map[string]error)
	_, errs["Network"] = b.Network(ctx)
	_, errs["Tip"] = b.Tip(ctx)
	_, errs["BlockHash"] = b.BlockHash(ctx, 0)
	_, errs["Headers"] = b.Headers(ctx, nil)
	_, errs["Header"] = b.Header(ctx, block)
	_, errs["Block"] = b.Block(ctx, block)
	_, errs["ChainTips"] = b.ChainTips(ctx)
	_, errs["Mempool"] = b.Mempool(ctx)
	_, errs["Transaction"] = b.Transaction(ctx, txid)
	_, errs["Prevouts"] = b.Prevouts(ctx, outPoints(txid, 0))
	return errs
}

// Each answer that is not what the protocol promises is an error, and none of
// these is taken for the node's word that something does not exist.
func TestBtcdRefusesWrongAnswers(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	fake.Mine(102)
	txid := fake.AddTxs(1)[0]
	fake.Mine(1)
	tip, _ := fake.Tip()
	b := newBtcd(t, fakeConfig(fake))
	if errs := ask(t.Context(), b, tip, txid); !allNil(errs) {
		t.Fatalf("right answers are refused: %v", errs)
	}
	edit := func(body []byte, change func(a map[string]json.RawMessage)) []byte {
		var one map[string]json.RawMessage
		var many []map[string]json.RawMessage
		if json.Unmarshal(body, &one) == nil {
			change(one)
			return mustJSON(one)
		}
		if err := json.Unmarshal(body, &many); err != nil {
			t.Error(err)
		}
		for _, a := range many {
			change(a)
		}
		return mustJSON(many)
	}
	set := func(key, value string) func([]byte) []byte {
		return func(body []byte) []byte {
			return edit(body, func(a map[string]json.RawMessage) { a[key] = json.RawMessage(value) })
		}
	}
	for _, tt := range []struct {
		name   string
		change func(body []byte) []byte
	}{
		{"empty", func([]byte) []byte { return nil }},
		{"not JSON", func([]byte) []byte { return []byte("<html>no</html>") }},
		{"null", func([]byte) []byte { return []byte("null") }},
		{"empty object", func([]byte) []byte { return []byte("{}") }},
		{"empty list", func([]byte) []byte { return []byte("[]") }},
		{"cut in the middle", func(body []byte) []byte { return body[:len(body)/2] }},
		{"cut at the end", func(body []byte) []byte { return body[:len(body)-1] }},
		{"text after the end", func(body []byte) []byte { return append(body, "{}"...) }},
		{"doubled", func(body []byte) []byte { return append(body, body...) }},
		{"null result", set("result", "null")},
		{"wrong id", set("id", "123456789")},
		{"id as text", set("id", `"1"`)},
		{"null id", set("id", "null")},
		{"fractional id", set("id", "1.5")},
		{"result is true", set("result", "true")},
		{"result is a fraction", set("result", "1.5")},
		{"result is negative", set("result", "-1")},
		{"result is text", set("result", `"x"`)},
		{"result is empty text", set("result", `""`)},
		{"result is a null in a list", set("result", "[null]")},
		{"result is a number in a list", set("result", "[1]")},
		{"result is an empty object in a list", set("result", "[{}]")},
		{"result is an empty object", set("result", "{}")},
		{"result is a short hash", set("result", `["00"]`)},
		{"result is a short hash in an object", set("result", `{"hash":"00","height":1}`)},
		{"result has a null height", set("result", `{"hash":"`+tip.String()+`","height":null}`)},
		{"result has a fractional height", set("result", `{"hash":"`+tip.String()+`","height":1.5}`)},
		{"result has a height beyond 32 bits", set("result", `{"hash":"`+tip.String()+`","height":4294967296}`)},
		{"error is text", set("error", `"no"`)},
		{"error is a list", set("error", "[]")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake.Rewrite(func(_ string, a nodetest.Answer) nodetest.Answer {
				a.Body = tt.change(a.Body)
				return a
			})
			for method, err := range ask(t.Context(), b, tip, txid) {
				var rpcErr *RPCError
				if err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrNoPrevouts) || errors.As(err, &rpcErr) {
					t.Errorf("%s: got error %v", method, err)
				}
			}
		})
	}
}

func allNil(errs map[string]error) bool {
	for _, err := range errs {
		if err != nil {
			return false
		}
	}
	return true
}

func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// Answers of the right shape that are not what was asked for.
func TestBtcdRefusesAnswersToOtherQuestions(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	fake.Mine(maxHeaders + 1)
	txids := fake.AddTxs(2)
	b := newBtcd(t, fakeConfig(fake))
	chain := fake.Chain()
	tx := fake.Mempool()[txids[0]]
	other := fake.Mempool()[txids[1]]
	block := fake.Block(chain[110])
	genesis := fake.Block(chain[0])
	quote := func(raw []byte) string { return `"` + hex.EncodeToString(raw) + `"` }
	var unlinked []string
	for _, n := range []int{1, 2, 4} {
		unlinked = append(unlinked, quote(fake.Block(chain[n])[:header.Size]))
	}
	var tooMany []string
	for _, hash := range chain[1:] {
		tooMany = append(tooMany, quote(fake.Block(hash)[:header.Size]))
	}
	for _, tt := range []struct {
		name, result string
		ask          func() error
	}{
		{"another block", quote(genesis), func() error { _, err := b.Block(t.Context(), chain[110]); return err }},
		{"a header for a block", quote(block[:80]), func() error { _, err := b.Block(t.Context(), chain[110]); return err }},
		{"half a header for a block", quote(block[:40]), func() error { _, err := b.Block(t.Context(), chain[110]); return err }},
		{"an odd digit in a block", `"0` + quote(block)[1:], func() error { _, err := b.Block(t.Context(), chain[110]); return err }},
		{"another header", quote(genesis[:80]), func() error { _, err := b.Header(t.Context(), chain[110]); return err }},
		{"a long header", quote(block[:81]), func() error { _, err := b.Header(t.Context(), chain[110]); return err }},
		{"unlinked headers", "[" + strings.Join(unlinked, ",") + "]", func() error { _, err := b.Headers(t.Context(), nil); return err }},
		{"too many headers", "[" + strings.Join(tooMany, ",") + "]", func() error { _, err := b.Headers(t.Context(), nil); return err }},
		{"another transaction", quote(other), func() error { _, err := b.Transaction(t.Context(), txids[0]); return err }},
		{"bytes after a transaction", quote(append(slices.Clone(tx), 0)), func() error { _, err := b.Transaction(t.Context(), txids[0]); return err }},
		{"unknown network", "1234", func() error { _, err := b.Network(t.Context()); return err }},
		{"branch longer than its chain", `[{"height":1,"hash":"` + chain[1].String() + `","branchlen":2,"status":"invalid"}]`,
			func() error { _, err := b.ChainTips(t.Context()); return err }},
		{"tip without status", `[{"height":1,"hash":"` + chain[1].String() + `","branchlen":0}]`,
			func() error { _, err := b.ChainTips(t.Context()); return err }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake.Rewrite(func(_ string, a nodetest.Answer) nodetest.Answer {
				var id struct{ ID uint64 }
				if err := json.Unmarshal(a.Body, &id); err != nil {
					t.Error(err)
				}
				a.Body = fmt.Appendf(nil, `{"result":%s,"error":null,"id":%d}`, tt.result, id.ID)
				return a
			})
			if err := tt.ask(); err == nil || errors.Is(err, ErrNotFound) {
				t.Errorf("got error %v", err)
			}
		})
	}
}

// Fields that a later version adds, or another order of them, change nothing.
func TestBtcdToleratesNewFields(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	fake.Mine(102)
	txid := fake.AddTxs(1)[0]
	fake.Mine(1)
	tip, _ := fake.Tip()
	b := newBtcd(t, fakeConfig(fake))
	fake.Rewrite(func(_ string, a nodetest.Answer) nodetest.Answer {
		a.Body = bytes.ReplaceAll(a.Body, []byte("{"), []byte(`{"a_new_field":[{}, null, 1e999],`))
		a.Body = bytes.ReplaceAll(a.Body, []byte(`"error":null,`), nil)
		return a
	})
	if errs := ask(t.Context(), b, tip, txid); !allNil(errs) {
		t.Errorf("got errors %v", errs)
	}
}

func TestBtcdConfigMistakes(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{})
	good := fakeConfig(fake)
	for _, tt := range []struct {
		name   string
		change func(*BtcdConfig)
		want   []string // parts of the error; none when it is right
	}{
		{"good", func(*BtcdConfig) {}, nil},
		{"plain loopback", func(c *BtcdConfig) { c.NoTLS, c.Certificate, c.Address = true, nil, "[::1]:8334" }, nil},
		{"plain localhost", func(c *BtcdConfig) { c.NoTLS, c.Certificate, c.Address = true, nil, "localhost:8334" }, nil},
		{"no port", func(c *BtcdConfig) { c.Address = "127.0.0.1" }, []string{`"127.0.0.1" is not host:port`}},
		{"no host", func(c *BtcdConfig) { c.Address = ":8334" }, []string{"is not host:port"}},
		{"port by name", func(c *BtcdConfig) { c.Address = "127.0.0.1:http" }, []string{"is not host:port"}},
		{"port 0", func(c *BtcdConfig) { c.Address = "127.0.0.1:0" }, []string{"is not host:port"}},
		{"URL", func(c *BtcdConfig) { c.Address = "https://127.0.0.1:8334" }, []string{"is not host:port"}},
		{"plain and far", func(c *BtcdConfig) { c.NoTLS, c.Certificate, c.Address = true, nil, "10.0.0.1:8334" }, []string{"must be a loopback one"}},
		{"plain with certificate", func(c *BtcdConfig) { c.NoTLS = true }, []string{"TLS is off"}},
		{"no certificate", func(c *BtcdConfig) { c.Certificate = nil }, []string{"rpc.cert"}},
		{"junk for a certificate", func(c *BtcdConfig) { c.Certificate = []byte("junk") }, []string{"there is none in PEM form"}},
		{"everything", func(c *BtcdConfig) { *c = BtcdConfig{Address: "x", CallTimeout: -1} },
			[]string{"host:port", "user and password", "rpc.cert", "-1ns is negative"}},
		{"colon", func(c *BtcdConfig) { c.User = "a:b" }, []string{"colon"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good
			tt.change(&cfg)
			b, err := NewBtcd(cfg)
			if len(tt.want) == 0 {
				if err != nil {
					t.Fatalf("NewBtcd: %v", err)
				}
				b.Close()
				return
			}
			for _, part := range tt.want {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("error %v does not say %q", err, part)
				}
			}
			if err != nil && strings.Contains(err.Error(), nodetest.Password) {
				t.Errorf("error %v tells the password", err)
			}
		})
	}
	if n := fake.Calls("getbestblock"); n != 0 {
		t.Errorf("NewBtcd connected")
	}
}

// The caller's configuration is not written to.
func TestBtcdConfigIsCopied(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{})
	cfg := BtcdConfig{Address: fake.Addr(), User: "u", Password: "p", Certificate: fake.Certificate()}
	newBtcd(t, cfg)
	if cfg.CallTimeout != 0 || cfg.Log != nil || cfg.Recorder != nil {
		t.Errorf("NewBtcd wrote to the configuration: %+v", cfg)
	}
}

func TestBtcdMetrics(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{})
	fake.Mine(1)
	var registry perfcore.Registry
	cfg := fakeConfig(fake)
	cfg.Recorder = &registry
	b := newBtcd(t, cfg)
	ask(t.Context(), b, chainhash.Hash{1}, chainhash.Hash{1})
	fake.Rewrite(func(_ string, a nodetest.Answer) nodetest.Answer {
		a.Status = http.StatusServiceUnavailable
		return a
	})
	b.Tip(t.Context())
	got := make(map[string]uint64)
	for _, s := range registry.Series() {
		name := s.Metric.Name + strings.Join(s.Metric.Labels, " ")
		switch {
		case s.Counter != nil && s.Counter.Value() > 0:
			got[name] = s.Counter.Value()
		case s.Timer != nil:
			got[name] = s.Timer.Snapshot().Count
		}
	}
	if got["outrider_node_received_bytes_totaltransport http"] == 0 {
		t.Error("no bytes are counted")
	}
	delete(got, "outrider_node_received_bytes_totaltransport http")
	want := map[string]uint64{
		"outrider_node_rpc_secondsmethod getcurrentnet":     1,
		"outrider_node_rpc_secondsmethod getbestblock":      1 + rpcAttempts,
		"outrider_node_rpc_secondsmethod getblockhash":      1,
		"outrider_node_rpc_secondsmethod getheaders":        1,
		"outrider_node_rpc_secondsmethod getinfo":           0,
		"outrider_node_rpc_secondsmethod getblockheader":    1,
		"outrider_node_rpc_secondsmethod getblock":          1,
		"outrider_node_rpc_secondsmethod getchaintips":      1,
		"outrider_node_rpc_secondsmethod getrawmempool":     1,
		"outrider_node_rpc_secondsmethod getrawtransaction": 2,
		"outrider_node_rpc_secondsmethod gettxout":          0,
		"outrider_node_rpc_errors_totalkind rpc":            3,
		"outrider_node_rpc_errors_totalkind busy":           rpcAttempts,
		"outrider_node_rpc_retries_total":                   rpcAttempts - 1,
	}
	if !maps.Equal(got, want) {
		t.Errorf("metrics are\n%v, want\n%v", got, want)
	}
}
