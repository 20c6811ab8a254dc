package utxocache

import (
	"bytes"
	"math"
	"testing"

	"github.com/outrider-project/outrider/utxocache/corefile"
)

func TestRecord(t *testing.T) {
	op := out(7, 70_000)
	k := keyOf(&op)
	for _, a := range []Answer{
		{Coin: Coin{}},
		{Coin: Coin{Value: 1, Script: []byte{0x51}, Height: 1, Coinbase: true}, Own: true},
		{Coin: Coin{Value: corefile.MaxMoney, Script: largestScript, Height: math.MaxUint32, Coinbase: true}},
		{Coin: Coin{Value: 50e8, Script: make([]byte, 67), Height: 91_842}, Own: true},
		{Coin: Coin{Value: 123_456_789, Script: make([]byte, 22), Height: 850_000}, Own: true},
	} {
		a.State = Unspent
		record, ok := appendRecord([]byte{9}, &k, &a)
		if !ok || record[0] != 9 || key(record[1:]) != k {
			t.Fatalf("%+v has the record %.50x, %t", a, record, ok)
		}
		got, size := decodeRecord(append(record[1:], 0xff))
		if size != len(record)-1 || got.State != Unspent || got.Own != a.Own || !equalCoin(got.Coin, a.Coin) {
			t.Errorf("%+v became %+v of %d bytes", a, got, size)
		}
	}
	for _, c := range []Coin{{Value: -1}, {Value: corefile.MaxMoney + 1}, {Script: tooLargeScript}} {
		if record, ok := appendRecord(nil, &k, &Answer{Coin: c, State: Unspent}); ok || len(record) != 0 {
			t.Errorf("%d satoshis with %d bytes of script have a record", c.Value, len(c.Script))
		}
	}
}

func FuzzRecord(f *testing.F) {
	k := key{1, 2, 3}
	for _, a := range []Answer{
		{Coin: Coin{Value: 5000, Script: []byte{1, 2, 3}, Height: 850_000}, Own: true},
		{Coin: Coin{Value: corefile.MaxMoney, Height: math.MaxUint32, Coinbase: true}},
	} {
		record, _ := appendRecord(nil, &k, &a)
		f.Add(record)
		f.Add(record[:len(record)-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, size := decodeRecord(b)
		if size == 0 {
			if a.State != Unknown || a.Coin.Script != nil {
				t.Fatalf("no record is %+v", a)
			}
			return
		}
		again, ok := appendRecord(nil, (*key)(b), &a)
		if !ok || !bytes.Equal(again, b[:size]) {
			t.Fatalf("%x decodes to %+v, which encodes to %x", b[:size], a, again)
		}
	})
}

// A record that died is there for the epochs before.
func TestPage(t *testing.T) {
	p := newPage(1, largestPage)
	op := out(1, 0)
	k := keyOf(&op)
	var offsets []int
	for n := 0; ; n++ {
		record, _ := appendRecord(nil, &k, &Answer{Coin: Coin{Value: int64(n), Script: make([]byte, n%40)}})
		if !p.fits(len(record)) {
			break
		}
		offsets = append(offsets, p.add(record))
	}
	for i := 0; i < len(offsets); i += 3 {
		p.kill(offsets[i], uint32(10+i))
	}
	i := 0
	for offset, record := range p.records {
		a, _ := decodeRecord(record)
		if offset != offsets[i] || a.Coin.Value != int64(i) || len(a.Coin.Script) != i%40 {
			t.Fatalf("record %d is %+v at %d", i, a, offset)
		}
		before, after := p.has(offset, uint32(9+i)), p.has(offset, uint32(10+i))
		if !before || after != (i%3 != 0) {
			t.Errorf("record %d is there before %t, after %t", i, before, after)
		}
		i++
	}
	if i != len(offsets) || i < largestPage/80 || p.live != i-(i+2)/3 {
		t.Errorf("%d records of %d, %d live", i, len(offsets), p.live)
	}
}
