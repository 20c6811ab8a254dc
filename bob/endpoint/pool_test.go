package endpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

func TestOpenRefuses(t *testing.T) {
	one := []Endpoint{{Name: "a", URL: "http://127.0.0.1:1"}}
	for name, opts := range map[string]Options{
		"no layer":       {ChainID: 1, Endpoints: one},
		"no chain":       {Layer: "l2", Endpoints: one},
		"no endpoint":    {Layer: "l2", ChainID: 1},
		"a role":         {Layer: "l2", ChainID: 1, Role: 9, Endpoints: one},
		"too many":       {Layer: "l2", ChainID: 1, Confirm: 2, Endpoints: one},
		"a budget":       {Layer: "l2", ChainID: 1, Endpoints: []Endpoint{{Name: "a", URL: "http://h", Rate: -1}}},
		"one name twice": {Layer: "l2", ChainID: 1, Endpoints: append(slices.Clone(one), one...)},
		"a name":         {Layer: "l2", ChainID: 1, Endpoints: []Endpoint{{Name: "A b", URL: "http://h"}}},
		"a scheme":       {Layer: "l2", ChainID: 1, Endpoints: []Endpoint{{Name: "a", URL: "ws://key@h"}}},
		"an address":     {Layer: "l2", ChainID: 1, Endpoints: []Endpoint{{Name: "a", URL: "http://key\x7f@h"}}},
	} {
		if _, err := New(opts); err == nil || strings.Contains(err.Error(), "key") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An endpoint of another chain is refused at the start, and found later.
func TestWrongChain(t *testing.T) {
	a, b := newServer(t, always(`"a"`)), newServer(t, always(`"b"`))
	b.chain.Store(1)
	if _, err := Open(t.Context(), options(a, b)); !errors.Is(err, WrongChain) || !strings.Contains(err.Error(), "b: wrong chain: it is of chain 1, not of 60808") {
		t.Fatalf("opened with an endpoint of another chain: %v", err)
	}
	b.chain.Store(60808)
	opts := options(a, b)
	p := open(t, opts)
	a.chain.Store(1)
	p.prove(t.Context())
	if st := p.Status(); st[0].Chain != "wrong" || st[1].Chain != "right" {
		t.Errorf("status %+v", st)
	}
	for range 20 {
		if raw, err := p.Call(t.Context(), "eth_gasPrice"); err != nil || string(raw) != `"b"` {
			t.Errorf("%s, %v", raw, err)
		}
	}
	b.chain.Store(1)
	p.prove(t.Context())
	for _, method := range []string{"eth_gasPrice", "eth_sendRawTransaction"} {
		if _, err := p.Call(t.Context(), method); !errors.Is(err, WrongChain) {
			t.Errorf("%s where all are of another chain: %v", method, err)
		}
	}
	a.chain.Store(60808)
	p.prove(t.Context())
	if raw, err := p.Call(t.Context(), "eth_gasPrice"); err != nil || string(raw) != `"a"` {
		t.Errorf("%s, %v", raw, err)
	}
}

// One that was away is asked for its chain before anything else.
func TestChainAfterRest(t *testing.T) {
	var sick atomic.Bool
	a := newServer(t, func(w http.ResponseWriter, _ *http.Request, _ call) bool {
		if sick.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
		return sick.Load()
	})
	p := open(t, options(a))
	hurry(p)
	sick.Store(true)
	for range breakAfter {
		if _, err := p.Call(t.Context(), "eth_gasPrice"); !errors.Is(err, Faulty) {
			t.Fatal(err)
		}
	}
	sick.Store(false)
	a.chain.Store(5)
	var err error
	for range 1000 {
		if _, err = p.Call(t.Context(), "eth_gasPrice"); errors.Is(err, WrongChain) {
			break
		}
	}
	if !errors.Is(err, WrongChain) {
		t.Errorf("an endpoint that came back on another chain: %v", err)
	}
}

func TestOpNodeChain(t *testing.T) {
	a := newServer(t, func(w http.ResponseWriter, _ *http.Request, c call) bool {
		if c.Method == "optimism_rollupConfig" {
			result(w, c, `{"l2_chain_id":60808}`)
		}
		return c.Method == "optimism_rollupConfig"
	})
	opts := options(a)
	opts.Role = OpNode
	p := open(t, opts)
	if p.Status()[0].Chain != "right" {
		t.Errorf("status %+v", p.Status())
	}
	for raw, want := range map[string]bool{`{"l2_chain_id":1}`: true, `{}`: false, `null`: false, `{"l2_chain_id":-1}`: false} {
		if _, err := OpNode.parse(json.RawMessage(raw)); (err == nil) != want {
			t.Errorf("%s: %v", raw, err)
		}
	}
	for raw, want := range map[string]bool{`"0x1"`: true, `"1"`: false, `1`: false, `"0x"`: false, `"0x10000000000000000"`: false} {
		if _, err := Execution.parse(json.RawMessage(raw)); (err == nil) != want {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// Run finds an endpoint that changes its chain, and ends with its context.
func TestRun(t *testing.T) {
	a, b := newServer(t, nil), newServer(t, nil)
	opts := options(a, b)
	opts.Recheck = time.Millisecond
	p := open(t, opts)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	a.chain.Store(10)
	for patience := time.Now().Add(10 * time.Second); p.Status()[0].Chain != "wrong"; {
		if _, err := p.Call(ctx, "eth_gasPrice"); err != nil {
			t.Errorf("in the meantime: %v", err)
		}
		if time.Now().After(patience) {
			t.Errorf("not found: %+v", p.Status()[0])
			break
		}
	}
	cancel()
	running.Wait()
}

// A thing is absent when two say so; one that lags is not believed.
func TestAbsence(t *testing.T) {
	null := func() *server { return newServer(t, always("null")) }
	down := func() *server {
		return newServer(t, func(w http.ResponseWriter, _ *http.Request, _ call) bool { w.WriteHeader(502); return true })
	}
	there := func() *server { return newServer(t, nil) }
	for _, tt := range []struct {
		name    string
		servers []*server
		confirm int
		want    error
	}{
		{"one of one", []*server{null()}, 0, Absent},
		{"two of two", []*server{null(), null()}, 0, Absent},
		{"one lags", []*server{null(), there()}, 0, nil},
		{"one lags, one is down", []*server{null(), down(), there()}, 0, nil},
		{"one of two, the other is down", []*server{null(), down()}, 0, Unconfirmed},
		{"one is enough", []*server{null(), down()}, 1, Absent},
		{"three must", []*server{null(), null(), down()}, 3, Unconfirmed},
	} {
		opts := options(tt.servers...)
		opts.Confirm = tt.confirm
		p := open(t, opts)
		for range 2 {
			raw, err := p.Call(t.Context(), "eth_getTransactionReceipt", "0x1")
			if !errors.Is(err, tt.want) || tt.want == nil && string(raw) != receipt {
				t.Errorf("%s: %s, %v; want %v", tt.name, raw, err, tt.want)
			}
			if n := p.perf.unconfirmed.Value(); (n > 0) != (tt.want == Unconfirmed) {
				t.Errorf("%s: %d unconfirmed, by the metrics", tt.name, n)
			}
			if e, ok := errors.AsType[*Error](err); ok && e.Missing() != (tt.want == Absent) {
				t.Errorf("%s: missing is %v", tt.name, e.Missing())
			}
		}
	}
	// Null is no answer to other questions.
	p := open(t, options(null()))
	for _, method := range []string{"eth_call", "eth_getBalance", "eth_getLogs"} {
		if _, err := p.Call(t.Context(), method); !errors.Is(err, Malformed) {
			t.Errorf("%s answered with null: %v", method, err)
		}
	}
	if _, err := p.Call(t.Context(), "eth_sendRawTransaction"); !errors.Is(err, Uncertain) || p.nodes[0].perf.failures[Uncertain].Value() != 1 {
		t.Errorf("a transaction answered with null: %v", err)
	}
	if raw, err := p.Call(t.Context(), "evm_mine"); err != nil || string(raw) != "null" {
		t.Errorf("a method that is not known: %s, %v", raw, err)
	}
}

// What one endpoint does not have, another may.
func TestElsewhere(t *testing.T) {
	for code, kind := range map[int]Kind{-32601: Refused, -39001: UnknownBlock} {
		lacks := func() *server {
			return newServer(t, func(w http.ResponseWriter, _ *http.Request, c call) bool { refuse(w, c, code, "not here"); return true })
		}
		p := open(t, options(lacks(), newServer(t, nil)))
		for range 3 {
			if raw, err := p.Call(t.Context(), "eth_getBlockReceipts", "0x1"); err != nil || string(raw) != receipt {
				t.Errorf("code %d: %s, %v", code, raw, err)
			}
		}
		p = open(t, options(lacks(), lacks()))
		if _, err := p.Call(t.Context(), "eth_getBlockReceipts", "0x1"); !errors.Is(err, kind) {
			t.Errorf("code %d from both: %v", code, err)
		}
	}
}

// A slow read is asked twice and its first question is given up; a slow send is not.
func TestHedge(t *testing.T) {
	left := make(chan struct{}, 1)
	slow := newServer(t, func(w http.ResponseWriter, r *http.Request, c call) bool {
		if c.Method == "eth_sendRawTransaction" {
			result(w, c, `"slow"`)
			return true
		}
		hang(w, r, c)
		left <- struct{}{}
		return true
	})
	fast := newServer(t, always(`"fast"`))
	opts := options(slow, fast)
	p := open(t, opts)
	p.hedgeDelay.Store(1)
	p.hedges.tenths = 10
	prefer := func() { // the slow one is asked first
		p.nodes[0].latency, p.nodes[1].latency = 1, time.Hour
	}
	prefer()
	if raw, err := p.Call(t.Context(), "eth_gasPrice"); err != nil || string(raw) != `"fast"` {
		t.Errorf("%s, %v", raw, err)
	}
	<-left
	if n := p.perf.hedges.Value(); n != 1 {
		t.Errorf("%d hedges", n)
	}
	if st := p.Status(); st[0].Resting || st[0].Open != 0 {
		t.Errorf("what was given up counts against the endpoint: %+v", st[0])
	}
	// One read in ten may be hedged: now none may.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	prefer()
	if raw, err := p.Call(ctx, "eth_gasPrice"); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, TimedOut) {
		t.Errorf("without an allowance: %s, %v", raw, err)
	}
	<-left
	prefer()
	_, before := fast.seen()
	for range 20 {
		p.hedges.earn()
	}
	if raw, err := p.Call(t.Context(), "eth_sendRawTransaction", "0x1"); err != nil || string(raw) != `"slow"` {
		t.Errorf("%s, %v", raw, err)
	}
	if _, after := fast.seen(); after != before {
		t.Error("a send was hedged")
	}
}

// A send that waits for its answer is not repeated, however long it takes.
func TestSendIsNotHedged(t *testing.T) {
	release := make(chan struct{})
	slow := newServer(t, func(w http.ResponseWriter, _ *http.Request, c call) bool {
		<-release
		result(w, c, `"hash"`)
		return true
	})
	other := newServer(t, nil)
	p := open(t, options(slow, other))
	p.hedgeDelay.Store(1)
	p.hedges.tenths = maxTenths
	p.nodes[0].latency, p.nodes[1].latency = 1, time.Hour
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	for _, method := range []string{"eth_sendRawTransaction", "eth_sendTransaction", "engine_newPayloadV4"} {
		if raw, err := p.Call(t.Context(), method, "0x1"); err != nil || string(raw) != `"hash"` {
			t.Errorf("%s: %s, %v", method, raw, err)
		}
	}
	if _, calls := other.seen(); calls != 0 {
		t.Errorf("%d sends were hedged", calls)
	}
}

// Callers beyond the queue are refused at once, and the others get their turn.
func TestBackPressure(t *testing.T) {
	entered, release := make(chan struct{}, 16), make(chan struct{})
	a := newServer(t, func(http.ResponseWriter, *http.Request, call) bool {
		entered <- struct{}{}
		<-release
		return false
	})
	opts := options(a)
	opts.Endpoints[0].Calls, opts.Endpoints[0].Queue = 1, 2
	p := open(t, opts)
	var callers sync.WaitGroup
	call := func() {
		callers.Go(func() {
			if _, err := p.Call(t.Context(), "eth_gasPrice"); err != nil {
				t.Error(err)
			}
		})
	}
	call()
	<-entered // it has the place; two may wait
	call()
	call()
	for patience := time.Now().Add(10 * time.Second); p.Status()[0].Waiting != 2; runtime.Gosched() {
		if time.Now().After(patience) {
			t.Fatalf("not two wait: %+v", p.Status()[0])
		}
	}
	if _, err := p.Call(t.Context(), "eth_gasPrice"); !errors.Is(err, Overloaded) {
		t.Errorf("beyond the queue: %v", err)
	}
	if n := p.nodes[0].perf.failures[Overloaded].Value(); n != 1 {
		t.Errorf("%d refused, by the metrics", n)
	}
	if st := p.Status()[0]; st.Open != 1 || st.Waiting != 2 || st.Resting {
		t.Errorf("status %+v", st)
	}
	close(release)
	callers.Wait()
}

// The budget is a rate: 10 calls a second are 10 calls a second, and a caller with less
// patience is told at once.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := newNode(Endpoint{Name: "a", URL: "http://h", Rate: 10, Burst: 5}, 0, (*instruments)(nil).node(perfcore.Discard, "l2", "a"))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for range 25 {
			q := &question{params: make([][]any, 1)}
			release, err := n.turn(t.Context(), q, false)
			if err != nil {
				t.Fatal(err)
			}
			release()
		}
		if took := time.Since(start); took < 1990*time.Millisecond || took > 2010*time.Millisecond {
			t.Errorf("25 calls at 10 a second after a burst of 5 took %v", took)
		}
		// A batch costs what it has, beyond the burst too.
		start = time.Now()
		release, terr := n.turn(t.Context(), &question{params: make([][]any, 20)}, false)
		if terr != nil {
			t.Fatal(terr)
		}
		release()
		if took := time.Since(start); took < 1900*time.Millisecond {
			t.Errorf("a batch of 20 took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start = time.Now()
		if _, err := n.turn(ctx, &question{params: make([][]any, 5)}, false); err == nil || err.Kind != Overloaded || time.Since(start) > 0 {
			t.Errorf("a caller without patience: %v after %v", err, time.Since(start))
		}
		if _, err := n.turn(t.Context(), &question{params: make([][]any, 5)}, true); err == nil || err.Kind != Overloaded {
			t.Errorf("a hedge beyond the budget: %v", err)
		}
		if len(n.slots) != 0 || n.waiting.Load() != 0 {
			t.Errorf("%d places are taken and %d wait", len(n.slots), n.waiting.Load())
		}
	})
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker{least: minRest, most: maxRest}
		fail := func() {
			t.Helper()
			if !b.admit(time.Now()) {
				t.Fatal("a closed breaker keeps a call away")
			}
			b.settle(failed, time.Now())
		}
		for range breakAfter - 1 {
			fail()
		}
		b.settle(succeeded, time.Now()) // the row ends
		for range breakAfter {
			fail()
		}
		for rest := minRest; rest <= 2*maxRest; rest *= 2 {
			if !b.open() || b.admit(time.Now()) {
				t.Fatal("an open breaker lets a call through")
			}
			time.Sleep(min(rest, maxRest) * 3 / 4)
			if before := b.ready(time.Now().Add(-2)); before && rest > minRest {
				t.Errorf("ready before three quarters of %v", rest)
			}
			time.Sleep(min(rest, maxRest) / 4)
			if !b.admit(time.Now()) || b.admit(time.Now()) || b.ready(time.Now()) {
				t.Fatal("not one trial")
			}
			b.settle(unjudged, time.Now()) // it was given up: the next is the trial
			if !b.admit(time.Now()) {
				t.Fatal("no trial after one that was given up")
			}
			b.settle(failed, time.Now())
		}
		time.Sleep(maxRest)
		if !b.admit(time.Now()) || !b.settle(succeeded, time.Now()) || b.open() || b.rest != 0 {
			t.Error("it does not close")
		}
		b.hold(time.Second, time.Now())
		if b.admit(time.Now()) {
			t.Error("a call where the server asked for none")
		}
		time.Sleep(time.Second)
		if !b.admit(time.Now()) || b.settle(succeeded, time.Now()) {
			t.Error("a rest is taken for a failure")
		}
	})
}

// A server that says for how long is left alone for so long.
func TestRetryAfter(t *testing.T) {
	var limited atomic.Bool
	limited.Store(true)
	a := newServer(t, func(w http.ResponseWriter, _ *http.Request, _ call) bool {
		if !limited.Load() {
			return false
		}
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	b := newServer(t, always(`"b"`))
	p := open(t, options(a, b))
	p.nodes[0].latency, p.nodes[1].latency = 1, time.Hour
	for range 5 {
		if raw, err := p.Call(t.Context(), "eth_gasPrice"); err != nil || string(raw) != `"b"` {
			t.Errorf("%s, %v", raw, err)
		}
	}
	if posts, _ := a.seen(); posts != 1 {
		t.Errorf("it was asked %d times", posts)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "99999999": 0, "65535": time.Hour,
		"Fri, 02 Jan 2026 03:04:06 GMT": time.Second, "Fri, 02 Jan 2026 03:04:04 GMT": 0, "soon": 0,
	} {
		if got := parseRetryAfter(header, now); got != want {
			t.Errorf("Retry-After %q is %v, want %v", header, got, want)
		}
	}
}

func TestBatch(t *testing.T) {
	handle := func(w http.ResponseWriter, r *http.Request, c call) bool {
		switch string(c.Params[0]) {
		case "0":
			result(w, c, "null")
		case "1":
			refuse(w, c, -32602, "invalid params")
		case "2":
			if r != nil { // asked again, alone
				return false
			}
			refuse(w, c, -32005, "limit exceeded")
		default:
			result(w, c, string(c.Params[0]))
		}
		return true
	}
	a, b := newServer(t, handle), newServer(t, handle)
	p := open(t, options(a, b))
	hurry(p)
	p.batchSize.Store(10)
	params := make([][]any, 25)
	for i := range params {
		params[i] = []any{i}
	}
	got := p.Batch(t.Context(), "eth_getTransactionReceipt", params)
	for i, r := range got {
		switch {
		case i == 0 && errors.Is(r.Err, Absent), i == 1 && errors.Is(r.Err, Refused), i == 2 && string(r.Raw) == receipt:
		case i > 2 && r.Err == nil && string(r.Raw) == fmt.Sprint(i):
		default:
			t.Errorf("result %d: %s, %v", i, r.Raw, r.Err)
		}
	}
	postsA, _ := a.seen()
	postsB, _ := b.seen()
	if posts := postsA + postsB; posts < 3+2+1 || posts > 3+4 {
		t.Errorf("%d exchanges for 25 calls in batches of 10", posts)
	}
	for _, r := range p.Batch(t.Context(), "eth_sendRawTransaction", params[:2]) {
		if !errors.Is(r.Err, Refused) {
			t.Errorf("a batch of sends: %v", r.Err)
		}
	}
	if got := p.Batch(t.Context(), "eth_getTransactionReceipt", nil); len(got) != 0 {
		t.Errorf("nothing was asked: %v", got)
	}
}

// An endpoint that fails now and then is asked after one that does not.
func TestShun(t *testing.T) {
	var odd atomic.Int64
	a := newServer(t, func(w http.ResponseWriter, _ *http.Request, _ call) bool {
		fails := odd.Add(1)%2 == 0
		if fails {
			w.WriteHeader(http.StatusBadGateway)
		}
		return fails
	})
	b := newServer(t, nil)
	p := open(t, options(a, b))
	for range 50 {
		p.nodes[0].latency, p.nodes[1].latency = 1, time.Hour
		if _, err := p.Call(t.Context(), "eth_gasPrice"); err != nil {
			t.Error(err)
		}
	}
	if posts, _ := a.seen(); posts != 2 {
		t.Errorf("the endpoint that fails was asked %d times", posts)
	}
}

func TestTooLong(t *testing.T) {
	a := newServer(t, func(w http.ResponseWriter, _ *http.Request, c call) bool {
		result(w, c, `"`+strings.Repeat("x", 2<<20)+`"`)
		return true
	})
	p := open(t, options(a))
	if _, err := p.Call(t.Context(), "eth_blockNumber"); !errors.Is(err, TooLong) {
		t.Errorf("2 MiB for a number: %v", err)
	}
	if raw, err := p.Call(t.Context(), "eth_getBalance"); err != nil || len(raw) < 2<<20 {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}

// The address of an endpoint is nowhere to be seen, whatever goes wrong.
func TestSecrets(t *testing.T) {
	const key, user, password, token, bearer = "kEy0123456789abcdef", "alice-user", "pa/ss word", "t0ken+value", "bearer-secret"
	echo := func(w http.ResponseWriter, r *http.Request) string {
		return fmt.Sprint(r.URL, r.Header, r.Host, " ", strings.ToUpper(key), " ", user, " ", password, " ", token)
	}
	kinds := make(map[Kind]bool)
	var do atomic.Value
	a := newServer(t, func(w http.ResponseWriter, r *http.Request, c call) bool {
		do.Load().(func(http.ResponseWriter, *http.Request, call))(w, r, c)
		return true
	})
	host := strings.TrimPrefix(a.URL, "http://")
	address := "http://" + user + ":pa%2Fss%20word@" + host + "/v2/" + key + "?token=t0ken%2Bvalue"
	registry := new(perfcore.Registry)
	opts := Options{Layer: "l1", ChainID: 60808, Recorder: registry, Timeout: 20 * time.Millisecond, Endpoints: []Endpoint{{
		Name: "a", URL: address, Headers: map[string]string{"Authorization": "Bearer " + bearer},
	}}}
	p := open(t, opts)
	hurry(p)
	var seen bytes.Buffer
	tell := func(err error) {
		kinds[kindOf(err)] = true
		fmt.Fprintf(&seen, "%v\n%+v\n%s\n%q\n%#v\n", err, err, err, err, err.Error())
		for e := err; e != nil; e = errors.Unwrap(e) {
			fmt.Fprintln(&seen, e)
		}
	}
	for _, f := range []func(w http.ResponseWriter, r *http.Request, c call){
		func(w http.ResponseWriter, r *http.Request, c call) { refuse(w, c, -32602, echo(w, r)) },
		func(w http.ResponseWriter, r *http.Request, c call) {
			refuse(w, c, 3, "execution reverted "+echo(w, r))
		},
		func(w http.ResponseWriter, r *http.Request, c call) { w.WriteHeader(401); fmt.Fprint(w, echo(w, r)) },
		func(w http.ResponseWriter, r *http.Request, c call) { w.WriteHeader(429); fmt.Fprint(w, echo(w, r)) },
		func(w http.ResponseWriter, r *http.Request, c call) { w.WriteHeader(502); fmt.Fprint(w, echo(w, r)) },
		func(w http.ResponseWriter, r *http.Request, c call) { fmt.Fprint(w, echo(w, r)) },
		func(w http.ResponseWriter, r *http.Request, c call) { http.Redirect(w, r, address, http.StatusFound) },
		func(w http.ResponseWriter, r *http.Request, c call) { drop("")(w, r, c) },
		func(w http.ResponseWriter, r *http.Request, c call) {
			drop("HTTP/1.1 200 "+key+"\r\n"+key+"\r\n\r\n")(w, r, c)
		},
		func(w http.ResponseWriter, r *http.Request, c call) { hang(w, r, c) },
	} {
		do.Store(f)
		for _, method := range []string{"eth_call", "eth_sendRawTransaction"} {
			var err error
			for range 1000 { // not at rest
				if _, err = p.Call(t.Context(), method, "0x1"); !errors.Is(err, Resting) {
					break
				}
			}
			tell(err)
		}
	}
	a.Close()
	for range 2 {
		_, err := p.Call(t.Context(), "eth_call", "0x1")
		tell(err)
	}
	for _, k := range []Kind{Refused, Reverted, Unauthorized, RateLimited, Faulty, Malformed, TimedOut, Unreachable, Uncertain} {
		if !kinds[k] {
			t.Errorf("no error of kind %v was made", k)
		}
	}
	for _, s := range registry.Series() {
		fmt.Fprintln(&seen, s.Metric)
	}
	fmt.Fprintf(&seen, "%+v\n%+v\n", p.Status(), p.Knobs())
	text := strings.ToLower(seen.String())
	for _, secret := range []string{key, user, password, "pa%2fss", token, "t0ken%2b", bearer, host} {
		if i := strings.Index(text, strings.ToLower(secret)); i >= 0 {
			t.Errorf("%s is seen: …%s…", secret, text[max(0, i-80):min(len(text), i+80)])
		}
	}
}

func TestKnobs(t *testing.T) {
	p := open(t, options(newServer(t, nil)))
	for _, k := range p.Knobs() {
		if err := k.Check(); err != nil {
			t.Error(err)
		}
		for _, v := range k.Ladder {
			if err := k.Set(t.Context(), v); err != nil {
				t.Error(err)
			}
		}
	}
	if got := p.PollInterval(); got != 8*time.Second {
		t.Errorf("the interval is %v", got)
	}
}

// What was asked is measured, by endpoint and class.
func TestInstruments(t *testing.T) {
	registry := new(perfcore.Registry)
	a := newServer(t, func(w http.ResponseWriter, _ *http.Request, c call) bool {
		if c.Method == "eth_call" {
			refuse(w, c, 3, "no")
		}
		return c.Method == "eth_call"
	})
	opts := options(a)
	opts.Recorder = registry
	p := open(t, opts)
	for range 3 {
		if _, err := p.Call(t.Context(), "eth_getLogs"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Call(t.Context(), "eth_call"); !errors.Is(err, Reverted) {
		t.Fatal(err)
	}
	got := make(map[string]uint64)
	for _, s := range registry.Series() {
		key := s.Metric.Name + strings.Join(s.Metric.Labels, ",")
		switch {
		case s.Timer != nil:
			got[key] = s.Timer.Snapshot().Count
		case s.Counter != nil:
			got[key] = s.Counter.Value()
		}
	}
	for key, want := range map[string]uint64{
		"outrider_bob_rpc_secondslayer,l2,endpoint,a,class,logs":            3,
		"outrider_bob_rpc_secondslayer,l2,endpoint,a,class,call":            1,
		"outrider_bob_rpc_secondslayer,l2,endpoint,a,class,head":            1, // its chain
		"outrider_bob_rpc_failures_totallayer,l2,endpoint,a,kind,reverted":  1,
		"outrider_bob_rpc_failures_totallayer,l2,endpoint,a,kind,timed_out": 0,
	} {
		if n, ok := got[key]; !ok || n != want {
			t.Errorf("%s is %d, want %d", key, n, want)
		}
	}
}

// A pool of one endpoint asks no other, and shares what the endpoint may be asked and what
// is known of it; a pool that has asked nobody proves the chain with its first question.
func TestOnly(t *testing.T) {
	a, b := newServer(t, nil), newServer(t, always("null"))
	b.chain.Store(1)
	p, err := New(options(a, b))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	if p.Only("c") != nil {
		t.Error("there is a pool of an endpoint that there is not")
	}
	if _, err := p.Only("b").Call(t.Context(), "eth_getTransactionReceipt", "0x01"); !errors.Is(err, WrongChain) {
		t.Errorf("of another chain: %v", err)
	}
	if got := p.Status()[1].Chain; got != "wrong" {
		t.Errorf("what the one learnt is %q to all", got)
	}
	b.chain.Store(60808)
	p.prove(t.Context())
	if _, err := p.Only("b").Call(t.Context(), "eth_getTransactionReceipt", "0x01"); !errors.Is(err, Absent) {
		t.Errorf("null, by the only one: %v", err)
	}
	if _, calls := a.seen(); calls != 0 {
		t.Errorf("the other was asked %d times", calls)
	}
	for _, k := range p.Knobs() {
		if k.Name == "bob.l2_poll_interval" {
			if err := k.Set(t.Context(), 4000); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := p.Only("a").PollInterval(); got != 4*time.Second {
		t.Errorf("the knob of all has one poll each %v", got)
	}
}

// A batch that nobody is left to ask about says why they are left alone.
func TestBatchSaysWhy(t *testing.T) {
	for name, handle := range map[string]func(http.ResponseWriter, *http.Request, call) bool{
		"each": func(w http.ResponseWriter, _ *http.Request, c call) bool {
			refuse(w, c, -32005, "limit exceeded")
			return true
		},
		"all": nil,
	} {
		s := newServer(t, handle)
		p := open(t, options(s))
		if handle == nil {
			p.nodes[0].breaker.hold(time.Minute, time.Now())
		}
		results := p.Batch(t.Context(), "eth_getLogs", [][]any{{1}, {2}})
		for i, r := range results {
			if want := map[string]Kind{"each": RateLimited, "all": Resting}[name]; !errors.Is(r.Err, want) {
				t.Errorf("%s, %d: %v, want %v", name, i, r.Err, want)
			}
		}
	}
}
