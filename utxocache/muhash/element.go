package muhash

import (
	"crypto/sha256"

	"golang.org/x/crypto/chacha20"
)

// zero is what a key stream is combined with to be had as it is.
var zero [numberSize]byte

// numberOf sets x to the number of an element.
func numberOf(x *number, element []byte) {
	key := sha256.Sum256(element)
	stream, err := chacha20.NewUnauthenticatedCipher(key[:], zero[:chacha20.NonceSize])
	if err != nil {
		panic(err) // the sizes of the key and the nonce are right
	}
	var b [numberSize]byte
	stream.XORKeyStream(b[:], zero[:])
	x.decode(&b)
}
