package script

// These are the operations that the interpreter tells apart, by their names in
// BIPs and Bitcoin Core without OP_.
const (
	op0                   = 0x00
	opPushData1           = 0x4c
	opPushData2           = 0x4d
	opPushData4           = 0x4e
	op1Negate             = 0x4f
	op1                   = 0x51
	op16                  = 0x60
	opNop                 = 0x61
	opIf                  = 0x63
	opNotIf               = 0x64
	opElse                = 0x67
	opEndIf               = 0x68
	opVerify              = 0x69
	opReturn              = 0x6a
	opToAltStack          = 0x6b
	opFromAltStack        = 0x6c
	op2Drop               = 0x6d
	op2Dup                = 0x6e
	op3Dup                = 0x6f
	op2Over               = 0x70
	op2Rot                = 0x71
	op2Swap               = 0x72
	opIfDup               = 0x73
	opDepth               = 0x74
	opDrop                = 0x75
	opDup                 = 0x76
	opNip                 = 0x77
	opOver                = 0x78
	opPick                = 0x79
	opRoll                = 0x7a
	opRot                 = 0x7b
	opSwap                = 0x7c
	opTuck                = 0x7d
	opCat                 = 0x7e
	opSubstr              = 0x7f
	opLeft                = 0x80
	opRight               = 0x81
	opSize                = 0x82
	opInvert              = 0x83
	opAnd                 = 0x84
	opOr                  = 0x85
	opXor                 = 0x86
	opEqual               = 0x87
	opEqualVerify         = 0x88
	op1Add                = 0x8b
	op1Sub                = 0x8c
	op2Mul                = 0x8d
	op2Div                = 0x8e
	opNegate              = 0x8f
	opAbs                 = 0x90
	opNot                 = 0x91
	op0NotEqual           = 0x92
	opAdd                 = 0x93
	opSub                 = 0x94
	opMul                 = 0x95
	opDiv                 = 0x96
	opMod                 = 0x97
	opLShift              = 0x98
	opRShift              = 0x99
	opBoolAnd             = 0x9a
	opBoolOr              = 0x9b
	opNumEqual            = 0x9c
	opNumEqualVerify      = 0x9d
	opNumNotEqual         = 0x9e
	opLessThan            = 0x9f
	opGreaterThan         = 0xa0
	opLessThanOrEqual     = 0xa1
	opGreaterThanOrEqual  = 0xa2
	opMin                 = 0xa3
	opMax                 = 0xa4
	opWithin              = 0xa5
	opRIPEMD160           = 0xa6
	opSHA1                = 0xa7
	opSHA256              = 0xa8
	opHash160             = 0xa9
	opHash256             = 0xaa
	opCodeSeparator       = 0xab
	opCheckSig            = 0xac
	opCheckSigVerify      = 0xad
	opCheckMultisig       = 0xae
	opCheckMultisigVerify = 0xaf
	opNop1                = 0xb0
	opCheckLockTimeVerify = 0xb1
	opCheckSequenceVerify = 0xb2
	opNop4                = 0xb3
	opNop10               = 0xb9
	opCheckSigAdd         = 0xba
)

// isSuccess reports whether an operation makes any tapscript succeed, OP_SUCCESSx
// (BIP342).
func isSuccess(op byte) bool {
	switch {
	case op == 80, op == 98, op >= 126 && op <= 129, op >= 131 && op <= 134,
		op >= 137 && op <= 138, op >= 141 && op <= 142, op >= 149 && op <= 153,
		op >= 187 && op <= 254:
		return true
	}
	return false
}

// isDisabled reports whether an operation fails any script that it is in, even
// where it is not executed (CVE-2010-5137).
func isDisabled(op byte) bool {
	switch op {
	case opCat, opSubstr, opLeft, opRight, opInvert, opAnd, opOr, opXor,
		op2Mul, op2Div, opMul, opDiv, opMod, opLShift, opRShift:
		return true
	}
	return false
}
