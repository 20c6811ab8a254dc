// Package testvectors finds and reads data that third parties published, which
// the project's tests and benchmarks are held against, and generates blocks of
// mainnet's shape (Generate). README.md lists the data. Only test files and
// sidecar/bench may import this package; it does not link package testing.
//
// The data lies outside the project: in ../shared/vectors, seen from the
// module's root, or in the directory that OUTRIDER_VECTORS names. Recordings of
// real nodes lie in ../shared/fixtures, or where OUTRIDER_FIXTURES says. A test
// that needs what is not there fails where CI is true, and elsewhere skips and
// says what was not checked.
package testvectors

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// These are the errors that callers tell apart. All name the file.
var (
	// ErrMissing says that there is no such file, or no directory of vectors.
	ErrMissing = errors.New("the test vector is missing")
	// ErrTooLarge says that a file, or what it decompresses to, is larger than
	// any of its kind can be.
	ErrTooLarge = errors.New("the file is too large")
	// ErrMalformed says that a file is not what it should be: it does not
	// decompress or decode.
	ErrMalformed = errors.New("the file is malformed")
)

// maxFile bounds a file, and what it decompresses to.
const maxFile = 64 << 20

// TB is what this package needs of a testing.TB.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Dir returns the directory of the vectors: what OUTRIDER_VECTORS names, or
// else ../shared/vectors, seen from the nearest directory with a go.mod at or
// above the working directory. If there is no such directory the error is an
// ErrMissing.
func Dir() (string, error) { return find("OUTRIDER_VECTORS", "vectors") }

// FixtureDir returns the directory of the recordings of real nodes: what
// OUTRIDER_FIXTURES names, or else ../shared/fixtures, seen as by Dir. If there
// is no such directory the error is an ErrMissing.
func FixtureDir() (string, error) { return find("OUTRIDER_FIXTURES", "fixtures") }

// find returns the directory that the environment names, or else this folder of
// ../shared.
func find(env, folder string) (string, error) {
	dir := os.Getenv(env)
	if dir == "" {
		root, err := moduleRoot()
		if err != nil {
			return "", fmt.Errorf("%w (%s can name a directory)", err, env)
		}
		dir = filepath.Join(root, "..", "shared", folder)
	}
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir():
		return "", fmt.Errorf("%w: no directory %s (%s can name another)", ErrMissing, dir, env)
	case err != nil:
		return "", fmt.Errorf("find the directory of %s: %w", folder, err)
	}
	return dir, nil
}

func moduleRoot() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module's root: %w", err)
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		switch _, err := os.Stat(filepath.Join(dir, "go.mod")); {
		case err == nil:
			return dir, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("find the module's root: %w", err)
		case dir == filepath.Dir(dir):
			return "", fmt.Errorf("%w: no go.mod at or above %s", ErrMissing, wd)
		}
	}
}

// Path returns the path of the vector with this name: a path relative to the
// directory of the vectors, with slashes. If it is not there the error is an
// ErrMissing.
func Path(name string) (string, error) { return below(Dir, name) }

// FixturePath returns the path of the recording with this name, as Path does
// that of a vector.
func FixturePath(name string) (string, error) { return below(FixtureDir, name) }

// below returns the path of the file with this name in a directory.
func below(dir func() (string, error), name string) (string, error) {
	from, err := dir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(from, filepath.FromSlash(name))
	switch _, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%w: no file %s", ErrMissing, path)
	case err != nil:
		return "", fmt.Errorf("find %s: %w", name, err)
	}
	return path, nil
}

// Load returns the contents of the vector with this name, decompressed if the
// name ends in .zst. The caller owns them. If the vector is missing the test is
// skipped, or fails where CI is true, with a sentence that ends in unchecked:
// what was not checked for want of the file.
func Load(tb TB, name, unchecked string) []byte {
	tb.Helper()
	return load(tb, Path, name, unchecked)
}

// LoadFixture returns the contents of the recording with this name, as Load does
// those of a vector.
func LoadFixture(tb TB, name, unchecked string) []byte {
	tb.Helper()
	return load(tb, FixturePath, name, unchecked)
}

func load(tb TB, locate func(string) (string, error), name, unchecked string) []byte {
	tb.Helper()
	path, err := locate(name)
	if err == nil {
		var data []byte
		if data, err = readFile(path, maxFile); err == nil {
			return data
		}
	}
	giveUp(tb, err, unchecked)
	return nil
}

// giveUp ends the test that met err.
func giveUp(tb TB, err error, unchecked string) {
	tb.Helper()
	if errors.Is(err, ErrMissing) && os.Getenv("CI") != "true" {
		tb.Skipf("not checked: %s: %v", unchecked, err)
		return
	}
	tb.Fatalf("not checked: %s: %v", unchecked, err)
}

// readFile returns the contents of the file at path, decompressed if the name
// ends in .zst. Neither the file nor what it decompresses to may be larger than
// limit bytes. The error names the file, and is an ErrMissing, ErrTooLarge or
// ErrMalformed if it is one of these.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrMissing, err)
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %s: %w: more than %d bytes", path, ErrTooLarge, limit)
	}
	if !strings.HasSuffix(path, ".zst") {
		return data, nil
	}
	data, err = decompress(data, limit)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}

// decompress decodes Zstandard frames.
func decompress(data []byte, limit int64) ([]byte, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrMalformed)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(limit)))
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	out, err := dec.DecodeAll(data, nil)
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded):
		return nil, fmt.Errorf("%w: it decompresses to more than %d bytes", ErrTooLarge, limit)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return out, nil
}
