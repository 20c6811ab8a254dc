package perf

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
)

// A hook is a webhook's other end: it answers with codes in turn, and then with the
// last one.
type hook struct {
	mu    sync.Mutex
	codes []int
	got   []string // key and state of each request
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var n Notice
	if err := json.NewDecoder(r.Body).Decode(&n); err != nil || r.Method != "POST" || r.Header.Get("Content-Type") != "application/json" ||
		r.Header.Get("Idempotency-Key") != n.Key {
		h.got = append(h.got, fmt.Sprintf("%s %v: %v", r.Method, r.Header, err))
	}
	h.got = append(h.got, n.Name+" "+string(n.State))
	code := h.codes[0]
	if len(h.codes) > 1 {
		h.codes = h.codes[1:]
	}
	if code == 302 {
		w.Header().Set("Location", "http://evil.example/")
	}
	w.WriteHeader(code)
}

func (h *hook) seen() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got)
}

// A notice is sent until it is taken, and no further when it is refused, and after so many
// attempts holds up no others; one that is newer stands for one that waits.
func TestWebhook(t *testing.T) {
	notice := func(name string, s AlertState) Notice {
		return Notice{Key: name + string(s), Network: "regtest", Alert: Alert{Name: name, State: s}}
	}
	for _, tt := range []struct {
		name  string
		codes []int
		want  []string
		log   string // in what is logged; "" is nothing
	}{
		{"taken", []int{200}, []string{"a firing", "b cleared"}, ""},
		{"taken without a word", []int{204}, []string{"a firing", "b cleared"}, ""},
		{"busy", []int{503, 429, 200}, []string{"a firing", "a firing", "a firing", "b cleared"}, ""},
		{"refused", []int{400, 200}, []string{"a firing", "b cleared"}, "it answers 400"},
		{"elsewhere", []int{302, 200}, []string{"a firing", "b cleared"}, "it answers 302"},
		{"long", append(slices.Repeat([]int{500}, attempts+2), 200), append(slices.Repeat([]string{"a firing"}, attempts),
			"b cleared", "a firing", "b cleared", "a firing"), "it answers 500"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := &hook{codes: tt.codes}
			server := httptest.NewServer(h)
			defer server.Close()
			var log bytes.Buffer
			w := newWebhook(server.URL+"/secret", slog.New(slog.NewTextHandler(&log, nil)))
			w.first = 10 * time.Microsecond
			w.send(notice("a", Firing))
			w.send(notice("b", Firing))
			w.send(notice("b", Cleared))
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { w.run(ctx) })
			await(t, func() (int, bool) { n := len(h.seen()); return n, n >= len(tt.want) })
			w.send(notice("c", Firing)) // when it arrives, the others are done with
			await(t, func() (int, bool) { n := len(h.seen()); return n, n > len(tt.want) })
			cancel()
			running.Wait()
			if got := h.seen()[:len(tt.want)]; !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if said := log.String(); (said == "") != (tt.log == "") || !strings.Contains(said, tt.log) || strings.Contains(said, "secret") {
				t.Errorf("logged %q", said)
			}
		})
	}
}

// A webhook that does not answer takes no more than so much memory, and does not
// keep the program from ending. Its address is in no log.
func TestWebhookIsGone(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	var log bytes.Buffer
	w := newWebhook(server.URL+"/secret", slog.New(slog.NewTextHandler(&log, nil)))
	w.first = time.Hour
	for i := range 3 * waitingNotices {
		w.send(Notice{Alert: Alert{Name: fmt.Sprint(i)}})
	}
	if n := len(w.waiting); n != waitingNotices {
		t.Errorf("%d notices wait", n)
	}
	if err := w.post(t.Context(), "k", nil); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("posting to nobody: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.run(ctx) })
	cancel()
	running.Wait()
	if strings.Contains(log.String(), "secret") {
		t.Errorf("logged %q", log.String())
	}
}

// A notice that the other end can do nothing with holds up no others for longer than so many
// attempts: each new one is a reason to try at once.
func TestWebhookFailsForOne(t *testing.T) {
	var mu sync.Mutex // guards got
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n Notice
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil || n.Name == "bad" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, n.Name)
	}))
	defer server.Close()
	w := newWebhook(server.URL, slog.New(slog.DiscardHandler))
	w.first = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.run(ctx) })
	seen := func() (int, []string) {
		mu.Lock()
		defer mu.Unlock()
		return len(got), slices.Clone(got)
	}
	w.send(Notice{Key: "bad", Alert: Alert{Name: "bad"}})
	for i := range attempts {
		await(t, func() (int, bool) { n, _ := seen(); return n, n > i })
		w.send(Notice{Key: fmt.Sprint(i), Alert: Alert{Name: "good"}})
	}
	await(t, func() ([]string, bool) { _, all := seen(); return all, slices.Contains(all, "good") })
	cancel()
	running.Wait()
}

func TestCheckWebhook(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://hooks.example/T0/B0/x": true,
		"http://127.0.0.1:9/x":          true,
		"http://[::1]:9/x":              true,
		"http://localhost/x":            true,
		"http://hooks.example/x":        false,
		"http://127.0.0.1.example/x":    false,
		"http://10.0.0.1/x":             false,
		"ftp://127.0.0.1/x":             false,
		"file:///etc/passwd":            false,
		"hooks.example":                 false,
		"":                              false,
		"https://%zz":                   false,
	} {
		if err := CheckWebhook(address); (err == nil) != ok || err != nil && address != "" && strings.Contains(err.Error(), address) {
			t.Errorf("%q: %v, want ok: %v", address, err, ok)
		}
	}
}

// When an answer is lost the same notice comes again, with the same key, by which whoever
// takes it knows it.
func TestWebhookAnswerIsLost(t *testing.T) {
	var mu sync.Mutex
	var keys []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if keys = append(keys, r.Header.Get("Idempotency-Key")); len(keys) > 2 {
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	}))
	defer server.Close()
	w := newWebhook(server.URL, slog.New(slog.DiscardHandler))
	w.first = 10 * time.Microsecond
	w.send(Notice{Key: "7-a-1-firing", Alert: Alert{Name: "a", State: Firing}})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.run(ctx) })
	await(t, func() (int, bool) { n := len(w.queued()); return n, n == 0 })
	cancel()
	running.Wait()
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(keys, []string{"7-a-1-firing", "7-a-1-firing", "7-a-1-firing"}) {
		t.Errorf("it came with the keys %q", keys)
	}
}

// Each time that an alert is raised, and each that it clears, has a key of its own, in
// each run of the sidecar.
func TestKeysOfNotices(t *testing.T) {
	keys := make(map[string]bool)
	for range 2 {
		p, err := New(Config{Mode: Observe, Datadir: t.TempDir(), Registry: new(perfcore.Registry), Webhook: "http://127.0.0.1:1"})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []Alert{
			{Name: "a", State: Firing, Times: 1}, {Name: "a", State: Cleared, Times: 1}, {Name: "a", State: Firing, Times: 2}, {Name: "b", State: Firing, Times: 1},
		} {
			p.raise("regtest", a)
			queue := p.webhook.queued()
			n := queue[len(queue)-1]
			if keys[n.Key] || n.Name != a.Name || n.State != a.State || n.Network != "regtest" {
				t.Errorf("%+v is told as %+v; keys were %v", a, n, keys)
			}
			keys[n.Key] = true
		}
	}
}

// An outage is a webhook's other end, without a network, that answers while it is up.
type outage struct {
	mu  sync.Mutex
	up  bool
	got []string
	n   int // attempts

	network string // of the last notice
}

func (o *outage) RoundTrip(r *http.Request) (*http.Response, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var n Notice
	if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
		return nil, err
	}
	o.n++
	if !o.up {
		return nil, errors.New("nobody is there")
	}
	o.got, o.network = append(o.got, fmt.Sprintf("%s %s %d", n.Name, n.State, n.Times)), n.Network
	return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
}

func (o *outage) set(up bool) (got []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	got, o.got, o.up = o.got, nil, up
	return got
}

func (o *outage) attempts() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.n
}

// What stands is told however long the webhook was away, and what does not stand any more
// is not; the log says twice how it is with the webhook. It is asked once a minute.
func TestWebhookIsAwayForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		o := new(outage)
		w := newWebhook("https://hooks.example/secret", slog.New(slog.NewTextHandler(&log, nil)))
		w.client.Transport = o
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.run(ctx) })
		tell := func(name string, s AlertState, times int) {
			w.send(Notice{Key: fmt.Sprint(name, s, times), Alert: Alert{Name: name, State: s, Times: times}})
		}
		tell("a", Firing, 1)
		tell("b", Firing, 1)
		tell("c", Firing, 1)
		time.Sleep(time.Hour)
		tell("b", Cleared, 1)
		time.Sleep(time.Hour)
		tell("c", Cleared, 1)
		tell("c", Firing, 2)
		synctest.Wait() // each new one is a reason to ask at once
		before := o.attempts()
		time.Sleep(10*time.Minute + longestWait/2)        // so that nothing is on its way when it is up again
		if n := o.attempts() - before; n < 20 || n > 30 { // of three
			t.Errorf("it was asked %d times in ten minutes", n)
		}
		o.set(true)
		time.Sleep(longestWait + time.Second)
		want := []string{"a firing 1", "b cleared 1", "c firing 2"}
		if got := o.set(true); !slices.Equal(got, want) {
			t.Errorf("after an outage it is told %q, want %q", got, want)
		}
		time.Sleep(time.Hour)
		if got := o.set(true); len(got) != 0 {
			t.Errorf("and then again %q", got)
		}
		cancel()
		running.Wait()
		if said := log.String(); strings.Count(said, "\n") != 2 || !strings.Contains(said, "does not answer") || !strings.Contains(said, "answers again") {
			t.Errorf("logged %q", said)
		}
	})
}

// Each run tells first that it has begun, and at its end what still waits, if that takes
// only moments.
func TestWebhookOfARun(t *testing.T) {
	for _, up := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			p, err := New(Config{Mode: Observe, Datadir: t.TempDir(), Registry: new(perfcore.Registry), Webhook: "https://hooks.example/"})
			if err != nil {
				t.Fatal(err)
			}
			p.system = func() collect.Source { return machine{} }
			o := &outage{up: true}
			p.webhook.client.Transport = o
			begun := time.Now()
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() {
				if err := p.Run(ctx, "127.0.0.1:1", nil); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(time.Minute)
			if got := o.set(false); !slices.Equal(got, []string{"outrider started 0"}) {
				t.Errorf("a run in which nothing happened has told %q", got)
			}
			p.raise("regtest", Alert{Name: "a", State: Firing, Times: 1})
			time.Sleep(10 * time.Minute)
			p.raise("regtest", Alert{Name: "a", State: Cleared, Times: 1})
			p.raise("regtest", Alert{Name: "b", State: Firing, Times: 1})
			o.set(up)
			ended := time.Now()
			cancel()
			running.Wait()
			want := []string{"node_missing firing 1", "a cleared 1", "b firing 1"}
			if !up {
				want = nil
			}
			if got := o.set(true); !slices.Equal(got, want) || time.Since(ended) > lastNotices {
				t.Errorf("at the end it was told %q, want %q, in %v", got, want, time.Since(ended))
			}
			if n := p.started(); n.Name != startedName || n.Since.After(begun) || n.Key != fmt.Sprintf("%d-outrider-0-started", p.events.run) {
				t.Errorf("the first notice was %+v", n)
			}
		})
	}
}

// The last attempt does not keep the program from ending when nobody answers.
func TestWebhookHangsAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWebhook("https://hooks.example/", slog.New(slog.DiscardHandler))
		w.client.Transport = hanging{}
		for i := range 5 {
			w.send(Notice{Key: fmt.Sprint(i), Alert: Alert{Name: fmt.Sprint(i), State: Firing}})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if w.run(ctx); time.Since(begun) != time.Second+lastNotices {
			t.Errorf("it ended in %v", time.Since(begun))
		}
		if n := len(w.queued()); n != 5 {
			t.Errorf("%d notices wait", n)
		}
	})
}

// A hanging webhook takes a connection, and does not answer.
type hanging struct{}

func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}
