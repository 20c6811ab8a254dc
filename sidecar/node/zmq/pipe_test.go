package zmq

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// A pipeListener is a listener whose connections are pipes in memory, so that
// everything can happen in a synctest bubble.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	ended chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), ended: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.ended) })
	return nil
}

func (l *pipeListener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
}

// dial is an Options.Dial.
func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.ended:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// says returns an Options.Dial that connects to a peer which says wire, whatever
// it hears, and hangs up a second later, or as soon as it has heard hear bytes.
// It is for synctest bubbles.
func says(wire []byte, hear int64) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			var hearing sync.WaitGroup
			hearing.Go(func() {
				if n, _ := io.CopyN(io.Discard, theirs, hear); n == hear {
					theirs.Close()
				}
			})
			theirs.Write(wire)
			<-time.After(time.Second)
			theirs.Close()
			hearing.Wait()
		}()
		return ours, nil
	}
}

// A memConn is a connection from which wire is read, and to which all is
// written.
type memConn struct {
	net.Conn
	wire    *bytes.Reader
	written bytes.Buffer
}

func (c *memConn) Read(p []byte) (int, error)       { return c.wire.Read(p) }
func (c *memConn) Write(p []byte) (int, error)      { return c.written.Write(p) }
func (c *memConn) SetDeadline(time.Time) error      { return nil }
func (c *memConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }

// A watcher runs Run and receives its events.
type watcher struct {
	events chan Event
	stop   context.CancelFunc
	done   chan error
}

// watch starts Run. When the test ends Run must have ended, or end with the
// context's error.
func watch(t testing.TB, o Options) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{events: make(chan Event), stop: cancel, done: make(chan error, 1)}
	go func() { w.done <- Run(ctx, o, w.events) }()
	t.Cleanup(func() {
		cancel()
		if err := <-w.done; err != context.Canceled {
			t.Errorf("Run: %v", err)
		}
	})
	return w
}

// next returns the next event.
func (w *watcher) next(t testing.TB) Event {
	t.Helper()
	select {
	case e := <-w.events:
		return e
	case <-time.After(20 * time.Second):
		t.Fatal("no event for 20 s")
		return Event{}
	}
}

// want receives the next event, which must be of this kind.
func (w *watcher) want(t testing.TB, k Kind) Event {
	t.Helper()
	e := w.next(t)
	if e.Kind != k {
		t.Fatalf("event %+v, want %s", e, k)
	}
	return e
}
