package nodetest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// PublisherOptions says what a Publisher is like. The zero value is one on
// loopback that keeps everything for slow subscribers.
type PublisherOptions struct {
	// Listener is where it listens, instead of a free port of 127.0.0.1.
	Listener net.Listener
	// V30 makes it one of ZMTP 3.0, which knows no commands but READY.
	V30 bool
	// HighWater is how many messages wait for a subscriber before more are
	// dropped; 0 is no bound.
	HighWater int
}

// A Publisher publishes by ZMTP, as bitcoind's notifiers do by libzmq. Its
// methods are safe for concurrent use.
type Publisher struct {
	opts     PublisherOptions
	listener *gateListener
	done     sync.WaitGroup

	mu          sync.Mutex // guards what follows
	subscribers map[*zmqSubscriber]bool
	changed     chan struct{} // closed, and made anew, by wakeWaiters
	counters    map[string]uint32
	greeting    []byte // instead of the right one
	said        []string
	rng         *rand.Rand
	oneIn       int // of how many messages one goes wrong by rng
	faults      []ZMQFault
	next        []ZMQFault  // of the messages to come
	held        *ZMQMessage // by a ZMQSwap
	counts      [numZMQFaults]int
}

// NewPublisher starts a publisher, and stops it when the test ends.
func NewPublisher(tb testing.TB, o PublisherOptions) *Publisher {
	tb.Helper()
	if o.Listener == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatalf("nodetest: %v", err)
		}
		o.Listener = l
	}
	p := &Publisher{
		opts:        o,
		listener:    newGateListener(o.Listener),
		subscribers: make(map[*zmqSubscriber]bool),
		changed:     make(chan struct{}),
		counters:    make(map[string]uint32),
	}
	p.done.Go(func() {
		for {
			conn, err := p.listener.Accept()
			if err != nil {
				return
			}
			p.done.Go(func() { p.serve(conn) })
		}
	})
	tb.Cleanup(p.Close)
	return p
}

// Close stops the publisher and waits for its goroutines.
func (p *Publisher) Close() {
	p.listener.Close()
	p.listener.refuse(true)
	p.listener.dropAll()
	p.done.Wait()
}

// Address returns the publisher's address as bitcoind writes it.
func (p *Publisher) Address() string {
	if a := p.listener.Addr(); a.Network() == "unix" {
		return "ipc://" + a.String()
	}
	return "tcp://" + p.listener.Addr().String()
}

// Publish sends a message with the topic's next counter to those who subscribed
// to its topic, and tells the counter.
func (p *Publisher) Publish(topic string, body []byte) uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	counter := p.counters[topic]
	p.send(ZMQMessage{topic, body, counter})
	return counter
}

// Send sends m as it is. The topic's next counter follows m's.
func (p *Publisher) Send(m ZMQMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.send(m)
}

// Raw sends bytes of any kind to every subscriber.
func (p *Publisher) Raw(wire []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.subscribers {
		s.queue(zmqPiece{wire: wire}, 0)
	}
}

// SetCounter sets the counter of the topic's next message.
func (p *Publisher) SetCounter(topic string, counter uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counters[topic] = counter
}

// Restart is what a restart of the node does: connections end, counters start
// from 0.
func (p *Publisher) Restart() {
	p.mu.Lock()
	clear(p.counters)
	p.held = nil
	p.mu.Unlock()
	p.Cut()
}

// Cut ends every connection.
func (p *Publisher) Cut() { p.listener.dropAll() }

// Refuse says whether connections are closed as soon as they are accepted.
func (p *Publisher) Refuse(on bool) { p.listener.refuse(on) }

// Freeze stops all traffic while connections stay open, until Thaw.
func (p *Publisher) Freeze() { p.listener.gate.shut() }

// Thaw ends a Freeze.
func (p *Publisher) Thaw() { p.listener.gate.open() }

// Greet makes the publisher greet with other bytes, after which it says nothing
// more; nil ends it.
func (p *Publisher) Greet(greeting []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.greeting = greeting
}

// Fault makes the next messages go wrong, one each.
func (p *Publisher) Fault(faults ...ZMQFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = append(p.next, faults...)
}

// Misbehave makes one of oneIn messages go wrong, in one of the ways that are
// given, as seed has it; 0 ends it.
func (p *Publisher) Misbehave(seed uint64, oneIn int, faults ...ZMQFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rng, p.oneIn, p.faults = rand.New(rand.NewPCG(seed, 0)), oneIn, faults
}

// Count returns how many messages went wrong in this way.
func (p *Publisher) Count(f ZMQFault) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[f]
}

// Said returns what subscribers have said since the handshakes: for a command
// its name, a blank and its data, for a message "message", a blank and its body.
func (p *Publisher) Said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.said)
}

// AwaitSaid waits until subscribers have said this n times.
func (p *Publisher) AwaitSaid(tb testing.TB, what string, n int) {
	tb.Helper()
	p.await(tb, fmt.Sprintf("%q %d times", what, n), func() bool {
		have := 0
		for _, said := range p.said {
			if said == what {
				have++
			}
		}
		return have >= n
	})
}

// AwaitSubscriptions waits until there are n subscriptions in all.
func (p *Publisher) AwaitSubscriptions(tb testing.TB, n int) {
	tb.Helper()
	p.await(tb, fmt.Sprintf("%d subscriptions", n), func() bool {
		have := 0
		for s := range p.subscribers {
			have += len(s.topics)
		}
		return have == n
	})
}

// await waits until something is so, which it asks with Publisher.mu held
// whenever a subscriber has said something or has gone.
func (p *Publisher) await(tb testing.TB, what string, is func() bool) {
	tb.Helper()
	deadline := time.After(10 * time.Second)
	for {
		p.mu.Lock()
		changed, done, said := p.changed, is(), slices.Clone(p.said)
		p.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			tb.Fatalf("nodetest: the publisher waited for %s, and heard %q", what, said)
		}
	}
}

// send sends m, or what a fault makes of it. Publisher.mu is held.
func (p *Publisher) send(m ZMQMessage) {
	p.counters[m.Topic] = m.Counter + 1
	held := p.held
	p.queue(m.Topic, p.pieces(m))
	if held != nil {
		p.held = nil
		p.queue(held.Topic, []zmqPiece{{wire: encodeZMQ(*held), message: true}})
	}
}

func (p *Publisher) queue(topic string, pieces []zmqPiece) {
	for s := range p.subscribers {
		if !s.wants(topic) {
			continue
		}
		for _, piece := range pieces {
			s.queue(piece, p.opts.HighWater)
		}
	}
}

// pieces returns what is sent for m. Publisher.mu is held.
func (p *Publisher) pieces(m ZMQMessage) []zmqPiece {
	whole := zmqPiece{wire: encodeZMQ(m), message: true}
	rng := p.rng
	if rng == nil {
		rng = rand.New(rand.NewPCG(0, uint64(m.Counter)))
	}
	var f ZMQFault
	switch {
	case len(p.next) > 0:
		f, p.next = p.next[0], p.next[1:]
	case p.oneIn > 0 && rng.IntN(p.oneIn) == 0:
		f = p.faults[rng.IntN(len(p.faults))]
	default:
		return []zmqPiece{whole}
	}
	if f == ZMQSwap && p.held != nil {
		f = ZMQDrop
	}
	p.counts[f]++
	switch f {
	case ZMQDrop:
		return nil
	case ZMQDouble:
		return []zmqPiece{whole, whole}
	case ZMQSwap:
		p.held = &m
		return nil
	case ZMQCut:
		return []zmqPiece{{wire: whole.wire[:rng.IntN(len(whole.wire))], end: true}}
	case ZMQSilence:
		return []zmqPiece{{silence: true}}
	}
	return []zmqPiece{{wire: spoil(f, m, rng)}}
}

// A zmqPiece is what is written at once, or done.
type zmqPiece struct {
	wire    []byte
	message bool // counts for the high-water mark
	end     bool // the connection ends afterwards
	silence bool // nothing is written any more
}

// A zmqSubscriber is a connection. Publisher.mu guards topics.
type zmqSubscriber struct {
	conn   net.Conn
	topics map[string]int

	mu       sync.Mutex // guards what follows
	pending  []zmqPiece
	messages int // of pending
	wake     chan struct{}
}

// wants reports whether it subscribed to what topic begins with.
func (s *zmqSubscriber) wants(topic string) bool {
	for t := range s.topics {
		if strings.HasPrefix(topic, t) {
			return true
		}
	}
	return false
}

func (s *zmqSubscriber) queue(piece zmqPiece, highWater int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if piece.message {
		if highWater > 0 && s.messages >= highWater {
			return
		}
		s.messages++
	}
	s.pending = append(s.pending, piece)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *zmqSubscriber) take() (zmqPiece, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) == 0 {
		return zmqPiece{}, false
	}
	piece := s.pending[0]
	s.pending = s.pending[1:]
	if piece.message {
		s.messages--
	}
	return piece, true
}

// write writes what is queued until gone is closed.
func (s *zmqSubscriber) write(gone <-chan struct{}) {
	silent := false
	for {
		for piece, ok := s.take(); ok; piece, ok = s.take() {
			silent = silent || piece.silence
			if silent {
				continue
			}
			if _, err := s.conn.Write(piece.wire); err != nil || piece.end {
				s.conn.Close()
			}
		}
		select {
		case <-s.wake:
		case <-gone:
			return
		}
	}
}

// serve serves one connection until it ends.
func (p *Publisher) serve(conn net.Conn) {
	defer conn.Close()
	s := &zmqSubscriber{conn: conn, topics: make(map[string]int), wake: make(chan struct{}, 1)}
	gone := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() { s.write(gone) })
	p.mu.Lock()
	greeting := p.greeting
	p.mu.Unlock()
	if greeting != nil {
		s.queue(zmqPiece{wire: greeting}, 0)
		io.Copy(io.Discard, conn) // until the other side has had enough
	} else {
		p.converse(s)
	}
	conn.Close()
	close(gone)
	writer.Wait()
	p.mu.Lock()
	delete(p.subscribers, s)
	p.wakeWaiters()
	p.mu.Unlock()
}

// wakeWaiters wakes those who await something. Publisher.mu is held.
func (p *Publisher) wakeWaiters() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// converse does the handshake and what the subscriber asks for.
func (p *Publisher) converse(s *zmqSubscriber) {
	greeting := make([]byte, 64)
	copy(greeting, "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x01NULL")
	if p.opts.V30 {
		greeting[11] = 0
	}
	s.queue(zmqPiece{wire: greeting}, 0)
	r := bufio.NewReader(s.conn)
	theirs := make([]byte, 64)
	if _, err := io.ReadFull(r, theirs); err != nil || !bytes.HasPrefix(theirs[12:], []byte("NULL\x00")) {
		return
	}
	flags, body, err := readZMQFrame(r)
	if err != nil || flags != 4 || string(body) != "\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB" {
		return
	}
	s.queue(zmqPiece{wire: appendZMQFrame(nil, 4, []byte("\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB"))}, 0)
	p.mu.Lock()
	p.subscribers[s] = true
	p.mu.Unlock()
	for {
		flags, body, err := readZMQFrame(r)
		if err != nil {
			return
		}
		p.hear(s, flags, body)
	}
}

// hear does what a frame of the subscriber asks for.
func (p *Publisher) hear(s *zmqSubscriber, flags byte, body []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.wakeWaiters()
	if flags&4 == 0 {
		p.said = append(p.said, "message "+string(body))
		if len(body) > 0 && body[0] == 1 {
			s.topics[string(body[1:])]++
		}
		return
	}
	if p.opts.V30 || len(body) == 0 || len(body) <= int(body[0]) {
		p.said = append(p.said, "bad command "+string(body))
		return
	}
	name, data := string(body[1:1+body[0]]), body[1+body[0]:]
	p.said = append(p.said, name+" "+string(data))
	switch name {
	case "SUBSCRIBE":
		s.topics[string(data)]++
	case "PING":
		s.queue(zmqPiece{wire: appendZMQFrame(nil, 4, append([]byte("\x04PONG"), data[min(2, len(data)):]...))}, 0)
	}
}
