package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/testvectors"
)

// bitcoindRecording reads what a real bitcoind said.
func bitcoindRecording(tb testing.TB) *nodetest.BitcoindRecording {
	tb.Helper()
	return nodetest.ReadBitcoindRecording(tb, func(name string) []byte {
		return testvectors.LoadFixture(tb, "bitcoind/"+name, "the bitcoind adapter's answers against a real node's")
	})
}

func bitcoindConfig(fake *nodetest.Bitcoind) BitcoindConfig {
	return BitcoindConfig{
		Address: fake.Addr(), CookieFile: fake.CookieFile(),
		CallTimeout: 10 * time.Second, BulkTimeout: 10 * time.Second, RetryDelay: time.Millisecond,
	}
}

// newBitcoind returns a client, and checks at the end of the test that it left
// no goroutine behind.
func newBitcoind(tb testing.TB, cfg BitcoindConfig) *Bitcoind {
	tb.Helper()
	b, err := NewBitcoind(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		b.Close()
		checkGoroutines(tb)
	})
	return b
}

// said returns the result of the nth recorded call of a method by node 1 that
// has these parameters, decoded.
func said[T any](tb testing.TB, rec *nodetest.BitcoindRecording, n int, method, params string) (v T) {
	tb.Helper()
	for _, c := range rec.Calls {
		if c.Node != 1 || c.Request.Method != method || strings.ReplaceAll(string(c.Request.Params), " ", "") != params {
			continue
		}
		if n--; n < 0 {
			if err := json.Unmarshal(c.Response.Result, &v); err != nil {
				tb.Fatal(err)
			}
			return v
		}
	}
	tb.Fatalf("the recording has no such call of %s%s", method, params)
	return v
}

// moments are the tips of the recording's node, in order, at which it was asked
// for its tips: before the reorg, on the branch that lost, and after it.
func moments(tb testing.TB, rec *nodetest.BitcoindRecording) (before, lost, after chainhash.Hash) {
	tb.Helper()
	first := said[[]struct{ Hash displayHash }](tb, rec, 0, "getchaintips", "[]")
	second := said[[]struct{ Hash displayHash }](tb, rec, 1, "getchaintips", "[]")
	return chainhash.Hash(first[0].Hash), chainhash.Hash(second[1].Hash), chainhash.Hash(second[0].Hash)
}

func TestBitcoindAgainstRecording(t *testing.T) {
	rec := bitcoindRecording(t)
	before, lost, after := moments(t, rec)
	for _, noREST := range []bool{false, true} {
		t.Run(fmt.Sprintf("noREST=%v", noREST), func(t *testing.T) {
			fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{NoREST: noREST})
			b := newBitcoind(t, bitcoindConfig(fake))
			ctx := t.Context()
			fake.MoveTo(t, before)
			fake.ForgetBranches()
			info := said[chainInfo](t, rec, 0, "getblockchaininfo", "[]")
			want := Tip{chainhash.Hash(*info.Best), uint32(*info.Blocks)}
			if got, err := b.Tip(ctx); err != nil || got != want || want.Hash != before {
				t.Errorf("Tip() = %v, %v, want %v", got, err, want)
			}
			if got, err := b.Network(ctx); err != nil || got != "regtest" {
				t.Errorf("Network() = %q, %v", got, err)
			}
			checkTips(t, b, []ChainTip{{want, 0, "active"}})

			pool := said[struct{ Txids []displayHash }](t, rec, 1, "getrawmempool", "[false,true]")
			var txids []chainhash.Hash
			for _, txid := range pool.Txids {
				txids = append(txids, chainhash.Hash(txid))
			}
			fake.SetMempool(txids)
			if got, err := b.Mempool(ctx); err != nil || !slices.Equal(got, txids) || len(got) != 12 {
				t.Errorf("Mempool() = %v, %v, want %v", got, err, txids)
			}

			fake.MoveTo(t, lost)
			fake.MoveTo(t, after)
			checkTips(t, b, []ChainTip{{Tip{after, 119}, 0, "active"}, {Tip{lost, 117}, 2, "valid-fork"}})

			fake.MoveTo(t, rec.Chain[len(rec.Chain)-1])
			for h, hash := range rec.Chain {
				if got, err := b.BlockHash(ctx, uint32(h)); err != nil || got != hash {
					t.Errorf("BlockHash(%d) = %v, %v, want %v", h, got, err, hash)
				}
			}
			for hash, raw := range rec.Blocks {
				if got, err := b.Block(ctx, hash); err != nil || !bytes.Equal(got, raw) {
					t.Errorf("Block(%s): %d bytes, %v, want %d", hash, len(got), err, len(raw))
				}
				if got, err := b.Header(ctx, hash); err != nil || !bytes.Equal(got[:], raw[:header.Size]) {
					t.Errorf("Header(%s) = %x, %v", hash, got, err)
				}
			}
			if byREST := fake.Calls("/rest/block/"); (byREST > 0) == noREST || (fake.Calls("getblock") > 0) != noREST {
				t.Errorf("%d blocks by REST, %d by RPC", byREST, fake.Calls("getblock"))
			}
			if got := fake.Calls("/rest/chaininfo.json"); got != 1 {
				t.Errorf("REST was probed %d times, want once", got)
			}
			told := make(map[chainhash.Hash][]byte)
			for _, c := range rec.Calls {
				if c.Request.Method != "getrawtransaction" || !strings.HasSuffix(string(c.Request.Params), ", 0]") {
					continue
				}
				var params []any
				var raw hexBytes
				if json.Unmarshal(c.Request.Params, &params) != nil || json.Unmarshal(c.Response.Result, &raw) != nil {
					t.Fatalf("recorded %s", c.RawRequest)
				}
				txid, err := chainhash.NewHashFromStr(params[0].(string))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := b.Transaction(ctx, *txid); err != nil || !bytes.Equal(got, raw) {
					t.Errorf("Transaction(%s) = %x, %v, want %x", txid, got, err, raw)
				}
				told[*txid] = raw
			}
			checkTransactions(t, b, told)
		})
	}
}

func checkTips(t *testing.T, b *Bitcoind, want []ChainTip) {
	t.Helper()
	if got, err := b.ChainTips(t.Context()); err != nil || !slices.Equal(got, want) {
		t.Errorf("ChainTips() = %v, %v, want %v", got, err, want)
	}
}

func TestBitcoindNotFound(t *testing.T) {
	rec := bitcoindRecording(t)
	for _, noREST := range []bool{false, true} {
		t.Run(fmt.Sprintf("noREST=%v", noREST), func(t *testing.T) {
			fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{NoREST: noREST})
			b := newBitcoind(t, bitcoindConfig(fake))
			ctx, unknown := t.Context(), chainhash.Hash{1}
			for name, call := range map[string]func() error{
				"Block":       func() error { _, err := b.Block(ctx, unknown); return err },
				"Header":      func() error { _, err := b.Header(ctx, unknown); return err },
				"Transaction": func() error { _, err := b.Transaction(ctx, unknown); return err },
				"BlockHash":   func() error { _, err := b.BlockHash(ctx, 121); return err },
				"overflow":    func() error { _, err := b.BlockHash(ctx, 1<<31); return err },
			} {
				err := call()
				_, rpc := errors.AsType[*RPCError](err)
				if !errors.Is(err, ErrNotFound) || rpc != (name != "overflow") {
					t.Errorf("%s: %v, want ErrNotFound with the node's code and message", name, err)
				}
			}
		})
	}
}

func TestBitcoindRefusals(t *testing.T) {
	rec := bitcoindRecording(t)
	const full = "Work queue depth exceeded"
	for _, tt := range []struct {
		name     string
		status   int
		body     string
		times    int
		want     error // nil when the call succeeds in the end
		contains string
		calls    int
	}{
		{"busy once", 503, full, 1, nil, "", 2},
		{"busy once, as of old", 500, full, 1, nil, "", 2},
		{"busy", 503, full, -1, ErrBusy, "rpcworkqueue", 3},
		{"busy, as of old", 500, full, -1, ErrBusy, "rpcworkqueue", 3},
		{"cut short", 200, `{"result":`, 2, nil, "", 3},
		{"forbidden", 403, "", -1, ErrForbidden, "rpcwhitelist", 1},
		{"not JSON", 200, "<html>", -1, nil, "malformed", 1},
		{"another call's", 200, `{"result":1,"error":null,"id":99999}`, -1, nil, "another call", 1},
		{"no result", 200, `{"result":null,"error":null,"id":1}`, -1, nil, "no result", 1},
		{"no height", 200, `{"result":{"chain":"main","bestblockhash":"` + strings.Repeat("0", 64) + `"},"error":null,"id":1}`, -1, nil, "is missing", 1},
		{"2.0 error", 200, `{"jsonrpc":"2.0","error":{"code":-7,"message":"out of memory"},"id":1}`, -1, nil, "out of memory (code -7)", 1},
		{"method refused", 404, `{"result":null,"error":{"code":-32601,"message":"Method not found"},"id":1}`, -1, nil, "Method not found (code -32601)", 1},
		{"no such page", 404, "", -1, nil, "HTTP status 404", 1},
		{"too long", 200, strings.Repeat(" ", 300<<10), -1, nil, "longer than", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{})
			b := newBitcoind(t, bitcoindConfig(fake))
			n := 0 // the fake calls the function one call at a time
			fake.Rewrite(func(_ string, a nodetest.Answer) nodetest.Answer {
				if n++; tt.times < 0 || n <= tt.times {
					return nodetest.Answer{Status: tt.status, Body: []byte(tt.body)}
				}
				return a
			})
			_, err := b.Tip(t.Context())
			if (err == nil) != (tt.want == nil && tt.contains == "") || tt.want != nil && !errors.Is(err, tt.want) ||
				err != nil && !strings.Contains(err.Error(), tt.contains) {
				t.Errorf("Tip: %v, want %v with %q", err, tt.want, tt.contains)
			}
			if got := fake.Calls("getblockchaininfo"); got != tt.calls {
				t.Errorf("%d calls, want %d", got, tt.calls)
			}
		})
	}
}

func TestBitcoindWarmUp(t *testing.T) {
	rec := bitcoindRecording(t)
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{})
	b := newBitcoind(t, bitcoindConfig(fake))
	ctx, hash := t.Context(), rec.Chain[9]
	calls := map[string]func() error{
		"Tip":         func() error { _, err := b.Tip(ctx); return err },
		"BlockHash":   func() error { _, err := b.BlockHash(ctx, 9); return err },
		"Headers":     func() error { _, err := b.Headers(ctx, nil); return err },
		"Header":      func() error { _, err := b.Header(ctx, hash); return err },
		"Block":       func() error { _, err := b.Block(ctx, hash); return err },
		"ChainTips":   func() error { _, err := b.ChainTips(ctx); return err },
		"Mempool":     func() error { _, err := b.Mempool(ctx); return err },
		"Transaction": func() error { _, err := b.Transaction(ctx, hash); return err },
		"Prevouts":    func() error { _, err := b.Prevouts(ctx, outPoints(hash, 0)); return err },
	}
	fake.SetWarmUp(true)
	for name, call := range calls {
		err := call()
		if !errors.Is(err, ErrWarmUp) || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "Loading block index") {
			t.Errorf("%s: %v, want ErrWarmUp with the node's message", name, err)
		}
	}
	fake.SetWarmUp(false)
	delete(calls, "Transaction") // a block's hash is no transaction's
	for name, call := range calls {
		if err := call(); err != nil {
			t.Errorf("%s after the start: %v", name, err)
		}
	}
	if fake.Calls("/rest/block/") != 1 {
		t.Error("REST was taken for switched off while the node started")
	}
}

// TestBitcoindConnections checks that calls one after another take at least
// four connections in turn, and keep them.
func TestBitcoindConnections(t *testing.T) {
	rec := bitcoindRecording(t)
	for _, limit := range []int{1, 4, 6} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{})
			cfg := bitcoindConfig(fake)
			cfg.MaxCalls = limit
			b := newBitcoind(t, cfg)
			for range 40 {
				if _, err := b.BlockHash(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
			}
			conns, turns := fake.Connections(), max(limit, 4)
			for i := range conns {
				if i >= turns && conns[i] != conns[i-turns] {
					t.Errorf("call %d came by %s, want %s, whose turn it was", i, conns[i], conns[i-turns])
				}
			}
			slices.Sort(conns)
			if got := len(slices.Compact(conns)); got != turns {
				t.Errorf("%d connections, want %d", got, turns)
			}
			fake.DropConnections()
			if _, err := b.BlockHash(t.Context(), 1); err != nil {
				t.Errorf("after the connections were cut: %v", err)
			}
		})
	}
}

func TestBitcoindConcurrency(t *testing.T) {
	const limit = 3
	t.Cleanup(func() { checkGoroutines(t) })
	var open, most atomic.Int32
	entered := make(chan struct{}, 100)
	release := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := open.Add(1)
		for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
		}
		entered <- struct{}{}
		<-release
		open.Add(-1)
		w.WriteHeader(http.StatusForbidden)
	})}
	addr := serveLoopback(t, server)
	b, err := NewBitcoind(BitcoindConfig{Address: addr, User: "u", Password: "p", MaxCalls: limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			if _, err := b.Tip(t.Context()); !errors.Is(err, ErrForbidden) {
				t.Error(err)
			}
		})
	}
	for range limit {
		<-entered
	}
	close(release)
	calls.Wait()
	if got := most.Load(); got != limit {
		t.Errorf("%d calls were open at once, want %d", got, limit)
	}
}

func TestBitcoindCancel(t *testing.T) {
	rec := bitcoindRecording(t)
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{})
	b := newBitcoind(t, bitcoindConfig(fake))
	ctx, cancel := context.WithCancel(t.Context())
	fake.Rewrite(func(_ string, a nodetest.Answer) nodetest.Answer {
		cancel()
		return nodetest.Answer{Status: 503, Body: []byte("Work queue depth exceeded")}
	})
	if _, err := b.Tip(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Tip: %v, want the context's error", err)
	}
}

func TestBitcoindMetrics(t *testing.T) {
	if got := kindOf(fmt.Errorf("x: %w", ErrWarmUp)); got != kindBusy {
		t.Errorf("a node that starts is counted as %s", got)
	}
	if got := kindOf(&refusal{ErrBusy, "full"}); got != kindBusy {
		t.Errorf("a full queue is counted as %s", got)
	}
	rec := bitcoindRecording(t)
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{})
	cfg := bitcoindConfig(fake)
	cfg.Recorder = new(perfcore.Registry)
	b := newBitcoind(t, cfg)
	for _, call := range []func() error{
		func() error { _, err := b.Headers(t.Context(), nil); return err },
		func() error { _, err := b.Block(t.Context(), rec.Chain[1]); return err },
		func() error { _, err := b.Mempool(t.Context()); return err },
	} {
		if err := call(); err != nil {
			t.Error(err)
		}
	}
}

func TestBitcoindConfig(t *testing.T) {
	good := BitcoindConfig{Address: "127.0.0.1:8332", CookieFile: "/x/.cookie"}
	for _, tt := range []struct {
		name   string
		change func(*BitcoindConfig)
		want   string // "" when it is right
	}{
		{"cookie", func(*BitcoindConfig) {}, ""},
		{"IPv6", func(c *BitcoindConfig) { c.Address = "[::1]:8332" }, ""},
		{"password", func(c *BitcoindConfig) { c.CookieFile, c.User, c.Password = "", "u", "p" }, ""},
		{"remote, allowed", func(c *BitcoindConfig) { c.Address, c.AllowRemote = "10.0.0.1:8332", true }, ""},
		{"remote", func(c *BitcoindConfig) { c.Address = "10.0.0.1:8332" }, "in the clear"},
		{"name", func(c *BitcoindConfig) { c.Address = "node.example:8332" }, "in the clear"},
		{"no port", func(c *BitcoindConfig) { c.Address = "127.0.0.1" }, "is not host:port"},
		{"neither", func(c *BitcoindConfig) { c.CookieFile = "" }, "a cookie file is needed"},
		{"both", func(c *BitcoindConfig) { c.User, c.Password = "u", "p" }, "one of them is enough"},
		{"half", func(c *BitcoindConfig) { c.CookieFile, c.User = "", "u" }, "a cookie file is needed"},
		{"colon", func(c *BitcoindConfig) { c.CookieFile, c.User, c.Password = "", "u:v", "p" }, "colon"},
		{"calls", func(c *BitcoindConfig) { c.MaxCalls = -1 }, "open at once"},
		{"time", func(c *BitcoindConfig) { c.CallTimeout = -1 }, "negative"},
	} {
		cfg := good
		tt.change(&cfg)
		_, err := NewBitcoind(cfg)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
