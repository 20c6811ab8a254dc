package wots

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/outrider-project/outrider/testvectors"
)

// A vector is one of BitVM's.
type vector struct {
	message, secret              []byte
	key                          PublicKey
	witness, signature           [][]byte
	compactWitness, compactValue [][]byte
}

func loadVectors(t testing.TB) []vector {
	t.Helper()
	raw := testvectors.Load(t, "bitvm/wots-test-vectors.json.zst", "that Winternitz signatures are those of BitVM")
	var list []struct {
		Message, SecretKey            string
		PublicKey, Witness, Signature []string
		CompactWitness                []string `json:"compact_witness"`
		CompactSignature              []string `json:"compact_signature"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	all := func(list []string) (items [][]byte) {
		for _, s := range list {
			items = append(items, unhex(s))
		}
		return items
	}
	var vectors []vector
	for _, v := range list {
		out := vector{
			message: unhex(v.Message), secret: unhex(v.SecretKey), witness: all(v.Witness), signature: all(v.Signature),
			compactWitness: all(v.CompactWitness), compactValue: all(v.CompactSignature),
		}
		for _, k := range all(v.PublicKey) {
			out.key = append(out.key, [Hash]byte(k))
		}
		vectors = append(vectors, out)
	}
	return vectors
}

func scheme(t testing.TB, size int) Scheme {
	t.Helper()
	s, err := For(size)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func equal(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

// BitVM's keys, signatures and witnesses are ours, and both scripts take them; whatever
// part of a witness is changed, all refuse it.
func TestVectors(t *testing.T) {
	vectors := loadVectors(t)
	if len(vectors) != 21 {
		t.Errorf("%d vectors, want 21", len(vectors))
	}
	for i, v := range vectors {
		s := scheme(t, len(v.message))
		sig := s.Sign(v.secret, v.message)
		if key := s.PublicKey(v.secret); !slices.Equal(key, v.key) {
			t.Errorf("vector %d: another public key", i)
		}
		if !equal(sig.Witness(), v.witness) || !equal(sig.CompactWitness(), v.compactWitness) || !equal(v.compactWitness, v.compactValue) {
			t.Errorf("vector %d: another witness", i)
		}
		for j := range sig.Values {
			if !bytes.Equal(append(sig.Values[j][:], sig.Digits[j]), v.signature[j]) {
				t.Errorf("vector %d: another signature of digit %d", i, j)
			}
		}
		if got, err := s.Verify(v.key, sig); err != nil || !bytes.Equal(got, v.message) {
			t.Errorf("vector %d: %x, %v", i, got, err)
		}
		l := newLeaves(t, s, v.key)
		for _, compact := range []bool{false, true} {
			witness := v.witness
			if compact {
				witness = v.compactWitness
			}
			if !l.agree(t, compact, witness) {
				t.Errorf("vector %d: compact %v is refused", i, compact)
			}
			step := 1
			if testing.Short() {
				step = 9
			}
			for at := i % step; at < len(witness); at += step {
				bad := slices.Clone(witness)
				bad[at] = append(slices.Clone(witness[at]), 1)[:max(1, len(witness[at]))]
				if len(witness[at]) > 0 {
					bad[at][at%len(bad[at])] ^= 1
				}
				if l.agree(t, compact, bad) {
					t.Errorf("vector %d: compact %v with item %d changed is valid", i, compact, at)
				}
			}
		}
	}
}

// The scripts have the sizes of BitVM's, without the OP_1 that ends a leaf.
func TestScriptSizes(t *testing.T) {
	for _, tt := range []struct{ message, digits, list, brute int }{{16, 35, 2588, 5353}, {32, 67, 4940, 10233}} {
		s := scheme(t, tt.message)
		key := s.PublicKey([]byte("key"))
		if s.Digits() != tt.digits || len(s.Script(key)) != tt.list || len(s.CompactScript(key)) != tt.brute {
			t.Errorf("%d bytes: %d digits, scripts of %d and %d bytes", tt.message, s.Digits(), len(s.Script(key)), len(s.CompactScript(key)))
		}
	}
}

func TestFor(t *testing.T) {
	for size, digits := range map[int]int{1: 4, 4: 10, 16: 35, 32: 67, 64: 131, 80: 163, 96: 195} {
		if s, err := For(size); err != nil || s.Digits() != digits || s.MessageSize() != size {
			t.Errorf("%d bytes: %d digits, %v", size, s.Digits(), err)
		}
	}
	for _, size := range []int{-1, 0, MaxMessage + 1} {
		if _, err := For(size); err == nil {
			t.Errorf("messages of %d bytes", size)
		}
	}
}

// Signatures of mixed sizes, some spoilt, have in a batch the verdicts that they have
// alone.
func TestVerifier(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var items []Item
	var want []error
	for i := range 60 {
		s := scheme(t, []int{4, 16, 32}[i%3])
		message := make([]byte, s.MessageSize())
		for j := range message {
			message[j] = byte(r.Uint32())
		}
		sig, kind := s.Sign([]byte{byte(i)}, message), error(nil)
		key := s.PublicKey([]byte{byte(i)})
		switch r.IntN(8) {
		case 0:
			sig.Values[r.IntN(len(sig.Values))][7] ^= 1
			kind = ErrChain
		case 1:
			sig.Digits[0] ^= 1
			kind = ErrChecksum
		case 2:
			sig.Digits[1] = 16
			kind = ErrForm
		case 3:
			sig.Values = sig.Values[1:]
			kind = ErrForm
		case 4:
			key = key[:len(key)-1]
			kind = ErrForm
		}
		items, want = append(items, Item{s, key, sig}), append(want, kind)
	}
	items, want = append(items, Item{Scheme: scheme(t, 4), Key: items[0].Key}), append(want, ErrForm)
	var v Verifier
	for range 2 {
		messages, errs := v.Verify(items)
		for i, it := range items {
			if !errors.Is(errs[i], want[i]) || (messages[i] == nil) != (want[i] != nil) {
				t.Errorf("item %d: %x, %v, want %v", i, messages[i], errs[i], want[i])
			}
			message, err := it.Scheme.Verify(it.Key, it.Signature)
			if !bytes.Equal(message, messages[i]) || (err == nil) != (errs[i] == nil) {
				t.Errorf("item %d: %x, %v; alone %x, %v", i, messages[i], errs[i], message, err)
			}
		}
	}
}

// What is wrong with a compact witness is found where it is read.
func TestCompactErrors(t *testing.T) {
	s := scheme(t, 4)
	key := s.PublicKey([]byte("secret"))
	sig := s.Sign([]byte("secret"), []byte{1, 2, 3, 4})
	if got, err := s.DecodeCompactWitness(key, sig.CompactWitness()); err != nil || !slices.Equal(got.Digits, sig.Digits) {
		t.Error(err)
	}
	for _, tt := range []struct {
		change func(items [][]byte) [][]byte
		want   error
	}{
		{func(items [][]byte) [][]byte { return items[1:] }, ErrForm},
		{func(items [][]byte) [][]byte { items[3] = items[3][1:]; return items }, ErrForm},
		{func(items [][]byte) [][]byte { items[3] = bytes.Repeat([]byte{1}, Hash); return items }, ErrChain},
		{func(items [][]byte) [][]byte { items[3] = items[4]; return items }, ErrChain},
	} {
		if _, err := s.DecodeCompactWitness(key, tt.change(slices.Clone(sig.CompactWitness()))); !errors.Is(err, tt.want) {
			t.Errorf("%v, want %v", err, tt.want)
		}
	}
	if _, err := s.DecodeCompactWitness(key[1:], sig.CompactWitness()); !errors.Is(err, ErrForm) {
		t.Error(err)
	}
}

// A digit raised by hashing its value is a valid chain, and the checksum gives it away.
func TestRaisedDigit(t *testing.T) {
	s := scheme(t, 4)
	sig := s.Sign([]byte("secret"), []byte{1, 2, 3, 4})
	other := s.Sign([]byte("secret"), []byte{1, 2, 3, 5})
	for i := range s.messageDigits() {
		sig.Values[i], sig.Digits[i] = other.Values[i], other.Digits[i]
	}
	if _, err := s.Verify(s.PublicKey([]byte("secret")), sig); !errors.Is(err, ErrChecksum) {
		t.Error(err)
	}
}

// The strict decoder takes what is made, and what consensus takes besides it refuses.
func TestStrict(t *testing.T) {
	s := scheme(t, 4)
	key := s.PublicKey([]byte("secret"))
	sig := s.Sign([]byte("secret"), []byte{0, 0xf0, 3, 4})
	l := newLeaves(t, s, key)
	witness := sig.Witness()
	if got, err := s.DecodeWitnessStrict(witness); err != nil || !equal(got.Witness(), witness) {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		digit uint8
		item  []byte
	}{{0, []byte{0}}, {0, []byte{0x80}}, {0, []byte{0, 0, 0, 0x80}}, {3, []byte{3, 0}}, {15, []byte{16}}, {15, []byte{0xff, 0x7f}}, {15, []byte{15, 0, 0, 0}}} {
		at := slices.Index(sig.Digits, tt.digit)
		odd := slices.Clone(witness)
		odd[2*at+1] = tt.item
		if !l.agree(t, false, odd) {
			t.Errorf("%x for digit %d is refused", tt.item, tt.digit)
		}
		if _, err := s.DecodeWitnessStrict(odd); !errors.Is(err, ErrForm) {
			t.Errorf("strictly %x for digit %d: %v", tt.item, tt.digit, err)
		}
	}
	for _, item := range [][]byte{{0x81}, {3, 0, 0, 0, 0}, {0xff}, bytes.Repeat([]byte{1}, 520)} {
		odd := slices.Clone(witness)
		odd[2*slices.Index(sig.Digits, 3)+1] = item
		if l.agree(t, false, odd) {
			t.Errorf("%x for a digit is valid", item)
		}
	}
}

// corrupt changes a witness in one way or another, and sometimes not at all.
func corrupt(r *rand.Rand, sig *Signature, items [][]byte) [][]byte {
	items = slices.Clone(items)
	at := r.IntN(len(items))
	items[at] = slices.Clone(items[at])
	switch r.IntN(9) {
	case 0:
		if n := len(items[at]); n > 0 {
			items[at][r.IntN(n)] ^= 1 << r.IntN(8)
		}
	case 1:
		items[at] = items[at][:len(items[at])*r.IntN(3)/3]
	case 2:
		items[at] = append(items[at], make([]byte, 1+r.IntN(4))...)
	case 3:
		items = slices.Delete(items, at, at+1)
	case 4:
		items = slices.Insert(items, at, items[r.IntN(len(items))])
	case 5:
		other := r.IntN(len(items))
		items[at], items[other] = items[other], items[at]
	case 6: // a value of the chain further on, with the digit that it then has, or not
		i := r.IntN(len(sig.Values))
		step := r.IntN(3)
		later := sig.Values[i]
		for range step {
			later = hash160(later)
		}
		if len(items) == len(sig.Values) {
			items[i] = later[:]
		} else {
			items[2*i] = later[:]
			items[2*i+1] = digitItem(sig.Digits[i] + uint8(r.IntN(3)))
		}
	case 7:
		if len(items[at]) != Hash {
			items[at] = [][]byte{{0}, {0x80}, {16}, {0xff, 0}, {0xff}, {1, 0, 0, 0}, {1, 0, 0, 0, 0}, nil, {15}}[r.IntN(9)]
		}
	}
	return items
}

// Thousands of witnesses, most of them corrupt, have the same verdict here and from
// btcd's engine that runs the scripts.
func TestDifferential(t *testing.T) {
	cases := 10_000
	if testing.Short() {
		cases = 500
	}
	r := rand.New(rand.NewPCG(5, 6))
	s := scheme(t, 1)
	valid := 0
	for i := range cases {
		if i%1000 == 0 {
			s = scheme(t, 1+i/1000%5)
		}
		secret := []byte{byte(i / 50), byte(i / 50 >> 8)}
		message := make([]byte, s.MessageSize())
		for j := range message {
			message[j] = byte(r.Uint32())
		}
		l := newLeaves(t, s, s.PublicKey(secret))
		sig := s.Sign(secret, message)
		compact := r.IntN(2) == 0
		witness := sig.Witness()
		if compact {
			witness = sig.CompactWitness()
		}
		if l.agree(t, compact, corrupt(r, sig, witness)) {
			valid++
		}
	}
	if valid < cases/20 || valid > cases*2/3 {
		t.Errorf("%d of %d are valid", valid, cases)
	}
}

// A witness of any items has the same verdict here and from btcd's engine.
func FuzzWitness(f *testing.F) {
	s := scheme(f, 1)
	key := s.PublicKey([]byte("fuzz"))
	sig := s.Sign([]byte("fuzz"), []byte{0x5a})
	l := newLeaves(f, s, key)
	join := func(items [][]byte) (b []byte) {
		for _, item := range items {
			b = append(append(b, byte(len(item))), item...)
		}
		return b
	}
	f.Add(false, join(sig.Witness()))
	f.Add(true, join(sig.CompactWitness()))
	f.Add(false, join([][]byte{nil, {16}}))
	f.Fuzz(func(t *testing.T, compact bool, b []byte) {
		var items [][]byte
		for len(b) > 0 && len(items) < 64 {
			n := min(int(b[0]), len(b)-1)
			items, b = append(items, b[1:1+n]), b[1+n:]
		}
		valid := l.agree(t, compact, items)
		if strict, err := s.DecodeWitnessStrict(items); err == nil && !compact {
			if _, err := s.Verify(key, strict); (err == nil) != valid {
				t.Errorf("%x: strictly %v", items, err)
			}
			if !equal(strict.Witness(), items) {
				t.Errorf("%x is strict, and encoded as %x", items, strict.Witness())
			}
		}
	})
}

func BenchmarkWots16(b *testing.B) {
	s := scheme(b, 16)
	key := s.PublicKey([]byte("key"))
	sig := s.Sign([]byte("key"), bytes.Repeat([]byte{0x7a, 0x83}, 8))
	var v Verifier
	for b.Loop() {
		if _, errs := v.Verify([]Item{{s, key, sig}}); errs[0] != nil {
			b.Fatal(errs[0])
		}
	}
}
