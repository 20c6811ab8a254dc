package script

import (
	"bytes"
	"encoding/hex"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2/ecdsa"
	"github.com/btcsuite/btcd/txscript/v2"

	"github.com/outrider-project/outrider/sigverify/hashlane"
)

// TestStrictDER holds the reader of strict signatures against btcd's, which refuses
// besides what no signature can have: r or s of 0 or not below the group's order.
func TestStrictDER(t *testing.T) {
	f := newForge(seedOf(t, 11))
	strict := 0
	for n := range 30_000 {
		sig := append(f.der(f.bytes(32), f.bytes(pick(f, 1, 2, 31, 32)), f.one(4)), 1)
		if f.one(2) {
			sig = f.mutate(sig)
		}
		rs, readable := [64]byte{}, false
		if len(sig) > 0 {
			rs, readable = parseDER(sig[:len(sig)-1])
		}
		got := isStrictDER(sig)
		if len(sig) == 0 {
			continue
		}
		want, err := ecdsa.ParseDERSignature(sig[:len(sig)-1])
		if err == nil && len(sig) >= 2 && int(sig[1]) == len(sig)-3 {
			strict++
			r, s := want.R(), want.S()
			rb, sb := r.Bytes(), s.Bytes()
			if !got || !readable || rs != [64]byte(slices.Concat(rb[:], sb[:])) {
				t.Fatalf("case %d: %x: strict %v, read %v as %x, want %x and %x", n, sig, got, readable, rs, rb, sb)
			}
			continue
		}
		possible := readable && string(rs[:32]) < order && string(rs[32:]) < order &&
			string(rs[:32]) > string(make([]byte, 32)) && string(rs[32:]) > string(make([]byte, 32))
		if got && possible {
			t.Fatalf("case %d: %x is strict; btcd says %v", n, sig, err)
		}
	}
	if strict < 2000 {
		t.Errorf("only %d signatures were strict", strict)
	}
}

// TestLaxDER is what Bitcoin Core forgives, and what it does not.
func TestLaxDER(t *testing.T) {
	for _, tt := range []struct {
		name, sig string
		r, s      string // without zeros before them; "" if it is not read
	}{
		{"strict", "3006020101020102", "01", "02"},
		{"wrong length of the whole", "30ff020101020102", "", ""},
		{"no length of the whole", "3000020101020102", "01", "02"},
		{"long length", "308106020101020102", "01", "02"},
		{"longer length", "30820006020101020102", "01", "02"},
		{"length beyond the end", "308a020101020102", "", ""},
		{"length of no bytes", "3080020101020102", "01", "02"},
		{"bytes after it", "3006020101020102ffff", "01", "02"},
		{"negative", "30060201ff020180", "ff", "80"},
		{"zeros before", "300a0203000001020300000205", "01", "02"},
		{"empty integer", "300402000200", "00", "00"},
		{"long integer length", "300802810101028200010202", "01", "02"},
		{"zeros in the length", "3000028500000000010102850000000001020a", "01", "02"},
		{"length of 3 digits", "30000283010000" + strings.Repeat("00", 1<<16-1) + "11" + "020102", "11", "02"},
		{"length of 4 digits", "30000284010000000102010200", "", ""},
		{"s is missing", "3003020101", "", ""},
		{"s is cut off", "3006020101020202", "", ""},
		{"other tag", "3006030101020102", "", ""},
		{"other tag of s", "3006020101030102", "", ""},
		{"no sequence", "3106020101020102", "", ""},
		{"33 bytes", "3026022101" + hex.EncodeToString(make([]byte, 32)) + "020102", "", ""},
		{"33 bytes of s", "30260201010221" + "01" + hex.EncodeToString(make([]byte, 32)), "", ""},
		{"nothing", "", "", ""},
		{"a tag", "30", "", ""},
		{"a length", "3006", "", ""},
		{"an integer's tag", "300602", "", ""},
	} {
		rs, ok := parseDER(decodeHex(t, tt.sig))
		if ok != (tt.r != "") {
			t.Errorf("%s: read %v", tt.name, ok)
			continue
		}
		r, s := decodeHex(t, tt.r), decodeHex(t, tt.s)
		if ok && (!bytes.HasSuffix(rs[:32], r) || !bytes.HasSuffix(rs[32:], s) ||
			len(bytes.Trim(rs[:32-len(r)], "\x00"))+len(bytes.Trim(rs[32:64-len(s)], "\x00")) > 0) {
			t.Errorf("%s: %x, want %s and %s", tt.name, rs, tt.r, tt.s)
		}
	}
}

// TestLowS is the values on both sides of half the order, and what is no s at all.
func TestLowS(t *testing.T) {
	n := new(big.Int).SetBytes([]byte(order))
	half := new(big.Int).Rsh(n, 1)
	if string(half.Bytes()) != halfOrder {
		t.Fatalf("half the order is %x", half.Bytes())
	}
	f := newForge(0)
	for _, tt := range []struct {
		r, s *big.Int
		want bool
	}{
		{big.NewInt(1), half, true},
		{big.NewInt(1), new(big.Int).Add(half, big.NewInt(1)), false},
		{big.NewInt(1), new(big.Int).Sub(n, big.NewInt(1)), false},
		{big.NewInt(1), n, true},
		{n, new(big.Int).Sub(n, big.NewInt(1)), true},
	} {
		sig := append(f.der(tt.r.Bytes(), tt.s.Bytes(), false), 1)
		if got := isLowS(sig); got != tt.want {
			t.Errorf("s of %x: low %v, want %v", tt.s, got, tt.want)
		}
	}
}

// TestNumbers holds numbers against txscript's: all of up to two bytes, and longer
// ones at the edges.
func TestNumbers(t *testing.T) {
	f := newForge(seedOf(t, 12))
	elements := [][]byte{nil}
	for a := range 256 {
		elements = append(elements, []byte{byte(a)})
		for b := range 256 {
			elements = append(elements, []byte{byte(a), byte(b)})
		}
	}
	for range 20_000 {
		elements = append(elements, f.bytes(3+f.rng.IntN(4)))
	}
	for _, e := range elements {
		for _, minimal := range []bool{false, true} {
			for _, size := range []int{maxNumSize, maxLockSize} {
				want, err := txscript.MakeScriptNum(e, minimal, size)
				got, reason := decodeNum(e, minimal, size)
				if (reason == OK) != (err == nil) || err == nil && got != int64(want) {
					t.Fatalf("%x, minimal %v, %d bytes: %d, %v, want %d, %v", e, minimal, size, got, reason, want, err)
				}
				if minimal && err == nil && !bytes.Equal(appendNum(nil, got), e) {
					t.Fatalf("%d is %x, want %x", got, appendNum(nil, got), e)
				}
			}
		}
		truthy := len(bytes.Trim(e, "\x00")) > 0 && !(e[len(e)-1] == 0x80 && len(bytes.Trim(e[:len(e)-1], "\x00")) == 0)
		if truth(e) != truthy {
			t.Fatalf("%x is true: %v", e, truth(e))
		}
	}
	for n, want := range map[int64]string{
		0: "", 127: "7f", 128: "8000", -127: "ff", -128: "8080", 255: "ff00", -255: "ff80",
		1<<31 - 1: "ffffff7f", 1 << 31: "0000008000", -1 << 31: "0000008080",
		1<<32 - 1: "ffffffff00", 1 << 32: "0000000001", -1 << 32: "0000000081",
	} {
		if got := hex.EncodeToString(appendNum(nil, n)); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

// TestHash160 holds one message's HASH160 against hashlane's of many.
func TestHash160(t *testing.T) {
	f := newForge(13)
	for range 200 {
		e := f.bytes(f.rng.IntN(100))
		var want [1][20]byte
		hashlane.Hash160(want[:], [][]byte{e})
		if got := hash160(e); got != want[0] {
			t.Fatalf("HASH160 of %x: %x, want %x", e, got, want[0])
		}
	}
}

// TestFindAndDelete is what the name says, at every place.
func TestFindAndDelete(t *testing.T) {
	for _, tt := range []struct{ code, sig, want string }{
		{"0151", "51", ""},
		{"01510151", "51", ""},
		{"5101515201515301", "51", "5152" + "5301"},
		{"020151ac", "51", "020151ac"}, // inside a push
		{"020151", "51", "020151"},
		{"00ac00", "", "ac"},
		{"ac", "", "ac"},
		{"0100ac", "", "0100ac"},
		{"4c0151", "51", "4c0151"}, // another push of the same
		{"ac0500", "", "ac0500"},   // behind a push that breaks off
		{"00ac0500", "", "ac0500"},
		{"", "", ""},
	} {
		got, found := findAndDelete(decodeHex(t, tt.code), decodeHex(t, tt.sig))
		if hex.EncodeToString(got) != tt.want || found != (tt.code != tt.want) {
			t.Errorf("%s without %s: %x, found %v; want %s", tt.code, tt.sig, got, found, tt.want)
		}
	}
}
