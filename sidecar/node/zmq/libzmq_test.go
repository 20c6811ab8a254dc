//go:build unix

package zmq

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// buildPublisher compiles testdata/publisher.c if OUTRIDER_LIBZMQ=1 asks for it.
func buildPublisher(t *testing.T) string {
	t.Helper()
	if os.Getenv("OUTRIDER_LIBZMQ") != "1" {
		t.Skip("OUTRIDER_LIBZMQ is not 1: nothing was checked against libzmq, the library that bitcoind publishes with")
	}
	program := filepath.Join(t.TempDir(), "publisher")
	gcc := exec.CommandContext(t.Context(), "gcc", "-Wall", "-Werror", "-o", program, "testdata/publisher.c", "-lzmq")
	if out, err := gcc.CombinedOutput(); err != nil {
		t.Fatalf("compile the publisher (gcc and libzmq3-dev are needed): %v\n%s", err, out)
	}
	return program
}

// A libzmq is a running publisher.
type libzmq struct {
	t       *testing.T
	address string
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

// startPublisher starts program, and ends it when the test ends.
func startPublisher(t *testing.T, program, address string, heartbeat time.Duration) *libzmq {
	t.Helper()
	cmd := exec.Command(program, address, fmt.Sprint(heartbeat.Milliseconds()))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &libzmq{t: t, cmd: cmd, in: in, out: bufio.NewReader(out)}
	t.Cleanup(p.kill)
	version, bound, ok := strings.Cut(p.line(), " ")
	if !ok {
		t.Fatalf("the publisher said %q", version)
	}
	p.address = bound
	t.Logf("libzmq %s at %s", version, bound)
	return p
}

func (p *libzmq) line() string {
	p.t.Helper()
	s, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("read from the publisher: %v", err)
	}
	return strings.TrimSpace(s)
}

// publish sends messages and waits until libzmq has them.
func (p *libzmq) publish(topic string, size int, counter uint32, times int) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.in, "%s %d %d %d\n", topic, size, counter, times); err != nil {
		p.t.Fatal(err)
	}
	if s := p.line(); s != "sent" {
		p.t.Fatalf("the publisher said %q", s)
	}
}

// kill kills the publisher, if it still runs.
func (p *libzmq) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// wantLibzmq receives a notification as the publisher makes them.
func wantLibzmq(t *testing.T, w *watcher, topic string, size int, counter uint32) {
	t.Helper()
	n := w.want(t, KindNotification).Notification
	body := bytes.Repeat([]byte{byte(counter)}, size)
	if n.Topic != topic || n.Counter != counter || !bytes.Equal(n.Body, body) {
		t.Fatalf("%s %d with %d bytes, want %s %d with %d", n.Topic, n.Counter, len(n.Body), topic, counter, size)
	}
}

// quiet waits for a while in which nothing may happen.
func quiet(t *testing.T, w *watcher, d time.Duration) {
	t.Helper()
	select {
	case e := <-w.events:
		t.Fatalf("event %+v", e)
	case <-time.After(d):
	}
}

// TestLibzmqAddresses subscribes to a publisher at each kind of address: the
// handshake, the filter, small and large messages, and a publisher that is
// killed and comes back.
func TestLibzmqAddresses(t *testing.T) {
	program := buildPublisher(t)
	path := filepath.Join(t.TempDir(), "zmq")
	for _, c := range []struct{ name, bind, connect string }{
		{"IPv4", "tcp://127.0.0.1:*", ""},
		{"IPv6", "tcp://[::1]:*", ""},
		{"ipc", "ipc://" + path + "1", ""},
		{"unix", "ipc://" + path + "2", "unix:" + path + "2"},
		{"abstract", "ipc://@outrider-" + filepath.Base(filepath.Dir(path)) + fmt.Sprint(os.Getpid()), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := startPublisher(t, program, c.bind, 0)
			address := c.connect
			if address == "" {
				address = p.address
			}
			w := watch(t, Options{Address: address, Topics: []string{TopicHashTx, TopicRawBlock}, ReconnectDelay: time.Millisecond})
			w.want(t, KindConnected)
			p.publish(TopicHashBlock, 32, 7, 3) // not subscribed
			p.publish(TopicRawTx, 300, 7, 3)
			p.publish(TopicHashTx, 32, 7, 2)
			p.publish(TopicRawBlock, 4_000_000, 1<<32-1, 2) // wraps
			p.publish(TopicRawBlock, 255, 1, 1)
			p.publish(TopicRawBlock, 256, 2, 1)
			p.publish(TopicRawBlock, 0, 3, 1)
			wantLibzmq(t, w, TopicHashTx, 32, 7)
			wantLibzmq(t, w, TopicHashTx, 32, 8)
			wantLibzmq(t, w, TopicRawBlock, 4_000_000, 1<<32-1)
			wantLibzmq(t, w, TopicRawBlock, 4_000_000, 0)
			wantLibzmq(t, w, TopicRawBlock, 255, 1)
			wantLibzmq(t, w, TopicRawBlock, 256, 2)
			wantLibzmq(t, w, TopicRawBlock, 0, 3)

			p.kill()
			w.want(t, KindLost)
			w.want(t, KindFailed)
			p = startPublisher(t, program, p.address, 0)
			for e := w.next(t); e.Kind != KindConnected; e = w.next(t) {
				if e.Kind != KindFailed {
					t.Fatalf("event %+v", e)
				}
			}
			p.publish(TopicHashTx, 32, 0, 1)
			if g := w.want(t, KindGap).Gap; g != (Gap{TopicHashTx, 9, 0}) {
				t.Errorf("gap %+v", g)
			}
			wantLibzmq(t, w, TopicHashTx, 32, 0)
		})
	}
}

// TestLibzmqHeartbeats keeps connections alive with PINGs from either side, with
// and without traffic and with a receiver that takes nothing; then it stops the
// publisher's process, which must be found out.
func TestLibzmqHeartbeats(t *testing.T) {
	program := buildPublisher(t)
	for _, heartbeat := range []time.Duration{0, 50 * time.Millisecond} {
		t.Run(heartbeat.String(), func(t *testing.T) {
			p := startPublisher(t, program, "tcp://127.0.0.1:*", heartbeat)
			w := watch(t, Options{
				Address: p.address, Topics: []string{TopicRawTx},
				PingInterval: 100 * time.Millisecond, PingTimeout: 200 * time.Millisecond,
				ReconnectDelay: time.Millisecond, MaxReconnectDelay: 50 * time.Millisecond,
			})
			w.want(t, KindConnected)
			quiet(t, w, time.Second)
			var counter uint32
			for end := time.Now().Add(time.Second); time.Now().Before(end); counter++ {
				p.publish(TopicRawTx, 100, counter, 1)
				wantLibzmq(t, w, TopicRawTx, 100, counter)
			}
			p.publish(TopicRawTx, 100, counter, 500)
			<-time.After(time.Second) // takes nothing
			for range 500 {
				wantLibzmq(t, w, TopicRawTx, 100, counter)
				counter++
			}
			p.cmd.Process.Signal(syscall.SIGSTOP)
			stopped := time.Now()
			e := w.want(t, KindLost)
			if !errors.Is(e.Err, errSilent) {
				t.Errorf("lost for %v", e.Err)
			}
			t.Logf("a stopped publisher was found after %v: %v", time.Since(stopped).Round(time.Millisecond), e.Err)
			p.cmd.Process.Signal(syscall.SIGCONT)
			for e := w.next(t); e.Kind != KindConnected; e = w.next(t) {
				if e.Kind != KindFailed {
					t.Fatalf("event %+v", e)
				}
			}
			p.publish(TopicRawTx, 100, counter, 1)
			wantLibzmq(t, w, TopicRawTx, 100, counter)
		})
	}
}

// TestLibzmqHighWater takes nothing while libzmq, with its default high-water
// mark of 1000 messages, gets many more than it can keep: what is received and
// what the gaps tell must add up to what was published, without the tail.
func TestLibzmqHighWater(t *testing.T) {
	program := buildPublisher(t)
	p := startPublisher(t, program, "tcp://127.0.0.1:*", 0)
	w := watch(t, Options{Address: p.address, Topics: []string{TopicRawTx}})
	w.want(t, KindConnected)
	const published = 50_000
	p.publish(TopicRawTx, 2000, 0, published)
	var received, missed uint32
	last := uint32(0)
	for received == 0 || last < published {
		select {
		case e := <-w.events:
			switch e.Kind {
			case KindGap:
				n, ok := e.Gap.Missed()
				if !ok {
					t.Fatalf("gap %+v", e.Gap)
				}
				missed += n
			case KindNotification:
				received++
				last = e.Notification.Counter
				if last+1 != received+missed {
					t.Fatalf("counter %d after %d received and %d missed", last, received, missed)
				}
			default:
				t.Fatalf("event %+v", e)
			}
		case <-time.After(300 * time.Millisecond):
			p.publish(TopicRawTx, 2000, published, 1) // shows the tail's loss
		}
	}
	t.Logf("%d received, %d missed, none unnoticed", received, missed)
	if missed == 0 {
		t.Error("libzmq dropped nothing: nothing was checked")
	}
}

// TestLibzmqConnected publishes as soon as there is a connection: the
// subscriptions must be in effect. (Between messages there is time enough that
// libzmq looks at subscriptions before it sends.)
func TestLibzmqConnected(t *testing.T) {
	program := buildPublisher(t)
	p := startPublisher(t, program, "tcp://127.0.0.1:*", 0)
	const times = 500
	missed := 0
	for i := range uint32(times) {
		ctx, cancel := context.WithCancel(t.Context())
		events, done := make(chan Event), make(chan error)
		go func() { done <- Run(ctx, Options{Address: p.address, Topics: Topics()}, events) }()
		if e := <-events; e.Kind != KindConnected {
			t.Fatalf("event %+v", e)
		}
		p.publish(TopicRawTx, 10, i, 1)
		select {
		case <-events:
		case <-time.After(200 * time.Millisecond):
			missed++
		}
		cancel()
		<-done
		<-time.After(5 * time.Millisecond)
	}
	if missed > 0 {
		t.Errorf("%d of %d first messages were missed", missed, times)
	}
}
