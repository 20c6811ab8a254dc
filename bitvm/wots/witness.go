package wots

import (
	"fmt"

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
	return s.decode(items, func(item []byte) (uint8, bool) {
		n, ok := scriptNum(item)
		return uint8(min(n, maxDigit)), ok && n >= 0
	})
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
	n := s.Digits()
	if len(items) != 2*n {
		return nil, fmt.Errorf("%w: a witness of %d items, must be %d", ErrForm, len(items), 2*n)
	}
	sig := &Signature{Values: make([][Hash]byte, n), Digits: make([]uint8, n)}
	for i := range n {
		var ok bool
		if copy(sig.Values[i][:], items[2*i]) != len(items[2*i]) || len(items[2*i]) != Hash {
			return nil, fmt.Errorf("%w: the value of digit %d has %d bytes", ErrForm, i, len(items[2*i]))
		}
		if sig.Digits[i], ok = digit(items[2*i+1]); !ok {
			return nil, fmt.Errorf("%w: digit %d is %x", ErrForm, i, items[2*i+1])
		}
	}
	return sig, nil
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
	n := s.Digits()
	if len(items) != n || len(key) != n {
		return nil, fmt.Errorf("%w: a witness of %d items for a key of %d, must be %d", ErrForm, len(items), len(key), n)
	}
	sig := &Signature{Values: make([][Hash]byte, n), Digits: make([]uint8, n)}
	for i, item := range items {
		if len(item) != Hash {
			return nil, fmt.Errorf("%w: the value of digit %d has %d bytes", ErrForm, i, len(item))
		}
		sig.Values[i] = [Hash]byte(item)
	}
	found := make([]int, n)
	at, one := append([][Hash]byte(nil), sig.Values...), make([]int, n)
	for i := range one {
		one[i] = 1
	}
	for digit := maxDigit; digit >= 0; digit-- {
		for i := range at {
			if at[i] == key[i] {
				found[i]++
				sig.Digits[i] = uint8(digit)
			}
		}
		if digit > 0 {
			hashlane.Hash160Chain(at, one)
		}
	}
	for i, times := range found {
		if times != 1 {
			return nil, fmt.Errorf("%w: digit %d", ErrChain, i)
		}
	}
	return sig, nil
}
