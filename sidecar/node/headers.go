package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// recentHeaders is how many of the newest headers stay in memory: two
// retarget periods, so that following the tip never reads the file.
const recentHeaders = 2 * 2016

// Headers is the header chain that the feed has verified, from the genesis
// block to the best header, in a file of 80-byte records by height. It is safe
// for concurrent use by any number of readers and one writer, the feed.
//
// The file is a prefix of a valid chain at every instant: a chain is shortened
// by truncation and extended by appending, and opening it verifies every
// header again and cuts off what a crash may have torn.
type Headers struct {
	params *header.Params
	now    func() time.Time

	// mu guards what follows. Writers hold it only while they switch to a
	// branch that is already verified.
	mu     sync.RWMutex
	file   *os.File
	height uint32 // of the best header
	tip    chainhash.Hash
	recent []header.Header // the headers from base to height
	base   uint32
}

// OpenHeaders opens the chain in the file at path, or begins one with the
// network's genesis block. It verifies every header (about a microsecond for
// each) and returns how many records it had to cut off.
func OpenHeaders(path string, p *header.Params, now func() time.Time) (h *Headers, cut int, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open header chain: %w", err)
	}
	h = &Headers{params: p, now: now, file: file}
	cut, err = h.load()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("open header chain %s: %w", path, err), file.Close())
	}
	return h, cut, nil
}

// load verifies the file's headers in order and cuts it after the last good
// one.
func (h *Headers) load() (cut int, err error) {
	info, err := h.file.Stat()
	if err != nil {
		return 0, err
	}
	records := (info.Size() + header.Size - 1) / header.Size
	var first header.Header
	if n, err := h.file.ReadAt(first[:], 0); n == header.Size && first != h.params.Genesis {
		return 0, fmt.Errorf("its first header is not the genesis block of network %s: use another data directory", h.params.Name)
	} else if err != nil && err != io.EOF {
		return 0, err
	}
	h.take(h.params.Genesis)
	r := io.NewSectionReader(h.file, 0, info.Size())
	buf := make([]byte, 4096*header.Size)
	var n int64 // records found good
	for good := true; good; {
		k, err := io.ReadFull(r, buf)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return 0, err
		}
		k -= k % header.Size
		good = k > 0
		for i := 0; i < k && good; i += header.Size {
			rec := header.Header(buf[i : i+header.Size])
			if good = h.loadable(&rec, uint32(n)); good {
				n++
			}
		}
	}
	if n == 0 {
		if _, err := h.file.WriteAt(h.params.Genesis[:], 0); err != nil {
			return 0, err
		}
		n = 1
	}
	return int(max(records-n, 0)), h.file.Truncate(n * header.Size)
}

// loadable takes rec as the header at height if it is valid there.
func (h *Headers) loadable(rec *header.Header, height uint32) bool {
	if height == 0 {
		return true // load has compared it
	}
	// The clock may have been set back since the header was stored, and that
	// is no reason to drop it: time-too-new was checked then.
	now := max(h.now().Unix(), int64(rec.Time()))
	if h.params.Check(rec, height, h, time.Unix(now, 0)) != nil {
		return false
	}
	h.take(*rec)
	return true
}

// take makes hdr the best header, in memory. The caller holds mu or is alone.
func (h *Headers) take(hdr header.Header) {
	if len(h.recent) == 0 {
		h.height, h.base = 0, 0
	} else {
		h.height++
	}
	h.tip = hdr.Hash()
	h.recent = append(h.recent, hdr)
	if len(h.recent) > 2*recentHeaders {
		drop := len(h.recent) - recentHeaders
		h.recent = append(make([]header.Header, 0, 2*recentHeaders), h.recent[drop:]...)
		h.base += uint32(drop)
	}
}

// Tip returns the best header's hash and height.
func (h *Headers) Tip() Tip {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return Tip{h.tip, h.height}
}

// At implements header.Ancestors. A height above the tip is an error.
func (h *Headers) At(height uint32) (header.Header, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.at(height)
}

func (h *Headers) at(height uint32) (header.Header, error) {
	switch {
	case height > h.height:
		return header.Header{}, fmt.Errorf("header %d: the chain ends at %d", height, h.height)
	case height >= h.base:
		return h.recent[height-h.base], nil
	}
	var hdr header.Header
	if _, err := h.file.ReadAt(hdr[:], int64(height)*header.Size); err != nil {
		return hdr, fmt.Errorf("header %d: %w", height, err)
	}
	return hdr, nil
}

// Has reports whether t is a block of the chain.
func (h *Headers) Has(t Tip) (bool, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if t.Height > h.height {
		return false, nil
	}
	hdr, err := h.at(t.Height)
	return err == nil && hdr.Hash() == t.Hash, err
}

// Hash returns the hash of the block at height.
func (h *Headers) Hash(height uint32) (chainhash.Hash, error) {
	hdr, err := h.At(height)
	return hdr.Hash(), err
}

// locator returns hashes of the chain, newest first, dense at the tip and
// thinning out below it, and the heights of them all, as Bitcoin Core's
// LocatorEntries.
func (h *Headers) locator() (hashes []chainhash.Hash, heights map[chainhash.Hash]uint32, err error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	heights = make(map[chainhash.Hash]uint32)
	step := uint32(1)
	for height := h.height; ; height -= min(step, height) {
		hdr, err := h.at(height)
		if err != nil {
			return nil, nil, err
		}
		hash := hdr.Hash()
		hashes = append(hashes, hash)
		heights[hash] = height
		if height == 0 {
			return hashes, heights, nil
		}
		if len(hashes) > 10 {
			step *= 2
		}
	}
}

// Verify checks branch, whose first header follows the block at fork, against
// every rule for headers. It returns how many headers from the first on are
// valid; if not all are, the error says why, and a broken rule is a
// *header.RuleError.
func (h *Headers) Verify(fork uint32, branch []header.Header) (valid int, err error) {
	chain := Branch{Base: h, Fork: fork}
	for i := range branch {
		height := fork + 1 + uint32(i)
		if err := h.params.Check(&branch[i], height, &chain, h.now()); err != nil {
			return i, fmt.Errorf("header %d: %w", height, err)
		}
		chain.Headers = branch[:i+1]
	}
	return len(branch), nil
}

// replace makes branch, which Verify has accepted, the chain above fork.
func (h *Headers) replace(fork uint32, branch []header.Header) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if fork < h.height {
		if err := h.truncate(fork); err != nil {
			return fmt.Errorf("shorten header chain to %d: %w", fork, err)
		}
	}
	raw := make([]byte, 0, len(branch)*header.Size)
	for i := range branch {
		raw = append(raw, branch[i][:]...)
	}
	if _, err := h.file.WriteAt(raw, (int64(fork)+1)*header.Size); err != nil {
		return fmt.Errorf("store headers from %d: %w", fork+1, err)
	}
	for i := range branch {
		h.take(branch[i])
	}
	return nil
}

// truncate makes the block at height the tip. The caller holds mu.
func (h *Headers) truncate(height uint32) error {
	hdr, err := h.at(height)
	if err != nil {
		return err
	}
	if err := h.file.Truncate((int64(height) + 1) * header.Size); err != nil {
		return err
	}
	if height < h.base {
		h.recent, h.base = append(h.recent[:0], hdr), height
	} else {
		h.recent = h.recent[:height-h.base+1]
	}
	h.height, h.tip = height, hdr.Hash()
	return nil
}

// Close syncs the file and closes it.
func (h *Headers) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return errors.Join(h.file.Sync(), h.file.Close())
}

// A Branch is a chain that leaves Base after the block at height Fork. It
// implements header.Ancestors.
type Branch struct {
	Base    header.Ancestors
	Fork    uint32
	Headers []header.Header
}

// At implements header.Ancestors.
func (b *Branch) At(height uint32) (header.Header, error) {
	if height <= b.Fork {
		return b.Base.At(height)
	}
	if i := int(height - b.Fork - 1); i < len(b.Headers) {
		return b.Headers[i], nil
	}
	return header.Header{}, fmt.Errorf("header %d: the branch ends at %d", height, int(b.Fork)+len(b.Headers))
}
