package testvectors

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// write writes a file below dir and returns its path.
func write(t testing.TB, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// compress returns data as one Zstandard frame with a checksum.
func compress(t testing.TB, data []byte) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	return enc.EncodeAll(data, nil)
}

// resolved returns dir as os.Getwd reports it after a change to it.
func resolved(t testing.TB, dir string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDir(t *testing.T) {
	for _, c := range []struct {
		env, folder string
		dir         func() (string, error)
	}{
		{"OUTRIDER_VECTORS", "vectors", Dir},
		{"OUTRIDER_FIXTURES", "fixtures", FixtureDir},
	} {
		t.Run(c.folder, func(t *testing.T) { testDir(t, c.env, c.folder, c.dir) })
	}
}

func testDir(t *testing.T, env, folder string, dir func() (string, error)) {
	root := resolved(t, t.TempDir())
	write(t, root, "shared/"+folder+"/x", nil)
	write(t, root, "main/go.mod", nil)
	write(t, root, "main/a/b/x", nil)
	write(t, root, "elsewhere/x", nil)

	t.Setenv(env, "")
	for _, wd := range []string{"main", "main/a", "main/a/b"} {
		t.Chdir(filepath.Join(root, wd))
		if got, err := dir(); err != nil || got != filepath.Join(root, "shared", folder) {
			t.Errorf("from %s: %s, %v", wd, got, err)
		}
	}
	t.Chdir(filepath.Join(root, "shared"))
	if got, err := dir(); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), env) {
		t.Errorf("outside of a module: %s, %v, want an ErrMissing that names %s", got, err, env)
	}
	for _, c := range []struct {
		value string
		want  error
	}{
		{filepath.Join(root, "elsewhere"), nil},
		{filepath.Join(root, "nowhere"), ErrMissing},
		{filepath.Join(root, "elsewhere", "x"), ErrMissing}, // not a directory
	} {
		t.Setenv(env, c.value)
		got, err := dir()
		if !errors.Is(err, c.want) || c.want == nil && got != c.value {
			t.Errorf("%s=%s: %s, %v, want %v", env, c.value, got, err, c.want)
		}
	}
}

// fakeTB records how a test ended, and goes on: a real one would not.
type fakeTB struct{ failed, skipped string }

func (*fakeTB) Helper()                          {}
func (f *fakeTB) Fatalf(format string, a ...any) { f.failed += fmt.Sprintf(format, a...) }
func (f *fakeTB) Skipf(format string, a ...any)  { f.skipped += fmt.Sprintf(format, a...) }

// TestLoadPolicy has Load, LoadFixture and LoadMainnet meet what is there, missing
// and malformed, with and without CI.
func TestLoadPolicy(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "plain.json", []byte("[]"))
	write(t, dir, "good.zst", compress(t, []byte("contents")))
	write(t, dir, "bad.zst", []byte("contents"))
	write(t, dir, "mainnet/150013.block.zst", compress(t, []byte("a block")))
	write(t, dir, "mainnet/150013.spent.json.zst", compress(t, []byte("[]")))
	write(t, dir, "mainnet/757739.block.zst", compress(t, []byte("a block")))
	write(t, dir, "mainnet/866342.block.zst", compress(t, []byte("a block")))
	write(t, dir, "mainnet/866342.spent.json.zst", compress(t, []byte("[")))

	load := func(name string) func(TB) string {
		return func(tb TB) string { return string(Load(tb, name, "that it works")) }
	}
	fixture := func(name string) func(TB) string {
		return func(tb TB) string { return string(LoadFixture(tb, name, "that it works")) }
	}
	mainnet := func(height uint32) func(TB) string {
		return func(tb TB) string {
			block, spent := LoadMainnet(tb, height, "that it works")
			if len(spent) != 0 {
				t.Errorf("block %d spends %v", height, spent)
			}
			return string(block)
		}
	}
	for _, c := range []struct {
		name     string
		dir      string
		load     func(TB) string
		contents string
		missing  bool
	}{
		{"a plain file", dir, load("plain.json"), "[]", false},
		{"a compressed file", dir, load("good.zst"), "contents", false},
		{"a file that does not decompress", dir, load("bad.zst"), "", false},
		{"no file", dir, load("none.zst"), "", true},
		{"no directory", filepath.Join(dir, "none"), load("good.zst"), "", true},
		{"a recording", dir, fixture("good.zst"), "contents", false},
		{"a recording that does not decompress", dir, fixture("bad.zst"), "", false},
		{"no recording", dir, fixture("none.zst"), "", true},
		{"a block", dir, mainnet(150013), "a block", false},
		{"no block", dir, mainnet(170), "", true},
		{"no spent outputs", dir, mainnet(757739), "", true},
		{"malformed spent outputs", dir, mainnet(866342), "", false},
	} {
		for _, ci := range []string{"true", "false", ""} {
			t.Setenv("OUTRIDER_VECTORS", c.dir)
			t.Setenv("OUTRIDER_FIXTURES", c.dir)
			t.Setenv("CI", ci)
			var tb fakeTB
			contents := c.load(&tb)
			fails := c.contents == "" && (!c.missing || ci == "true")
			skips := c.missing && ci != "true"
			if contents != c.contents || (tb.failed != "") != fails || (tb.skipped != "") != skips {
				t.Errorf("%s with CI=%s: %q, failed %q, skipped %q", c.name, ci, contents, tb.failed, tb.skipped)
			}
			if said := tb.failed + tb.skipped; said != "" && !strings.HasPrefix(said, "not checked: that it works: ") {
				t.Errorf("%s with CI=%s: says %q", c.name, ci, said)
			}
		}
	}
}

// TestReadFileLimit has files of just the limit, and of a byte more, plain and
// compressed.
func TestReadFileLimit(t *testing.T) {
	const limit = 1 << 20
	dir := t.TempDir()
	for _, size := range []int{limit, limit + 1, 16 * limit} {
		data := bytes.Repeat([]byte{7}, size)
		for name, content := range map[string][]byte{"x": data, "x.zst": compress(t, data)} {
			path := write(t, dir, name, content)
			got, err := readFile(path, limit)
			if size <= limit {
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("%s of %d bytes: %d bytes, %v", name, size, len(got), err)
				}
				continue
			}
			if !errors.Is(err, ErrTooLarge) || got != nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%s of %d bytes: %d bytes, %v, want ErrTooLarge", name, size, len(got), err)
			}
		}
	}
}

// TestReadFileDamaged cuts a compressed file at every byte and flips each of its
// bits: that is an error with a name, or of no effect.
func TestReadFileDamaged(t *testing.T) {
	dir := t.TempDir()
	var data []byte
	for i := range 60 {
		data = fmt.Appendf(data, "%d,", i%20)
	}
	packed := compress(t, data)
	for n := range len(packed) {
		path := write(t, dir, "cut.zst", packed[:n])
		if got, err := readFile(path, 1<<20); !errors.Is(err, ErrMalformed) || got != nil || !strings.Contains(err.Error(), path) {
			t.Fatalf("cut at byte %d of %d: %d bytes, %v, want ErrMalformed", n, len(packed), len(got), err)
		}
	}
	refused := 0
	for bit := range 8 * len(packed) {
		flipped := slices.Clone(packed)
		flipped[bit/8] ^= 1 << (bit % 8)
		got, err := decompress(flipped, 1<<20)
		switch {
		case errors.Is(err, ErrMalformed) || errors.Is(err, ErrTooLarge):
			refused++
		case err != nil || !bytes.Equal(got, data):
			t.Fatalf("bit %d flipped: %d bytes, %v", bit, len(got), err)
		}
	}
	if refused < 8*len(packed)*9/10 {
		t.Errorf("of %d flipped bits only %d were refused", 8*len(packed), refused)
	}
	if _, err := readFile(filepath.Join(dir, "none"), 1); !errors.Is(err, ErrMissing) {
		t.Errorf("no file: %v, want ErrMissing", err)
	}
	if _, err := readFile(dir, 1); err == nil || errors.Is(err, ErrMissing) || errors.Is(err, ErrMalformed) {
		t.Errorf("a directory: %v, want another error", err)
	}
}

// TestNoTesting has the binary, which contains this package, not link package
// testing.
func TestNoTesting(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("go list -deps .: %v", err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, "github.com/klauspost/compress/zstd") {
		t.Fatalf("go list -deps . lists %v", deps)
	}
	if slices.Contains(deps, "testing") {
		t.Error("package testvectors links package testing")
	}
}
