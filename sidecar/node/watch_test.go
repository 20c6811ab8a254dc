package node

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// A watcher runs Watch and keeps its hints.
type watcher struct {
	tb    testing.TB
	b     *Btcd
	hints chan Hint
	stop  func()
}

// watch starts Watch, and ends it with the test.
func watch(tb testing.TB, cfg BtcdConfig) *watcher {
	tb.Helper()
	b := newBtcd(tb, cfg)
	ctx, cancel := context.WithCancel(tb.Context())
	w := &watcher{tb: tb, b: b, hints: make(chan Hint)}
	done := make(chan error, 1)
	go func() { done <- b.Watch(ctx, w.hints) }()
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			tb.Errorf("Watch returned %v, want the context's error", err)
		}
	}
	tb.Cleanup(w.stop)
	return w
}

// next returns the next hint.
func (w *watcher) next() Hint {
	w.tb.Helper()
	select {
	case h := <-w.hints:
		if h.At.IsZero() || time.Since(h.At) > time.Minute {
			w.tb.Errorf("the hint is from %v", h.At)
		}
		return h
	case <-time.After(20 * time.Second):
		w.tb.Fatal("no hint came")
	}
	return Hint{}
}

// expect fails unless the next hints are of the given kinds.
func (w *watcher) expect(kinds ...HintKind) {
	w.tb.Helper()
	for _, want := range kinds {
		if h := w.next(); h.Kind != want {
			w.tb.Fatalf("got hint %+v, want kind %d", h, want)
		}
	}
}

func TestWatch(t *testing.T) {
	for _, noTLS := range []bool{false, true} {
		t.Run(fmt.Sprintf("NoTLS=%t", noTLS), func(t *testing.T) {
			fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: noTLS})
			fake.Mine(105)
			w := watch(t, fakeConfig(fake))
			w.expect(HintConnected)

			mined := fake.Mine(2)
			for i, hash := range mined {
				if h := w.next(); h.Kind != HintBlockConnected || h.Tip != (Tip{hash, uint32(106 + i)}) {
					t.Errorf("got hint %+v, want that %s connected", h, hash)
				}
			}
			for _, txid := range fake.AddTxs(3) {
				if h := w.next(); h.Kind != HintTx || !bytes.Equal(h.Tx, fake.Mempool()[txid]) {
					t.Errorf("got hint %+v, want transaction %s", h, txid)
				}
			}
			old := fake.Chain()
			fresh := fake.Reorg(3, 4)
			var want, got []Hint
			for h := 107; h > 104; h-- {
				want = append(want, Hint{Kind: HintBlockDisconnected, Tip: Tip{old[h], uint32(h)}})
			}
			for i, hash := range fresh {
				want = append(want, Hint{Kind: HintBlockConnected, Tip: Tip{hash, uint32(105 + i)}})
			}
			for range want {
				h := w.next()
				got = append(got, Hint{Kind: h.Kind, Tip: h.Tip})
			}
			if !slices.EqualFunc(got, want, func(x, y Hint) bool { return x.Kind == y.Kind && x.Tip == y.Tip }) {
				t.Errorf("hints of a reorganisation are\n%v, want\n%v", got, want)
			}
		})
	}
}

// After each loss Watch subscribes anew, and says so.
func TestWatchReconnects(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{})
	fake.Mine(1)
	w := watch(t, counted(fakeConfig(fake)))
	w.expect(HintConnected)
	for i, loss := range []func(){
		fake.DropConnections,
		func() { fake.Restart(func() { fake.Reorg(1, 3) }) },
		func() { fake.Restart(nil) },
	} {
		loss()
		w.expect(HintLost, HintConnected)
		hash := fake.Mine(1)[0]
		if h := w.next(); h.Kind != HintBlockConnected || h.Tip.Hash != hash {
			t.Errorf("after loss %d: got hint %+v", i, h)
		}
	}
	if connects, losses := w.b.rpc.opts.perf.connects.Value(), w.b.rpc.opts.perf.losses.Value(); connects != 4 || losses != 3 {
		t.Errorf("%d connects and %d losses are counted", connects, losses)
	}
}

// A node that is not there yet, or that refuses the password, is tried until
// the context ends; nobody hears of a subscription that was never there.
func TestWatchKeepsTrying(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{})
	for name, change := range map[string]func(*BtcdConfig){
		"nobody there": func(c *BtcdConfig) { c.Address = "127.0.0.1:1" },
		"password":     func(c *BtcdConfig) { c.Password = "wrong" },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := fakeConfig(fake)
			change(&cfg)
			tried := make(chan struct{}, 4)
			b := newBtcd(t, cfg)
			inner := b.rpc.http.Transport
			b.rpc.http.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				select {
				case tried <- struct{}{}:
				default:
				}
				return inner.RoundTrip(r)
			})
			ctx, cancel := context.WithCancel(t.Context())
			hints := make(chan Hint, 10)
			done := make(chan error)
			go func() { done <- b.Watch(ctx, hints) }()
			for range 4 {
				<-tried
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) || len(hints) > 0 {
				t.Errorf("Watch returned %v and sent %d hints", err, len(hints))
			}
		})
	}
}

// A message that cannot be read costs the connection and nothing else; one that
// is merely unknown costs nothing.
func TestWatchMalformed(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	fake.Mine(101)
	hash, _ := fake.Tip()
	w := watch(t, counted(fakeConfig(fake)))
	w.expect(HintConnected)
	for _, msg := range []string{
		`{"jsonrpc":"1.0","method":"newsfromthefuture","params":[{}],"id":null}`,
		`{"jsonrpc":"1.0","method":"txaccepted","params":["00",1e-8],"id":null}`,
		`{"jsonrpc":"1.0","method":"filteredblockconnected","params":null,"id":null}`,
	} {
		fake.Notify([]byte(msg))
	}
	fake.AddTxs(1)
	w.expect(HintTx)
	junk := []string{
		``, `null`, `[]`, `{}`, `{`, `"x"`, "\xff",
		`{"method":1,"params":[],"id":null}`,
		`{"method":"blockconnected","params":{},"id":null}`,
		`{"method":"blockconnected","id":null}`,
		`{"method":"blockconnected","params":[],"id":null}`,
		`{"method":"blockconnected","params":["` + hash.String() + `"],"id":null}`,
		`{"method":"blockconnected","params":[null,1,2],"id":null}`,
		`{"method":"blockconnected","params":["` + hash.String() + `",null,2],"id":null}`,
		`{"method":"blockconnected","params":["` + hash.String() + `",-1,2],"id":null}`,
		`{"method":"blockdisconnected","params":["` + hash.String()[2:] + `",1,2],"id":null}`,
		`{"method":"txacceptedverbose","params":[],"id":null}`,
		`{"method":"txacceptedverbose","params":["00"],"id":null}`,
		`{"method":"txacceptedverbose","params":[{"hex":"00"}],"id":null}`,
		`{"method":"txacceptedverbose","params":[{"txid":"` + hash.String() + `"}],"id":null}`,
		`{"method":"txacceptedverbose","params":[{"hex":"zz","txid":"` + hash.String() + `"}],"id":null}`,
		`{"result":null,"error":null,"id":1}`,
		`{"result":null,"error":{"code":-32700,"message":"Failed to parse request"},"id":null}`,
	}
	for i, msg := range junk {
		fake.Notify([]byte(msg))
		w.expect(HintLost, HintConnected)
		if n := w.b.rpc.opts.perf.junk.Value(); n != uint64(i+1) {
			t.Fatalf("after %q: %d malformed messages are counted, want %d", msg, n, i+1)
		}
	}
	// A transaction that came under another's name.
	w.stop()
	w = watch(t, counted(fakeConfig(fake)))
	w.expect(HintConnected)
	for _, raw := range fake.Mempool() {
		fake.Notify(fmt.Appendf(nil, `{"method":"txacceptedverbose","params":[{"hex":"%x","txid":"%s"}],"id":null}`, raw, hash))
	}
	w.expect(HintLost, HintConnected)
}

// A message that is longer than any that a node can mean costs the connection.
func TestWatchMessageTooLong(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	w := watch(t, fakeConfig(fake))
	w.expect(HintConnected)
	fake.Notify(append([]byte(`{"method":"x","id":null}`), bytes.Repeat([]byte(" "), maxMessage)...))
	w.expect(HintLost, HintConnected)
}

// A connection whose other end is gone without a word is found.
func TestWatchHalfOpen(t *testing.T) {
	cfg := func(fake *nodetest.Btcd) BtcdConfig {
		cfg := fakeConfig(fake)
		cfg.PingInterval, cfg.PingTimeout = 10*time.Millisecond, 200*time.Millisecond
		return cfg
	}
	t.Run("frozen node", func(t *testing.T) {
		fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{})
		w := watch(t, cfg(fake))
		w.expect(HintConnected)
		fake.Pause()
		w.expect(HintLost)
		fake.Resume()
		w.expect(HintConnected)
	})
	t.Run("lost peer", func(t *testing.T) {
		fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
		faults := nodetest.NewFaults(t, fake.Addr(), 1)
		faults.Each(firstOnly(nodetest.Fault{Kind: nodetest.Silence, After: 500})) // inside the first pongs
		c := cfg(fake)
		c.Address = faults.Addr()
		w := watch(t, c)
		w.expect(HintConnected, HintLost, HintConnected)
		fake.Mine(1)
		w.expect(HintBlockConnected)
	})
}

// notifyPadded sends n notifications of 10,000 bytes each.
func notifyPadded(fake *nodetest.Btcd, n int) {
	padding := bytes.Repeat([]byte(" "), 10_000)
	hash, _ := fake.Tip()
	for range n {
		fake.Notify(fmt.Appendf(nil, `{"method":"blockconnected","params":["%s",1,1],"id":null}%s`, hash, padding))
	}
}

// While the receiver of hints is slow, pings stay unanswered, because nothing is
// read. That is not taken for a dead connection.
func TestWatchSlowReceiver(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	fake.Mine(1)
	cfg := counted(fakeConfig(fake))
	cfg.PingInterval, cfg.PingTimeout = 20*time.Millisecond, 150*time.Millisecond
	w := watch(t, cfg)
	w.expect(HintConnected)
	notifyPadded(fake, 4)
	for range 4 {
		<-time.After(3 * cfg.PingTimeout)
		w.expect(HintBlockConnected)
	}
	if n := w.b.rpc.opts.perf.losses.Value(); n != 0 {
		t.Errorf("%d losses with a slow receiver", n)
	}
}

// While nobody takes hints nothing is read, and when that lasts too long the
// connection is given up, for the node's sake.
func TestWatchStalledReceiver(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	fake.Mine(1)
	cfg := counted(fakeConfig(fake))
	cfg.StallTimeout = 300 * time.Millisecond
	w := watch(t, cfg)
	w.expect(HintConnected)
	before := w.b.rpc.opts.perf.wsBytes.Value()
	notifyPadded(fake, 2000)
	subscribers := func(n int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := fake.WaitSubscribers(ctx, n); err != nil {
			t.Fatalf("waiting for %d subscribers: %v", n, err)
		}
	}
	subscribers(0)
	if read := w.b.rpc.opts.perf.wsBytes.Value() - before; read == 0 || read > 11_000 {
		t.Errorf("%d bytes were read while nobody received, want one message", read)
	}
	w.expect(HintLost)
	// Nobody takes the Connected hint either, until now.
	for range 2 {
		subscribers(1)
		subscribers(0)
	}
	w.expect(HintConnected)
	fake.Mine(1)
	w.expect(HintBlockConnected)
}

// The handshake, the subscription and the first notification are cut at every
// byte. A subscription is reported only when it is confirmed, its loss once, and
// the connection after gets through.
func TestWatchCutAtEveryByte(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	fake.Mine(1)
	faults := nodetest.NewFaults(t, fake.Addr(), 1)
	for _, up := range []bool{true, false} {
		after := 0
		for watchCut(t, fake, faults, nodetest.Fault{Kind: nodetest.Cut, Up: up, After: after}) {
			after++
		}
		// The handshake alone has more than 100 bytes.
		if after < 200 {
			t.Errorf("up %t: only %d bytes were cut", up, after)
		}
	}
}

// watchCut runs Watch through a proxy that does fault to the first connection,
// until a notification got through. It reports whether it had to connect again.
func watchCut(t *testing.T, fake *nodetest.Btcd, faults *nodetest.Faults, fault nodetest.Fault) bool {
	before := faults.Count(nodetest.None)
	faults.Each(firstOnly(fault))
	cfg := fakeConfig(fake)
	cfg.Address, cfg.ReconnectDelay = faults.Addr(), time.Microsecond
	w := watch(t, cfg)
	defer w.stop()
	w.expect(HintConnected)
	hash := fake.Mine(1)[0]
	h := w.next()
	if h.Kind == HintLost {
		w.expect(HintConnected)
		hash = fake.Mine(1)[0]
		h = w.next()
	}
	if h.Kind != HintBlockConnected || h.Tip.Hash != hash {
		t.Fatalf("%v: got hint %+v, want that %s connected", fault, h, hash)
	}
	return faults.Count(nodetest.None) > before
}

// Random faults, all of them seeded: whatever happens on the way, Watch gets
// through in the end, and what it hints at exists.
func TestWatchFaults(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	fake.Mine(101)
	faults := nodetest.NewFaults(t, fake.Addr(), seed)
	faults.Random(1, 1200)
	cfg := fakeConfig(fake)
	cfg.Address, cfg.PingInterval, cfg.PingTimeout = faults.Addr(), 10*time.Millisecond, 50*time.Millisecond
	w := watch(t, cfg)
	known := make(map[chainhash.Hash]bool)
	for _, hash := range fake.Chain() {
		known[hash] = true
	}
	check := func(h Hint) {
		if h.Kind == HintBlockConnected && !known[h.Tip.Hash] {
			t.Errorf("hint of a block that does not exist: %+v", h)
		}
	}
	for range 60 {
		known[fake.Mine(1)[0]] = true
		fake.AddTxs(1)
		faults.CutAll()
		select {
		case h := <-w.hints:
			check(h)
		case <-time.After(2 * time.Millisecond):
		}
	}
	faults.Random(0, 1)
	faults.CutAll()
	last := fake.Mine(1)[0]
	known[last] = true
	for {
		h := w.next()
		check(h)
		if h.Kind == HintConnected {
			last = fake.Mine(1)[0]
			known[last] = true
		}
		if h.Kind == HintBlockConnected && h.Tip.Hash == last {
			return
		}
	}
}

// What is logged of an outage is its beginning and its end; every attempt is
// for debugging only.
func TestWatchLogsOnce(t *testing.T) {
	fake := nodetest.NewBtcd(t, nodetest.BtcdOptions{})
	log := syncBuffer{level: slog.LevelDebug}
	cfg := fakeConfig(fake)
	cfg.Log = log.logger()
	w := watch(t, cfg)
	w.expect(HintConnected)
	fake.Restart(func() {
		w.expect(HintLost)
		for deadline := time.Now().Add(20 * time.Second); strings.Count(log.String(), "level=DEBUG") < 3; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("no further attempts are logged:\n%s", log.String())
			}
		}
	})
	w.expect(HintConnected)
	w.stop()
	text := log.String()
	if lost, back := strings.Count(text, "level=WARN"), strings.Count(text, "level=INFO"); lost != 1 || back != 2 {
		t.Errorf("%d losses and %d subscriptions are logged:\n%s", lost, back, text)
	}
}

// The waits between connections grow and vary while they fail, up to the
// greatest; a connection that lives longer than the wait before it begins anew.
func TestWatchBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const first, longest = time.Second, 10 * time.Second
		b := newBtcd(t, BtcdConfig{
			Address: "127.0.0.1:1", User: "u", Password: "p", NoTLS: true,
			ReconnectDelay: first, MaxReconnectDelay: longest, PingInterval: 24 * time.Hour,
		})
		// How long each connection lives; 0 for one that is refused.
		lives := []time.Duration{0, 0, 0, 0, 0, 0, time.Millisecond, time.Hour, time.Millisecond, time.Millisecond}
		means := []time.Duration{first, 2 * first, 4 * first, 8 * first, longest, longest, longest, first, 2 * first}
		var waits []time.Duration
		var ended time.Time
		ctx, cancel := context.WithCancel(t.Context())
		b.rpc.http.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			if !ended.IsZero() {
				waits = append(waits, time.Since(ended))
			}
			ended = time.Now()
			if len(waits) == len(lives) {
				cancel()
				return nil, ctx.Err()
			}
			life := lives[len(waits)]
			if life == 0 {
				return nil, io.ErrUnexpectedEOF
			}
			ended = ended.Add(life)
			return subscription(t, r, life), nil
		})
		hints := make(chan Hint, 2*len(lives))
		if err := b.Watch(ctx, hints); !errors.Is(err, context.Canceled) {
			t.Errorf("Watch returned %v", err)
		}
		if len(hints) != 2*4 {
			t.Errorf("%d hints of 4 connections", len(hints))
		}
		for i, mean := range means {
			if waits[i] < mean/2 || waits[i] > mean+mean/2 {
				t.Errorf("wait %d is %v, want around %v: %v", i, waits[i], mean, waits)
			}
		}
	})
}

// subscription answers a websocket handshake as a btcd does that confirms both
// subscriptions, and ends the connection after life.
func subscription(t *testing.T, r *http.Request, life time.Duration) *http.Response {
	accept := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	client, server := net.Pipe()
	go io.Copy(io.Discard, server)
	go func() {
		for id := 1; id <= 2; id++ {
			msg := fmt.Appendf(nil, `{"result":null,"error":null,"id":%d}`, id)
			if _, err := server.Write(append([]byte{0x81, byte(len(msg))}, msg...)); err != nil {
				t.Error(err)
			}
		}
		<-time.After(life)
		server.Close()
	}()
	return &http.Response{
		StatusCode: http.StatusSwitchingProtocols,
		Header: http.Header{
			"Upgrade": {"websocket"}, "Connection": {"Upgrade"},
			"Sec-Websocket-Accept": {base64.StdEncoding.EncodeToString(accept[:])},
		},
		Body: client,
	}
}
