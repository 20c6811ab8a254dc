package secp

import (
	"encoding/binary"
	"math/big"
	"math/rand/v2"
	"testing"
)

// The oracle is secp256k1 in affine coordinates over math/big, written from
// SEC 1 and BIP340 alone. It shares no code with what it judges.

func fromHex(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 16)
	if !ok {
		panic("not a number: " + s)
	}
	return n
}

// The curve's constants, from SEC 2, section 2.4.1.
var (
	fieldPrime = fromHex("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F")
	groupOrder = fromHex("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141")
	generator  = &bigPoint{
		fromHex("79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798"),
		fromHex("483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8"),
	}
)

// A bigPoint is a point of the curve; nil is the one at infinity.
type bigPoint struct{ x, y *big.Int }

func mod(n, m *big.Int) *big.Int { return new(big.Int).Mod(n, m) }
func mul(a, b *big.Int) *big.Int { return new(big.Int).Mul(a, b) }
func sub(a, b *big.Int) *big.Int { return new(big.Int).Sub(a, b) }
func sum(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) }
func inverse(a, m *big.Int) *big.Int {
	return new(big.Int).ModInverse(mod(a, m), m)
}
func pow2(n uint) *big.Int { return new(big.Int).Lsh(big.NewInt(1), n) }

func (p *bigPoint) negate() *bigPoint {
	if p == nil {
		return nil
	}
	return &bigPoint{p.x, mod(new(big.Int).Neg(p.y), fieldPrime)}
}

func (p *bigPoint) add(q *bigPoint) *bigPoint {
	if p == nil {
		return q
	}
	if q == nil {
		return p
	}
	var slope *big.Int
	switch {
	case p.x.Cmp(q.x) != 0:
		slope = mul(sub(q.y, p.y), inverse(sub(q.x, p.x), fieldPrime))
	case p.y.Cmp(q.y) == 0: // the order is odd, so no point has y = 0
		slope = mul(mul(big.NewInt(3), mul(p.x, p.x)), inverse(sum(p.y, p.y), fieldPrime))
	default:
		return nil
	}
	x := mod(sub(sub(mul(slope, slope), p.x), q.x), fieldPrime)
	return &bigPoint{x, mod(sub(mul(slope, sub(p.x, x)), p.y), fieldPrime)}
}

func (p *bigPoint) times(k *big.Int) *bigPoint {
	k = mod(k, groupOrder)
	var q *bigPoint
	for i := k.BitLen() - 1; i >= 0; i-- {
		if q = q.add(q); k.Bit(i) == 1 {
			q = q.add(p)
		}
	}
	return q
}

func (p *bigPoint) equal(q *bigPoint) bool {
	if p == nil || q == nil {
		return p == q
	}
	return p.x.Cmp(q.x) == 0 && p.y.Cmp(q.y) == 0
}

// cube7 returns x³ + 7.
func cube7(x *big.Int) *big.Int {
	return mod(sum(mul(x, mul(x, x)), big.NewInt(7)), fieldPrime)
}

// lift returns the point with that x and an even or odd y; nil when no point
// has it, or x is not below the field prime.
func lift(x *big.Int, odd uint) *bigPoint {
	if x.Cmp(fieldPrime) >= 0 {
		return nil
	}
	y := new(big.Int).ModSqrt(cube7(x), fieldPrime)
	if y == nil {
		return nil
	}
	if y.Bit(0) != odd {
		y.Sub(fieldPrime, y)
	}
	return &bigPoint{new(big.Int).Set(x), y}
}

// oracleKey is SEC 1, section 2.3.4, with the hybrid form of ANSI X9.62, and
// without the point at infinity.
func oracleKey(key []byte) *bigPoint {
	if len(key) == 33 && (key[0] == 2 || key[0] == 3) {
		return lift(new(big.Int).SetBytes(key[1:]), uint(key[0]&1))
	}
	if len(key) != 65 || key[0] != 4 && key[0] != 6 && key[0] != 7 {
		return nil
	}
	p := &bigPoint{new(big.Int).SetBytes(key[1:33]), new(big.Int).SetBytes(key[33:])}
	if p.x.Cmp(fieldPrime) >= 0 || p.y.Cmp(fieldPrime) >= 0 ||
		cube7(p.x).Cmp(mod(mul(p.y, p.y), fieldPrime)) != 0 ||
		key[0] != 4 && uint(key[0]&1) != p.y.Bit(0) {
		return nil
	}
	return p
}

// oracleECDSA is SEC 1, section 4.1.4.
func oracleECDSA(key []byte, sig *[64]byte, digest *[32]byte) bool {
	q := oracleKey(key)
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	if q == nil || r.Sign() == 0 || s.Sign() == 0 || r.Cmp(groupOrder) >= 0 || s.Cmp(groupOrder) >= 0 {
		return false
	}
	w := inverse(s, groupOrder)
	R := generator.times(mul(new(big.Int).SetBytes(digest[:]), w)).add(q.times(mul(r, w)))
	return R != nil && mod(R.x, groupOrder).Cmp(r) == 0
}

// oracleBIP340 is BIP340's Verify.
func oracleBIP340(key []byte, sig *[64]byte, digest *[32]byte) bool {
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	if len(key) != 32 || r.Cmp(fieldPrime) >= 0 || s.Cmp(groupOrder) >= 0 {
		return false
	}
	p := lift(new(big.Int).SetBytes(key), 0)
	if p == nil {
		return false
	}
	e := oracleChallenge(sig[:32], key, digest[:])
	R := generator.times(s).add(p.times(e).negate())
	return R != nil && R.y.Bit(0) == 0 && R.x.Cmp(r) == 0
}

// newRand returns a source whose seed the test prints, so that a failure can
// be repeated.
func newRand(tb testing.TB) *rand.Rand {
	seed := rand.Uint64()
	tb.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// rounds is how often a test does what costs time.
func rounds(n int) int {
	if testing.Short() {
		return n / 5
	}
	return n
}

func random256(r *rand.Rand) *big.Int {
	var b [32]byte
	for i := 0; i < 32; i += 8 {
		binary.BigEndian.PutUint64(b[i:], r.Uint64())
	}
	return new(big.Int).SetBytes(b[:])
}

// edges are the numbers of 256 bits around which arithmetic goes wrong.
var edges = func() []*big.Int {
	one := big.NewInt(1)
	var all []*big.Int
	for _, n := range []*big.Int{
		new(big.Int).Rsh(groupOrder, 1), new(big.Int).Rsh(fieldPrime, 1), sub(fieldPrime, groupOrder),
		groupOrder, fieldPrime, pow2(52), pow2(64), pow2(128), pow2(192), pow2(208), pow2(255), lambda, bigBeta,
	} {
		all = append(all, sub(n, one), n, sum(n, one))
	}
	return append(all, new(big.Int), one, big.NewInt(2), sub(pow2(256), one))
}()

// edge256 returns an edge, any number, or one with long runs of equal bits.
func edge256(r *rand.Rand) *big.Int {
	switch r.IntN(4) {
	case 0:
		return edges[r.IntN(len(edges))]
	case 1:
		n := new(big.Int)
		for bit := uint(r.IntN(2)); n.BitLen() < 257; bit ^= 1 {
			run := 1 + uint(r.IntN(90))
			n.Lsh(n, run)
			if bit == 1 || n.Sign() == 0 {
				n.Add(n, sub(pow2(run), big.NewInt(1)))
			}
		}
		return n.And(n, sub(pow2(256), big.NewInt(1)))
	}
	return random256(r)
}

func bytes32(n *big.Int) *[32]byte {
	var b [32]byte
	n.FillBytes(b[:])
	return &b
}
