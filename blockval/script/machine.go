package script

import (
	"bytes"
	"context"
	"crypto/sha256"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/sigverify"
)

// A Verifier verifies signatures: valid[i] becomes whether items[i] verifies. An
// error says that it could not tell. *sigverify.Verifier is one.
type Verifier interface {
	Verify(ctx context.Context, items []sigverify.Item, valid []bool) error
}

// A Machine executes the scripts of one input after the other. It allocates its
// memory, some 200 KiB, once. It is not safe for concurrent use: every goroutine
// has one of its own. Until it is given another input it holds on to the scripts
// of the last.
type Machine struct {
	stack
	sig sigHasher

	// The input that is executed.
	tx    *Tx
	input int
	flags Flags
	// batch takes the checks, if they are collected. If it is nil, verify tells
	// whether they hold.
	batch  *Batch
	verify func(*sigverify.Item) bool
	digest digestCache
	legacy [6]legacyCache // by legacyWay

	// The script that is executed.
	version   version
	script    []byte
	codeStart int // behind the last executed OP_CODESEPARATOR
	ops       int
	tap       tapContext
	weight    int64 // what is left for signatures (BIP342)

	// keyHash is the script of a P2WPKH program.
	keyHash [25]byte
}

// A version is a set of rules for scripts, SigVersion in Bitcoin Core.
type version uint8

const (
	base version = iota
	witnessV0
	tapscript
)

// NewMachine returns a Machine.
func NewMachine() *Machine {
	m := &Machine{sig: sigHasher{w: newHashWriter()}}
	m.main = make([][]byte, 0, maxStackSize+8)
	m.keyHash = [25]byte{0: opDup, 1: opHash160, 2: 20, 23: opEqualVerify, 24: opCheckSig}
	return m
}

// Collect executes the scripts of an input. If it returns OK, they succeed if all
// checks hold that it has added to b for the label; none may be needed. With any
// other reason it has added nothing, and Execute has to decide: the reason is then
// only a hint, for it may depend on a signature that was taken for valid.
//
// It panics if tx has no such input or not one prevout for each, and for flags
// that contradict each other: Witness without P2SH, CleanStack without Witness.
func (m *Machine) Collect(tx *Tx, input int, flags Flags, b *Batch, label int) Error {
	at := b.begin(label)
	m.batch, m.verify = b, nil
	reason := m.run(tx, input, flags)
	m.batch = nil
	if reason != OK {
		b.cancel(at)
	} else {
		b.end(at)
	}
	return reason
}

// Execute executes the scripts of an input and verifies every signature when they
// ask for it, one by one, as VerifyScript in Bitcoin Core. The reason is OK if
// they succeed. An error is v's, and says nothing about the scripts. Execute
// panics where Collect does.
func (m *Machine) Execute(ctx context.Context, tx *Tx, input int, flags Flags, v Verifier) (reason Error, err error) {
	var (
		item  [1]sigverify.Item
		valid [1]bool
	)
	m.verify = func(it *sigverify.Item) bool {
		if err != nil {
			return false
		}
		item[0], valid[0] = *it, false
		err = v.Verify(ctx, item[:], valid[:])
		return err == nil && valid[0]
	}
	reason = m.run(tx, input, flags)
	m.verify = nil
	if err != nil {
		return Undecided, err
	}
	return reason, nil
}

// run executes the scripts of an input.
func (m *Machine) run(tx *Tx, input int, flags Flags) Error {
	flags.check()
	if len(tx.Prevouts) != len(tx.Msg.TxIn) {
		panic("script: not one prevout for each input")
	}
	in := tx.Msg.TxIn[input]
	m.tx, m.input, m.flags = tx, input, flags
	m.digest.valid = false
	for way := range m.legacy {
		m.legacy[way].valid = false
	}
	m.stack.reset()
	return m.verifyScript(in.SignatureScript, tx.Prevouts[input].PkScript, in.Witness)
}

// verifyScript is VerifyScript in Bitcoin Core.
func (m *Machine) verifyScript(sigScript, pkScript []byte, witness wire.TxWitness) Error {
	if m.flags&SigPushOnly != 0 && !isPushOnly(sigScript) {
		return ErrSigPushOnly
	}
	if reason := m.eval(sigScript, base); reason != OK {
		return reason
	}
	// A P2SH output's own script replaces the element at the top by the result,
	// and leaves what is below.
	p2sh := m.flags&P2SH != 0 && isP2SH(pkScript)
	var redeem []byte
	if p2sh && m.has(1) {
		redeem = m.top(1)
	}
	if reason := m.evalTrue(pkScript); reason != OK {
		return reason
	}
	hadWitness := false
	if m.flags&Witness != 0 {
		if v, program, ok := witnessProgram(pkScript); ok {
			hadWitness = true
			if len(sigScript) != 0 {
				return ErrWitnessMalleated
			}
			if reason := m.verifyProgram(v, program, witness, false); reason != OK {
				return reason
			}
		}
	}
	if p2sh {
		if !isPushOnly(sigScript) {
			return ErrSigPushOnly
		}
		m.drop(1)
		if reason := m.evalTrue(redeem); reason != OK {
			return reason
		}
		if m.flags&Witness != 0 {
			if v, program, ok := witnessProgram(redeem); ok {
				hadWitness = true
				if !isPushOf(sigScript, redeem) {
					return ErrWitnessMalleatedP2SH
				}
				if reason := m.verifyProgram(v, program, witness, true); reason != OK {
					return reason
				}
			}
		}
	}
	switch {
	case m.flags&CleanStack != 0 && !hadWitness && len(m.main) != 1:
		return ErrCleanStack
	case m.flags&Witness != 0 && !hadWitness && len(witness) > 0:
		return ErrWitnessUnexpected
	}
	return OK
}

// evalTrue executes a legacy script and wants it to leave something true at the
// top.
func (m *Machine) evalTrue(script []byte) Error {
	if reason := m.eval(script, base); reason != OK {
		return reason
	}
	if !m.has(1) || !truth(m.top(1)) {
		return ErrEvalFalse
	}
	return OK
}

// verifyProgram is VerifyWitnessProgram in Bitcoin Core. It leaves the stack in no
// state that means anything.
func (m *Machine) verifyProgram(v int, program []byte, witness wire.TxWitness, p2sh bool) Error {
	switch {
	case v == 0 && len(program) == 32:
		if len(witness) == 0 {
			return ErrWitnessProgramWitnessEmpty
		}
		script := witness[len(witness)-1]
		if hash := sha256.Sum256(script); !bytes.Equal(hash[:], program) {
			return ErrWitnessProgramMismatch
		}
		return m.executeWitness(witness[:len(witness)-1], script, witnessV0)
	case v == 0 && len(program) == 20:
		if len(witness) != 2 {
			return ErrWitnessProgramMismatch
		}
		copy(m.keyHash[3:], program)
		return m.executeWitness(witness, m.keyHash[:], witnessV0)
	case v == 0:
		return ErrWitnessProgramWrongLength
	case v == 1 && len(program) == 32 && !p2sh:
		if m.flags&Taproot == 0 {
			return OK
		}
		return m.verifyTaproot(program, witness)
	case !p2sh && isPayToAnchor(v, program):
		return OK
	case m.flags&DiscourageUpgradableWitnessProgram != 0:
		return ErrDiscourageUpgradableWitnessProgram
	}
	return OK
}

// executeWitness is ExecuteWitnessScript in Bitcoin Core.
func (m *Machine) executeWitness(elements [][]byte, script []byte, v version) Error {
	if v == tapscript {
		// An operation that makes every script succeed comes before all limits.
		for r := (reader{script: script}); r.more(); {
			op, _, ok := r.next()
			if !ok {
				return ErrBadOpcode
			}
			if isSuccess(op) {
				if m.flags&DiscourageOpSuccess != 0 {
					return ErrDiscourageOpSuccess
				}
				return OK
			}
		}
		if len(elements) > maxStackSize {
			return ErrStackSize
		}
	}
	for _, e := range elements {
		if len(e) > maxElementSize {
			return ErrPushSize
		}
	}
	m.main = append(m.main[:0], elements...)
	if reason := m.eval(script, v); reason != OK {
		return reason
	}
	if len(m.main) != 1 {
		return ErrCleanStack
	}
	if !truth(m.top(1)) {
		return ErrEvalFalse
	}
	return OK
}
