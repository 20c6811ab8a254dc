package blockval

import (
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// A Rule names a consensus rule by the reason that Bitcoin Core gives when it
// is broken. It is an error, so that errors.Is(err, blockval.BadCoinbaseAmount)
// works.
type Rule = header.Rule

// A RuleError says which rule a block broke, where, and how. Nothing else is
// ever reported as one: a failing disk, node or context is another error.
type RuleError struct {
	Rule Rule
	// Tx and Input are the place in the block, counted from 0; -1 where the
	// rule is not about a transaction or an input.
	Tx, Input int
	Detail    string
}

// A Verdict is what validation found.
type Verdict struct {
	Hash   chainhash.Hash
	Height uint32
	// Err is the broken rule; nil for a valid block.
	Err *RuleError
	// Prevouts says whose word the spent coins are: Own if the block spends
	// none that it does not create, and empty if a rule was broken for which
	// they do not matter.
	Prevouts Source
	// Unchecked lists the rules that what was handed in could not decide.
	Unchecked []Rule
	// Transactions and Inputs count the block's, the coinbase's input left
	// out; 0 if it could not be decoded.
	Transactions, Inputs int
	// Signatures counts the signatures that the inputs present, valid or not;
	// 0 if the block was refused before its scripts. An input presents those
	// of the elements that its script pushes and its witness holds that have
	// the form of one. To an output of P2TR that is 64 or 65 bytes, in the
	// witness, and neither the annex nor, of two or more elements without it,
	// one of the last two (script and control block). To any other output it
	// is 9 to 80 bytes with the tags of a DER sequence and of its first
	// integer, 0x30 as first and 0x02 as third, so that the longer signatures
	// from before BIP66 count too.
	Signatures int
	Stages     Stages
}

// Valid reports whether the block broke no rule.
func (v *Verdict) Valid() bool { return v.Err == nil }

// Stages is the time that each stage of a validation took. With more than one worker
// they overlap: coins are looked up while rules are checked, and so are scripts.
type Stages struct {
	// Parse is decoding and hashing, Lookup fetching the spent coins, Rules
	// everything but scripts, Scripts the scripts and their signatures.
	Parse, Lookup, Rules, Scripts time.Duration
}
