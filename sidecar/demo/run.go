package demo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/btcsuite/btcd/wire/v2"
)

// Bootstrap mines the first blocks, until there are coins of every kind to spend.
// It is called once, before anything else.
func (n *Network) Bootstrap(ctx context.Context) error {
	start := n.work.miner.now().Add(-bootstrapBlocks * bootstrapSpacing)
	for i := range bootstrapBlocks {
		at := start.Add(time.Duration(i) * bootstrapSpacing)
		b, err := n.work.miner.mineAt(n.Tip(), nil, at)
		if err != nil {
			return err
		}
		if err := n.Submit(ctx, 0, b); err != nil {
			return fmt.Errorf("bootstrap: %w", err)
		}
	}
	if err := n.Sync(ctx); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	return n.FanOut(ctx, bootstrapCoins)
}

// Step sends transactions to the nodes and mines a block (see SendTransactions
// and MineBlock).
func (n *Network) Step(ctx context.Context) (*Block, error) {
	if err := n.SendTransactions(ctx, n.transactions); err != nil {
		return nil, err
	}
	return n.MineBlock(ctx)
}

// SendTransactions makes count transactions of all kinds and hands each to one
// of the nodes. It makes fewer when there are too few coins.
func (n *Network) SendTransactions(ctx context.Context, count int) error {
	nodes, err := n.targets()
	if err != nil {
		return err
	}
	txs, err := n.work.traffic(count, nodes)
	if err != nil {
		return err
	}
	return n.send(ctx, txs)
}

// MineBlock mines a block of most of the pending transactions and hands it to
// one of the nodes. All running nodes have it when MineBlock returns.
func (n *Network) MineBlock(ctx context.Context) (*Block, error) { return n.mine(ctx, leaveOut) }

// mine mines a block of the pending transactions, but leaves each out with the
// given probability, and waits until all running nodes have it.
func (n *Network) mine(ctx context.Context, leaveOut float64) (*Block, error) {
	b, err := n.work.block(leaveOut)
	if err != nil {
		return nil, err
	}
	node, err := n.pick()
	if err != nil {
		return nil, err
	}
	if err := n.Submit(ctx, node, b); err != nil {
		return nil, err
	}
	n.log.Debug("mined", "height", b.Height, "hash", b.Hash, "txs", len(b.Txs), "node", node)
	return b, n.Sync(ctx)
}

// Submit hands a block that follows the network's tip to a node, and makes it the
// tip. The other nodes hear of it from that one (see Sync).
func (n *Network) Submit(ctx context.Context, node int, b *Block) error {
	if b.parent != n.Tip() {
		return fmt.Errorf("submit block %d: it does not follow the tip", b.Height)
	}
	if err := n.Nodes[node].Submit(ctx, b); err != nil {
		return fmt.Errorf("submit to node %d: %w", node, err)
	}
	n.work.connect(b)
	return n.follow(b)
}

// Coins returns the coins that Spend may spend: mined, not spent by a pending
// transaction, and mature, even after the deepest reorganisation. They are sorted
// by outpoint.
func (n *Network) Coins() []Coin { return n.work.spendable() }

// Spend makes a transaction that spends coins, in that order, to payments, in that
// order, each to a fresh key, and hands it to a node. What the payments leave is
// the fee. Besides Coins, it may spend what a pending transaction created, or, to
// replace that one, spends. It is pending if the node takes it.
func (n *Network) Spend(ctx context.Context, node int, coins []Coin, payments []Payment, o SpendOptions) (*Tx, error) {
	tx, err := n.work.wallet.spend(coins, payments, o)
	if err != nil {
		return nil, fmt.Errorf("make a transaction: %w", err)
	}
	tx.node = node
	refusals, err := n.Nodes[node].Send(ctx, tx.Msg)
	if err == nil {
		err = refusals[0]
	}
	if err != nil {
		return nil, fmt.Errorf("send to node %d: %w", node, err)
	}
	n.work.replace(tx)
	return tx, nil
}

// FanOut splits the largest coins into count coins of all kinds and mines that.
// All running nodes have the block when it returns.
func (n *Network) FanOut(ctx context.Context, count int) error {
	nodes, err := n.targets()
	if err != nil {
		return err
	}
	txs, err := n.work.fanOut(count, nodes)
	if err != nil {
		return err
	}
	if err := n.send(ctx, txs); err != nil {
		return err
	}
	_, err = n.mine(ctx, 0)
	return err
}

// BuildBlock builds a block of exactly txs transactions of all kinds with one
// input each, for Submit. There have to be as many coins: see FanOut. If relay is
// true, the transactions go through all mempools first.
func (n *Network) BuildBlock(ctx context.Context, txs int, relay bool) (*Block, error) {
	nodes, err := n.targets()
	if err != nil {
		return nil, err
	}
	pending := slices.Clone(n.work.pending)
	made, err := n.work.small(txs, nodes)
	if err != nil {
		return nil, fmt.Errorf("build a block: %w", err)
	}
	if relay {
		if err := n.send(ctx, made); err != nil {
			return nil, fmt.Errorf("build a block: %w", err)
		}
		if err := n.waitRelayed(ctx, made); err != nil {
			return nil, fmt.Errorf("build a block: %w", err)
		}
	} else {
		n.work.pending = pending
	}
	return n.work.miner.mine(n.Tip(), made)
}

// Reorg lets a branch that leaves the chain depth blocks below the tip overtake
// it. Its blocks hold some of the abandoned branch's transactions, and sometimes
// one that makes an abandoned one impossible; the rest of them are pending again.
// Depth is from 1 to MaxReorg. All running nodes have switched when Reorg
// returns.
func (n *Network) Reorg(ctx context.Context, depth uint32) (*Reorg, error) {
	r, err := n.work.reorg(depth)
	if err != nil {
		return nil, fmt.Errorf("reorganise %d blocks: %w", depth, err)
	}
	node, err := n.pick()
	if err != nil {
		return nil, err
	}
	for _, b := range r.Connected {
		if err := n.Nodes[node].Submit(ctx, b); err != nil {
			return nil, fmt.Errorf("reorganise %d blocks: submit to node %d: %w", depth, node, err)
		}
	}
	n.work.switchTo(r)
	if err := n.follow(n.Tip()); err != nil {
		return nil, err
	}
	n.log.Debug("reorganised", "depth", depth, "height", n.Tip().Height, "hash", n.Tip().Hash, "node", node)
	if err := n.Sync(ctx); err != nil {
		return nil, fmt.Errorf("reorganise %d blocks: %w", depth, err)
	}
	return r, n.resend(ctx)
}

// send hands pending transactions to the nodes that they are for, parents first.
func (n *Network) send(ctx context.Context, txs []*Tx) error {
	for i := range n.Nodes {
		var own []*Tx
		for _, tx := range txs {
			if tx.node == i {
				own = append(own, tx)
			}
		}
		if err := n.sendTo(ctx, i, own); err != nil {
			return err
		}
	}
	return nil
}

// sendTo hands pending transactions to a node, parents first. Those that the node
// refuses, and what depends on them, are no longer pending.
func (n *Network) sendTo(ctx context.Context, node int, txs []*Tx) error {
	refusals, err := n.Nodes[node].Send(ctx, messages(txs)...)
	if err != nil {
		return fmt.Errorf("send to node %d: %w", node, err)
	}
	refused := make(map[*Tx]bool)
	for i, err := range refusals {
		if err != nil {
			n.log.Warn("a node refused a transaction", "node", node, "txid", txs[i].Hash, "error", err)
			refused[txs[i]] = true
		}
	}
	if len(refused) > 0 {
		n.rejected += len(refused)
		n.work.settle(slices.DeleteFunc(n.work.pending, func(tx *Tx) bool { return refused[tx] }))
	}
	return nil
}

// resend hands each running node those pending transactions that its mempool
// lost. They stay pending even if it refuses them: btcd keeps what it heard of
// too late in its orphan pool, and does not look there again when a
// reorganisation brings back what was missing.
func (n *Network) resend(ctx context.Context) error {
	for _, i := range n.running() {
		lost, err := lacks(ctx, n.Nodes[i], n.work.pending)
		if err == nil {
			_, err = n.Nodes[i].Send(ctx, messages(lost)...)
		}
		if err != nil {
			return fmt.Errorf("send to node %d again: %w", i, err)
		}
	}
	return nil
}

// messages returns the messages of txs.
func messages(txs []*Tx) []*wire.MsgTx {
	msgs := make([]*wire.MsgTx, len(txs))
	for i, tx := range txs {
		msgs[i] = tx.Msg
	}
	return msgs
}

// A Pace says how fast Run goes.
type Pace struct {
	// Interval is the time from block to block; 0 means 5 seconds.
	Interval time.Duration
	// ReorgEvery is how many blocks there are for each reorganisation, on
	// average; 0 means 12. Most are 1 to 3 blocks deep, few are up to 6.
	ReorgEvery int
}

const (
	defaultInterval   = 5 * time.Second
	defaultReorgEvery = 12
	// trickles is how many times in an interval transactions are sent.
	trickles = 4
)

// Run keeps the network busy until ctx ends, and then returns nil: transactions
// spread over the interval, then a block of them, or a reorganisation. It follows
// Bootstrap. If ctx ends while a block is on its way, the network no longer knows
// its tip, and is good for Stop only.
func (n *Network) Run(ctx context.Context, p Pace) error {
	interval := cmp.Or(p.Interval, defaultInterval)
	tick := time.NewTicker(interval / (trickles + 1))
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := n.beat(ctx, i%(trickles+1), cmp.Or(p.ReorgEvery, defaultReorgEvery)); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("make traffic: %w", err)
		}
	}
}

// beat does what is to be done at a tick of an interval: at the last one a block,
// at the others transactions.
func (n *Network) beat(ctx context.Context, tick, reorgEvery int) error {
	if tick < trickles {
		return n.SendTransactions(ctx, (n.transactions+tick)/trickles)
	}
	random := n.work.random
	if random.IntN(reorgEvery) != 0 {
		_, err := n.MineBlock(ctx)
		return err
	}
	depth := 1 + random.Uint32N(3)
	if random.IntN(10) == 0 {
		depth = 4 + random.Uint32N(3)
	}
	_, err := n.Reorg(ctx, depth)
	return err
}
