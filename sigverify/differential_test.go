package sigverify

import (
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// kinds are the ways to make an item, and what its verdict must be.
var kinds = []struct {
	name string
	make func(*rand.Rand) Item
	want bool
}{
	{"ECDSA", signedECDSA, true},
	{"ECDSA with r wrapped", wrappedECDSA, true},
	{"ECDSA with infinity", infiniteECDSA, false},
	{"BIP340", signedBIP340, true},
	{"BIP340 with odd y", oddBIP340, false},
	{"BIP340 with infinity", infiniteBIP340, false},
}

// rounds is how often a test does what costs it a few oracle calls.
func rounds(n int) int {
	if testing.Short() {
		return n / 5
	}
	return n
}

// newTestVerifier returns a Verifier that is closed when the test ends.
func newTestVerifier(tb testing.TB, o Options) *Verifier {
	v := New(o)
	tb.Cleanup(v.Close)
	return v
}

// verifyAll returns the verdicts of a Verifier over items.
func verifyAll(t *testing.T, v *Verifier, items []Item) []bool {
	t.Helper()
	valid := make([]bool, len(items))
	if err := v.Verify(t.Context(), items, valid); err != nil {
		t.Fatal(err)
	}
	return valid
}

func TestVerifyAgainstOracle(t *testing.T) {
	r := newRand(t)
	var items []Item
	var want []bool
	var names []string
	for _, kind := range kinds {
		for range rounds(15) {
			it := kind.make(r)
			items, want, names = append(items, it), append(want, kind.want), append(names, kind.name)
			if got := verifyExact(&it); got != kind.want {
				t.Fatalf("%s: exact arithmetic says %v of %+v", kind.name, got, it)
			}
			for range 2 {
				spoilt := mutate(r, it)
				items, want, names = append(items, spoilt), append(want, verifyExact(&spoilt)), append(names, kind.name+", mutated")
			}
		}
	}
	for i, got := range verifyEveryWay(t, items) {
		if got != want[i] {
			t.Errorf("%s: verdict %v, exact arithmetic's is %v: key %x, signature %x, digest %x, scheme %d",
				names[i], got, want[i], items[i].Key, items[i].Sig, items[i].Digest, items[i].Scheme)
		}
	}
}

// Every pair of edge values as r and s, under a key and a digest to which
// nothing of it belongs.
func TestEdgePairs(t *testing.T) {
	r := newRand(t)
	var items []Item
	for _, sigR := range edges() {
		d, x := keyBIP340(r)
		p := generator.times(d)
		for _, s := range edges() {
			items = append(items,
				newItem(ECDSA, encodeKey(p, randomForm(r)), sigR, s, edge256(r)),
				newItem(BIP340, x, sigR, s, edge256(r)))
		}
	}
	got := verifyEveryWay(t, items)
	for i := range items {
		if got[i] {
			t.Errorf("scheme %d: a signature that nobody made is valid: %x", items[i].Scheme, items[i].Sig)
		}
	}
}

// smallY returns a point whose y is so small that y + p fits into 32 bytes: the
// trap of parsers that reduce a coordinate instead of refusing it. The field
// prime is 7 modulo 9, so that a cube's root is a power of it.
func smallY(t *testing.T) *point {
	power := new(big.Int).Div(sum(fieldPrime, big.NewInt(2)), big.NewInt(9))
	for y := big.NewInt(1); y.BitLen() < 20; y.Add(y, big.NewInt(1)) {
		cube := mod(sub(mul(y, y), big.NewInt(7)), fieldPrime)
		x := new(big.Int).Exp(cube, power, fieldPrime)
		if mod(mul(x, mul(x, x)), fieldPrime).Cmp(cube) == 0 {
			return &point{x, y}
		}
	}
	t.Fatal("no point with a small y")
	return nil
}

// numbersWithoutKey returns r, s and e that fit p, of which nobody knows the
// secret. With R = a⋅G + b⋅P, r = x(R), s = r/b and e = a⋅s, the equation of ECDSA
// holds.
func numbersWithoutKey(rng *rand.Rand, p *point) (r, s, e *big.Int) {
	a, b := scalar(rng), scalar(rng)
	r = mod(generator.times(a).add(p.times(b)).x, groupOrder)
	s = mod(mul(r, inverse(b, groupOrder)), groupOrder)
	return r, s, mod(mul(a, s), groupOrder)
}

// keyForNumbers returns the key that r and s, with R the point of r, are a
// signature of e under.
func keyForNumbers(R *point, s, e *big.Int) *point {
	return R.times(s).add(generator.times(e).negate()).times(inverse(R.x, groupOrder))
}

// Numbers that are congruent to the right ones, but out of range, are refused,
// not reduced. Such a number fits into 32 bytes only if the right one is small,
// which no signer ever meets: so the keys and signatures are made to have it.
func TestNumbersAreNotReduced(t *testing.T) {
	rng := newRand(t)
	item := func(key []byte, r, s, e *big.Int) Item { return newItem(ECDSA, key, r, s, e) }
	var pairs [][2]Item // the right one, and the one out of range

	// A small x and a small y of the key.
	p := lift(big.NewInt(1), 0)
	r, s, e := numbersWithoutKey(rng, p)
	pairs = append(pairs, [2]Item{
		item(append([]byte{2}, bytes32(p.x)...), r, s, e),
		item(append([]byte{2}, bytes32(sum(p.x, fieldPrime))...), r, s, e),
	})
	q := smallY(t)
	r, s, e = numbersWithoutKey(rng, q)
	withX := append([]byte{4}, bytes32(q.x)...)
	pairs = append(pairs, [2]Item{
		item(slices.Concat(withX, bytes32(q.y)), r, s, e),
		item(slices.Concat(withX, bytes32(sum(q.y, fieldPrime))), r, s, e),
	})

	// A small r and a small s.
	small := big.NewInt(3) // x = 1, 2 and 3 are on the curve, and 5 is not
	R := lift(small, 1)
	s, e = scalar(rng), edge256(rng)
	key := encodeKey(keyForNumbers(R, s, e), 2)
	pairs = append(pairs, [2]Item{item(key, small, s, e), item(key, sum(small, groupOrder), s, e)})
	key = encodeKey(keyForNumbers(R, small, e), 4)
	pairs = append(pairs, [2]Item{item(key, small, small, e), item(key, small, sum(small, groupOrder), e)})

	for i, pair := range pairs {
		if got := verifyEveryWay(t, pair[:]); !got[0] || got[1] {
			t.Errorf("pair %d: the right one is %v, the one out of range %v", i, got[0], got[1])
		}
	}
}

// For BIP340 nobody can make such signatures, for the challenge binds all
// numbers, so their decoding is tested by itself.
func TestBIP340NumbersAreNotReduced(t *testing.T) {
	one := big.NewInt(1)
	top := sub(new(big.Int).Lsh(one, 256), one)
	for _, tt := range []struct {
		name    string
		x, r, s *big.Int
		want    bool
	}{
		{"small", one, one, one, true},
		{"zero r and s", one, new(big.Int), new(big.Int), true},
		{"largest", one, sub(fieldPrime, one), sub(groupOrder, one), true},
		{"r is the field prime", one, fieldPrime, one, false},
		{"r is above it", one, sum(fieldPrime, one), one, false},
		{"r is the largest number", one, top, one, false},
		{"s is the group order", one, one, groupOrder, false},
		{"s is above it", one, one, sum(groupOrder, one), false},
		{"s is the largest number", one, one, top, false},
		{"x is a point's and the field prime", sum(fieldPrime, one), one, one, false},
		{"x is the largest number", top, one, one, false},
		{"x is no point's", big.NewInt(5), one, one, false},
	} {
		it := newItem(BIP340, bytes32(tt.x), tt.r, tt.s, one)
		p, isPoint := liftX(it.Key)
		_, _, inRange := splitBIP340(&it.Sig)
		if got := isPoint && inRange; got != tt.want {
			t.Errorf("%s: decoded %v, want %v", tt.name, got, tt.want)
		}
		if isPoint && (p.Y.IsOdd() || lift(tt.x, 0).y.Cmp(new(big.Int).SetBytes(p.Y.Bytes()[:])) != 0) {
			t.Errorf("%s: liftX = %v", tt.name, p)
		}
	}
}

func TestHybridParity(t *testing.T) {
	r := newRand(t)
	for range 4 {
		it := signedECDSA(r)
		key := parseKey(it.Key)
		it.Key = encodeKey(key, 6)
		wrong := it
		wrong.Key = encodeKey(key, 6)
		wrong.Key[0] ^= 1
		if got := verifyEveryWay(t, []Item{it, wrong}); !got[0] || got[1] {
			t.Errorf("hybrid key: verdict %v, with the wrong parity %v", got[0], got[1])
		}
	}
}

// What btcec signs is valid here, and what is spoilt here is not valid there.
func TestVerifyAgainstBtcec(t *testing.T) {
	r := newRand(t)
	var items []Item
	var want []bool
	for range rounds(100) {
		secret, public := btcec.PrivKeyFromBytes(bytes32(scalar(r)))
		digest := bytes32(edge256(r))

		signature := ecdsa.Sign(secret, digest)
		sigR, sigS := signature.R(), signature.S()
		it := Item{Scheme: ECDSA, Key: public.SerializeCompressed(), Digest: [32]byte(digest)}
		sigR.PutBytesUnchecked(it.Sig[:32])
		sigS.PutBytesUnchecked(it.Sig[32:])
		items, want = append(items, it), append(want, true)

		taproot, err := schnorr.Sign(secret, digest)
		if err != nil {
			t.Fatal(err)
		}
		it = Item{Scheme: BIP340, Key: schnorr.SerializePubKey(public), Digest: [32]byte(digest), Sig: [64]byte(taproot.Serialize())}
		items, want = append(items, it), append(want, true)

		it = mutate(r, it)
		it.Scheme = BIP340
		items, want = append(items, it), append(want, btcecBIP340(it))
	}
	for i, got := range verifyEveryWay(t, items) {
		if got != want[i] {
			t.Errorf("verdict %v, btcec's is %v: %+v", got, want[i], items[i])
		}
	}
}

func btcecBIP340(it Item) bool {
	key, err := schnorr.ParsePubKey(it.Key)
	if err != nil {
		return false
	}
	sig, err := schnorr.ParseSignature(it.Sig[:])
	return err == nil && sig.Verify(it.Digest[:], key)
}

func FuzzVerify(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, kind := range kinds {
		it := kind.make(r)
		f.Add(uint8(it.Scheme), it.Key, it.Sig[:], it.Digest[:])
		it = mutate(r, it)
		f.Add(uint8(it.Scheme), it.Key, it.Sig[:], it.Digest[:])
	}
	v := newTestVerifier(f, Options{})
	f.Fuzz(func(t *testing.T, scheme uint8, key, sig, digest []byte) {
		it := Item{Scheme: Scheme(scheme), Key: key}
		copy(it.Sig[:], sig)
		copy(it.Digest[:], digest)
		if got, want := verifyAll(t, v, []Item{it})[0], verifyExact(&it); got != want {
			t.Errorf("verdict %v, exact arithmetic's is %v", got, want)
		}
	})
}
