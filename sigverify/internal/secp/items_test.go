package secp

import (
	"crypto/sha256"
	"fmt"
	"math/big"
	"math/rand/v2"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// An item is what a verifier judges.
type item struct {
	bip340 bool
	key    []byte
	sig    [64]byte
	digest [32]byte
}

func (it item) String() string {
	return fmt.Sprintf("BIP340 %v, key %x, signature %x, digest %x", it.bip340, it.key, it.sig, it.digest)
}

func (it *item) verify() bool {
	if it.bip340 {
		return VerifyBIP340(it.key, &it.sig, &it.digest)
	}
	return VerifyECDSA(it.key, &it.sig, &it.digest)
}

func (it *item) oracle() bool {
	if it.bip340 {
		return oracleBIP340(it.key, &it.sig, &it.digest)
	}
	return oracleECDSA(it.key, &it.sig, &it.digest)
}

func newItem(bip340 bool, key []byte, r, s, digest *big.Int) item {
	it := item{bip340: bip340, key: key}
	r.FillBytes(it.sig[:32])
	s.FillBytes(it.sig[32:])
	digest.FillBytes(it.digest[:])
	return it
}

// kinds are the ways to make an item, and what its verdict must be.
var kinds = []struct {
	name string
	make func(*rand.Rand) item
	want bool
}{
	{"ECDSA", signedECDSA, true},
	{"ECDSA with r wrapped", wrappedECDSA, true},
	{"ECDSA with infinity", infiniteECDSA, false},
	{"BIP340", signedBIP340, true},
	{"BIP340 with odd y", oddBIP340, false},
	{"BIP340 with infinity", infiniteBIP340, false},
}

// decredTimes returns k⋅p, by decred's code, for where the oracle's would take
// too long. p must be affine; nil is the generator.
func decredTimes(k *big.Int, p *bigPoint) *bigPoint {
	var factor secp256k1.ModNScalar
	factor.SetBytes((*[32]byte)(bytes32(mod(k, groupOrder))))
	var q, out secp256k1.JacobianPoint
	if p == nil {
		secp256k1.ScalarBaseMultNonConst(&factor, &out)
	} else {
		q.X.SetBytes((*[32]byte)(bytes32(p.x)))
		q.Y.SetBytes((*[32]byte)(bytes32(p.y)))
		q.Z.SetInt(1)
		secp256k1.ScalarMultNonConst(&factor, &q, &out)
	}
	if out.Z.IsZero() || out.X.IsZero() && out.Y.IsZero() {
		return nil
	}
	out.ToAffine()
	return &bigPoint{new(big.Int).SetBytes(out.X.Bytes()[:]), new(big.Int).SetBytes(out.Y.Bytes()[:])}
}

// edgeScalar returns a number from 1 to n-1: an edge, a small one or its negative
// more often than chance, and so are those of which the endomorphism or the two
// halves of the generator's factor make something small.
func edgeScalar(r *rand.Rand) *big.Int {
	k := new(big.Int)
	for k.Sign() == 0 {
		small := big.NewInt(r.Int64N(20))
		switch r.IntN(6) {
		case 0:
			k = small
		case 1:
			k = mul(small, lambda)
		case 2:
			k = sum(mul(big.NewInt(r.Int64N(20)), lambda), small)
		case 3:
			k = sum(mul(big.NewInt(r.Int64N(20)), pow2(128)), small)
		default:
			k = edge256(r)
		}
		if r.IntN(2) == 0 {
			k = new(big.Int).Neg(k)
		}
		k = mod(k, groupOrder)
	}
	return k
}

// encodeKey returns p in the form with that first byte: 2 (and 3) compressed, 4
// uncompressed, 6 (and 7) hybrid.
func encodeKey(p *bigPoint, form byte) []byte {
	parity := byte(p.y.Bit(0))
	switch form {
	case 2:
		return append([]byte{2 + parity}, bytes32(p.x)[:]...)
	case 6:
		form += parity
	}
	return append(append([]byte{form}, bytes32(p.x)[:]...), bytes32(p.y)[:]...)
}

func randomForm(r *rand.Rand) byte { return []byte{2, 4, 6}[r.IntN(3)] }

// signedECDSA returns a valid item whose u1 and u2, the factors of the generator
// and the key, are edges. Its s is of either half.
func signedECDSA(r *rand.Rand) item {
	for {
		u1, u2, d := edgeScalar(r), edgeScalar(r), edgeScalar(r)
		if r.IntN(8) == 0 {
			u1 = new(big.Int)
		}
		if it, ok := forgedECDSA(u1, u2, d, randomForm(r)); ok {
			return it
		}
	}
}

// forgedECDSA returns the valid item with these u1 and u2 under the key d⋅G; ok
// is false if there is none, as u1⋅G + u2⋅d⋅G is infinite. With r = x(R), s = r/u2
// and e = u1⋅s, the equation of ECDSA holds.
func forgedECDSA(u1, u2, d *big.Int, form byte) (it item, ok bool) {
	R := decredTimes(sum(u1, mul(u2, d)), nil)
	if R == nil {
		return it, false
	}
	sigR := mod(R.x, groupOrder)
	s := mod(mul(sigR, inverse(u2, groupOrder)), groupOrder)
	return newItem(false, encodeKey(decredTimes(d, nil), form), sigR, s, mod(mul(u1, s), groupOrder)), true
}

// wrappedECDSA returns a valid item whose point R has an x that is not below
// the group order, so that r is x - n. Nobody finds one by signing; the key is
// made to fit.
func wrappedECDSA(r *rand.Rand) item {
	gap := sub(fieldPrime, groupOrder)
	var R *bigPoint
	for R == nil {
		x := mod(random256(r), gap)
		switch r.IntN(3) {
		case 0: // the first above n
			x = big.NewInt(r.Int64N(20))
		case 1: // the last below p
			x = sub(gap, big.NewInt(1+r.Int64N(20)))
		}
		if x.Sign() != 0 {
			R = lift(sum(groupOrder, x), uint(r.IntN(2)))
		}
	}
	for {
		s, e := edgeScalar(r), edge256(r)
		if key := keyForNumbers(R, R.x, s, e); key != nil {
			return newItem(false, encodeKey(key, randomForm(r)), sub(R.x, groupOrder), s, e)
		}
	}
}

// keyForNumbers returns the key for which r, s and e lead a verifier to R, so
// that r and s are a signature of e if r is x(R) mod n.
func keyForNumbers(R *bigPoint, r, s, e *big.Int) *bigPoint {
	p := decredTimes(s, R).add(decredTimes(e, nil).negate())
	if p == nil {
		return nil
	}
	return decredTimes(inverse(r, groupOrder), p)
}

// infiniteECDSA returns an item for which u1⋅G + u2⋅Q is the point at infinity. In
// some u2 is 1 or -1, and r is what the x of Q wants: a verifier that does not
// see the infinity may take a point that it had before.
func infiniteECDSA(r *rand.Rand) item {
	d, sigR, s := edgeScalar(r), edgeScalar(r), edgeScalar(r)
	q := decredTimes(d, nil)
	if r.IntN(2) == 0 {
		sigR = mod(q.x, groupOrder)
		if s = sigR; r.IntN(2) == 0 {
			s = sub(groupOrder, sigR)
		}
	}
	e := mod(new(big.Int).Neg(mul(sigR, d)), groupOrder)
	return newItem(false, encodeKey(q, randomForm(r)), sigR, s, e)
}

// oracleChallenge returns e of BIP340.
func oracleChallenge(r, key, digest []byte) *big.Int {
	tag := sha256.Sum256([]byte("BIP0340/challenge"))
	h := sha256.New()
	for _, part := range [][]byte{tag[:], tag[:], r, key, digest} {
		h.Write(part)
	}
	return new(big.Int).SetBytes(h.Sum(nil))
}

// keyBIP340 returns a secret key whose point has an even y, and the point's x.
func keyBIP340(r *rand.Rand) (d *big.Int, x []byte) {
	d = edgeScalar(r)
	p := decredTimes(d, nil)
	if p.y.Bit(0) == 1 {
		d = sub(groupOrder, d)
	}
	return d, bytes32(p.x)[:]
}

func signedBIP340(r *rand.Rand) item { return signBIP340(r, 0) }

// oddBIP340 returns an item that is valid but for the odd y of R.
func oddBIP340(r *rand.Rand) item { return signBIP340(r, 1) }

func signBIP340(r *rand.Rand, parity uint) item {
	d, key := keyBIP340(r)
	k, digest := edgeScalar(r), edge256(r)
	R := decredTimes(k, nil)
	if R.y.Bit(0) != parity {
		k = sub(groupOrder, k)
	}
	e := oracleChallenge(bytes32(R.x)[:], key, bytes32(digest)[:])
	return newItem(true, key, R.x, mod(sum(k, mul(e, d)), groupOrder), digest)
}

// infiniteBIP340 returns an item for which s⋅G - e⋅P is the point at infinity.
func infiniteBIP340(r *rand.Rand) item {
	d, key := keyBIP340(r)
	x, digest := mod(edge256(r), fieldPrime), edge256(r)
	e := oracleChallenge(bytes32(x)[:], key, bytes32(digest)[:])
	return newItem(true, key, x, mod(mul(e, d), groupOrder), digest)
}

// mutate spoils an item, or so it hopes: an oracle says whether it did.
func mutate(r *rand.Rand, it item) item {
	key := append([]byte(nil), it.key...)
	it.key = key
	switch r.IntN(9) {
	case 0:
		edge256(r).FillBytes(it.sig[:32])
	case 1:
		edge256(r).FillBytes(it.sig[32:])
	case 2:
		edge256(r).FillBytes(it.digest[:])
	case 3: // the other s
		s := new(big.Int).SetBytes(it.sig[32:])
		mod(sub(groupOrder, s), groupOrder).FillBytes(it.sig[32:])
	case 4: // the other form, or none
		key[0] = byte(r.IntN(9))
	case 5: // an x or a y that is the field prime or about it
		at := len(key) % 32
		if len(key) == 65 && r.IntN(2) == 0 {
			at = 33
		}
		sum(fieldPrime, big.NewInt(r.Int64N(5)-1)).FillBytes(key[at : at+32])
	case 6: // another length
		if it.key = key[:r.IntN(len(key)+1)]; r.IntN(2) == 0 {
			it.key = append(key, byte(r.IntN(4)))
		}
	case 7:
		it.bip340 = !it.bip340
	default:
		bit := byte(1) << r.IntN(8)
		switch r.IntN(3) {
		case 0:
			key[r.IntN(len(key))] ^= bit
		case 1:
			it.sig[r.IntN(len(it.sig))] ^= bit
		case 2:
			it.digest[r.IntN(len(it.digest))] ^= bit
		}
	}
	return it
}
