package endpoint

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

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
		if n.places.Held() != 0 || n.waiting.Load() != 0 {
			t.Errorf("%d places are taken and %d wait", n.places.Held(), n.waiting.Load())
		}
		// One for which there is no place costs nothing.
		time.Sleep(time.Second)
		for n.places.TryAcquire() {
		}
		if _, err := n.turn(t.Context(), &question{params: make([][]any, 5)}, true); err == nil || err.Kind != Overloaded {
			t.Errorf("a hedge without a place: %v", err)
		}
		if left := n.limiter.Tokens(); left != 5 {
			t.Errorf("of a budget of 5 a hedge without a place has left %v", left)
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
