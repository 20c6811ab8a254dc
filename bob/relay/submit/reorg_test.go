package submit

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/relay/planner"
	"github.com/outrider-project/outrider/bob/relay/relaytest"
)

// again returns a world on the same chains, with another relay that begins with a header,
// another account and the Bitcoin headers up to that one.
func (w *world) again(t testing.TB, genesis header.Header) *world {
	t.Helper()
	n := *w
	n.genesis = genesis
	n.relay = w.DeployFull(t, genesis[:], uint64(w.bitcoin.HeightOf(genesis)), w.bitcoin.Start.Hash())
	n.account = newTestSigner(t)
	w.Fund(t, n.account.Address())
	n.tree = w.bitcoin.Tree(t, w.bitcoin.Chain(t, genesis))
	n.options.Tree, n.options.Signer, n.options.Target.Relay = n.tree, n.account, n.relay
	n.options.Journal = filepath.Join(t.TempDir(), "journal")
	return &n
}

// reorganise mines n headers on one and catches up, then n and more on the same one, and
// catches up again.
func (w *world) reorganise(t *testing.T, s *Submitter, fork header.Header, n, more int) (tip header.Header) {
	t.Helper()
	old := w.mine(t, fork, n)
	w.catchUpHere(t, s)
	tip = w.mine(t, fork, n+more)
	if best := w.tree.Tip().Hash; best != tip.Hash() || best == old.Hash() {
		t.Fatal("the new branch did not win")
	}
	w.catchUpHere(t, s)
	return tip
}

// TestReorganisations has Bitcoin give up 1 to 20 blocks for a branch that goes over a change
// of the target, and then as many in the next period.
func TestReorganisations(t *testing.T) {
	const lastOfPeriod = relaytest.Epoch - 1 // above the start
	w := newWorld(t, lastOfPeriod-25, "that a relay follows reorganisations across a change of the target")
	w.options.Log = nil
	stop := w.MineAlways(t, 5*time.Millisecond)
	defer stop()
	for depth := 1; depth <= 20; depth++ {
		if testing.Short() && depth != 1 && depth != 6 && depth != 20 {
			continue
		}
		n := w.again(t, w.genesis)
		s := n.open(t)
		// The old branch ends with the period, the new one two headers later.
		fork := n.mine(t, n.genesis, 25-depth)
		tip := n.reorganise(t, s, fork, depth, 2)
		if got := n.bitcoin.HeightOf(tip); got != startHeight+relaytest.Epoch+1 {
			t.Fatalf("depth %d: the branch ends at %d", depth, got)
		}
		n.reorganise(t, s, tip, depth, 1)
		n.checkChain(t, s)
	}
}

// TestWedge has Bitcoin reorganise where the relay cannot follow: both branches are in the
// next period, and difficulties below 1 are 0 to it. That is said, nothing is sent, and when
// Bitcoin comes back the relay follows.
func TestWedge(t *testing.T) {
	w := newWorld(t, relaytest.Epoch-3, "that a wedge of a relay is seen before anything is sent")
	s := w.open(t)
	old := w.mine(t, w.genesis, 4) // two of the next period
	w.catchUp(t, s)
	sent := len(w.SentBy(t, w.account.Address()))
	w.mine(t, w.genesis, 5)
	for range 3 {
		o, err := s.Step(t.Context())
		refusal, ok := errors.AsType[*Refusal](err)
		if !ok || refusal.What != "wedged" || refusal.Fatal || o.Situation.Verdict != planner.Wedged || o.Sent != (common.Hash{}) {
			t.Fatalf("%+v, %v", o, err)
		}
		w.Mine(t)
	}
	if now := len(w.SentBy(t, w.account.Address())); now != sent {
		t.Errorf("%d transactions were sent", now-sent)
	}
	w.mine(t, old, 3)
	w.catchUp(t, s)
	w.checkChain(t, s)
}

// TestOwnReorganisation takes blocks with transactions out of the relay's own chain: they
// are sent again as they were, and nothing else.
func TestOwnReorganisation(t *testing.T) {
	w := newWorld(t, 20, "that a transaction whose block is gone is sent again, and no other")
	f := newFront(t, w.URL, nil)
	w.options.Chain = w.pool(t, f.URL)
	s := w.open(t)
	step := func(what string) *Outcome {
		t.Helper()
		o, err := s.Step(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return o
	}
	snapshot := w.Snapshot(t)
	w.mine(t, w.genesis, 1)
	first := step("a header").Sent
	w.Mine(t)
	if o := step("it is mined"); len(o.Mined) != 1 || o.Mined[0].Hash != first || !o.Done {
		t.Fatalf("%+v", o)
	}
	w.mine(t, w.tree.Tip().Header, 1)
	second := step("another").Sent
	w.Mine(t)
	if o := step("it is mined"); len(o.Mined) != 1 || o.Mined[0].Hash != second {
		t.Fatalf("%+v", o)
	}
	spent := s.Spent()

	w.Revert(t, snapshot)
	w.Mine(t)
	w.Mine(t)
	w.Mine(t)
	if o := step("both are gone"); o.Sent != first || !o.Again || len(o.Mined) != 0 {
		t.Fatalf("%+v", o)
	}
	if s.Spent().Cmp(spent) <= 0 {
		t.Errorf("%v wei are spent with two on their way, %v were with both mined", s.Spent(), spent)
	}
	w.Mine(t)
	if o := step("the first is mined again"); len(o.Mined) != 1 || o.Sent != second || !o.Again {
		t.Fatalf("%+v", o)
	}
	w.Mine(t)
	if o := step("the second is mined again"); len(o.Mined) != 1 || !o.Done || !w.inStep(t) {
		t.Fatalf("%+v", o)
	}
	f.checkSent(t, w.options.Limits)
	if len(f.sent) != 2 {
		t.Errorf("%d different transactions were sent", len(f.sent))
	}
	w.checkChain(t, s)
}
