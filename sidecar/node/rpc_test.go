package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// counted returns cfg with a recorder, so that kindCount counts.
func counted(cfg BtcdConfig) BtcdConfig {
	cfg.Recorder = new(perfcore.Registry)
	return cfg
}

// answerWith returns a rewriting that changes the status of the first n answers
// (of all, when n is negative).
func answerWith(status, n int) func(string, nodetest.Answer) nodetest.Answer {
	var answered atomic.Int32
	return func(_ string, a nodetest.Answer) nodetest.Answer {
		if n < 0 || int(answered.Add(1)) <= n {
			a.Status = status
		}
		return a
	}
}

func TestRPCStatus(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	for _, tt := range []struct {
		name     string
		status   int
		times    int
		want     error // nil when the call succeeds in the end
		contains string
		calls    int
	}{
		{"busy once", 503, 1, nil, "", 2},
		{"busy twice", 503, 2, nil, "", 3},
		{"busy", 503, -1, ErrBusy, "rpcmaxclients", 3},
		{"unauthorized", 401, -1, ErrUnauthorized, "rpcuser", 1},
		{"forbidden", 403, -1, ErrForbidden, "does not serve", 1},
		{"bad request", 400, -1, nil, "may expect TLS", 1},
		{"moved", 302, -1, nil, "HTTP status 302", 1},
		{"teapot", 418, -1, nil, "HTTP status 418", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBtcd(t, fakeConfig(fake))
			before := fake.Calls("getbestblock")
			fake.Rewrite(answerWith(tt.status, tt.times))
			_, err := b.Tip(t.Context())
			switch {
			case tt.want == nil && tt.contains == "":
				if err != nil {
					t.Errorf("got error %v", err)
				}
			case err == nil, tt.want != nil && !errors.Is(err, tt.want), !strings.Contains(err.Error(), tt.contains):
				t.Errorf("got error %v, want %v that says %q", err, tt.want, tt.contains)
			}
			if calls := fake.Calls("getbestblock") - before; calls != tt.calls {
				t.Errorf("%d attempts, want %d", calls, tt.calls)
			}
		})
	}
}

// An error that the node answers with keeps its code and message, whatever the
// HTTP status that comes with it (Bitcoin Core's is 500).
func TestRPCError(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	b := newBtcd(t, fakeConfig(fake))
	for _, tt := range []struct {
		body    string
		status  int
		code    int
		message string
	}{
		{`{"result":null,"error":{"code":-28,"message":"Loading block index…"},"id":%d}`, 500, -28, "Loading block index…"},
		{`{"result":{"hash":"","height":1},"error":{"code":-1,"message":"both"},"id":%d}`, 200, -1, "both"},
		{`{"error":{"code":-32601,"message":"Method not found"},"id":%d}`, 404, -32601, "Method not found"},
		{`{"error":{"message":"no code"},"id":%d}`, 200, 0, "no code"},
		{`{"error":{"code":-32603,"message":"limited user not authorized for this method","data":{},"call":%d},"id":null}`, 200, -32603, "limited user not authorized for this method"},
		{`{"error":{"code":1,"message":"` + strings.Repeat("x", 2*maxErrorMessage) + `"},"id":%d}`, 200, 1, strings.Repeat("x", maxErrorMessage)},
	} {
		fake.Rewrite(func(_ string, a nodetest.Answer) nodetest.Answer {
			got, err := decodeAnswerID(a.Body)
			if err != nil {
				t.Error(err)
			}
			return nodetest.Answer{Status: tt.status, Body: fmt.Appendf(nil, tt.body, got)}
		})
		_, err := b.Tip(t.Context())
		got, ok := errors.AsType[*RPCError](err)
		if !ok || got.Code != tt.code || got.Message != tt.message {
			t.Errorf("%s: got %v, want code %d and message %q", tt.body[:40], err, tt.code, tt.message)
		}
	}
}

func decodeAnswerID(body []byte) (uint64, error) {
	var a answer
	if err := decodeBody(body, &a); err != nil || a.ID == nil {
		return 0, fmt.Errorf("no id in %.100q: %w", body, err)
	}
	return *a.ID, nil
}

// An answer that is longer than its method allows is an error, and is read no
// further.
func TestRPCAnswerTooLong(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	b := newBtcd(t, counted(fakeConfig(fake)))
	const surplus = 64 << 20
	fake.Rewrite(func(_ string, a nodetest.Answer) nodetest.Answer {
		a.Body = append(bytes.Repeat([]byte(" "), surplus), a.Body...)
		return a
	})
	_, err := b.Tip(t.Context())
	if _, ok := errors.AsType[*tooLongError](err); !ok {
		t.Errorf("got error %v, want that the answer is too long", err)
	}
	if read := b.rpc.opts.perf.httpBytes.Value(); read != maxSmallAnswer+1 {
		t.Errorf("%d bytes were read", read)
	}
}

// No more than maxCalls calls are open at once, and one that waits for its turn
// gives up with its context.
func TestRPCConcurrency(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	b := newBtcd(t, fakeConfig(fake))
	entered, release := make(chan struct{}), make(chan struct{})
	var open, most atomic.Int32
	fake.Rewrite(func(_ string, a nodetest.Answer) nodetest.Answer {
		most.Store(max(most.Load(), open.Add(1)))
		entered <- struct{}{}
		<-release
		open.Add(-1)
		return a
	})
	var calls sync.WaitGroup
	for range 10 {
		calls.Go(func() {
			if _, err := b.Tip(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	for range maxCalls {
		<-entered
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := b.Network(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call that waits returns %v", err)
	}
	go func() {
		for range 10 - maxCalls {
			<-entered
		}
	}()
	close(release)
	calls.Wait()
	if most.Load() != maxCalls {
		t.Errorf("%d calls were open at once, want %d", most.Load(), maxCalls)
	}
	if fake.Calls("getcurrentnet") != 0 {
		t.Error("the call that gave up was made")
	}
}

func TestRPCTimeout(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{})
	cfg := counted(fakeConfig(fake))
	cfg.CallTimeout = 50 * time.Millisecond
	b := newBtcd(t, cfg)
	fake.Pause()
	if _, err := b.Tip(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen node: got %v", err)
	}
	if n := b.rpc.opts.perf.retries.Value(); n != 0 {
		t.Errorf("a call that took too long was tried again %d times", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Block(ctx, chainhash.Hash{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call: got %v", err)
	}
	fake.Resume()
	cfg.CallTimeout = 10 * time.Second
	b = newBtcd(t, cfg)
	if _, err := b.Tip(t.Context()); err != nil {
		t.Errorf("after the pause: %v", err)
	}
}

func TestRPCTLS(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{})
	other := nodetest.NewBtcd(t, nodetest.BtcdOptions{})
	plain := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	for _, tt := range []struct {
		name   string
		change func(*BtcdConfig)
		want   error
		says   string
	}{
		{"another certificate", func(c *BtcdConfig) { c.Certificate = other.Certificate() }, ErrCertificate, "rpc.cert"},
		{"an address that the certificate lacks", func(c *BtcdConfig) { c.Address = "node.invalid:8334" }, ErrCertificate, "an address that the certificate names"},
		{"TLS to a plain server", func(c *BtcdConfig) { c.Address = plain.Addr() }, nil, "notls=1"},
		{"plain to a TLS server", func(c *BtcdConfig) { c.NoTLS, c.Certificate = true, nil }, nil, "may expect TLS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := fakeConfig(fake)
			tt.change(&cfg)
			b := newBtcd(t, counted(cfg))
			if strings.HasPrefix(cfg.Address, "node.invalid") {
				httpTransport(t, b).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, fake.Addr())
				}
			}
			_, err := b.Tip(t.Context())
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got error %v, want %v that says %q", err, tt.want, tt.says)
			}
			if n := b.rpc.opts.perf.retries.Value(); n != 0 {
				t.Errorf("tried again %d times", n)
			}
		})
	}
}

// btcd takes one call a connection. From the second on, the TLS session is
// resumed.
func TestRPCResumesTLS(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{})
	b := newBtcd(t, fakeConfig(fake))
	var resumed []bool
	inner := b.rpc.http.Transport
	b.rpc.http.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := inner.RoundTrip(r)
		if err == nil {
			resumed = append(resumed, resp.TLS.DidResume)
		}
		return resp, err
	})
	for range 3 {
		if _, err := b.Tip(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(resumed) != 3 || !resumed[1] || !resumed[2] {
		t.Errorf("resumed: %v", resumed)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The credentials are given to the node that was named and to nobody else: not
// to a server that it redirects to, nor to a proxy of the environment.
func TestRPCKeepsCredentials(t *testing.T) {
	elsewhere, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	var visits atomic.Int32
	var server sync.WaitGroup
	redirect := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if visits.Add(1); r.URL.Path == "/elsewhere" {
			t.Error("the redirection was followed")
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})}
	server.Go(func() { redirect.Serve(elsewhere) })
	defer server.Wait()
	defer redirect.Close()
	b := newBtcd(t, BtcdConfig{Address: elsewhere.Addr().String(), User: "u", Password: "p", NoTLS: true})
	if _, err := b.Tip(t.Context()); err == nil || visits.Load() != 1 {
		t.Errorf("error %v after %d visits", err, visits.Load())
	}
	if httpTransport(t, b).Proxy != nil {
		t.Error("there is a proxy")
	}
}

// Whatever fails, neither errors nor logs tell the password.
func TestRPCSecrets(t *testing.T) {
	const secret = "secret-password-of-mine"
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	faults := nodetest.NewFaults(t, fake.Addr(), 1)
	log := syncBuffer{level: slog.LevelDebug}
	cfg := fakeConfig(fake)
	cfg.Address, cfg.Password, cfg.Log = faults.Addr(), secret, log.logger()
	b := newBtcd(t, cfg)
	encoded := b.rpc.authorize[len("Basic "):]
	var texts []string
	for _, fault := range []nodetest.Fault{
		{}, {Kind: nodetest.Refuse}, {Kind: nodetest.Cut, After: 3}, {Kind: nodetest.Cut, Up: true, After: 3}, {Kind: nodetest.Corrupt},
	} {
		faults.Each(func(nodetest.Rand) nodetest.Fault { return fault })
		for _, err := range ask(t.Context(), b, chainhash.Hash{}, chainhash.Hash{}) {
			texts = append(texts, fmt.Sprintf("%v %+v %#v", err, err, err))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		texts = append(texts, b.Watch(ctx, make(chan Hint)).Error())
		cancel()
	}
	if !strings.Contains(log.String(), "401") {
		t.Errorf("the log does not tell of the refusal:\n%s", log.String())
	}
	for _, text := range append(texts, log.String()) {
		if strings.Contains(text, secret) || strings.Contains(text, encoded) {
			t.Errorf("told: %s", text)
		}
	}
}

// A syncBuffer keeps what is logged from level on.
type syncBuffer struct {
	level slog.Level
	mu    sync.Mutex
	buf   strings.Builder
}

func (b *syncBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: b.level}))
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// The exchange of a call is cut at every byte, in both directions. The client
// must never take what came for an answer, unless all of it came; and when only
// the first connection is cut, it must have the answer in the end.
func TestRPCCutAtEveryByte(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	fake.Mine(3)
	hash, height := fake.Tip()
	want := Tip{hash, uint32(height)}
	sent, received := exchangeSize(t, fake)
	faults := nodetest.NewFaults(t, fake.Addr(), 1)
	for _, up := range []bool{true, false} {
		size := received
		if up {
			size = sent
		}
		for after := range size {
			fault := nodetest.Fault{Kind: nodetest.Cut, Up: up, After: after}
			faults.Each(func(nodetest.Rand) nodetest.Fault { return fault })
			got, err := tipVia(t, fake, faults)
			// Only the newline after the answer may be missing.
			if complete := !up && after >= size-1; (err == nil) != complete || complete && got != want {
				t.Errorf("%v always: Tip() = %v, %v", fault, got, err)
			}
			faults.Each(firstOnly(fault))
			if got, err := tipVia(t, fake, faults); err != nil || got != want {
				t.Errorf("%v once: Tip() = %v, %v", fault, got, err)
			}
		}
	}
	checkGoroutines(t)
}

// firstOnly chooses fault for the next connection and none for those after.
func firstOnly(fault nodetest.Fault) func(nodetest.Rand) nodetest.Fault {
	first := true
	return func(nodetest.Rand) (f nodetest.Fault) {
		if first {
			first, f = false, fault
		}
		return f
	}
}

func tipVia(tb testing.TB, fake *nodetest.Btcd, proxy *nodetest.Faults) (Tip, error) {
	tb.Helper()
	cfg := fakeConfig(fake)
	cfg.Address, cfg.RetryDelay = proxy.Addr(), time.Microsecond
	b, err := NewBtcd(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	defer b.Close()
	return b.Tip(tb.Context())
}

// exchangeSize returns how many bytes a call of Tip sends and receives.
func exchangeSize(tb testing.TB, fake *nodetest.Btcd) (sent, received int) {
	tb.Helper()
	b, err := NewBtcd(fakeConfig(fake))
	if err != nil {
		tb.Fatal(err)
	}
	defer b.Close()
	var in, out atomic.Int64
	transport := httpTransport(tb, b)
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return &countingConn{Conn: c, in: &in, out: &out}, err
	}
	if _, err := b.Tip(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return int(out.Load()), int(in.Load())
}

func httpTransport(tb testing.TB, b *Btcd) *http.Transport {
	tb.Helper()
	transport, ok := b.rpc.http.Transport.(*http.Transport)
	if !ok {
		tb.Fatalf("the transport is a %T", b.rpc.http.Transport)
	}
	return transport
}

type countingConn struct {
	net.Conn
	in, out *atomic.Int64
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in.Add(int64(n))
	return n, err
}

func (c *countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.out.Add(int64(n))
	return n, err
}

// A byte of an exchange is spoilt, at every place. What is returned without an
// error is right.
func TestRPCCorruptAtEveryByte(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	fake.Mine(3)
	hash, height := fake.Tip()
	want := Tip{hash, uint32(height)}
	_, received := exchangeSize(t, fake)
	faults := nodetest.NewFaults(t, fake.Addr(), 1)
	for after := range received {
		faults.Each(func(nodetest.Rand) nodetest.Fault { return nodetest.Fault{Kind: nodetest.Corrupt, After: after} })
		got, err := tipVia(t, fake, faults)
		if err == nil && got != want {
			t.Errorf("corrupt byte %d: Tip() = %v, want %v", after, got, want)
		}
		if body := after >= received-100; body && err == nil {
			t.Errorf("corrupt byte %d: no error", after)
		}
	}
}

// The waits between attempts grow and vary, and end with the context.
func TestRPCBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		c := newRPCClient(rpcOptions{url: "http://127.0.0.1:1", maxCalls: 1, retryDelay: time.Second, perf: newRPCPerf(perfcore.Discard)})
		c.http.Transport = roundTripper(func(*http.Request) (*http.Response, error) {
			at = append(at, time.Now())
			return nil, io.ErrUnexpectedEOF
		})
		m := rpcMethod{"m", time.Minute, 100}
		if err := c.call(t.Context(), m, new(int)); !errors.Is(err, io.ErrUnexpectedEOF) || len(at) != rpcAttempts {
			t.Fatalf("%d attempts, error %v", len(at), err)
		}
		for i, mean := range []time.Duration{time.Second, 2 * time.Second} {
			if wait := at[i+1].Sub(at[i]); wait < mean/2 || wait > mean+mean/2 {
				t.Errorf("wait %d is %v", i, wait)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		err := c.call(ctx, m, new(int))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, io.ErrUnexpectedEOF) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("a call that ends during a wait: %v after %v", err, time.Since(start))
		}
	})
}
