package script

import "github.com/outrider-project/outrider/sigverify"

// checkSigs executes the operations that check signatures.
func (m *Machine) checkSigs(op byte) Error {
	switch op {
	case opCheckMultisig, opCheckMultisigVerify:
		return m.checkMultisig(op == opCheckMultisigVerify)
	case opCheckSigAdd:
		return m.checkSigAdd()
	}
	if !m.has(2) {
		return ErrInvalidStackOperation
	}
	valid, reason := m.checkSig(m.top(2), m.top(1))
	if reason != OK {
		return reason
	}
	m.drop(2)
	return m.answer(valid, op == opCheckSigVerify, ErrCheckSigVerify)
}

// checkSigAdd executes OP_CHECKSIGADD (BIP342).
func (m *Machine) checkSigAdd() Error {
	if m.version != tapscript {
		return ErrBadOpcode
	}
	if !m.has(3) {
		return ErrInvalidStackOperation
	}
	n, reason := m.num(2)
	if reason != OK {
		return reason
	}
	valid, reason := m.checkSig(m.top(3), m.top(1))
	if reason != OK {
		return reason
	}
	m.drop(3)
	if valid {
		n++
	}
	m.pushNum(n)
	return OK
}

// A multisig is the arguments of a multisig operation, in the order in which
// Bitcoin Core goes through them: from the last on.
type multisig struct {
	keys, signatures [][]byte
	// code is the script that is signed.
	code []byte
}

// checkMultisig executes OP_CHECKMULTISIG.
func (m *Machine) checkMultisig(verify bool) Error {
	if m.version == tapscript {
		return ErrTapscriptCheckMultisig
	}
	keys, reason := m.count(1, maxMultisigKeys, ErrPubkeyCount)
	if reason != OK {
		return reason
	}
	if m.ops += keys; m.ops > maxOps {
		return ErrOpCount
	}
	signatures, reason := m.count(2+keys, keys, ErrSigCount)
	if reason != OK {
		return reason
	}
	// Below the arguments is one element that means nothing, and is taken too.
	all := 2 + keys + signatures
	if !m.has(all + 1) {
		return ErrInvalidStackOperation
	}
	n := len(m.main)
	args := multisig{
		keys:       m.main[n-1-keys : n-1],
		signatures: m.main[n-all : n-all+signatures],
	}
	if reason := m.multisigCode(&args); reason != OK {
		return reason
	}
	var valid bool
	if m.batch != nil {
		valid, reason = m.collectMultisig(&args)
	} else {
		valid, reason = m.verifyMultisig(&args)
	}
	if reason != OK {
		return reason
	}
	if !valid && m.flags&NullFail != 0 {
		for _, sig := range args.signatures {
			if len(sig) > 0 {
				return ErrSigNullFail
			}
		}
	}
	if m.flags&NullDummy != 0 && len(m.top(all+1)) > 0 {
		return ErrSigNullDummy
	}
	m.drop(all + 1)
	return m.answer(valid, verify, ErrCheckMultisigVerify)
}

// count returns the n-th element from the top as a number from 0 to most; tooMany
// is the reason if it is none of these.
func (m *Machine) count(n, most int, tooMany Error) (int, Error) {
	if !m.has(n) {
		return 0, ErrInvalidStackOperation
	}
	number, reason := m.num(n)
	if reason != OK {
		return 0, reason
	}
	if number < 0 || number > int64(most) {
		return 0, tooMany
	}
	return int(number), OK
}

// multisigCode sets the script that the signatures sign: in a legacy script it is
// without any of them.
func (m *Machine) multisigCode(args *multisig) Error {
	args.code = m.script[m.codeStart:]
	if m.version != base {
		return OK
	}
	for i := len(args.signatures) - 1; i >= 0; i-- {
		code, found := findAndDelete(args.code, args.signatures[i])
		if !found {
			continue
		}
		if m.flags&ConstScriptCode != 0 {
			return ErrSigFindAndDelete
		}
		args.code = code
	}
	return OK
}

// verifyMultisig verifies the signatures as Bitcoin Core does.
func (m *Machine) verifyMultisig(args *multisig) (valid bool, reason Error) {
	sig, key := len(args.signatures), len(args.keys)
	for sig > 0 {
		if sig > key {
			return false, OK
		}
		s, k := args.signatures[sig-1], args.keys[key-1]
		if reason := checkSigEncoding(s, m.flags); reason != OK {
			return false, reason
		}
		if reason := checkKeyEncoding(k, m.flags, m.version); reason != OK {
			return false, reason
		}
		if m.checkECDSA(s, k, args.code) {
			sig--
		}
		key--
	}
	return true, OK
}

// collectMultisig notes the signatures as a multisig operation that is to succeed,
// or finds that it must fail. It is undecided where an encoding that is forbidden
// comes up or not by what was valid before.
func (m *Machine) collectMultisig(args *multisig) (valid bool, reason Error) {
	for _, sig := range args.signatures {
		if checkSigEncoding(sig, m.flags) != OK {
			return false, Undecided
		}
	}
	for _, key := range args.keys {
		if checkKeyEncoding(key, m.flags, m.version) != OK {
			return false, Undecided
		}
	}
	var possible matching
	var rs [maxMultisigKeys][64]byte
	possible.signatures, possible.keys = len(args.signatures), len(args.keys)
	for i, sig := range args.signatures {
		readable := false
		if len(sig) > 0 {
			rs[i], readable = parseDER(sig[:len(sig)-1])
		}
		for j, key := range args.keys {
			if !readable || !isKey(key) {
				possible.set(i, j, false)
			}
		}
	}
	switch {
	case possible.outcome() == misfit:
		return false, OK
	case len(args.signatures) == len(args.keys):
		for i, sig := range args.signatures {
			m.checkItem(args.keys[i], &rs[i], m.ecdsaDigest(args.code, sig[len(sig)-1]), sigverify.ECDSA)
		}
		return true, OK
	}
	if len(args.signatures) == 0 {
		return true, OK
	}
	g := m.batch.addGroup(possible.signatures, possible.keys)
	g.matching = possible
	for j, key := range args.keys {
		if isKey(key) {
			g.setKey(j, key)
		}
	}
	for i, sig := range args.signatures {
		data := g.signature(i)
		copy(data[copy(data, rs[i][:]):], m.ecdsaDigest(args.code, sig[len(sig)-1])[:])
	}
	m.batch.ask(len(m.batch.groups) - 1)
	return true, OK
}
