package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
)

// credentials authorize the calls of an rpcClient. Implementations are safe for
// concurrent use.
type credentials interface {
	// authorization returns the Authorization header of a call that is made
	// now.
	authorization() (string, error)
	// renewed reports whether there are other credentials by now than those of
	// a header that the node refused.
	renewed(refused string) bool
}

// maxCookie bounds a cookie file; Bitcoin Core's is 75 bytes.
const maxCookie = 1024

// A cookieFile is the file in which Bitcoin Core leaves a user and password at
// each start: `__cookie__:` and 64 hexadecimal digits (rpc/request.cpp,
// GenerateAuthCookie). It is put in place by a rename, so it is never read
// half-written.
type cookieFile struct {
	path string

	// mu guards what follows, and makes readers of a new file wait for one
	// another instead of reading it each.
	mu     sync.Mutex
	read   fs.FileInfo // of the file that header is from; nil at first
	header string
}

// authorization implements credentials. It reads the file when it is not the
// one that was read last, by inode, size and time.
func (c *cookieFile) authorization() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.path)
	if err != nil {
		return "", cookieError(err)
	}
	if c.read != nil && os.SameFile(c.read, info) && c.read.ModTime().Equal(info.ModTime()) && c.read.Size() == info.Size() {
		return c.header, nil
	}
	err = c.load()
	return c.header, err
}

// renewed implements credentials. It reads the file whatever its time says:
// some file systems count in seconds.
func (c *cookieFile) renewed(refused string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.load() == nil && c.header != refused
}

// load reads the file. c.mu must be held.
func (c *cookieFile) load() error {
	c.read, c.header = nil, ""
	f, err := os.Open(c.path)
	if err != nil {
		return cookieError(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return cookieError(err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxCookie+1))
	if err != nil {
		return cookieError(err)
	}
	pair := strings.TrimRight(string(data), "\r\n")
	user, password, ok := strings.Cut(pair, ":")
	if !ok || user == "" || password == "" || len(data) > maxCookie || strings.ContainsAny(pair, "\r\n\x00") {
		return fmt.Errorf("the cookie file %s does not hold one line user:password", c.path)
	}
	c.read, c.header = info, basicAuth(pair)
	return nil
}

// cookieError says what helps against an error of the file system.
func cookieError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("read the cookie: %w: bitcoind is not running, has another datadir, network or rpccookiefile, or has rpcpassword set", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("read the cookie: %w: run as bitcoind's user, or give bitcoind rpccookieperms=group", err)
	}
	return fmt.Errorf("read the cookie: %w", err)
}
