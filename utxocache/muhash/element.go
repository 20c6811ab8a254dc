package muhash

import (
	"crypto/sha256"

	"golang.org/x/crypto/chacha20"
)

// numberOf sets x to the number of an element.
func numberOf(x *number, element []byte) {
	key := sha256.Sum256(element)
	var b [numberSize]byte
	streamOf(&b, &key)
	x.decode(&b)
}

// zero is what a key stream is combined with to be had as it is.
var zero [numberSize]byte

// streamGo sets stream to the first bytes of the ChaCha20 stream of a key, with
// nonce and counter 0.
func streamGo(stream *[numberSize]byte, key *[32]byte) {
	cipher, err := chacha20.NewUnauthenticatedCipher(key[:], zero[:chacha20.NonceSize])
	if err != nil {
		panic(err) // the sizes of the key and the nonce are right
	}
	cipher.XORKeyStream(stream[:], zero[:])
}
