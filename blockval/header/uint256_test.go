package header

import (
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

// uint256 parses up to 64 hexadecimal digits.
func uint256(t testing.TB, digits string) Uint256 {
	t.Helper()
	n, ok := new(big.Int).SetString(digits, 16)
	if !ok || n.BitLen() > 256 {
		t.Fatalf("%q is no 256-bit number", digits)
	}
	return fromBig(n)
}

// weird returns a number whose limbs are often at the edges, and that is often
// short.
func weird(r *rand.Rand) Uint256 {
	var x Uint256
	for i := range x {
		x[i] = pick(r, 0, 0, ^uint64(0), ^uint64(0), 1, 1<<63, 1<<32-1, 1<<32, r.Uint64())
	}
	return x.rsh(uint(pick(r, 0, 0, 0, 1, 64, 128, 192, 200, 255, r.IntN(256))))
}

func TestUint256AgainstBig(t *testing.T) {
	r := seeded(t)
	modulus := new(big.Int).Lsh(big.NewInt(1), 256)
	check := func(op string, got Uint256, want *big.Int, args ...any) {
		t.Helper()
		if got != fromBig(want) {
			t.Fatalf("%s of %v = %s, want %x", op, args, got, want)
		}
	}
	for range 20_000 {
		x, y := weird(r), weird(r)
		bx, by := toBig(x), toBig(y)
		if fromBig(bx) != x {
			t.Fatalf("%s is not itself after a round trip: %x", x, bx)
		}
		if got, want := x.Cmp(y), bx.Cmp(by); got != want {
			t.Fatalf("Cmp(%s, %s) = %d, want %d", x, y, got, want)
		}
		if x.Cmp(x) != 0 {
			t.Fatalf("Cmp(%s, itself) != 0", x)
		}
		if got, want := x.bitLen(), bx.BitLen(); got != want {
			t.Fatalf("bitLen(%s) = %d, want %d", x, got, want)
		}
		check("add", x.add(y), new(big.Int).Add(bx, by), x, y)
		diff, borrowed := x.sub(y)
		check("sub", diff, new(big.Int).Mod(new(big.Int).Sub(bx, by), modulus), x, y)
		if borrowed != (bx.Cmp(by) < 0) {
			t.Fatalf("sub(%s, %s) borrowed: %t", x, y, borrowed)
		}
		n := uint(pick(r, 0, 1, 63, 64, 65, 128, 192, 255, 256, 257, 2016, r.IntN(256)))
		check("lsh", x.lsh(n), new(big.Int).Lsh(bx, n), x, n)
		check("rsh", x.rsh(n), new(big.Int).Rsh(bx, n), x, n)
		if y != (Uint256{}) {
			check("quo", x.quo(y), new(big.Int).Quo(bx, by), x, y)
		}
		m := pick(r, 0, 1, 302_400, 1_209_600, 4_838_400, ^uint64(0), r.Uint64())
		d := pick(r, 1, 1_209_600, 1<<63, ^uint64(0), r.Uint64()|1)
		want := new(big.Int).Mul(bx, new(big.Int).SetUint64(m))
		want.Quo(want, new(big.Int).SetUint64(d))
		got, overflow := x.mulDiv(m, d)
		if overflow != (want.Cmp(modulus) >= 0) {
			t.Fatalf("mulDiv(%s, %d, %d) overflows: %t", x, m, d, overflow)
		}
		if !overflow {
			check("mulDiv", got, want, x, m, d)
		}
	}
}

// TestUint256AgainstCore has the numbers of Bitcoin Core's arith_uint256 tests.
func TestUint256AgainstCore(t *testing.T) {
	r1 := uint256(t, "7D1DE5EAF9B156D53208F033B5AA8122D2d2355d5e12292b121156cfdb4a529c")
	r2 := uint256(t, "D781CAB4F072134971DA2D19A3473013BFB69CA6C30A7E26406BA5477C1D3270")
	d1 := uint256(t, "AD7133AC1977FA2B7")
	d2 := uint256(t, "ECD751716")
	for _, c := range []struct {
		name string
		got  Uint256
		want string
	}{
		{"r1 + r2", r1.add(r2), "549FB09FEA236A1EA3E31D4D58F1B1369288D204211CA751527CFC175767850C"},
		{"r1 / d1", r1.quo(d1), "b8ac01106981635d9ed112290f8895545a7654dde28fb3a"},
		{"r1 / d2", r1.quo(d2), "873ce8efec5b67150bad3aa8c5fcb70e947586153bf2cec7c37c57a"},
		{"r2 / d1", r2.quo(d1), "13e1665895a1cc981de6d93670105a6b3ec3b73141b3a3c5"},
		{"r2 / d2", r2.quo(d2), "e8f0abe753bb0afe2e9437ee85d280be60882cf0bd1aaf7fa3cc2c4"},
		{"r1 / 1", r1.quo(Uint256{1}), r1.String()},
		{"r1 / max", r1.quo(uint256(t, strings.Repeat("f", 64))), "0"},
		{"max / r1", uint256(t, strings.Repeat("f", 64)).quo(r1), "2"},
		{"max / r2", uint256(t, strings.Repeat("f", 64)).quo(r2), "1"},
		{"max + 1", uint256(t, strings.Repeat("f", 64)).add(Uint256{1}), "0"},
	} {
		if want := uint256(t, c.want); c.got != want {
			t.Errorf("%s = %s, want %s", c.name, c.got, want)
		}
	}
	if r1.String() != strings.ToLower("7D1DE5EAF9B156D53208F033B5AA8122D2d2355d5e12292b121156cfdb4a529c") {
		t.Errorf("String() = %s", r1)
	}
}
