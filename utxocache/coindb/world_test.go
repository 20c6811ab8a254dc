package coindb

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/outrider-project/outrider/utxocache/corefile"
	"github.com/outrider-project/outrider/utxocache/muhash"
)

// seedOf returns the seed in UTXOCACHE_SEED, or a fresh one, and logs it.
func seedOf(t testing.TB) uint64 {
	seed := rand.Uint64()
	if s := os.Getenv("UTXOCACHE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("UTXOCACHE_SEED=%d", seed)
	return seed
}

// A moment is a chain at one block, as the model has it: every coin.
type moment struct {
	tip   Tip
	coins map[wire.OutPoint]Coin
	// block led here.
	block *Block
}

// A chain makes blocks from a random source, and knows what they do. Equal
// seeds make equal chains.
type chain struct {
	rng *rand.Rand
	src *rand.PCG // of rng
	// moments ends with the tip.
	moments []moment
	serial  uint64
	// unknown says that blocks spend coins that never were.
	unknown bool
	// coinbases are txids that a BIP30 block may create again, and exempted counts
	// such blocks, those that were undone too: two blocks never have one hash.
	coinbases []chainhash.Hash
	exempted  int
}

// repeated are the hashes of the two blocks that BIP30 exempts.
var repeated = [2]chainhash.Hash{
	mustHash("00000000000a4d0a398161ffc163c503763b1f4360639393e0e4c8e300e0caec"),
	mustHash("00000000000743f190a18c5577a3c2d2a1f610ae9601ac046a38084ccb7cd721"),
}

func mustHash(s string) chainhash.Hash {
	h, err := chainhash.NewHashFromStr(s)
	if err != nil {
		panic(err)
	}
	return *h
}

func newChain(seed uint64) *chain {
	src := rand.NewPCG(seed, 0)
	c := &chain{rng: rand.New(src), src: src}
	c.moments = []moment{{tip: Tip{Hash: c.hash()}, coins: map[wire.OutPoint]Coin{}}}
	return c
}

func (c *chain) top() *moment { return &c.moments[len(c.moments)-1] }

func (c *chain) chance(n int) bool { return c.rng.IntN(n) == 0 }

func (c *chain) hash() chainhash.Hash {
	c.serial++
	return sha256.Sum256(binary.BigEndian.AppendUint64(nil, c.serial<<32|uint64(c.rng.Uint32())))
}

const generator = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"

func (c *chain) script() []byte {
	random := func(prefix string, n int, suffix string) []byte {
		s := []byte(prefix)
		for range n {
			s = append(s, byte(c.rng.Uint32()))
		}
		return append(s, suffix...)
	}
	switch c.rng.IntN(10) {
	case 0:
		return random("", c.rng.IntN(100), "")
	case 1:
		key, _ := hex.DecodeString(generator)
		return slices.Concat([]byte{0x41, 4}, key, []byte{0xac})
	case 2:
		return []byte{0x51} // a script that many coins have
	case 3, 4:
		return random("\x51\x20", 32, "")
	case 5, 6:
		return random("\x00\x14", 20, "")
	case 7:
		return random("\xa9\x14", 20, "\x87")
	default:
		return random("\x76\xa9\x14", 20, "\x88\xac")
	}
}

// mine adds a block to the chain.
func (c *chain) mine() *Block {
	at := c.top()
	b := &Block{Tip: Tip{Hash: c.hash(), Height: at.tip.Height + 1}, Prev: at.tip.Hash}
	coins := maps.Clone(at.coins)
	spendable := slices.SortedFunc(maps.Keys(coins), compareOps)
	txs := 1 + c.rng.IntN(8)
	for i := range txs {
		if i > 0 {
			for range c.rng.IntN(4) {
				if len(spendable) == 0 {
					break
				}
				j := c.rng.IntN(len(spendable))
				b.Spent = append(b.Spent, spendable[j])
				delete(coins, spendable[j])
				spendable = slices.Delete(spendable, j, j+1)
			}
			if c.unknown && c.chance(3) {
				b.Spent = append(b.Spent, wire.OutPoint{Hash: c.hash(), Index: c.rng.Uint32N(3)})
			}
		}
		txid := c.hash()
		if i == 0 {
			txid = c.coinbase(b, txid)
			// No block spends its own coinbase.
			spendable = slices.DeleteFunc(spendable, func(op wire.OutPoint) bool { return op.Hash == txid })
		}
		for n := range 1 + c.rng.IntN(4) {
			op := wire.OutPoint{Hash: txid, Index: uint32(n)}
			if c.chance(10) {
				op.Index += 4 * (c.rng.Uint32N(25_000) + 3) // no other of the four has it
			}
			coin := Coin{Value: c.rng.Int64N(21e14), Script: c.script(), Height: b.Height, Coinbase: i == 0}
			b.Created = append(b.Created, CoinAt{op, coin})
			coins[op] = coin
			if i > 0 { // a coinbase is spent by later blocks
				spendable = append(spendable, op)
			}
		}
	}
	c.rng.Shuffle(len(b.Created), func(i, j int) { b.Created[i], b.Created[j] = b.Created[j], b.Created[i] })
	c.rng.Shuffle(len(b.Spent), func(i, j int) { b.Spent[i], b.Spent[j] = b.Spent[j], b.Spent[i] })
	c.moments = append(c.moments, moment{b.Tip, coins, b})
	return b
}

// coinbase returns the txid of b's coinbase; seldom it is an old one, and b is
// a block that BIP30 exempts.
func (c *chain) coinbase(b *Block, txid chainhash.Hash) chainhash.Hash {
	if c.exempted < len(repeated) && len(c.coinbases) > 0 && c.chance(3) {
		b.Hash = repeated[c.exempted]
		c.exempted++
		return c.coinbases[c.rng.IntN(len(c.coinbases))]
	}
	c.coinbases = append(c.coinbases, txid)
	return txid
}

// undo takes the tip off the chain and returns it.
func (c *chain) undo() moment {
	last := *c.top()
	c.moments = c.moments[:len(c.moments)-1]
	return last
}

func equalCoin(a, b Coin) bool {
	return a.Value == b.Value && a.Height == b.Height && a.Coinbase == b.Coinbase && bytes.Equal(a.Script, b.Script)
}

// compare fails unless v is exactly what the model has.
func compare(t testing.TB, v *View, m *moment) {
	t.Helper()
	if v.Tip() != m.tip {
		t.Fatalf("the view is of %s, must be of %s", v.Tip(), m.tip)
	}
	if v.Coins() != uint64(len(m.coins)) {
		t.Fatalf("at %s: %d coins counted, must be %d", m.tip, v.Coins(), len(m.coins))
	}
	got := make(map[wire.OutPoint]Coin)
	var last *wire.OutPoint
	for c, err := range v.All() {
		if err != nil {
			t.Fatal(err)
		}
		if last != nil && compareOps(*last, c.OutPoint) >= 0 {
			t.Fatalf("%s comes after %s", c.OutPoint, *last)
		}
		last = &c.OutPoint
		c.Coin.Script = bytes.Clone(c.Coin.Script)
		got[c.OutPoint] = c.Coin
	}
	if !maps.EqualFunc(got, m.coins, equalCoin) {
		t.Fatalf("at %s: %d coins that differ from the model's %d", m.tip, len(got), len(m.coins))
	}
}

// hash returns the MuHash of the model's coins.
func (m *moment) hash() chainhash.Hash {
	var set muhash.Set
	for op, c := range m.coins {
		set.Insert(corefile.AppendTxOutSer(nil, op, &c))
	}
	return set.Finalize()
}

// compareHash fails unless d's MuHash is that of the model's coins.
func compareHash(t testing.TB, d *DB, m *moment) {
	t.Helper()
	got, tip, err := d.MuHash(t.Context())
	must(t, err)
	if want := m.hash(); tip != m.tip || got != want {
		t.Fatalf("at %s the MuHash is %s, must be %s at %s", tip, got, want, m.tip)
	}
	at, err := d.MuHashAt(tip)
	must(t, err)
	if at != got {
		t.Fatalf("at %s the MuHash is %s and %s", tip, got, at)
	}
}

// compareDB fails unless d is what the model has.
func compareDB(t testing.TB, d *DB, m *moment) {
	t.Helper()
	v, err := d.View()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { // the database cannot be closed before
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	compare(t, v, m)
}

// mustOpen opens a database that the test closes, if it does not itself.
func mustOpen(t testing.TB, fs vfs.FS, opts Options) *DB {
	t.Helper()
	opts.fs = fs
	d, err := Open("coins", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustFail(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want an error that wraps %q", err, want)
	}
}
