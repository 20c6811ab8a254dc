package zmq

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// A synctest bubble fails when it ends with goroutines left, so each of these
// tests checks that too.

// wholeStream is what a publisher says, from the greeting to one notification.
func wholeStream() []byte {
	s := append(appendGreeting(nil), "\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB"...)
	s = appendCommand(appendCommand(s, "PONG", nil), "PONG", nil)
	s = appendFrame(s, flagMore, []byte(TopicHashTx))
	s = appendFrame(s, flagMore, hash32)
	return appendFrame(s, 0, []byte{1, 0, 0, 0})
}

// TestCutAnywhere ends the connection after each byte that either side says.
func TestCutAnywhere(t *testing.T) {
	stream := wholeStream()
	confirmed := len(stream) - (2 + len(TopicHashTx)) - (2 + len(hash32)) - (2 + 4)
	const saidByUs = greetingSize + 27 + 18 + 9 + 9 // greeting, READY, SUBSCRIBE, two PINGs
	cut := func(t *testing.T, wire []byte, hear int64) (kinds []Kind) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			events := make(chan Event)
			done := make(chan error)
			go func() {
				done <- Run(ctx, Options{Address: "tcp://node:1", Topics: []string{TopicHashTx}, Dial: says(wire, hear)}, events)
			}()
			for len(kinds) == 0 || kinds[len(kinds)-1] != KindLost && kinds[len(kinds)-1] != KindFailed {
				e := <-events
				kinds = append(kinds, e.Kind)
				if (e.Kind == KindLost || e.Kind == KindFailed) != (e.Err != nil) {
					t.Errorf("event %+v", e)
				}
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("Run: %v", err)
			}
			time.Sleep(2 * time.Second) // until the peer has hung up
		})
		return kinds
	}
	for n := range len(stream) + 1 {
		want := []Kind{KindFailed}
		if n >= confirmed {
			want = []Kind{KindConnected, KindLost}
		}
		if n == len(stream) {
			want = []Kind{KindConnected, KindNotification, KindLost}
		}
		if kinds := cut(t, stream[:n], 1<<20); !slices.Equal(kinds, want) {
			t.Fatalf("cut after %d bytes of the publisher: %v, want %v", n, kinds, want)
		}
	}
	for n := range int64(saidByUs) {
		kinds := cut(t, stream[:confirmed], n)
		if !slices.Equal(kinds, []Kind{KindFailed}) {
			t.Fatalf("cut after %d bytes of ours: %v", n, kinds)
		}
	}
}

// bubble starts a publisher on pipes and a Run on it.
func bubble(t *testing.T, po nodetest.PublisherOptions, o Options) (*nodetest.Publisher, *watcher) {
	l := newPipeListener()
	po.Listener = l
	p := nodetest.NewPublisher(t, po)
	o.Address, o.Dial = "tcp://node:1", l.dial
	o.Topics = []string{TopicHashTx}
	return p, watch(t, o)
}

// TestHalfOpen freezes the publisher: that it is dead must be found in the time
// that the options say, counted from the last sign of life.
func TestHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, w := bubble(t, nodetest.PublisherOptions{}, Options{PingInterval: 4 * time.Second, PingTimeout: 9 * time.Second})
		w.want(t, KindConnected)
		time.Sleep(time.Hour) // heartbeats keep it alive
		synctest.Wait()
		p.Publish(TopicHashTx, hash32)
		w.want(t, KindNotification)
		p.Freeze()
		frozen := time.Now()
		e := w.want(t, KindLost)
		if !errors.Is(e.Err, errSilent) {
			t.Errorf("lost for %v", e.Err)
		}
		if found := time.Since(frozen); found > 13*time.Second || found < 9*time.Second {
			t.Errorf("found after %v, want 9 s to 13 s", found)
		}
		p.Thaw()
		w.want(t, KindConnected)
	})
}

// TestPings counts the heartbeats, which must go on while notifications flow
// and while nobody takes them: the publisher hangs up otherwise.
func TestPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, w := bubble(t, nodetest.PublisherOptions{}, Options{})
		w.want(t, KindConnected)
		pings := func() int { synctest.Wait(); return count(p.Said(), "PING \x00\x96") }
		before := pings()
		for range 60 {
			time.Sleep(time.Second)
			p.Publish(TopicHashTx, hash32)
			w.want(t, KindNotification)
		}
		if n := pings() - before; n < 11 || n > 13 {
			t.Errorf("%d PINGs in a minute with traffic, want 12", n)
		}
		before = pings()
		p.Publish(TopicHashTx, hash32)
		time.Sleep(time.Minute)
		if n := pings() - before; n < 11 || n > 13 {
			t.Errorf("%d PINGs in a minute with a stuck receiver, want 12", n)
		}
		w.want(t, KindNotification)
		time.Sleep(time.Minute)
		p.Publish(TopicHashTx, hash32)
		w.want(t, KindNotification)
	})
}

// TestMutePublisher is about peers that get stuck in the handshake.
func TestMutePublisher(t *testing.T) {
	stream := wholeStream()
	for _, n := range []int{0, 1, 10, 12, greetingSize, greetingSize + 5, greetingSize + 27} {
		synctest.Test(t, func(t *testing.T) {
			p, w := bubble(t, nodetest.PublisherOptions{}, Options{HandshakeTimeout: 7 * time.Second})
			w.want(t, KindConnected)
			p.Greet(slices.Clip(stream[:n]))
			p.Cut()
			w.want(t, KindLost)
			cut := time.Now()
			e := w.want(t, KindFailed)
			if d := time.Since(cut); d < 7*time.Second || d > 8*time.Second || !errors.As(e.Err, new(net.Error)) {
				t.Errorf("after %d bytes: %v after %v, want a timeout after 7 s and a delay", n, e.Err, d)
			}
			p.Greet(nil)
			w.want(t, KindConnected)
		})
	}
}

// TestPublisher30 is about peers that do not know PING: silence is no sign of
// death, and no PING is sent.
func TestPublisher30(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, w := bubble(t, nodetest.PublisherOptions{V30: true}, Options{})
		w.want(t, KindConnected)
		time.Sleep(24 * time.Hour)
		p.Publish(TopicHashTx, hash32)
		w.want(t, KindNotification)
		if said := p.Said(); !slices.Equal(said, []string{"message \x01hashtx"}) {
			t.Errorf("said %q", said)
		}
	})
}

// TestBackoff checks the delays between attempts that fail, and that a
// connection which lasted ends them.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, w := bubble(t, nodetest.PublisherOptions{}, Options{ReconnectDelay: time.Second, MaxReconnectDelay: 10 * time.Second})
		w.want(t, KindConnected)
		time.Sleep(time.Minute)
		check := func() {
			p.Refuse(true)
			p.Cut()
			last := w.want(t, KindLost).At
			for _, most := range []time.Duration{1, 2, 4, 8, 10, 10, 10} {
				at := w.want(t, KindFailed).At
				most *= time.Second
				if d := at.Sub(last); d < most/2 || d > most {
					t.Errorf("attempt after %v, want %v to %v", d, most/2, most)
				}
				last = at
			}
			p.Refuse(false)
			w.want(t, KindConnected)
		}
		check()
		time.Sleep(time.Minute)
		check()
	})
}

// TestFlapping ends each connection as soon as it is there: attempts must not
// come faster for it.
func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, w := bubble(t, nodetest.PublisherOptions{}, Options{ReconnectDelay: time.Second, MaxReconnectDelay: 16 * time.Second})
		start := time.Now()
		for range 10 {
			w.want(t, KindConnected)
			p.Cut()
			w.want(t, KindLost)
		}
		if d := time.Since(start); d < 30*time.Second {
			t.Errorf("ten connections in %v", d)
		}
	})
}

// TestEndAnywhere ends the context in every state.
func TestEndAnywhere(t *testing.T) {
	states := map[string]func(t *testing.T, p *nodetest.Publisher, w *watcher){
		"connected, not taken": func(*testing.T, *nodetest.Publisher, *watcher) {},
		"idle":                 func(t *testing.T, _ *nodetest.Publisher, w *watcher) { w.want(t, KindConnected) },
		"notification not taken": func(t *testing.T, p *nodetest.Publisher, w *watcher) {
			w.want(t, KindConnected)
			p.Publish(TopicHashTx, hash32)
		},
		"gap not taken": func(t *testing.T, p *nodetest.Publisher, w *watcher) {
			w.want(t, KindConnected)
			p.Publish(TopicHashTx, hash32)
			w.want(t, KindNotification)
			p.Send(nodetest.ZMQMessage{Topic: TopicHashTx, Body: hash32, Counter: 9})
		},
		"lost not taken": func(t *testing.T, p *nodetest.Publisher, w *watcher) {
			w.want(t, KindConnected)
			p.Cut()
		},
		"waiting to reconnect": func(t *testing.T, p *nodetest.Publisher, w *watcher) {
			w.want(t, KindConnected)
			p.Cut()
			w.want(t, KindLost)
		},
		"handshake": func(t *testing.T, p *nodetest.Publisher, w *watcher) {
			w.want(t, KindConnected)
			p.Greet([]byte{0xff})
			p.Cut()
			w.want(t, KindLost)
		},
		"frozen": func(t *testing.T, p *nodetest.Publisher, w *watcher) {
			w.want(t, KindConnected)
			p.Freeze()
		},
	}
	for name, reach := range states {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, w := bubble(t, nodetest.PublisherOptions{}, Options{})
				reach(t, p, w)
				time.Sleep(6 * time.Second) // past a PING
				synctest.Wait()
				before := time.Now()
				w.stop()
				err := <-w.done
				if !errors.Is(err, context.Canceled) || time.Since(before) > 0 {
					t.Errorf("Run returned %v after %v", err, time.Since(before))
				}
				w.done <- err
			})
		})
	}
}

// count counts how often s was said.
func count(said []string, s string) (n int) {
	for _, x := range said {
		if x == s {
			n++
		}
	}
	return n
}
