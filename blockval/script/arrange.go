package script

// arrange executes the operations that move elements, and those that tell how many
// there are or how long one is.
func (m *Machine) arrange(op byte) Error {
	if op == opFromAltStack {
		n := len(m.alt)
		if n == 0 {
			return ErrInvalidAltstackOperation
		}
		m.push(m.alt[n-1])
		m.alt = m.alt[:n-1]
		return OK
	}
	if !m.has(wanted[op-opToAltStack]) {
		return ErrInvalidStackOperation
	}
	switch op {
	case opToAltStack:
		m.alt = append(m.alt, m.top(1))
		m.drop(1)
	case op2Drop:
		m.drop(2)
	case op2Dup:
		m.push(m.top(2))
		m.push(m.top(2))
	case op3Dup:
		m.push(m.top(3))
		m.push(m.top(3))
		m.push(m.top(3))
	case op2Over:
		m.push(m.top(4))
		m.push(m.top(4))
	case op2Rot:
		a, b := m.top(6), m.top(5)
		m.remove(6)
		m.remove(5)
		m.push(a)
		m.push(b)
	case op2Swap:
		m.swap(4, 2)
		m.swap(3, 1)
	case opIfDup:
		if e := m.top(1); truth(e) {
			m.push(e)
		}
	case opDepth:
		m.pushNum(int64(len(m.main)))
	case opDrop:
		m.drop(1)
	case opDup:
		m.push(m.top(1))
	case opNip:
		m.remove(2)
	case opOver:
		m.push(m.top(2))
	case opPick, opRoll:
		return m.fetch(op == opRoll)
	case opRot:
		m.swap(3, 2)
		m.swap(2, 1)
	case opSwap:
		m.swap(2, 1)
	case opTuck:
		m.insert(2, m.top(1))
	case opSize:
		m.pushNum(int64(len(m.top(1))))
	default:
		return ErrBadOpcode
	}
	return OK
}

// wanted is how many elements the operations from OP_TOALTSTACK to OP_SIZE want to
// be there.
var wanted = [opSize - opToAltStack + 1]int{
	0:                      1, // OP_TOALTSTACK
	op2Drop - opToAltStack: 2,
	op2Dup - opToAltStack:  2,
	op3Dup - opToAltStack:  3,
	op2Over - opToAltStack: 4,
	op2Rot - opToAltStack:  6,
	op2Swap - opToAltStack: 4,
	opIfDup - opToAltStack: 1,
	opDrop - opToAltStack:  1,
	opDup - opToAltStack:   1,
	opNip - opToAltStack:   2,
	opOver - opToAltStack:  2,
	opPick - opToAltStack:  2,
	opRoll - opToAltStack:  2,
	opRot - opToAltStack:   3,
	opSwap - opToAltStack:  2,
	opTuck - opToAltStack:  2,
	opSize - opToAltStack:  1,
}

// fetch copies the element whose number is at the top, or moves it.
func (m *Machine) fetch(move bool) Error {
	n, reason := m.num(1)
	if reason != OK {
		return reason
	}
	m.drop(1)
	if n < 0 || n >= int64(len(m.main)) {
		return ErrInvalidStackOperation
	}
	at := int(n) + 1
	e := m.top(at)
	if move {
		m.remove(at)
	}
	m.push(e)
	return OK
}
