package secp

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"testing"

	"github.com/outrider-project/outrider/testvectors"
)

// mustHex decodes what a vector file holds.
func mustHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The test vectors of BIP340 whose message has 32 bytes.
func TestBIP340Vectors(t *testing.T) { eachPath(t, testBIP340Vectors) }

func testBIP340Vectors(t *testing.T) {
	content := testvectors.Load(t, "secp256k1/bip340.csv", "BIP340 against its test vectors")
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 16 {
		t.Fatalf("%d rows, want a head and 15", len(rows))
	}
	for _, row := range rows[1:] {
		it := item{
			bip340: true,
			key:    mustHex(t, row[2]),
			digest: [32]byte(mustHex(t, row[4])),
			sig:    [64]byte(mustHex(t, row[5])),
		}
		want := row[6] == "TRUE"
		if got, oracle := it.verify(), it.oracle(); got != want || oracle != want {
			t.Errorf("vector %s (%s): verdict %v, the oracle's is %v, want %v", row[0], row[7], got, oracle, want)
		}
	}
}

// Wycheproof's Bitcoin flavour wants strict DER and a low S. Both are rules for
// the caller of this package, so the test applies them.
func TestWycheproof(t *testing.T) { eachPath(t, testWycheproof) }

func testWycheproof(t *testing.T) {
	content := testvectors.Load(t, "secp256k1/wycheproof_ecdsa_secp256k1_sha256_bitcoin_test.json.zst",
		"ECDSA against Wycheproof")
	var file struct {
		NumberOfTests int
		TestGroups    []struct {
			PublicKey struct{ Uncompressed string }
			Tests     []struct {
				TcID                      int
				Comment, Msg, Sig, Result string
			}
		}
	}
	if err := json.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	tests, decoded, highS := 0, 0, 0
	for _, group := range file.TestGroups {
		for _, tt := range group.Tests {
			tests++
			it := item{key: mustHex(t, group.PublicKey.Uncompressed), digest: sha256.Sum256(mustHex(t, tt.Msg))}
			got := false
			if it.decodeDER(mustHex(t, tt.Sig)) {
				decoded++
				got = it.verify()
				if !testing.Short() && got != it.oracle() {
					t.Errorf("test %d (%s): verdict %v, the oracle's is %v", tt.TcID, tt.Comment, got, !got)
				}
			}
			if s := new(big.Int).SetBytes(it.sig[32:]); got && s.Cmp(new(big.Int).Rsh(groupOrder, 1)) > 0 {
				highS++
				got = false
			}
			if want := tt.Result == "valid"; got != want {
				t.Errorf("test %d (%s): accepted %v, want %v", tt.TcID, tt.Comment, got, want)
			}
		}
	}
	if tests != file.NumberOfTests || highS == 0 || decoded < 200 {
		t.Errorf("%d tests of %d run, %d decoded, %d refused for a high S only", tests, file.NumberOfTests, decoded, highS)
	}
}

// decodeDER sets the signature, if it is DER of two numbers that fit into 32
// bytes.
func (it *item) decodeDER(der []byte) bool {
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return false
	}
	// Unmarshal passes over what follows in and after the sequence.
	if strict, err := asn1.Marshal(sig); err != nil || !bytes.Equal(strict, der) {
		return false
	}
	if sig.R.Sign() < 0 || sig.S.Sign() < 0 || sig.R.BitLen() > 256 || sig.S.BitLen() > 256 {
		return false
	}
	sig.R.FillBytes(it.sig[:32])
	sig.S.FillBytes(it.sig[32:])
	return true
}
