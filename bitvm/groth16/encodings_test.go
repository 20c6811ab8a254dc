package groth16

import (
	"encoding/binary"
	"errors"
	"math/big"
	"slices"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fp"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
)

// An encoding is a form that a proof has.
type encoding struct {
	name   string
	encode func(*Proof) []byte
	decode func([]byte) (*Proof, error)
}

func encodings() []encoding {
	return []encoding{
		{"EIP-197", (*Proof).EncodeEIP197, DecodeEIP197Proof},
		{"arkworks, compressed", func(p *Proof) []byte { return slices.Concat(arkShort1(&p.A), arkShort2(&p.B), arkShort1(&p.C)) }, DecodeArkworksProof},
		{"arkworks", func(p *Proof) []byte { return slices.Concat(arkLong1(&p.A), arkLong2(&p.B), arkLong1(&p.C)) }, DecodeArkworksProof},
		{"gnark, compressed", func(p *Proof) []byte { return append(gnarkShort(p), gnarkNone(sizeG1/2)...) }, DecodeGnarkProof},
		{"gnark, compressed, bare", gnarkShort, DecodeGnarkProof},
		{"gnark", func(p *Proof) []byte { return append(p.EncodeEIP197(), gnarkNone(sizeG1)...) }, DecodeGnarkProof},
		{"gnark, bare", (*Proof).EncodeEIP197, DecodeGnarkProof},
	}
}

// gnarkShort is the compressed form, by gnark-crypto.
func gnarkShort(p *Proof) []byte {
	a, b, c := p.A.Bytes(), p.B.Bytes(), p.C.Bytes()
	return slices.Concat(a[:], b[:], c[:])
}

// gnarkNone is what stands behind a proof without commitments.
func gnarkNone(size int) []byte {
	none := make([]byte, 4+size)
	if size == sizeG1/2 {
		none[4] = gnarkInfinity
	}
	return none
}

// ark turns coordinates of 32 bytes, big-endian, into those of arkworks, with the flag in
// the last one.
func ark(flag byte, coordinates ...[32]byte) (b []byte) {
	for _, c := range coordinates {
		slices.Reverse(c[:])
		b = append(b, c[:]...)
	}
	b[len(b)-1] |= flag
	return b
}

func arkFlag(infinity, largest bool) byte {
	switch {
	case infinity:
		return arkInfinity
	case largest:
		return arkNegative
	}
	return 0
}

func arkShort1(p *bn254.G1Affine) []byte {
	return ark(arkFlag(p.IsInfinity(), p.Y.LexicographicallyLargest()), p.X.Bytes())
}

func arkLong1(p *bn254.G1Affine) []byte {
	return ark(arkFlag(p.IsInfinity(), p.Y.LexicographicallyLargest()), p.X.Bytes(), p.Y.Bytes())
}

func arkShort2(p *bn254.G2Affine) []byte {
	return ark(arkFlag(p.IsInfinity(), p.Y.LexicographicallyLargest()), p.X.A0.Bytes(), p.X.A1.Bytes())
}

func arkLong2(p *bn254.G2Affine) []byte {
	return ark(arkFlag(p.IsInfinity(), p.Y.LexicographicallyLargest()), p.X.A0.Bytes(), p.X.A1.Bytes(), p.Y.A0.Bytes(), p.Y.A1.Bytes())
}

// Every encoding takes the point at infinity, and a proof whose equation holds with it.
func TestInfinity(t *testing.T) {
	s := NewSimulator(1, 11)
	// With A at infinity the equation is that of C alone.
	var c, u fr.Element
	input := s.Scalar()
	c.Mul(&s.alpha, &s.beta)
	u.Mul(&input, &s.ic[1])
	u.Add(&u, &s.ic[0])
	c.Add(&c, u.Mul(&u, &s.gamma))
	c.Div(&c, &s.delta).Neg(&c)
	valid := &Proof{C: g1Times(&c)}
	_, _, g1, g2 := bn254.Generators()
	key, err := Prepare(s.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range encodings() {
		// Either factor of a pairing may be at infinity.
		for _, want := range []*Proof{valid, {A: g1, C: valid.C}, {B: g2, C: valid.C}} {
			p, err := e.decode(e.encode(want))
			if err != nil {
				t.Errorf("%s: %v", e.name, err)
				continue
			}
			if err := key.Verify(p, []fr.Element{input}); err != nil {
				t.Errorf("%s: %v", e.name, err)
			}
		}
		if p, err := e.decode(e.encode(&Proof{})); err != nil {
			t.Errorf("%s: %v", e.name, err)
		} else if err := key.Verify(p, []fr.Element{input}); !errors.Is(err, ErrEquation) {
			t.Errorf("%s: all at infinity: %v", e.name, err)
		}
	}
	for _, verdict := range key.VerifyBatch([]Item{{valid, []fr.Element{input}}, s.Item()}) {
		if verdict != nil {
			t.Error(verdict)
		}
	}
}

// A coordinate plus the modulus is the same number, and refused.
func TestNonCanonical(t *testing.T) {
	for _, e := range encodings()[:1] {
		proof := NewSimulator(1, 3).Item().Proof
		raw := e.encode(proof)
		for word := range slices.Chunk(raw, sizeWord) {
			x := new(big.Int).SetBytes(word)
			if x.Add(x, fp.Modulus()).BitLen() > 256 {
				continue
			}
			kept := slices.Clone(word)
			x.FillBytes(word)
			if _, err := e.decode(raw); !errors.Is(err, ErrEncoding) {
				t.Errorf("%s: %v", e.name, err)
			}
			copy(word, kept)
		}
		if _, err := e.decode(raw); err != nil {
			t.Error(err)
		}
	}
	// Infinity has no coordinates.
	none := gnarkShort(&Proof{})
	for _, at := range []int{31, 32 + 63, 96 + 5} {
		none[at] ^= 1
		if _, err := DecodeGnarkProof(none); !errors.Is(err, ErrEncoding) {
			t.Errorf("infinity with a coordinate at byte %d: %v", at, err)
		}
		none[at] ^= 1
	}
	if _, err := DecodeGnarkProof(none); err != nil {
		t.Error(err)
	}
	var word [32]byte
	fr.Modulus().FillBytes(word[:])
	if _, err := DecodeInputs(word[:]); !errors.Is(err, ErrEncoding) {
		t.Errorf("r itself: %v", err)
	}
	word[31]--
	if _, err := DecodeInputs(word[:]); err != nil {
		t.Error(err)
	}
	if _, err := DecodeInputs(make([]byte, 32*(MaxInputs+1))); !errors.Is(err, ErrEncoding) {
		t.Errorf("too many inputs: %v", err)
	}
}

// What stands behind gnark's proof without commitments is nothing else.
func TestGnarkCommitments(t *testing.T) {
	proof := NewSimulator(1, 3).Item().Proof
	_, _, g1, _ := bn254.Generators()
	short, long := g1.Bytes(), g1.RawBytes()
	for _, bad := range [][]byte{
		slices.Concat(gnarkShort(proof), []byte{0, 0, 0, 0}, short[:]),
		slices.Concat(gnarkShort(proof), []byte{0, 0, 0, 1}, gnarkNone(32)[4:]),
		slices.Concat(proof.EncodeEIP197(), []byte{0, 0, 0, 0}, long[:]),
		slices.Concat(proof.EncodeEIP197(), []byte{1, 0, 0, 0}, gnarkNone(64)[4:]),
	} {
		if _, err := DecodeGnarkProof(bad); !errors.Is(err, ErrEncoding) {
			t.Errorf("%x: %v", bad[len(bad)-80:], err)
		}
	}
}

// A point on the twist that is not in G2 is refused, as a proof's and as a key's.
func TestSubgroup(t *testing.T) {
	s := NewSimulator(2, 5)
	key, err := Prepare(s.Key)
	if err != nil {
		t.Fatal(err)
	}
	var seed bn254.E2
	seed.A0.SetUint64(3)
	jac := bn254.GeneratePointNotInG2(seed)
	var outside bn254.G2Affine
	outside.FromJacobian(&jac)
	if !outside.IsOnCurve() || outside.IsInSubGroup() {
		t.Fatal("the point is in G2")
	}
	item := s.Item()
	good := item.Proof.B
	item.Proof.B.Add(&good, &outside)
	if err := key.Verify(item.Proof, item.Inputs); !errors.Is(err, ErrPoint) {
		t.Errorf("B outside: %v", err)
	}
	if verdicts := key.VerifyBatch([]Item{s.Item(), item}); verdicts[0] != nil || !errors.Is(verdicts[1], ErrPoint) {
		t.Errorf("in a batch: %v", verdicts)
	}
	if p, err := DecodeEIP197Proof(item.Proof.EncodeEIP197()); err != nil || !errors.Is(key.Verify(p, item.Inputs), ErrPoint) {
		t.Errorf("decoded: %v", err)
	}
	if _, err := DecodeGnarkProof(gnarkShort(item.Proof)); !errors.Is(err, ErrEncoding) {
		t.Errorf("compressed: %v", err)
	}
	item.Proof.B = good
	item.Proof.A.Y.SetOne()
	if err := key.Verify(item.Proof, item.Inputs); !errors.Is(err, ErrPoint) {
		t.Errorf("A off the curve: %v", err)
	}
	for _, spoil := range []func(*VerifyingKey){
		func(vk *VerifyingKey) { vk.Delta = outside },
		func(vk *VerifyingKey) { vk.Gamma.SetInfinity() },
		func(vk *VerifyingKey) { vk.Alpha.SetInfinity() },
		func(vk *VerifyingKey) { vk.IC = nil },
		func(vk *VerifyingKey) { vk.IC = make([]bn254.G1Affine, MaxInputs+2) },
		func(vk *VerifyingKey) { vk.IC = []bn254.G1Affine{{X: fp.One()}} },
	} {
		vk := *s.Key
		spoil(&vk)
		if _, err := Prepare(&vk); !errors.Is(err, ErrKey) {
			t.Errorf("a key that is none: %v", err)
		}
	}
}

// A keyEncoding is a form that a key has.
type keyEncoding struct {
	name   string
	encode func(*VerifyingKey) []byte
	decode func([]byte) (*VerifyingKey, error)
}

func keyEncodings() []keyEncoding {
	return []keyEncoding{
		{"arkworks, compressed", func(vk *VerifyingKey) []byte { return arkKey(vk, arkShort1, arkShort2) }, DecodeArkworksKey},
		{"arkworks", func(vk *VerifyingKey) []byte { return arkKey(vk, arkLong1, arkLong2) }, DecodeArkworksKey},
		{"gnark, compressed", func(vk *VerifyingKey) []byte {
			return gnarkKey(vk, func(p *bn254.G1Affine) []byte { b := p.Bytes(); return b[:] }, func(p *bn254.G2Affine) []byte { b := p.Bytes(); return b[:] })
		}, DecodeGnarkKey},
		{"gnark", func(vk *VerifyingKey) []byte {
			return gnarkKey(vk, (*bn254.G1Affine).Marshal, (*bn254.G2Affine).Marshal)
		}, DecodeGnarkKey},
		{"EIP-197", func(vk *VerifyingKey) []byte {
			b := slices.Concat(vk.Alpha.Marshal(), vk.Beta.Marshal(), vk.Gamma.Marshal(), vk.Delta.Marshal())
			for i := range vk.IC {
				b = append(b, vk.IC[i].Marshal()...)
			}
			return b
		}, DecodeEIP197Key},
	}
}

func arkKey(vk *VerifyingKey, g1 func(*bn254.G1Affine) []byte, g2 func(*bn254.G2Affine) []byte) []byte {
	b := slices.Concat(g1(&vk.Alpha), g2(&vk.Beta), g2(&vk.Gamma), g2(&vk.Delta))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(vk.IC)))
	for i := range vk.IC {
		b = append(b, g1(&vk.IC[i])...)
	}
	return b
}

func gnarkKey(vk *VerifyingKey, g1 func(*bn254.G1Affine) []byte, g2 func(*bn254.G2Affine) []byte) []byte {
	b := slices.Concat(g1(&vk.Alpha), g1(&vk.Alpha), g2(&vk.Beta), g2(&vk.Gamma), g1(&vk.Alpha), g2(&vk.Delta))
	b = binary.BigEndian.AppendUint32(b, uint32(len(vk.IC)))
	for i := range vk.IC {
		b = append(b, g1(&vk.IC[i])...)
	}
	return binary.BigEndian.AppendUint64(b, 0)
}

func TestKeyEncodings(t *testing.T) {
	for inputs := range 8 {
		vk := NewSimulator(inputs, 9).Key
		for _, e := range keyEncodings() {
			raw := e.encode(vk)
			if got, err := e.decode(raw); err != nil || !got.Equal(vk) {
				t.Errorf("%s with %d inputs: %v", e.name, inputs, err)
			}
			if again, err := DecodeEIP197Key(vk.EncodeEIP197()); err != nil || !again.Equal(vk) {
				t.Errorf("encoded with %d inputs: %v", inputs, err)
			}
			for _, bad := range [][]byte{nil, raw[:len(raw)-1], append(slices.Clone(raw), 0)} {
				if _, err := e.decode(bad); !errors.Is(err, ErrEncoding) {
					t.Errorf("%s of %d bytes: %v", e.name, len(bad), err)
				}
			}
		}
	}
}

// What a decoder takes is the one encoding of its length of what it makes of it.
func FuzzDecode(f *testing.F) {
	item := NewSimulator(1, 2).Item()
	for _, e := range encodings() {
		f.Add(e.encode(item.Proof))
		f.Add(e.encode(&Proof{}))
	}
	for _, e := range keyEncodings() {
		f.Add(e.encode(NewSimulator(1, 2).Key))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, e := range encodings() {
			p, err := e.decode(b)
			if err != nil {
				continue
			}
			if got := e.encode(p); len(got) == len(b) && !slices.Equal(got, b) {
				t.Errorf("%s: %x is decoded, and encoded as %x", e.name, b, got)
			}
		}
		for _, e := range keyEncodings() {
			vk, err := e.decode(b)
			if err != nil {
				continue
			}
			// gnark's beta and delta in G1 are lost.
			got := e.encode(vk)
			if len(got) == len(b) && e.name[0] != 'g' && !slices.Equal(got, b) {
				t.Errorf("%s: key %x is decoded, and encoded as %x", e.name, b, got)
			}
		}
		DecodeSP1Seal(b)
		DecodeRISC0Seal(b)
		DecodeArkworksInputs(b)
	})
}

// No file makes the parser panic, and what it takes can be verified.
func FuzzStatement(f *testing.F) {
	f.Add([]byte(`{"verifying_key":{},"proof":{"seal":"0x00"},"claim":{}}`))
	f.Add([]byte(`{"system":"sp1","verifying_key":{"ic":[["0x","0x"]]},"proof":{"a":["0x","0x"]},"public_inputs":[null]}`))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if s, err := ParseStatement(b); err == nil {
			s.Verify()
			s.InputsMatch()
		}
	})
}
