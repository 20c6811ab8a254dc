package submit

import (
	"testing"

	"github.com/outrider-project/outrider/bob/relay/relaytest"
)

// TestCatchUp brings a relay 2,016 headers forward, across a change of the target.
func TestCatchUp(t *testing.T) {
	w := newWorld(t, 1000, "a catch-up of 2,016 headers on a chain")
	w.mine(t, w.genesis, relaytest.Epoch)
	first := w.open(t)
	sum := w.catchUp(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	perHeader := float64(sum.Gas) / relaytest.Epoch
	t.Logf("%d transactions, %d headers, %.0f gas a header, %v wei", sum.Transactions, sum.Headers, perHeader, sum.Cost)
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
