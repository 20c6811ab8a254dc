package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

const (
	// MaxReorg is the greatest depth of a reorganisation. The traffic is made
	// so that one of this depth leaves every transaction valid.
	MaxReorg = 20

	defaultNodes        = 3
	defaultTransactions = 30

	coinbaseMaturity = 100
	// bootstrapBlocks leaves ten coinbases to spend.
	bootstrapBlocks = coinbaseMaturity + MaxReorg + 10
	// bootstrapSpacing puts the first blocks some hours into the past, where
	// coins are old enough for relative lock times. btcd relays nothing while
	// its tip is older than a day.
	bootstrapSpacing = time.Minute
	// bootstrapCoins is how many coins the traffic begins with.
	bootstrapCoins = 300

	// syncTimeout bounds the wait for all nodes to agree.
	syncTimeout = time.Minute
)

// A Config says what network to start.
type Config struct {
	// Btcd is the btcd program (see FindBtcd).
	Btcd string
	// Dir is where the nodes' directories go: node0, node1, …
	Dir string
	// Nodes is how many nodes there are; 0 means 3.
	Nodes int
	// Seed decides keys, transactions and choices.
	Seed uint64
	// Transactions is how many transactions Step sends; 0 means 30.
	Transactions int
	// Follow, unless nil, is called with each new tip once a node has it, before the
	// call that made it returns (see Relay.Follow). Its error is that call's.
	Follow func(tip *Block) error
	// Log gets what happens. Nil discards it.
	Log *slog.Logger
}

// A Network is a few btcd nodes that know each other, and the wallet and miner
// that keep them busy. It is not safe for concurrent use; its Nodes are.
//
// A node that does not run (see Node.Kill) is left out, until it runs again.
type Network struct {
	// Nodes are the nodes. Each is connected to all others.
	Nodes []*Node

	log          *slog.Logger
	work         *workload
	follow       func(*Block) error
	transactions int
	// rejected counts the transactions that a node refused.
	rejected int
}

// StartNetwork starts the nodes and waits until they are connected. ctx bounds
// that wait only: the nodes run until Stop or the end of this process.
func StartNetwork(ctx context.Context, cfg Config) (*Network, error) {
	n := &Network{
		log:          cfg.Log,
		work:         newWorkload(cfg.Seed),
		follow:       cfg.Follow,
		transactions: cmp.Or(cfg.Transactions, defaultTransactions),
	}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	if n.follow == nil {
		n.follow = func(*Block) error { return nil }
	}
	for i := range cmp.Or(cfg.Nodes, defaultNodes) {
		node, err := StartNode(ctx, NodeConfig{
			Btcd: cfg.Btcd, Dir: filepath.Join(cfg.Dir, "node"+strconv.Itoa(i)),
			Connect: n.peers(nil), Log: n.log.With("node", i),
		})
		if err != nil {
			return nil, errors.Join(err, n.Stop(context.WithoutCancel(ctx)))
		}
		n.Nodes = append(n.Nodes, node)
	}
	if err := n.waitConnected(ctx); err != nil {
		return nil, errors.Join(err, n.Stop(context.WithoutCancel(ctx)))
	}
	return n, nil
}

// Stop stops all nodes at once and waits for their end; when ctx ends, it kills
// those that are left.
func (n *Network) Stop(ctx context.Context) error {
	errs := make(chan error, len(n.Nodes))
	for _, node := range n.Nodes {
		go func() { errs <- node.Stop(ctx) }()
	}
	var all []error
	for range n.Nodes {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// Restart starts node i again (see Node.Restart) and waits until it has the chain.
func (n *Network) Restart(ctx context.Context, i int) error {
	if err := n.Nodes[i].Restart(ctx, n.peers(n.Nodes[i])); err != nil {
		return err
	}
	return n.Sync(ctx)
}

// peers returns the peer addresses of all running nodes but one.
func (n *Network) peers(but *Node) []string {
	var peers []string
	for _, node := range n.Nodes {
		if node != but && node.Running() {
			peers = append(peers, node.Peer)
		}
	}
	return peers
}

// running returns the indices of the running nodes.
func (n *Network) running() []int {
	var is []int
	for i, node := range n.Nodes {
		if node.Running() {
			is = append(is, i)
		}
	}
	return is
}

// targets returns the indices of the running nodes, of which there is at least
// one.
func (n *Network) targets() ([]int, error) {
	is := n.running()
	if len(is) == 0 {
		return nil, errors.New("no node is running")
	}
	return is, nil
}

// pick picks a running node.
func (n *Network) pick() (int, error) {
	is, err := n.targets()
	if err != nil {
		return 0, err
	}
	return is[n.work.random.IntN(len(is))], nil
}

// Tip returns the tip of the network's best chain.
func (n *Network) Tip() *Block { return n.work.ledger.tip }

// Ancestor returns the block depth below the tip, or nil if that is more than
// some tens of blocks back.
func (n *Network) Ancestor(depth uint32) *Block { return n.work.ledger.tip.ancestor(depth) }

// Pending returns the ids of the transactions that were sent and are not mined,
// sorted by their bytes. Each mempool holds them once the nodes have told each
// other, save that btcd may keep some in its orphan pool after a reorganisation.
func (n *Network) Pending() []chainhash.Hash {
	ids := make([]chainhash.Hash, len(n.work.pending))
	for i, tx := range n.work.pending {
		ids[i] = tx.Hash
	}
	slices.SortFunc(ids, compareHashes)
	return ids
}

// Rejected returns how many transactions a node refused. They are forgotten.
func (n *Network) Rejected() int { return n.rejected }

// waitConnected waits until each running node has a connection to each other.
func (n *Network) waitConnected(ctx context.Context) error {
	is := n.running()
	return n.waitEach(ctx, "be connected", func(ctx context.Context, node *Node) (bool, string, error) {
		count, err := node.Peers(ctx)
		return count >= len(is)-1, fmt.Sprintf("%d peers", count), err
	})
}

// Sync waits until the tip of every running node is the network's, for at most a
// minute.
func (n *Network) Sync(ctx context.Context) error {
	want := n.work.ledger.tip.Tip
	return n.waitEach(ctx, fmt.Sprintf("reach block %d %v", want.Height, want.Hash),
		func(ctx context.Context, node *Node) (bool, string, error) {
			tip, err := node.BestBlock(ctx)
			return tip == want, fmt.Sprintf("block %d %v", tip.Height, tip.Hash), err
		})
}

// waitRelayed waits until the mempool of every running node holds txs.
func (n *Network) waitRelayed(ctx context.Context, txs []*Tx) error {
	return n.waitEach(ctx, "hold the transactions",
		func(ctx context.Context, node *Node) (bool, string, error) {
			lacking, err := lacks(ctx, node, txs)
			return len(lacking) == 0, fmt.Sprintf("lacks %d of %d", len(lacking), len(txs)), err
		})
}

// lacks returns those of txs that are not in the mempool of node.
func lacks(ctx context.Context, node *Node, txs []*Tx) ([]*Tx, error) {
	ids, err := node.Mempool(ctx)
	if err != nil {
		return nil, err
	}
	has := make(map[chainhash.Hash]bool, len(ids))
	for _, id := range ids {
		has[id] = true
	}
	return slices.DeleteFunc(slices.Clone(txs), func(tx *Tx) bool { return has[tx.Hash] }), nil
}

// waitEach waits until done is true for each running node; state says how far a
// node is.
func (n *Network) waitEach(ctx context.Context, what string,
	done func(context.Context, *Node) (ok bool, state string, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for _, i := range n.running() {
		last := "no answer"
		for {
			ok, state, err := done(ctx, n.Nodes[i])
			if ok && err == nil || !n.Nodes[i].Running() {
				break
			}
			switch {
			case err == nil:
				last = state
			case ctx.Err() == nil:
				last = err.Error()
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("wait for node %d to %s (%s): %w", i, what, last, ctx.Err())
			case <-tick.C:
			}
		}
	}
	return nil
}
