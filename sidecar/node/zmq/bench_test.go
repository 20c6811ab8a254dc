package zmq

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

// sender listens on loopback for one Run, and hands its connection over when the
// subscription has been confirmed.
func sender(b *testing.B) (conn net.Conn, events chan Event) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	events = make(chan Event, 16)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, Options{Address: "tcp://" + l.Addr().String(), Topics: Topics()}, events) }()
	conn, err = l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	l.Close()
	b.Cleanup(func() {
		cancel()
		conn.Close()
		if err := <-done; !errors.Is(err, context.Canceled) {
			b.Error(err)
		}
	})
	if _, err := conn.Write(wholeStream()[:greetingSize+27+14]); err != nil {
		b.Fatal(err)
	}
	if e := <-events; e.Kind != KindConnected {
		b.Fatalf("event %+v", e)
	}
	go io.Copy(io.Discard, conn) // ends with the connection
	return conn, events
}

func message(topic string, body []byte, counter uint32) []byte {
	m := appendFrame(nil, flagMore, []byte(topic))
	m = appendFrame(m, flagMore, body)
	return appendFrame(m, 0, []byte{byte(counter), byte(counter >> 8), byte(counter >> 16), byte(counter >> 24)})
}

// BenchmarkStream measures how fast notifications go from a socket to the
// channel.
func BenchmarkStream(b *testing.B) {
	for _, c := range []struct {
		name, topic string
		size        int
	}{
		{"hashtx", TopicHashTx, 32},
		{"rawtx-400B", TopicRawTx, 400},
		{"rawblock-2MB", TopicRawBlock, 2_000_000},
	} {
		b.Run(c.name, func(b *testing.B) {
			conn, events := sender(b)
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			const burst = 100
			sent := make(chan error, 1)
			go func() {
				var batch []byte
				for i := range b.N {
					batch = append(batch, message(c.topic, make([]byte, c.size), uint32(i))...)
					if len(batch) < 64<<10 && i+1 < b.N && i%burst != 0 {
						continue
					}
					if _, err := conn.Write(batch); err != nil {
						sent <- err
						return
					}
					batch = batch[:0]
				}
				sent <- nil
			}()
			for i := range b.N {
				if e := <-events; e.Kind != KindNotification || e.Notification.Counter != uint32(i) {
					b.Fatalf("event %d is %+v", i, e)
				}
			}
			if err := <-sent; err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(3*b.N)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}

// BenchmarkLatency measures the time from the publisher's write of a sequence
// notification to its receipt from the channel.
func BenchmarkLatency(b *testing.B) {
	conn, events := sender(b)
	body := append(slices.Clone(hash32), 'C')
	var took []time.Duration
	var i uint32
	for b.Loop() {
		start := time.Now()
		if _, err := conn.Write(message(TopicSequence, body, i)); err != nil {
			b.Fatal(err)
		}
		if e := <-events; e.Kind != KindNotification {
			b.Fatalf("event %+v", e)
		}
		took = append(took, time.Since(start))
		i++
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "p99-µs")
}
