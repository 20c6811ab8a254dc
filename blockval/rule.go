package blockval

import (
	"fmt"
	"strings"

	"github.com/outrider-project/outrider/blockval/header"
)

// These are the rules that a block can break, beside those of its header
// (blockval/header). They stand in the order in which they are checked.
const (
	// BlockDecode: the bytes are not exactly one block in Bitcoin Core's
	// serialisation. Core has no reject reason for them: its RPC answers "Block
	// decode failed", but for bytes after a block, which it passes over.
	BlockDecode Rule = "block-decode-failed"

	// BadSignetSolution: the block does not satisfy the signet's challenge.
	BadSignetSolution Rule = "bad-signet-blksig"
	// BadMerkleRoot: the header does not commit to these transactions.
	BadMerkleRoot Rule = "bad-txnmrklroot"
	// DuplicateTxs: a run of transactions is repeated in a way that leaves the
	// merkle root as it is (CVE-2012-2459).
	DuplicateTxs Rule = "bad-txns-duplicate"
	// BadBlockLength: no transaction, or more than a million bytes without
	// witnesses.
	BadBlockLength Rule = "bad-blk-length"
	// MissingCoinbase: the first transaction is no coinbase.
	MissingCoinbase Rule = "bad-cb-missing"
	// MultipleCoinbases: another transaction is a coinbase.
	MultipleCoinbases Rule = "bad-cb-multiple"

	// NoInputs: a transaction has no input.
	NoInputs Rule = "bad-txns-vin-empty"
	// NoOutputs: a transaction has no output.
	NoOutputs Rule = "bad-txns-vout-empty"
	// OversizeTx: a transaction alone is above the block's limit. A block that
	// holds one breaks BadBlockLength before.
	OversizeTx Rule = "bad-txns-oversize"
	// NegativeOutput: an output's value is below zero.
	NegativeOutput Rule = "bad-txns-vout-negative"
	// OutputTooLarge: an output's value is above 21 million bitcoins.
	OutputTooLarge Rule = "bad-txns-vout-toolarge"
	// OutputTotalTooLarge: a transaction's outputs together are.
	OutputTotalTooLarge Rule = "bad-txns-txouttotal-toolarge"
	// DuplicateInputs: a transaction spends an output twice (CVE-2018-17144).
	DuplicateInputs Rule = "bad-txns-inputs-duplicate"
	// BadCoinbaseLength: the coinbase's script is not of 2 to 100 bytes.
	BadCoinbaseLength Rule = "bad-cb-length"
	// NullPrevout: a transaction that is no coinbase spends the null outpoint.
	NullPrevout Rule = "bad-txns-prevout-null"
	// TooManySigOps: the signature operations cost more than 80,000.
	TooManySigOps Rule = "bad-blk-sigops"

	// NonFinal: a transaction's lock time or relative lock (BIP68) has not
	// passed.
	NonFinal Rule = "bad-txns-nonfinal"
	// BadCoinbaseHeight: the coinbase does not begin with the height (BIP34).
	BadCoinbaseHeight Rule = "bad-cb-height"
	// BadWitnessNonce: there is a witness commitment, and the coinbase's
	// witness is not one element of 32 bytes.
	BadWitnessNonce Rule = "bad-witness-nonce-size"
	// BadWitnessCommitment: the coinbase does not commit to these witnesses.
	BadWitnessCommitment Rule = "bad-witness-merkle-match"
	// UnexpectedWitness: there are witnesses and no commitment to them.
	UnexpectedWitness Rule = "unexpected-witness"
	// BadBlockWeight: the weight is above 4,000,000.
	BadBlockWeight Rule = "bad-blk-weight"

	// RepeatedTx: a transaction has the id of an earlier one that has an
	// unspent output (BIP30).
	RepeatedTx Rule = "bad-txns-BIP30"
	// MissingInputs: a coin does not exist, or is spent.
	MissingInputs Rule = "bad-txns-inputs-missingorspent"
	// ImmatureCoinbase: a coinbase's coin is spent within 100 blocks.
	ImmatureCoinbase Rule = "bad-txns-premature-spend-of-coinbase"
	// InputsOutOfRange: coins are worth less than nothing or more than 21
	// million bitcoins.
	InputsOutOfRange Rule = "bad-txns-inputvalues-outofrange"
	// InBelowOut: a transaction creates more than it spends.
	InBelowOut Rule = "bad-txns-in-belowout"
	// FeeOutOfRange: a transaction's fee is no amount of money. The rules on
	// the values of inputs and outputs leave no block that can break it.
	FeeOutOfRange Rule = "bad-txns-fee-outofrange"
	// FeesOutOfRange: the fees of the block together are above 21 million
	// bitcoins.
	FeesOutOfRange Rule = "bad-txns-accumulated-fee-outofrange"
	// BadCoinbaseAmount: the coinbase takes more than subsidy and fees.
	BadCoinbaseAmount Rule = "bad-cb-amount"
	// BadScript: an input's scripts fail. Core names the script error behind
	// it, in brackets.
	BadScript Rule = "block-script-verify-flag-failed"
)

// Error gives the rule, the place and the detail.
func (e *RuleError) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Rule))
	if e.Tx >= 0 {
		fmt.Fprintf(&b, ": transaction %d", e.Tx)
	}
	if e.Input >= 0 {
		fmt.Fprintf(&b, " input %d", e.Input)
	}
	if e.Detail != "" {
		b.WriteString(": ")
		b.WriteString(e.Detail)
	}
	return b.String()
}

// Unwrap returns the rule.
func (e *RuleError) Unwrap() error { return e.Rule }

// broken returns the error of a rule about the whole block.
func broken(rule Rule, format string, args ...any) *RuleError {
	return brokenAt(rule, -1, -1, format, args...)
}

// brokenAt returns the error of a rule about one input of one transaction, or
// about the whole transaction if input is -1.
func brokenAt(rule Rule, tx, input int, format string, args ...any) *RuleError {
	return &RuleError{Rule: rule, Tx: tx, Input: input, Detail: fmt.Sprintf(format, args...)}
}

// ofHeader returns a header's broken rule as a block's.
func ofHeader(e *header.RuleError) *RuleError {
	return &RuleError{Rule: e.Rule, Tx: -1, Input: -1, Detail: e.Detail}
}
