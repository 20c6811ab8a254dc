package script

import (
	"bytes"
	"encoding/binary"
)

// A reader steps through a script's operations, as CScript::GetOp in Bitcoin
// Core.
type reader struct {
	script []byte
	// pos is where the next operation begins.
	pos int
}

// next reads an operation and what it pushes, in place. It reports false at a
// push that goes beyond the script: pos is then behind the operation and, if that
// is in the script, the length of what it pushes. It must not be called at the
// end.
func (r *reader) next() (op byte, data []byte, ok bool) {
	op = r.script[r.pos]
	r.pos++
	if op > opPushData4 {
		return op, nil, true
	}
	rest := r.script[r.pos:]
	size, head := uint(op), 0
	switch {
	case op < opPushData1:
	case op == opPushData1 && len(rest) >= 1:
		size, head = uint(rest[0]), 1
	case op == opPushData2 && len(rest) >= 2:
		size, head = uint(binary.LittleEndian.Uint16(rest)), 2
	case op == opPushData4 && len(rest) >= 4:
		size, head = uint(binary.LittleEndian.Uint32(rest)), 4
	default:
		return op, nil, false
	}
	r.pos += head
	rest = rest[head:]
	if size > uint(len(rest)) {
		return op, nil, false
	}
	r.pos += int(size)
	return op, rest[:size:size], true
}

func (r *reader) more() bool { return r.pos < len(r.script) }

// isPushOnly reports whether a script does nothing but push, CScript::IsPushOnly
// in Bitcoin Core. OP_RESERVED counts as a push.
func isPushOnly(script []byte) bool {
	for r := (reader{script: script}); r.more(); {
		if op, _, ok := r.next(); !ok || op > op16 {
			return false
		}
	}
	return true
}

// isMinimalPush reports whether op is the shortest way to push data,
// CheckMinimalPush in Bitcoin Core.
func isMinimalPush(op byte, data []byte) bool {
	switch n := len(data); {
	case n == 0:
		return op == op0
	case n == 1 && (data[0] >= 1 && data[0] <= 16 || data[0] == 0x81):
		return false // it has an operation of its own
	case n <= 75:
		return int(op) == n
	case n <= 0xff:
		return op == opPushData1
	case n <= 0xffff:
		return op == opPushData2
	}
	return true
}

// appendPush appends a push of data by its length alone, as CScript << data in
// Bitcoin Core: numbers get no operation of their own.
func appendPush(script, data []byte) []byte {
	return append(appendPushHead(script, len(data)), data...)
}

// appendPushHead appends what comes before the n bytes of a push.
func appendPushHead(script []byte, n int) []byte {
	switch {
	case n < opPushData1:
		return append(script, byte(n))
	case n <= 0xff:
		return append(script, opPushData1, byte(n))
	case n <= 0xffff:
		return binary.LittleEndian.AppendUint16(append(script, opPushData2), uint16(n))
	}
	return binary.LittleEndian.AppendUint32(append(script, opPushData4), uint32(n))
}

// isPushOf reports whether a script is just the push of data that appendPush
// makes.
func isPushOf(script, data []byte) bool {
	var buf [5]byte
	head, ok := bytes.CutSuffix(script, data)
	return ok && bytes.Equal(head, appendPushHead(buf[:0], len(data)))
}

// isP2SH recognises the script of a P2SH output (BIP16).
func isP2SH(s []byte) bool {
	return len(s) == 23 && s[0] == opHash160 && s[1] == 20 && s[22] == opEqual
}

// witnessProgram returns the version and the program of a script that is one:
// CScript::IsWitnessProgram in Bitcoin Core (BIP141).
func witnessProgram(s []byte) (version int, program []byte, ok bool) {
	if len(s) < 4 || len(s) > 42 || int(s[1])+2 != len(s) {
		return 0, nil, false
	}
	switch op := s[0]; {
	case op == op0:
	case op >= op1 && op <= op16:
		version = int(op-op1) + 1
	default:
		return 0, nil, false
	}
	return version, s[2:], true
}

// isPayToAnchor recognises the witness program that anyone can spend with
// nothing.
func isPayToAnchor(version int, program []byte) bool {
	return version == 1 && string(program) == "\x4e\x73"
}
