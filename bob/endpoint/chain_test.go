package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

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
		_, err := p.Call(t.Context(), method)
		if want := method + ": a: wrong chain: it is of chain 1, not of 60808"; !errors.Is(err, WrongChain) || err.Error() != want {
			t.Errorf("%s where all are of another chain: %v, want %s", method, err, want)
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
