package submit

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/planner"
)

// errLags says that a node does not have yet what another, or itself a moment later, has: the
// next step looks again. Nothing is planned from such a state.
var errLags = errors.New("the state that was read is not the last one")

// settle learns what became of what was sent, up to head, and returns the account's next
// nonce by head's state.
func (s *Submitter) settle(ctx context.Context, head *planner.Head, o *Outcome) (count uint64, err error) {
	if err := s.recheck(ctx, head); err != nil {
		return 0, err
	}
	n, err := s.number(ctx, "eth_getTransactionCount", s.o.Target.Sender, blockID(head.Hash))
	if err != nil {
		return 0, err
	}
	if !n.IsUint64() {
		return 0, fmt.Errorf("eth_getTransactionCount: %v is no nonce", n)
	}
	count = n.Uint64()
	for _, slot := range s.journal.pending() {
		if err := s.settleOne(ctx, head, slot, count, o); err != nil {
			return 0, err
		}
	}
	if newest := s.journal.newest(); newest != nil && newest.block > head.Number {
		return 0, fmt.Errorf("%w: the node is at block %d, a transaction is in block %d", errLags, head.Number, newest.block)
	}
	switch next := s.journal.next(); {
	case count < next && len(s.journal.pending()) == 0:
		return 0, fmt.Errorf("%w: the next nonce is %d at block %d, and %d was used", errLags, count, head.Number, next-1)
	case count > next && next > 0 && s.warned != count:
		s.warned = count
		s.o.Log.Warn("another program sends from this account", "nonce", count, "expected", next)
	}
	return count, nil
}

// maxReorg is how many blocks below the head a transaction is looked at again: hours.
const maxReorg = 10_000

// recheck finds out whether what was mined still is. If the newest block with a
// transaction is in the chain, the blocks below it are.
func (s *Submitter) recheck(ctx context.Context, head *planner.Head) error {
	for i := len(s.journal.slots) - 1; i >= 0; i-- {
		slot := s.journal.slots[i]
		if slot.state != isMined {
			continue
		}
		if slot.block > head.Number || head.Number-slot.block > maxReorg {
			return nil
		}
		there, err := opstack.Client{Caller: s.o.Chain}.HeaderByNumber(ctx, slot.block)
		if err != nil {
			return err
		}
		if there.Hash() == slot.blockHash {
			return nil
		}
		hash := slot.mined.tx.Hash()
		s.o.Log.Warn("a block with a transaction is not in the chain any more", "hash", hash, "nonce", slot.nonce, "block", slot.block)
		if err := s.journal.record(&entry{Is: isUnmined, Time: s.o.Now().Unix(), Nonce: slot.nonce, Hash: &hash}); err != nil {
			return err
		}
	}
	return nil
}

// settleOne learns what became of a nonce that is pending; count is the account's next.
func (s *Submitter) settleOne(ctx context.Context, head *planner.Head, slot *slot, count uint64, o *Outcome) error {
	for i := len(slot.variants) - 1; i >= 0; i-- {
		v := &slot.variants[i]
		receipt, err := opstack.Client{Caller: s.o.Chain}.Receipt(ctx, v.tx.Hash())
		if isAbsent(err) {
			continue
		}
		if err != nil {
			return err
		}
		// The receipt may be of a block that is not in the chain any more.
		there, err := opstack.Client{Caller: s.o.Chain}.HeaderByNumber(ctx, receipt.BlockNumber.Uint64())
		if err != nil {
			return err
		}
		if there.Hash() != receipt.BlockHash {
			return fmt.Errorf("transaction %v is in block %v, which is not in the chain", v.tx.Hash(), receipt.BlockHash)
		}
		return s.settleMined(ctx, slot, v, receipt, o)
	}
	if count <= slot.nonce {
		slot.missing = 0
		return nil
	}
	// A node may have a state and not yet its receipts, and some never had one: it is
	// another's only if it stays so.
	if head.Number > slot.lastMissing {
		slot.missing, slot.lastMissing = slot.missing+1, head.Number
	}
	if slot.missing < takenAfter {
		return fmt.Errorf("%w: nonce %d is used, and nobody has a receipt", errLags, slot.nonce)
	}
	hash := slot.last().tx.Hash()
	if err := s.journal.record(&entry{Is: isTaken, Time: s.o.Now().Unix(), Nonce: slot.nonce, Hash: &hash}); err != nil {
		return err
	}
	return &Refusal{What: "foreign nonce", Fatal: true, Err: fmt.Errorf("another program sent a transaction with nonce %d from %v: "+
		"the account must be for this relay alone", slot.nonce, s.o.Target.Sender)}
}

// takenAfter is after how many blocks without a receipt a nonce that is used is another's.
const takenAfter = 5

// settleMined writes down that a variant is in a block.
func (s *Submitter) settleMined(ctx context.Context, slot *slot, v *variant, receipt *opstack.Receipt, o *Outcome) error {
	cost, err := costOf(receipt)
	if err != nil {
		return err
	}
	hash, block, ok := v.tx.Hash(), receipt.BlockNumber.Uint64(), receipt.Status == 1
	if err := s.journal.record(&entry{
		Is: isMined, Time: s.o.Now().Unix(), Nonce: slot.nonce, Hash: &hash,
		Block: block, BlockHash: &receipt.BlockHash, OK: ok, Cost: cost.String(),
	}); err != nil {
		return err
	}
	o.Mined = append(o.Mined, Mined{
		Hash: hash, Nonce: slot.nonce, Block: block, OK: ok, Gas: receipt.GasUsed, Headers: v.headers, Cost: cost,
	})
	if ok {
		s.o.Log.Info("a transaction is in a block", "hash", hash, "nonce", slot.nonce, "block", block, "gas", receipt.GasUsed, "cost_wei", cost)
		return nil
	}
	reason := s.failure(ctx, v, block)
	s.o.Log.Error("a transaction reverted in a block", "hash", hash, "nonce", slot.nonce, "block", block, "reason", reason)
	return nil
}

// failure returns why a transaction reverted, as far as the state before its block tells.
func (s *Submitter) failure(ctx context.Context, v *variant, block uint64) string {
	before, err := opstack.Client{Caller: s.o.Chain}.HeaderByNumber(ctx, max(block, 1)-1)
	if err != nil {
		return err.Error()
	}
	err = s.try(ctx, &planner.Head{Hash: before.Hash()}, *v.tx.To(), v.tx.Data(), v.tx.Gas())
	if r, ok := errors.AsType[*relay.Revert](err); ok {
		return r.Error()
	}
	return "it worked in the block before: another transaction came first"
}

// costOf returns what a transaction paid, in wei. A chain that is not of the OP Stack has
// no fees but those of gas.
func costOf(r *opstack.Receipt) (*big.Int, error) {
	if r.EffectiveGasPrice == nil {
		return nil, fmt.Errorf("the receipt of %v has no price of gas", r.TxHash)
	}
	cost := new(big.Int).Mul(r.EffectiveGasPrice, new(big.Int).SetUint64(r.GasUsed))
	if r.L1Fee == nil {
		return cost, nil
	}
	fork := opstack.Isthmus
	if r.DAFootprintGasScalar != nil {
		fork = opstack.Jovian // the receipts of which have that
	}
	fees, err := r.Fees(fork)
	if err != nil {
		return nil, err
	}
	total, err := fees.Total()
	return total.ToBig(), err
}
