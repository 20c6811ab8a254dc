package sidecar

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// A leftFile remembers the last blocks that left the best chain, across
// restarts: the node had accepted them, so that what it says against them later
// is no verdict of its own. It is a list of hashes in internal byte order, the
// oldest first. A record that a crash has torn is the hash of nothing.
type leftFile struct {
	file   *os.File
	hashes []chainhash.Hash
	known  map[chainhash.Hash]struct{}
}

// keptLeft is how many blocks are remembered at least; twice that at most.
const keptLeft = 4096

// openLeft opens or creates the file.
func openLeft(path string) (*leftFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open blocks that left the chain: %w", err)
	}
	l := &leftFile{file: f, known: make(map[chainhash.Hash]struct{})}
	// It never grows beyond what is read here.
	raw, err := io.ReadAll(io.NewSectionReader(f, 0, 2*keptLeft*chainhash.HashSize))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read blocks that left the chain: %w", err), f.Close())
	}
	for len(raw) >= chainhash.HashSize {
		l.remember(chainhash.Hash(raw[:chainhash.HashSize]))
		raw = raw[chainhash.HashSize:]
	}
	return l, nil
}

func (l *leftFile) remember(hash chainhash.Hash) {
	l.hashes = append(l.hashes, hash)
	l.known[hash] = struct{}{}
}

// has reports whether the block is remembered.
func (l *leftFile) has(hash chainhash.Hash) bool {
	_, ok := l.known[hash]
	return ok
}

// add remembers a block. It survives the end of this process; a power failure
// may undo it.
func (l *leftFile) add(hash chainhash.Hash) error {
	if l.has(hash) {
		return nil
	}
	if len(l.hashes) >= 2*keptLeft {
		if err := l.shorten(); err != nil {
			return fmt.Errorf("forget old blocks that left the chain: %w", err)
		}
	}
	if _, err := l.file.WriteAt(hash[:], int64(len(l.hashes))*chainhash.HashSize); err != nil {
		return fmt.Errorf("remember that block %s left the chain: %w", hash, err)
	}
	l.remember(hash)
	return nil
}

// shorten forgets all but the last keptLeft blocks. Whatever a crash leaves of
// it is a list of blocks that left the chain.
func (l *leftFile) shorten() error {
	kept := slices.Clone(l.hashes[len(l.hashes)-keptLeft:])
	var raw []byte
	for i := range kept {
		raw = append(raw, kept[i][:]...)
	}
	if _, err := l.file.WriteAt(raw, 0); err != nil {
		return err
	}
	if err := l.file.Truncate(int64(len(raw))); err != nil {
		return err
	}
	l.hashes = nil
	clear(l.known)
	for _, hash := range kept {
		l.remember(hash)
	}
	return nil
}

// close syncs the file and closes it.
func (l *leftFile) close() error { return errors.Join(l.file.Sync(), l.file.Close()) }
