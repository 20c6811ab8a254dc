package wots

import (
	"fmt"
	"slices"

	"github.com/outrider-project/outrider/sigverify/hashlane"
)

// Witness returns the witness for [Scheme.Script], bottom of the stack first: each
// digit's value, and then the digit as a number.
func (sig *Signature) Witness() [][]byte {
	items := make([][]byte, 0, 2*len(sig.Values))
	for i := range sig.Values {
		items = append(items, sig.Values[i][:], digitItem(sig.Digits[i]))
	}
	return items
}

// digitItem returns a digit as Script has it: 0 is empty.
func digitItem(d uint8) []byte {
	if d == 0 {
		return nil
	}
	return []byte{d}
}

// CompactWitness returns the witness for [Scheme.CompactScript], bottom of the stack
// first: each digit's value, without the digit.
func (sig *Signature) CompactWitness() [][]byte {
	items := make([][]byte, len(sig.Values))
	for i := range sig.Values {
		items[i] = sig.Values[i][:]
	}
	return items
}

// DecodeWitness reads a witness as [Scheme.Script] does when it is run by consensus: a
// digit may be a number of up to four bytes that need not be minimal, and one above 15
// counts 15. So whoever watches a chain sees the digits that the script saw. The error
// wraps [ErrForm].
func (s Scheme) DecodeWitness(items [][]byte) (*Signature, error) {
	return s.decode(items, consensusDigit)
}

// DecodeWitnessStrict is [Scheme.DecodeWitness] for witnesses as [Signature.Witness]
// makes them and no others: a digit is from 0 to 15, in one byte or, 0, in none.
func (s Scheme) DecodeWitnessStrict(items [][]byte) (*Signature, error) {
	return s.decode(items, func(item []byte) (uint8, bool) {
		switch {
		case len(item) == 0:
			return 0, true
		case len(item) > 1 || item[0] == 0 || item[0] > maxDigit:
			return 0, false
		}
		return item[0], true
	})
}

func (s Scheme) decode(items [][]byte, digit func([]byte) (uint8, bool)) (*Signature, error) {
	digits, err := s.witnessDigits(items, digit)
	if err != nil {
		return nil, err
	}
	sig := &Signature{Values: make([][Hash]byte, len(digits)), Digits: digits}
	for i := range sig.Values {
		sig.Values[i] = [Hash]byte(items[2*i])
	}
	return sig, nil
}

// witnessDigits returns the digits of a witness, if it is of the scheme's form.
func (s Scheme) witnessDigits(items [][]byte, digit func([]byte) (uint8, bool)) ([]uint8, error) {
	n := s.Digits()
	if len(items) != 2*n {
		return nil, fmt.Errorf("%w: a witness of %d items, must be %d", ErrForm, len(items), 2*n)
	}
	digits := make([]uint8, n)
	for i := range digits {
		if size := len(items[2*i]); size != Hash {
			return nil, fmt.Errorf("%w: the value of digit %d has %d bytes", ErrForm, i, size)
		}
		var ok bool
		if digits[i], ok = digit(items[2*i+1]); !ok {
			return nil, fmt.Errorf("%w: digit %d is %.8x", ErrForm, i, items[2*i+1])
		}
	}
	return digits, nil
}

// consensusDigit reads a digit as [Scheme.Script] does.
func consensusDigit(item []byte) (uint8, bool) {
	n, ok := scriptNum(item)
	return uint8(min(n, maxDigit)), ok && n >= 0
}

// ReadWitness returns the message of a witness that [Scheme.Script] accepted when it was
// run by consensus. It reads the digits as [Scheme.DecodeWitness] does, and their
// checksum, and hashes nothing: whoever has not validated the block himself needs
// [Scheme.Verify]. The error wraps [ErrForm] or [ErrChecksum], of which neither can be in
// a valid block.
func (s Scheme) ReadWitness(items [][]byte) ([]byte, error) {
	digits, err := s.witnessDigits(items, consensusDigit)
	if err != nil {
		return nil, err
	}
	return s.message(digits)
}

// scriptNum reads a number as an arithmetic operation of Script does (CScriptNum): up to
// four bytes, little-endian, the highest bit the sign.
func scriptNum(b []byte) (n int64, ok bool) {
	if len(b) > 4 {
		return 0, false
	}
	for i, x := range b {
		n |= int64(x) << (8 * i)
	}
	if len(b) > 0 && b[len(b)-1]&0x80 != 0 {
		n = -(n &^ (0x80 << (8 * (len(b) - 1))))
	}
	return n, true
}

// DecodeCompactWitness reads a witness as [Scheme.CompactScript] does: it finds each
// digit by hashing its value until that is the public key. A signature that it returns
// lacks only the check of the checksum to be valid; the error wraps [ErrForm] or
// [ErrChain]. A value from which the public key is reached twice is refused.
func (s Scheme) DecodeCompactWitness(key PublicKey, items [][]byte) (*Signature, error) {
	sigs, errs := decodeCompact([]CompactItem{{s, key, items}})
	return sigs[0], errs[0]
}

// A CompactItem is a witness for [Scheme.CompactScript], with its scheme and key.
type CompactItem struct {
	Scheme  Scheme
	Key     PublicKey
	Witness [][]byte
}

// VerifyCompact verifies many compact witnesses at once, their chains side by side, and
// returns for each the message that was signed, or an error that wraps [ErrForm],
// [ErrChain] or [ErrChecksum]. What is wrong with one has no bearing on another.
func VerifyCompact(items []CompactItem) (messages [][]byte, errs []error) {
	sigs, errs := decodeCompact(items)
	messages = make([][]byte, len(items))
	for i, sig := range sigs {
		if errs[i] == nil {
			messages[i], errs[i] = items[i].Scheme.message(sig.Digits)
		}
	}
	return messages, errs
}

// decodeCompact decodes many witnesses at once.
func decodeCompact(items []CompactItem) (sigs []*Signature, errs []error) {
	sigs, errs = make([]*Signature, len(items)), make([]error, len(items))
	var values, keys [][Hash]byte
	for i := range items {
		it := &items[i]
		if sigs[i], errs[i] = it.unread(); errs[i] == nil {
			values, keys = append(values, sigs[i].Values...), append(keys, it.Key...)
		}
	}
	digits, found := findDigits(values, keys)
	for i, sig := range sigs {
		if errs[i] != nil {
			continue
		}
		n := copy(sig.Digits, digits)
		if at := slices.IndexFunc(found[:n], func(times int) bool { return times != 1 }); at >= 0 {
			sigs[i], errs[i] = nil, fmt.Errorf("%w: digit %d", ErrChain, at)
		}
		digits, found = digits[n:], found[n:]
	}
	return sigs, errs
}

// unread returns the signature of a witness without its digits.
func (it *CompactItem) unread() (*Signature, error) {
	n := it.Scheme.Digits()
	if len(it.Witness) != n || len(it.Key) != n {
		return nil, fmt.Errorf("%w: a witness of %d items for a key of %d, must be %d", ErrForm, len(it.Witness), len(it.Key), n)
	}
	sig := &Signature{Values: make([][Hash]byte, n), Digits: make([]uint8, n)}
	for i, item := range it.Witness {
		if len(item) != Hash {
			return nil, fmt.Errorf("%w: the value of digit %d has %d bytes", ErrForm, i, len(item))
		}
		sig.Values[i] = [Hash]byte(item)
	}
	return sig, nil
}

// findDigits returns for each value which digit leads to the end of its chain, the lowest
// if several do, and how many do. It overwrites values.
func findDigits(values, ends [][Hash]byte) (digits []uint8, found []int) {
	digits, found = make([]uint8, len(values)), make([]int, len(values))
	one := slices.Repeat([]int{1}, len(values))
	for digit := maxDigit; ; digit-- {
		for i := range values {
			if values[i] == ends[i] {
				found[i]++
				digits[i] = uint8(digit)
			}
		}
		if digit == 0 {
			return digits, found
		}
		hashlane.Hash160Chain(values, one)
	}
}
