package lane

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
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

// some returns the samples, or every so manieth of them for slow models.
func some(impl implementation, samples []*sample) []*sample {
	if !impl.slow {
		return samples
	}
	var few []*sample
	for i := 0; i < len(samples); i += 1 + len(samples)/8 {
		few = append(few, samples[i])
	}
	return few
}

// The test vectors of BIP340 whose message has 32 bytes, in every lane.
func TestBIP340Vectors(t *testing.T) {
	content := testvectors.Load(t, "secp256k1/bip340.csv", "the lanes against BIP340's test vectors")
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 16 {
		t.Fatalf("%d rows, want a head and 15", len(rows))
	}
	var samples []*sample
	infinite := map[string]bool{} // the lanes notice infinity, and no more
	for _, row := range rows[1:] {
		sig := mustHex(t, row[5])
		infinite["vector "+row[0]] = strings.Contains(row[7], "is infinite")
		samples = append(samples, newSample("vector "+row[0], mustHex(t, row[2]),
			[32]byte(sig[:32]), [32]byte(sig[32:]), [32]byte(mustHex(t, row[4])), true, row[6] == "TRUE"))
	}
	eachImpl(t, func(t *testing.T, impl implementation) {
		tested, want := some(impl, samples), 0
		for _, s := range tested {
			if infinite[s.name] {
				want += 16
			}
		}
		if unsure := inEveryLane(t, impl, tested); unsure != want {
			t.Errorf("Unsure in %d places, want %d", unsure, want)
		}
	})
}

// Wycheproof's vectors in every lane. The file of Bitcoin's flavour refuses a
// high S and loose DER, the general one accepts a high S; both are rules for the
// caller. What is decoded must verify unless the file calls it invalid for
// another reason, of which package secp is the judge.
func TestWycheproof(t *testing.T) {
	content := testvectors.Load(t, "secp256k1/wycheproof_ecdsa_secp256k1_sha256_bitcoin_test.json.zst",
		"the lanes against Wycheproof")
	var file struct {
		TestGroups []struct {
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
	var samples []*sample
	good, highS := 0, 0
	for _, group := range file.TestGroups {
		for _, tt := range group.Tests {
			r, s, ok := decodeDER(mustHex(t, tt.Sig))
			if !ok {
				continue
			}
			it := newSample("test "+strconv.Itoa(tt.TcID)+" ("+tt.Comment+")", mustHex(t, group.PublicKey.Uncompressed),
				r, s, sha256.Sum256(mustHex(t, tt.Msg)), false, false)
			it.want = oracle(&it.Item)
			switch {
			case tt.Result == "valid" && it.want:
				good++
			case tt.Result == "valid":
				t.Errorf("package secp refuses %v", it)
			case it.want:
				highS++ // the only fault that package secp does not see
			}
			samples = append(samples, it)
		}
	}
	if len(samples) < 200 || good < 100 || highS == 0 {
		t.Errorf("%d tests decoded, %d of them valid, %d with a high S", len(samples), good, highS)
	}
	eachImpl(t, func(t *testing.T, impl implementation) {
		all := some(impl, samples)
		if testing.Short() {
			all = all[:min(len(all), 60)]
		}
		unsure := inEveryLane(t, impl, all)
		t.Logf("%d vectors, Unsure in %d of %d places", len(all), unsure, 16*len(all))
	})
}

// decodeDER returns the numbers of a signature, if it is DER of two that fit
// into 32 bytes.
func decodeDER(der []byte) (r, s [32]byte, ok bool) {
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return r, s, false
	}
	// Unmarshal passes over what follows in and after the sequence.
	if strict, err := asn1.Marshal(sig); err != nil || !bytes.Equal(strict, der) {
		return r, s, false
	}
	if sig.R.Sign() < 0 || sig.S.Sign() < 0 || sig.R.BitLen() > 256 || sig.S.BitLen() > 256 {
		return r, s, false
	}
	sig.R.FillBytes(r[:])
	sig.S.FillBytes(s[:])
	return r, s, true
}
