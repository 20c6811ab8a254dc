package sidecar

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The part falls while goroutines wait, to its least, and rises again for work that wants
// more, and for no other.
func TestElastic(t *testing.T) {
	var least atomic.Int64
	least.Store(10)
	e := newElastic(&least)
	steps := func(n int, waited float64, wanted bool) int64 {
		for range n {
			e.wanted.Store(wanted)
			e.step(waited)
		}
		return e.part.Load()
	}
	if got := steps(5, 0.5e-3, true); got != 100 {
		t.Errorf("while nobody waits the part is %d", got)
	}
	if got := steps(2, 20e-3, true); got >= 100 || got < 50 {
		t.Errorf("soon after others wait it is %d", got)
	}
	if got := steps(50, 20e-3, true); got != 10 {
		t.Errorf("while they wait it is %d", got)
	}
	if got := steps(50, 0, false); got != 10 {
		t.Errorf("for work that wants no more it is %d", got)
	}
	if got := steps(4, 0, true); got != 30 {
		t.Errorf("behind that it is %d", got)
	}
	if got := steps(50, 0, true); got != 100 {
		t.Errorf("in the end it is %d", got)
	}
	least.Store(100)
	if got := steps(50, 1, true); got != 100 {
		t.Errorf("where nothing is taken it is %d", got)
	}
}

// A budget gets that part of its share, and says that it wants more.
func TestElasticBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var share, least atomic.Int64
		share.Store(50)
		b := budget{percent: &share, elastic: newElastic(&least)}
		spent := func(d time.Duration) time.Duration {
			var sum time.Duration
			for start := time.Now(); time.Since(start) < d; {
				if err := b.wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				const piece = 10 * time.Millisecond
				time.Sleep(piece)
				b.spend(piece)
				sum += piece
			}
			return sum
		}
		for _, tt := range []struct{ part, want int64 }{{100, 50}, {20, 10}, {0, 1}} {
			b.elastic.part.Store(tt.part)
			b.elastic.wanted.Store(false)
			spent(5 * time.Second) // what was kept
			if got := 100 * spent(100*time.Second) / (100 * time.Second); got < time.Duration(tt.want) || got > time.Duration(tt.want)+1 {
				t.Errorf("a part of %d of its share is %d %% of a core", tt.part, got)
			}
			if !b.elastic.wanted.Load() {
				t.Error("it does not want more")
			}
		}
	})
}

// The runtime tells how long goroutines wait for a processor.
func TestWaits(t *testing.T) {
	var w waits
	w.slowest()
	ready := make(chan struct{})
	for range 1000 {
		go func() { ready <- struct{}{} }()
		<-ready
	}
	if got := w.slowest(); got <= 0 || got > 1 {
		t.Errorf("the slowest of 1000 goroutines waited for %v s", got)
	}
	if len(w.before) == 0 {
		t.Error("nothing is remembered")
	}
}
