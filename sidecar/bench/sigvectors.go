package bench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/klauspost/compress/zstd"

	"github.com/outrider-project/outrider/sigverify"
)

// Vectors counts the test vectors that others published, by whether our verdict
// was the published one.
type Vectors struct {
	Passed int `json:"passed"`
	Failed int `json:"failed"`
	// Failures names those that failed, and Skipped what was read and is no
	// vector of a signature that sigverify verifies.
	Failures []string `json:"failures"`
	Skipped  []string `json:"skipped"`
}

// maxVectorFile bounds a file of vectors, as it is and decompressed.
const maxVectorFile = 64 << 20

// A vector is a signature with a published verdict.
type vector struct {
	name string
	item sigverify.Item
	// refused says that the caller of sigverify has to refuse it, whatever that
	// says: its encoding is not what the vector's kind asks for.
	refused bool
	want    bool
	either  bool // the publisher leaves the verdict open
}

// CheckVectors verifies the vectors of a file, or of all files below a folder, in
// batches and one by one. It reads Wycheproof's ECDSA files on secp256k1 with
// SHA-256, of the types EcdsaVerify and EcdsaBitcoinVerify, and the CSV file of
// BIP340, plain or compressed with Zstandard, of at most 64 MiB each. They are
// verified by the code that by says; "" is the best one that the machine has. The
// error is not nil if there is no vector, or a file is too large.
func CheckVectors(ctx context.Context, path string, by sigverify.Path) (*Vectors, error) {
	var all []vector
	result := &Vectors{Failures: []string{}, Skipped: []string{}}
	root, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("--vectors: %w", err)
	}
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		short, err := filepath.Rel(root, name)
		if err != nil || short == "." {
			short = filepath.Base(name)
		}
		found, skipped, err := readVectors(name, short)
		all, result.Skipped = append(all, found...), append(result.Skipped, skipped...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("--vectors: %w", err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("--vectors: %s holds no vectors of ECDSA or BIP340 on secp256k1", path)
	}
	return result, result.check(ctx, all, by)
}

// check verifies the vectors in one batch, and each in a batch of its own.
func (r *Vectors) check(ctx context.Context, all []vector, by sigverify.Path) error {
	v := sigverify.New(sigverify.Options{CacheBytes: -1, Path: by})
	defer v.Close()
	items, together := make([]sigverify.Item, len(all)), make([]bool, len(all))
	for i := range all {
		items[i] = all[i].item
	}
	if err := v.Verify(ctx, items, together); err != nil {
		return err
	}
	for i, vec := range all {
		alone := make([]bool, 1)
		if err := v.Verify(ctx, items[i:i+1], alone); err != nil {
			return err
		}
		got := together[i] && !vec.refused
		if together[i] == alone[0] && (vec.either || got == vec.want) {
			r.Passed++
			continue
		}
		r.Failed++
		r.Failures = append(r.Failures, fmt.Sprintf("%s: in a batch %v, alone %v, refused by its encoding %v, published %v",
			vec.name, together[i], alone[0], vec.refused, vec.want))
	}
	return nil
}

// readVectors returns the vectors of a file, and what of it is skipped.
func readVectors(path, short string) (found []vector, skipped []string, err error) {
	kind := strings.TrimSuffix(strings.ToLower(short), ".zst")
	isCSV, isJSON := strings.HasSuffix(kind, ".csv"), strings.HasSuffix(kind, ".json")
	if !isCSV && !isJSON {
		return nil, []string{short}, nil
	}
	content, err := readPlain(path)
	if err != nil {
		return nil, nil, err
	}
	if isCSV {
		found, skipped, err = readBIP340(content, short)
	} else {
		found, skipped, err = readWycheproof(content, short)
	}
	if errors.Is(err, errNoVectors) {
		return nil, []string{short}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", short, err)
	}
	return found, skipped, nil
}

// errNoVectors says that a file is something else.
var errNoVectors = errors.New("no vectors")

// readPlain returns the content of a file of at most maxVectorFile bytes, decompressed
// if its name ends in .zst.
func readPlain(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxVectorFile+1))
	if err == nil && len(content) > maxVectorFile {
		err = fmt.Errorf("%s: more than %d bytes", path, maxVectorFile)
	}
	if err != nil || !strings.HasSuffix(strings.ToLower(path), ".zst") {
		return content, err
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxVectorFile))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if content, err = d.DecodeAll(content, nil); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return content, nil
}

// bip340Head is the first row of BIP340's file, and of no other.
const bip340Head = "index,secret key,public key,aux_rand,message,signature,verification result,comment"

// readBIP340 reads the CSV file of BIP340.
func readBIP340(content []byte, short string) (found []vector, skipped []string, err error) {
	if !bytes.HasPrefix(content, []byte(bip340Head)) {
		return nil, nil, errNoVectors
	}
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil {
		return nil, nil, err
	}
	for _, row := range rows[1:] {
		name := fmt.Sprintf("%s, vector %s", short, row[0])
		key, errKey := hex.DecodeString(row[2])
		message, errMessage := hex.DecodeString(row[4])
		sig, errSig := hex.DecodeString(row[5])
		if err := errors.Join(errKey, errMessage, errSig); err != nil {
			return nil, nil, fmt.Errorf("vector %s: %w", row[0], err)
		}
		if len(message) != 32 {
			skipped = append(skipped, fmt.Sprintf("%s: its message has %d bytes, and Bitcoin's have 32", name, len(message)))
			continue
		}
		v := vector{name: name, want: strings.EqualFold(row[6], "TRUE")}
		v.item = sigverify.Item{Scheme: sigverify.BIP340, Key: key, Digest: [32]byte(message)}
		v.refused = copy(v.item.Sig[:], sig) != len(sig) || len(sig) != 64
		found = append(found, v)
	}
	return found, skipped, nil
}

// A wycheproofFile is a file of Wycheproof's, of an older schema (key) or the
// newer one (publicKey).
type wycheproofFile struct {
	Algorithm  string
	TestGroups []struct {
		Type, SHA      string
		PublicKey, Key *wycheproofKey
		Tests          []struct {
			TcID             int
			Msg, Sig, Result string
		}
	}
}

type wycheproofKey struct{ Curve, Uncompressed string }

// readWycheproof reads a file of Wycheproof's.
func readWycheproof(content []byte, short string) (found []vector, skipped []string, err error) {
	var file wycheproofFile
	if err := json.Unmarshal(content, &file); err != nil || len(file.TestGroups) == 0 {
		return nil, nil, errNoVectors // another program's JSON
	}
	for i, group := range file.TestGroups {
		key := group.PublicKey
		if key == nil {
			key = group.Key
		}
		bitcoin := group.Type == "EcdsaBitcoinVerify"
		if key == nil || key.Curve != "secp256k1" || group.SHA != "SHA-256" || !bitcoin && group.Type != "EcdsaVerify" {
			skipped = append(skipped, fmt.Sprintf("%s, group %d: %s, %s", short, i, group.Type, group.SHA))
			continue
		}
		encoded, err := hex.DecodeString(key.Uncompressed)
		if err != nil {
			return nil, nil, fmt.Errorf("group %d: %w", i, err)
		}
		for _, test := range group.Tests {
			message, errMessage := hex.DecodeString(test.Msg)
			der, errSig := hex.DecodeString(test.Sig)
			if err := errors.Join(errMessage, errSig); err != nil {
				return nil, nil, fmt.Errorf("test %d: %w", test.TcID, err)
			}
			v := vector{name: fmt.Sprintf("%s, test %d", short, test.TcID), want: test.Result == "valid", either: test.Result == "acceptable"}
			v.item = sigverify.Item{Scheme: sigverify.ECDSA, Key: encoded, Digest: sha256.Sum256(message)}
			sig, ok := parseDER(der)
			v.item.Sig = sig
			v.refused = !ok || bitcoin && highS(&sig)
			found = append(found, v)
		}
	}
	if len(found) == 0 {
		return nil, nil, errNoVectors
	}
	return found, skipped, nil
}

// highS reports whether s is more than half the group order.
func highS(sig *[64]byte) bool {
	var s btcec.ModNScalar
	s.SetByteSlice(sig[32:])
	return s.IsOverHalfOrder()
}

// parseDER decodes a signature that is strictly encoded, as DER and BIP66 have it.
// Numbers of more than 32 bytes, which no r or s can be, are refused too.
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

// parseInteger splits a DER integer that is not negative off der, and returns it
// without its leading zero.
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
