package sigverify

import (
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"math/rand/v2"
	"testing"
)

// newRand returns a source whose seed the test prints, so that a failure can
// be repeated.
func newRand(tb testing.TB) *rand.Rand {
	seed := rand.Uint64()
	tb.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func random256(r *rand.Rand) *big.Int {
	var b [32]byte
	for i := 0; i < 32; i += 8 {
		binary.BigEndian.PutUint64(b[i:], r.Uint64())
	}
	return new(big.Int).SetBytes(b[:])
}

// edges are the numbers of 256 bits around which verifiers go wrong.
func edges() []*big.Int {
	one := big.NewInt(1)
	half := new(big.Int).Rsh(groupOrder, 1)
	gap := sub(fieldPrime, groupOrder) // an r below it stands for two x
	top := sub(new(big.Int).Lsh(one, 256), one)
	var all []*big.Int
	for _, n := range []*big.Int{half, gap, groupOrder, fieldPrime} {
		all = append(all, sub(n, one), n, sum(n, one))
	}
	return append(all, new(big.Int), one, big.NewInt(2), top, new(big.Int).Lsh(one, 255))
}

// edge256 returns an edge or any number.
func edge256(r *rand.Rand) *big.Int {
	if e := edges(); r.IntN(2) == 0 {
		return e[r.IntN(len(e))]
	}
	return random256(r)
}

// scalar returns a number from 1 to n-1, small ones and their negatives more
// often than chance.
func scalar(r *rand.Rand) *big.Int {
	k := sum(mod(random256(r), sub(groupOrder, big.NewInt(1))), big.NewInt(1))
	if r.IntN(3) == 0 {
		k = big.NewInt(1 + r.Int64N(20))
		if r.IntN(2) == 0 {
			k = sub(groupOrder, k)
		}
	}
	return k
}

// encodeKey returns p in the form with that first byte: 2 (and 3) compressed, 4
// uncompressed, 6 (and 7) hybrid.
func encodeKey(p *point, form byte) []byte {
	parity := byte(p.y.Bit(0))
	switch form {
	case 2:
		return append([]byte{2 + parity}, bytes32(p.x)...)
	case 6:
		form += parity
	}
	return append(append([]byte{form}, bytes32(p.x)...), bytes32(p.y)...)
}

func newItem(scheme Scheme, key []byte, r, s, digest *big.Int) Item {
	it := Item{Scheme: scheme, Key: key}
	r.FillBytes(it.Sig[:32])
	s.FillBytes(it.Sig[32:])
	digest.FillBytes(it.Digest[:])
	return it
}

func randomForm(r *rand.Rand) byte { return []byte{2, 4, 6}[r.IntN(3)] }

// signedECDSA returns a valid item, with an s of either half.
func signedECDSA(r *rand.Rand) Item {
	d, k, e := scalar(r), scalar(r), edge256(r)
	sigR := mod(generator.times(k).x, groupOrder)
	s := mod(mul(inverse(k, groupOrder), sum(e, mul(sigR, d))), groupOrder)
	return newItem(ECDSA, encodeKey(generator.times(d), randomForm(r)), sigR, s, e)
}

// wrappedECDSA returns a valid item whose point R has an x that is not below
// the group order, so that r is x - n. Nobody finds one by signing; the key is
// made to fit.
func wrappedECDSA(r *rand.Rand) Item {
	var R *point
	for R == nil {
		R = lift(sum(groupOrder, mod(random256(r), sub(fieldPrime, groupOrder))), uint(r.IntN(2)))
	}
	s, e := scalar(r), edge256(r)
	return newItem(ECDSA, encodeKey(keyForNumbers(R, s, e), randomForm(r)), sub(R.x, groupOrder), s, e)
}

// infiniteECDSA returns an item for which u1⋅G + u2⋅Q is the point at infinity.
func infiniteECDSA(r *rand.Rand) Item {
	d, sigR := scalar(r), scalar(r)
	e := mod(new(big.Int).Neg(mul(sigR, d)), groupOrder)
	return newItem(ECDSA, encodeKey(generator.times(d), randomForm(r)), sigR, scalar(r), e)
}

// exactChallenge returns e of BIP340.
func exactChallenge(R *big.Int, key []byte, digest *big.Int) *big.Int {
	tag := sha256.Sum256([]byte("BIP0340/challenge"))
	h := sha256.New()
	for _, part := range [][]byte{tag[:], tag[:], bytes32(R), key, bytes32(digest)} {
		h.Write(part)
	}
	return new(big.Int).SetBytes(h.Sum(nil))
}

// keyBIP340 returns a secret key whose point has an even y, and the point's x.
func keyBIP340(r *rand.Rand) (d *big.Int, x []byte) {
	d = scalar(r)
	p := generator.times(d)
	if p.y.Bit(0) == 1 {
		d = sub(groupOrder, d)
	}
	return d, bytes32(p.x)
}

// signedBIP340 returns a valid item.
func signedBIP340(r *rand.Rand) Item {
	it, _ := signBIP340(r, 0)
	return it
}

// oddBIP340 returns an item that is valid but for the odd y of R.
func oddBIP340(r *rand.Rand) Item {
	it, _ := signBIP340(r, 1)
	return it
}

func signBIP340(r *rand.Rand, parity uint) (Item, *point) {
	d, key := keyBIP340(r)
	k, digest := scalar(r), edge256(r)
	R := generator.times(k)
	if R.y.Bit(0) != parity {
		k, R = sub(groupOrder, k), R.negate()
	}
	s := mod(sum(k, mul(exactChallenge(R.x, key, digest), d)), groupOrder)
	return newItem(BIP340, key, R.x, s, digest), R
}

// infiniteBIP340 returns an item for which s⋅G - e⋅P is the point at infinity.
func infiniteBIP340(r *rand.Rand) Item {
	d, key := keyBIP340(r)
	x, digest := mod(edge256(r), fieldPrime), edge256(r)
	s := mod(mul(exactChallenge(x, key, digest), d), groupOrder)
	return newItem(BIP340, key, x, s, digest)
}

// mutate spoils an item, or so it hopes: exact arithmetic says whether it did.
func mutate(r *rand.Rand, it Item) Item {
	key := append([]byte(nil), it.Key...)
	it.Key = key
	switch r.IntN(9) {
	case 0:
		edge256(r).FillBytes(it.Sig[:32])
	case 1:
		edge256(r).FillBytes(it.Sig[32:])
	case 2:
		edge256(r).FillBytes(it.Digest[:])
	case 3: // the other s
		s := new(big.Int).SetBytes(it.Sig[32:])
		mod(sub(groupOrder, s), groupOrder).FillBytes(it.Sig[32:])
	case 4: // the other form, or none
		key[0] = byte(r.IntN(9))
	case 5: // an x or a y that is the field prime or more
		at := 1
		if len(key) == 65 && r.IntN(2) == 0 {
			at = 33
		} else if len(key) == 32 {
			at = 0
		}
		edges()[9+r.IntN(3)].FillBytes(key[at : at+32])
	case 6: // another length
		it.Key = key[:r.IntN(len(key)+1)]
	case 7:
		it.Scheme = Scheme(r.IntN(4))
	default:
		bit := byte(1) << r.IntN(8)
		switch r.IntN(3) {
		case 0:
			key[r.IntN(len(key))] ^= bit
		case 1:
			it.Sig[r.IntN(len(it.Sig))] ^= bit
		case 2:
			it.Digest[r.IntN(len(it.Digest))] ^= bit
		}
	}
	return it
}
