package endpoint

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"
)

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
