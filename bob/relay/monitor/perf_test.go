package monitor

import (
	"math"
	"sync"
	"testing"

	"github.com/outrider-project/outrider/perfcore"
)

// What is known all the time is never told to be unknown, whenever it is read.
func TestKnownIsNotUnknownForAMoment(t *testing.T) {
	in := newInstruments(new(perfcore.Registry))
	known := &State{
		Bitcoin: Value[Block]{Known: true, V: new(Block)}, Relay: Value[Reading]{Known: true, V: &Reading{Full: new(FullReading)}},
		Position: Value[Position]{Known: true, V: new(Position)},
	}
	gauges := map[string]*perfcore.Gauge{
		"best": in.best, "lag": in.lagSeconds, "fork": in.forkDepth, "wedged": in.wedged, "outages": in.outages[OutageKinds[0]],
	}
	in.record(known, 0)
	started, done := make(chan struct{}), make(chan struct{})
	begin := sync.OnceFunc(func() { close(started) })
	unknown := make(map[string]int)
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			for name, g := range gauges {
				if math.IsNaN(g.Value()) {
					unknown[name]++
				}
			}
			begin()
			select {
			case <-done:
				return
			default:
			}
		}
	})
	<-started
	for range 5_000 {
		in.record(known, 0)
	}
	close(done)
	if reading.Wait(); len(unknown) > 0 {
		t.Errorf("they were told to be unknown so often: %v", unknown)
	}
	in.record(new(State), 0)
	for name, g := range gauges {
		if !math.IsNaN(g.Value()) {
			t.Errorf("%s is told, and not known any more", name)
		}
	}
}
