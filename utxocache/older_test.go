package utxocache

import "testing"

// With one key for all, the first coin stays and the others are lost, whether
// they come at once or later; none is ever taken for another.
func TestOlderCollisions(t *testing.T) {
	o, err := newOlder(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	o.mask = 0
	rs := records(4)
	hold := func(step string, held *record, lost uint64) {
		t.Helper()
		for _, r := range rs {
			if got := o.get(r.op); got != nil && got != held || got == nil && r == held {
				t.Errorf("%s: %s gets %+v", step, r.op, got)
			}
		}
		if n := o.lost.Load(); n != lost || o.coins.Load() > 1 {
			t.Errorf("%s: %d lost, %d held; %d must be lost", step, n, o.coins.Load(), lost)
		}
	}
	o.add(rs[:2])
	hold("two at once", rs[0], 1)
	o.add(rs[2:3])
	hold("one later", rs[0], 2)
	o.remove(rs[:1])
	hold("the first removed", nil, 2)
	o.add(rs[3:])
	hold("the key free again", rs[3], 2)
	o.clear()
	hold("cleared", nil, 0)
}

// Ristretto drops writes that outrun it; add must not let them.
func TestOlderTakesAll(t *testing.T) {
	const n = 150_000
	o, err := newOlder(n * (entryBytes + recordBytes + 32))
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	rs := records(n)
	o.add(rs)
	if lost := o.lost.Load(); lost != 0 {
		t.Fatalf("%d of %d coins lost where there is room", lost, n)
	}
	o.remove(rs[:n/2])
	for i, r := range rs {
		if got := o.get(r.op); i < n/2 && got != nil || i >= n/2 && got != r {
			t.Fatalf("coin %d of %d gets %+v", i, n, got)
		}
	}
	if o.coins.Load() != n/2 {
		t.Errorf("%d coins held, must be %d", o.coins.Load(), n/2)
	}
}

func TestOlderKeysAreSecret(t *testing.T) {
	a, err := newOlder(1)
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	b, err := newOlder(1)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	if a.key(out(1, 0)) == b.key(out(1, 0)) {
		t.Error("two caches have the same key for an outpoint")
	}
	if a.key(out(1, 0)) == a.key(out(1, 1)) || a.key(out(1, 0)) == a.key(out(2, 0)) {
		t.Error("two outpoints have the same key")
	}
}
