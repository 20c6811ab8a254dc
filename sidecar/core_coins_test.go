package sidecar_test

import (
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sidecar/web"
)

// TestCoinsBesideCore rides beside a live bitcoind in full mode, through wallet traffic
// and reorganisations. Its answers about every coin of every block, the mempool's
// among them, and the MuHash of all coins, are the node's.
func TestCoinsBesideCore(t *testing.T) {
	program := nodetest.RealCoreProgram(t, "that a bitcoind's coins, and their MuHash, are ours after every block")
	core := nodetest.NewRealCore(t, program, "-rest=1", "-coinstatsindex=1", "-zmqpubsequence="+nodetest.FreeZMQ(t))
	other := nodetest.NewRealCore(t, program)
	core.Connect(other)
	core.Mine(110)
	n, err := node.NewBitcoind(node.BitcoindConfig{Address: core.Addr(), CookieFile: core.CookieFile()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	rival, err := node.NewBitcoind(node.BitcoindConfig{Address: other.Addr(), CookieFile: other.CookieFile()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rival.Close)
	first := uint32(0)
	cfg := sidecar.DefaultConfig()
	cfg.Datadir, cfg.HTTP, cfg.Start, cfg.Nice = t.TempDir(), "127.0.0.1:0", &first, 0
	cfg.Node = sidecar.NodeConfig{Kind: sidecar.KindBitcoind, Address: core.Addr(), Cookie: core.CookieFile(), BlocksDir: core.BlocksDir()}
	cfg.UTXOMode, cfg.CompareEvery = sidecar.UTXOFull, 100*time.Millisecond
	s, _ := rideWith(t, cfg, newReports())
	coins := newCoinCheck(s, n)
	for _, hash := range core.Chain()[1:] {
		coins.addBlock(t, hash)
	}
	coins.checkAll(t)
	for round := range 20 {
		for _, kind := range []string{"legacy", "p2sh-segwit", "bech32", "bech32m"} {
			core.Send(kind, 0.1)
		}
		coins.checkMempool(t)
		last := core.Mine(1)[0]
		coins.checkBlock(t, last)
		if round%5 == 4 {
			awaitTip(t, rival, last, func() {})
			core.Disconnect(other)
			core.Mine(1)
			tip := other.Mine(3)[2]
			awaitTip(t, n, tip, func() { core.Connect(other) })
			for _, hash := range core.Chain()[110:] {
				coins.addBlock(t, hash)
			}
			coins.checkAll(t)
			awaitSameCoins(t, s, tip)
		}
	}
	coins.checkAll(t)
	coins.tell(t)
}

// awaitTip waits until the node is at a block, for which it does help now and then:
// a connection may not be made while the last one is being closed.
func awaitTip(t *testing.T, n node.Node, hash chainhash.Hash, help func()) {
	t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		help()
		tip, err := n.Tip(t.Context())
		if err == nil && tip.Hash == hash {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the node is at %v (%v), not at %v", tip, err, hash)
		}
	}
}

// awaitSameCoins waits until the MuHash as of a block was compared, which must be the
// node's.
func awaitSameCoins(t *testing.T, s *sidecar.Sidecar, hash chainhash.Hash) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		c := s.Status().UTXO.Compared
		if c != nil && c.Outcome != web.Agree {
			t.Fatalf("the coins differ: %+v", c)
		}
		if c != nil && c.Hash == hash.String() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the coins were compared last as %+v, not as of %v", c, hash)
		}
	}
}
