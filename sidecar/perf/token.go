package perf

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// These are files of the data directory. Whoever can read the first may change
// what runs; the second says where the sidecar is that uses the directory.
const (
	tokenFile   = "api-token"
	addressFile = "api-address"
)

// These bound the characters of a token.
const (
	minToken = 16
	maxToken = 256
)

// makeToken has a data directory hold a token: the one that is there, or a new
// one of 128 random bits or more.
func makeToken(datadir string) error {
	if err := os.MkdirAll(datadir, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	_, err := readToken(datadir)
	if errors.Is(err, fs.ErrNotExist) {
		err = replaceFile(filepath.Join(datadir, tokenFile), []byte(rand.Text()+"\n"))
	}
	return err
}

// readToken returns a data directory's token. Errors do not show it.
func readToken(datadir string) (string, error) {
	name := filepath.Join(datadir, tokenFile)
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("others may read or change %s (mode %#o): remove it, and a new one is made at the next start", name, info.Mode().Perm())
	}
	b, err := readUpTo(name, maxToken+2)
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(b), "\r\n")
	if len(text) < minToken || len(text) > maxToken || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%s must hold %d to %d printable characters without spaces: remove it, and a new one is made at the next start", name, minToken, maxToken)
	}
	return text, nil
}

// bears reports whether the request bears the token. How long it takes says
// nothing about the token.
func bears(r *http.Request, token string) bool {
	kind, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got, want := sha256.Sum256([]byte(text)), sha256.Sum256([]byte(token))
	return strings.EqualFold(kind, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}
