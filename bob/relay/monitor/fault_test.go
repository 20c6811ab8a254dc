package monitor

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/contract"
)

// A fault is what a server, or something before it, does instead of answering an exchange.
type fault struct {
	name string
	do   func(w http.ResponseWriter, r *http.Request, answers string)
}

// status answers with an HTTP status, and a body in which ANSWERS are the node's.
func status(code int, body string) func(http.ResponseWriter, *http.Request, string) {
	return func(w http.ResponseWriter, _ *http.Request, answers string) {
		w.WriteHeader(code)
		fmt.Fprint(w, strings.ReplaceAll(body, "ANSWERS", answers))
	}
}

// edited answers with the node's answers after a change.
func edited(edit func(answers string) string) func(http.ResponseWriter, *http.Request, string) {
	return func(w http.ResponseWriter, _ *http.Request, answers string) { fmt.Fprint(w, edit(answers)) }
}

var faults = []fault{
	{"429", status(429, "slow down")},
	{"429 with answers", status(429, "ANSWERS")},
	{"500", status(500, "<html>oops</html>")},
	{"500 with answers", status(500, "ANSWERS")},
	{"502", status(502, "")},
	{"503", status(503, "null")},
	{"403", status(403, "")},
	{"404 in HTML", status(404, "not found")},
	{"nothing", status(200, "")},
	{"null", status(200, "null")},
	{"HTML", status(200, "<html>login</html>")},
	{"cut", edited(func(a string) string { return a[:len(a)/2] })},
	{"an error for all", status(200, `{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"limit exceeded"}}`)},
	{"hangs", func(_ http.ResponseWriter, r *http.Request, _ string) { <-r.Context().Done() }},
	{"closed", func(w http.ResponseWriter, _ *http.Request, _ string) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_ = conn.Close()
	}},
}

// callFaults are what a node answers to one call instead of the truth.
var callFaults = []struct {
	name   string
	result any
	err    error
}{
	{name: "null"},
	{name: "no bytes", result: "0x"},
	{name: "half a word", result: "0x00ff"},
	{name: "a number", result: 5},
	{name: "limit exceeded", err: &rpcError{code: -32005, message: "limit exceeded"}},
	{name: "too many requests", err: &rpcError{code: -32000, message: "too many requests"}},
	{name: "internal", err: &rpcError{code: -32603, message: "Internal error"}},
	{name: "no header", err: &rpcError{code: -32000, message: "header not found"}},
	{name: "pruned", err: &rpcError{code: -32000, message: "missing trie node"}},
	{name: "not canonical", err: &rpcError{code: -32000, message: "hash is not currently canonical"}},
	{name: "out of gas", err: &rpcError{code: -32000, message: "out of gas"}},
	{name: "a revert without data", err: &rpcError{code: 3, message: "execution reverted: Unknown block"}},
	{name: "a revert with half its data", err: &rpcError{code: 3, message: "execution reverted", data: reverts("Unknown block").data[:70]}},
	{name: "a timeout", err: &rpcError{code: -32000, message: "execution aborted (timeout = 5s)"}},
	{name: "no method", err: &rpcError{code: -32601, message: "the method does not exist"}},
}

// 10,000 faults of three nodes of the L2, of lags, and of the Bitcoin node, and not once is a
// header that the relay was told of taken for one that it was not.
func TestFaults(t *testing.T) {
	want := 10_000
	if testing.Short() {
		want = 1_500
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var mu sync.Mutex // guards rng, injected and calm
	rng := rand.New(rand.NewPCG(seed, 0))
	injected := make(map[string]int)
	total, calm := 0, true
	draw := func(n int) int { mu.Lock(); defer mu.Unlock(); return rng.IntN(n) }
	inject := func(name string) {
		mu.Lock()
		defer mu.Unlock()
		injected[name]++
		total++
	}
	isCalm := func() bool { mu.Lock(); defer mu.Unlock(); return calm }

	chain := trunk()[:beginAt+1]
	l := fullRelay(t, chain, contract.FullRelayWithVerify().Creation)
	var servers []*server
	for range 3 {
		s := newServer(t, l)
		s.exchange = func(w http.ResponseWriter, r *http.Request, body []byte) bool {
			f := faults[draw(len(faults))]
			if isCalm() || draw(4) > 0 || f.name == "hangs" && draw(60) > 0 {
				return false
			}
			inject(f.name)
			f.do(w, r, s.answers(body))
			return true
		}
		s.call = func(c rpcCall) (any, error, bool) {
			if isCalm() {
				return nil, nil, false
			}
			if c.Method == "eth_chainId" && draw(12) == 0 {
				inject("another chain")
				return "0x1", nil, true
			}
			if c.Method == "eth_chainId" || draw(12) > 0 {
				return nil, nil, false
			}
			f := callFaults[draw(len(callFaults))]
			if f.err == nil && c.Method != "eth_call" {
				return nil, nil, false
			}
			inject(f.name)
			return f.result, f.err, true
		}
		servers = append(servers, s)
	}
	pool := newFresh(t, servers...)
	t.Cleanup(pool.close)
	pool.opts.Timeout = 500 * time.Millisecond
	node := newBitcoin(chain)
	node.fault = func() error {
		if isCalm() || draw(12) > 0 {
			return nil
		}
		inject("the Bitcoin node")
		return errDown
	}
	m := watch(t, l, relay.KindFullWithVerify, pool, node)

	knowns, rounds := 0, 0
	for enough := false; !enough; rounds++ {
		if rounds%20 == 0 {
			// A block of Bitcoin comes and the relay is told, while nobody fails.
			mu.Lock()
			calm = true
			mu.Unlock()
			for _, s := range servers {
				s.set(func(s *server) { s.lag = 0 })
			}
			before := chain
			chain = grown(chain, 1, 0)
			node.set(chain)
			l.add(chain, len(chain)-1, len(chain)-1)
			l.must(mark(len(before)-1, before, chain))
			pool.renew(t)
			for tries := 0; !m.Refresh(t.Context()).Position.Known && tries < 10; tries++ { // the machine may be slow
			}
			known(t, m.State())
			mu.Lock()
			calm = false
			mu.Unlock()
		}
		l.reorganise(0, draw(2)) // an empty block, perhaps
		for _, s := range servers {
			lag := draw(20)
			if lag > 0 && draw(3) > 0 {
				lag = 0
			} else if lag > 0 {
				inject("lags")
			}
			s.set(func(s *server) { s.lag = lag })
		}
		pool.renew(t)
		st := m.Refresh(t.Context())
		if st.Reorganisations != 0 {
			t.Fatalf("a reorganisation that was none, in round %d", rounds)
		}
		for _, v := range []Value[Position]{st.Position, m.State().Position} {
			if v.V == nil {
				t.Fatal("what was known is forgotten")
			}
			p := v.V
			tip := uint32(len(chain) - 1)
			if v.Known && (p.StoredHeight != tip || p.MarkedHeight != tip || p.LagBlocks != 0 || p.ForkDepth != 0 || p.Ahead != 0) {
				t.Fatalf("round %d: not relayed, it says: %+v", rounds, p)
			}
			if !v.Known && v.Reason == "" {
				t.Fatal("unknown without a reason")
			}
		}
		if st.Position.Known {
			knowns++
		}
		mu.Lock()
		enough = total >= want
		mu.Unlock()
	}
	if knowns < rounds/10 || knowns == rounds {
		t.Errorf("of %d rounds %d knew: that says little", rounds, knowns)
	}
	t.Logf("%d faults in %d rounds, of which %d knew: %v", total, rounds, knowns, injected)
	for _, f := range faults {
		if injected[f.name] == 0 && !testing.Short() {
			t.Errorf("%q never came up", f.name)
		}
	}
	for _, f := range callFaults {
		if injected[f.name] == 0 && !testing.Short() {
			t.Errorf("%q never came up", f.name)
		}
	}
}
