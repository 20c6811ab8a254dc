package endpoint

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A fault is what a server or something before it does instead of answering.
type fault struct {
	name string
	do   func(w http.ResponseWriter, r *http.Request, c call)
	// only is the endpoint that has it, for what a pool can tell only from others.
	only string
}

// status answers with an HTTP status and a body in which ID stands for the call's.
func status(code int, body string) func(http.ResponseWriter, *http.Request, call) {
	return func(w http.ResponseWriter, _ *http.Request, c call) {
		w.WriteHeader(code)
		fmt.Fprint(w, strings.ReplaceAll(body, "ID", string(c.ID)))
	}
}

// text answers with a body and a status of success.
func text(body string) func(http.ResponseWriter, *http.Request, call) {
	return status(http.StatusOK, body)
}

// coded answers with an error of JSON-RPC.
func coded(code int, message string) func(http.ResponseWriter, *http.Request, call) {
	return func(w http.ResponseWriter, _ *http.Request, c call) { refuse(w, c, code, message) }
}

// drop closes the connection, having sent some bytes.
func drop(head string) func(http.ResponseWriter, *http.Request, call) {
	return func(w http.ResponseWriter, _ *http.Request, _ call) {
		conn, buffer, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = buffer.WriteString(head)
		_ = buffer.Flush()
		_ = conn.Close()
	}
}

var faults = []fault{
	{name: "429", do: status(429, "slow down")},
	{name: "429 with a null result", do: status(429, `{"jsonrpc":"2.0","id":ID,"result":null}`)},
	{name: "500 in HTML", do: status(500, "<html>oops</html>")},
	{name: "500 with a null result", do: status(500, `{"jsonrpc":"2.0","id":ID,"result":null}`)},
	{name: "502", do: status(502, "")},
	{name: "503", do: status(503, "null")},
	{name: "504", do: status(504, "")},
	{name: "401", do: status(401, "who are you")},
	{name: "403", do: status(403, "")},
	{name: "404 in HTML", do: status(404, "not found")},
	{name: "404 with a null result", do: status(404, `{"id":ID,"result":null}`)},
	{name: "redirect", do: status(302, "")},
	{name: "no content", do: status(204, "")},
	{name: "nothing", do: text("")},
	{name: "null", do: text("null")},
	{name: "an empty list", do: text("[]")},
	{name: "a list of null", do: text(`[{"jsonrpc":"2.0","id":ID,"result":null}]`)},
	{name: "HTML", do: text("<html>login</html>")},
	{name: "cut", do: text(`{"jsonrpc":"2.0","id":ID,"result":nul`)},
	{name: "null without an id", do: text(`{"jsonrpc":"2.0","result":null}`)},
	{name: "null for another", do: text(`{"jsonrpc":"2.0","id":1ID,"result":null}`)},
	{name: "null for nobody", do: text(`{"jsonrpc":"2.0","id":null,"result":null}`)},
	{name: "neither", do: text(`{"jsonrpc":"2.0","id":ID}`)},
	{name: "no error", do: text(`{"jsonrpc":"2.0","id":ID,"error":null}`)},
	{name: "both", do: text(`{"jsonrpc":"2.0","id":ID,"result":null,"error":{"code":-32603,"message":"internal error"}}`)},
	{name: "an error of another form", do: text(`{"jsonrpc":"2.0","id":ID,"result":null,"error":"not found"}`)},
	{name: "limit exceeded", do: coded(-32005, "limit exceeded")},
	{name: "over the limit", do: coded(-32016, "over rate limit")},
	{name: "429 inside", do: coded(429, "Your app has exceeded its compute units per second capacity")},
	{name: "too many", do: coded(-32000, "too many requests")},
	{name: "internal", do: coded(-32603, "Internal error")},
	{name: "no backend", do: coded(-32011, "no backends available for method")},
	{name: "node lags", do: coded(-32000, "header not found")},
	{name: "unknown block", do: coded(-39001, "Unknown block")},
	{name: "resource not found", do: coded(-32001, "resource not found")},
	{name: "execution timeout", do: coded(-32000, "execution aborted (timeout = 5s)")},
	{name: "method not found", do: coded(-32601, "the method does not exist")},
	{name: "closed", do: drop("")},
	{name: "closed within", do: drop("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"jsonrpc\":\"2.0\",\"result\":null")},
	{name: "no HTTP", do: drop("garbage\r\n\r\n")},
	{name: "hangs", do: func(w http.ResponseWriter, r *http.Request, c call) { hang(w, r, c) }},
	{name: "lags", do: text(`{"jsonrpc":"2.0","id":ID,"result":null}`), only: "a"},
}

// 10,000 faults, and nobody is told that what is there is absent, or that what is absent
// is there. One endpoint of three may lag and then answers null.
func TestFaults(t *testing.T) {
	want := int64(10_000)
	if testing.Short() {
		want = 2_000
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var mu sync.Mutex // guards rng and injected
	rng := rand.New(rand.NewPCG(seed, 0))
	injected := make(map[string]int)
	var total atomic.Int64
	servers := make([]*server, 3)
	for i := range servers {
		name := string(rune('a' + i))
		servers[i] = newServer(t, func(w http.ResponseWriter, r *http.Request, c call) bool {
			mu.Lock()
			f := faults[rng.IntN(len(faults))]
			calm := rng.IntN(2) == 0 || f.only != "" && f.only != name || f.name == "hangs" && rng.Int64N(want/250) > 0
			if !calm {
				injected[f.name]++
			}
			mu.Unlock()
			if !calm {
				total.Add(1)
				f.do(w, r, c)
				return true
			}
			if string(c.Params[0]) == `"0xabsent"` {
				result(w, c, "null")
				return true
			}
			return false
		})
	}
	opts := options(servers...)
	opts.Timeout = 100 * time.Millisecond
	p := open(t, opts)
	hurry(p)
	p.hedgeDelay.Store(20)

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var answered, absent, failed atomic.Int64
	var callers sync.WaitGroup
	for i := range 16 {
		callers.Go(func() {
			for n := i; total.Load() < want && ctx.Err() == nil; n++ {
				there := n%4 != 0
				tx := map[bool]string{true: "0xthere", false: "0xabsent"}[there]
				raw, err := p.Call(ctx, "eth_getTransactionReceipt", tx)
				switch {
				case err == nil && there && string(raw) == receipt:
					answered.Add(1)
				case err == nil:
					t.Errorf("the receipt of %s is %s", tx, raw)
				case errors.Is(err, Absent) && there:
					t.Errorf("what is there is said to be absent: %v", err)
				case errors.Is(err, Absent):
					absent.Add(1)
				default:
					failed.Add(1)
				}
			}
		})
	}
	callers.Wait()
	if total.Load() < want {
		t.Errorf("%d faults in two minutes, want %d", total.Load(), want)
	}
	if answered.Load() == 0 || absent.Load() == 0 {
		t.Errorf("%d answered, %d absent, %d failed: nothing was tested", answered.Load(), absent.Load(), failed.Load())
	}
	mu.Lock()
	defer mu.Unlock()
	for _, f := range faults {
		if injected[f.name] == 0 {
			t.Errorf("the fault %q was not injected", f.name)
		}
	}
	t.Logf("%d faults: %d answered, %d absent, %d without an answer", total.Load(), answered.Load(), absent.Load(), failed.Load())
}

// Whatever fails, no transaction reaches two endpoints or one twice.
func TestSendsOnce(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var mu sync.Mutex // guards rng and arrived
	rng := rand.New(rand.NewPCG(seed, 0))
	arrived := make(map[string]int)
	servers := make([]*server, 3)
	for i := range servers {
		servers[i] = newServer(t, func(w http.ResponseWriter, r *http.Request, c call) bool {
			mu.Lock()
			arrived[string(c.Params[0])]++
			f := faults[rng.IntN(len(faults))]
			calm := rng.IntN(2) == 0 || f.name == "hangs" && rng.IntN(10) > 0
			mu.Unlock()
			if !calm {
				f.do(w, r, c)
			}
			return !calm
		})
	}
	servers[1].Close() // nobody is there
	opts := options(servers...)
	opts.Timeout = 100 * time.Millisecond
	p := open(t, opts)
	hurry(p)
	p.hedgeDelay.Store(1)
	outcomes := make(map[Kind]int)
	var callers sync.WaitGroup
	for i := range 4 {
		callers.Go(func() {
			for n := range 500 {
				tx := fmt.Sprintf("0x%02x%04x", i, n)
				_, err := p.Call(t.Context(), "eth_sendRawTransaction", tx)
				mu.Lock()
				times := arrived[`"`+tx+`"`]
				kind := kindOf(err)
				outcomes[kind]++
				mu.Unlock()
				switch {
				case times > 1:
					t.Errorf("transaction %s arrived %d times", tx, times)
				case err == nil && times != 1:
					t.Errorf("transaction %s was accepted and never arrived", tx)
				case times == 1 && err != nil && !kind.said() && kind != RateLimited && kind != Unauthorized && kind != Uncertain:
					t.Errorf("transaction %s arrived, and the error does not say that it may have: %v", tx, err)
				}
			}
		})
	}
	callers.Wait()
	if outcomes[""] == 0 || outcomes[Uncertain] == 0 || outcomes[RateLimited] == 0 {
		t.Errorf("outcomes %v: nothing was tested", outcomes)
	}
}
