package perf

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// A frail listener's connections break when they have carried so many bytes of answers.
type frail struct {
	net.Listener
	next func() int
}

func (l frail) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	f := &frailConn{Conn: c}
	f.left.Store(int64(l.next()))
	return f, nil
}

type frailConn struct {
	net.Conn
	left atomic.Int64
}

func (c *frailConn) Write(b []byte) (int, error) {
	left := c.left.Add(-int64(len(b)))
	if left >= 0 {
		return c.Conn.Write(b)
	}
	n := max(0, len(b)+int(left))
	n, err := c.Conn.Write(b[:n])
	return n, errors.Join(err, c.Conn.Close(), errors.New("the connection has broken"))
}

// quick is how tests watch.
var quick = watching{least: time.Millisecond, most: 5 * time.Millisecond, silence: 20 * time.Second}

// idle returns a Performance that follows nothing.
func idle(t *testing.T) *Performance {
	t.Helper()
	p, err := New(Config{Mode: Observe, Datadir: t.TempDir(), Registry: new(perfcore.Registry)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// An onlooker is a client that watches.
type onlooker struct {
	mu   sync.Mutex // guards what follows
	list []Event
	lost []error

	ended chan struct{} // closed when it has ended
	err   error         // why it has
	stop  func() error  // ends it, and returns that
}

func watchFrom(t *testing.T, c *Client) *onlooker {
	w := &onlooker{ended: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(w.ended)
		w.err = c.Watch(ctx, func(e Event) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.list = append(w.list, e)
			return nil
		}, func(why error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.lost = append(w.lost, why)
		})
	}()
	w.stop = func() error { cancel(); <-w.ended; return w.err }
	t.Cleanup(func() { _ = w.stop() }) // the test has looked at why
	return w
}

func (w *onlooker) events() []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.list)
}

func (w *onlooker) losses() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.lost)
}

// awaitReaders waits until so many read the events.
func awaitReaders(t *testing.T, p *Performance, n int) {
	t.Helper()
	await(t, func() (int, bool) { return 0, len(p.readers) == n })
}

// Wherever a connection breaks, no event is lost and none is told twice.
func TestWatchResumes(t *testing.T) {
	p := idle(t)
	server := httptest.NewUnstartedServer(p.Handler())
	first := true
	server.Listener = frail{server.Listener, func() int {
		if first {
			first = false
			return 2000 // the first one is told where it begins
		}
		return 150 + rand.IntN(900)
	}}
	server.Start()
	t.Cleanup(server.Close)
	c, err := Dial(t.TempDir(), server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.watching = quick
	for range 3 {
		p.publish(Commanded, Command{Did: "before"})
	}
	w := watchFrom(t, c)
	awaitReaders(t, p, 1)
	const n = 600
	for i := range n {
		p.publish(Commanded, Command{Did: "test", What: fmt.Sprint(i)})
		if i%7 == 0 { // else all would be written at once
			await(t, func() (int, bool) { return 0, len(w.events()) > i/2 })
		}
	}
	await(t, func() (int, bool) { return 0, len(w.events()) >= n })
	if err := w.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	for i, e := range w.events() {
		if want := fmt.Sprintf(`"what":"%d"`, i); e.Kind != Commanded || e.Seq != uint64(4+i) || e.Run != p.events.run || !strings.Contains(string(e.Data), want) {
			t.Fatalf("event %d is %d of kind %s: %s", i, e.Seq, e.Kind, e.Data)
		}
	}
	if got := w.losses(); got < 20 {
		t.Errorf("%d connections broke", got)
	}
}

// What came while nobody could read is told later, and what is not kept any more is told
// as a gap, once, in words.
func TestWatchTellsOfAGap(t *testing.T) {
	p := idle(t)
	handler := p.Handler()
	var away atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			http.Error(w, "later", http.StatusServiceUnavailable)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	c, err := Dial(t.TempDir(), server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.watching = quick
	w := watchFrom(t, c)
	cut := func(events int) {
		t.Helper()
		awaitReaders(t, p, 1)
		away.Store(true)
		server.CloseClientConnections()
		awaitReaders(t, p, 0)
		for range events {
			p.publish(Commanded, Command{Did: "test"})
		}
		away.Store(false)
		awaitReaders(t, p, 1)
	}
	// Nothing has been told yet, but where it began.
	cut(keptEvents)
	await(t, func() (int, bool) { return 0, len(w.events()) == keptEvents })
	if e := w.events()[0]; e.Seq != 1 {
		t.Errorf("after a pause with nothing lost the first event is %+v", e)
	}
	cut(keptEvents + 5)
	await(t, func() (int, bool) { return 0, len(w.events()) == 2*keptEvents+1 })
	cut(1)
	await(t, func() (int, bool) { return 0, len(w.events()) == 2*keptEvents+2 })
	for i, e := range w.events()[keptEvents:] {
		if gap := e.Kind == Gap; gap != (i == 0) || e.Seq != uint64(keptEvents+5+i) {
			t.Fatalf("event %d behind the gap is %d, of kind %s", i, e.Seq, e.Kind)
		}
	}
	gap := w.events()[keptEvents]
	if got := gap.Line(); !strings.Contains(got, "5 events are lost") {
		t.Errorf("a gap is told as %q", got)
	}
	if got := w.losses(); got != 3 {
		t.Errorf("it was told of %d connections that were lost, want 3", got)
	}
}

// A sidecar that has started again is found where it is now, and what it tells from its
// beginning on is told, behind a gap.
func TestWatchAcrossARestart(t *testing.T) {
	dir := t.TempDir()
	begin := func(p *Performance) *httptest.Server {
		server := httptest.NewServer(p.Handler())
		t.Cleanup(server.Close)
		if err := os.WriteFile(filepath.Join(dir, addressFile), []byte(server.Listener.Addr().String()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return server
	}
	was := idle(t)
	server := begin(was)
	c, err := Dial(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	c.watching = quick
	w := watchFrom(t, c)
	awaitReaders(t, was, 1)
	for range 4 {
		was.publish(Commanded, Command{Did: "was"})
	}
	await(t, func() (int, bool) { return 0, len(w.events()) == 4 })
	close(was.ended) // as at the end of Run
	server.Close()

	is := idle(t)
	is.publish(Commanded, Command{Did: "is"})
	server = begin(is)
	t.Cleanup(func() { _ = w.stop() }) // before the server, which would wait for it
	await(t, func() (int, bool) { return 0, len(w.events()) == 6 })
	server.CloseClientConnections()
	is.publish(Commanded, Command{Did: "is"})
	await(t, func() (int, bool) { return 0, len(w.events()) >= 7 })
	var got []string
	for _, e := range w.events() {
		run := map[int64]string{was.events.run: "was", is.events.run: "is"}[e.Run]
		got = append(got, fmt.Sprintf("%s %s %d", e.Kind, run, e.Seq))
	}
	want := []string{"command was 1", "command was 2", "command was 3", "command was 4", "gap is 0", "command is 1", "command is 2"}
	if !slices.Equal(got, want) {
		t.Errorf("told was %q", got)
	}
	if got := w.events()[4].Line(); !strings.Contains(got, "started anew") {
		t.Errorf("the gap is told as %q", got)
	}
}

// What no attempt mends ends the watch, and what may be mended does not once it has begun.
func TestWatchEnds(t *testing.T) {
	p := idle(t)
	handler := p.Handler()
	var code atomic.Int64
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch code := int(code.Load()); code {
		case 0:
			handler.ServeHTTP(w, r)
		case -1:
			fmt.Fprint(w, "id: none\n\n")
		case -2:
			fmt.Fprintf(w, "id: 1-1\ndata: {\"lon%s\n\n", strings.Repeat("x", maxLine))
		default:
			w.WriteHeader(code)
		}
	}))
	t.Cleanup(server.Close)
	dial := func(address string) *Client {
		c, err := Dial(t.TempDir(), address)
		if err != nil {
			t.Fatal(err)
		}
		c.watching = quick
		return c
	}
	address := server.Listener.Addr().String()
	for _, status := range []int{503, 500, 401, 403, 302} {
		code.Store(int64(status))
		if err := dial(address).Watch(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) {
			t.Errorf("a watch that begins with %d: %v", status, err)
		}
	}
	for _, a := range []string{"bad host:1", "127.0.0.1:1"} {
		if err := dial(a).Watch(t.Context(), nil, nil); err == nil {
			t.Errorf("there is somebody at %s", a)
		}
	}
	for _, status := range []int{401, 403, 404, 302, -1, -2} {
		code.Store(0)
		w := watchFrom(t, dial(address))
		awaitReaders(t, p, 1)
		code.Store(502)
		before := asked.Load()
		server.CloseClientConnections()
		await(t, func() (int, bool) { return 0, asked.Load() > before+5 })
		code.Store(int64(status))
		select {
		case <-w.ended:
			if w.err == nil {
				t.Errorf("%d ends it without a reason", status)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%d does not end it", status)
		}
		awaitReaders(t, p, 0) // else the next watch may not have begun when it seems to read
	}
	code.Store(0)
	enough := errors.New("enough")
	w := make(chan error, 1)
	go func() { w <- dial(address).Watch(t.Context(), func(Event) error { return enough }, func(error) {}) }()
	awaitReaders(t, p, 1)
	p.publish(Commanded, Command{Did: "test"})
	if err := <-w; err != enough {
		t.Errorf("a watch by who has enough ended with %v", err)
	}
}

// A connection counts as lost when nothing has come for so long, and not before.
func TestWatchNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := Dial("", "127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		dials := 0
		var served sync.WaitGroup
		c.http = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			if dials++; dials > 1 {
				return nil, errors.New("nobody is there")
			}
			ours, theirs := net.Pipe()
			served.Go(func() {
				defer theirs.Close()
				r := bufio.NewReader(theirs)
				if _, err := http.ReadRequest(r); err != nil {
					t.Error(err)
				}
				fmt.Fprint(theirs, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
				for i := range 5 {
					time.Sleep(patient.silence - time.Second)
					fmt.Fprintf(theirs, "id: 1-%d\nevent: command\ndata: {}\n\n", i)
				}
				_, _ = r.ReadByte() // until the client leaves
			})
			return ours, nil
		}}}
		ctx, cancel := context.WithCancel(t.Context())
		begun, told, lost := time.Now(), 0, []time.Duration(nil)
		err = c.Watch(ctx, func(Event) error { told++; return nil }, func(why error) {
			if lost = append(lost, time.Since(begun)); !errors.Is(why, errSilent) {
				t.Errorf("lost because %v", why)
			}
			cancel()
		})
		if want := 5*(patient.silence-time.Second) + patient.silence; told != 5 || !slices.Equal(lost, []time.Duration{want}) || !errors.Is(err, context.Canceled) {
			t.Errorf("%d events, lost after %v, want %v; %v", told, lost, want, err)
		}
		served.Wait()
	})
}
