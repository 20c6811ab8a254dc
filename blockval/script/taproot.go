package script

import (
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/sigverify"
)

const (
	// annexTag begins the annex of a taproot spend (BIP341).
	annexTag = 0x50

	// A control block is the leaf version with a parity, the internal key, and up
	// to controlMaxNodes hashes (BIP341).
	controlBaseSize = 33
	controlNodeSize = 32
	controlMaxNodes = 128

	leafMask      = 0xfe
	leafTapscript = 0xc0

	// A tapscript may verify one signature for each weightPerSignature of its
	// witness, and one more (BIP342).
	weightPerSignature = 50
	weightOffset       = 50
)

// verifyTaproot is the part of VerifyWitnessProgram in Bitcoin Core for BIP341.
func (m *Machine) verifyTaproot(program []byte, witness wire.TxWitness) Error {
	elements := witness
	m.tap.hasAnnex, m.tap.inScript = false, false
	if n := len(elements); n >= 2 && len(elements[n-1]) > 0 && elements[n-1][0] == annexTag {
		m.tap.hasAnnex = true
		w := m.sig.w
		w.reset()
		w.bytes(elements[n-1])
		m.tap.annex = w.sum()
		elements = elements[:n-1]
	}
	switch len(elements) {
	case 0:
		return ErrWitnessProgramWitnessEmpty
	case 1:
		return m.checkSchnorr(elements[0], program)
	}
	control, script := elements[len(elements)-1], elements[len(elements)-2]
	elements = elements[:len(elements)-2]
	nodes := len(control) - controlBaseSize
	if nodes < 0 || nodes%controlNodeSize != 0 || nodes > controlMaxNodes*controlNodeSize {
		return ErrTaprootWrongControlSize
	}
	leaf := leafHash(m.sig.w, control[0]&leafMask, script)
	if !m.checkTweak(newTweak(m.sig.w, program, control, &leaf)) {
		return ErrWitnessProgramMismatch
	}
	if control[0]&leafMask != leafTapscript {
		if m.flags&DiscourageUpgradableTaprootVersion != 0 {
			return ErrDiscourageUpgradableTaprootVersion
		}
		return OK
	}
	m.tap.inScript, m.tap.leaf = true, leaf
	m.weight = witnessSize(witness) + weightOffset
	return m.executeWitness(elements, script, tapscript)
}

// checkTweak verifies that an output commits to a script, or notes that it is to
// be verified.
func (m *Machine) checkTweak(k tweak) bool {
	if b := m.batch; b != nil {
		at := len(b.Items)
		b.add(compressedSize)
		b.add(compressedSize)
		if k.items(&b.Items[at], &b.Items[at+1]) {
			return true
		}
		b.Items, b.refs = b.Items[:at], b.refs[:at]
	}
	return k.holds()
}

// witnessSize returns the size of a witness as it is serialised.
func witnessSize(witness wire.TxWitness) int64 {
	size := compactSizeLen(len(witness))
	for _, e := range witness {
		size += compactSizeLen(len(e)) + len(e)
	}
	return int64(size)
}

// checkSchnorr checks a signature of BIP340 with its hash type, if it has one:
// CheckSchnorrSignature in Bitcoin Core. key must have 32 bytes.
func (m *Machine) checkSchnorr(sig, key []byte) Error {
	hashType := byte(sigHashDefault)
	switch len(sig) {
	case 64:
	case 65:
		if hashType = sig[64]; hashType == sigHashDefault {
			return ErrSchnorrSigHashType
		}
	default:
		return ErrSchnorrSigSize
	}
	digest, ok := m.taprootDigest(hashType)
	if !ok {
		return ErrSchnorrSigHashType
	}
	if !m.checkItem(key, (*[64]byte)(sig), digest, sigverify.BIP340) {
		return ErrSchnorrSig
	}
	return OK
}
