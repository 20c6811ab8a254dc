package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/outrider-project/outrider/sigverify"
	"github.com/outrider-project/outrider/testvectors"
)

// The report has every row, each with an anchor that was measured too.
func TestSigReport(t *testing.T) {
	rep, err := Sig(t.Context(), SigOptions{Rounds: 1, sizes: []int{1, 8}})
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]Row)
	for _, row := range rep.Rows {
		rows[row.Name] = row
		if row.Value <= 0 || row.Anchor != "" && (row.AnchorValue <= 0 || row.Ratio <= 0) {
			t.Errorf("row %+v", row)
		}
	}
	names := []string{
		"ecdsa/1/1core", "ecdsa/8/1core", "ecdsa/1/allcores", "bip340/8/1core", "bip340/8/allcores", "scaling/ecdsa/8/allcores",
		"ecdsa-purego/1/1core", "bip340-purego/8/1core",
		"anchor/decred/ecdsa/1core", "anchor/btcec/ecdsa/1core", "anchor/btcec/bip340/1core",
	}
	if libsecp() != nil {
		names = append(names, "anchor/libsecp256k1/ecdsa/1core")
	}
	if (libsecp() == nil) != (len(rep.Notes) == 1) {
		t.Errorf("the notes are %q", rep.Notes)
	}
	for _, name := range names {
		if _, ok := rows[name]; !ok {
			t.Errorf("there is no row %s", name)
		}
	}
	if row := rows["ecdsa/8/1core"]; row.Ratio != row.AnchorValue/row.Value {
		t.Errorf("less is better: %+v", row)
	}
	if row := rows["ecdsa/8/allcores"]; row.Ratio != row.Value/row.AnchorValue {
		t.Errorf("more is better: %+v", row)
	}
	if row := rows["scaling/ecdsa/8/allcores"]; row.Anchor != hashesAnchor || row.Ratio != row.Value/row.AnchorValue {
		t.Errorf("beside what the machine has to give: %+v", row)
	}
	var out bytes.Buffer
	if err := rep.WriteTable(&out); err != nil || !strings.Contains(out.String(), "path "+string(rep.Path)) {
		t.Errorf("table (%v):\n%s", err, out.String())
	}
}

// A verifier that refuses what is valid is measured by nobody.
func TestSigStopsAtAWrongVerdict(t *testing.T) {
	b, err := newSigBench([]int{1, 16}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	for _, a := range anchors() {
		if _, err := b.theirs(a, sigverify.ECDSA)(t.Context()); err != nil {
			t.Error(err)
		}
	}
	b.samples[sigverify.ECDSA][5].item.Digest[0] ^= 1
	b.items[sigverify.ECDSA][5].Digest[0] ^= 1
	for _, a := range []*anchor{decred(), libsecp()} {
		if a == nil {
			continue
		}
		if _, err := b.theirs(a, sigverify.ECDSA)(t.Context()); err == nil || !strings.Contains(err.Error(), "signature 5") {
			t.Errorf("%s with a wrong signature: %v", a.name, err)
		}
	}
	if _, err := b.ours(b.one, sigverify.ECDSA, 16)(t.Context()); err == nil || !strings.Contains(err.Error(), "signature 5") {
		t.Errorf("sigverify with a wrong signature: %v", err)
	}
}

// vectorsBy returns the folder of the published vectors.
func vectorFolder(t *testing.T) string {
	t.Helper()
	path, err := testvectors.Path("secp256k1")
	if err != nil {
		testvectors.Load(t, "secp256k1", "the published vectors of ECDSA and BIP340") // skips, or fails
	}
	return path
}

func TestPublishedVectors(t *testing.T) {
	got, err := CheckVectors(t.Context(), vectorFolder(t), "")
	if err != nil {
		t.Fatal(err)
	}
	if got.Passed != 463+15 || got.Failed != 0 || len(got.Skipped) != 0 {
		t.Errorf("%+v", got)
	}
}

// wycheproof returns a file of one test group: the published Bitcoin one, as
// change makes it.
func wycheproof(t *testing.T, change *strings.Replacer) []byte {
	t.Helper()
	content := testvectors.Load(t, "secp256k1/wycheproof_ecdsa_secp256k1_sha256_bitcoin_test.json.zst", "Wycheproof's flavours")
	return []byte(change.Replace(string(content)))
}

// The general flavour accepts a high S, and of the Bitcoin one it is refused.
func TestFlavours(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ecdsa_secp256k1_sha256_test.json")
	if err := os.WriteFile(path, wycheproof(t, strings.NewReplacer("EcdsaBitcoinVerify", "EcdsaVerify")), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := CheckVectors(t.Context(), path, "")
	if err != nil {
		t.Fatal(err)
	}
	if got.Failed == 0 || got.Failed > 5 || got.Passed+got.Failed != 463 {
		t.Errorf("Bitcoin's file as the general one: %d passed, %d failed; those refused for a high S only must fail", got.Passed, got.Failed)
	}
	for _, name := range got.Failures {
		if !strings.Contains(name, "in a batch true, alone true, refused by its encoding false, published false") {
			t.Error(name)
		}
	}
}

// A wrong published verdict is a failure, an open one is none, and what holds no
// vectors is named or an error.
func TestVectorFiles(t *testing.T) {
	head := bip340Head + "\n"
	const right = "0,,F9308A019258C31049344F85F89D5229B531C845836F99B08601F113BCE036F9,,0000000000000000000000000000000000000000000000000000000000000000," +
		"E907831F80848D1069A5371B402410364BDF1C5F8307B0084C55F1CE2DCA821525F66A4A85EA8B71E482A74F382D2CE5EBEEE8FDB2172F477DF4900D310536C0,"
	for _, tt := range []struct {
		name           string
		files          map[string]string
		passed, failed int
		skipped        []string
		wrong          string
	}{
		{"right", map[string]string{"a.csv": head + right + "TRUE,"}, 1, 0, nil, ""},
		{"wrong", map[string]string{"a.csv": head + right + "FALSE,"}, 0, 1, nil, ""},
		{"cut signature", map[string]string{"a.csv": head + strings.Replace(right, "36C0,", "36,", 1) + "FALSE,"}, 1, 0, nil, ""},
		{"below", map[string]string{"x/y/a.csv": head + right + "TRUE,"}, 1, 0, nil, ""},
		{"long message", map[string]string{"a.csv": head + strings.Replace(right, "0000,E907", "000000,E907", 1) + "FALSE,\n" + right + "TRUE,"}, 1, 0,
			[]string{"a.csv, vector 0: its message has 33 bytes, and Bitcoin's have 32"}, ""},
		{"others", map[string]string{"a.csv": head + right + "TRUE,", "b.csv": "x,y\n1,2", "c.txt": "?", "d.json": `{"a":1}`, "e.json": "no"}, 1, 0,
			[]string{"b.csv", "c.txt", "d.json", "e.json"}, ""},
		{"another curve", map[string]string{"a.csv": head + right + "TRUE,",
			"w.json": `{"testGroups":[{"type":"EcdsaVerify","sha":"SHA-256","publicKey":{"curve":"secp256r1","uncompressed":"04"},"tests":[{"tcId":1}]}]}`},
			1, 0, []string{"w.json"}, ""},
		{"nothing", map[string]string{"c.txt": "?"}, 0, 0, nil, "holds no vectors"},
		{"empty", nil, 0, 0, nil, "holds no vectors"},
		{"no hexadecimals", map[string]string{"a.csv": head + strings.Replace(right, "F930", "XY30", 1) + "TRUE,"}, 0, 0, nil, "a.csv: vector 0"},
		{"cut row", map[string]string{"a.csv": head + "0,1"}, 0, 0, nil, "wrong number of fields"},
	} {
		dir := t.TempDir()
		for name, content := range tt.files {
			path := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := CheckVectors(t.Context(), dir, "")
		switch {
		case tt.wrong != "":
			if err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.wrong)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case got.Passed != tt.passed || got.Failed != tt.failed || len(got.Failures) != tt.failed || !slices.Equal(got.Skipped, append([]string{}, tt.skipped...)):
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
	if _, err := CheckVectors(t.Context(), filepath.Join(t.TempDir(), "no"), ""); err == nil {
		t.Error("a path that is not there is no error")
	}
}

// A file that is too large for one of vectors is not read to its end, plain or
// compressed, and the error names it.
func TestLargeVectorFiles(t *testing.T) {
	large := filepath.Join(t.TempDir(), "large.json")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, maxVectorFile+1); err != nil {
		t.Fatal(err)
	}
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := filepath.Join(t.TempDir(), "packed.csv.zst")
	if err := os.WriteFile(packed, w.EncodeAll(make([]byte, maxVectorFile+1), nil), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{large, packed} {
		if _, err := CheckVectors(t.Context(), path, ""); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "--vectors") {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
	if err := os.Truncate(large, maxVectorFile); err != nil {
		t.Fatal(err)
	}
	if _, err := CheckVectors(t.Context(), large, ""); err == nil || !strings.Contains(err.Error(), "holds no vectors") {
		t.Errorf("a file of just that size: %v", err)
	}
}

// The path that the environment asks for is the one that is measured and told, and
// the report says who asked.
func TestSigPath(t *testing.T) {
	for value, want := range map[string]sigverify.Path{"": "", "auto": "", "lane": sigverify.PathLane, "scalar": sigverify.PathScalar} {
		if got, err := ParseSigPath(value); got != want || err != nil {
			t.Errorf("%q: %q, %v", value, got, err)
		}
	}
	if _, err := ParseSigPath("decred"); err == nil || !strings.Contains(err.Error(), "OUTRIDER_SIGVERIFY: \"decred\"") {
		t.Errorf("a path that there is not: %v", err)
	}
	rep, err := Sig(t.Context(), SigOptions{Rounds: 1, Path: sigverify.PathScalar, sizes: []int{1}})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Path != sigverify.PathScalar || !strings.Contains(rep.Reason, "OUTRIDER_SIGVERIFY is scalar") {
		t.Errorf("path %s: %s", rep.Path, rep.Reason)
	}
	in, err := GenerateBlock(1, 40)
	if err != nil {
		t.Fatal(err)
	}
	for _, asked := range []sigverify.Path{"", sigverify.PathScalar} {
		rep, err := Block(t.Context(), in, BlockOptions{Cores: []int{1}, Rounds: 1, Path: asked})
		if err != nil {
			t.Fatal(err)
		}
		if !rep.Valid || rep.Path == "" || rep.Reason == "" || asked != "" && rep.Path != asked || strings.Contains(rep.Reason, "OUTRIDER_SIGVERIFY") != (asked != "") {
			t.Errorf("asked for %q: valid %v, path %s: %s", asked, rep.Valid, rep.Path, rep.Reason)
		}
		var out bytes.Buffer
		if err := rep.WriteTable(&out); err != nil || !strings.Contains(out.String(), "path "+string(rep.Path)+": "+rep.Reason+"\n") {
			t.Errorf("table (%v):\n%s", err, out.String())
		}
	}
}

// A compressed file is read as a plain one; verdicts that are left open pass.
func TestOpenVerdicts(t *testing.T) {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	content := w.EncodeAll(wycheproof(t, strings.NewReplacer(`"result": "valid"`, `"result": "acceptable"`, `"result": "invalid"`, `"result": "acceptable"`)), nil)
	path := filepath.Join(t.TempDir(), "W.JSON.ZST")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := CheckVectors(t.Context(), path, "")
	if err != nil || got.Passed != 463 || got.Failed != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// The names that others read in the JSON.
func TestSigJSON(t *testing.T) {
	var out bytes.Buffer
	rep := SigReport{Vectors: &Vectors{Passed: 3}, Report: Report{Rows: []Row{{Name: "ecdsa/1/1core"}}}}
	if err := WriteJSON(&out, rep); err != nil {
		t.Fatal(err)
	}
	var fields struct {
		Path    *string
		Vectors map[string]any
		Rows    []map[string]any
	}
	if err := json.Unmarshal(out.Bytes(), &fields); err != nil || fields.Path == nil || fields.Vectors["passed"] != 3.0 || fields.Vectors["failed"] != 0.0 || len(fields.Rows) != 1 {
		t.Errorf("%v: %s", err, out.String())
	}
	out.Reset()
	if err := WriteJSON(&out, SigReport{}); err != nil || regexp.MustCompile(`"vectors"`).Match(out.Bytes()) {
		t.Errorf("without vectors: %v, %s", err, out.String())
	}
}

// What runs has a number, however late it comes to run.
func TestTaskThatIsLate(t *testing.T) {
	some := task(func(context.Context) (int, error) { return 16, nil })
	if n, err := some.repeat(t.Context(), time.Now().Add(-time.Second)); n != 16 || err != nil {
		t.Errorf("%d signatures, %v", n, err)
	}
	if n, err := some.repeat(t.Context(), time.Now().Add(time.Millisecond)); n <= 16 || err != nil {
		t.Errorf("%d signatures within a millisecond, %v", n, err)
	}
	bad := task(func(context.Context) (int, error) { return 0, errors.New("it fails") })
	if _, err := perSecond(t.Context(), []task{some, bad}, false); err == nil || !strings.Contains(err.Error(), "it fails") {
		t.Errorf("one that fails: %v", err)
	}
}
