package adaptor_test

import (
	"crypto/sha256"
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"github.com/outrider-project/outrider/bitvm/adaptor"
)

// A signature gives away the secret of the point that it was presigned for.
func Example() {
	secretKey, secret, digest := sha256.Sum256([]byte("key")), sha256.Sum256([]byte("secret")), sha256.Sum256([]byte("message"))
	_, public := btcec.PrivKeyFromBytes(secretKey[:])
	key, err := adaptor.ParseKey([32]byte(schnorr.SerializePubKey(public)))
	if err != nil {
		fmt.Println(err)
		return
	}
	point, _ := adaptor.PointOf(secret)

	pre, err := adaptor.Presign(secretKey, point, digest, [32]byte{})
	fmt.Println("presigned:", err)
	fmt.Println("of the point:", pre.Verify(key, point, digest))

	raw, err := pre.Adapt(secret)
	fmt.Println("adapted:", err)
	sig, err := schnorr.ParseSignature(raw[:])
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("a signature:", sig.Verify(digest[:], public))

	got, err := pre.Extract(&raw)
	fmt.Println("the secret:", got == secret, err)
	// Output:
	// presigned: <nil>
	// of the point: <nil>
	// adapted: <nil>
	// a signature: true
	// the secret: true <nil>
}
