package submit

import (
	"context"
	"log/slog"
	"math/big"
	"path/filepath"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/contract"
	"github.com/outrider-project/outrider/bob/relay/planner"
	"github.com/outrider-project/outrider/bob/relay/relaytest"
)

// startHeight is where the chains of these tests begin.
const startHeight = 10 * relaytest.Epoch

// A world is a Bitcoin chain, a relay on an anvil, and an account that may tell it.
type world struct {
	*relaytest.Anvil
	bitcoin *relaytest.Bitcoin
	tree    *headers.Tree
	genesis header.Header // of the relay
	relay   common.Address
	multi   common.Address
	account *testSigner
	options Options
}

// newWorld returns a world in which the relay knows the first of the Bitcoin chain's
// headers up to genesis, of which there are so many above the period's first.
func newWorld(t testing.TB, genesis int, unchecked string) *world {
	t.Helper()
	w := &world{Anvil: relaytest.NewAnvil(t, unchecked), bitcoin: relaytest.NewBitcoin(startHeight)}
	w.tree = w.bitcoin.Tree(t)
	w.genesis = w.bitcoin.Start
	if genesis > 0 {
		w.genesis = w.mine(t, w.genesis, genesis)
	}
	w.relay = w.DeployFull(t, w.genesis[:], uint64(startHeight+genesis), w.bitcoin.Start.Hash())
	w.multi = w.Deploy(t, contract.Multicall().Creation)
	w.account = newTestSigner(t)
	w.Fund(t, w.account.Address())
	w.options = Options{
		Chain: w.pool(t, w.URL), Tree: w.tree, Signer: w.account,
		Target:  planner.Target{Kind: relay.KindFull, Relay: w.relay, Multicall: w.multi, Costs: contract.Costs()},
		Limits:  Limits{ChainID: relaytest.ChainID, MaxFee: big.NewInt(1e9), DailySpend: big.NewInt(1e18)},
		Journal: filepath.Join(t.TempDir(), "journal"),
		Poll:    10 * time.Millisecond, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	return w
}

// mine extends the Bitcoin chain on a header, and returns the last one.
func (w *world) mine(t testing.TB, on header.Header, n int) header.Header {
	t.Helper()
	mined := w.bitcoin.Mine(t, on, n)
	relaytest.Extend(t, w.tree, mined)
	return mined[n-1]
}

// pool returns a pool of nodes.
func (w *world) pool(t testing.TB, urls ...string) *endpoint.Pool {
	t.Helper()
	o := endpoint.Options{Layer: "l2", ChainID: relaytest.ChainID, Timeout: 10 * time.Second}
	if len(urls) > 1 {
		o.Timeout = 300 * time.Millisecond
	}
	for i, url := range urls {
		o.Endpoints = append(o.Endpoints, endpoint.Endpoint{Name: string(rune('a' + i)), URL: url, Rate: 1e6, Calls: 64})
	}
	p, err := endpoint.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// open returns a submitter with the world's options.
func (w *world) open(t testing.TB) *Submitter {
	t.Helper()
	s, err := Open(w.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// best returns the relay's best header, and whether it is Bitcoin's.
func (w *world) inStep(t testing.TB) bool {
	t.Helper()
	var best common.Hash
	w.Must(t, &best, "eth_getStorageAt", w.relay, "0x1", "latest")
	return best == common.Hash(w.tree.Tip().Hash)
}

// catchUp catches up while blocks are made.
func (w *world) catchUp(t testing.TB, s *Submitter) *Summary {
	t.Helper()
	stop := w.MineAlways(t, 20*time.Millisecond)
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	sum, err := s.CatchUp(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !w.inStep(t) {
		t.Fatal("the relay is not in step")
	}
	return sum
}
