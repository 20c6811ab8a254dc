package submit

import (
	"context"
	"testing"
	"time"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/relay/planner"
	"github.com/outrider-project/outrider/bob/relay/relaytest"
)

// TestFaults does harm to 10,000 exchanges with the nodes while headers and reorganisations
// come: the relay ends up in step, nothing was sent twice, no header was told twice for
// want of an answer, and no transaction failed. The relay's period begins among the headers.
func TestFaults(t *testing.T) {
	const genesis = 1900
	w := newWorld(t, genesis, "that faults of nodes make nothing be sent twice")
	rng, harms := seeded(t)
	f := newFront(t, w.URL, randomHarm(harms, 40))
	urls := []string{f.URL + "/0", f.URL + "/1", f.URL + "/2", f.URL + "/3", f.URL + "/4", f.URL + "/5"}
	w.options.Chain = w.pool(t, urls...)
	w.options.Log = nil
	w.options.Poll = 2 * time.Millisecond
	s := w.open(t)
	want := 10_000
	if testing.Short() {
		want = 1000
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	ended, end := context.WithCancel(ctx)
	end()
	chain := []header.Header{w.genesis}
	rounds := 0
	for ; f.faults() < want; rounds++ {
		on := len(chain) - 1
		if rng.IntN(4) == 0 {
			// A reorganisation. Below the period's first header the relay can follow none
			// at this difficulty (TestWedge).
			period := relaytest.Epoch - genesis
			on = max(0, min(on, period), on-rng.IntN(3))
		}
		more := w.bitcoin.Mine(t, chain[on], len(chain)-on+rng.IntN(3))
		chain = append(chain[:on+1], more...)
		if _, err := w.tree.Add(more, time.Unix(1_900_000_000, 0)); err != nil {
			t.Fatal(err)
		}
		// As CatchUp, without its pauses; and a pool that has not yet learnt to leave nodes
		// alone that fail so often.
		pool := w.pool(t, urls...)
		s.o.Chain = pool
		for done := false; !done; {
			o, err := s.Step(ctx)
			if err != nil && (Fatal(err) || ctx.Err() != nil || o != nil && o.Situation != nil && o.Situation.Verdict == planner.Wedged) {
				t.Fatalf("after %d faults: %v", f.faults(), err)
			}
			if done = err == nil && o.Done; !done && len(s.journal.pending()) > 0 && rng.IntN(3) == 0 {
				w.Mine(t)
			}
		}
		pool.Run(ended) // which closes its connections
		if !w.inStep(t) {
			t.Fatalf("after %d faults the relay is not in step, and the submitter says so", f.faults())
		}
	}
	t.Logf("%d faults in %d rounds: %v", f.faults(), rounds, f.done)
	f.checkSent(t, w.options.Limits)
	w.checkChain(t, s)
}
