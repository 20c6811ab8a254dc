package nodetest

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A FaultKind is a way in which a connection goes wrong.
type FaultKind int

const (
	// None forwards everything.
	None FaultKind = iota
	// Refuse resets the connection before a byte passes.
	Refuse
	// Cut closes both sides when After bytes have passed.
	Cut
	// Corrupt replaces the byte that follows After others by a zero, which
	// neither HTTP nor JSON allows anywhere. It is for connections without TLS.
	Corrupt
	// Silence swallows everything that follows After bytes, in both
	// directions, and keeps the connection open: the half-open state that a
	// lost peer leaves behind.
	Silence
	// Dribble waits before each of the first few pieces, which it makes as
	// small as a byte; MaxDelay bounds the sum of the waits.
	Dribble
	numFaultKinds
)

func (k FaultKind) String() string {
	return [...]string{"none", "refuse", "cut", "corrupt", "silence", "dribble"}[k]
}

// A Fault is what goes wrong with one connection.
type Fault struct {
	Kind FaultKind
	// Up says that After counts the bytes to the server; it counts those from
	// the server otherwise.
	Up    bool
	After int
}

func (f Fault) String() string {
	direction := "down"
	if f.Up {
		direction = "up"
	}
	return fmt.Sprintf("%s after %d bytes %s", f.Kind, f.After, direction)
}

// MaxDelay bounds how much a Dribble slows a connection down.
const MaxDelay = 50 * time.Millisecond

// A Rand is a source of random numbers.
type Rand = *rand.Rand

// Faults is a TCP proxy in front of a server, and the faults of the network
// between. Without instructions it forwards. All methods are safe for
// concurrent use.
type Faults struct {
	listener net.Listener
	target   string
	seed     uint64
	done     sync.WaitGroup

	mu     sync.Mutex // guards what follows
	closed bool
	pick   func(Rand) Fault
	conns  map[net.Conn]bool
	opened int
	counts [numFaultKinds]int // of faults that happened
}

// NewFaults starts a proxy to target, a host and port, and stops it when the
// test ends. What goes wrong with the n-th connection depends on seed and n
// alone.
func NewFaults(tb testing.TB, target string, seed uint64) *Faults {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("nodetest: %v", err)
	}
	f := &Faults{listener: l, target: target, seed: seed, conns: make(map[net.Conn]bool)}
	f.done.Go(f.accept)
	tb.Cleanup(f.Close)
	return f
}

// Addr returns the host and port of the proxy.
func (f *Faults) Addr() string { return f.listener.Addr().String() }

// Each lets pick choose the fault of each connection from now on; pick gets a
// source of its own for each, and is called by one goroutine at a time. With
// nil everything is forwarded.
func (f *Faults) Each(pick func(rng Rand) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pick = pick
}

// Random chooses any fault with the given probability, somewhere in the first
// bytes of the connection: as often in the first ten as between ten and a
// hundred, and so on, for many connections are short. Rate 0 ends it.
func (f *Faults) Random(rate float64, bytes int) {
	f.Each(func(rng Rand) Fault {
		if rng.Float64() >= rate {
			return Fault{}
		}
		return Fault{
			Kind:  Refuse + FaultKind(rng.IntN(int(numFaultKinds-Refuse))),
			Up:    rng.IntN(3) == 0,
			After: int(math.Pow(float64(bytes), rng.Float64())) - 1,
		}
	})
}

// CutAll closes the connections that are open now.
func (f *Faults) CutAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.Close()
	}
}

// Count returns how many faults of kind k have happened: a connection that ends
// before its byte comes has had none. Of None it returns how many connections
// were let through.
func (f *Faults) Count(k FaultKind) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[k]
}

// Close stops the proxy and waits for everything that it started. It may be
// called twice.
func (f *Faults) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.listener.Close()
	f.CutAll()
	f.done.Wait()
}

func (f *Faults) accept() {
	for {
		client, err := f.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		fault, rng, ok := f.admit(client)
		if !ok {
			client.Close()
			return
		}
		f.done.Go(func() {
			defer f.forget(client)
			f.forward(client, fault, rng)
		})
	}
}

// admit registers a connection and chooses its fault.
func (f *Faults) admit(c net.Conn) (Fault, Rand, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return Fault{}, nil, false
	}
	f.conns[c] = true
	f.opened++
	rng := rand.New(rand.NewPCG(f.seed, uint64(f.opened)))
	var fault Fault
	if f.pick != nil {
		fault = f.pick(rng)
	}
	if fault.Kind == None {
		f.counts[None]++
	}
	return fault, rng, true
}

// happened counts a fault.
func (f *Faults) happened(k FaultKind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[k]++
}

func (f *Faults) forget(c net.Conn) {
	c.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}

// forward carries a connection until either side ends it.
func (f *Faults) forward(client net.Conn, fault Fault, rng Rand) {
	if fault.Kind == Refuse {
		f.happened(Refuse)
		if tcp, ok := client.(*net.TCPConn); ok {
			tcp.SetLinger(0) // close with a reset
		}
		return
	}
	server, err := net.DialTimeout("tcp", f.target, time.Second)
	if err != nil {
		return
	}
	defer f.forget(server)
	if tcp, ok := server.(*net.TCPConn); ok {
		// Nothing is lost by a reset where everything is forwarded, and many
		// connections in TIME_WAIT use up the machine's ports.
		tcp.SetLinger(0)
	}
	f.mu.Lock()
	f.conns[server] = true
	if f.closed {
		server.Close()
	}
	f.mu.Unlock()
	var silent atomic.Bool
	up, down := &pump{silent: &silent}, &pump{silent: &silent}
	faulty := down
	if fault.Up {
		faulty = up
	}
	faulty.fault = fault
	faulty.happened = sync.OnceFunc(func() { f.happened(fault.Kind) })
	if fault.Kind == Dribble {
		faulty.rng = rng
	}
	var upward sync.WaitGroup
	upward.Go(func() {
		up.carry(server, client)
		server.Close()
		client.Close()
	})
	down.carry(client, server)
	if !silent.Load() {
		client.Close()
	}
	upward.Wait()
}

// A pump carries one direction of a connection and does its fault to it.
type pump struct {
	fault Fault
	// happened is told, once or more, that the fault has happened.
	happened func()
	rng      Rand // of a Dribble
	// silent says that whatever comes is swallowed; both directions share it.
	silent *atomic.Bool
	passed int
	waited time.Duration
}

// carry copies from src to dst until either ends or the fault ends it.
func (p *pump) carry(dst io.Writer, src io.Reader) {
	buf := make([]byte, 16<<10)
	for {
		n, err := src.Read(p.limit(buf))
		if p.waited > 0 && n > 0 {
			p.happened()
		}
		piece, then := p.spoil(buf[:n])
		p.passed += n
		if len(piece) > 0 && !p.silent.Load() {
			if _, werr := dst.Write(piece); werr != nil {
				return
			}
		}
		if then == swallow {
			p.silent.Store(true)
		}
		if then == end || err != nil {
			return
		}
	}
}

// limit returns the part of buf to read into: a few bytes while the connection
// dribbles.
func (p *pump) limit(buf []byte) []byte {
	if p.rng == nil || p.waited >= MaxDelay {
		return buf
	}
	pause := time.Duration(p.rng.Int64N(int64(MaxDelay / 8)))
	p.waited += pause
	time.Sleep(pause)
	return buf[:1+p.rng.IntN(40)]
}

// What follows a piece.
type sequel int

const (
	goOn sequel = iota
	swallow
	end
)

// spoil does the fault to a piece when its place is in it, and returns what is
// to be passed on and what follows.
func (p *pump) spoil(piece []byte) ([]byte, sequel) {
	at := p.fault.After - p.passed
	switch {
	case at < 0 || at > len(piece) || len(piece) == 0:
	case p.fault.Kind == Cut:
		p.happened()
		return piece[:at], end
	case p.fault.Kind == Silence:
		p.happened()
		return piece[:at], swallow
	case p.fault.Kind == Corrupt && at < len(piece):
		p.happened()
		piece[at] = 0
	}
	return piece, goOn
}
