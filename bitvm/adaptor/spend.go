package adaptor

import (
	"context"
	"fmt"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A Spend is what an input says whose script is one of [Script].
type Spend struct {
	// Key is the public key, as BIP340 has it.
	Key [32]byte
	// Signatures are those of each digit, that of digit 0 first, and Digests what
	// they sign.
	Signatures []Signature
	Digests    [][32]byte
}

// Decode reads the spend of an input of a transaction. prevouts are the outputs that its
// inputs spend, one for each in order, since every signature is of them all. It checks
// all that consensus does but the signatures: that the output has the script in it, and
// that each signature has a form that it may have (BIP341, BIP342). A leaf of another
// version than BIP342's is refused, though consensus takes it whatever it says. Neither the
// transaction nor the outputs are kept. The error wraps [ErrForm].
func Decode(tx *wire.MsgTx, input int, prevouts []wire.TxOut) (*Spend, error) {
	if len(prevouts) != len(tx.TxIn) || input < 0 || input >= len(tx.TxIn) {
		return nil, fmt.Errorf("%w: input %d of %d, and outputs of %d", ErrForm, input, len(tx.TxIn), len(prevouts))
	}
	in, pkScript := tx.TxIn[input], prevouts[input].PkScript
	if !txscript.IsPayToTaproot(pkScript) || len(in.SignatureScript) != 0 {
		return nil, fmt.Errorf("%w: it spends no output of taproot", ErrForm)
	}
	items := in.Witness
	var annex []byte
	if n := len(items); n >= 2 && len(items[n-1]) > 0 && items[n-1][0] == txscript.TaprootAnnexTag {
		items, annex = items[:n-1], items[n-1]
	}
	if len(items) < 3 {
		return nil, fmt.Errorf("%w: a witness of %d items", ErrForm, len(items))
	}
	script := items[len(items)-2]
	control, err := txscript.ParseControlBlock(items[len(items)-1])
	if err != nil {
		return nil, fmt.Errorf("%w: the control block: %w", ErrForm, err)
	}
	if control.LeafVersion != txscript.BaseLeafVersion {
		return nil, fmt.Errorf("%w: a leaf of version %#x", ErrForm, byte(control.LeafVersion))
	}
	s := new(Spend)
	var digits int
	if s.Key, digits, err = ParseScript(script); err != nil {
		return nil, err
	}
	if digits != len(items)-2 {
		return nil, fmt.Errorf("%w: %d signatures for %d digits", ErrForm, len(items)-2, digits)
	}
	if err := txscript.VerifyTaprootLeafCommitment(control, pkScript[2:], script); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForm, err)
	}
	types := make([]txscript.SigHashType, digits)
	s.Signatures = make([]Signature, digits)
	for i := range digits {
		item := items[digits-1-i]
		switch {
		case len(item) == len(Signature{}):
		case len(item) == len(Signature{})+1 && item[len(Signature{})] != 0:
			types[i] = txscript.SigHashType(item[len(Signature{})])
		default:
			return nil, fmt.Errorf("%w: the signature of digit %d has %d bytes, or a hash type of 0", ErrForm, i, len(item))
		}
		copy(s.Signatures[i][:], item)
	}
	s.Digests, err = Digests(tx, input, prevouts, script, types, annex)
	return s, err
}

// Digests returns what the signatures of an input sign by a script of [Script], that of
// digit 0 first: BIP341's hash with BIP342's extension, in which the position of the
// OP_CODESEPARATOR is 3 for digit 1, 6 for digit 2, and so on. There is a hash type for
// each digit. annex is nil if there is none, and else has its first byte, 0x50. The error
// wraps [ErrForm] if a hash type is none, or SIGHASH_SINGLE without an output beside the
// input.
func Digests(tx *wire.MsgTx, input int, prevouts []wire.TxOut, script []byte, types []txscript.SigHashType, annex []byte) ([][32]byte, error) {
	if len(prevouts) != len(tx.TxIn) || input < 0 || input >= len(tx.TxIn) {
		return nil, fmt.Errorf("%w: input %d of %d, and outputs of %d", ErrForm, input, len(tx.TxIn), len(prevouts))
	}
	outputs := make(map[wire.OutPoint]*wire.TxOut, len(prevouts))
	for i := range prevouts {
		outputs[tx.TxIn[i].PreviousOutPoint] = &prevouts[i]
	}
	fetcher := txscript.NewMultiPrevOutFetcher(outputs)
	midstate := txscript.NewTxSigHashes(tx, fetcher)
	leaf := txscript.NewBaseTapLeaf(script)
	leafHash := leaf.TapHash()
	digests := make([][32]byte, len(types))
	for i, hashType := range types {
		options := []txscript.TaprootSigHashOption{txscript.WithBaseTapscriptVersion(separator(i), leafHash[:])}
		if annex != nil {
			options = append(options, txscript.WithAnnex(annex))
		}
		digest, err := txscript.CalcTapscriptSignaturehash(midstate, hashType, tx, input, fetcher, leaf, options...)
		if err != nil {
			return nil, fmt.Errorf("%w: digit %d: %w", ErrForm, i, err)
		}
		copy(digests[i][:], digest)
	}
	return digests, nil
}

// A Check is the verification of a BIP340 signature.
type Check struct {
	Key    [32]byte // x of the public key
	Sig    Signature
	Digest [32]byte
}

// A Checker sets valid[i] to whether checks[i] holds; both are as long. An error says that
// it does not know. It neither keeps checks nor writes to valid when it has returned.
type Checker func(ctx context.Context, checks []Check, valid []bool) error

// Verify verifies the spend's signatures, all of them at once. The error wraps
// [ErrSignature], or is that of check.
func (s *Spend) Verify(ctx context.Context, check Checker) error {
	checks, valid := make([]Check, len(s.Signatures)), make([]bool, len(s.Signatures))
	for i := range checks {
		checks[i] = Check{s.Key, s.Signatures[i], s.Digests[i]}
	}
	if err := check(ctx, checks, valid); err != nil {
		return err
	}
	for i, ok := range valid {
		if !ok {
			return fmt.Errorf("%w: digit %d", ErrSignature, i)
		}
	}
	return nil
}
