package blockval

import (
	"encoding/binary"

	"github.com/btcsuite/btcd/txscript/v2"
)

// A scriptReader steps through a script's operations, as CScript::GetOp in
// Bitcoin Core.
type scriptReader struct {
	rest []byte
	// op is the operation that next read, data what it pushes.
	op   byte
	data []byte
	// malformed says that the script ended within a push.
	malformed bool
}

// next reads an operation. It returns false at the end of the script, and at a
// push that goes beyond it.
func (s *scriptReader) next() bool {
	if len(s.rest) == 0 {
		return false
	}
	s.op, s.data = s.rest[0], nil
	rest := s.rest[1:]
	size := 0
	switch {
	case s.op < txscript.OP_PUSHDATA1:
		size = int(s.op)
	case s.op == txscript.OP_PUSHDATA1 && len(rest) >= 1:
		size, rest = int(rest[0]), rest[1:]
	case s.op == txscript.OP_PUSHDATA2 && len(rest) >= 2:
		size, rest = int(binary.LittleEndian.Uint16(rest)), rest[2:]
	case s.op == txscript.OP_PUSHDATA4 && len(rest) >= 4:
		// A length that no slice has is told as one that this script lacks.
		size, rest = int(min(binary.LittleEndian.Uint32(rest), maxSize)), rest[4:]
	case s.op <= txscript.OP_PUSHDATA4:
		size = len(rest) + 1
	}
	if size > len(rest) {
		s.malformed = true
		return false
	}
	s.data, s.rest = rest[:size:size], rest[size:]
	return true
}

// These recognise the forms of an output's script.

func isP2PKH(s []byte) bool {
	return len(s) == 25 && s[0] == txscript.OP_DUP && s[1] == txscript.OP_HASH160 && s[2] == 20 &&
		s[23] == txscript.OP_EQUALVERIFY && s[24] == txscript.OP_CHECKSIG
}

func isP2SH(s []byte) bool {
	return len(s) == 23 && s[0] == txscript.OP_HASH160 && s[1] == 20 && s[22] == txscript.OP_EQUAL
}

func isP2WPKH(s []byte) bool { return len(s) == 22 && s[0] == txscript.OP_0 && s[1] == 20 }

func isP2WSH(s []byte) bool { return len(s) == 34 && s[0] == txscript.OP_0 && s[1] == 32 }

func isP2TR(s []byte) bool { return len(s) == 34 && s[0] == txscript.OP_1 && s[1] == 32 }

// isUnspendable reports whether an output with this script never becomes a
// coin, as CScript::IsUnspendable in Bitcoin Core.
func isUnspendable(s []byte) bool {
	return len(s) > 0 && s[0] == txscript.OP_RETURN || len(s) > maxScriptSize
}
