package corefile

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// undoOfAll spends coins of all kinds.
func undoOfAll(tb testing.TB) BlockUndo {
	hash := strings.Repeat("cd", 20)
	script := func(s string) []byte { return unhex(tb, s) }
	return BlockUndo{
		{
			{Value: 50e8, Script: script("4104" + generatorX + minusY + "ac"), Height: 1, Coinbase: true},
			{Value: 1, Script: script("76a914" + hash + "88ac"), Height: 700_000},
		},
		{},
		{
			{Value: 0, Script: []byte{}, Height: 16511},
			{Value: MaxMoney, Script: bytes.Repeat([]byte{0x51}, MaxScriptSize), Height: MaxHeight, Coinbase: true},
			{Value: 546, Script: script("2103" + generatorX + "ac"), Height: 0},
			{Value: 12345, Script: script("a914" + hash + "87"), Height: 0, Coinbase: true},
		},
	}
}

// shortUndo returns the same with scripts of 100 bytes at most.
func shortUndo(tb testing.TB) BlockUndo {
	undo := undoOfAll(tb)
	for _, coins := range undo {
		for i := range coins {
			c := &coins[i]
			c.Script = c.Script[:min(len(c.Script), 100)]
		}
	}
	return undo
}

func sameUndo(a, b BlockUndo) bool {
	return slices.EqualFunc(a, b, func(a, b []Coin) bool {
		return slices.EqualFunc(a, b, func(a, b Coin) bool { return sameCoin(&a, &b) })
	})
}

func TestBlockUndo(t *testing.T) {
	many := make(BlockUndo, 253)
	many[7] = slices.Repeat([]Coin{{Value: 1, Script: []byte{}, Height: 1}}, 253)
	for _, want := range []BlockUndo{{}, {{}}, many, undoOfAll(t)} {
		b := AppendBlockUndo(nil, want)
		got, err := DecodeBlockUndo(b)
		if err != nil || !sameUndo(got, want) {
			t.Errorf("%v becomes %v, %v", want, got, err)
		}
		for cut := range b {
			if _, err := DecodeBlockUndo(b[:cut]); !errors.Is(err, ErrTruncated) {
				t.Fatalf("cut at byte %d of %d: %v, want ErrTruncated", cut, len(b), err)
			}
		}
		if _, err := DecodeBlockUndo(append(b, 0)); !errors.Is(err, ErrMalformed) {
			t.Errorf("a byte after the last: %v, want ErrMalformed", err)
		}
	}
}

// TestUndoMemory changes each decoded coin's script and appends to it and to
// each list of coins: the others stay as they are.
func TestUndoMemory(t *testing.T) {
	want := undoOfAll(t)
	b := AppendBlockUndo(nil, want)
	for i := range want {
		for j := range want[i] {
			got, err := DecodeBlockUndo(b)
			if err != nil {
				t.Fatal(err)
			}
			script := append(got[i][j].Script, 1, 2, 3)
			for k := range script {
				script[k] ^= 0xff
			}
			got[i] = append(got[i], Coin{Value: 1})[:len(got[i])]
			got[i][j] = want[i][j]
			if !sameUndo(got, want) {
				t.Errorf("another coin changed with coin %d of transaction %d", j, i)
			}
		}
	}
}

// TestUndoOld decodes records of Bitcoin Core before 0.15: the version of the
// transaction is where there is a height, and only there.
func TestUndoOld(t *testing.T) {
	for _, c := range []struct {
		b    string
		want Coin
	}{
		{"01 01 02 01 01 0751", Coin{Value: 1, Script: []byte{0x51}, Height: 1}},
		{"01 01 03 02 01 0751", Coin{Value: 1, Script: []byte{0x51}, Height: 1, Coinbase: true}},
		{"01 01 03 8efefefe7f 01 0751", Coin{Value: 1, Script: []byte{0x51}, Height: 1, Coinbase: true}},
		{"01 01 00 01 0751", Coin{Value: 1, Script: []byte{0x51}}},
		{"01 01 01 01 0751", Coin{Value: 1, Script: []byte{0x51}, Coinbase: true}},
	} {
		got, err := DecodeBlockUndo(unhex(t, c.b))
		if err != nil || !sameUndo(got, BlockUndo{{c.want}}) {
			t.Errorf("%s decodes to %+v, %v, want %+v", c.b, got, err, c.want)
		}
	}
}

// TestUndoRefused has numbers that promise more than there is.
func TestUndoRefused(t *testing.T) {
	for b, want := range map[string]error{
		"":                         ErrTruncated,
		"01":                       ErrTruncated,
		"0101":                     ErrTruncated,
		"fe00000002":               ErrTruncated,
		"01fe00000002":             ErrTruncated,
		"fe01000002":               ErrMalformed,
		"fd0100":                   ErrMalformed,
		"01fd0100":                 ErrMalformed,
		"0101 8efefeff00 00 00 06": ErrMalformed,
		"0101 02 8efefeff00 00 06": ErrMalformed,
		"0100 00":                  ErrMalformed,
		"0101 00 00 04" + notX:     ErrMalformed,
	} {
		if undo, err := DecodeBlockUndo(unhex(t, b)); !errors.Is(err, want) || undo != nil {
			t.Errorf("%s decodes to %v, %v, want %v", b, undo, err, want)
		}
	}
}
