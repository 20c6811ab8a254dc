package node

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// turn sets the knob of that name.
func turn(t *testing.T, knobs []perfcore.Knob, name string, value int64) {
	t.Helper()
	for _, k := range knobs {
		if k.Name == name {
			if err := k.Set(t.Context(), value); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("there is no knob %s", name)
}

// The knob says how many calls are open at once, up to what the node has to spare.
func TestCallsKnob(t *testing.T) {
	var mu sync.Mutex
	open, most := 0, 0
	changed := make(chan struct{}, 100)
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var call struct {
			ID json.RawMessage `json:"id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
			t.Error(err)
		}
		mu.Lock()
		open++
		most = max(most, open)
		mu.Unlock()
		changed <- struct{}{}
		<-release
		mu.Lock()
		open--
		mu.Unlock()
		_ = json.NewEncoder(w).Encode(map[string]any{"id": call.ID, "result": 7, "error": nil})
	}))
	defer server.Close()
	c := newRPCClient(rpcOptions{url: server.URL, maxCalls: 4, mostCalls: 8, retryDelay: time.Millisecond, perf: newRPCPerf(perfcore.Discard, "x"), keepAlive: true})
	defer c.close()
	knobs := []perfcore.Knob{c.knob()}
	if err := knobs[0].Check(); err != nil || c.slots.Size() != 4 {
		t.Errorf("the knob is %v at %d", err, c.slots.Size())
	}
	for _, n := range []int{0, 9} {
		if err := knobs[0].Apply(t.Context(), int64(n)); err == nil {
			t.Errorf("%d calls are allowed", n)
		}
	}
	for _, want := range []int{1, 8, 2, 4} {
		turn(t, knobs, "node.calls", int64(want))
		most = 0
		var calls sync.WaitGroup
		for range 12 {
			calls.Go(func() {
				var v int
				if err := c.call(t.Context(), rpcMethod{"x", time.Minute, 1 << 10}, &v); err != nil || v != 7 {
					t.Errorf("got %d, %v", v, err)
				}
			})
		}
		for range want {
			<-changed
		}
		for range 12 {
			release <- struct{}{}
		}
		calls.Wait()
		for len(changed) > 0 {
			<-changed
		}
		if most != want {
			t.Errorf("%d calls were open at once, want %d", most, want)
		}
	}
}

// The knobs of a feed say how far it fetches ahead, and when it looks again.
func TestFeedKnobs(t *testing.T) {
	core := nodetest.NewCore(t, nodetest.CoreOptions{})
	core.Mine(40)
	node := newBitcoind(t, bitcoindConfig(core.Bitcoind))
	headers, _ := openHeaders(t, filepath.Join(t.TempDir(), "headers.dat"))
	reg := new(perfcore.Registry)
	o := quick()
	o.Ahead, o.Recorder = 4, reg
	f := NewFeed(node, headers, o)
	for _, k := range f.Knobs() {
		if err := k.Check(); err != nil {
			t.Error(err)
		}
		if owned := k.Carry != 0; owned != (k.Name == "node.ahead") {
			t.Errorf("%s carries %d over", k.Name, k.Carry)
		}
		if k.Hastens != (k.Name == "node.ahead") {
			t.Errorf("%s hastens: %v", k.Name, k.Hastens)
		}
	}
	begun, proceed := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	var once sync.Once
	running.Go(func() {
		err := f.Run(ctx, nil, func(ctx context.Context, ev Event) error {
			if _, ok := ev.(Connected); ok {
				once.Do(func() { close(begun) })
				select {
				case <-proceed:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
		if err == nil {
			t.Error("the feed has ended by itself")
		}
	})
	<-begun // one block is being judged, and others are fetched
	fetched := func(want uint64) {
		t.Helper()
		for deadline := time.After(patience); f.metrics.fetch.Snapshot().Count != want; {
			select {
			case <-deadline:
				t.Fatalf("%d blocks were fetched, want %d", f.metrics.fetch.Snapshot().Count, want)
			case <-time.After(time.Millisecond):
			}
		}
	}
	fetched(1 + 4)
	turn(t, f.Knobs(), "node.ahead", 16)
	fetched(1 + 16)
	for range 10 {
		turn(t, f.Knobs(), "node.ahead", 2)
		proceed <- struct{}{}
	}
	fetched(1 + 16) // which are still enough
	close(proceed)
	fetched(40)
	cancel()
	running.Wait()
	if f.ahead.Held() != 0 {
		t.Errorf("%d turns are taken in the end", f.ahead.Held())
	}
	if err := f.Knobs()[0].Apply(t.Context(), maxAhead+1); err == nil {
		t.Error("too many blocks are fetched ahead")
	}
}

// How long the feed waits until it looks at what no notification tells of is what the
// knobs say.
func TestIntervalKnobs(t *testing.T) {
	core := nodetest.NewCore(t, nodetest.CoreOptions{})
	core.Mine(10)
	node := newBitcoind(t, bitcoindConfig(core.Bitcoind))
	tip, err := node.Tip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{Feed: NewFeed(node, nil, FeedOptions{}), tip: tip, started: true, judged: make(map[chainhash.Hash]struct{})}
	for _, tt := range []struct {
		knob string
		look func() error
		due  *time.Time
	}{
		{"node.poll", func() error { _, err := f.outrun(t.Context()); return err }, &f.pollDue},
		{"node.resync", func() error { return f.weigh(t.Context(), node) }, &f.resyncDue},
		{"node.branches", func() error { return f.followBranches(t.Context()) }, &f.branchesDue},
	} {
		for _, ms := range []int64{10_000, 60_000} {
			turn(t, f.Knobs(), tt.knob, ms)
			f.branchesDue = time.Time{}
			before := time.Now()
			if err := tt.look(); err != nil {
				t.Fatal(err)
			}
			want := time.Duration(ms) * time.Millisecond
			if wait := tt.due.Sub(before); wait < want || wait > want+10*time.Second {
				t.Errorf("%s at %d ms: the next look is due in %v", tt.knob, ms, wait)
			}
		}
	}
}
