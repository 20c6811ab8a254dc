package sigverify

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
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
func TestBIP340Vectors(t *testing.T) {
	content, err := os.ReadFile("testdata/bip340.csv")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 16 {
		t.Fatalf("%d rows, want a head and 15", len(rows))
	}
	var items []Item
	for _, row := range rows[1:] {
		items = append(items, Item{
			Scheme: BIP340,
			Key:    mustHex(t, row[2]),
			Digest: [32]byte(mustHex(t, row[4])),
			Sig:    [64]byte(mustHex(t, row[5])),
		})
	}
	for i, got := range verifyEveryWay(t, items) {
		row := rows[1+i]
		want := row[6] == "TRUE"
		if got != want {
			t.Errorf("vector %s (%s): verdict %v, want %v", row[0], row[7], got, want)
		}
		if verifyExact(&items[i]) != want || verifyDecred(&items[i]) != want {
			t.Errorf("vector %s (%s): exact arithmetic says %v, decred's code %v, want %v",
				row[0], row[7], verifyExact(&items[i]), verifyDecred(&items[i]), want)
		}
	}
}

type wycheproof struct {
	NumberOfTests int
	TestGroups    []struct {
		PublicKey struct{ Uncompressed string }
		Tests     []struct {
			TcID                      int
			Comment, Msg, Sig, Result string
		}
	}
}

// Wycheproof's Bitcoin flavour wants strict DER and a low S. Both are rules for
// the caller of this package, so the test applies them; the rest is up to
// Verify, which has to accept the one vector whose only fault is its high S.
func TestWycheproof(t *testing.T) {
	var file wycheproof
	content := testvectors.Load(t, "secp256k1/wycheproof_ecdsa_secp256k1_sha256_bitcoin_test.json.zst",
		"ECDSA against Wycheproof")
	if err := json.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	type vector struct {
		id            int
		comment       string
		decodes, want bool
	}
	var items []Item
	var vectors []vector
	for _, group := range file.TestGroups {
		for _, tt := range group.Tests {
			it := Item{
				Scheme: ECDSA,
				Key:    mustHex(t, group.PublicKey.Uncompressed),
				Digest: sha256.Sum256(mustHex(t, tt.Msg)),
			}
			v := vector{id: tt.TcID, comment: tt.Comment, want: tt.Result == "valid"}
			it.Sig, v.decodes = parseDER(mustHex(t, tt.Sig))
			items, vectors = append(items, it), append(vectors, v)
		}
	}
	decoded, highS := 0, 0
	for i, got := range verifyEveryWay(t, items) {
		v := &vectors[i]
		if v.decodes {
			decoded++
			if verifyExact(&items[i]) != got || verifyDecred(&items[i]) != got {
				t.Errorf("test %d (%s): verdict %v, exact arithmetic's or decred's is another", v.id, v.comment, got)
			}
		}
		got = got && v.decodes
		if got && !lowS(&items[i]) {
			highS++
			got = false
		}
		if got != v.want {
			t.Errorf("test %d (%s): accepted %v, want %v", v.id, v.comment, got, v.want)
		}
	}
	if len(vectors) != file.NumberOfTests || highS == 0 || decoded < 200 {
		t.Errorf("%d tests of %d run, %d decoded, %d refused for a high S only", len(vectors), file.NumberOfTests, decoded, highS)
	}
}

// lowS reports whether s is at most half the group order.
func lowS(it *Item) bool {
	return new(big.Int).SetBytes(it.Sig[32:]).Cmp(new(big.Int).Rsh(groupOrder, 1)) <= 0
}

// parseDER decodes a signature that is strictly encoded, as BIP66 has it. An
// integer of more than 32 bytes cannot be in the range of r and s.
func parseDER(der []byte) (sig [64]byte, ok bool) {
	if len(der) < 2 || der[0] != 0x30 || int(der[1]) != len(der)-2 {
		return sig, false
	}
	r, rest, ok := parseInteger(der[2:])
	if !ok {
		return sig, false
	}
	s, rest, ok := parseInteger(rest)
	if !ok || len(rest) != 0 || len(r) > 32 || len(s) > 32 {
		return sig, false
	}
	copy(sig[32-len(r):32], r)
	copy(sig[64-len(s):], s)
	return sig, true
}

// parseInteger splits a DER integer that is not negative off der, and returns
// it without its leading zero.
func parseInteger(der []byte) (n, rest []byte, ok bool) {
	if len(der) < 3 || der[0] != 0x02 || der[1] == 0 || int(der[1]) > len(der)-2 {
		return nil, nil, false
	}
	n, rest = der[2:2+der[1]], der[2+der[1]:]
	if n[0]&0x80 != 0 || len(n) > 1 && n[0] == 0 && n[1]&0x80 == 0 {
		return nil, nil, false
	}
	return bytes.TrimPrefix(n, []byte{0}), rest, true
}
