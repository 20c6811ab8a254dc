package zmq

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// TestFaults publishes the recording again and again through a publisher and a
// network that do everything wrong, by OUTRIDER_SEED or a random seed. What
// comes out must be what was published; each break in a topic's counters must
// have a gap before it, and each gap be one; and when the faults end, all must
// go on as if nothing had been.
func TestFaults(t *testing.T) {
	recorded := recording(t)
	rounds := 6
	if testing.Short() {
		rounds = 1
	}
	seed := rand.Uint64()
	if s := os.Getenv("OUTRIDER_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("OUTRIDER_SEED=%d", seed)
	p := nodetest.NewPublisher(t, nodetest.PublisherOptions{HighWater: 200})
	network := nodetest.NewFaults(t, strings.TrimPrefix(p.Address(), "tcp://"), seed)
	w := watch(t, Options{
		Address: "tcp://" + network.Addr(), Topics: Topics(), HandshakeTimeout: 200 * time.Millisecond,
		PingInterval: 20 * time.Millisecond, PingTimeout: 200 * time.Millisecond,
		ReconnectDelay: time.Millisecond, MaxReconnectDelay: 4 * time.Millisecond,
	})
	a := &auditor{t: t, next: make(map[string]uint32), published: make(map[string]bool)}
	for _, m := range recorded {
		a.published[key(m.Topic, m.Counter, m.Body)] = true
	}
	var faults []nodetest.ZMQFault
	for range 8 { // a silence costs the most time
		faults = append(faults, nodetest.AllZMQFaults()[:nodetest.ZMQSilence]...)
	}
	p.Misbehave(seed, 10, append(faults, nodetest.ZMQSilence)...)
	network.Each(func(rng nodetest.Rand) nodetest.Fault {
		// ZMTP has no checksum, TCP has: nothing is corrupted.
		kinds := []nodetest.FaultKind{nodetest.None, nodetest.None, nodetest.Refuse, nodetest.Cut, nodetest.Cut, nodetest.Dribble}
		return nodetest.Fault{Kind: kinds[rng.IntN(len(kinds))], Up: rng.IntN(3) == 0, After: rng.IntN(20_000)}
	})
	for range rounds {
		for i, m := range recorded {
			p.Send(m)
			if i%10 == 0 { // now and then let it catch up
				a.drain(w)
			}
		}
	}
	p.Misbehave(0, 0)
	network.Each(nil)
	network.CutAll()
	for tries := 1; !a.replay(w, p, recorded); tries++ {
		if tries == 5 {
			t.Fatal("connections are lost after the faults have ended")
		}
	}
	for _, f := range nodetest.AllZMQFaults() {
		if p.Count(f) == 0 && f != nodetest.ZMQSilence {
			t.Errorf("no fault %s", f)
		}
	}
	t.Logf("%d notifications, %d gaps, %d connections lost, %d attempts failed",
		a.notifications, a.gaps, a.lost, a.failed)
	var heap runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&heap)
	if heap.HeapAlloc > 64<<20 {
		t.Errorf("%d bytes in use", heap.HeapAlloc)
	}
}

// A marker is the body of a transaction that nobody publishes otherwise.
const marker = "marker"

// key names a notification. The body of a transaction or block can be cut short
// unnoticed, so that only their first byte is part of it.
func key(topic string, counter uint32, body []byte) string {
	if topic == TopicRawTx || topic == TopicRawBlock {
		body = body[:min(1, len(body))]
	}
	return fmt.Sprintf("%s %d %x", topic, counter, body)
}

// An auditor checks events against what was published.
type auditor struct {
	t         *testing.T
	published map[string]bool
	next      map[string]uint32 // topic to the counter that continues
	gap       *Gap              // told, its notification has not come yet
	up        bool

	notifications, gaps, lost, failed int
}

// replay waits for a connection that works and publishes the recording once
// more. It reports whether all of it came in order; if not, a connection was
// lost.
func (a *auditor) replay(w *watcher, p *nodetest.Publisher, recorded []nodetest.ZMQMessage) bool {
	for n := (Notification{}); string(n.Body) != marker; {
		p.Publish(TopicRawTx, []byte(marker))
		select {
		case e := <-w.events:
			a.take(e)
			n = e.Notification
		case <-time.After(10 * time.Millisecond):
		}
	}
	for _, m := range recorded {
		p.Send(m)
		for came := false; !came; {
			e := w.next(a.t)
			a.take(e)
			if e.Kind == KindLost {
				return false
			}
			n := e.Notification
			came = n.Topic == m.Topic && n.Counter == m.Counter && bytes.Equal(n.Body, m.Body)
			if e.Kind == KindNotification && !came && string(n.Body) != marker {
				a.t.Fatalf("%s %d came in place of %s %d", n.Topic, n.Counter, m.Topic, m.Counter)
			}
		}
	}
	return true
}

// drain takes events until there is none for a moment.
func (a *auditor) drain(w *watcher) {
	moment := time.NewTimer(time.Millisecond)
	defer moment.Stop()
	for {
		select {
		case e := <-w.events:
			a.take(e)
		case <-moment.C:
			return
		}
	}
}

func (a *auditor) take(e Event) {
	a.t.Helper()
	if a.gap != nil && e.Kind != KindNotification {
		a.t.Fatalf("%s after gap %+v", e.Kind, *a.gap)
	}
	switch e.Kind {
	case KindConnected, KindFailed:
		if a.up {
			a.t.Fatalf("%s while connected", e.Kind)
		}
		a.up = e.Kind == KindConnected
		if !a.up {
			a.failed++
		}
	case KindLost:
		if !a.up {
			a.t.Fatal("lost while not connected")
		}
		a.up = false
		a.lost++
	case KindGap:
		a.gap = &e.Gap
		a.gaps++
	case KindNotification:
		a.notification(e.Notification)
	}
}

func (a *auditor) notification(n Notification) {
	a.t.Helper()
	if !a.up {
		a.t.Fatalf("notification %s %d while not connected", n.Topic, n.Counter)
	}
	next, known := a.next[n.Topic]
	a.next[n.Topic] = n.Counter + 1
	switch broken := known && n.Counter != next; {
	case broken != (a.gap != nil):
		a.t.Fatalf("%s: counter %d after %d, gap %+v", n.Topic, n.Counter, next-1, a.gap)
	case broken && *a.gap != (Gap{n.Topic, next, n.Counter}):
		a.t.Fatalf("%s: counter %d after %d, gap %+v", n.Topic, n.Counter, next-1, *a.gap)
	}
	a.gap = nil
	a.notifications++
	if string(n.Body) != marker && !a.published[key(n.Topic, n.Counter, n.Body)] && len(n.Body) > 0 {
		a.t.Fatalf("notification %+v was not published", n)
	}
}
