package relay

import (
	"fmt"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"golang.org/x/crypto/sha3"
)

// TestSelectors compares the selectors with the hashes of the signatures.
func TestSelectors(t *testing.T) {
	for signature, data := range map[string][]byte{
		"addHeaders(bytes,bytes)":                        AddHeadersData(nil, nil),
		"addHeadersWithRetarget(bytes,bytes,bytes)":      AddHeadersWithRetargetData(nil, nil, nil),
		"markNewHeaviest(bytes32,bytes,bytes,uint256)":   MarkNewHeaviestData(chainhash.Hash{}, nil, nil, 0),
		"verifyHeaderHash(bytes32,uint8)":                VerifyHeaderHashData(chainhash.Hash{}, 0),
		"verifyProof(bytes,bytes,bytes32,uint256,uint8)": VerifyProofData(nil, nil, chainhash.Hash{}, 0, 0),
		"genesis(bytes,uint256,uint64)":                  GenesisData(nil, 0, 0),
		"retarget(bytes)":                                RetargetData(nil),
	} {
		h := sha3.NewLegacyKeccak256()
		h.Write([]byte(signature))
		if want := h.Sum(nil)[:4]; string(data[:4]) != string(want) {
			t.Errorf("%s: %x, want %x", signature, data[:4], want)
		}
	}
}

// TestEncoding compares a call with what Solidity's documents say of its bytes.
func TestEncoding(t *testing.T) {
	word := func(tail string) string { return strings.Repeat("0", 64-len(tail)) + tail }
	digest := chainhash.Hash{0xaa, 31: 0xbb}
	got := fmt.Sprintf("%x", MarkNewHeaviestData(digest, []byte{1, 2, 3}, make([]byte, 32), 0x1234))
	want := "74c3a3a9" + "aa" + strings.Repeat("0", 60) + "bb" + word("80") + word("c0") + word("1234") +
		word("3") + "010203" + strings.Repeat("0", 58) + word("20") + word("0")
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
