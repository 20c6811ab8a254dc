package zmq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// Options says what Run subscribes to, and how. Zero durations and sizes stand
// for the defaults.
type Options struct {
	// Address is tcp://host:port, unix:/path or ipc:///path.
	Address string
	// Topics are some of the Topic constants, at least one, each once.
	Topics []string

	// MaxBody bounds the body of a notification, in bytes; 32 MiB by default.
	// A larger one ends the connection before memory is allocated.
	MaxBody int
	// HandshakeTimeout bounds the time from dialling until the subscriptions
	// are confirmed; 10 s by default.
	HandshakeTimeout time.Duration
	// PingInterval is the time between heartbeats, 5 s by default.
	PingInterval time.Duration
	// PingTimeout is how long the publisher may take to answer one, and the
	// network to take what is written; 10 s by default. Interval and timeout
	// together are at most 65 s.
	PingTimeout time.Duration
	// ReconnectDelay and MaxReconnectDelay bound the time between attempts to
	// connect, which doubles from the former, 100 ms by default, to the latter,
	// 10 s by default, and varies by half.
	ReconnectDelay, MaxReconnectDelay time.Duration
	// Dial connects, as (*net.Dialer).DialContext does, to the network tcp or
	// unix; a host is given by name. By default it is a net.Dialer's with TCP
	// keep-alive.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Validate reports what is wrong with the options.
func (o Options) Validate() error {
	_, err := o.complete()
	return err
}

// complete returns the options with their defaults.
func (o Options) complete() (Options, error) {
	if _, err := parseAddress(o.Address); err != nil {
		return o, err
	}
	if len(o.Topics) == 0 {
		return o, errors.New("no topics to subscribe to")
	}
	for i, topic := range o.Topics {
		if !slices.Contains(Topics(), topic) {
			return o, fmt.Errorf("bitcoind has no topic %q", topic)
		}
		if slices.Contains(o.Topics[:i], topic) {
			return o, fmt.Errorf("topic %s is there twice", topic)
		}
	}
	o.Topics = slices.Clone(o.Topics)
	if o.MaxBody == 0 {
		o.MaxBody = 32 << 20
	}
	for _, d := range []struct {
		value     *time.Duration
		byDefault time.Duration
	}{
		{&o.HandshakeTimeout, 10 * time.Second},
		{&o.PingInterval, 5 * time.Second},
		{&o.PingTimeout, 10 * time.Second},
		{&o.ReconnectDelay, 100 * time.Millisecond},
		{&o.MaxReconnectDelay, max(10*time.Second, o.ReconnectDelay)},
	} {
		if *d.value == 0 {
			*d.value = d.byDefault
		}
		if *d.value < 0 {
			return o, fmt.Errorf("a duration of %v", *d.value)
		}
	}
	switch {
	case o.MaxBody < 0 || o.MaxBody > math.MaxInt32:
		return o, fmt.Errorf("bodies of up to %d bytes", o.MaxBody)
	case o.ttl() > maxTTL:
		return o, fmt.Errorf("a dead publisher is found after %v, not within %v", o.ttl(), maxTTL)
	case o.MaxReconnectDelay < o.ReconnectDelay:
		return o, fmt.Errorf("the longest delay, %v, is less than the first, %v", o.MaxReconnectDelay, o.ReconnectDelay)
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3,
		}}).DialContext
	}
	return o, nil
}

// ttl is how long either side may be silent.
func (o *Options) ttl() time.Duration { return o.PingInterval + o.PingTimeout }

// A Kind says what an Event is about.
type Kind int

// The kinds of events.
const (
	// KindConnected: the publisher has confirmed the subscriptions (a peer of
	// ZMTP 3.0, which libzmq before 4.3.3 is, cannot: to it they have been
	// sent). What is published from now on is received, with an exception: in
	// the midst of a burst libzmq looks at new subscriptions only once in
	// 3,000,000 ticks of the CPU, a millisecond or two.
	KindConnected Kind = 1 + iota
	// KindLost follows the last notification of a connection.
	KindLost
	// KindFailed: an attempt to connect failed.
	KindFailed
	// KindGap comes before the notification that shows the gap.
	KindGap
	// KindNotification: a notification came.
	KindNotification
)

var kindNames = [...]string{"", "connected", "lost", "failed", "gap", "notification"}

// String returns the kind in one word.
func (k Kind) String() string {
	if k < KindConnected || k > KindNotification {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return kindNames[k]
}

// An Event is something that happened at an address.
type Event struct {
	Kind    Kind
	Address string // as in the Options
	// At is when it happened; for a notification, when its last byte had been
	// read.
	At           time.Time
	Notification Notification // of KindNotification
	Gap          Gap          // of KindGap
	Err          error        // of KindLost and KindFailed: why
}

// Run keeps the address of a publisher subscribed, and sends what happens to
// events, until ctx ends; it returns ctx's error then. It returns at once if the
// options are not valid. When it returns it has left nothing behind.
//
// Connected, then notifications and gaps, then Lost: so goes each connection. A
// connection that breaks, falls silent or brings what is no notification of
// bitcoind is replaced. Counters are followed across connections, so that
// notifications missed in between are a gap too, once there is another of their
// topic; a node that was started anew counts from 0, which is a gap unless by
// chance it fits.
//
// While nobody receives from events nothing is read, and no memory is used but
// for one notification. The publisher then drops what exceeds its high-water
// mark, and the counters tell.
func Run(ctx context.Context, o Options, events chan<- Event) error {
	o, err := o.complete()
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", o.Address, err)
	}
	s := &subscriber{opts: &o, events: events, counters: make(counters)}
	delay := o.ReconnectDelay
	for {
		began, err := s.connect(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		kind := KindFailed
		if !began.IsZero() {
			kind = KindLost
			if time.Since(began) > delay {
				delay = o.ReconnectDelay
			}
		}
		if err := s.send(ctx, Event{Kind: kind, At: time.Now(), Err: err}); err != nil {
			return err
		}
		select {
		case <-time.After(delay/2 + rand.N(delay/2+1)):
		case <-ctx.Done():
			return ctx.Err()
		}
		delay = min(2*delay, o.MaxReconnectDelay)
	}
}

// A subscriber is the state of Run.
type subscriber struct {
	opts     *Options
	events   chan<- Event
	counters counters
}

// send sends an event.
func (s *subscriber) send(ctx context.Context, e Event) error {
	e.Address = s.opts.Address
	select {
	case s.events <- e:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// connect connects once, and returns when that connection is no more, and why.
// began is when its subscriptions were confirmed, the zero time if they never
// were.
func (s *subscriber) connect(ctx context.Context) (began time.Time, err error) {
	at, err := parseAddress(s.opts.Address)
	if err != nil {
		return began, err
	}
	deadline := time.Now().Add(s.opts.HandshakeTimeout)
	dialCtx, dialed := context.WithDeadline(ctx, deadline)
	nc, err := s.opts.Dial(dialCtx, at.network, at.address)
	dialed()
	if err != nil {
		return began, err
	}
	alive, end := context.WithCancelCause(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer end(nil)
	beside.Go(func() {
		<-alive.Done()
		nc.Close() // wakes the reader and the writers
	})
	c := newConn(nc, s.opts)
	if err := c.handshake(deadline); err != nil {
		return began, err
	}
	if c.peer.commands() {
		beside.Go(func() { end(c.heartbeat(alive)) })
	}
	began = time.Now()
	if err := s.send(ctx, Event{Kind: KindConnected, At: began}); err != nil {
		return began, err
	}
	err = s.relay(ctx, c)
	if cause := context.Cause(alive); cause != nil {
		err = cause
	}
	return began, err
}

// relay sends events for what is received until the connection ends.
func (s *subscriber) relay(ctx context.Context, c *conn) error {
	for {
		n, err := c.receive()
		if err != nil {
			return err
		}
		now := time.Now()
		if gap, ok := s.counters.follow(&n); ok {
			if err := s.send(ctx, Event{Kind: KindGap, At: now, Gap: gap}); err != nil {
				return err
			}
		}
		if err := s.send(ctx, Event{Kind: KindNotification, At: now, Notification: n}); err != nil {
			return err
		}
	}
}
