package contract

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/ethereum/go-ethereum/common"

	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/testvectors"
)

const (
	headerSize = 80
	epoch      = 2016
	fortnight  = 14 * 24 * 60 * 60
)

// Bits of which half, one in sixteen and one in 256 of all hashes meet the target, and
// those of difficulty 1.
const (
	easyBits  = 0x207fffff
	smallBits = 0x200fffff
	fineBits  = 0x2000ffff
	diff1Bits = 0x1d00ffff
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func number(n uint64) *big.Int { return new(big.Int).SetUint64(n) }

func hash256(data []byte) chainhash.Hash {
	first := sha256.Sum256(data)
	return sha256.Sum256(first[:])
}

// targetOf returns the target that bits stand for, for bits with a size of 3 or more.
func targetOf(bits uint32) *big.Int {
	return new(big.Int).Lsh(number(uint64(bits&0xffffff)), uint(8*(bits>>24-3)))
}

// bitsOf returns the bits of a target, as a header has them: the sign is kept free.
func bitsOf(target *big.Int) uint32 {
	size := (target.BitLen() + 7) / 8
	mantissa := uint32(new(big.Int).Rsh(target, uint(8*max(size-3, 0))).Uint64())
	if mantissa&0x800000 != 0 {
		mantissa >>= 8
		size++
	}
	return uint32(size)<<24 | mantissa
}

// mine returns a header on top of prev with a random merkle root, and of bits that a
// test can mine.
func mine(rng *rand.Rand, prev []byte, bits, time uint32) []byte {
	var root chainhash.Hash
	for i := range root {
		root[i] = byte(rng.Uint32())
	}
	return mineWith(rng, prev, root, bits, time)
}

func mineWith(rng *rand.Rand, prev []byte, root chainhash.Hash, bits, time uint32) []byte {
	h := make([]byte, headerSize)
	binary.LittleEndian.PutUint32(h, 0x20000000)
	digest := hash256(prev)
	copy(h[4:], digest[:])
	copy(h[36:], root[:])
	binary.LittleEndian.PutUint32(h[68:], time)
	binary.LittleEndian.PutUint32(h[72:], bits)
	target := targetOf(bits).FillBytes(make([]byte, 32))
	slices.Reverse(target)
	for nonce := rng.Uint32(); ; nonce++ {
		binary.LittleEndian.PutUint32(h[76:], nonce)
		if digest := hash256(h); lower(digest[:], target) {
			return h
		}
	}
}

// lower compares numbers of which the last byte is the highest.
func lower(a, b []byte) bool {
	for i := len(a) - 1; i >= 0; i-- {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

func timeOf(h []byte) uint32             { return binary.LittleEndian.Uint32(h[68:]) }
func bits(h []byte) uint32               { return binary.LittleEndian.Uint32(h[72:]) }
func prevOf(h []byte) chainhash.Hash     { return chainhash.Hash(h[4:36]) }
func setTime(h []byte, time uint32)      { binary.LittleEndian.PutUint32(h[68:], time) }
func headerAt(data []byte, i int) []byte { return data[i*headerSize:][:headerSize] }

// An inclusion is a transaction in a block.
type inclusion struct {
	txID  chainhash.Hash
	index uint64
	proof []byte
}

// A world is what a FullRelay may be told of: a tree of headers, and where the relay
// begins.
type world struct {
	genesis     []byte
	height      uint64
	periodStart []byte
	// pool has the headers, each after the one below it, as far as that is in it.
	pool [][]byte
	// raw are the headers that have a digest: the pool, genesis, periodStart, and all
	// that a relay was ever told of. digests are these, in the order of their coming.
	raw     map[chainhash.Hash][]byte
	digests []chainhash.Hash
	// slots are those that a digest has in a FullRelay's mappings, in the same order.
	slots   [][2]common.Hash
	heights map[chainhash.Hash]uint64
	proofs  map[chainhash.Hash]inclusion
}

func newWorld(genesis []byte, height uint64, periodStart []byte) *world {
	w := &world{
		genesis: genesis, height: height, periodStart: periodStart,
		raw: map[chainhash.Hash][]byte{}, heights: map[chainhash.Hash]uint64{}, proofs: map[chainhash.Hash]inclusion{},
	}
	w.know(periodStart)
	w.know(genesis)
	w.heights[hash256(genesis)] = height
	return w
}

// know remembers a header by its digest, and reports whether it is a new one.
func (w *world) know(h []byte) bool {
	digest := hash256(h)
	if _, known := w.raw[digest]; known {
		return false
	}
	w.raw[digest] = h
	w.digests, w.slots = append(w.digests, digest), append(w.slots, [2]common.Hash{entry(3, digest), entry(4, digest)})
	return true
}

// add puts a header into the pool.
func (w *world) add(h []byte) {
	digest := hash256(h)
	if !w.know(h) {
		return
	}
	w.pool = append(w.pool, h)
	if below, ok := w.heights[prevOf(h)]; ok {
		w.heights[digest] = below + 1
	}
}

// runFrom returns up to n headers, each on top of the one before, of which the first is
// given. Where there is a fork a random branch is taken.
func (w *world) runFrom(rng *rand.Rand, first []byte, n int) []byte {
	run := slices.Clone(first)
	for n--; n > 0; n-- {
		digest := hash256(run[len(run)-headerSize:])
		var above [][]byte
		for _, h := range w.pool {
			if prevOf(h) == digest {
				above = append(above, h)
			}
		}
		if len(above) == 0 {
			break
		}
		run = append(run, above[rng.IntN(len(above))]...)
	}
	return run
}

// commonAncestor returns the last header that two have below them, or are, and how far
// that is below the higher one at most; a zero digest if there is none.
func (w *world) commonAncestor(left, right chainhash.Hash) (ancestor chainhash.Hash, steps uint64) {
	depths := map[chainhash.Hash]uint64{}
	for n := uint64(0); ; n++ {
		depths[left] = n
		h, ok := w.raw[left]
		if !ok || left == hash256(w.genesis) {
			break
		}
		left = prevOf(h)
	}
	for n := uint64(0); ; n++ {
		if depth, ok := depths[right]; ok {
			return right, max(depth, n)
		}
		h, ok := w.raw[right]
		if !ok {
			return chainhash.Hash{}, n
		}
		right = prevOf(h)
	}
}

// minedWorld returns a tree of headers mined for low difficulties, mostly across the end
// of a period, with branches before and after it.
func minedWorld(rng *rand.Rand) *world {
	start := []uint32{easyBits, smallBits, fineBits, fineBits, fineBits, 0x2000c0de}[rng.IntN(6)]
	period := uint64(rng.IntN(200))
	position := uint64(epoch - 1 - rng.IntN(12))
	if rng.IntN(6) == 0 {
		position = uint64(rng.IntN(epoch))
	}
	clock := uint32(1_600_000_000)
	// How long the period takes: mostly a fortnight or so.
	took := uint32(fortnight/2 + rng.IntN(fortnight))
	switch rng.IntN(6) {
	case 0:
		took = uint32(rng.IntN(6 * fortnight))
	case 1:
		took = []uint32{0, fortnight / 4, fortnight, 4 * fortnight, 1<<32 - 50_000}[rng.IntN(5)]
	}
	first := mine(rng, make([]byte, headerSize), easyBits, clock-took)
	binary.LittleEndian.PutUint32(first[72:], start)
	if rng.IntN(12) == 0 {
		binary.LittleEndian.PutUint32(first[72:], diff1Bits) // believed, as all of it
	}
	genesis := mine(rng, first, start, clock)
	if position == 0 || rng.IntN(20) == 0 {
		genesis = first
	}
	w := newWorld(genesis, period*epoch+position, first)
	tips := [][]byte{genesis}
	for branch := range 2 + rng.IntN(4) {
		tip := tips[rng.IntN(len(tips))]
		for range 2 + rng.IntN(10)/(1+branch/3) {
			tip = w.mineOn(rng, tip, first)
			tips = append(tips, tip)
		}
	}
	return w
}

// mineOn puts a header on top of another into the pool, with the target that is due.
func (w *world) mineOn(rng *rand.Rand, below, periodStart []byte) []byte {
	next := bits(below)
	if targetOf(next).BitLen() < 246 {
		next = fineBits // the relay refuses it
	}
	if (w.heights[hash256(below)]+1)%epoch == 0 {
		elapsed := min(max(int64(timeOf(below))-int64(timeOf(periodStart)), fortnight/4), 4*fortnight)
		due := targetOf(bits(periodStart))
		due.Rsh(due, 16).Mul(due, number(uint64(elapsed))).Div(due, number(fortnight)).Lsh(due, 16)
		// What a test can mine, and what has 256 bits; else the relay refuses it.
		if len := due.BitLen(); len > 246 && len <= 255 {
			next = bitsOf(due)
		}
	}
	tx := inclusion{index: uint64(rng.IntN(16))}
	for i := range tx.txID {
		tx.txID[i] = byte(rng.Uint32())
	}
	levels := rng.IntN(5)
	if levels == 0 {
		tx.index = 0
	}
	root := tx.txID
	for level := range levels {
		var pair [64]byte
		for i := range pair {
			pair[i] = byte(rng.Uint32())
		}
		side := int(tx.index >> level & 1 * 32)
		tx.proof = append(tx.proof, pair[32-side:64-side]...)
		copy(pair[side:side+32], root[:])
		root = hash256(pair[:])
	}
	h := mineWith(rng, below, root, next, timeOf(below)+uint32(rng.IntN(1200)))
	w.add(h)
	w.proofs[hash256(h)] = tx
	return h
}

// A history is real headers of Bitcoin: a chain, the first header of the period that it
// begins in, and others that compete with it.
type history struct {
	chain       [][]byte
	height      uint64
	periodStart []byte
	others      [][]byte
}

// histories returns chains with an orphan, with a retarget, and with both, and one of
// difficulty 1.
func histories(t testing.TB) []history {
	t.Helper()
	const unchecked = "relays on real headers"
	var all []history
	for _, name := range []string{"relay/headers.json", "relay/headersWithRetarget.json"} {
		f, err := relay.ParseHeadersFile(testvectors.Load(t, name, unchecked))
		if err != nil {
			t.Fatal(err)
		}
		h := history{height: f.Genesis.Height, periodStart: f.PeriodStart.Raw, chain: [][]byte{f.Genesis.Raw}}
		for _, next := range f.Chain {
			h.chain = append(h.chain, next.Raw)
		}
		for _, other := range f.Others {
			h.others = append(h.others, other.Raw)
		}
		if h.periodStart == nil { // not in the file: another believed one
			h.periodStart = slices.Clone(f.Genesis.Raw)
			setTime(h.periodStart, timeOf(f.Genesis.Raw)-fortnight/2)
		}
		all = append(all, h)
	}
	var summa struct {
		Chain struct {
			IsMostRecentCommonAncestor struct {
				Orphan, OldPeriodStart, Genesis     relay.FileHeader
				PreRetargetChain, PostRetargetChain []relay.FileHeader
			}
		}
	}
	if err := json.Unmarshal(testvectors.Load(t, "relay/summa_testVectors.json", unchecked), &summa); err != nil {
		t.Fatal(err)
	}
	c := summa.Chain.IsMostRecentCommonAncestor
	both := history{height: c.Genesis.Height, periodStart: c.OldPeriodStart.Raw, chain: [][]byte{c.Genesis.Raw}, others: [][]byte{c.Orphan.Raw}}
	for _, next := range append(c.PreRetargetChain, c.PostRetargetChain...) {
		both.chain = append(both.chain, next.Raw)
	}
	all = append(all, both)

	early := history{}
	for data := testvectors.Load(t, "headers/mainnet_0_10236.bin.zst", unchecked); len(data) > 0; data = data[headerSize:] {
		early.chain = append(early.chain, data[:headerSize])
	}
	early.periodStart = early.chain[0]
	return append(all, early)
}

// boundary returns the index of the first header of a period in the chain; 0 if there
// is none.
func (h *history) boundary() int {
	for i := range h.chain {
		if i > 0 && bits(h.chain[i]) != bits(h.chain[i-1]) {
			return i
		}
	}
	return 0
}

// realWorld returns a part of a history. Where it does not matter the relay is told
// another height than the real one.
func realWorld(rng *rand.Rand, all []history) *world {
	h := all[rng.IntN(len(all))]
	from := rng.IntN(min(len(h.chain)-4, 5))
	if len(h.chain) > 1000 {
		from = rng.IntN(len(h.chain) - 30)
	}
	height := h.height + uint64(from)
	if h.boundary() == 0 && rng.IntN(4) != 0 {
		height = uint64(rng.IntN(100)*epoch + epoch - rng.IntN(12))
	}
	if b := h.boundary(); b != 0 {
		from = rng.IntN(b)
		height = h.height + uint64(from)
		if rng.IntN(3) == 0 { // another period: that is believed
			height = height%epoch + uint64(rng.IntN(4))*epoch
		}
	}
	w := newWorld(h.chain[from], height, h.periodStart)
	for _, next := range h.chain[from+1 : min(from+30, len(h.chain))] {
		w.add(next)
	}
	for _, other := range h.others {
		w.add(other)
	}
	return w
}
