package script

// num returns the n-th element from the top as a number to calculate with.
func (m *Machine) num(n int) (int64, Error) {
	return decodeNum(m.top(n), m.flags&MinimalData != 0, maxNumSize)
}

// calculate executes the operations on numbers.
func (m *Machine) calculate(op byte) Error {
	switch {
	case op < opAdd:
		return m.calculateOne(op)
	case op == opWithin:
		return m.within()
	}
	if op >= opMul && op <= opRShift {
		return ErrBadOpcode
	}
	if !m.has(2) {
		return ErrInvalidStackOperation
	}
	a, reason := m.num(2)
	if reason != OK {
		return reason
	}
	b, reason := m.num(1)
	if reason != OK {
		return reason
	}
	m.drop(2)
	var result bool
	switch op {
	case opAdd:
		m.pushNum(a + b)
		return OK
	case opSub:
		m.pushNum(a - b)
		return OK
	case opMin:
		m.pushNum(min(a, b))
		return OK
	case opMax:
		m.pushNum(max(a, b))
		return OK
	case opBoolAnd:
		result = a != 0 && b != 0
	case opBoolOr:
		result = a != 0 || b != 0
	case opNumEqual, opNumEqualVerify:
		result = a == b
	case opNumNotEqual:
		result = a != b
	case opLessThan:
		result = a < b
	case opGreaterThan:
		result = a > b
	case opLessThanOrEqual:
		result = a <= b
	case opGreaterThanOrEqual:
		result = a >= b
	}
	return m.answer(result, op == opNumEqualVerify, ErrNumEqualVerify)
}

// calculateOne executes the operations on one number.
func (m *Machine) calculateOne(op byte) Error {
	if op == op2Mul || op == op2Div {
		return ErrBadOpcode
	}
	if !m.has(1) {
		return ErrInvalidStackOperation
	}
	n, reason := m.num(1)
	if reason != OK {
		return reason
	}
	m.drop(1)
	switch op {
	case op1Add:
		n++
	case op1Sub:
		n--
	case opNegate:
		n = -n
	case opAbs:
		n = max(n, -n)
	case opNot:
		m.pushBool(n == 0)
		return OK
	case op0NotEqual:
		m.pushBool(n != 0)
		return OK
	}
	m.pushNum(n)
	return OK
}

// within executes OP_WITHIN: whether a number is at least the second, and below
// the third.
func (m *Machine) within() Error {
	if !m.has(3) {
		return ErrInvalidStackOperation
	}
	var n [3]int64
	for i := range n {
		var reason Error
		if n[i], reason = m.num(3 - i); reason != OK {
			return reason
		}
	}
	m.drop(3)
	m.pushBool(n[1] <= n[0] && n[0] < n[2])
	return OK
}
