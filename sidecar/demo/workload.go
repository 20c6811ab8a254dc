package demo

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/btcsuite/btcd/wire/v2"
)

const (
	// leaveOut is how likely a pending transaction waits for a later block.
	leaveOut = 0.1
	// leaveOutReorg is the same in each block of a competing branch.
	leaveOutReorg = 0.5
	// conflict is how likely a competing branch spends a coin otherwise than
	// the abandoned one did.
	conflict = 0.25
)

// A workload makes transactions and blocks and knows what became of them. It
// talks to nobody.
type workload struct {
	random *rand.Rand
	wallet *wallet
	miner  *miner
	ledger *ledger
	// pending are the transactions that were sent and are not mined, parents
	// first. What they spend is still in the ledger.
	pending []*Tx
}

func newWorkload(seed uint64) *workload {
	w := newWallet(seed)
	return &workload{
		random: rand.New(rand.NewPCG(seed, 0)),
		wallet: w,
		miner:  &miner{wallet: w, now: time.Now},
		ledger: newLedger(),
	}
}

// block mines a block of the pending transactions on the tip, but leaves each out
// with the given probability.
func (w *workload) block(leaveOut float64) (*Block, error) {
	return w.miner.mine(w.ledger.tip, w.choose(w.ledger.clone(), w.pending, leaveOut))
}

// connect applies a block that follows the tip.
func (w *workload) connect(b *Block) {
	w.ledger.connect(b)
	b.forget()
	w.settle(w.pending)
}

// choose returns those of candidates that are valid in a block on view's tip, in
// their order, but leaves each out with the given probability. View is as after
// that block, but for its tip.
func (w *workload) choose(view *ledger, candidates []*Tx, leaveOut float64) []*Tx {
	var txs []*Tx
	for _, tx := range candidates {
		if !view.has(tx) || w.random.Float64() < leaveOut {
			continue
		}
		view.apply(tx)
		txs = append(txs, tx)
	}
	return txs
}

// settle makes those of candidates pending that are neither mined nor in conflict
// with what is.
func (w *workload) settle(candidates []*Tx) {
	w.pending = w.choose(w.ledger.clone(), candidates, 0)
}

// replace makes tx pending in the place of what spends the same coins.
func (w *workload) replace(tx *Tx) {
	spends := make(map[wire.OutPoint]bool)
	for _, c := range tx.Spent {
		spends[c.OutPoint] = true
	}
	w.pending = slices.DeleteFunc(w.pending, func(old *Tx) bool {
		return slices.ContainsFunc(old.Spent, func(c Coin) bool { return spends[c.OutPoint] })
	})
	w.settle(append(w.pending, tx))
}

// A Reorg is what a reorganisation does to the best chain.
type Reorg struct {
	// Fork is the last block that both branches have.
	Fork *Block
	// Disconnected are the blocks that leave the best chain, tip first.
	Disconnected []*Block
	// Connected are the blocks that join it, in ascending order: one more.
	Connected []*Block

	// after is the ledger at the new tip, candidates the transactions that may
	// be pending there.
	after      *ledger
	candidates []*Tx
}

// reorg mines a branch that leaves the chain depth blocks below the tip and is
// one block longer. Nothing changes until switchTo.
func (w *workload) reorg(depth uint32) (*Reorg, error) {
	if depth < 1 || depth > MaxReorg {
		return nil, fmt.Errorf("the depth is from 1 to %d", MaxReorg)
	}
	r := &Reorg{after: w.ledger.clone(), candidates: w.pending}
	for range depth {
		tip := r.after.tip
		r.Disconnected = append(r.Disconnected, tip)
		r.candidates = slices.Concat(tip.Txs, r.candidates)
		r.after.disconnect()
	}
	r.Fork = r.after.tip
	txs, err := w.conflicting(r)
	if err != nil {
		return nil, err
	}
	for range depth + 1 {
		view := r.after.clone()
		for _, tx := range txs {
			view.apply(tx)
		}
		txs = append(txs, w.choose(view, r.candidates, leaveOutReorg)...)
		b, err := w.miner.mine(r.after.tip, txs)
		if err != nil {
			return nil, err
		}
		r.after.connect(b)
		r.Connected = append(r.Connected, b)
		txs = nil
	}
	return r, nil
}

// conflicting returns, now and then, a transaction that spends the coins of an
// abandoned or pending one otherwise.
func (w *workload) conflicting(r *Reorg) ([]*Tx, error) {
	if len(r.candidates) == 0 || w.random.Float64() >= conflict {
		return nil, nil
	}
	tx := r.candidates[w.random.IntN(len(r.candidates))]
	if !r.after.has(tx) {
		return nil, nil
	}
	other, err := w.spend(tx.Spent, 1, SpendOptions{})
	if err != nil || other == nil {
		return nil, err
	}
	return []*Tx{other}, nil
}

// switchTo makes r's branch the best chain. What it did not mine is pending
// again.
func (w *workload) switchTo(r *Reorg) {
	w.ledger = r.after
	w.ledger.tip.forget()
	w.settle(r.candidates)
}
