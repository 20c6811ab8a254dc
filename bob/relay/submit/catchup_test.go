package submit

import (
	"context"
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/outrider-project/outrider/bob/relay/relaytest"
)

// TestCatchUp brings a relay 2,016 headers forward, across a change of the target, and fewer
// than 60 seconds by the clock of its own chain, which goes on by two with each block: after
// each step, and for each two seconds that a step took.
func TestCatchUp(t *testing.T) {
	w := newWorld(t, 1000, "a catch-up of 2,016 headers on a chain")
	w.mine(t, w.genesis, relaytest.Epoch)
	first := w.open(t)
	sum := &Summary{Cost: new(big.Int)}
	began, longest := w.Time(t), time.Duration(0)
	for done := false; !done; {
		start := time.Now()
		o, err := first.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		step := time.Since(start)
		longest = max(longest, step)
		sum.add(o)
		if done = o.Done; !done {
			for range 1 + step/relaytest.BlockTime {
				w.Mine(t)
			}
		}
	}
	took := time.Duration(w.Time(t)-began) * time.Second
	w.checkInStep(t)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	perHeader := float64(sum.Gas) / relaytest.Epoch
	t.Logf("%d transactions, %d headers, %.0f gas a header, %v wei, %v of the chain, at most %v for a step",
		sum.Transactions, sum.Headers, perHeader, sum.Cost, took, longest)
	if took > time.Minute {
		t.Errorf("it took %v of the chain, want at most a minute", took)
	}
	if sum.Transactions > 6 || sum.Failed != 0 || sum.Headers != relaytest.Epoch || perHeader > 34_000 {
		t.Errorf("%d transactions (%d failed), %d headers, %.0f gas a header; want at most 6 and 34,000", sum.Transactions, sum.Failed, sum.Headers, perHeader)
	}
	// What one more header takes is what was planned.
	w.mine(t, w.tree.Tip().Header, 1)
	s := w.open(t)
	o, err := s.Step(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	planned := o.Situation.Plan.Gas
	w.Mine(t)
	if o, err = s.Step(t.Context()); err != nil || len(o.Mined) != 1 {
		t.Fatalf("%+v, %v", o, err)
	}
	if used := o.Mined[0].Gas; planned < used-used/200 || planned > used+used/200 {
		t.Errorf("%d gas were planned for a header, %d used", planned, used)
	}
}

// TestCatchUpInRealTime is TestCatchUp on a chain that makes a block every two seconds, with
// the pauses that a submitter makes by default.
func TestCatchUpInRealTime(t *testing.T) {
	if os.Getenv("OUTRIDER_CATCHUP_BULK") == "" {
		t.Skip("set OUTRIDER_CATCHUP_BULK=1 to catch up on a chain with a block every two seconds, which takes about 20: not checked here")
	}
	w := newWorld(t, 1000, "a catch-up of 2,016 headers on a chain, in real time")
	w.mine(t, w.genesis, relaytest.Epoch)
	w.options.Poll = 0
	s := w.open(t)
	stop := w.MineAlways(t, relaytest.BlockTime)
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	start := time.Now()
	sum, err := s.CatchUp(ctx)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	w.checkInStep(t)
	t.Logf("%d transactions, %v", sum.Transactions, took)
	if took > time.Minute || sum.Transactions > 6 || sum.Failed != 0 {
		t.Errorf("%d transactions (%d failed), %v; want at most 6, and a minute", sum.Transactions, sum.Failed, took)
	}
}
