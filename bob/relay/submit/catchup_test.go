package submit

import (
	"testing"

	"github.com/outrider-project/outrider/bob/relay/relaytest"
)

// TestCatchUp brings a relay 2,016 headers forward, across a change of the target.
func TestCatchUp(t *testing.T) {
	w := newWorld(t, 1000, "a catch-up of 2,016 headers on a chain")
	w.mine(t, w.genesis, relaytest.Epoch)
	sum := w.catchUp(t, w.open(t))
	perHeader := float64(sum.Gas) / relaytest.Epoch
	t.Logf("%d transactions, %d headers, %.0f gas a header, %v wei", sum.Transactions, sum.Headers, perHeader, sum.Cost)
	if sum.Transactions > 6 || sum.Failed != 0 || sum.Headers != relaytest.Epoch || perHeader > 34_000 {
		t.Errorf("%d transactions (%d failed), %d headers, %.0f gas a header; want at most 6 and 34,000", sum.Transactions, sum.Failed, sum.Headers, perHeader)
	}
}
