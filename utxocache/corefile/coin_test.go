package corefile

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
)

// The generator of secp256k1, whose y is even.
const (
	generatorX = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
	generatorY = "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
	minusY     = "b7c52588d95c3b9aa25b0403f1eef75702e84bb7597aabe663b82f6f04ef2777"
	prime      = "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f"
	notX       = "0000000000000000000000000000000000000000000000000000000000000005" // on no point

	// Two points with a coordinate that also has a spelling above the prime.
	primePlus1 = "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc30"
	yOfX1      = "4218f20ae6c646b363db68605822fb14264ca8d2587fdd6fbc750d587e76a7ee"
	xOfY1      = "1fe1e5ef3fceb5c135ab7741333ce5a6e80d68167653f6b2b24bcbcfaaaff507"
)

func TestScript(t *testing.T) {
	hash := strings.Repeat("ab", 20)
	raw := func(script string) string {
		return hex.EncodeToString(AppendVarInt(nil, uint64(len(script)/2+6))) + script
	}
	long := strings.Repeat("51", MaxScriptSize)
	one := strings.Repeat("0", 63) + "1"
	for _, c := range []struct{ name, script, packed string }{
		{"P2PKH", "76a914" + hash + "88ac", "00" + hash},
		{"P2SH", "a914" + hash + "87", "01" + hash},
		{"P2PK, even", "2102" + generatorX + "ac", "02" + generatorX},
		{"P2PK, odd", "2103" + generatorX + "ac", "03" + generatorX},
		{"P2PK, on no point", "2102" + notX + "ac", "02" + notX},
		{"P2PK, uncompressed, even", "4104" + generatorX + generatorY + "ac", "04" + generatorX},
		{"P2PK, uncompressed, odd", "4104" + generatorX + minusY + "ac", "05" + generatorX},
		{"empty", "", "06"},
		{"OP_RETURN", "6a", "076a"},
		{"P2WPKH", "0014" + hash, raw("0014" + hash)},
		{"P2TR", "5120" + generatorX, raw("5120" + generatorX)},
		{"longest", long, raw(long)},

		{"nearly P2PKH, longer", "76a914" + hash + "88ac51", raw("76a914" + hash + "88ac51")},
		{"nearly P2PKH, end", "76a914" + hash + "88ad", raw("76a914" + hash + "88ad")},
		{"nearly P2SH, push", "a94c14" + hash[2:] + "87", raw("a94c14" + hash[2:] + "87")},
		{"nearly P2PK, prefix", "2104" + generatorX + "ac", raw("2104" + generatorX + "ac")},
		{"hybrid key", "4106" + generatorX + generatorY + "ac", raw("4106" + generatorX + generatorY + "ac")},
		{"key off the curve", "4104" + generatorX + generatorX + "ac", raw("4104" + generatorX + generatorX + "ac")},
		{"x too large", "4104" + prime + generatorY + "ac", raw("4104" + prime + generatorY + "ac")},
		{"y too large", "4104" + generatorX + prime + "ac", raw("4104" + generatorX + prime + "ac")},
		{"x is 1", "4104" + one + yOfX1 + "ac", "04" + one},
		{"y is 1", "4104" + xOfY1 + one + "ac", "05" + xOfY1},
		{"x is 1 and the prime", "4104" + primePlus1 + yOfX1 + "ac", raw("4104" + primePlus1 + yOfX1 + "ac")},
		{"y is 1 and the prime", "4104" + xOfY1 + primePlus1 + "ac", raw("4104" + xOfY1 + primePlus1 + "ac")},
		{"y of another sign bit", "4104" + generatorX + generatorY[:62] + "b9ac", raw("4104" + generatorX + generatorY[:62] + "b9ac")},
	} {
		script := unhex(t, c.script)
		packed := AppendScript([]byte("x"), script)[1:]
		if got := hex.EncodeToString(packed); got != c.packed {
			t.Errorf("%s becomes %.80s, want %.80s", c.name, got, c.packed)
			continue
		}
		got, size, err := DecodeScript([]byte("x"), append(packed, 0xff))
		if err != nil || size != len(packed) || !bytes.Equal(got, append([]byte("x"), script...)) {
			t.Errorf("%s becomes %.80x of %d bytes, %v, want %.80x of %d", c.name, got, size, err, script, len(packed))
		}
		for cut := range packed {
			if _, _, err := DecodeScript(nil, packed[:cut]); !errors.Is(err, ErrTruncated) {
				t.Errorf("%s cut at %d: %v, want ErrTruncated", c.name, cut, err)
			}
		}
	}
}

func TestScriptRefused(t *testing.T) {
	for _, bad := range []string{"04" + notX, "05" + notX, "04" + prime, "04" + primePlus1, "05" + primePlus1, "8efefeff00", "ffffffffff7f"} {
		if script, _, err := DecodeScript(nil, unhex(t, bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s becomes %x, %v, want ErrMalformed", bad, script, err)
		}
	}
	// The largest length that can be told is no reason to take memory.
	if _, _, err := DecodeScript(nil, AppendVarInt(nil, 1<<32-1)); !errors.Is(err, ErrTruncated) {
		t.Errorf("a script of 4 GiB: %v, want ErrTruncated", err)
	}
	tooLong := AppendScript(nil, make([]byte, MaxScriptSize+1))
	script, size, err := DecodeScript(nil, append(tooLong, 1, 2))
	if err != nil || size != len(tooLong) || !bytes.Equal(script, []byte{opReturn}) {
		t.Errorf("a script that is too long becomes %x of %d bytes, %v", script, size, err)
	}
}

// A coin of the example in Bitcoin Core's coins_tests.cpp, and others of ours.
func TestCoin(t *testing.T) {
	for _, c := range []struct {
		packed string
		want   Coin
	}{
		{"97f23c835800816115944e077fe7c803cfa57f29b36bf87c1d35", Coin{
			Value: 60000000000, Script: unhex(t, "76a914816115944e077fe7c803cfa57f29b36bf87c1d3588ac"), Height: 203998,
		}},
		{"8ddf77bbd123008c988f1a4a4de2161e0f50aac7f17e7f9555caa4", Coin{
			Value: 110397, Script: unhex(t, "76a9148c988f1a4a4de2161e0f50aac7f17e7f9555caa488ac"), Height: 120891, Coinbase: true,
		}},
		{"000006", Coin{Script: []byte{}}},
		{"8efefefe7f0006", Coin{Script: []byte{}, Height: MaxHeight, Coinbase: true}},
	} {
		packed := unhex(t, c.packed)
		old := []byte("an older script, long enough for what comes")
		got := Coin{Script: old}
		size, err := got.Decode(append(packed, 0xff))
		if err != nil || size != len(packed) || !sameCoin(&got, &c.want) {
			t.Errorf("%s decodes to %+v of %d bytes, %v, want %+v", c.packed, got, size, err, c.want)
		}
		if len(got.Script) > 0 && &got.Script[0] != &old[0] {
			t.Errorf("%s decodes to new memory", c.packed)
		}
		if again := AppendCoin(nil, &got); !bytes.Equal(again, packed) {
			t.Errorf("%s becomes %x", c.packed, again)
		}
		for cut := range packed {
			kept := Coin{Value: 7}
			if size, err := kept.Decode(packed[:cut]); !errors.Is(err, ErrTruncated) || size != 0 || kept.Value != 7 {
				t.Errorf("%s cut at %d: %d bytes, %v, want ErrTruncated", c.packed, cut, size, err)
			}
		}
	}
	for _, bad := range []string{"8efefeff000006", "0080fefefefefefefeff0006", "00ffffffffffff7f06", "000004" + notX} {
		kept := Coin{Value: 7, Script: []byte("kept")}
		if size, err := kept.Decode(unhex(t, bad)); !errors.Is(err, ErrMalformed) || size != 0 || kept.Value != 7 || string(kept.Script) != "kept" {
			t.Errorf("%s decodes to %+v of %d bytes, %v, want ErrMalformed", bad, kept, size, err)
		}
	}
}

// TestCoinAllocations has coins of all kinds encoded and decoded in memory that
// is there.
func TestCoinAllocations(t *testing.T) {
	packed, ser := make([]byte, 0, 2*MaxScriptSize), make([]byte, 0, 2*MaxScriptSize)
	back := Coin{Script: make([]byte, 0, MaxScriptSize)}
	for _, tx := range undoOfAll(t) {
		for i := range tx {
			n := testing.AllocsPerRun(10, func() {
				packed = AppendCoin(packed[:0], &tx[i])
				ser = AppendTxOutSer(ser[:0], wire.OutPoint{}, &tx[i])
				if _, err := back.Decode(packed); err != nil || !sameCoin(&back, &tx[i]) {
					t.Errorf("%+v becomes %+v, %v", tx[i], back, err)
				}
			})
			if n != 0 {
				t.Errorf("%v allocations for a script of %d bytes", n, len(tx[i].Script))
			}
		}
	}
}

func TestTxOutSer(t *testing.T) {
	coin := Coin{Value: 0x0102030405, Script: []byte{0x51, 0x52}, Height: 0x10203, Coinbase: true}
	op := wire.OutPoint{Index: 0x0a0b}
	op.Hash[0] = 0xee
	want := "ee" + strings.Repeat("00", 31) + "0b0a0000" + "07040200" + "0504030201000000" + "025152"
	if got := hex.EncodeToString(AppendTxOutSer(nil, op, &coin)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
