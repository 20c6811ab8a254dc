package endpoint

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

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
