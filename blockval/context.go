package blockval

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// context checks what the block's place in the chain decides, as
// ContextualCheckBlockHeader and then ContextualCheckBlock in Bitcoin Core.
func (c *check) context() (*RuleError, error) {
	if rule, err := c.headerContext(); rule != nil || err != nil {
		return rule, err
	}
	if c.at.Height == 0 {
		return nil, nil
	}
	for i, tx := range c.b.Msg.Transactions {
		if !c.final(tx) {
			return brokenAt(NonFinal, i, -1, "lock time %d", tx.LockTime), nil
		}
	}
	if c.at.Height >= c.p.BIP34Height {
		script := c.b.Msg.Transactions[0].TxIn[0].SignatureScript
		if want := heightPush(c.at.Height); !bytes.HasPrefix(script, want) {
			return brokenAt(BadCoinbaseHeight, 0, 0, "coinbase script %x does not begin with %x", script, want), nil
		}
	}
	if c.commitment != nil {
		return c.commitment, nil
	}
	if weight := c.b.Weight(); weight > maxBlockWeight {
		return broken(BadBlockWeight, "weight %d", weight), nil
	}
	return nil, nil
}

// headerContext checks the header in its place. Without ancestors it checks
// what the height and the clock decide, and notes the rest.
func (c *check) headerContext() (*RuleError, error) {
	h, height, a, now := &c.b.Header, c.at.Height, c.at.Ancestors, c.v.now()
	if at := time.Unix(int64(h.Time()), 0); c.at.TimeTaken && now.Before(at) {
		now = at
	}
	if a != nil || height == 0 {
		err := c.p.CheckContext(h, height, a, now)
		if e, ok := errors.AsType[*header.RuleError](err); ok {
			return ofHeader(e), nil
		}
		if err != nil || height == 0 {
			return nil, err
		}
		median, err := header.MedianTimePast(a, height-1)
		c.medianTime, c.timeKnown = int64(median), err == nil
		return nil, err
	}
	c.unchecked(header.BadPrevBlock)
	c.unchecked(header.BadDiffBits)
	c.unchecked(header.TimeTooOld)
	if c.p.BIP94 && height%c.p.Interval() == 0 {
		c.unchecked(header.TimeWarp)
	}
	if latest := now.Unix() + header.MaxFutureBlockTime; int64(h.Time()) > latest {
		return broken(header.TimeTooNew, "time %d is after %d, two hours from now", h.Time(), latest), nil
	}
	if least := c.p.MinVersion(height); h.Version() < least {
		return broken(header.BadVersion, "version %d, want at least %d", h.Version(), least), nil
	}
	return nil, nil
}

// unchecked notes that a rule could not be decided.
func (c *check) unchecked(rule Rule) {
	if !slices.Contains(c.verdict.Unchecked, rule) {
		c.verdict.Unchecked = append(c.verdict.Unchecked, rule)
	}
}

// final reports whether tx may be in the block by its lock time, as IsFinalTx
// in Bitcoin Core with BIP113 from CSVHeight on. Where that takes a median time
// that is not known, it notes so and reports true.
func (c *check) final(tx *wire.MsgTx) bool {
	if tx.LockTime == 0 {
		return true
	}
	limit, known := int64(c.at.Height), true
	if tx.LockTime >= lockTimeThreshold {
		limit = int64(c.b.Header.Time())
		if c.at.Height >= c.p.CSVHeight {
			limit, known = c.medianTime, c.timeKnown
		}
	}
	if known && int64(tx.LockTime) < limit {
		return true
	}
	for _, in := range tx.TxIn {
		if in.Sequence != wire.MaxTxInSequenceNum {
			if !known {
				c.unchecked(NonFinal)
			}
			return !known
		}
	}
	return true
}

// These are the parts of the output that commits to the witnesses (BIP141): a
// script of at least minCommitment bytes that begins so, and the hash after it.
const (
	commitmentHeader = "\x6a\x24\xaa\x21\xa9\xed"
	minCommitment    = len(commitmentHeader) + chainhash.HashSize
)

// commitmentIndex returns which of the coinbase's outputs commits to the
// witnesses, the last if there are several; -1 if there is none.
func commitmentIndex(coinbase *wire.MsgTx) int {
	for i, out := range slices.Backward(coinbase.TxOut) {
		if len(out.PkScript) >= minCommitment && string(out.PkScript[:len(commitmentHeader)]) == commitmentHeader {
			return i
		}
	}
	return -1
}

// checkWitnessCommitment checks that the coinbase commits to the witnesses, or
// that there are none, as CheckWitnessMalleation in Bitcoin Core. segwit says
// that a commitment counts; buf is memory to use.
func (b *Block) checkWitnessCommitment(segwit bool, buf []chainhash.Hash) *RuleError {
	txs := b.Msg.Transactions
	if i := commitmentIndex(txs[0]); segwit && i >= 0 {
		witness := txs[0].TxIn[0].Witness
		if len(witness) != 1 || len(witness[0]) != chainhash.HashSize {
			return brokenAt(BadWitnessNonce, 0, 0, "the coinbase's witness is not one element of 32 bytes")
		}
		leaves := append(buf[:0], b.Wtxids...)
		leaves[0] = chainhash.Hash{}
		root, _ := b.merkleRoot(leaves)
		first := sha256.Sum256(append(root[:], witness[0]...))
		got := sha256.Sum256(first[:])
		if want := txs[0].TxOut[i].PkScript[len(commitmentHeader):minCommitment]; !bytes.Equal(got[:], want) {
			return brokenAt(BadWitnessCommitment, 0, -1, "the witnesses hash to %x, output %d has %x", got, i, want)
		}
		return nil
	}
	for i, tx := range txs {
		if tx.HasWitness() {
			return brokenAt(UnexpectedWitness, i, -1, "a witness, and no commitment to it")
		}
	}
	return nil
}
