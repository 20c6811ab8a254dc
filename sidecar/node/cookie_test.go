package node

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// serveLoopback starts server on a free port, stops it when the test ends, and
// returns its address.
func serveLoopback(tb testing.TB, server *http.Server) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			tb.Error(err)
		}
	})
	tb.Cleanup(func() {
		server.Close()
		done.Wait()
	})
	return l.Addr().String()
}

func TestCookieFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".cookie")
	c := &cookieFile{path: path}
	if _, err := c.authorization(); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "not running") {
		t.Errorf("without a file: %v", err)
	}
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path+".tmp", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".tmp", path); err != nil {
			t.Fatal(err)
		}
	}
	for _, pair := range []string{"__cookie__:aa", "__cookie__:bb", "u:p:q"} {
		write(pair + "\n")
		if got, err := c.authorization(); err != nil || got != basicAuth(pair) {
			t.Errorf("%q gives %q, %v", pair, got, err)
		}
		if c.renewed(basicAuth(pair)) {
			t.Errorf("%q is new although it was refused", pair)
		}
		if !c.renewed(basicAuth("old:one")) {
			t.Errorf("%q is not new", pair)
		}
	}
	for _, bad := range []string{"", "\n", "nocolon", ":password", "user:", "a:b\nc", "a:b\x00", "u:" + strings.Repeat("x", maxCookie)} {
		write(bad)
		if got, err := c.authorization(); err == nil {
			t.Errorf("%.20q gives %q", bad, got)
		} else if strings.Contains(err.Error(), "nocolon") {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}

// TestCookieSameTime checks that a cookie is read anew when it was refused, even
// if the file looks as before.
func TestCookieSameTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".cookie")
	write := func(content string) fs.FileInfo {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	first := write("a:1")
	c := &cookieFile{path: path}
	old, err := c.authorization()
	if err != nil {
		t.Fatal(err)
	}
	write("a:2")
	if err := os.Chtimes(path, first.ModTime(), first.ModTime()); err != nil {
		t.Fatal(err)
	}
	if got, err := c.authorization(); err != nil || got != old {
		t.Fatalf("the file should look as before: %q, %v", got, err)
	}
	if !c.renewed(old) {
		t.Fatal("the refused cookie was not read anew")
	}
	if got, err := c.authorization(); err != nil || got != basicAuth("a:2") {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestBitcoindCookie(t *testing.T) {
	rec := bitcoindRecording(t)
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{})
	b := newBitcoind(t, bitcoindConfig(fake))
	tip := func() error { _, err := b.Tip(t.Context()); return err }
	if err := tip(); err != nil {
		t.Fatal(err)
	}
	fake.SetCookie(t, "second") // a restart: the file is new, and seen in time
	if err := tip(); err != nil || fake.Calls("401") != 0 {
		t.Errorf("after a restart: %v, %d refusals", err, fake.Calls("401"))
	}
	fake.SetPassword("third") // refused, and no new file: asked once, no more
	if err := tip(); !errors.Is(err, ErrUnauthorized) || fake.Calls("401") != 1 {
		t.Errorf("wrong cookie: %v, %d refusals, want 1", err, fake.Calls("401"))
	}
	// Refused while the new file comes: one call is enough.
	var once sync.Once
	fake.Rewrite(func(what string, a nodetest.Answer) nodetest.Answer {
		if what == "401" {
			once.Do(func() {
				if err := os.WriteFile(fake.CookieFile(), []byte("__cookie__:third"), 0o600); err != nil {
					t.Error(err)
				}
			})
		}
		return a
	})
	if err := tip(); err != nil || fake.Calls("401") != 2 {
		t.Errorf("a cookie that came after a refusal: %v, %d refusals, want 2", err, fake.Calls("401"))
	}
	if err := os.Remove(fake.CookieFile()); err != nil {
		t.Fatal(err)
	}
	if err := tip(); !errors.Is(err, fs.ErrNotExist) || fake.Calls("401") != 2 {
		t.Errorf("without a cookie: %v", err)
	}
}

func TestBitcoindPassword(t *testing.T) {
	rec := bitcoindRecording(t)
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{})
	cfg := bitcoindConfig(fake)
	cfg.CookieFile, cfg.User = "", "__cookie__"
	t.Run("wrong", func(t *testing.T) {
		cfg.Password = "secret"
		_, err := newBitcoind(t, cfg).Tip(t.Context())
		if !errors.Is(err, ErrUnauthorized) || !strings.Contains(err.Error(), "rpcauth") || strings.Contains(err.Error(), "secret") || fake.Calls("401") != 1 {
			t.Errorf("%v, asked %d times", err, fake.Calls("401"))
		}
	})
	t.Run("right", func(t *testing.T) {
		cfg.Password = "first"
		if _, err := newBitcoind(t, cfg).Tip(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
