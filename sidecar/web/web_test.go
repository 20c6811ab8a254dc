package web

import (
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// A source is a Source that tells what the test puts in.
type source struct{ status atomic.Pointer[Status] }

func newSource(s Status) *source {
	src := new(source)
	src.status.Store(&s)
	return src
}

func (s *source) Status() Status { return *s.status.Load() }

// following is the status of a sidecar to which nothing bad has happened.
func following() Status {
	tip := BlockID{Height: 812345, Hash: "00000000000000000002a7c4c1e48d76c5a37902165a270156b7a8d72728a054"}
	return Status{
		Version: "v0.1.0", Started: time.Now().Add(-time.Hour), Network: "main",
		Node: Node{Kind: "btcd", Agent: "/btcd:0.26.0/", Address: "127.0.0.1:8334", Attached: true, Tip: &tip},
		Tip:  &tip, AtTip: true,
		Agreement: Agreement{Agree: 1234},
		Blocks: []Block{{
			BlockID: tip, At: time.Date(2026, 11, 23, 15, 4, 5, 0, time.UTC), Outcome: Agree, Prevouts: "own",
			Transactions: 2001, Inputs: 6000, Signatures: 6123,
			Verdict: 0.1512, Parse: 0.002, Lookup: 0.004, Rules: 0.006, Scripts: 0.088,
		}},
		Mempool:    Mempool{Transactions: 45678, Resyncs: 2, Warming: Warming{Waiting: 3, Verified: 41000, Refused: 1, Share: 0.75}},
		Advice:     []Advice{{Setting: "rest=1", Reason: "blocks come as they are"}},
		Signatures: Signatures{Path: "lane", Reason: "it is the fastest"},
	}
}

// start runs a Server for the test and returns its base URL. The Server must
// end without an error when the test does.
func start(t *testing.T, cfg Config) string {
	t.Helper()
	if cfg.Address == "" {
		cfg.Address = "127.0.0.1:0"
	}
	if cfg.Registry == nil {
		cfg.Registry = new(perfcore.Registry)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	return "http://" + s.Addr()
}

// get returns the answer to a GET and its body.
func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	return do(t, http.MethodGet, url, "")
}

// do sends a request under the name host, which is the URL's when empty.
func do(t *testing.T, method, url, host string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestNewRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	src, registry := newSource(following()), new(perfcore.Registry)
	for _, tt := range []struct {
		name string
		cfg  Config
	}{
		{"every address", Config{Address: "0.0.0.0:0", Registry: registry, Source: src}},
		{"no host", Config{Address: ":0", Registry: registry, Source: src}},
		{"every IPv6 address", Config{Address: "[::]:0", Registry: registry, Source: src}},
		{"another machine's name", Config{Address: "example.org:0", Registry: registry, Source: src}},
		{"private address", Config{Address: "192.168.1.2:0", Registry: registry, Source: src}},
		{"no port", Config{Address: "127.0.0.1", Registry: registry, Source: src}},
		{"taken port", Config{Address: taken.Addr().String(), Registry: registry, Source: src}},
		{"no registry", Config{Address: "127.0.0.1:0", Source: src}},
		{"no source", Config{Address: "127.0.0.1:0", Registry: registry}},
	} {
		if s, err := New(tt.cfg); err == nil {
			t.Errorf("%s: New listens on %s", tt.name, s.Addr())
			s.Close()
		}
	}
}

func TestNewListens(t *testing.T) {
	src, registry := newSource(following()), new(perfcore.Registry)
	for _, cfg := range []Config{
		{Address: "127.0.0.1:0", Registry: registry, Source: src},
		{Address: "localhost:0", Registry: registry, Source: src},
		{Address: "0.0.0.0:0", AllowRemote: true, Registry: registry, Source: src},
	} {
		s, err := New(cfg)
		if err != nil {
			t.Errorf("New(%q) = %v", cfg.Address, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close after New(%q) = %v", cfg.Address, err)
		}
	}
}

// serving are the functions that the goroutines of a Server are in.
var serving = []string{"net/http.(*conn).serve", "net/http.(*Server).Serve", "sidecar/web.(*Server)"}

// serverGoroutines returns the stacks of all goroutines that belong to a Server
// by now, waiting a moment for those that are about to end.
func serverGoroutines(patience time.Duration) string {
	deadline := time.Now().Add(patience)
	for {
		buf := make([]byte, 1<<20)
		stacks := string(buf[:runtime.Stack(buf, true)])
		left := ""
		for _, f := range serving {
			if strings.Contains(stacks, f) {
				left = stacks
			}
		}
		if left == "" || time.Now().After(deadline) {
			return left
		}
		runtime.Gosched()
	}
}

// Idle connections, and one on which nothing was ever sent, do not hold the
// shutdown up, and nothing is left of the Server after it.
func TestShutdownLeavesNothing(t *testing.T) {
	s, err := New(Config{Address: "127.0.0.1:0", Registry: new(perfcore.Registry), Source: newSource(following())})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()

	if resp, _ := get(t, "http://"+s.Addr()+"/healthz"); resp.StatusCode != http.StatusOK {
		t.Fatalf("healthz: %s", resp.Status)
	}
	silent, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()

	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if left := serverGoroutines(time.Second); left != "" {
		t.Errorf("goroutines are left:\n%s", left)
	}
	if _, err := net.Dial("tcp", s.Addr()); err == nil {
		t.Error("the address still takes connections")
	}
}

// A gate is a Source that answers when it is opened.
type gate struct {
	asked, open chan struct{}
}

func (g gate) Status() Status {
	g.asked <- struct{}{}
	<-g.open
	return following()
}

func TestShutdownLetsRequestsFinish(t *testing.T) {
	for _, tt := range []struct {
		name  string
		grace time.Duration
		code  int // of the request under way; 0 when its connection is cut
	}{
		{"within the grace", shutdownGrace, http.StatusOK},
		{"after it", time.Millisecond, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := gate{make(chan struct{}), make(chan struct{})}
			s, err := New(Config{Address: "127.0.0.1:0", Registry: new(perfcore.Registry), Source: g})
			if err != nil {
				t.Fatal(err)
			}
			s.grace = tt.grace
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx) }()
			answered := make(chan int, 1)
			go func() {
				resp, err := http.Get("http://" + s.Addr() + "/readyz")
				if err != nil {
					answered <- 0
					return
				}
				resp.Body.Close()
				answered <- resp.StatusCode
			}()
			<-g.asked
			cancel()
			select {
			case err := <-ended:
				t.Errorf("Run = %v while a request was under way", err)
			case <-time.After(100 * time.Millisecond):
			}
			close(g.open)
			if code := <-answered; code != tt.code {
				t.Errorf("the request under way got %d, want %d", code, tt.code)
			}
			if err := <-ended; err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
		})
	}
}

func TestRunReportsLostListener(t *testing.T) {
	s, err := New(Config{Address: "127.0.0.1:0", Registry: new(perfcore.Registry), Source: newSource(following())})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := s.Run(t.Context()); err == nil {
		t.Error("Run without a listener = nil")
	}
}
