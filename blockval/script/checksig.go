package script

import (
	"bytes"

	"github.com/outrider-project/outrider/sigverify"
)

// A digestCache holds the signature hash that was computed last: signatures of
// one script mostly sign the same.
type digestCache struct {
	valid    bool
	hashType byte
	// version and code are the script that was signed, by where it lies. As it is
	// not freed while code points to it, no other can lie there.
	version version
	code    *byte
	size    int
	// separator is the position that a tapscript signs.
	separator uint32
	digest    [32]byte
}

// A legacyCache holds, for one way of signing, the state of SHA-256 before the hash
// type of a large transaction with the script that was signed last. Without it, a
// script that checks many signatures would have the whole transaction hashed for each
// (SigHashCache in Bitcoin Core).
type legacyCache struct {
	valid bool
	code  []byte // a copy
	state midstate
}

// legacyWay returns which of the six ways of signing a hash type means.
func legacyWay(hashType byte) int {
	way := 0
	switch hashType & sigHashMask {
	case sigHashNone:
		way = 1
	case sigHashSingle:
		way = 2
	}
	if hashType&sigHashAnyoneCanPay != 0 {
		way += 3
	}
	return way
}

// ecdsaDigest returns what an ECDSA signature of the hash type signs.
func (m *Machine) ecdsaDigest(code []byte, hashType byte) *[32]byte {
	d := &m.digest
	if d.valid && d.hashType == hashType && d.version == m.version && d.size == len(code) &&
		(len(code) == 0 || d.code == &code[0]) {
		return &d.digest
	}
	d.valid, d.hashType, d.version, d.size, d.code = true, hashType, m.version, len(code), nil
	if len(code) > 0 {
		d.code = &code[0]
	}
	if m.version == witnessV0 {
		d.digest = m.sig.witnessV0(m.tx, m.input, code, uint32(hashType))
	} else {
		d.digest = m.legacyDigest(code, hashType)
	}
	return &d.digest
}

// legacyDigest returns what a signature signs before witnesses.
func (m *Machine) legacyDigest(code []byte, hashType byte) [32]byte {
	cache, w := &m.legacy[legacyWay(hashType)], m.sig.w
	if cache.valid && bytes.Equal(cache.code, code) {
		cache.state.load(w)
	} else {
		if !m.sig.writeLegacy(m.tx, m.input, code, uint32(hashType)) {
			return singleBug
		}
		if cache.valid = w.long; cache.valid {
			cache.code = append(cache.code[:0], code...)
			cache.state.save(w)
		}
	}
	w.uint32(uint32(hashType))
	return w.doubleSum()
}

// taprootDigest returns what a BIP340 signature of the hash type signs.
func (m *Machine) taprootDigest(hashType byte) (digest *[32]byte, ok bool) {
	d := &m.digest
	if d.valid && d.hashType == hashType && d.version == tapscript && d.separator == m.tap.separator {
		return &d.digest, true
	}
	d.hashType, d.version, d.separator, d.code = hashType, tapscript, m.tap.separator, nil
	d.digest, d.valid = m.sig.taproot(m.tx, m.input, &m.tap, hashType)
	return &d.digest, d.valid
}

// checkItem verifies a signature, or notes that it is to be verified.
func (m *Machine) checkItem(key []byte, sig *[64]byte, digest *[32]byte, scheme sigverify.Scheme) bool {
	if m.batch == nil {
		return m.verify(&sigverify.Item{Key: key, Sig: *sig, Digest: *digest, Scheme: scheme})
	}
	it := m.batch.add(len(key))
	copy(it.Key, key)
	it.Sig, it.Digest, it.Scheme = *sig, *digest, scheme
	return true
}

// checkSig is EvalChecksig in Bitcoin Core: a reason other than OK ends the
// script, else valid is what the operation finds.
func (m *Machine) checkSig(sig, key []byte) (valid bool, reason Error) {
	if m.version == tapscript {
		return m.checkSigTapscript(sig, key)
	}
	code := m.script[m.codeStart:]
	if m.version == base {
		var found bool
		if code, found = findAndDelete(code, sig); found && m.flags&ConstScriptCode != 0 {
			return false, ErrSigFindAndDelete
		}
	}
	if reason := checkSigEncoding(sig, m.flags); reason != OK {
		return false, reason
	}
	if reason := checkKeyEncoding(key, m.flags, m.version); reason != OK {
		return false, reason
	}
	valid = m.checkECDSA(sig, key, code)
	if !valid && m.flags&NullFail != 0 && len(sig) > 0 {
		return false, ErrSigNullFail
	}
	return valid, OK
}

// checkECDSA is CheckECDSASignature in Bitcoin Core.
func (m *Machine) checkECDSA(sig, key, code []byte) bool {
	if len(sig) == 0 || !isKey(key) {
		return false
	}
	rs, ok := parseDER(sig[:len(sig)-1])
	if !ok {
		return false
	}
	return m.checkItem(key, &rs, m.ecdsaDigest(code, sig[len(sig)-1]), sigverify.ECDSA)
}

// checkSigTapscript is EvalChecksigTapscript in Bitcoin Core (BIP342).
func (m *Machine) checkSigTapscript(sig, key []byte) (valid bool, reason Error) {
	valid = len(sig) > 0
	if valid {
		// Signatures for keys of unknown types count too.
		if m.weight -= weightPerSignature; m.weight < 0 {
			return false, ErrTapscriptValidationWeight
		}
	}
	switch {
	case len(key) == 0:
		return false, ErrTapscriptEmptyPubkey
	case len(key) == schnorrKeySize:
		if valid {
			reason = m.checkSchnorr(sig, key)
		}
	case m.flags&DiscourageUpgradablePubkeyType != 0:
		reason = ErrDiscourageUpgradablePubkeyType
	}
	return valid && reason == OK, reason
}

// findAndDelete returns code without the pushes of sig, FindAndDelete in Bitcoin
// Core, and whether there were any. If so, what it returns is a copy.
func findAndDelete(code, sig []byte) (rest []byte, found bool) {
	if len(sig) > len(code) || !bytes.Contains(code, sig) {
		return code, false // a push of sig has sig in it
	}
	push := appendPush(make([]byte, 0, 3+maxElementSize), sig)
	kept, start := make([]byte, 0, len(code)), 0
	for r := (reader{script: code}); ; {
		for bytes.HasPrefix(code[r.pos:], push) {
			kept = append(kept, code[start:r.pos]...)
			r.pos += len(push)
			start = r.pos
			found = true
		}
		if !r.more() {
			break
		}
		if _, _, ok := r.next(); !ok {
			break
		}
	}
	if !found {
		return code, false
	}
	return append(kept, code[start:]...), true
}
