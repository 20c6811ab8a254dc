package relay

import (
	"crypto/sha256"
	"encoding/binary"
	"math/big"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// epochLength is how many blocks Bitcoin's target stays the same for.
const epochLength = 2016

// retargetPeriod is how many seconds they are meant to take.
const retargetPeriod = 14 * 24 * 60 * 60

// A Uint256 is an unsigned number of 256 bits, as header.Uint256.
type Uint256 = header.Uint256

// diff1Target is the target of difficulty 1, 0x1d00ffff.
var diff1Target = new(big.Int).Lsh(big.NewInt(0xffff), 208)

// hash256 is the double SHA-256.
func hash256(data []byte) chainhash.Hash {
	first := sha256.Sum256(data)
	return sha256.Sum256(first[:])
}

// targetOf returns the target of the header that begins data, as BTCUtils'
// extractTarget. Other than in Bitcoin the highest bit of the mantissa is no sign.
func targetOf(data []byte) (Uint256, error) {
	if len(data) < header.Size {
		return Uint256{}, panics(PanicIndex)
	}
	bits := binary.LittleEndian.Uint32(data[72:])
	size, mantissa := bits>>24, bits&0x00ffffff
	if size < 3 || size-3 >= 32 {
		return Uint256{}, panics(PanicArithmetic) // size - 3, and 256 ** 32
	}
	var number [40]byte
	binary.LittleEndian.PutUint32(number[size-3:], mantissa)
	if number[32] != 0 || number[33] != 0 {
		return Uint256{}, panics(PanicArithmetic)
	}
	return littleEndian([32]byte(number[:])), nil
}

// littleEndian returns the number whose bytes are given, the lowest first: what
// reverseUint256 makes of a digest.
func littleEndian(b [32]byte) Uint256 {
	var x Uint256
	for i := range x {
		x[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return x
}

// difficultyOf returns the difficulty of a target as the contracts have it: a whole
// number, 0 above the target of difficulty 1.
func difficultyOf(target Uint256) (Uint256, error) {
	if target == (Uint256{}) {
		return Uint256{}, panics(PanicDivideByZero)
	}
	return fromBig(new(big.Int).Div(diff1Target, toBig(target))), nil
}

// HeaderDifficulty returns the difficulty of the header that begins data, as a contract has
// it. It fails with a *Revert where the contract would.
func HeaderDifficulty(data []byte) (Uint256, error) { return headerDifficulty(data) }

// headerDifficulty returns the difficulty of the header that begins data.
func headerDifficulty(data []byte) (Uint256, error) {
	target, err := targetOf(data)
	if err != nil {
		return Uint256{}, err
	}
	return difficultyOf(target)
}

// retarget returns the target after a period with the target previous whose first
// and last blocks have these times, as BTCUtils' retargetAlgorithm: in full, where a
// header has its leading bits only.
func retarget(previous Uint256, first, last uint32) (Uint256, error) {
	if first > last {
		return Uint256{}, reason("Underflow during subtraction.")
	}
	elapsed := min(max(uint64(last-first), retargetPeriod/4), retargetPeriod*4)
	n := toBig(previous)
	n.Rsh(n, 16)
	n.Mul(n, new(big.Int).SetUint64(elapsed))
	if n.BitLen() > 256 {
		return Uint256{}, panics(PanicArithmetic)
	}
	n.Div(n, big.NewInt(retargetPeriod))
	n.Lsh(n, 16)
	if n.BitLen() > 256 {
		return Uint256{}, panics(PanicArithmetic)
	}
	return fromBig(n), nil
}

// isTruncated reports whether encoded is what a header may have for the target
// full: all of encoded's bits are full's too.
func isTruncated(encoded, full Uint256) bool {
	for i := range encoded {
		if encoded[i]&full[i] != encoded[i] {
			return false
		}
	}
	return true
}

// timeAt returns the time of the header at an offset.
func timeAt(headers []byte, offset int) uint32 {
	return binary.LittleEndian.Uint32(headers[offset+68:])
}

// prevAt returns the previous digest of the header at an offset.
func prevAt(headers []byte, offset int) chainhash.Hash {
	return chainhash.Hash(headers[offset+4 : offset+36])
}

func toBig(x Uint256) *big.Int {
	var b [32]byte
	for i, limb := range x {
		binary.BigEndian.PutUint64(b[24-8*i:], limb)
	}
	return new(big.Int).SetBytes(b[:])
}

// fromBig returns a number that has up to 256 bits.
func fromBig(n *big.Int) Uint256 {
	var b [32]byte
	n.FillBytes(b[:])
	var x Uint256
	for i := range x {
		x[i] = binary.BigEndian.Uint64(b[24-8*i:])
	}
	return x
}
