package muhash

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"golang.org/x/crypto/chacha20"
)

// fromInt is FromInt of Bitcoin Core's crypto_tests.cpp: an element of 32 bytes,
// the first of which is n.
func fromInt(n byte) []byte { return append([]byte{n}, make([]byte, 31)...) }

func setOf(elements ...[]byte) *Set {
	var s Set
	for _, e := range elements {
		s.Insert(e)
	}
	return &s
}

// TestCore has the vectors of muhash_tests in Bitcoin Core's crypto_tests.cpp.
func TestCore(t *testing.T) {
	const want = "10d312b100cbd32ada024a6646e40d3482fcff103668d2625f10002a607d5863"
	divided := setOf(fromInt(0))
	divided.Combine(setOf(fromInt(1)))
	divided.Uncombine(setOf(fromInt(2)))
	removed := setOf(fromInt(0), fromInt(1))
	removed.Remove(fromInt(2))
	for name, s := range map[string]*Set{"divided": divided, "removed": removed} {
		for range 2 {
			if got := s.Finalize().String(); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	}

	state := strings.Join([]string{
		"1fa093295ea30a6a3acdc7b3f770fa538eff537528e990e2910e40bbcfd7f669",
		"6b1256901929094694b56316de342f593303dd12ac43e06dce1be1ff8301c845",
		"beb15468fff0ef002dbf80c29f26e6452bccc91b5cb9437ad410d2a67ea84788",
		"7fa3c6a6553309946880fe20db2c73fe0641adbd4e86edfee0d9f8cd0ee12308",
		"98873dc13ed8ddcaf045c80faa082774279007a2253f8922ee3ef361d378a6af",
		"3ddaf180b190ac97e556888c36b3d1fb1c85aab9ccd46e3deaeb7b7cf5db067a",
		"7e9ff86b658cf3acd6662bbcce37232daa753c48b794356c020090c831a83044",
		"16e2aa7ad633c0ddb2f11be1be316a81be7f7e472071c042cb68faef549c221e",
		"bff209273638b741aba5a81675c45a5fa92fea4ca821d7a324cb1e1a2ccd3b76",
		"c4228ec8066dad2a5df6e1bd0de45c7dd5de8070bdb46db6c554cf9aefc9b7b2",
		"bbf9f75b1864d9f95005314593905c0109b71f703d49944ae94477b51dac10a8",
		"16bb6d1c700bafabc8bd86fac8df24be519a2f2836b16392e18036cb13e48c5c",
		"01", strings.Repeat("00", 383),
	}, "")
	two := setOf(fromInt(1))
	two.Combine(setOf(fromInt(2)))
	if got := hex.EncodeToString(two.Append(nil)); got != state {
		t.Errorf("the state is %s, want %s", got, state)
	}

	var above Set // its numerator is above the modulus
	b := append(bytes.Repeat([]byte{0xff}, 384), 1)
	if err := above.Decode(append(b, make([]byte, 383)...)); err != nil {
		t.Fatal(err)
	}
	hash := above.Finalize()
	if got := hex.EncodeToString(hash[:]); got != "3a31e6903aff0de9f62f9a9f7f8b861de76ce2cda09822b90014319ae5dc2271" {
		t.Errorf("above the modulus: %s", got)
	}
}

// An oracle is a set over math/big.
type oracle struct{ numerator, denominator *big.Int }

func newOracle() *oracle { return &oracle{big.NewInt(1), big.NewInt(1)} }

func bigElement(element []byte) *big.Int {
	key := sha256.Sum256(element)
	stream, err := chacha20.NewUnauthenticatedCipher(key[:], make([]byte, chacha20.NonceSize))
	if err != nil {
		panic(err)
	}
	b := make([]byte, numberSize)
	stream.XORKeyStream(b, b)
	return bigOf(b)
}

func mulMod(x, y *big.Int) { x.Mul(x, y).Mod(x, modulus) }

func (o *oracle) insert(element []byte) { mulMod(o.numerator, bigElement(element)) }
func (o *oracle) remove(element []byte) { mulMod(o.denominator, bigElement(element)) }

func (o *oracle) finalize() chainhash.Hash {
	// Fermat's way to divide, which no other code here takes.
	exponent := new(big.Int).Sub(modulus, big.NewInt(2))
	x := new(big.Int).Exp(o.denominator, exponent, modulus)
	return sha256.Sum256(littleOf(x.Mul(x, o.numerator)))
}

func (o *oracle) state() []byte {
	return append(littleOf(o.numerator), littleOf(o.denominator)...)
}

// randomElement returns an element of up to 200 bytes.
func randomElement(rng *rand.Rand) []byte {
	b := make([]byte, rng.IntN(200))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// TestOracle does the same to a set and to one over math/big.
func TestOracle(t *testing.T) {
	rng := newRand(t)
	var s Set
	o := newOracle()
	check := func(step int) {
		t.Helper()
		if got, want := s.Append([]byte("x"))[1:], o.state(); !bytes.Equal(got, want) {
			t.Fatalf("step %d: the state is %x, want %x", step, got, want)
		}
		if got, want := s.Finalize(), o.finalize(); got != want {
			t.Fatalf("step %d: the hash is %s, want %s", step, got, want)
		}
	}
	check(0)
	for step := range 30 {
		switch e := randomElement(rng); rng.IntN(4) {
		case 0:
			s.Remove(e)
			o.remove(e)
		case 1:
			var other Set
			if err := other.Decode(setOf(e, e).Append(nil)); err != nil {
				t.Fatal(err)
			}
			other.Remove(fromInt(byte(step)))
			s.Combine(&other)
			o.insert(e)
			o.insert(e)
			o.remove(fromInt(byte(step)))
		case 2:
			other := setOf(e)
			other.Remove(fromInt(byte(step)))
			s.Uncombine(other)
			o.remove(e)
			o.insert(fromInt(byte(step)))
		default:
			s.Insert(e)
			o.insert(e)
		}
		check(step + 1)
	}
}

// TestOrder inserts and removes in many orders and groupings.
func TestOrder(t *testing.T) {
	rng := newRand(t)
	var elements [][]byte
	for range 12 {
		elements = append(elements, randomElement(rng))
	}
	gone := append([][]byte{[]byte("gone")}, elements[:3]...)
	want := setOf(elements[3:]...).Finalize()
	for range 20 {
		rng.Shuffle(len(elements), func(i, j int) { elements[i], elements[j] = elements[j], elements[i] })
		var first, second Set
		for i, e := range slices.Concat(elements, gone[:1]) {
			[]*Set{&first, &second}[i%2].Insert(e)
		}
		for i, e := range gone {
			[]*Set{&first, &second}[i%2].Remove(e)
		}
		second.Combine(&first)
		if got := second.Finalize(); got != want {
			t.Fatalf("the hash is %s, want %s", got, want)
		}
	}
}

// TestEmpty has what was inserted and removed leave the empty set behind.
func TestEmpty(t *testing.T) {
	var empty Set
	if got, want := empty.Finalize(), chainhash.Hash(sha256.Sum256(littleOf(big.NewInt(1)))); got != want {
		t.Errorf("the empty set has the hash %s, want %s", got, want)
	}
	want := append([]byte{1}, make([]byte, 383)...)
	if got := empty.Append(nil); !bytes.Equal(got, append(want, want...)) {
		t.Errorf("the state of the empty set is %x", got)
	}
	for name, s := range map[string]*Set{
		"inserted, removed": func() *Set { s := setOf([]byte("a")); s.Remove([]byte("a")); return s }(),
		"removed, inserted": func() *Set { s := new(Set); s.Remove([]byte("a")); s.Insert([]byte("a")); return s }(),
		"less itself":       func() *Set { s := setOf([]byte("a"), nil); s.Remove([]byte("b")); s.Uncombine(s); return s }(),
		"empty with empty":  func() *Set { s := new(Set); s.Combine(new(Set)); s.Uncombine(new(Set)); return s }(),
		"decoded":           func() *Set { s := setOf([]byte("a")); _ = s.Decode(empty.Append(nil)); return s }(),
	} {
		if s.Finalize() != empty.Finalize() {
			t.Errorf("%s: the set is not empty", name)
		}
	}
	twice, once := setOf([]byte("a")), setOf([]byte("a"))
	twice.Combine(twice)
	if twice.Finalize() == once.Finalize() || twice.Finalize() != setOf([]byte("a"), []byte("a")).Finalize() {
		t.Error("a set combined with itself is not all of it twice")
	}
}

// TestDecode decodes states and refuses what none can be.
func TestDecode(t *testing.T) {
	s := setOf([]byte("a"), []byte("b"))
	s.Remove([]byte("c"))
	state := s.Append(nil)
	var back Set
	if err := back.Decode(state); err != nil || !bytes.Equal(back.Append(nil), state) || back.Finalize() != s.Finalize() {
		t.Errorf("the state becomes %x, %v", back.Append(nil), err)
	}
	null := make([]byte, numberSize)
	prime := slices.Clone(null) // the modulus, which is another zero
	for i := range prime {
		prime[i] = 0xff
	}
	copy(prime, []byte{0x9b, 0x28, 0xef})
	if bigOf(prime).Cmp(modulus) != 0 {
		t.Fatalf("the modulus is not %x", prime)
	}
	for name, bad := range map[string][]byte{
		"empty":                  {},
		"short":                  state[:StateSize-1],
		"long":                   append(slices.Clone(state), 0),
		"nothing inserted":       append(slices.Clone(null), state[numberSize:]...),
		"nothing removed":        append(slices.Clone(state[:numberSize]), null...),
		"zero":                   append(slices.Clone(null), null...),
		"the modulus over":       append(slices.Clone(prime), state[numberSize:]...),
		"divided by the modulus": append(slices.Clone(state[:numberSize]), prime...),
	} {
		if err := back.Decode(bad); err == nil || !bytes.Equal(back.Append(nil), state) {
			t.Errorf("%s: %v, and the set is %x", name, err, back.Append(nil))
		}
	}
}

// TestElementKept changes an element after it was given away.
func TestElementKept(t *testing.T) {
	var s Set
	var b Batch
	e := []byte("element")
	s.Insert(e)
	b.Insert(e)
	clear(e)
	var batched Set
	batched.Apply(&b, 1)
	want := setOf([]byte("element")).Finalize()
	if s.Finalize() != want || batched.Finalize() != want {
		t.Error("the set changed with the bytes of an element")
	}
}
