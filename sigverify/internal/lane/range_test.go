package lane

import (
	"math/big"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// A number that is congruent to the right one, but out of range, is refused, not
// reduced. Such a number fits into 32 bytes only if the right one is small, which
// no signer ever meets: so keys and signatures are made to have it.
func TestNumbersAreNotReduced(t *testing.T) {
	r := newRand(t)
	plus := func(b []byte, n *big.Int) (sum [32]byte) {
		new(big.Int).Add(new(big.Int).SetBytes(b), n).FillBytes(sum[:])
		return sum
	}
	var samples []*sample
	add := func(good *sample, name string, spoil func(bad *sample)) {
		if !oracle(&good.Item) {
			t.Fatalf("%s: the right item is invalid: %v", name, good)
		}
		good.name, good.want = name, true
		bad := good.clone()
		bad.name, bad.want = name+", out of range", false
		spoil(bad)
		samples = append(samples, good, bad)
	}

	// An r below p - n stands for two x, but r itself must be below n.
	add(wrappedECDSA(r), "r", func(bad *sample) {
		x := plus(bad.sig[:32], bigN)
		copy(bad.sig[:32], x[:])
	})

	// A small s.
	var s secp256k1.ModNScalar
	s.SetInt(3)
	nonce := pairOf(edgeMod(r))
	var R secp256k1.JacobianPoint
	R.X.SetBytes(&nonce.x)
	R.Y.SetBytes(&nonce.y)
	R.Z.SetInt(1)
	add(keyForNumbers("", &R, s, random32(r), 2, true), "s", func(bad *sample) {
		sum := plus(bad.sig[32:], bigN)
		copy(bad.sig[32:], sum[:])
	})

	// A small x of the key: 1 is the x of a point.
	var x, y secp256k1.FieldVal
	x.SetInt(1)
	if !secp256k1.DecompressY(&x, true, &y) {
		t.Fatal("1 is not the x of a point")
	}
	for _, form := range []byte{2, 4} {
		add(withoutSecret(r, &x, &y, form), "x", func(bad *sample) {
			sum := plus(bad.Key[1:33], bigP)
			copy(bad.Key[1:33], sum[:])
		})
	}

	// A small y of the key.
	x, y = smallY(t)
	add(withoutSecret(r, &x, &y, 4), "y", func(bad *sample) {
		sum := plus(bad.Key[33:], bigP)
		copy(bad.Key[33:], sum[:])
	})

	eachImpl(t, func(t *testing.T, impl implementation) {
		for i, v := range verify(impl.new(), samples) {
			if s := samples[i]; s.want != (v == Valid) && v != Unsure || !s.want && v == Valid {
				t.Errorf("verdict %d, want valid %v: %v", v, s.want, s)
			}
		}
	})
}

// smallY returns a point whose y is so small that y + p fits into 32 bytes. The
// field prime is 7 modulo 9, so a cube's root is a power of it.
func smallY(t *testing.T) (x, y secp256k1.FieldVal) {
	power := new(big.Int).Div(new(big.Int).Add(bigP, big.NewInt(2)), big.NewInt(9))
	for n := int64(1); n < 1<<16; n++ {
		cube := mod(big.NewInt(n*n-7), bigP)
		root := new(big.Int).Exp(cube, power, bigP)
		if mod(mul(root, mul(root, root)), bigP).Cmp(cube) == 0 {
			x.SetByteSlice(root.Bytes())
			y.SetInt(uint16(n))
			return x, y
		}
	}
	t.Fatal("no point with a small y")
	return x, y
}

// withoutSecret returns a valid item under the key (x, y), of which nobody knows
// the secret: with R = a⋅G + b⋅Q, r = x(R), s = r/b and e = a⋅s it verifies.
func withoutSecret(rng interface{ Uint64() uint64 }, x, y *secp256k1.FieldVal, form byte) *sample {
	var a, b, inverse, r, s, e secp256k1.ModNScalar
	a.SetInt(uint32(rng.Uint64())).Negate()
	b.SetInt(uint32(rng.Uint64()) | 1).Negate()
	var q, aG, bQ, sum secp256k1.JacobianPoint
	q.X.Set(x)
	q.Y.Set(y)
	q.Z.SetInt(1)
	secp256k1.ScalarBaseMultNonConst(&a, &aG)
	secp256k1.ScalarMultNonConst(&b, &q, &bQ)
	secp256k1.AddNonConst(&aG, &bQ, &sum)
	sum.ToAffine()
	r.SetBytes(sum.X.Bytes())
	inverse.InverseValNonConst(&b)
	s.Mul2(&r, &inverse)
	e.Mul2(&a, &s)
	key := encodePoint(*x.Bytes(), *y.Bytes(), y.IsOdd(), form)
	return newSample("", key, r.Bytes(), s.Bytes(), e.Bytes(), false, true)
}
