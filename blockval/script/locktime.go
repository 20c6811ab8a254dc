package script

// The bits of a sequence number (BIP68).
const (
	sequenceFinal    = 0xffffffff
	sequenceDisabled = 1 << 31
	sequenceIsTime   = 1 << 22
	sequenceMask     = 0xffff
)

// lockTimeThreshold is the first lock time that is a time and no height.
const lockTimeThreshold = 500_000_000

// lockNum returns the number at the top, which stays there, for comparison with a
// lock time.
func (m *Machine) lockNum() (int64, Error) {
	if !m.has(1) {
		return 0, ErrInvalidStackOperation
	}
	n, reason := decodeNum(m.top(1), m.flags&MinimalData != 0, maxLockSize)
	if reason == OK && n < 0 {
		return 0, ErrNegativeLocktime
	}
	return n, reason
}

// checkLockTime executes OP_CHECKLOCKTIMEVERIFY (BIP65).
func (m *Machine) checkLockTime() Error {
	if m.flags&CheckLockTimeVerify == 0 {
		return OK
	}
	least, reason := m.lockNum()
	if reason != OK {
		return reason
	}
	have := int64(m.tx.Msg.LockTime)
	if (have < lockTimeThreshold) != (least < lockTimeThreshold) || least > have ||
		m.tx.Msg.TxIn[m.input].Sequence == sequenceFinal {
		return ErrUnsatisfiedLocktime
	}
	return OK
}

// checkSequence executes OP_CHECKSEQUENCEVERIFY (BIP112).
func (m *Machine) checkSequence() Error {
	if m.flags&CheckSequenceVerify == 0 {
		return OK
	}
	least, reason := m.lockNum()
	if reason != OK {
		return reason
	}
	if least&sequenceDisabled != 0 {
		return OK
	}
	have := int64(m.tx.Msg.TxIn[m.input].Sequence)
	if uint32(m.tx.Msg.Version) < 2 || have&sequenceDisabled != 0 {
		return ErrUnsatisfiedLocktime
	}
	const mask = sequenceIsTime | sequenceMask
	least, have = least&mask, have&mask
	if (have < sequenceIsTime) != (least < sequenceIsTime) || least > have {
		return ErrUnsatisfiedLocktime
	}
	return OK
}
