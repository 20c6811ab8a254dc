package perf

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// commands are bodies that change something, by the path of each action.
var commands = map[string]any{
	"target":   TargetRequest{"cpu", Targets{Utilization: 0.9}},
	"pin":      PinRequest{"plant.speed", 2},
	"release":  ReleaseRequest{"plant.speed"},
	"freeze":   FreezeRequest{"a test"},
	"thaw":     struct{}{},
	"defaults": struct{}{},
	"optimize": struct{}{},
	"snap":     struct{}{},
	"restore":  RestoreRequest{1},
	"observe":  ObserveRequest{map[string]float64{"x": 1}},
}

// Nobody changes anything without the token, nor from another site's page.
func TestCommandsNeedTheToken(t *testing.T) {
	m := newMill(t)
	p, c := m.served(t, Config{Mode: Observe})
	token, err := readToken(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	before := p.events.last()
	for path := range p.actions() {
		body, ok := commands[path]
		if !ok {
			t.Fatalf("there is no body for %s", path)
		}
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name, method string
			header       map[string]string
			want         int
		}{
			{"without", "POST", nil, 401},
			{"wrong", "POST", map[string]string{"Authorization": "Bearer " + strings.ToLower(token)}, 401},
			{"empty", "POST", map[string]string{"Authorization": "Bearer "}, 401},
			{"basic", "POST", map[string]string{"Authorization": "Basic " + token}, 401},
			{"in the query", "POST", map[string]string{"X": token}, 401},
			{"of another site", "POST", map[string]string{"Authorization": "Bearer " + token, "Origin": "https://evil.example"}, 403},
			{"of no site", "POST", map[string]string{"Authorization": "Bearer " + token, "Origin": "null"}, 403},
			{"of a cross-site page", "POST", map[string]string{"Authorization": "Bearer " + token, "Sec-Fetch-Site": "cross-site"}, 403},
			{"of a form", "POST", map[string]string{"Authorization": "Bearer " + token, "Content-Type": "text/plain"}, 415},
			{"by GET", "GET", map[string]string{"Authorization": "Bearer " + token}, 405},
		} {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, c.base+Prefix+path+"?token="+token, bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			for k, v := range tt.header {
				req.Header.Set(k, v)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			answer, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != tt.want || strings.Contains(string(answer), token) {
				t.Errorf("%s %s: %d %q, want %d", path, tt.name, resp.StatusCode, answer, tt.want)
			}
		}
	}
	list, _, _ := p.events.after(before)
	for _, e := range list {
		if e.Kind != Sliced {
			t.Errorf("it changed something: %s %s", e.Kind, e.Data)
		}
	}
	if m.speed.Load() != 1 {
		t.Error("a knob has moved")
	}
	// A page of this server may, with the token.
	req, err := http.NewRequestWithContext(t.Context(), "POST", c.base+Prefix+"pin", strings.NewReader(`{"knob":"plant.speed","value":2}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", c.base)
	req.Header.Set("Authorization", "bearer "+token)
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 || m.speed.Load() != 2 {
		t.Errorf("with the token: %d, the knob is at %d", resp.StatusCode, m.speed.Load())
	}
}

// Each command does what it says.
func TestCommands(t *testing.T) {
	m := newMill(t)
	p, c := m.served(t, Config{Mode: Observe})
	post := func(path string, body, v any) {
		t.Helper()
		if err := c.Post(t.Context(), path, body, v); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	refuse := func(path string, body any, want string) {
		t.Helper()
		if err := c.Post(t.Context(), path, body, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s %+v: %v, want %q", path, body, err, want)
		}
	}
	knob := func(name string) Knob {
		t.Helper()
		var all []Knob
		if err := c.Get(t.Context(), "knobs", &all); err != nil {
			t.Fatal(err)
		}
		return all[slices.IndexFunc(all, func(k Knob) bool { return k.Name == name })]
	}
	var taken Snapshot
	post("snap", struct{}{}, &taken)
	if taken.Seq != 1 || taken.Cause != "asked" || len(taken.Sum) != 64 {
		t.Errorf("the snapshot is %+v", taken)
	}
	post("pin", PinRequest{"plant.speed", 3}, nil)
	post("pin", PinRequest{"plant.size", 40}, nil)
	if k := knob("plant.speed"); k.Owner != "operator" || k.Value != 3 || k.Incumbent != 3 || k.Default != 1 {
		t.Errorf("a pinned knob is %+v", k)
	}
	refuse("pin", PinRequest{"plant.speed", 7}, "is not one of")
	refuse("pin", PinRequest{"plant.none", 7}, "plant.none")
	refuse("pin", ReleaseRequest{"plant.speed"}, "There is no")
	post("release", ReleaseRequest{"plant.speed"}, nil)
	refuse("release", ReleaseRequest{"plant.size"}, "plant.size")
	if k := knob("plant.speed"); k.Owner != "engine" || k.Value != 3 {
		t.Errorf("a released knob is %+v", k)
	}
	refuse("thaw", struct{}{}, "nothing is frozen")
	post("freeze", FreezeRequest{" maintenance "}, nil)
	if s := p.status(); s.Frozen != "maintenance" {
		t.Errorf("frozen says %q", s.Frozen)
	}
	refuse("freeze", FreezeRequest{strings.Repeat("x", 201)}, "longer than")
	post("thaw", struct{}{}, nil)
	post("defaults", struct{}{}, nil)
	if s := p.status(); s.Frozen == "" || m.speed.Load() != 1 || m.size.Load() != 10 || knob("plant.speed").Owner != "engine" {
		t.Errorf("behind defaults: %+v, at %d and %d", s, m.speed.Load(), m.size.Load())
	}
	post("pin", PinRequest{"plant.speed", 2}, nil)
	var restored Restored
	post("restore", RestoreRequest{taken.Seq}, &restored)
	if m.speed.Load() != 1 || len(restored.Refused) != 0 {
		t.Errorf("restored to %d: %+v", m.speed.Load(), restored)
	}
	refuse("restore", RestoreRequest{99}, "99")
	post("target", TargetRequest{"cpu", Targets{Utilization: 0.9}}, nil)
	refuse("target", TargetRequest{"gold", Targets{}}, "gold")
	refuse("target", TargetRequest{"database", Targets{Latency: 1e300, Quantile: 0.9}}, "none")
	post("observe", ObserveRequest{map[string]float64{"l2_lag_seconds": 12}}, nil)
	refuse("observe", ObserveRequest{map[string]float64{"Bad-Name": 1}}, "no name")
	refuse("observe", ObserveRequest{}, "no value")
	await(t, func() (float64, bool) {
		var q Measurements
		if err := c.Get(t.Context(), "quantities", &q); err != nil {
			t.Fatal(err)
		}
		v, ok := q.Values["outside_l2_lag_seconds"]
		return v, ok && v == 12
	})
	if err := c.Post(t.Context(), "pin", map[string]any{"knob": "plant.speed", "valu": 2}, nil); err == nil {
		t.Error("an unknown field is accepted")
	}
	if err := c.Post(t.Context(), "observe", ObserveRequest{map[string]float64{strings.Repeat("x", maxBody): 1}}, nil); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("a large body: %v", err)
	}
	refuse("freeze", nil, "must be a JSON object")
	var why Why
	if err := c.Get(t.Context(), "why/1", &why); err != nil || why.Decision.Verdict != "restored" {
		t.Errorf("why 1: %+v, %v", why, err)
	}
	if err := c.Get(t.Context(), "why/99", &why); err == nil || !strings.Contains(err.Error(), "99") {
		t.Errorf("why 99: %v", err)
	}
	if err := c.Get(t.Context(), "why/x", &why); err == nil {
		t.Error("why x is answered")
	}
	if err := c.Get(t.Context(), "decisions?after=x", nil); err == nil {
		t.Error("decisions after x are answered")
	}
}

// Before the node is followed the API says so.
func TestNothingIsFollowed(t *testing.T) {
	m := newMill(t)
	p, c := m.served(t, Config{Mode: Observe})
	p.mu.Lock()
	p.following = nil
	p.mu.Unlock()
	var s Status
	if err := c.Get(t.Context(), "status", &s); err != nil || s.Following {
		t.Errorf("status: %+v, %v", s, err)
	}
	for _, path := range []string{"knobs", "quantities", "decisions", "why/1", "snapshots", "plan", "curves"} {
		if err := c.Get(t.Context(), path, nil); err == nil || err.Error() != errNotFollowing.Error() {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := c.Post(t.Context(), "snap", struct{}{}, nil); err == nil || err.Error() != errNotFollowing.Error() {
		t.Errorf("snap: %v", err)
	}
}

// A knob takes its time, and who asks for the status does not wait for it.
func TestStatusDoesNotWaitForKnobs(t *testing.T) {
	m := newMill(t)
	begun, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var value atomic.Int64
	m.leases = []perfcore.Knob{{
		Name: "plant.slow", Help: "A knob that takes its time.", Unit: "things", Scope: perfcore.Live, Ladder: []int64{0, 1},
		Apply: func(_ context.Context, n int64) error {
			once.Do(func() { close(begun) })
			<-proceed
			value.Store(n)
			return nil
		},
		Read: value.Load,
	}}
	_, c := m.served(t, Config{Mode: Observe})
	pinned := make(chan error, 1)
	go func() {
		pinned <- c.Post(context.Background(), "pin", PinRequest{Knob: "plant.slow", Value: 1}, nil)
	}()
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var s Status
	err := c.Get(ctx, "status", &s)
	select {
	case <-pinned:
		t.Error("the status waits for a knob")
	default:
	}
	close(proceed)
	if err := errors.Join(err, <-pinned); err != nil || !s.Following {
		t.Errorf("status: %+v, %v", s, err)
	}
}

// Others may not read the token, and it is in no log.
func TestToken(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if err := makeToken(dir); err != nil {
		t.Fatal(err)
	}
	first, err := readToken(dir)
	if err != nil || len(first) < minToken {
		t.Fatalf("the token is %q, %v", first, err)
	}
	name := filepath.Join(dir, tokenFile)
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its file is %v, %v", info.Mode(), err)
	}
	if err := makeToken(dir); err != nil {
		t.Fatal(err)
	}
	if again, _ := readToken(dir); again != first {
		t.Error("a token that was there is another one now")
	}
	for _, bad := range []string{"", "short", "with a space in it here", strings.Repeat("x", 300), "sixteen\x00characters"} {
		if err := os.WriteFile(name, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readToken(dir); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := makeToken(dir); err == nil || !strings.Contains(err.Error(), "others may read") {
		t.Errorf("a token that others may read: %v", err)
	}
}

// A reader that comes back misses nothing that is kept, and hears of what is lost.
func TestStreamResumes(t *testing.T) {
	m := newMill(t)
	p, c := m.served(t, Config{Mode: Observe})
	first := p.events.last()
	for range 3 {
		p.publish(Commanded, Command{Did: "test"})
	}
	for i, e := range readStream(t, c, (&Event{Run: p.events.run, Seq: first}).id(), 3) {
		if e.Seq != first+1+uint64(i) || e.Run != p.events.run || !json.Valid(e.Data) {
			t.Errorf("resumed with %+v", e)
		}
	}
	got := readStream(t, c, "1-5", 2)
	if got[0].Kind != Gap || got[1].Seq != 1 {
		t.Errorf("from another run: %+v", got)
	}
	for range 2 * keptEvents {
		p.publish(Commanded, Command{Did: "test"})
	}
	got = readStream(t, c, (&Event{Run: p.events.run, Seq: first}).id(), 2)
	if got[0].Kind != Gap || got[1].Seq <= first+keptEvents {
		t.Errorf("a late reader got %+v", got)
	}
}

// readStream returns the first n events behind id.
func readStream(t *testing.T, c *Client, id string, n int) (list []Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", c.base+Prefix+"events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Last-Event-ID", id)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || kind != "text/event-stream" {
		t.Fatalf("the stream is %d, %q", resp.StatusCode, kind)
	}
	enough := errors.New("enough")
	err = readEvents(resp.Body, new(string), func(e Event) error {
		if list = append(list, e); len(list) == n {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatalf("%d events, then %v", len(list), err)
	}
	return list
}

// There is room for so many readers, some of it for who bears the token for them, as a watch
// does that can read it; and each leaves room behind.
func TestReadersAreBounded(t *testing.T) {
	m := newMill(t)
	p, c := m.served(t, Config{Mode: Observe})
	token, err := readReader(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var open []*http.Response
	read := func(bearer string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, "GET", c.base+Prefix+"events", nil)
		if err != nil {
			t.Fatal(err)
		}
		if bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, resp)
		return resp.StatusCode
	}
	for i := range maxStrangers {
		if code := read([]string{"", "wrong-" + token}[i%2]); code != 200 {
			t.Fatalf("stranger %d: %d", i, code)
		}
	}
	for _, bearer := range []string{"", "wrong-" + token} {
		if code := read(bearer); code != 503 {
			t.Errorf("a stranger more, with %q: %d", bearer, code)
		}
	}
	w := watchFrom(t, c)
	awaitReaders(t, p, maxStrangers+1)
	_ = w.stop()
	awaitReaders(t, p, maxStrangers)
	other, err := Dial(t.TempDir(), strings.TrimPrefix(c.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Watch(t.Context(), func(Event) error { return nil }, func(error) {}); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a watch without the token: %v", err)
	}
	for range maxReaders - maxStrangers {
		if code := read(token); code != 200 {
			t.Errorf("with the token: %d", code)
		}
	}
	if code := read(token); code != 503 {
		t.Errorf("one reader more: %d", code)
	}
	line, err := bufio.NewReader(open[0].Body).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "id: ") {
		t.Errorf("a stream begins with %q, %v", line, err)
	}
	cancel()
	for _, resp := range open {
		resp.Body.Close()
	}
	await(t, func() (bool, bool) { return true, len(p.readers) == 0 && len(p.strangers) == 0 })
}

// A watch sends the token for readers to the address that the sidecar has left, and to this
// machine, and to nobody the one that changes something.
func TestWatchBearsTheToken(t *testing.T) {
	dir := t.TempDir()
	if err := makeToken(dir); err != nil {
		t.Fatal(err)
	}
	reader, err := makeReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		address string
		found   bool
		want    bool
	}{
		{"192.0.2.1:9", false, false}, {"192.0.2.1:9", true, true}, {"127.0.0.1:9", false, true}, {"[::1]:9", false, true}, {"localhost:9", false, true},
	} {
		c, err := Dial(dir, tt.address)
		if err != nil {
			t.Fatal(err)
		}
		c.found = tt.found
		var got string
		c.http.Transport = sees(func(r *http.Request) { got = r.Header.Get("Authorization") })
		if _, err := c.watch(t.Context(), c.base, new(string), nil); err == nil || (got != "") != tt.want || tt.want && got != "Bearer "+reader {
			t.Errorf("%s, found %v: it bears %q, %v", tt.address, tt.found, got, err)
		}
	}
}

// A sees looks at requests, which nobody answers.
type sees func(r *http.Request)

func (see sees) RoundTrip(r *http.Request) (*http.Response, error) {
	see(r)
	return nil, errors.New("nobody is there")
}

func FuzzCommand(f *testing.F) {
	for path, body := range commands {
		b, err := json.Marshal(body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(path, b)
	}
	f.Add("pin", []byte(`{"knob":"plant.speed","value":1e400}`))
	f.Add("observe", []byte(`{"values":{"a":null}} {}`))
	m := newMill(f)
	p, _ := m.start(f, Config{Mode: Observe, Slice: time.Hour}, 0)
	await(f, func() (bool, bool) { return true, p.status().Following })
	token, err := readToken(m.dir)
	if err != nil {
		f.Fatal(err)
	}
	handler := p.Handler()
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		if _, ok := commands[path]; !ok {
			return
		}
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://localhost"+Prefix+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %q: %d %s", path, body, w.Code, w.Body.Bytes())
		}
		if s := m.speed.Load(); s < 1 || s > 3 {
			t.Errorf("%s %q moved a knob off its ladder, to %d", path, body, s)
		}
	})
}

func FuzzReadEvents(f *testing.F) {
	f.Add("id: 1-2\nevent: slice\ndata: {}\n\n: still here\n\n")
	f.Add("id: x\n\n")
	f.Add("event: gap\ndata: {\"lost\":0}\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		_ = readEvents(strings.NewReader(s), new(string), func(e Event) error {
			if !json.Valid(e.Data) {
				t.Errorf("%q gives %q", s, e.Data)
			}
			return nil
		})
	})
}
