package coindb

import (
	"bytes"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
)

func FuzzCoin(f *testing.F) {
	c := newChain(1)
	for range 10 {
		f.Add(appendCoin(nil, &Coin{Value: 1234567890, Height: 840_000, Coinbase: true, Script: c.script()}))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		var coin, again, shared Coin
		if decodeCoin(&coin, value) != nil {
			return
		}
		if err := checkCoin(&coin); err != nil {
			t.Fatal(err)
		}
		encoded := appendCoin(nil, &coin)
		if err := decodeCoin(&again, encoded); err != nil || !equalCoin(coin, again) {
			t.Fatalf("%+v becomes %+v, %v", coin, again, err)
		}
		s := scriptsOf(2)
		if err := s.decode(&shared, value); err != nil || !equalCoin(coin, shared) {
			t.Fatalf("%+v becomes %+v, %v", coin, shared, err)
		}
	})
}

func FuzzUndo(f *testing.F) {
	c := newChain(2)
	for range 5 {
		u := undoRecord{hash: c.hash(), prev: c.hash()}
		for range c.rng.IntN(5) {
			u.created = append(u.created, rawCoin{wire.OutPoint{Hash: [32]byte{byte(len(u.created))}}, nil})
			u.restored = append(u.restored, rawCoin{wire.OutPoint{Index: uint32(len(u.restored))}, []byte{1, 2, 7}})
		}
		f.Add(u.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := decodeUndo(b)
		if err != nil {
			return
		}
		if again := u.append(nil); !bytes.Equal(again, b) || len(again) > u.room() {
			t.Fatalf("%x becomes %x, in room for %d", b, again, u.room())
		}
		if hash, prev, err := undoHashes(b); err != nil || hash != u.hash || prev != u.prev {
			t.Fatalf("%x is of block %s after %s, %v", b, hash, prev, err)
		}
	})
}

func FuzzHashRecord(f *testing.F) {
	var r hashRecord
	r.set.Insert([]byte("a coin"))
	f.Add(hashKey(7), r.value())
	f.Add(hashKey(7)[1:], r.value())
	f.Add(hashKey(7), r.value()[1:])
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r, err := decodeHashRecord(key, value)
		if err != nil {
			mustFail(t, err, ErrCorrupt)
			return
		}
		again, err := decodeHashRecord(key, r.value())
		if err != nil || again.tip != r.tip || again.set.Finalize() != r.set.Finalize() {
			t.Fatalf("%x becomes %x: %v", value, r.value(), err)
		}
	})
}

func FuzzState(f *testing.F) {
	for _, complete := range []bool{true, false} {
		s := state{tip: Tip{Height: 7}, complete: complete, coins: 9}
		f.Add(s.append(nil))
	}
	load := loadState{tip: Tip{Height: 7}, coins: 9}
	f.Add(load.append(nil))
	load.last = make([]byte, coinKeySize)
	f.Add(load.append(nil))
	f.Add([]byte{indexWhole})
	f.Add(append([]byte{indexBuilding}, load.last...))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeState(b)
		if err == nil && !bytes.Equal(s.append(nil), b) {
			t.Fatalf("%x becomes %x", b, s.append(nil))
		}
		if s, err := decodeLoadState(b); err == nil && !bytes.Equal(s.append(nil), b) {
			t.Fatalf("%x becomes %x", b, s.append(nil))
		}
		if next, err := decodeIndexState(b); err == nil && next != nil && len(next) != coinKeySize {
			t.Fatalf("%x goes on at %x", b, next)
		}
	})
}
