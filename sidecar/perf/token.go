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
// what runs; whoever can read the second has a place among the readers of the events, as long
// as this sidecar runs; the third says where the sidecar is that uses the directory.
const (
	tokenFile   = "api-token"
	readerFile  = "api-reader"
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

// makeReader puts a new token for readers into a data directory, and returns it.
func makeReader(datadir string) (string, error) {
	token := rand.Text()
	return token, replaceFile(filepath.Join(datadir, readerFile), []byte(token+"\n"))
}

// readToken returns a data directory's token. Errors do not show it.
func readToken(datadir string) (string, error) { return readSecret(datadir, tokenFile) }

// readReader returns the token for readers of the sidecar that has used a data directory
// last. Errors do not show it.
func readReader(datadir string) (string, error) { return readSecret(datadir, readerFile) }

func readSecret(datadir, file string) (string, error) {
	name := filepath.Join(datadir, file)
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
