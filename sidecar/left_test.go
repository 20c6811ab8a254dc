package sidecar

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// numbered returns the n-th of many hashes.
func numbered(n int) (hash chainhash.Hash) {
	binary.LittleEndian.PutUint64(hash[:], uint64(n))
	return hash
}

// The last blocks that left the chain are remembered across restarts, wherever
// a crash cuts the file, and the oldest are forgotten.
func TestLeftBlocksAreRemembered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "left.dat")
	open := func() *leftFile {
		t.Helper()
		l, err := openLeft(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.close() })
		return l
	}
	const last = 3*keptLeft + 10
	l := open()
	for i := 1; i <= last; i++ {
		if i%1000 == 0 {
			l = open() // as after a kill: nothing was closed
		}
		for range 2 { // once more changes nothing
			if err := l.add(numbered(i)); err != nil {
				t.Fatal(err)
			}
		}
		if len(l.hashes) > 2*keptLeft || len(l.hashes) != len(l.known) {
			t.Fatalf("after %d: %d hashes, %d known", i, len(l.hashes), len(l.known))
		}
	}
	l = open()
	for i := last - keptLeft + 1; i <= last; i++ {
		if !l.has(numbered(i)) {
			t.Fatalf("block %d of %d is forgotten", i, last)
		}
	}
	if l.has(numbered(1)) || l.has(numbered(last+1)) {
		t.Error("it remembers what it should not")
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 2*keptLeft*chainhash.HashSize {
		t.Errorf("the file has %d bytes (%v)", info.Size(), err)
	}
	if err := os.Truncate(path, int64(len(l.hashes))*chainhash.HashSize-5); err != nil {
		t.Fatal(err)
	}
	l = open()
	if l.has(numbered(last)) || !l.has(numbered(last-1)) {
		t.Error("a torn record counts, or took another with it")
	}
	if err := l.add(numbered(last + 2)); err != nil {
		t.Fatal(err)
	}
	if l = open(); !l.has(numbered(last+2)) || l.has(numbered(last)) {
		t.Error("what follows a torn record is lost")
	}
}
