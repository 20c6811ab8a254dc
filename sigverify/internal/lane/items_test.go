package lane

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/outrider-project/outrider/sigverify/internal/secp"
)

// newRand returns a source whose seed the test prints, so that a failure can be
// repeated.
func newRand(tb testing.TB) *rand.Rand {
	seed := rand.Uint64()
	tb.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func random32(r *rand.Rand) (b [32]byte) {
	for i := 0; i < 32; i += 8 {
		binary.BigEndian.PutUint64(b[i:], r.Uint64())
	}
	return b
}

// edges are the numbers around which verifiers go wrong: around half the order,
// p - n, n, p, 0 and 2^256.
var edges = func() (all [][32]byte) {
	for _, n := range []number{
		{}, {1 << 63, 0, 0, 0}, groupOrder, fieldPrime, {0, 0, 0, 1 << 63},
		{0xDFE92F46681B20A0, 0x5D576E7357A4501D, 1<<64 - 1, 1<<63 - 1},
		{0x402DA1722FC9BAEE, 0x4551231950B75FC4, 1, 0},
	} {
		for d := range uint64(3) { // n-1, n, n+1
			m, borrow := n, uint64(1)
			for i := range m {
				was := m[i]
				m[i] -= borrow
				if was >= borrow {
					borrow = 0
				}
			}
			carry := d
			for i := range m {
				m[i] += carry
				if m[i] >= carry {
					carry = 0
				} else {
					carry = 1
				}
			}
			all = append(all, bytes32(m))
		}
	}
	return all
}()

func bytes32(n number) (b [32]byte) {
	copy(b[:], wordsToBytes(n))
	return b
}

func wordsToBytes(w number) []byte {
	b := make([]byte, 0, 32)
	for i := range w {
		b = binary.BigEndian.AppendUint64(b, w[3-i])
	}
	return b
}

// edge32 returns an edge or any number.
func edge32(r *rand.Rand) [32]byte {
	if r.IntN(2) == 0 {
		return edges[r.IntN(len(edges))]
	}
	return random32(r)
}

// edgeMod returns a number from 1 to n-1, small ones and their negatives more
// often than chance.
func edgeMod(r *rand.Rand) (k secp256k1.ModNScalar) {
	for k.IsZero() {
		if r.IntN(3) > 0 {
			b := random32(r)
			k.SetBytes(&b)
			continue
		}
		k.SetInt(uint32(r.IntN(40)))
		if r.IntN(2) == 0 {
			k.Negate()
		}
	}
	return k
}

// A keypair is a secret number and its point.
type keypair struct {
	d    secp256k1.ModNScalar
	x, y [32]byte
	odd  bool
}

func pairOf(d secp256k1.ModNScalar) keypair {
	var p secp256k1.JacobianPoint
	secp256k1.ScalarBaseMultNonConst(&d, &p)
	p.ToAffine()
	return keypair{d, *p.X.Bytes(), *p.Y.Bytes(), p.Y.IsOdd()}
}

// encode returns the key in the form with that first byte: 2 compressed, 4
// uncompressed, 6 hybrid, 0 as BIP340 has it.
func (k *keypair) encode(form byte) []byte {
	return encodePoint(k.x, k.y, k.odd, form)
}

func encodePoint(x, y [32]byte, odd bool, form byte) []byte {
	parity := byte(0)
	if odd {
		parity = 1
	}
	switch form {
	case 0:
		return x[:]
	case 2:
		return append([]byte{2 + parity}, x[:]...)
	case 6:
		form += parity
	}
	return append(append([]byte{form}, x[:]...), y[:]...)
}

func randomForm(r *rand.Rand) byte { return []byte{2, 2, 4, 6}[r.IntN(4)] }

// A sample is an item with memory of its own, and what its verdict must be.
type sample struct {
	Item
	sig    [64]byte
	digest [32]byte
	name   string
	want   bool
}

func (s *sample) String() string {
	return fmt.Sprintf("%s: key %x, signature %x, digest %x, BIP340 %v", s.name, s.Key, s.sig, s.digest, s.BIP340)
}

func newSample(name string, key []byte, r, s, digest [32]byte, bip340, want bool) *sample {
	it := &sample{name: name, digest: digest, want: want}
	copy(it.sig[:32], r[:])
	copy(it.sig[32:], s[:])
	it.Item = Item{Key: key, Sig: &it.sig, Digest: &it.digest, BIP340: bip340}
	return it
}

// oracle is package secp's verdict.
func oracle(it *Item) bool {
	if it.BIP340 {
		return secp.VerifyBIP340(it.Key, it.Sig, it.Digest)
	}
	return secp.VerifyECDSA(it.Key, it.Sig, it.Digest)
}

// signECDSA returns a valid item under key with the nonce's point, with an s of
// either half.
func signECDSA(key, nonce *keypair, digest [32]byte, form byte) *sample {
	var r, e, s, inverse secp256k1.ModNScalar
	r.SetBytes(&nonce.x)
	e.SetBytes(&digest)
	inverse.InverseValNonConst(&nonce.d)
	s.Mul2(&r, &key.d).Add(&e).Mul(&inverse)
	return newSample("ECDSA", key.encode(form), r.Bytes(), s.Bytes(), digest, false, !s.IsZero())
}

// signBIP340 returns an item that is valid if odd is false; else the y of R is
// odd, and nothing else is wrong.
func signBIP340(key, nonce *keypair, digest [32]byte, odd bool) *sample {
	d, k := key.d, nonce.d
	if key.odd {
		d.Negate()
	}
	if nonce.odd != odd {
		k.Negate()
	}
	c := secp.Challenge(&nonce.x, &key.x, &digest)
	b := bytes32(number(c))
	var e secp256k1.ModNScalar
	e.SetBytes(&b)
	e.Mul(&d).Add(&k)
	name := "BIP340"
	if odd {
		name = "BIP340 with odd y"
	}
	return newSample(name, key.encode(0), nonce.x, e.Bytes(), digest, true, !odd)
}

// wrappedECDSA returns a valid item whose R has an x that is not below n, so that
// r is x - n: anything from 0 to p - n, but often near 0, 2^128 or p - n. No
// signer finds one; the key is made to fit.
func wrappedECDSA(r *rand.Rand) *sample {
	var R secp256k1.JacobianPoint
	gap := sub(bigP, bigN)
	for found := false; !found; {
		sigR := new(big.Int).SetUint64(r.Uint64())
		switch r.IntN(4) {
		case 0:
			sigR.SetUint64(1 + r.Uint64N(64))
		case 1:
			sigR.Sub(gap, sigR)
		case 2:
			sigR.Add(sigR, new(big.Int).Lsh(big.NewInt(1), 128))
		case 3:
			sigR.Mod(mul(sigR, mul(new(big.Int).SetUint64(r.Uint64()), big.NewInt(3))), gap)
		}
		if sigR.Sign() == 0 {
			continue
		}
		var b [32]byte
		sigR.Add(sigR, bigN).FillBytes(b[:])
		R.X.SetBytes(&b)
		found = secp256k1.DecompressY(&R.X, r.IntN(2) == 1, &R.Y)
	}
	R.Z.SetInt(1)
	return keyForNumbers("ECDSA with r wrapped", &R, edgeMod(r), edge32(r), randomForm(r), true)
}

// keyForNumbers returns the item with the key for which s, and the x of R modulo
// n, are a signature of the digest.
func keyForNumbers(name string, R *secp256k1.JacobianPoint, s secp256k1.ModNScalar, digest [32]byte, form byte, want bool) *sample {
	var sigR, e, inverse secp256k1.ModNScalar
	sigR.SetBytes(R.X.Bytes())
	e.SetBytes(&digest)
	e.Negate()
	inverse.InverseValNonConst(&sigR)
	var sR, eG, sum, q secp256k1.JacobianPoint
	secp256k1.ScalarMultNonConst(&s, R, &sR)
	secp256k1.ScalarBaseMultNonConst(&e, &eG)
	secp256k1.AddNonConst(&sR, &eG, &sum)
	secp256k1.ScalarMultNonConst(&inverse, &sum, &q)
	q.ToAffine()
	key := encodePoint(*q.X.Bytes(), *q.Y.Bytes(), q.Y.IsOdd(), form)
	return newSample(name, key, sigR.Bytes(), s.Bytes(), digest, false, want)
}

// infiniteECDSA returns an item for which u1⋅G + u2⋅Q is the point at infinity.
func infiniteECDSA(r *rand.Rand) *sample {
	key, sigR, s := pairOf(edgeMod(r)), edgeMod(r), edgeMod(r)
	var e secp256k1.ModNScalar
	e.Mul2(&sigR, &key.d).Negate()
	return newSample("ECDSA with infinity", key.encode(randomForm(r)), sigR.Bytes(), s.Bytes(), e.Bytes(), false, false)
}

// infiniteBIP340 returns an item for which s⋅G - e⋅P is the point at infinity.
func infiniteBIP340(r *rand.Rand) *sample {
	key, x, digest := pairOf(edgeMod(r)), random32(r), edge32(r)
	x[0] &= 0x7F
	d := key.d
	if key.odd {
		d.Negate()
	}
	b := bytes32(number(secp.Challenge(&x, &key.x, &digest)))
	var s secp256k1.ModNScalar
	s.SetBytes(&b)
	s.Mul(&d)
	return newSample("BIP340 with infinity", key.encode(0), x, s.Bytes(), digest, true, false)
}

// tinyECDSA returns an item with small u1 and u2 under a small multiple of G, so
// that additions meet equal and opposite points. It is valid if r happens to fit.
func tinyECDSA(r *rand.Rand) *sample {
	small := func() (k secp256k1.ModNScalar) {
		k.SetInt(uint32(r.IntN(34)))
		if r.IntN(2) == 0 {
			k.Negate()
		}
		return k
	}
	d := small()
	for d.IsZero() {
		d = small()
	}
	key := pairOf(d)
	u1, u2 := small(), small()
	// r = x(u1⋅G + u2⋅Q), s = r/u2, e = u1⋅s: if u2 or the sum is zero the item is
	// only noise.
	var sum secp256k1.ModNScalar
	sum.Mul2(&u2, &key.d).Add(&u1)
	sigR := edgeMod(r)
	if !sum.IsZero() {
		nonce := pairOf(sum)
		sigR.SetBytes(&nonce.x)
	}
	var s, e, inverse secp256k1.ModNScalar
	if u2.IsZero() {
		u2 = edgeMod(r)
	}
	inverse.InverseValNonConst(&u2)
	s.Mul2(&sigR, &inverse)
	e.Mul2(&u1, &s)
	it := newSample("ECDSA with tiny numbers", key.encode(randomForm(r)), sigR.Bytes(), s.Bytes(), e.Bytes(), false, false)
	it.want = oracle(&it.Item)
	return it
}

// kinds are the ways to make a sample.
var kinds = []func(r *rand.Rand) *sample{
	func(r *rand.Rand) *sample {
		key, nonce := pairOf(edgeMod(r)), pairOf(edgeMod(r))
		return signECDSA(&key, &nonce, edge32(r), randomForm(r))
	},
	func(r *rand.Rand) *sample { // u1 = 0
		key, nonce := pairOf(edgeMod(r)), pairOf(edgeMod(r))
		return signECDSA(&key, &nonce, [32]byte{}, randomForm(r))
	},
	wrappedECDSA,
	infiniteECDSA,
	tinyECDSA,
	func(r *rand.Rand) *sample {
		key, nonce := pairOf(edgeMod(r)), pairOf(edgeMod(r))
		return signBIP340(&key, &nonce, edge32(r), false)
	},
	func(r *rand.Rand) *sample {
		key, nonce := pairOf(edgeMod(r)), pairOf(edgeMod(r))
		return signBIP340(&key, &nonce, edge32(r), true)
	},
	infiniteBIP340,
}

// valid returns a valid sample that no lane is unsure of.
func valid(r *rand.Rand) *sample {
	var d, k secp256k1.ModNScalar
	a, b := random32(r), random32(r)
	d.SetBytes(&a)
	k.SetBytes(&b)
	key, nonce := pairOf(d), pairOf(k)
	if r.IntN(2) == 0 {
		return signBIP340(&key, &nonce, random32(r), false)
	}
	return signECDSA(&key, &nonce, random32(r), randomForm(r))
}

// clone returns a copy with memory of its own.
func (s *sample) clone() *sample {
	c := *s
	c.Key = append([]byte(nil), s.Key...)
	c.Sig, c.Digest = &c.sig, &c.digest
	return &c
}

// mutated returns a copy that is spoilt, or so it hopes: the oracle says whether
// it is.
func (s *sample) mutated(r *rand.Rand) *sample {
	c := s.clone()
	c.name += ", mutated"
	switch r.IntN(9) {
	case 0:
		b := edge32(r)
		copy(c.sig[:32], b[:])
	case 1:
		b := edge32(r)
		copy(c.sig[32:], b[:])
	case 2:
		c.digest = edge32(r)
	case 3: // the other s
		var n secp256k1.ModNScalar
		n.SetByteSlice(c.sig[32:])
		n.Negate()
		n.PutBytesUnchecked(c.sig[32:])
	case 4: // the other form, or none
		c.Key[0] = byte(r.IntN(9))
	case 5: // an x or a y at an edge
		at := len(c.Key) % 32
		if len(c.Key) == 65 && r.IntN(2) == 0 {
			at = 33
		}
		b := edges[r.IntN(len(edges))]
		copy(c.Key[at:], b[:])
	case 6: // another length
		c.Key = c.Key[:r.IntN(len(c.Key)+1)]
	case 7:
		c.BIP340 = !c.BIP340
	default:
		flip := func(b []byte) { b[r.IntN(len(b))] ^= 1 << r.IntN(8) }
		switch r.IntN(3) {
		case 0:
			flip(c.Key)
		case 1:
			flip(c.sig[:])
		case 2:
			flip(c.digest[:])
		}
	}
	c.want = oracle(&c.Item)
	return c
}

// mixed returns n samples of all kinds, most of them with a mutant behind.
func mixed(r *rand.Rand, n int) []*sample {
	var all []*sample
	for i := 0; len(all) < n; i++ {
		s := kinds[i%len(kinds)](r)
		all = append(all, s, s.mutated(r), valid(r))
	}
	return all[:n]
}

func itemsOf(samples []*sample) []Item {
	items := make([]Item, len(samples))
	for i, s := range samples {
		items[i] = s.Item
	}
	return items
}
