package blockval

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// found is what a look-up gave beside the coins.
type found struct {
	// source is whose word they are; err says why they could not be learnt.
	source Source
	err    error
	took   time.Duration
}

// lookup sets the coins that the block spends.
func (c *check) lookup(ctx context.Context) (f found) {
	began := time.Now()
	defer func() { f.took = time.Since(began) }()
	c.coins = resized(c.coins, len(c.spent))
	c.sortOps()
	f.source = Own
	if n := len(c.ops); n > 0 {
		f.source, f.err = c.at.Coins.Prevouts(ctx, c.ops, c.coins[:n])
	}
	if f.err != nil {
		f.err = fmt.Errorf("fetch %d coins that block %s spends: %w", len(c.ops), c.b.Hash, notRule(f.err))
		return f
	}
	// From the last on, because no input comes before its coin in the answer.
	for i, k := range slices.Backward(c.places) {
		coin := &c.coins[k]
		*coin = c.coins[i]
		// Such an output is never a coin, whoever claims it.
		coin.Missing = coin.Missing || isUnspendable(coin.Script)
	}
	for _, o := range c.own {
		out := c.b.Msg.Transactions[o.creator].TxOut[c.spent[o.input].Index]
		c.coins[o.input] = Coin{
			Value: out.Value, Script: out.PkScript, Height: c.at.Height, Coinbase: o.creator == 0,
			Missing: isUnspendable(out.PkScript),
		}
	}
	return f
}

// An ownCoin is that an input spends what an earlier transaction of the block creates.
type ownCoin struct{ input, creator int }

// sortOps sets own to the inputs that spend the block's own coins, and ops and places to
// the outpoints of the others and the inputs that spend them.
func (c *check) sortOps() {
	txs, txids := c.b.Msg.Transactions, c.b.Txids
	c.ops, c.places, c.own = c.ops[:0], c.places[:0], c.own[:0]
	c.creators.reset(len(txs))
	for i := range txs {
		for k := c.first[i]; k < c.first[i+1]; k++ {
			op := &c.spent[k]
			from := int(*c.creators.at(op.Hash[:], func(n int) bool { return txids[n] == op.Hash })) - 1
			if from < 0 || uint64(op.Index) >= uint64(len(txs[from].TxOut)) {
				c.ops = append(c.ops, *op)
				c.places = append(c.places, k)
				continue
			}
			c.own = append(c.own, ownCoin{k, from})
		}
		*c.creators.at(txids[i][:], func(n int) bool { return txids[n] == txids[i] }) = int32(i + 1)
	}
}

// checkBIP30 checks that no transaction repeats one that has unspent outputs,
// where that is a rule.
func (c *check) checkBIP30(ctx context.Context) (*RuleError, error) {
	enforced, err := c.p.enforceBIP30(c.b.Hash, c.at.Height, c.at.Ancestors)
	if err != nil {
		return nil, fmt.Errorf("read the header at BIP34's height: %w", notRule(err))
	}
	if !enforced {
		return nil, nil
	}
	var ops []wire.OutPoint
	for i, tx := range c.b.Msg.Transactions {
		for j, out := range tx.TxOut {
			if !isUnspendable(out.PkScript) {
				ops = append(ops, wire.OutPoint{Hash: c.b.Txids[i], Index: uint32(j)})
			}
		}
	}
	if len(ops) == 0 {
		return nil, nil
	}
	first, known, err := c.at.Coins.Unspent(ctx, ops)
	switch {
	case err != nil:
		return nil, fmt.Errorf("look for %d outputs of block %s among the coins: %w", len(ops), c.b.Hash, notRule(err))
	case first >= 0:
		i := slices.Index(c.b.Txids, ops[first].Hash)
		return brokenAt(RepeatedTx, i, -1, "output %d of a transaction of the same id is unspent", ops[first].Index), nil
	case !known:
		c.unchecked(RepeatedTx)
	}
	return nil, nil
}

// inputs checks everything that the spent coins decide but scripts, transaction
// by transaction, as the loop of ConnectBlock in Bitcoin Core, and then the
// coinbase's amount.
func (c *check) inputs() (*RuleError, error) {
	txs := c.b.Msg.Transactions
	fees, cost := int64(0), 0
	for i, tx := range txs {
		cost += c.sigOps[i] * witnessScaleFactor
		if i > 0 {
			fee, rule := c.checkTxInputs(i, tx)
			if rule != nil {
				return rule, nil
			}
			if fees += fee; !moneyRange(fees) {
				return brokenAt(FeesOutOfRange, i, -1, "fees of %d satoshis so far", fees), nil
			}
			if rule, err := c.checkSequenceLocks(i, tx); rule != nil || err != nil {
				return rule, err
			}
			for j, in := range tx.TxIn {
				cost += prevoutSigOpCost(in, c.coins[c.first[i]+j].Script, c.flags)
			}
		}
		if cost > maxBlockSigOpsCost {
			return brokenAt(TooManySigOps, i, -1, "signature operations cost %d so far", cost), nil
		}
	}
	var reward int64
	for _, out := range txs[0].TxOut {
		reward += out.Value
	}
	if limit := fees + c.p.subsidy(c.at.Height); reward > limit {
		return brokenAt(BadCoinbaseAmount, 0, -1, "the coinbase takes %d satoshis, subsidy and fees are %d", reward, limit), nil
	}
	return nil, nil
}

// checkTxInputs checks that transaction i may spend its coins, as CheckTxInputs
// in Bitcoin Core, and returns its fee.
func (c *check) checkTxInputs(i int, tx *wire.MsgTx) (fee int64, rule *RuleError) {
	coins := c.coins[c.first[i]:c.first[i+1]]
	for j := range coins {
		if coins[j].Missing || c.twice[c.first[i]+j] {
			return 0, brokenAt(MissingInputs, i, j, "%s does not exist or is spent", tx.TxIn[j].PreviousOutPoint)
		}
	}
	var in, out int64
	for j := range coins {
		if depth := int64(c.at.Height) - int64(coins[j].Height); coins[j].Coinbase && depth < coinbaseMaturity {
			return 0, brokenAt(ImmatureCoinbase, i, j, "spends a coinbase at depth %d", depth)
		}
		value := coins[j].Value
		if !moneyRange(value) || !moneyRange(in+value) {
			return 0, brokenAt(InputsOutOfRange, i, j, "coin of %d satoshis after %d", value, in)
		}
		in += value
	}
	for _, o := range tx.TxOut {
		out += o.Value
	}
	return txFee(i, in, out)
}

// txFee returns the fee of transaction i, which spends in and creates out, both
// in satoshis.
func txFee(i int, in, out int64) (fee int64, rule *RuleError) {
	if in < out {
		return 0, brokenAt(InBelowOut, i, -1, "spends %d satoshis, creates %d", in, out)
	}
	if fee = in - out; !moneyRange(fee) {
		return 0, brokenAt(FeeOutOfRange, i, -1, "fee of %d satoshis", fee)
	}
	return fee, nil
}

// checkSequenceLocks checks the relative lock times of transaction i (BIP68), as
// SequenceLocks in Bitcoin Core. One that takes a median time that is not known
// is noted.
func (c *check) checkSequenceLocks(i int, tx *wire.MsgTx) (*RuleError, error) {
	// The version is unsigned here: every one but 0 and 1 has these locks.
	if uint32(tx.Version) < 2 || c.at.Height < c.p.CSVHeight {
		return nil, nil
	}
	for j, in := range tx.TxIn {
		if in.Sequence&wire.SequenceLockTimeDisabled != 0 {
			continue
		}
		from := int64(c.coins[c.first[i]+j].Height)
		lock := int64(in.Sequence & wire.SequenceLockTimeMask)
		if in.Sequence&wire.SequenceLockTimeIsSeconds == 0 {
			if last := from + lock - 1; last >= int64(c.at.Height) {
				return brokenAt(NonFinal, i, j, "locked until after block %d", last), nil
			}
			continue
		}
		if !c.timeKnown {
			c.unchecked(NonFinal)
			continue
		}
		below := uint32(max(from-1, 0))
		median, known := c.medians[below]
		if !known {
			var err error
			if median, err = header.MedianTimePast(c.at.Ancestors, below); err != nil {
				return nil, fmt.Errorf("relative lock of transaction %d input %d: %w", i, j, err)
			}
			if c.medians == nil {
				c.medians = make(map[uint32]uint32)
			}
			c.medians[below] = median
		}
		if last := int64(median) + lock<<wire.SequenceLockTimeGranularity - 1; last >= c.medianTime {
			return brokenAt(NonFinal, i, j, "locked until after time %d", last), nil
		}
	}
	return nil, nil
}
