package nodetest

import (
	"net"
	"sync"
)

// A gate stops those who pass through it while it is shut. The zero value is
// not ready; newGate returns an open one.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // closed while the gate is open
	isShut bool
}

func newGate() *gate {
	g := &gate{opened: make(chan struct{})}
	close(g.opened)
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.isShut {
		g.isShut, g.opened = true, make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isShut {
		g.isShut = false
		close(g.opened)
	}
}

// pass waits until the gate is open or the connection that asks is closed.
func (g *gate) pass(closed <-chan struct{}) {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	select {
	case <-opened:
	case <-closed:
	}
}

// A gateListener accepts connections that can be frozen, cut and refused all at
// once.
type gateListener struct {
	net.Listener
	gate *gate

	mu      sync.Mutex // guards what follows
	conns   map[*gateConn]bool
	refuses bool
}

func newGateListener(inner net.Listener) *gateListener {
	return &gateListener{Listener: inner, gate: newGate(), conns: make(map[*gateConn]bool)}
}

// Accept implements net.Listener.
func (l *gateListener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &gateConn{Conn: inner, listener: l, closed: make(chan struct{})}
		l.mu.Lock()
		refused := l.refuses
		if !refused {
			l.conns[c] = true
		}
		l.mu.Unlock()
		if !refused {
			return c, nil
		}
		inner.Close()
	}
}

// refuse says whether connections are closed as soon as they are accepted. (The
// port stays bound, so that nobody else takes it.)
func (l *gateListener) refuse(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuses = on
}

// dropAll cuts every connection.
func (l *gateListener) dropAll() {
	l.mu.Lock()
	conns := make([]*gateConn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// A gateConn waits at the gate before it says that something arrived, and
// before it sends.
type gateConn struct {
	net.Conn
	listener *gateListener
	once     sync.Once
	closed   chan struct{}
}

func (c *gateConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.listener.gate.pass(c.closed)
	return n, err
}

func (c *gateConn) Write(p []byte) (int, error) {
	c.listener.gate.pass(c.closed)
	return c.Conn.Write(p)
}

func (c *gateConn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.listener.mu.Lock()
		delete(c.listener.conns, c)
		c.listener.mu.Unlock()
	})
	return c.Conn.Close()
}
