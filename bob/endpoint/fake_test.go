package endpoint

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// A call is what a server was asked.
type call struct {
	ID     json.RawMessage   `json:"id"`
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
}

// A server is a node that speaks JSON-RPC over HTTP, on chain 60808 at first.
type server struct {
	*httptest.Server
	chain atomic.Uint64
	// handle, unless nil, answers a call that is not about the chain; it reports
	// whether it did.
	handle func(w http.ResponseWriter, r *http.Request, c call) bool

	mu    sync.Mutex
	calls []call // guarded by mu: what is not about the chain
	posts int    // guarded by mu: exchanges that are not about the chain
}

// receipt is the result of every question.
const receipt = `{"status":"0x1"}`

func newServer(t testing.TB, handle func(w http.ResponseWriter, r *http.Request, c call) bool) *server {
	s := &server{handle: handle}
	s.chain.Store(60808)
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client left
	}
	var c call
	if json.Unmarshal(body, &c) != nil {
		s.serveBatch(w, body)
		return
	}
	if c.Method == "eth_chainId" {
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":"0x%x"}`, c.ID, s.chain.Load())
		return
	}
	s.keep(c)
	if s.handle != nil && s.handle(w, r, c) {
		return
	}
	result(w, c, receipt)
}

// serveBatch answers the calls of a batch from the last to the first.
func (s *server) serveBatch(w http.ResponseWriter, body []byte) {
	var calls []call
	if err := json.Unmarshal(body, &calls); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.keep(calls...)
	fmt.Fprint(w, "[")
	for i := range calls {
		c := calls[len(calls)-1-i]
		if i > 0 {
			fmt.Fprint(w, ",")
		}
		if s.handle == nil || !s.handle(w, nil, c) {
			result(w, c, receipt)
		}
	}
	fmt.Fprint(w, "]")
}

func (s *server) keep(calls ...call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posts++
	s.calls = append(s.calls, calls...)
}

// seen returns how many exchanges and calls there were.
func (s *server) seen() (posts, calls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.posts, len(s.calls)
}

// result answers a call.
func result(w io.Writer, c call, result string) {
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, c.ID, result)
}

// refuse answers a call with an error.
func refuse(w io.Writer, c call, code int, message string) {
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%s}}`, c.ID, code, strconv.Quote(message))
}

// always answers every call with a result.
func always(text string) func(http.ResponseWriter, *http.Request, call) bool {
	return func(w http.ResponseWriter, _ *http.Request, c call) bool {
		result(w, c, text)
		return true
	}
}

// hang answers nothing until the client leaves.
func hang(_ http.ResponseWriter, r *http.Request, _ call) bool {
	<-r.Context().Done()
	return true
}

// options are of a pool of servers called a, b, c…
func options(servers ...*server) Options {
	opts := Options{Layer: "l2", ChainID: 60808, Recorder: new(perfcore.Registry)}
	for i, s := range servers {
		opts.Endpoints = append(opts.Endpoints, Endpoint{Name: string(rune('a' + i)), URL: s.URL, Rate: 1e6, Burst: 1e6})
	}
	return opts
}

// open opens a pool, and closes it when the test ends.
func open(t testing.TB, opts Options) *Pool {
	t.Helper()
	p, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

// hurry makes endpoints rest for hardly any time.
func hurry(p *Pool) {
	for _, n := range p.nodes {
		n.breaker.least, n.breaker.most = time.Microsecond, time.Microsecond
	}
}
