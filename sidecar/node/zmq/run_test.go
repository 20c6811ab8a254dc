package zmq

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/testvectors"
)

// hash32 is a body for hash topics.
var hash32 = bytes.Repeat([]byte{7}, 32)

func recording(t testing.TB) []nodetest.ZMQMessage {
	t.Helper()
	lines := testvectors.Load(t, "../fixtures/bitcoind/zmq.jsonl.zst", "the notifications of a real bitcoind")
	recorded, err := nodetest.DecodeZMQRecording(lines)
	if err != nil {
		t.Fatal(err)
	}
	return recorded
}

// TestRecording replays what a real bitcoind published: every notification must
// come out, in order and as it was, and there must be no gap.
func TestRecording(t *testing.T) {
	recorded := recording(t)
	p := nodetest.NewPublisher(t, nodetest.PublisherOptions{})
	w := watch(t, Options{Address: p.Address(), Topics: Topics()})
	if e := w.want(t, KindConnected); e.Address != p.Address() || e.At.IsZero() {
		t.Errorf("event %+v", e)
	}
	for _, m := range recorded {
		p.Send(m)
	}
	labels := make(map[SequenceLabel]int)
	for i, m := range recorded {
		e := w.want(t, KindNotification)
		n := e.Notification
		if n.Topic != m.Topic || n.Counter != m.Counter || !bytes.Equal(n.Body, m.Body) {
			t.Fatalf("notification %d is %+v, want %+v", i, n, m)
		}
		if n.Topic == TopicSequence {
			s, err := DecodeSequence(n.Body)
			if err != nil {
				t.Fatal(err)
			}
			labels[s.Label]++
		}
	}
	for _, l := range []SequenceLabel{BlockConnected, BlockDisconnected, TxAdded, TxRemoved} {
		if labels[l] == 0 {
			t.Errorf("no %q among the sequence notifications %v", l, labels)
		}
	}
}

// TestAddresses connects by each kind of address.
func TestAddresses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zmq")
	for _, c := range []struct{ name, network, listen, address string }{
		{"IPv4", "tcp", "127.0.0.1:0", "tcp://127.0.0.1:%d"},
		{"IPv6", "tcp", "[::1]:0", "tcp://[::1]:%d"},
		{"name", "tcp", "127.0.0.1:0", "tcp://localhost:%d"},
		{"ipc", "unix", path + "1", "ipc://" + path + "1"},
		{"unix", "unix", path + "2", "unix:" + path + "2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen(c.network, c.listen)
			if err != nil && c.name == "IPv6" {
				t.Skipf("this machine has no IPv6 (%v): connecting by it was not checked", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if a, ok := l.Addr().(*net.TCPAddr); ok {
				c.address = fmt.Sprintf(c.address, a.Port)
			}
			p := nodetest.NewPublisher(t, nodetest.PublisherOptions{Listener: l})
			w := watch(t, Options{Address: c.address, Topics: []string{TopicHashTx}})
			w.want(t, KindConnected)
			p.Publish(TopicHashTx, hash32)
			w.want(t, KindNotification)
		})
	}
}

// TestSubscribes checks which topics are subscribed to and how, and that others
// are not told of.
func TestSubscribes(t *testing.T) {
	for _, v30 := range []bool{false, true} {
		t.Run(fmt.Sprintf("v30=%v", v30), func(t *testing.T) {
			p := nodetest.NewPublisher(t, nodetest.PublisherOptions{V30: v30})
			w := watch(t, Options{Address: p.Address(), Topics: []string{TopicSequence, TopicRawTx}, PingInterval: 55 * time.Second})
			w.want(t, KindConnected)
			p.AwaitSubscriptions(t, 2)
			want := []string{"SUBSCRIBE sequence", "SUBSCRIBE rawtx", "PING \x02\x8a", "PING \x02\x8a"}
			if v30 {
				want = []string{"message \x01sequence", "message \x01rawtx"}
			}
			if said := p.Said(); !slices.Equal(said, want) {
				t.Errorf("said %q, want %q", said, want)
			}
			p.Publish(TopicHashTx, hash32)
			p.Publish("rawtx2", []byte("of another publisher"))
			p.Publish(TopicRawTx, []byte("tx"))
			if n := w.want(t, KindNotification).Notification; n.Topic != TopicRawTx || string(n.Body) != "tx" {
				t.Errorf("notification %+v", n)
			}
		})
	}
}

// TestViolations sends what no bitcoind sends: the connection must be lost, and
// there must be another.
func TestViolations(t *testing.T) {
	frame := func(flags byte, body string) string { return string(appendFrame(nil, flags, []byte(body))) }
	topic, body, counter := frame(flagMore, "rawtx"), frame(flagMore, "tx"), frame(0, "\x00\x00\x00\x00")
	for _, c := range []struct{ name, wire, err string }{
		{"one part", frame(0, "rawtx"), "3 parts"},
		{"two parts", topic + frame(0, "tx"), "3 parts"},
		{"four parts", topic + body + frame(flagMore, "\x00\x00\x00\x00"), "3 parts"},
		{"another topic", frame(flagMore, "hashtx"), `topic "hashtx"`},
		{"part of a topic", frame(flagMore, "raw"), `topic "raw"`},
		{"no topic", frame(flagMore, ""), `topic ""`},
		{"long topic", frame(flagMore, strings.Repeat("rawtx", 60)), "topic of 300 bytes"},
		{"short counter", topic + body + frame(0, "\x00\x00\x00"), "counter of 3 bytes"},
		{"long counter", topic + body + frame(0, "\x00\x00\x00\x00\x00"), "counter of 5 bytes"},
		{"large body", topic + "\x03\x00\x00\x00\x00\x00\x00\x10\x01", "message of 4097 bytes"},
		{"huge body", topic + "\x03\x7f\xff\xff\xff\xff\xff\xff\xff", "message of 9223372036854775807 bytes"},
		{"large command", "\x06\x00\x00\x00\x00\x00\x00\x20\x01", "command of 8193 bytes"},
		{"nameless command", frame(flagCommand, ""), "without a name"},
		{"reserved flags", frame(0x40, "rawtx"), "reserved"},
		{"command of two frames", frame(flagCommand|flagMore, "\x04PONG"), "several frames"},
		{"PING without a TTL", frame(flagCommand, "\x04PING\x00"), "PING with 1 bytes"},
		{"PING with too much", frame(flagCommand, "\x04PING\x00\x0001234567890123456"), "PING with 19 bytes"},
		{"refusal", frame(flagCommand, "\x05ERROR\x02no"), errRefused.Error()},
		{"sequence of a hash", frame(flagMore, "sequence") + frame(flagMore, string(hash32)) + counter, "sequence notification of 32 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := nodetest.NewPublisher(t, nodetest.PublisherOptions{})
			w := watch(t, Options{Address: p.Address(), Topics: []string{TopicRawTx, TopicSequence}, MaxBody: 4096, ReconnectDelay: time.Millisecond})
			w.want(t, KindConnected)
			p.Publish(TopicRawTx, make([]byte, 4096))
			w.want(t, KindNotification)
			p.Raw([]byte(c.wire))
			if e := w.want(t, KindLost); !strings.Contains(e.Err.Error(), c.err) {
				t.Errorf("lost for %q, want %q", e.Err, c.err)
			}
			w.want(t, KindConnected)
			p.Publish(TopicRawTx, []byte("tx"))
			w.want(t, KindNotification)
		})
	}
}

// TestCommandsWithin answers PINGs and ignores what it does not know, in the
// middle of messages too.
func TestCommandsWithin(t *testing.T) {
	p := nodetest.NewPublisher(t, nodetest.PublisherOptions{})
	w := watch(t, Options{Address: p.Address(), Topics: []string{TopicRawTx}})
	w.want(t, KindConnected)
	p.Fault(nodetest.ZMQInterleave)
	p.Publish(TopicRawTx, []byte("tx"))
	if n := w.want(t, KindNotification).Notification; string(n.Body) != "tx" {
		t.Errorf("notification %+v", n)
	}
	p.Raw(appendCommand(nil, "PING", []byte("\x00\x000123456789012345")))
	p.AwaitSaid(t, "PONG context", 2)
	p.AwaitSaid(t, "PONG 0123456789012345", 1)
	p.Publish(TopicRawTx, []byte("tx"))
	w.want(t, KindNotification)
}

// TestReconnect follows the counters across connections and restarts.
func TestReconnect(t *testing.T) {
	p := nodetest.NewPublisher(t, nodetest.PublisherOptions{})
	var dialed []string
	var d net.Dialer
	w := watch(t, Options{
		Address: strings.Replace(p.Address(), "127.0.0.1", "localhost", 1), Topics: []string{TopicHashTx, TopicHashBlock},
		ReconnectDelay: time.Millisecond,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			dialed = append(dialed, address)
			return d.DialContext(ctx, network, address)
		},
	})
	w.want(t, KindConnected)
	p.Publish(TopicHashTx, hash32)
	w.want(t, KindNotification)
	p.Publish(TopicHashBlock, hash32)
	w.want(t, KindNotification)

	p.Cut()
	w.want(t, KindLost)
	w.want(t, KindConnected)
	p.Publish(TopicHashTx, hash32) // continues: no gap
	w.want(t, KindNotification)

	p.Refuse(true)
	p.Cut()
	w.want(t, KindLost)
	p.Publish(TopicHashTx, hash32)
	p.Publish(TopicHashTx, hash32)
	w.want(t, KindFailed)
	p.Refuse(false)
	for e := w.next(t); e.Kind != KindConnected; e = w.next(t) {
		if e.Kind != KindFailed {
			t.Fatalf("event %+v", e)
		}
	}
	p.Publish(TopicHashTx, hash32)
	if g := w.want(t, KindGap).Gap; g != (Gap{TopicHashTx, 2, 4}) {
		t.Errorf("gap %+v", g)
	}
	w.want(t, KindNotification)
	p.Publish(TopicHashBlock, hash32) // the other topic missed nothing
	w.want(t, KindNotification)

	p.Restart()
	w.want(t, KindLost)
	w.want(t, KindConnected)
	p.Publish(TopicHashBlock, hash32)
	if g := w.want(t, KindGap).Gap; g != (Gap{TopicHashBlock, 2, 0}) {
		t.Errorf("gap %+v", g)
	}
	if n := w.want(t, KindNotification).Notification; n.Counter != 0 {
		t.Errorf("notification %+v", n)
	}
	for _, address := range dialed[1:] {
		if address != dialed[0] || !strings.HasPrefix(address, "localhost:") {
			t.Errorf("dialled %q, want the name each time", dialed)
		}
	}
}

// TestSlowReceiver takes nothing for a while from a publisher with a high-water
// mark: what it dropped must be told as a gap, to the notification.
func TestSlowReceiver(t *testing.T) {
	body := make([]byte, 50_000)
	p := nodetest.NewPublisher(t, nodetest.PublisherOptions{HighWater: 20})
	w := watch(t, Options{Address: p.Address(), Topics: []string{TopicRawBlock}})
	w.want(t, KindConnected)
	for range 2000 { // a hundred megabytes, more than sockets hold
		p.Publish(TopicRawBlock, body)
	}
	var next uint32
	for {
		e := w.next(t)
		if e.Kind == KindGap {
			missed, ok := e.Gap.Missed()
			if e.Gap.Expected != next || !ok || missed == 0 {
				t.Errorf("gap %+v, expected %d", e.Gap, next)
			}
			next = e.Gap.Got
			break
		}
		if e.Kind != KindNotification || e.Notification.Counter != next {
			t.Fatalf("%s with counter %d, expected %d", e.Kind, e.Notification.Counter, next)
		}
		next++
		p.Publish(TopicRawBlock, body)
	}
	if n := w.want(t, KindNotification).Notification; n.Counter != next {
		t.Errorf("counter %d, expected %d", n.Counter, next)
	}
}

func TestOptions(t *testing.T) {
	good := Options{Address: "tcp://127.0.0.1:28332", Topics: []string{TopicRawTx}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		err    string
		change func(o *Options)
	}{
		{"none of tcp://", func(o *Options) { o.Address = "127.0.0.1:28332" }},
		{"no topics", func(o *Options) { o.Topics = nil }},
		{`no topic "raw"`, func(o *Options) { o.Topics = []string{"raw"} }},
		{"rawtx is there twice", func(o *Options) { o.Topics = []string{TopicRawTx, TopicHashTx, TopicRawTx} }},
		{"a duration of -1s", func(o *Options) { o.PingTimeout = -time.Second }},
		{"a dead publisher is found after 1m6s", func(o *Options) { o.PingInterval = 56 * time.Second }},
		{"less than the first", func(o *Options) { o.ReconnectDelay, o.MaxReconnectDelay = 2, 1 }},
		{"bodies of up to -1 bytes", func(o *Options) { o.MaxBody = -1 }},
	} {
		o := good
		c.change(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%v, want %q", err, c.err)
		}
		if err := Run(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("Run: %v, want %q", err, c.err)
		}
	}
}
