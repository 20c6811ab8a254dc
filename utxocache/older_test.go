package utxocache

import (
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
)

// With one hash for all, the full key decides: no coin is lost, and none is
// ever taken for another.
func TestCollisions(t *testing.T) {
	c := newCache(t, Options{Blocks: 2})
	c.hasher.mask = 0
	c.Reset(Tip{Hash: hashOf(100)}, true)
	var ops []wire.OutPoint
	for i := range uint64(8) {
		apply(t, c, blockOn(tipOf(t, c), 1, testTx{id: i, scripts: outs(20)}))
		for n := range uint32(20) {
			ops = append(ops, out(i, n))
		}
	}
	for i, op := range ops {
		if a, _ := c.Get(op); a.State != Unspent || a.Coin.Value != int64(i%20)+1 || a.Coin.Height != uint32(i/20)+1 {
			t.Errorf("coin %d is %+v", i, a)
		}
	}
	apply(t, c, blockOn(tipOf(t, c), 1, testTx{id: 50}, testTx{id: 51, spends: ops[:30]}))
	for i, op := range ops {
		if a, _ := c.Get(op); (a.State == Absent) != (i < 30) || a.State == Unknown {
			t.Errorf("coin %d of 30 that are spent is %s", i, a.State)
		}
	}
	want(t, c, out(60, 0), Absent, true)
	if c.older.lost != 0 || !c.Complete() {
		t.Errorf("%d coins lost", c.older.lost)
	}
}

// Ristretto drops writes that outrun it, and turns keys away that it was not
// asked for; where there is room, it must do neither.
func TestOlderTakesAll(t *testing.T) {
	const n = 150_000
	c := newCache(t, Options{Blocks: 1, Bytes: n * 120})
	c.Reset(Tip{Hash: hashOf(1), Height: 900_000}, false)
	ops, coins := toldCoins(n)
	c.Remember(hashOf(1), ops, coins, false)
	answers := make([]Answer, n)
	if err := c.Fetch(hashOf(1), ops, answers); err != nil {
		t.Fatal(err)
	}
	for i, a := range answers {
		if a.State != Unspent || !equalCoin(a.Coin, coins[i]) {
			t.Fatalf("coin %d of %d is %+v", i, n, a)
		}
	}
	if c.older.lost != 0 || c.older.coins != n {
		t.Errorf("%d coins held, %d lost, of %d", c.older.coins, c.older.lost, n)
	}
}

// A page of which most coins are spent gives its memory back.
func TestHolesAreFilled(t *testing.T) {
	const n = 50_000
	c := newCache(t, Options{Blocks: 1})
	c.Reset(Tip{Hash: hashOf(1), Height: 900_000}, false)
	ops, coins := toldCoins(n)
	c.Remember(hashOf(1), ops, coins, false)
	full := c.older.bytes
	// One coin of four stays, all over the pages.
	for from := range 3 {
		var spends []wire.OutPoint
		for i := from; i < n; i += 4 {
			spends = append(spends, ops[i])
		}
		apply(t, c, blockOn(tipOf(t, c), 1, testTx{id: uint64(n + 2*from)}, testTx{id: uint64(n + 2*from + 1), spends: spends}))
	}
	if c.older.bytes > full*6/10 {
		t.Errorf("a quarter of the coins takes %d bytes, all took %d", c.older.bytes, full)
	}
	for i, op := range ops {
		a, _ := c.Get(op)
		if i%4 == 3 && (a.State != Unspent || !equalCoin(a.Coin, coins[i])) || i%4 != 3 && a.State == Unspent {
			t.Fatalf("coin %d is %+v", i, a)
		}
	}
}

// A new page finds room in a full cache, though pages that are there were asked
// for often: the frequency of a page says little of coins that are spent once.
func TestNewPagesFindRoom(t *testing.T) {
	c := newCache(t, Options{Blocks: 1, Bytes: 100 * onePage})
	c.Reset(Tip{Hash: hashOf(1), Height: 900_000}, false)
	ops, coins := toldCoins(100 * coinsPerPage)
	c.Remember(hashOf(1), ops, coins, false)
	for range 200 {
		for _, op := range ops {
			c.Get(op)
		}
	}
	found := 0
	for i := range uint64(100) {
		id := 1_000_000 + i
		c.Remember(hashOf(1), []wire.OutPoint{out(id, 0)}, []Coin{{Value: 1, Height: 1}}, false)
		if a, _ := c.Get(out(id, 0)); a.State == Unspent {
			found++
		}
	}
	t.Logf("%d of 100 new coins found room", found)
	if found < 90 {
		t.Errorf("%d of 100 new coins found room", found)
	}
}

func TestHashesAreSecret(t *testing.T) {
	a, b := newHasher(), newHasher()
	op, other, third := out(1, 0), out(1, 1), out(2, 0)
	k, l, m := keyOf(&op), keyOf(&other), keyOf(&third)
	if a.of(&k) == b.of(&k) {
		t.Error("two caches have the same hash for an outpoint")
	}
	if a.of(&k) == a.of(&l) || a.of(&k) == a.of(&m) {
		t.Error("two outpoints have the same hash")
	}
	if k.outpoint() != op || l.outpoint() != other {
		t.Error("a key is another outpoint's")
	}
}
