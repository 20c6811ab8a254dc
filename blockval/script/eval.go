package script

import "bytes"

// The limits of scripts, by Bitcoin Core's script.h.
const (
	maxElementSize = 520
	maxOps         = 201
	maxScriptSize  = 10_000
	maxStackSize   = 1000
)

// conditions are the branches that a script is in: how many, and which of them is
// the outermost that is not taken. Those further in do not matter.
type conditions struct {
	depth int
	// skipped is the number of the outermost branch that is not taken, counted
	// from 1; 0 if all are.
	skipped int
}

func (c *conditions) enter(taken bool) {
	c.depth++
	if !taken && c.skipped == 0 {
		c.skipped = c.depth
	}
}

// flip is for OP_ELSE.
func (c *conditions) flip() {
	switch c.skipped {
	case 0:
		c.skipped = c.depth
	case c.depth:
		c.skipped = 0
	}
}

func (c *conditions) leave() {
	if c.skipped == c.depth {
		c.skipped = 0
	}
	c.depth--
}

// eval executes a script on the stack, EvalScript in Bitcoin Core.
func (m *Machine) eval(script []byte, v version) Error {
	m.version, m.script, m.codeStart, m.ops = v, script, 0, 0
	m.tap.separator = noSeparator
	m.alt = m.alt[:0]
	if v != tapscript && len(script) > maxScriptSize {
		return ErrScriptSize
	}
	var in conditions
	r := reader{script: script}
	for at := uint32(0); r.more(); at++ {
		op, data, ok := r.next()
		if !ok {
			return ErrBadOpcode
		}
		if len(data) > maxElementSize {
			return ErrPushSize
		}
		executed := in.skipped == 0
		if op <= opPushData4 {
			if executed {
				if m.flags&MinimalData != 0 && !isMinimalPush(op, data) {
					return ErrMinimalData
				}
				m.push(data)
			}
		} else {
			if v != tapscript {
				if op > op16 {
					if m.ops++; m.ops > maxOps {
						return ErrOpCount
					}
				}
				if op >= opCat && isDisabled(op) {
					return ErrDisabledOpcode
				}
				if op == opCodeSeparator && v == base && m.flags&ConstScriptCode != 0 {
					return ErrOpCodeSeparator
				}
			}
			var reason Error
			switch {
			case op >= opIf && op <= opEndIf:
				reason = m.condition(op, &in)
			case !executed:
			case op == opCodeSeparator:
				m.codeStart, m.tap.separator = r.pos, at
			default:
				reason = m.execute(op)
			}
			if reason != OK {
				return reason
			}
		}
		if len(m.main)+len(m.alt) > maxStackSize {
			return ErrStackSize
		}
	}
	if in.depth != 0 {
		return ErrUnbalancedConditional
	}
	return OK
}

// condition executes the operations from OP_IF to OP_ENDIF, which are looked at
// even where nothing else is executed.
func (m *Machine) condition(op byte, in *conditions) Error {
	switch op {
	case opIf, opNotIf:
		taken := false
		if in.skipped == 0 {
			if !m.has(1) {
				return ErrInvalidStackOperation
			}
			e := m.top(1)
			minimal := len(e) == 0 || len(e) == 1 && e[0] == 1
			if m.version == tapscript && !minimal {
				return ErrTapscriptMinimalIf
			}
			if m.version == witnessV0 && m.flags&MinimalIf != 0 && !minimal {
				return ErrMinimalIf
			}
			taken = truth(e) == (op == opIf)
			m.drop(1)
		}
		in.enter(taken)
	case opElse:
		if in.depth == 0 {
			return ErrUnbalancedConditional
		}
		in.flip()
	case opEndIf:
		if in.depth == 0 {
			return ErrUnbalancedConditional
		}
		in.leave()
	default: // OP_VERIF and OP_VERNOTIF
		return ErrBadOpcode
	}
	return OK
}

// execute executes an operation that is neither a push of data nor a condition
// nor OP_CODESEPARATOR.
func (m *Machine) execute(op byte) Error {
	switch {
	case op >= op1 && op <= op16:
		m.pushNum(int64(op-op1) + 1)
		return OK
	case op == op1Negate:
		m.pushNum(-1)
		return OK
	case op >= opToAltStack && op <= opTuck, op == opSize:
		return m.arrange(op)
	case op >= op1Add && op <= opWithin:
		return m.calculate(op)
	case op >= opRIPEMD160 && op <= opHash256:
		return m.digestTop(op)
	case op >= opCheckSig && op <= opCheckMultisigVerify, op == opCheckSigAdd:
		return m.checkSigs(op)
	}
	switch op {
	case opNop:
		return OK
	case opCheckLockTimeVerify:
		return m.checkLockTime()
	case opCheckSequenceVerify:
		return m.checkSequence()
	case opNop1, opNop4, opNop4 + 1, opNop4 + 2, opNop4 + 3, opNop4 + 4, opNop4 + 5, opNop10:
		if m.flags&DiscourageUpgradableNops != 0 {
			return ErrDiscourageUpgradableNops
		}
		return OK
	case opVerify:
		if !m.has(1) {
			return ErrInvalidStackOperation
		}
		if !truth(m.top(1)) {
			return ErrVerify
		}
		m.drop(1)
		return OK
	case opReturn:
		return ErrOpReturn
	case opEqual, opEqualVerify:
		if !m.has(2) {
			return ErrInvalidStackOperation
		}
		equal := bytes.Equal(m.top(1), m.top(2))
		m.drop(2)
		return m.answer(equal, op == opEqualVerify, ErrEqualVerify)
	}
	return ErrBadOpcode
}

// answer pushes a result, or if verify, ends the script with a reason if it is
// false.
func (m *Machine) answer(result, verify bool, reason Error) Error {
	switch {
	case !verify:
		m.pushBool(result)
	case !result:
		return reason
	}
	return OK
}
