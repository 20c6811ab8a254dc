package dryrun

import (
	"context"
	"fmt"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A Report says what is known of a spend.
type Report struct {
	// Passed says that all scripts that were run succeed by the rules of consensus, in
	// each engine, and that there are no Problems.
	Passed bool `json:"passed"`
	// Relayed says that there are no Warnings either: a node of Bitcoin Core with its
	// defaults would relay the transaction, as far as it can be told from here.
	Relayed bool   `json:"relayed"`
	TxID    string `json:"txid"` // in display order
	// Inputs are those that were run.
	Inputs []InputReport `json:"inputs"`
	// Problems are why no block can have the transaction, whatever its scripts say.
	Problems []string `json:"problems"`
	// Warnings are why Bitcoin Core's nodes would not relay it, and Waits which
	// timelocks have to pass before a block can have it.
	Warnings []Warning `json:"warnings"`
	Waits    []string  `json:"waits"`

	// Size is that of the transaction with its witnesses, in bytes, and VSize a quarter
	// of the Weight, rounded up.
	Size   int `json:"size"`
	Weight int `json:"weight"`
	VSize  int `json:"vsize"`
	// SigOpsCost is what a block counts for its signature operations; nil if a prevout
	// is not known, as is Fee, in satoshis, which is nil where a value or a sum of them
	// is not one that there can be, too.
	SigOpsCost *int   `json:"sigops_cost"`
	Fee        *int64 `json:"fee"`
	// FeeRate is satoshis per unit of VSize, 0 if Fee is nil.
	FeeRate float64 `json:"fee_rate"`
}

// An InputReport says how the scripts of an input went.
type InputReport struct {
	Input int `json:"input"`
	// Kind is what the output is, as Bitcoin Core's decoders call it.
	Kind   string `json:"kind"`
	Passed bool   `json:"passed"`
	// Opcodes is how many were run, those included that a condition skipped.
	Opcodes int `json:"opcodes"`
	// Failure is nil if Passed, or if only the second engine does not pass it.
	Failure *Failure `json:"failure,omitempty"`
	// Second is what the second engine says, "" if there is none. If Disagree, one of
	// the two is wrong.
	Second   string `json:"second,omitempty"`
	Disagree bool   `json:"disagree,omitempty"`
}

// A Second is another engine, which is asked, too: it returns whether the scripts of an
// input succeed by the rules of consensus, and its word for why not. prevouts[i] is what
// input i spends, empty if it is not known; it changes none of that. An error says that it
// cannot tell.
type Second func(ctx context.Context, tx *wire.MsgTx, prevouts []wire.TxOut, input int) (passed bool, reason string, err error)

// Run runs a spend. Beside it in memory are the stacks, which hold 1,000 elements of 520
// bytes each at most. It looks at ctx after every 16 opcodes, and returns its error if it
// has ended. The error wraps [ErrInput] if the spend is not of its form, and may be
// second's, which is nil if there is none. That a spend does not pass is in the report. The
// spend is only read.
func Run(ctx context.Context, s *Spend, second Second) (*Report, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	known := make([]wire.TxOut, len(s.Prevouts))
	outputs := make(map[wire.OutPoint]*wire.TxOut, len(s.Prevouts))
	for i, p := range s.Prevouts {
		if p != nil {
			known[i] = *p
		}
		outputs[s.Tx.TxIn[i].PreviousOutPoint] = &known[i]
	}
	fetcher := txscript.NewMultiPrevOutFetcher(outputs)
	midstate := txscript.NewTxSigHashes(s.Tx, fetcher)
	r := measure(s)
	r.Problems = problems(s)
	r.Passed = len(r.Problems) == 0
	for i := range s.Prevouts {
		if !s.runs(i) {
			continue
		}
		in := InputReport{Input: i, Kind: kind(s.Prevouts[i].PkScript)}
		var err error
		if in.Opcodes, in.Failure, err = step(ctx, s, i, consensus, midstate, fetcher); err != nil {
			return nil, err
		}
		in.Passed = in.Failure == nil
		if second != nil {
			var passed bool
			if passed, in.Second, err = second(ctx, s.Tx, known, i); err != nil {
				return nil, fmt.Errorf("input %d in the second engine: %w", i, err)
			}
			in.Disagree = in.Passed != passed
			in.Passed = in.Passed && !in.Disagree
		}
		r.Passed = r.Passed && in.Passed
		r.Inputs = append(r.Inputs, in)
	}
	r.Warnings = warnings(s, r)
	if r.Passed && r.Weight <= maxStandardWeight {
		for i := range s.Prevouts {
			if !s.runs(i) {
				continue
			}
			_, failure, err := step(ctx, s, i, policy, midstate, fetcher)
			if err != nil {
				return nil, err
			}
			if failure != nil {
				r.Warnings = append(r.Warnings, Warning{"mempool-script-verify-flag-failed",
					fmt.Sprintf("input %d: %s: a block may have it, but nodes do not relay it", i, failure.Reason)})
			}
		}
	}
	r.Relayed = r.Passed && len(r.Warnings) == 0
	r.Waits = waits(s.Tx)
	return r, nil
}

// measure returns a report with what a transaction is and pays.
func measure(s *Spend) *Report {
	stripped := s.Tx.SerializeSizeStripped()
	r := &Report{
		TxID: s.Tx.TxHash().String(), Size: s.Tx.SerializeSize(),
		Inputs: []InputReport{}, Problems: []string{}, Warnings: []Warning{}, Waits: []string{},
	}
	r.Weight = 3*stripped + r.Size
	r.VSize = (r.Weight + 3) / 4
	if !s.complete() {
		return r
	}
	in, out, cost, sound := int64(0), int64(0), 0, true
	for i, p := range s.Prevouts {
		txIn := s.Tx.TxIn[i]
		sound = addMoney(&in, p.Value) && sound
		cost += 4 * txscript.GetSigOpCount(txIn.SignatureScript)
		if txscript.IsPayToScriptHash(p.PkScript) {
			cost += 4 * txscript.GetPreciseSigOpCount(txIn.SignatureScript, p.PkScript, true)
		}
		cost += txscript.GetWitnessSigOpCount(txIn.SignatureScript, p.PkScript, txIn.Witness)
	}
	for _, o := range s.Tx.TxOut {
		sound = addMoney(&out, o.Value) && sound
		cost += 4 * txscript.GetSigOpCount(o.PkScript)
	}
	r.SigOpsCost = &cost
	if fee := in - out; sound {
		r.Fee, r.FeeRate = &fee, float64(fee)/float64(r.VSize)
	}
	return r
}

// addMoney adds a value to a sum, and reports whether there can be both (MoneyRange in
// Bitcoin Core); else the sum stays.
func addMoney(sum *int64, value int64) bool {
	if value < 0 || value > maxMoney || *sum > maxMoney-value {
		return false
	}
	*sum += value
	return true
}

// kind returns what Bitcoin Core calls the type of an output (Solver in script/solver.cpp),
// but of a bare multisig of 17 to 20 keys, which btcd does not know, that it is nonstandard.
func kind(script []byte) string {
	switch class := txscript.GetScriptClass(script); {
	case class != txscript.NonStandardTy:
		return class.String()
	case txscript.IsWitnessProgram(script):
		return txscript.WitnessUnknownTy.String()
	case len(script) > 0 && script[0] == txscript.OP_RETURN && txscript.IsPushOnlyScript(script[1:]):
		return txscript.NullDataTy.String() // btcd has a limit of 80 bytes there
	default:
		return class.String()
	}
}
