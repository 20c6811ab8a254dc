package wots

import "github.com/btcsuite/btcd/txscript/v2"

// A script is a Bitcoin Script under way. txscript's ScriptBuilder refuses more than
// 10,000 bytes, which bind no tapscript (BIP342).
type script []byte

func (s *script) op(ops ...byte) { *s = append(*s, ops...) }

// num pushes a number from -1 to 32767, in the shortest way.
func (s *script) num(n int) {
	switch {
	case n == 0:
		s.op(txscript.OP_0)
	case n == -1 || n <= 16:
		s.op(byte(txscript.OP_1 - 1 + n))
	case n < 0x80:
		s.op(txscript.OP_DATA_1, byte(n))
	default:
		s.op(txscript.OP_DATA_2, byte(n), byte(n>>8))
	}
}

func (s *script) push(h [Hash]byte) {
	s.op(txscript.OP_DATA_20)
	s.op(h[:]...)
}

// times appends ops so many times.
func (s *script) times(n int, ops ...byte) {
	for range n {
		s.op(ops...)
	}
}

// Script returns the script that BitVM calls ListpickVerifier, which verifies a
// [Signature.Witness] and leaves nothing (checksig_verify_and_clear_stack): for each
// digit, last one first, it lists eight values of the chain and picks the digit's.
func (s Scheme) Script(key PublicKey) []byte {
	var b script
	const half = (maxDigit + 1) / 2
	for i := s.Digits() - 1; i >= 0; i-- {
		b.op(txscript.OP_SWAP, txscript.OP_SIZE)
		b.num(Hash)
		b.op(txscript.OP_EQUALVERIFY, txscript.OP_SWAP)
		b.num(maxDigit)
		b.op(txscript.OP_MIN, txscript.OP_DUP, txscript.OP_TOALTSTACK)
		b.num(half)
		b.op(txscript.OP_2DUP, txscript.OP_LESSTHAN, txscript.OP_IF)
		b.op(txscript.OP_DROP, txscript.OP_TOALTSTACK)
		b.times(half, txscript.OP_HASH160)
		b.op(txscript.OP_ELSE, txscript.OP_SUB, txscript.OP_TOALTSTACK, txscript.OP_ENDIF)
		b.times(maxDigit/2, txscript.OP_DUP, txscript.OP_HASH160)
		b.op(txscript.OP_FROMALTSTACK, txscript.OP_PICK)
		b.push(key[i])
		b.op(txscript.OP_EQUALVERIFY)
		b.times((maxDigit+1)/4, txscript.OP_2DROP)
	}
	s.finish(&b)
	return b
}

// CompactScript returns the script that BitVM calls BruteforceVerifier, which verifies a
// [Signature.CompactWitness] and leaves nothing: for each digit, last one first, it hashes
// the value and compares until the chain's end. A sentinel of -1 below the digit sees to
// it that exactly one comparison succeeds.
func (s Scheme) CompactScript(key PublicKey) []byte {
	var b script
	for i := s.Digits() - 1; i >= 0; i-- {
		b.op(txscript.OP_SIZE)
		b.num(Hash)
		b.op(txscript.OP_EQUALVERIFY)
		b.push(key[i])
		b.op(txscript.OP_SWAP)
		b.num(-1)
		b.op(txscript.OP_TOALTSTACK)
		for digit := maxDigit; digit >= 0; digit-- {
			if digit < maxDigit {
				b.op(txscript.OP_HASH160)
			}
			b.op(txscript.OP_2DUP, txscript.OP_EQUAL, txscript.OP_IF)
			b.num(digit)
			b.op(txscript.OP_TOALTSTACK, txscript.OP_ENDIF)
		}
		b.op(txscript.OP_2DROP, txscript.OP_FROMALTSTACK, txscript.OP_DUP)
		b.num(-1)
		b.op(txscript.OP_NUMNOTEQUAL, txscript.OP_VERIFY, txscript.OP_FROMALTSTACK)
		b.num(-1)
		b.op(txscript.OP_EQUALVERIFY, txscript.OP_TOALTSTACK)
	}
	s.finish(&b)
	return b
}

// finish appends the check of the checksum, for which the digits are on the other stack,
// first one on top, and drops the message.
func (s Scheme) finish(b *script) {
	b.op(txscript.OP_FROMALTSTACK, txscript.OP_DUP, txscript.OP_NEGATE)
	b.times(s.messageDigits()-1, txscript.OP_FROMALTSTACK, txscript.OP_TUCK, txscript.OP_SUB)
	b.num(s.mostChecksum())
	b.op(txscript.OP_ADD, txscript.OP_FROMALTSTACK)
	for range s.checksum - 1 {
		b.times(digitBits, txscript.OP_DUP, txscript.OP_ADD)
		b.op(txscript.OP_FROMALTSTACK, txscript.OP_ADD)
	}
	b.op(txscript.OP_EQUALVERIFY)
	b.times(s.messageDigits()/2, txscript.OP_2DROP)
}
