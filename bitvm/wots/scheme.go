package wots

import (
	"errors"
	"fmt"
)

// MaxMessage is the size of the longest message, in bytes: that of Wots96, which
// no known protocol exceeds.
const MaxMessage = 96

const (
	maxDigit  = 15 // w - 1
	digitBits = 4
)

// Hash is the size of a value of a chain, in bytes.
const Hash = 20

// A Scheme is the Winternitz signature scheme for messages of one size.
type Scheme struct {
	size     int // of a message, in bytes
	checksum int // digits
}

// For returns the scheme for messages of so many bytes, from 1 to [MaxMessage].
func For(size int) (Scheme, error) {
	if size < 1 || size > MaxMessage {
		return Scheme{}, fmt.Errorf("wots: messages of %d bytes, must be from 1 to %d", size, MaxMessage)
	}
	s := Scheme{size: size}
	for most := s.mostChecksum(); most > 0; most >>= digitBits {
		s.checksum++
	}
	return s, nil
}

// MessageSize returns how many bytes a message has.
func (s Scheme) MessageSize() int { return s.size }

// messageDigits returns how many digits a message has.
func (s Scheme) messageDigits() int { return 2 * s.size }

// mostChecksum returns the largest checksum.
func (s Scheme) mostChecksum() int { return maxDigit * s.messageDigits() }

// Digits returns how many digits a signature has, those of the checksum included.
func (s Scheme) Digits() int { return s.messageDigits() + s.checksum }

// digits returns the digits of a message with its checksum.
func (s Scheme) digits(message []byte) []uint8 {
	digits := make([]uint8, s.Digits())
	sum := s.mostChecksum()
	for i, b := range message {
		at := s.messageDigits() - 1 - 2*i
		digits[at], digits[at-1] = b&maxDigit, b>>digitBits
		sum -= int(b&maxDigit) + int(b>>digitBits)
	}
	for i := len(digits) - 1; i >= s.messageDigits(); i-- {
		digits[i] = uint8(sum & maxDigit)
		sum >>= digitBits
	}
	return digits
}

// ErrChecksum says that digits do not have the checksum that they are signed with.
var ErrChecksum = errors.New("wots: the checksum is not that of the digits")

// message returns the message of digits, if their checksum is right.
func (s Scheme) message(digits []uint8) ([]byte, error) {
	sum, checksum := s.mostChecksum(), 0
	message := make([]byte, s.size)
	for i := range message {
		at := s.messageDigits() - 1 - 2*i
		message[i] = digits[at] | digits[at-1]<<digitBits
		sum -= int(digits[at]) + int(digits[at-1])
	}
	for _, d := range digits[s.messageDigits():] {
		checksum = checksum<<digitBits | int(d)
	}
	if checksum != sum {
		return nil, ErrChecksum
	}
	return message, nil
}
