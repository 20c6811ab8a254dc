package adaptor

import (
	"fmt"

	"github.com/btcsuite/btcd/txscript/v2"
)

// opcodesPerDigit is how many opcodes of the script belong to a digit that is not the
// last one, and so how far apart BIP342 has their separators.
const opcodesPerDigit = 3

// Script returns the tapscript that takes so many signatures by one key, from 1 to
// [MaxDigits]; it panics if there are to be others. The signature that it checks first,
// of digit 0, is on top of the stack.
//
//	<key> (OP_TUCK OP_CHECKSIGVERIFY OP_CODESEPARATOR)... OP_CHECKSIG
func Script(key [32]byte, digits int) []byte {
	if digits < 1 || digits > MaxDigits {
		panic("adaptor: Script: so many digits do not fit the stack")
	}
	script := append(make([]byte, 0, scriptSize(digits)), txscript.OP_DATA_32)
	script = append(script, key[:]...)
	for range digits - 1 {
		script = append(script, txscript.OP_TUCK, txscript.OP_CHECKSIGVERIFY, txscript.OP_CODESEPARATOR)
	}
	return append(script, txscript.OP_CHECKSIG)
}

func scriptSize(digits int) int { return 1 + 32 + opcodesPerDigit*(digits-1) + 1 }

// ParseScript is the opposite of [Script]. The error wraps [ErrForm] if the script is not
// one of those.
func ParseScript(script []byte) (key [32]byte, digits int, err error) {
	digits = (len(script)-scriptSize(1))/opcodesPerDigit + 1
	if len(script) < scriptSize(1) || digits > MaxDigits || len(script) != scriptSize(digits) {
		return key, 0, fmt.Errorf("%w: a script of %d bytes", ErrForm, len(script))
	}
	copy(key[:], script[1:])
	if string(Script(key, digits)) != string(script) {
		return key, 0, fmt.Errorf("%w: the script is another", ErrForm)
	}
	return key, digits, nil
}

// separator returns the position of the last OP_CODESEPARATOR before a digit's check, as
// BIP342 counts it: in opcodes, from 0, and 0xffffffff where there is none.
func separator(digit int) uint32 {
	if digit == 0 {
		return 0xffffffff
	}
	return uint32(opcodesPerDigit * digit)
}

// Witness returns the witness for a script of this package: the signatures, that of digit
// 0 last, and then the script and its control block.
func Witness(signatures []Signature, script, control []byte) [][]byte {
	items := make([][]byte, 0, len(signatures)+2)
	for i := len(signatures) - 1; i >= 0; i-- {
		items = append(items, signatures[i][:])
	}
	return append(items, script, control)
}
