package script

import "crypto/sha256"

// These are the hash types, and what is or'ed to them.
const (
	sigHashDefault      = 0x00 // of taproot only
	sigHashAll          = 0x01
	sigHashNone         = 0x02
	sigHashSingle       = 0x03
	sigHashAnyoneCanPay = 0x80

	// sigHashMask are the bits of a hash type that tell all, none and single
	// apart before taproot.
	sigHashMask = 0x1f
)

// smallTx is the size in bytes up to which a legacy signature hash is put
// together and hashed in one call, and no midstate kept.
const smallTx = 2048

// A sigHasher computes the signature hashes of one input after the other. It
// keeps what the next can use, and is not safe for concurrent use.
type sigHasher struct {
	w *hashWriter

	// single is the blank form of a transaction with one input.
	single blankTx

	// prefix is the state after the first done bytes of the blank form of that
	// number.
	blank  uint64
	prefix midstate
	done   int

	// code has the script that is signed where separators are left out.
	code []byte
}

// legacy returns the signature hash before witnesses, SignatureHash in Bitcoin
// Core for SigVersion::BASE. code is the script that is signed, from its last
// executed OP_CODESEPARATOR on and without the signature. input must be one of
// t's.
func (h *sigHasher) legacy(t *Tx, input int, code []byte, hashType uint32) [32]byte {
	if !h.writeLegacy(t, input, code, hashType) {
		return singleBug
	}
	h.w.uint32(hashType)
	return h.w.doubleSum()
}

// singleBug is what SINGLE signs before witnesses for an input without an output of
// the same number: 1, little-endian.
var singleBug = [32]byte{1}

// writeLegacy writes what legacy hashes, but for the hash type, which is its end. It
// reports false, and has written nothing, where that is not what is signed.
func (h *sigHasher) writeLegacy(t *Tx, input int, code []byte, hashType uint32) bool {
	base := hashType & sigHashMask
	if base == sigHashSingle && input >= len(t.Msg.TxOut) {
		return false
	}
	c := h.signedCode(code)
	if hashType&sigHashAnyoneCanPay == 0 && base != sigHashNone && base != sigHashSingle {
		h.writeAll(t, input, c)
		return true
	}
	w, tx := h.w, t.Msg
	w.reset()
	w.uint32(uint32(tx.Version))
	if hashType&sigHashAnyoneCanPay != 0 {
		in := tx.TxIn[input]
		w.compactSize(1)
		w.outpoint(&in.PreviousOutPoint)
		w.code(c)
		w.uint32(in.Sequence)
	} else {
		// NONE or SINGLE: the others' sequences are not signed.
		w.compactSize(len(tx.TxIn))
		for i, in := range tx.TxIn {
			w.outpoint(&in.PreviousOutPoint)
			if i == input {
				w.code(c)
				w.uint32(in.Sequence)
			} else {
				w.byte(0)
				w.uint32(0)
			}
		}
	}
	switch base {
	case sigHashNone:
		w.compactSize(0)
	case sigHashSingle:
		w.compactSize(input + 1)
		for range input {
			w.uint64(1<<64 - 1) // a value of -1
			w.byte(0)
		}
		w.output(tx.TxOut[input])
	default:
		w.compactSize(len(tx.TxOut))
		for _, out := range tx.TxOut {
			w.output(out)
		}
	}
	w.uint32(tx.LockTime)
	return true
}

// writeAll is writeLegacy for a hash type that signs all inputs and outputs. It
// copies nothing of a large transaction, and if the inputs of one are asked for
// in ascending order, hashes only what comes after each.
func (h *sigHasher) writeAll(t *Tx, input int, c signedCode) {
	var blank *blankTx
	if len(t.Msg.TxIn) == 1 {
		h.single.set(t.Msg, h.single.bytes)
		blank = &h.single
	} else {
		blank = t.blankTx()
	}
	start := blank.inputs + input*minTxIn
	w := h.w
	w.reset()
	if len(blank.bytes) <= smallTx {
		w.raw(blank.bytes[:start])
	} else {
		if h.blank != blank.number || start < h.done {
			h.blank, h.done = blank.number, 0
		} else {
			h.prefix.load(w)
		}
		w.raw(blank.bytes[h.done:start])
		h.prefix.save(w)
		h.done = start
	}
	w.raw(blank.bytes[start : start+outpointSize])
	w.code(c)
	w.raw(blank.bytes[start+outpointSize+1:])
}

// A signedCode is a script as a legacy signature signs it: its length, and what is
// hashed behind that.
type signedCode struct {
	size  int
	bytes []byte
}

func (w *hashWriter) code(c signedCode) {
	w.compactSize(c.size)
	w.raw(c.bytes)
}

// signedCode leaves the OP_CODESEPARATORs out. Of a script that ends within a push,
// what that pushes is left out too, though its length is told as if it were not:
// CTransactionSignatureSerializer::SerializeScriptCode in Bitcoin Core. No such
// script succeeds, but the reason of its failure can depend on it.
func (h *sigHasher) signedCode(code []byte) signedCode {
	separators, start := 0, 0
	kept := h.code[:0]
	r := reader{script: code}
	for r.more() {
		at := r.pos
		op, _, ok := r.next()
		if !ok {
			break
		}
		if op == opCodeSeparator {
			separators++
			kept = append(kept, code[start:at]...)
			start = r.pos
		}
	}
	if separators == 0 {
		return signedCode{len(code), code[:r.pos]}
	}
	h.code = append(kept, code[start:r.pos]...)
	return signedCode{len(code) - separators, h.code}
}

// witnessV0 returns the signature hash of BIP143, SignatureHash in Bitcoin Core
// for SigVersion::WITNESS_V0. code is the script from its last executed
// OP_CODESEPARATOR on. input must be one of t's.
func (h *sigHasher) witnessV0(t *Tx, input int, code []byte, hashType uint32) [32]byte {
	var (
		zero                         [32]byte
		prevouts, sequences, outputs = &zero, &zero, &zero
		single                       [32]byte
	)
	in, base := t.Msg.TxIn[input], hashType&sigHashMask
	common := t.commonHashes(h.w)
	if hashType&sigHashAnyoneCanPay == 0 {
		prevouts = &common.doublePrevouts
		if base != sigHashSingle && base != sigHashNone {
			sequences = &common.doubleSequences
		}
	}
	w := h.w
	switch {
	case base != sigHashSingle && base != sigHashNone:
		outputs = &common.doubleOutputs
	case base == sigHashSingle && input < len(t.Msg.TxOut):
		w.reset()
		w.output(t.Msg.TxOut[input])
		single = w.doubleSum()
		outputs = &single
	}
	w.reset()
	w.uint32(uint32(t.Msg.Version))
	w.hash(prevouts)
	w.hash(sequences)
	w.outpoint(&in.PreviousOutPoint)
	w.bytes(code)
	w.uint64(uint64(t.Prevouts[input].Value))
	w.uint32(in.Sequence)
	w.hash(outputs)
	w.uint32(t.Msg.LockTime)
	w.uint32(hashType)
	return w.doubleSum()
}

// A tapContext is what the signature hash of BIP341 takes from the spend, beside
// the transaction.
type tapContext struct {
	// annex is the SHA-256 of the annex with its length, if hasAnnex.
	annex    [32]byte
	hasAnnex bool
	// leaf is the tapleaf hash and separator the position of the last executed
	// OP_CODESEPARATOR, if inScript (BIP342).
	leaf      [32]byte
	separator uint32
	inScript  bool
}

// noSeparator is the position of the last OP_CODESEPARATOR when none was
// executed.
const noSeparator = 0xffffffff

// taproot returns the signature hash of BIP341 and BIP342, SignatureHashSchnorr
// in Bitcoin Core. It reports false for a hash type that is not defined, and for
// SINGLE without an output. input must be one of t's.
func (h *sigHasher) taproot(t *Tx, input int, c *tapContext, hashType byte) (digest [32]byte, ok bool) {
	base := hashType &^ sigHashAnyoneCanPay
	if base > sigHashSingle || hashType == sigHashAnyoneCanPay ||
		base == sigHashSingle && input >= len(t.Msg.TxOut) {
		return digest, false
	}
	anyone := hashType&sigHashAnyoneCanPay != 0
	w, in := h.w, t.Msg.TxIn[input]
	var single [32]byte
	if base == sigHashSingle {
		w.reset()
		w.output(t.Msg.TxOut[input])
		single = w.sum()
	}
	common, spent := t.commonHashes(w), t.spentHashes(w)

	w.reset()
	w.tag(&tagTapSighash)
	w.byte(0) // epoch
	w.byte(hashType)
	w.uint32(uint32(t.Msg.Version))
	w.uint32(t.Msg.LockTime)
	if !anyone {
		w.hash(&common.prevouts)
		w.hash(&spent.amounts)
		w.hash(&spent.scripts)
		w.hash(&common.sequences)
	}
	if base == sigHashDefault || base == sigHashAll {
		w.hash(&common.outputs)
	}
	w.byte(c.spendType())
	if anyone {
		w.outpoint(&in.PreviousOutPoint)
		w.output(&t.Prevouts[input])
		w.uint32(in.Sequence)
	} else {
		w.uint32(uint32(input))
	}
	if c.hasAnnex {
		w.hash(&c.annex)
	}
	if base == sigHashSingle {
		w.hash(&single)
	}
	if c.inScript {
		w.hash(&c.leaf)
		w.byte(0) // key version
		w.uint32(c.separator)
	}
	return w.sum(), true
}

func (c *tapContext) spendType() byte {
	var t byte
	if c.inScript {
		t = 2
	}
	if c.hasAnnex {
		t++
	}
	return t
}

// A tag is what a tagged hash of BIP340 begins with: the SHA-256 of its name,
// twice.
type tag [64]byte

func newTag(name string) (t tag) {
	h := sha256.Sum256([]byte(name))
	copy(t[copy(t[:], h[:]):], h[:])
	return t
}

// The tags of BIP341.
var (
	tagTapSighash = newTag("TapSighash")
	tagTapLeaf    = newTag("TapLeaf")
	tagTapBranch  = newTag("TapBranch")
	tagTapTweak   = newTag("TapTweak")
)

// tag begins a tagged hash.
func (w *hashWriter) tag(t *tag) { w.raw(t[:]) }
