package header

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/btcsuite/btcd/blockchain"
)

// TestCompactAgainstCore has the cases of Bitcoin Core's bignum_SetCompact.
func TestCompactAgainstCore(t *testing.T) {
	for _, c := range []struct {
		compact            uint32
		value              string
		negative, overflow bool
		again              uint32
	}{
		{0x00000000, "0", false, false, 0},
		{0x00123456, "0", false, false, 0},
		{0x01003456, "0", false, false, 0},
		{0x02000056, "0", false, false, 0},
		{0x03000000, "0", false, false, 0},
		{0x04000000, "0", false, false, 0},
		{0x00923456, "0", false, false, 0},
		{0x01803456, "0", false, false, 0},
		{0x02800056, "0", false, false, 0},
		{0x03800000, "0", false, false, 0},
		{0x04800000, "0", false, false, 0},
		{0x01123456, "12", false, false, 0x01120000},
		{0x01fedcba, "7e", true, false, 0x017e0000},
		{0x02123456, "1234", false, false, 0x02123400},
		{0x03123456, "123456", false, false, 0x03123456},
		{0x04123456, "12345600", false, false, 0x04123456},
		{0x04923456, "12345600", true, false, 0x04123456},
		{0x05009234, "92340000", false, false, 0x05009234},
		{0x20123456, "1234560000000000000000000000000000000000000000000000000000000000", false, false, 0x20123456},
		{0xff123456, "0", false, true, 0},
		// The largest sizes that still fit, and the first that do not.
		{0x21007fff, "7fff000000000000000000000000000000000000000000000000000000000000", false, false, 0x207fff00},
		{0x2100ffff, "ffff000000000000000000000000000000000000000000000000000000000000", false, false, 0x2100ffff},
		{0x21010000, "0", false, true, 0},
		{0x220000ff, "ff00000000000000000000000000000000000000000000000000000000000000", false, false, 0x2100ff00},
		{0x22000100, "0", false, true, 0},
		{0x23000001, "0", false, true, 0},
		{0x23000000, "0", false, false, 0},
		// What is left of a value that does not fit, modulo 2^256.
		{0x21123456, "3456000000000000000000000000000000000000000000000000000000000000", false, true, 0x20345600},
	} {
		value, negative, overflow := FromCompact(c.compact)
		if value != uint256(t, c.value) || negative != c.negative || overflow != c.overflow {
			t.Errorf("FromCompact(%08x) = %s, %t, %t, want %s, %t, %t",
				c.compact, value, negative, overflow, c.value, c.negative, c.overflow)
		}
		if again := value.Compact(); again != c.again {
			t.Errorf("FromCompact(%08x).Compact() = %08x, want %08x", c.compact, again, c.again)
		}
	}
	if got := (Uint256{0x80}).Compact(); got != 0x02008000 {
		t.Errorf("0x80 in compact form is %08x, want 02008000: the sign bit must not be set", got)
	}
}

// compactAgrees checks one compact number against btcd's decoder, encoder and
// work, which use math/big and keep what does not fit into 256 bits.
func compactAgrees(t *testing.T, compact uint32) {
	t.Helper()
	value, negative, overflow := FromCompact(compact)
	want := blockchain.CompactToBig(compact)
	if negative != (want.Sign() < 0) {
		t.Fatalf("FromCompact(%08x) is negative: %t, want %x", compact, negative, want)
	}
	want.Abs(want)
	if overflow != (want.BitLen() > 256) || value != fromBig(want) {
		t.Fatalf("FromCompact(%08x) = %s, overflow %t, want %x", compact, value, overflow, want)
	}
	if got, want := value.Compact(), blockchain.BigToCompact(toBig(value)); got != want {
		t.Fatalf("%s in compact form is %08x, want %08x", value, got, want)
	}
	if again, negative, overflow := FromCompact(value.Compact()); again != value || negative || overflow {
		t.Fatalf("%08x decodes to %s, which encodes to what decodes to %s, %t, %t", compact, value, again, negative, overflow)
	}
	if got, want := BlockWork(compact), blockchain.CalcWork(compact); Uint256(got) != fromBig(want) {
		t.Fatalf("BlockWork(%08x) = %s, want %x", compact, got, want)
	}
}

// weirdCompact returns bits that are often at the edges of size and mantissa.
func weirdCompact(r *rand.Rand) uint32 {
	size := pick(r, 0, 1, 2, 3, 4, 0x1d, 0x1e, 0x1f, 0x20, 0x21, 0x22, 0x23, 0xff, r.Uint32()&0xff)
	word := pick(r, 0, 1, 0xff, 0x100, 0xffff, 0x10000, 0x7fffff, 0x800000, 0x800001, 0xffffff, r.Uint32()&0xffffff)
	return size<<24 | word
}

func TestCompactAgainstBtcd(t *testing.T) {
	r := seeded(t)
	for range 50_000 {
		compactAgrees(t, weirdCompact(r))
		x := weird(r)
		if got, want := x.Compact(), blockchain.BigToCompact(toBig(x)); got != want {
			t.Fatalf("%s in compact form is %08x, want %08x", x, got, want)
		}
	}
}

func FuzzCompact(f *testing.F) {
	for _, seed := range []uint32{0, 0x1d00ffff, 0x207fffff, 0x1e0377ae, 0x01fedcba, 0x05009234, 0x2100ffff, 0xff123456} {
		f.Add(seed)
	}
	f.Fuzz(compactAgrees)
}

func TestWork(t *testing.T) {
	for _, c := range []struct {
		compact uint32
		want    string
	}{
		{0x1d00ffff, "0000000000000000000000000000000000000000000000000000000100010001"}, // chainwork of main's genesis block
		{0x207fffff, "0000000000000000000000000000000000000000000000000000000000000002"}, // and of regtest's
		{0x01010000, "8000000000000000000000000000000000000000000000000000000000000000"}, // the most there can be: target 1
		{0x00000000, "0000000000000000000000000000000000000000000000000000000000000000"},
		{0x04923456, "0000000000000000000000000000000000000000000000000000000000000000"},
		{0xff123456, "0000000000000000000000000000000000000000000000000000000000000000"},
	} {
		if got := BlockWork(c.compact).String(); got != c.want {
			t.Errorf("BlockWork(%08x) = %s, want %s", c.compact, got, c.want)
		}
	}
	var h Header
	h.setBits(0x1d00ffff)
	two := h.Work().Add(BlockWork(0x1d00ffff))
	if want := new(big.Int).Lsh(big.NewInt(0x100010001), 1); Uint256(two) != fromBig(want) {
		t.Errorf("the work of two blocks is %s, want %x", two, want)
	}
	if two.Cmp(h.Work()) != 1 || h.Work().Cmp(two) != -1 || two.Cmp(two) != 0 {
		t.Errorf("the work of two blocks compares with that of one as %d, %d", two.Cmp(h.Work()), h.Work().Cmp(two))
	}
}
