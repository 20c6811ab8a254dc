package corefile

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// edges are numbers around which encodings change.
func edges() []uint64 {
	var all []uint64
	add := func(n uint64) { all = append(all, n-2, n-1, n, n+1, n+2) } // 0 and the largest wrap around
	for shift := range 64 {
		add(1 << shift)
	}
	for tens := uint64(1); tens <= math.MaxUint64/10; tens *= 10 {
		add(tens)
	}
	// The numbers of one VARINT digit more: 128, 16512, 2113664, …
	for first, n := uint64(128), 1; n < 9; n++ {
		add(first)
		first = first<<7 + 128
	}
	add(MaxMoney)
	add(MaxCompactSize)
	return all
}

// bigVarInt decodes a VARINT in another way: its digits are a number in the base
// 128, and before the numbers of its length come all those of fewer digits.
func bigVarInt(b []byte) *big.Int {
	n := new(big.Int)
	for _, digit := range b {
		n.Lsh(n, 7).Or(n, big.NewInt(int64(digit&0x7f)))
	}
	for shorter := 1; shorter < len(b); shorter++ {
		n.Add(n, new(big.Int).Lsh(big.NewInt(1), uint(7*shorter)))
	}
	return n
}

func TestVarInt(t *testing.T) {
	for _, n := range edges() {
		b := AppendVarInt([]byte("x"), n)[1:]
		if want := new(big.Int).SetUint64(n); bigVarInt(b).Cmp(want) != 0 {
			t.Errorf("%d becomes %x, which is %d", n, b, bigVarInt(b))
		}
		if got, size, err := DecodeVarInt(append(b, 0xff)); got != n || size != len(b) || err != nil {
			t.Errorf("%x decodes to %d of %d bytes, %v, want %d", b, got, size, err, n)
		}
		for cut := range b {
			if _, _, err := DecodeVarInt(b[:cut]); !errors.Is(err, ErrTruncated) {
				t.Errorf("%x cut at %d: %v, want ErrTruncated", b, cut, err)
			}
		}
	}
	// Bitcoin Core, serialize.h and serialize_tests.cpp.
	for n, want := range map[uint64]string{
		0: "00", 1: "01", 127: "7f", 128: "8000", 255: "807f", 256: "8100", 16383: "fe7f", 16384: "ff00",
		16511: "ff7f", 16512: "808000", 65535: "82fe7f", 1 << 32: "8efefeff00", math.MaxUint64: "80fefefefefefefefe7f",
	} {
		if got := hex.EncodeToString(AppendVarInt(nil, n)); got != want {
			t.Errorf("%d becomes %s, want %s", n, got, want)
		}
	}
	for _, bad := range []string{
		"80fefefefefefefeff00", "80fefefefefefefeff7f", "81fefefefefefefefe7f", "fffefefefefefefefe7f",
		"8080fefefefefefefefe7f", "ffffffffffffffffffff00",
	} {
		if n, _, err := DecodeVarInt(unhex(t, bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s decodes to %d, %v, want ErrMalformed", bad, n, err)
		}
	}
}

// TestVarInt32 has numbers of 32 bits in which Bitcoin Core keeps heights and
// script sizes.
func TestVarInt32(t *testing.T) {
	for _, n := range edges() {
		got, _, err := decodeVarInt(AppendVarInt(nil, n), math.MaxUint32)
		if fits := n <= math.MaxUint32; fits && (got != n || err != nil) || !fits && !errors.Is(err, ErrMalformed) {
			t.Errorf("%d decodes to %d, %v", n, got, err)
		}
	}
}

func TestCompareVarInt(t *testing.T) {
	vouts := []uint32{16512, 256, 255, 16511, 0, 127, 128, 111110, 16513, 65536}
	slices.SortFunc(vouts, compareVarInt)
	want := []uint32{0, 127, 128, 255, 16512, 16513, 256, 65536, 111110, 16511}
	if !slices.Equal(vouts, want) {
		t.Errorf("sorted as VARINTs: %v, want %v", vouts, want)
	}
}

func TestCompactSize(t *testing.T) {
	for _, n := range edges() {
		b := AppendCompactSize([]byte("x"), n)[1:]
		wantSize := 1
		if n > 0xfc {
			wantSize = 3
		}
		if n > 0xffff {
			wantSize = 5
		}
		if n > 0xffffffff {
			wantSize = 9
		}
		got, size, err := DecodeCompactSize(append(b, 0xff))
		switch {
		case n <= MaxCompactSize && (got != n || size != wantSize || err != nil):
			t.Errorf("%x decodes to %d of %d bytes, %v, want %d of %d", b, got, size, err, n, wantSize)
		case n > MaxCompactSize && !errors.Is(err, ErrMalformed):
			t.Errorf("%x decodes to %d, %v, want ErrMalformed", b, got, err)
		}
		for cut := range b {
			if _, _, err := DecodeCompactSize(b[:cut]); !errors.Is(err, ErrTruncated) {
				t.Errorf("%x cut at %d: %v, want ErrTruncated", b, cut, err)
			}
		}
	}
	for _, bad := range []string{
		"fd0000", "fdfc00", "fe00000000", "feffff0000", "fe01000002", "ff0000000000000000", "ffffffffff00000000", "ff0000000001000000",
	} {
		if n, _, err := DecodeCompactSize(unhex(t, bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s decodes to %d, %v, want ErrMalformed", bad, n, err)
		}
	}
	for bytes, want := range map[string]uint64{"fc": 252, "fdfd00": 253, "fe00000100": 65536, "fe00000002": MaxCompactSize} {
		if n, size, err := DecodeCompactSize(unhex(t, bytes)); n != want || 2*size != len(bytes) || err != nil {
			t.Errorf("%s decodes to %d of %d bytes, %v, want %d", bytes, n, size, err, want)
		}
	}
}

// amountByDigits compresses an amount by its decimal digits.
func amountByDigits(value int64) uint64 {
	if value == 0 {
		return 0
	}
	digits := strconv.FormatInt(value, 10)
	zeros := len(digits) - len(strings.TrimRight(digits, "0"))
	number := func(s string) uint64 {
		n, _ := strconv.ParseUint("0"+s, 10, 64)
		return n
	}
	if zeros >= 9 {
		return 10 * number(digits[:len(digits)-9])
	}
	last := len(digits) - zeros - 1
	return 1 + 10*(9*number(digits[:last])+number(digits[last:last+1])-1) + uint64(zeros)
}

func TestAmount(t *testing.T) {
	for _, n := range edges() {
		if n > MaxMoney {
			continue
		}
		x := CompressAmount(int64(n))
		if want := amountByDigits(int64(n)); x != want {
			t.Errorf("%d becomes %d, want %d", n, x, want)
		}
		if back, err := DecompressAmount(x); back != int64(n) || err != nil {
			t.Errorf("%d becomes %d, then %d, %v", n, x, back, err)
		}
	}
	for value, want := range map[int64]uint64{
		0: 0, 1: 1, 1e6: 7, 1e8: 9, 50e8: 0x32, MaxMoney: 0x1406f40, // Bitcoin Core, compress_tests.cpp
		546: 4911, 1000: 4, 10000: 5, 12345678: 111111101, 50000000: 48, 500000000: 49, // btcd, compress_test.go
	} {
		if got := CompressAmount(value); got != want {
			t.Errorf("%d becomes %d, want %d", value, got, want)
		}
	}
	for _, x := range edges() {
		value, err := DecompressAmount(x)
		switch {
		case err == nil && (value < 0 || value > MaxMoney || amountByDigits(value) != x):
			t.Errorf("%d becomes %d", x, value)
		case err != nil && !errors.Is(err, ErrMalformed):
			t.Errorf("%d: %v, want ErrMalformed", x, err)
		}
	}
	for _, x := range []uint64{CompressAmount(MaxMoney) + 10, CompressAmount(MaxMoney-1) + 20, math.MaxUint64} {
		if value, err := DecompressAmount(x); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d becomes %d, %v, want ErrMalformed", x, value, err)
		}
	}
}

func TestXOR(t *testing.T) {
	key := Key{1, 2, 3, 4, 5, 6, 7, 0xff}
	plain := bytes.Repeat([]byte("Bitcoin"), 300)
	file := slices.Clone(plain)
	for i := range file {
		file[i] ^= key[i%8]
	}
	for from := range 20 {
		for _, length := range []int{0, 1, 7, 8, 9, 511, 512, 513, 2000} {
			got := slices.Clone(file[from : from+length])
			key.XOR(got, int64(from))
			if !bytes.Equal(got, plain[from:from+length]) {
				t.Fatalf("%d bytes from byte %d on are not plain", length, from)
			}
			n, err := NewPlain(bytes.NewReader(file), key).ReadAt(got, int64(from))
			if n != length || err != nil || !bytes.Equal(got, plain[from:from+length]) {
				t.Fatalf("%d bytes read from byte %d on: %d, %v", length, from, n, err)
			}
		}
	}
	for length, want := range map[int]error{0: ErrTruncated, 7: ErrTruncated, 8: nil, 9: ErrMalformed} {
		if _, err := ParseKey(plain[:length]); !errors.Is(err, want) {
			t.Errorf("a key of %d bytes: %v, want %v", length, err, want)
		}
	}
}
