package demo

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// findBtcd returns a real btcd: $BTCD, or one that it builds.
func findBtcd(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("not checked with -short: anything that takes a real btcd")
	}
	path, err := FindBtcd(t.Context(), os.Getenv("BTCD"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// startNetwork starts a network that stops with the test, and checks then that
// nothing of it is left.
func startNetwork(t *testing.T, cfg Config) *Network {
	t.Helper()
	cfg.Btcd, cfg.Dir = findBtcd(t), t.TempDir()
	n, err := StartNetwork(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Error(err)
		}
		for i, node := range n.Nodes {
			checkGone(t, node)
			if t.Failed() {
				t.Logf("the log of node %d ends with\n%s", i, tail(filepath.Join(node.Dir, "logs", "regtest", "btcd.log")))
			}
		}
	})
	return n
}

// checkGone checks that a node has ended and listens nowhere.
func checkGone(t *testing.T, node *Node) {
	t.Helper()
	if node.Running() {
		t.Errorf("process %d is running", node.PID())
	}
	for _, address := range []string{node.RPC.Address, node.Peer} {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			t.Errorf("somebody listens at %s", address)
		}
	}
}

func bootstrap(t *testing.T, n *Network) {
	t.Helper()
	if err := n.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func step(t *testing.T, n *Network) *Block {
	t.Helper()
	b, err := n.Step(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestNetwork runs traffic and reorganisations through three nodes.
func TestNetwork(t *testing.T) {
	n := startNetwork(t, Config{Seed: 1})
	bootstrap(t, n)
	kinds := make(map[Kind]int)
	for range 10 {
		for _, tx := range step(t, n).Txs {
			for _, c := range tx.Spent {
				kinds[c.Kind]++
			}
		}
	}
	for _, kind := range Kinds() {
		if kinds[kind] == 0 {
			t.Errorf("no %v coin was spent", kind)
		}
	}
	if err := n.SendTransactions(t.Context(), 20); err != nil {
		t.Fatal(err)
	}
	if err := n.waitRelayed(t.Context(), n.work.pending); err != nil {
		t.Error(err)
	}
	for _, depth := range []uint32{1, 6, 20} {
		old := n.Tip()
		r, err := n.Reorg(t.Context(), depth)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Disconnected) != int(depth) || len(r.Connected) != int(depth)+1 || r.Disconnected[0] != old ||
			r.Connected[depth] != n.Tip() || r.Fork != n.Ancestor(depth+1) {
			t.Errorf("the branches of a reorganisation of %d blocks are others", depth)
		}
		checkTip(t, n)
		step(t, n)
	}
	if n.Rejected() != 0 {
		t.Errorf("the nodes refused %d transactions", n.Rejected())
	}
	if b, err := n.BuildBlock(t.Context(), 50, true); err != nil || len(b.Txs) != 50 {
		t.Errorf("a block of 50 transactions: %v", err)
	} else if err := errors.Join(n.Submit(t.Context(), 1, b), n.Sync(t.Context())); err != nil {
		t.Error(err)
	}
	checkTip(t, n)
}

// checkTip checks that each node has the network's tip, and the block below it.
func checkTip(t *testing.T, n *Network) {
	t.Helper()
	for i, node := range n.Nodes {
		if tip, err := node.BestBlock(t.Context()); err != nil || tip != n.Tip().Tip {
			t.Errorf("node %d is at %v, %v", i, tip, err)
		}
		below := n.Ancestor(1)
		if hash, err := node.BlockHash(t.Context(), below.Height); err != nil || hash != below.Hash {
			t.Errorf("node %d has block %v at %d, %v", i, hash, below.Height, err)
		}
	}
}

// TestSubmitInvalid lets a real node refuse every kind of invalid block.
func TestSubmitInvalid(t *testing.T) {
	n := startNetwork(t, Config{Seed: 2, Nodes: 2})
	bootstrap(t, n)
	for range 4 {
		step(t, n)
	}
	for i, kind := range InvalidKinds() {
		t.Run(kind.String(), func(t *testing.T) {
			depth, above := uint32(i%3), uint32(0)
			if kind.Stored() {
				above = depth / 2
			}
			br, err := n.SubmitInvalid(t.Context(), 0, kind, depth, above)
			if err != nil {
				t.Fatal(err)
			}
			tips, err := n.Nodes[0].ChainTips(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			last := br.Blocks[len(br.Blocks)-1]
			invalid := slices.ContainsFunc(tips, func(tip ChainTip) bool {
				return tip.Tip == last.Tip && tip.BranchLen == depth+1 && tip.Status == "invalid"
			})
			if invalid != kind.Stored() {
				t.Errorf("getchaintips: %v", tips)
			}
			checkTip(t, n)
		})
	}
	step(t, n)
	checkTip(t, n)
}

// TestKilledNode kills a node, goes on without it, and restarts it.
func TestKilledNode(t *testing.T) {
	n := startNetwork(t, Config{Seed: 3, Nodes: 2})
	bootstrap(t, n)
	endpoint := n.Nodes[0].RPC
	n.Nodes[0].Kill()
	checkGone(t, n.Nodes[0])
	for range 3 {
		step(t, n)
	}
	if err := n.Restart(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if n.Nodes[0].RPC != endpoint {
		t.Error("the node has another endpoint")
	}
	checkTip(t, n)
	for range 3 {
		step(t, n)
	}
	checkTip(t, n)
	if n.Rejected() != 0 {
		t.Errorf("the nodes refused %d transactions", n.Rejected())
	}
}

// TestNodeGoesBack takes a node's chain back without a new one: by one block, and
// by a restart, at which btcd forgets a regtest chain.
func TestNodeGoesBack(t *testing.T) {
	n := startNetwork(t, Config{Seed: 4, Nodes: 1})
	bootstrap(t, n)
	step(t, n)
	node, below := n.Nodes[0], n.Ancestor(1)
	if err := node.Invalidate(t.Context(), n.Tip().Hash); err != nil {
		t.Fatal(err)
	}
	if tip, err := node.BestBlock(t.Context()); err != nil || tip != below.Tip {
		t.Errorf("without its tip, the node is at %v, %v", tip, err)
	}
	if err := node.Reconsider(t.Context(), n.Tip().Hash); err != nil {
		t.Fatal(err)
	}
	if err := n.Sync(t.Context()); err != nil {
		t.Error(err)
	}
	if err := node.Restart(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if tip, err := node.BestBlock(t.Context()); err != nil || tip != genesis().Tip {
		t.Errorf("after a restart, the node is at %v, %v", tip, err)
	}
}

// TestNetworkSpend spends chosen coins: a chain of two, and a replacement of both.
func TestNetworkSpend(t *testing.T) {
	n := startNetwork(t, Config{Seed: 7, Nodes: 1})
	bootstrap(t, n)
	coins := n.Coins()[:1]
	spend := func(coins []Coin, value int64) *Tx {
		t.Helper()
		tx, err := n.Spend(t.Context(), 0, coins, []Payment{{Kind: P2TRKey, Value: value}}, SpendOptions{Sequence: replaceable})
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	parent := spend(coins, coins[0].Value-2_000)
	child := spend(parent.Created, coins[0].Value-4_000)
	if want := []*Tx{parent, child}; !slices.Equal(n.work.pending, want) {
		t.Errorf("%d pending transactions", len(n.work.pending))
	}
	other := spend(coins, coins[0].Value-20_000)
	for _, got := range [][]chainhash.Hash{n.Pending(), mempool(t, n.Nodes[0])} {
		if !slices.Equal(got, []chainhash.Hash{other.Hash}) {
			t.Errorf("pending are %v, not %v", got, other.Hash)
		}
	}
	if _, err := n.Spend(t.Context(), 0, coins, []Payment{{Value: coins[0].Value}}, SpendOptions{}); err == nil {
		t.Error("the node took a transaction without a fee")
	}
	if _, err := n.mine(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if ids := mempool(t, n.Nodes[0]); len(ids) != 0 {
		t.Errorf("%v are not mined", ids)
	}
}

func mempool(t *testing.T, node *Node) []chainhash.Hash {
	t.Helper()
	ids, err := node.Mempool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// TestRefused checks that what a node refuses is forgotten, with its children.
func TestRefused(t *testing.T) {
	work := bootstrapped(t, 1, func(*Block) {})
	coins := work.spendable()
	spend := func(coins []Coin) *Tx {
		t.Helper()
		tx, err := work.spend(coins, 1, SpendOptions{})
		if err != nil {
			t.Fatal(err)
		}
		work.pending = append(work.pending, tx)
		return tx
	}
	taken, refused := spend(coins[:1]), spend(coins[1:2])
	child := spend(refused.Created)
	node := &Node{client: fakeNode(t, say(
		`[{"id":0,"result":""},{"id":1,"result":null,"error":{"code":-26,"message":"no"}},{"id":2,"result":""}]`))}
	n := &Network{Nodes: []*Node{node}, work: work, log: slog.New(slog.DiscardHandler)}
	if err := n.send(t.Context(), []*Tx{taken, refused, child}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(work.pending, []*Tx{taken}) || n.Rejected() != 1 {
		t.Errorf("%d are pending, %d were refused", len(work.pending), n.Rejected())
	}
}

// TestRun runs fast traffic for some blocks.
func TestRun(t *testing.T) {
	n := startNetwork(t, Config{Seed: 5, Nodes: 2, Transactions: 8})
	bootstrap(t, n)
	start := n.Tip().Height
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx, Pace{Interval: 250 * time.Millisecond, ReorgEvery: 3}) }()
	for {
		tip, err := n.Nodes[0].BestBlock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if tip.Height >= start+10 {
			break
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n.Rejected() != 0 {
		t.Errorf("the nodes refused %d transactions", n.Rejected())
	}
	tips, err := n.Nodes[0].ChainTips(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(tips) < 2 {
		t.Error("there was no reorganisation")
	}
}

func TestSecretsStayPrivate(t *testing.T) {
	n := startNetwork(t, Config{Seed: 6, Nodes: 1})
	node := n.Nodes[0]
	for _, arg := range node.process.cmd.Args {
		if strings.Contains(arg, node.RPC.User) || strings.Contains(arg, node.RPC.Password) {
			t.Error("the credentials are on the command line")
		}
	}
	for _, name := range []string{"btcd.conf", "rpc.key"} {
		info, err := os.Stat(filepath.Join(node.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

// TestAddressTaken starts a node where somebody listens already.
func TestAddressTaken(t *testing.T) {
	btcd := findBtcd(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	rpc, peer, err := freeAddresses()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []*Node{
		{RPC: Endpoint{Address: l.Addr().String()}, Peer: peer},
		{RPC: Endpoint{Address: rpc}, Peer: l.Addr().String()},
	} {
		made, err := newNode(NodeConfig{Btcd: btcd, Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		made.RPC.Address, made.Peer = n.RPC.Address, n.Peer
		if err := made.start(t.Context(), nil); !errors.Is(err, errAddressTaken) {
			t.Errorf("started at %s and %s: %v", n.RPC.Address, n.Peer, err)
		}
		if made.Running() {
			t.Error("the node runs")
			made.Kill()
		}
	}
}

func TestStartErrors(t *testing.T) {
	if _, err := StartNode(t.Context(), NodeConfig{Btcd: filepath.Join(t.TempDir(), "none"), Dir: t.TempDir()}); err == nil {
		t.Error("started a program that does not exist")
	}
	_, err := StartNode(t.Context(), NodeConfig{Btcd: falseProgram(t), Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "btcd ended") {
		t.Errorf("started a program that is no btcd: %v", err)
	}
}

// falseProgram returns a program that fails: this one, with a flag that it does
// not have.
func falseProgram(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
