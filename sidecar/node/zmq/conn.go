package zmq

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

const (
	// parts is how many frames a notification has: topic, body, counter.
	parts = 3
	// maxTopic bounds the topic, of which bitcoind's longest has 9 bytes.
	maxTopic = 255
	// readBuffer is large enough that a burst of small notifications takes
	// few system calls.
	readBuffer = 64 << 10
	// confirmations is how many PINGs behind the subscriptions, each sent when
	// the one before is answered, confirm them. libzmq answers the first before
	// it hands over what it read with it: about one in five messages that were
	// published at that moment did not come.
	confirmations = 2
)

// errSilent ends a connection on which nothing is heard any more.
var errSilent = errors.New("the publisher does not answer")

// A conn is a connection to a publisher. One goroutine reads and answers,
// heartbeat may run beside it.
type conn struct {
	net  net.Conn
	opts *Options
	r    *bufio.Reader // reads from the conn itself, for its deadlines
	peer version
	// silence is how long nothing may be heard; 0 during the handshake, which
	// has a deadline of its own, and for a peer that knows no heartbeat.
	silence time.Duration
	ponged  bool // a PONG has come

	part    int          // how many parts of message have come
	message Notification // Topic is "" when nobody asked for it
}

func newConn(nc net.Conn, opts *Options) *conn {
	c := &conn{net: nc, opts: opts}
	c.r = bufio.NewReaderSize(c, readBuffer)
	return c
}

// Read implements io.Reader for the buffer: it reads from the network, and fails
// with errSilent when nothing comes for too long.
func (c *conn) Read(p []byte) (int, error) {
	if c.silence > 0 {
		if err := c.net.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
			return 0, err
		}
	}
	n, err := c.net.Read(p)
	if c.silence > 0 && n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("%w: nothing came for %v", errSilent, c.silence)
	}
	return n, err
}

// write writes b, within the time that a peer has to answer. Several goroutines
// may write: b is written in one piece. After an error the connection is of no
// use.
func (c *conn) write(b []byte) error {
	if err := c.net.SetWriteDeadline(time.Now().Add(c.opts.PingTimeout)); err != nil {
		return err
	}
	_, err := c.net.Write(b)
	return err
}

// handshake makes the connection one that is subscribed to all topics. A peer of
// ZMTP 3.1 has confirmed the subscriptions by answering PINGs behind them;
// messages that came before are dropped, since nobody has been told yet that
// there is a connection.
func (c *conn) handshake(deadline time.Time) error {
	if err := c.net.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := c.net.Write(appendGreeting(nil)); err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	var err error
	if c.peer, err = readGreeting(c.r); err != nil {
		return err
	}
	if _, err := c.net.Write(appendReady(nil)); err != nil {
		return fmt.Errorf("send READY: %w", err)
	}
	if err := c.readReady(); err != nil {
		return err
	}
	if err := c.subscribe(); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return c.net.SetDeadline(time.Time{})
}

// readReady reads the peer's READY.
func (c *conn) readReady() error {
	h, err := readHeader(c.r)
	if err != nil {
		return fmt.Errorf("read READY: %w", err)
	}
	if !h.command() {
		return violation("message in place of READY")
	}
	body, err := c.commandBody(h)
	if err != nil {
		return fmt.Errorf("read READY: %w", err)
	}
	return checkHandshake(body)
}

func (c *conn) subscribe() error {
	var b []byte
	for _, topic := range c.opts.Topics {
		b = appendSubscribe(b, c.peer, topic)
	}
	if !c.peer.commands() {
		_, err := c.net.Write(b)
		return err
	}
	for range confirmations {
		if _, err := c.net.Write(appendPing(b, c.opts.ttl())); err != nil {
			return err
		}
		b = b[:0]
		for c.ponged = false; !c.ponged; {
			if _, err := c.step(); err != nil {
				return err
			}
		}
	}
	c.silence = c.opts.ttl()
	return nil
}

// heartbeat sends a PING in each interval, whether or not anything is received:
// the peer may close a connection on which it hears nothing from us. It returns
// when ctx ends, with nil, or when the connection does.
func (c *conn) heartbeat(ctx context.Context) error {
	ping := appendPing(nil, c.opts.ttl())
	tick := time.NewTicker(c.opts.PingInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := c.write(ping); err != nil {
			return fmt.Errorf("send PING: %w", err)
		}
	}
}

// receive returns the next notification.
func (c *conn) receive() (Notification, error) {
	for {
		complete, err := c.step()
		if err != nil {
			return Notification{}, err
		}
		if complete && c.message.Topic != "" {
			return c.message, nil
		}
	}
}

// step reads one frame. Commands are dealt with wherever they come: libzmq sends
// a PONG between the frames of a message too. It reports whether a message is
// complete.
func (c *conn) step() (complete bool, err error) {
	h, err := readHeader(c.r)
	if err != nil {
		return false, fmt.Errorf("read a frame: %w", err)
	}
	if h.command() {
		return false, c.command(h)
	}
	if h.more() != (c.part < parts-1) {
		return false, violation("message that has not %d parts", parts)
	}
	switch c.part {
	case 0:
		err = c.readTopic(h)
	case 1:
		err = c.readMessageBody(h)
	case 2:
		err = c.readCounter(h)
	}
	if err != nil {
		return false, err
	}
	c.part = (c.part + 1) % parts
	return c.part == 0, nil
}

// readTopic reads the first part. A publisher sends each message whose topic
// begins with what was subscribed to; those that are longer are skipped.
func (c *conn) readTopic(h header) error {
	if h.size > maxTopic {
		return violation("topic of %d bytes", h.size)
	}
	topic, err := take(c.r, int(h.size))
	if err != nil {
		return fmt.Errorf("read a topic: %w", err)
	}
	c.message = Notification{}
	longer := false
	for _, t := range c.opts.Topics {
		if string(topic) == t {
			c.message.Topic = t
			return nil
		}
		longer = longer || bytes.HasPrefix(topic, []byte(t))
	}
	if !longer {
		return violation("message with topic %q", topic)
	}
	return nil
}

func (c *conn) readMessageBody(h header) error {
	if h.size > uint64(c.opts.MaxBody) {
		return violation("message of %d bytes", h.size)
	}
	var err error
	if c.message.Topic == "" {
		_, err = c.r.Discard(int(h.size))
	} else {
		c.message.Body, err = readBody(c.r, int(h.size))
	}
	if err != nil {
		return fmt.Errorf("read a message: %w", err)
	}
	return nil
}

func (c *conn) readCounter(h header) error {
	if h.size != 4 {
		return violation("counter of %d bytes", h.size)
	}
	counter, err := take(c.r, 4)
	if err != nil {
		return fmt.Errorf("read a counter: %w", err)
	}
	c.message.Counter = binary.LittleEndian.Uint32(counter)
	return c.message.check()
}

// command reads the body of a command and does as it says. Commands that are not
// for us are ignored.
func (c *conn) command(h header) error {
	body, err := c.commandBody(h)
	if err != nil {
		return fmt.Errorf("read a command: %w", err)
	}
	name, data, err := splitCommand(body)
	if err != nil {
		return err
	}
	switch name {
	case "PING":
		context, err := pingContext(data)
		if err != nil {
			return err
		}
		if err := c.write(appendCommand(nil, "PONG", context)); err != nil {
			return fmt.Errorf("send PONG: %w", err)
		}
	case "PONG":
		c.ponged = true
	case "ERROR":
		return refusal(data)
	}
	return nil
}

func (c *conn) commandBody(h header) ([]byte, error) {
	if h.size > maxCommand {
		return nil, violation("command of %d bytes", h.size)
	}
	return readBody(c.r, int(h.size))
}
