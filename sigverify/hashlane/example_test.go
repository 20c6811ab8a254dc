package hashlane_test

import (
	"fmt"
	"slices"

	"github.com/outrider-project/outrider/sigverify/hashlane"
)

// A type of hashes of one's own needs no conversion.
func ExampleDoubleSum256() {
	type txid [32]byte
	transactions := [][]byte{[]byte("one"), []byte("another")}
	ids := make([]txid, len(transactions))
	hashlane.DoubleSum256(ids, transactions)
	root, _ := hashlane.MerkleRoot(ids)
	slices.Reverse(root[:])
	fmt.Printf("%x\n", root)
	// Output: 8a247cc0731cf21d47fe62c3f4201b3993e96fda5691868ac9e8d68a48c12e64
}
