// Package relaytest has what tests of relays need of the outside world: a Bitcoin chain
// that is mined in milliseconds, and anvil as a chain of the OP Stack with an op-node's
// answers beside it. It is for tests only.
package relaytest

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/headers"
)

// Epoch is how many blocks a target is the same for.
const Epoch = 2016

// Bits are those that the chains here begin with, which one hash of 256 meets: of easier
// ones the sums of the contracts overflow.
const Bits = 0x2000ffff

// A Bitcoin is a tree of headers whose work is little, by the rules of mainnet otherwise.
// It is for one goroutine.
type Bitcoin struct {
	Params *header.Params
	// Start is the first header that can be built on, at Height, the first of a period.
	Start  header.Header
	Height uint32

	// below are the last headers up to Start, whose times the rules need.
	below  []header.Header
	byHash map[chainhash.Hash]placed
	salt   uint32
}

// placed is a header and its height.
type placed struct {
	header header.Header
	height uint32
}

// medianSpan is how many headers a median time is of.
const medianSpan = 11

// NewBitcoin returns a chain up to a header at a height that is the first of a period.
func NewBitcoin(height uint32) *Bitcoin {
	b := &Bitcoin{
		Params: &header.Params{
			Name: "relaytest", PowLimit: header.Uint256{^uint64(0), ^uint64(0), ^uint64(0), 1<<56 - 1},
			TargetSpacing: 600, TargetTimespan: Epoch * 600,
		},
		Height: height, byHash: map[chainhash.Hash]placed{},
	}
	binary.LittleEndian.PutUint32(b.Start[68:], 1_600_000_000)
	for range medianSpan {
		b.Start = b.mine(&b.Start, Bits, 600)
		b.below = append(b.below, b.Start)
	}
	b.byHash[b.Start.Hash()] = placed{b.Start, height}
	return b
}

// mine returns a header on top of another.
func (b *Bitcoin) mine(prev *header.Header, bits, spacing uint32) header.Header {
	target, _, _ := header.FromCompact(bits)
	b.salt++
	hash := prev.Hash()
	var h header.Header
	binary.LittleEndian.PutUint32(h[:], 0x20040201)
	copy(h[4:], hash[:])
	for i := 36; i < 68; i += 4 {
		binary.LittleEndian.PutUint32(h[i:], b.salt*2654435761+uint32(i)*40503|0x01010101)
	}
	binary.LittleEndian.PutUint32(h[68:], prev.Time()+spacing)
	binary.LittleEndian.PutUint32(h[72:], bits)
	for nonce := uint32(0x12345678); ; nonce++ {
		binary.LittleEndian.PutUint32(h[76:], nonce)
		if digest := h.Hash(); below(digest, target) {
			return h
		}
	}
}

// below reports whether a hash is below a target: a LightRelay wants no equal one.
func below(digest chainhash.Hash, target header.Uint256) bool {
	for i := 3; i >= 0; i-- {
		if limb := binary.LittleEndian.Uint64(digest[8*i:]); limb != target[i] {
			return limb < target[i]
		}
	}
	return false
}

// Mine mines n headers, ten minutes apart, on top of one.
func (b *Bitcoin) Mine(t testing.TB, on header.Header, n int) []header.Header {
	t.Helper()
	mined := make([]header.Header, 0, n)
	for range n {
		at, ok := b.byHash[on.Hash()]
		if !ok {
			t.Fatal("mined on a header that is not of this chain")
		}
		bits := on.Bits()
		if (at.height+1)%Epoch == 0 {
			var err error
			if bits, err = b.Params.NextBits(chainTo{b, on}, at.height+1, on.Time()+600); err != nil {
				t.Fatal(err)
			}
		}
		on = b.mine(&on, bits, 600)
		b.byHash[on.Hash()] = placed{on, at.height + 1}
		mined = append(mined, on)
	}
	return mined
}

// File returns the headers up to one, serialised, the first of them those that a tree begins
// with.
func (b *Bitcoin) File(t testing.TB, tip header.Header) []byte {
	t.Helper()
	at, ok := b.byHash[tip.Hash()]
	if !ok {
		t.Fatal("a file up to a header that is not of this chain")
	}
	data := make([]byte, 0, (int(at.height-b.Height)+medianSpan)*header.Size)
	for i := range b.below {
		data = append(data, b.below[i][:]...)
	}
	for _, h := range b.Chain(t, tip) {
		data = append(data, h[:]...)
	}
	return data
}

// Chain returns the headers above Start up to one.
func (b *Bitcoin) Chain(t testing.TB, tip header.Header) []header.Header {
	t.Helper()
	at, ok := b.byHash[tip.Hash()]
	if !ok {
		t.Fatal("a chain up to a header that is not of this one")
	}
	chain := make([]header.Header, at.height-b.Height)
	for i := len(chain) - 1; i >= 0; i-- {
		chain[i] = at.header
		at = b.byHash[at.header.Prev()]
	}
	return chain
}

// HeightOf returns the height of a header of the tree.
func (b *Bitcoin) HeightOf(h header.Header) uint32 { return b.byHash[h.Hash()].height }

// chainTo are the headers that one is on top of.
type chainTo struct {
	*Bitcoin
	tip header.Header
}

// At returns the header at a height.
func (c chainTo) At(height uint32) (header.Header, error) {
	at := c.byHash[c.tip.Hash()]
	for at.height > height {
		at = c.byHash[at.header.Prev()]
	}
	return at.header, nil
}

// Now is a time at which none of the headers is of the future.
var Now = time.Unix(1_900_000_000, 0)

// Tree returns a tree of headers that begins at Start and has others.
func (b *Bitcoin) Tree(t testing.TB, others ...[]header.Header) *headers.Tree {
	t.Helper()
	tree, err := headers.NewTree(b.Params, headers.Base{
		Height: b.Height + 1 - medianSpan, Work: b.Start.Work(), Headers: b.below,
	}, headers.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	for _, more := range others {
		Extend(t, tree, more)
	}
	return tree
}

// Extend adds headers to a tree.
func Extend(t testing.TB, tree *headers.Tree, more []header.Header) {
	t.Helper()
	if _, err := tree.Add(more, Now); err != nil {
		t.Fatal(err)
	}
}
