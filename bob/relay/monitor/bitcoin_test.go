package monitor

import (
	"context"
	"encoding/binary"
	"errors"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// The chain of the tests has one hash of 256 meet its target, and blocks every ten minutes.
const (
	firstBits = 0x2000ffff
	firstTime = 1_600_000_000
	spacing   = 600
	fortnight = 14 * 24 * 60 * 60
	// retargetAt is where tests are: the relays begin 40 below it.
	retargetAt = 2 * interval
	beginAt    = retargetAt - 40
)

func targetOf(bits uint32) *big.Int {
	return new(big.Int).Lsh(big.NewInt(int64(bits&0xffffff)), uint(8*(bits>>24-3)))
}

func bitsOf(target *big.Int) uint32 {
	size := (target.BitLen() + 7) / 8
	mantissa := uint32(new(big.Int).Rsh(target, uint(8*(size-3))).Uint64())
	if mantissa&0x800000 != 0 {
		mantissa >>= 8
		size++
	}
	return uint32(size)<<24 | mantissa
}

// mine returns the next header of a chain that begins at height 0, on the branch that salt
// names.
func mine(chain []header.Header, salt uint64) header.Header {
	var h header.Header
	bits, time := uint32(firstBits), uint32(firstTime)
	if n := len(chain); n > 0 {
		last := &chain[n-1]
		prev := last.Hash()
		copy(h[4:], prev[:])
		bits, time = last.Bits(), last.Time()+spacing
		if n%interval == 0 {
			elapsed := int64(last.Time()) - int64(chain[n-interval].Time())
			due := targetOf(bits)
			due.Rsh(due, 16).Mul(due, big.NewInt(elapsed)).Div(due, big.NewInt(fortnight)).Lsh(due, 16)
			bits = bitsOf(due)
		}
	}
	binary.LittleEndian.PutUint32(h[0:], 0x20000000)
	binary.LittleEndian.PutUint64(h[36:], salt)
	binary.LittleEndian.PutUint32(h[68:], time)
	binary.LittleEndian.PutUint32(h[72:], bits)
	target := targetOf(bits)
	for nonce := uint32(0); ; nonce++ {
		binary.LittleEndian.PutUint32(h[76:], nonce)
		hash := h.Hash()
		slices.Reverse(hash[:])
		if new(big.Int).SetBytes(hash[:]).Cmp(target) <= 0 {
			return h
		}
	}
}

// grown returns a chain with more headers of a branch on it; the chain itself is not changed.
func grown(chain []header.Header, n int, salt uint64) []header.Header {
	chain = slices.Clone(chain)
	for range n {
		chain = append(chain, mine(chain, salt))
	}
	return chain
}

// trunk is the chain up to retargetAt+60.
var trunk = sync.OnceValue(func() []header.Header { return grown(nil, retargetAt+61, 0) })

// errDown is what a node says that does not answer.
var errDown = errors.New("HTTP 503: the node has too many calls open")

// A bitcoin is a node with a chain that tests set.
type bitcoin struct {
	mu   sync.Mutex // guards what follows
	best []header.Header
	// hashes are those of best.
	hashes []chainhash.Hash
	known  map[chainhash.Hash]header.Header
	fault  func() error // nil if it always answers
	most   int          // headers in an answer
}

func newBitcoin(chain []header.Header) *bitcoin {
	b := &bitcoin{known: map[chainhash.Hash]header.Header{}, most: 2000}
	b.set(chain)
	return b
}

func (b *bitcoin) set(chain []header.Header) {
	b.mu.Lock()
	defer b.mu.Unlock()
	same := 0
	for same < min(len(chain), len(b.best)) && chain[same] == b.best[same] {
		same++
	}
	b.best, b.hashes = chain, slices.Clone(b.hashes[:same])
	for _, h := range chain[same:] {
		hash := h.Hash()
		b.known[hash] = h
		b.hashes = append(b.hashes, hash)
	}
}

func (b *bitcoin) down(f func() error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = f
}

func (b *bitcoin) begin() ([]header.Header, func(), error) {
	b.mu.Lock()
	if b.fault != nil {
		if err := b.fault(); err != nil {
			b.mu.Unlock()
			return nil, nil, err
		}
	}
	return b.best, b.mu.Unlock, nil
}

func (b *bitcoin) BlockHash(_ context.Context, height uint32) (chainhash.Hash, error) {
	best, end, err := b.begin()
	if err != nil {
		return chainhash.Hash{}, err
	}
	defer end()
	if int(height) >= len(best) {
		return chainhash.Hash{}, errors.New("block height out of range")
	}
	return b.hashes[height], nil
}

func (b *bitcoin) Header(_ context.Context, hash chainhash.Hash) (header.Header, error) {
	_, end, err := b.begin()
	if err != nil {
		return header.Header{}, err
	}
	defer end()
	h, ok := b.known[hash]
	if !ok {
		return h, errors.New("block not found")
	}
	return h, nil
}

func (b *bitcoin) Headers(_ context.Context, locator []chainhash.Hash) ([]header.Header, error) {
	best, end, err := b.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	heights := make(map[chainhash.Hash]int, len(locator))
	for _, l := range locator {
		heights[l] = -1
	}
	for i, hash := range b.hashes {
		if _, ok := heights[hash]; ok {
			heights[hash] = i
		}
	}
	from := 0
	for _, l := range locator {
		if heights[l] >= 0 {
			from = heights[l]
			break
		}
	}
	return best[from+1 : min(from+1+b.most, len(best))], nil
}

func blockOf(chain []header.Header, height int) Block {
	return Block{uint32(height), chain[height].Hash(), timeOf(&chain[height])}
}

// A chain follows its node over any reorganisation, to a shorter chain too, and holds what
// the node has, in bounded memory.
func TestChain(t *testing.T) {
	long := trunk()
	node := newBitcoin(long[:3001])
	node.most = 1500
	c := chain{node: node}
	if err := c.begin(t.Context(), 2990); err != nil {
		t.Fatal(err)
	}
	check := func(best []header.Header) {
		t.Helper()
		if err := c.update(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := c.tip(), blockOf(best, len(best)-1); got != want {
			t.Fatalf("the tip is %v, want %v", got, want)
		}
		for _, height := range []int{0, 1, 100, 2000, len(best) - 30, len(best) - 1} {
			hash, err := c.hashAt(t.Context(), uint32(height))
			h, err2 := c.headerAt(t.Context(), uint32(height))
			if err != nil || err2 != nil || hash != best[height].Hash() || h != best[height] {
				t.Errorf("at %d: %v, %v, %v", height, hash, err, err2)
			}
		}
	}
	check(long[:3001])
	for depth := 1; depth <= 60; depth++ {
		at := len(node.best) - depth
		node.set(grown(node.best[:at], depth+1, uint64(depth)))
		check(node.best)
	}
	// The node went back, and so is at no height that the chain has. It is not guessed
	// where until it has gone on.
	before := node.best
	node.set(before[:len(before)-5])
	if err := c.update(t.Context()); err == nil {
		t.Error("a node that went back is followed, though it does not say to where")
	}
	node.set(grown(before[:len(before)-5], 5, 99))
	check(node.best)

	// It goes to another branch between two questions, to one that is as long.
	before = node.best
	after := newBitcoin(grown(before[:len(before)-3], 3, 55))
	node.set(before[:len(before)-3])
	asked := 0
	node.down(func() error {
		if asked++; asked == 2 {
			node.best, node.hashes, node.known = after.best, after.hashes, after.known
		}
		return nil
	})
	check(after.best)
	node.down(nil)

	few := chain{node: newBitcoin(long[:50])}
	if err := few.begin(t.Context(), 10); err != nil || few.spacing() != 10*time.Minute {
		t.Errorf("of few blocks: every %v, %v", few.spacing(), err)
	}
	if got := c.spacing(); got != spacing*time.Second {
		t.Errorf("blocks come every %v", got)
	}
	big := chain{node: newBitcoin(long), base: 0, hashes: []chainhash.Hash{long[0].Hash()}}
	big.node.(*bitcoin).most = 1
	for range 2*window + 5 {
		last := header.Header{}
		copy(last[4:], big.hashes[len(big.hashes)-1][:])
		if err := big.extend([]header.Header{last}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(big.hashes); n < window || n > 2*window || len(big.headers) != n-1 || big.tip().Height != 2*window+5 {
		t.Errorf("%d hashes and %d headers are kept at %d", n, len(big.headers), big.tip().Height)
	}
}

// A chain that the node has left altogether is looked up anew, and headers that do not follow
// one another are refused.
func TestChainLost(t *testing.T) {
	long := trunk()
	node := newBitcoin(long[:60])
	c := chain{node: node}
	if err := c.begin(t.Context(), 50); err != nil {
		t.Fatal(err)
	}
	c.hashes[0] = chainhash.Hash{1} // the lowest, which is below any fork
	other := grown(nil, 70, 7)
	node.set(other)
	if err := c.update(t.Context()); err == nil || c.begun() {
		t.Errorf("another chain is followed: %v", err)
	}
	c = chain{node: node}
	if err := c.begin(t.Context(), 50); err != nil || c.tip().Height != 69 {
		t.Fatalf("at %d: %v", c.tip().Height, err)
	}
	if err := c.extend([]header.Header{mine(other, 1), mine(other, 2)}); err == nil {
		t.Error("headers that do not follow one another are taken")
	}
	if c.tip().Height != 69 {
		t.Errorf("what was refused changed the chain: %d", c.tip().Height)
	}
	for name, ask := range map[string]func() error{
		"begin":  func() error { d := chain{node: node}; return d.begin(t.Context(), 5) },
		"update": func() error { return c.update(t.Context()) },
		"header": func() error { _, err := c.headerAt(t.Context(), 0); return err },
	} {
		node.down(func() error { return errDown })
		if err := ask(); !errors.Is(err, errDown) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
