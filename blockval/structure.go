package blockval

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// claim checks what must hold before any work is done for the block: that it is one,
// its proof of work, and the signet's solution.
func (c *check) claim(ctx context.Context) (*RuleError, error) {
	b := c.b
	switch {
	case b.err != nil:
		return b.err, nil
	case b.Msg == nil:
		return broken(BlockDecode, "a header without its transactions"), nil
	}
	c.verdict.Transactions = len(b.Msg.Transactions)
	c.countInputs()
	if err := c.p.CheckProofOfWork(&b.Header); err != nil {
		return headerRule(err), nil
	}
	if c.p.SignetChallenge != nil {
		return c.v.checkSignetSolution(ctx, b)
	}
	return nil, nil
}

// structure checks the rest of what the block alone decides: with claim it is
// CheckBlock in Bitcoin Core.
func (c *check) structure() *RuleError {
	if c.v.workers == 1 {
		if root := c.trees(); root != nil {
			return root
		}
		return c.transactions()
	}
	var root *RuleError
	var wg sync.WaitGroup
	wg.Go(func() { root = c.trees() })
	rule := c.transactions()
	if wg.Wait(); root != nil {
		return root
	}
	return rule
}

// trees checks the merkle root, and sees to the witness commitment, which is a rule
// of later.
func (c *check) trees() *RuleError {
	txs := c.b.Msg.Transactions
	c.leaves = slices.Grow(c.leaves[:0], len(txs))
	if root := c.b.checkMerkleRoot(c.leaves); root != nil {
		return root
	}
	if len(txs) > 0 && isCoinbase(txs[0]) {
		c.commitment = c.b.checkWitnessCommitment(c.at.Height >= c.p.SegwitHeight, c.leaves)
	}
	return nil
}

// transactions checks what the transactions alone decide, without their scripts.
func (c *check) transactions() *RuleError {
	b, txs := c.b, c.b.Msg.Transactions
	if len(txs) == 0 {
		return broken(BadBlockLength, "no transaction")
	}
	// Core bounds the number of transactions likewise; this bound is reached
	// before.
	if b.StrippedSize*witnessScaleFactor > maxBlockWeight {
		return broken(BadBlockLength, "%d bytes without witnesses", b.StrippedSize)
	}
	if !isCoinbase(txs[0]) {
		return brokenAt(MissingCoinbase, 0, -1, "the first transaction is no coinbase")
	}
	for i, tx := range txs[1:] {
		if isCoinbase(tx) {
			return brokenAt(MultipleCoinbases, i+1, -1, "a coinbase that is not the first transaction")
		}
	}
	if rule := c.checkTxs(); rule != nil {
		return rule
	}
	c.sigOps = resized(c.sigOps, len(txs))
	sigOps := 0
	for i, tx := range txs {
		c.sigOps[i] = legacySigOps(tx)
		sigOps += c.sigOps[i]
	}
	if cost := sigOps * witnessScaleFactor; cost > maxBlockSigOpsCost {
		return broken(TooManySigOps, "legacy signature operations cost %d", cost)
	}
	return nil
}

// countInputs numbers the inputs of the block.
func (c *check) countInputs() {
	txs := c.b.Msg.Transactions
	c.first = resized(c.first, len(txs)+1)
	for i, tx := range txs {
		c.first[i+1] = c.first[i]
		if i > 0 {
			c.first[i+1] += len(tx.TxIn)
		}
	}
	c.verdict.Inputs = c.first[len(txs)]
	c.spent = c.spent[:0]
	for _, tx := range txs[min(1, len(txs)):] {
		for _, in := range tx.TxIn {
			c.spent = append(c.spent, in.PreviousOutPoint)
		}
	}
}

// headerRule returns the rule that a check of a header found broken, which err
// must be.
func headerRule(err error) *RuleError {
	e, ok := errors.AsType[*header.RuleError](err)
	if !ok {
		panic("blockval: a check of a header alone gave no rule: " + err.Error())
	}
	return ofHeader(e)
}

// checkMerkleRoot checks that the header commits to the transactions, in the memory
// of buf.
func (b *Block) checkMerkleRoot(buf []chainhash.Hash) *RuleError {
	root, mutated := b.merkleRoot(append(buf[:0], b.Txids...))
	if want := b.Header.MerkleRoot(); root != want {
		return broken(BadMerkleRoot, "merkle root %s, header has %s", root, want)
	}
	if mutated {
		return broken(DuplicateTxs, "two equal hashes in the merkle tree")
	}
	return nil
}

// checkTxs checks each transaction alone, as CheckTransaction in Bitcoin Core,
// and learns who spends what.
func (c *check) checkTxs() *RuleError {
	txs := c.b.Msg.Transactions
	c.spenders.reset(len(c.spent))
	for i, tx := range txs {
		if rule := checkShape(i, tx, c.b.largest); rule != nil {
			return rule
		}
		if i == 0 {
			if n := len(tx.TxIn[0].SignatureScript); n < 2 || n > 100 {
				return brokenAt(BadCoinbaseLength, 0, 0, "coinbase script of %d bytes", n)
			}
			continue
		}
		if rule := c.checkPrevouts(i); rule != nil {
			return rule
		}
	}
	return nil
}

// checkShape checks that transaction i has inputs and outputs, its size without
// witnesses, and the values of its outputs. largest is the size of the block's largest
// transaction: unless that is too large, none is.
func checkShape(i int, tx *wire.MsgTx, largest int) *RuleError {
	if len(tx.TxIn) == 0 {
		return brokenAt(NoInputs, i, -1, "no inputs")
	}
	if len(tx.TxOut) == 0 {
		return brokenAt(NoOutputs, i, -1, "no outputs")
	}
	if largest*witnessScaleFactor > maxBlockWeight {
		if size := tx.SerializeSizeStripped(); size*witnessScaleFactor > maxBlockWeight {
			return brokenAt(OversizeTx, i, -1, "%d bytes without witnesses", size)
		}
	}
	var total int64
	for j, out := range tx.TxOut {
		switch {
		case out.Value < 0:
			return brokenAt(NegativeOutput, i, -1, "output %d of %d satoshis", j, out.Value)
		case out.Value > maxMoney:
			return brokenAt(OutputTooLarge, i, -1, "output %d of %d satoshis", j, out.Value)
		}
		if total += out.Value; total > maxMoney {
			return brokenAt(OutputTotalTooLarge, i, -1, "outputs of %d satoshis or more", total)
		}
	}
	return nil
}

// checkPrevouts checks that transaction i, which is no coinbase, spends no
// outpoint twice and never the null one.
func (c *check) checkPrevouts(i int) *RuleError {
	var key [chainhash.HashSize + 4]byte
	null := -1
	for k := c.first[i]; k < c.first[i+1]; k++ {
		op := &c.spent[k]
		spender := c.spenders.at(outPointKey(op, &key), func(n int) bool { return c.spent[n] == *op })
		switch other := int(*spender) - 1; {
		case other < 0:
		case other >= c.first[i]:
			return brokenAt(DuplicateInputs, i, k-c.first[i], "spends %s again", op)
		default:
			// Within this transaction the outpoint is new: a second one of its
			// inputs that spends it must be told from this one.
			if c.twice == nil {
				c.twice = make(map[int]bool)
			}
			c.twice[k] = true
		}
		*spender = int32(k + 1)
		if null < 0 && isNull(op) {
			null = k - c.first[i]
		}
	}
	if null >= 0 {
		return brokenAt(NullPrevout, i, null, "spends the null outpoint")
	}
	return nil
}

// moneyRange reports whether v is an amount of money.
func moneyRange(v int64) bool { return v >= 0 && v <= maxMoney }
