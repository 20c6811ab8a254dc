package groth16

import (
	"encoding/binary"
	"slices"

	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
)

// Flags of arkworks, in the two highest bits of the last byte of a point (SWFlags in
// ark-serialize).
const (
	arkMask     = 0xc0
	arkInfinity = 0x40
	arkNegative = 0x80 // y is the larger one of y and -y
)

// Flags of gnark, in the two highest bits of the first byte of a compressed point.
const (
	gnarkInfinity = 0x40
	gnarkSmallest = 0x80 // y is the smaller one of y and -y
	gnarkLargest  = 0xc0
)

// arkG1 decodes a point that arkworks wrote: 32 bytes compressed, else 64.
func arkG1(b []byte) (p bn254.G1Affine, err error) {
	if len(b) == sizeG1/2 {
		words, err := arkToGnark(b)
		if err != nil {
			return p, err
		}
		return gnarkG1(words)
	}
	words, flag := arkWords(b)
	if p, err = g1FromWords(words); err != nil {
		return p, err
	}
	return p, checkArkFlag(flag, p.IsInfinity(), p.Y.LexicographicallyLargest())
}

// arkG2 decodes a point that arkworks wrote: 64 bytes compressed, else 128.
func arkG2(b []byte) (p bn254.G2Affine, err error) {
	if len(b) == sizeG2/2 {
		words, err := arkToGnark(b)
		if err != nil {
			return p, err
		}
		return gnarkG2(words)
	}
	words, flag := arkWords(b)
	if p, err = g2FromWords(words); err != nil {
		return p, err
	}
	return p, checkArkFlag(flag, p.IsInfinity(), p.Y.LexicographicallyLargest())
}

// arkToGnark turns a compressed point: arkworks has the first byte last.
func arkToGnark(b []byte) ([]byte, error) {
	words := slices.Clone(b)
	slices.Reverse(words)
	flag := words[0] & arkMask
	words[0] &^= arkMask
	switch flag {
	case 0:
		words[0] |= gnarkSmallest
	case arkNegative:
		words[0] |= gnarkLargest
	case arkInfinity:
		words[0] |= gnarkInfinity
	default:
		return nil, encodingError("a point has both of arkworks' flags")
	}
	return words, nil
}

// arkWords returns the coordinates of an uncompressed point in the order of EIP-197, and
// its flag.
func arkWords(b []byte) (words []byte, flag byte) {
	words = slices.Clone(b)
	slices.Reverse(words[:len(b)/2])
	slices.Reverse(words[len(b)/2:])
	y := &words[len(b)/2]
	flag = *y & arkMask
	*y &^= arkMask
	return words, flag
}

// checkArkFlag says whether an uncompressed point has the flag that arkworks gives it.
// arkworks itself does not look at the sign.
func checkArkFlag(flag byte, infinity, largest bool) error {
	want := byte(0)
	if infinity {
		want = arkInfinity
	} else if largest {
		want = arkNegative
	}
	if flag != want {
		return encodingError("a point has the flags of another")
	}
	return nil
}

// DecodeArkworksProof decodes what ark-groth16 serialises as Proof<Bn254>: A, B and C,
// 128 bytes compressed, else 256, all little-endian.
func DecodeArkworksProof(b []byte) (p *Proof, err error) {
	g1 := sizeG1
	switch len(b) {
	case 4 * sizeG1:
	case 2 * sizeG1:
		g1 /= 2
	default:
		return nil, encodingError("%d bytes, of a proof there are %d or %d", len(b), 4*sizeG1, 2*sizeG1)
	}
	p = new(Proof)
	if p.A, err = arkG1(b[:g1]); err != nil {
		return nil, err
	}
	if p.B, err = arkG2(b[g1 : 3*g1]); err != nil {
		return nil, err
	}
	if p.C, err = arkG1(b[3*g1:]); err != nil {
		return nil, err
	}
	return p, nil
}

// DecodeArkworksKey decodes what ark-groth16 serialises as VerifyingKey<Bn254>: alpha,
// beta, gamma, delta, and the inputs' points with their number, all little-endian,
// compressed or not, as the length says.
func DecodeArkworksKey(b []byte) (vk *VerifyingKey, err error) {
	g1 := sizeG1
	n, ok := arkInputs(b, g1)
	if !ok {
		g1 /= 2
		if n, ok = arkInputs(b, g1); !ok {
			return nil, encodingError("%d bytes are no key of arkworks", len(b))
		}
	}
	vk = new(VerifyingKey)
	if vk.Alpha, err = arkG1(b[:g1]); err != nil {
		return nil, err
	}
	b = b[g1:]
	if err := vk.eachG2(func(p *point2) error {
		*p, err = arkG2(b[:2*g1])
		b = b[2*g1:]
		return err
	}); err != nil {
		return nil, err
	}
	b = b[8:]
	for range n {
		p, err := arkG1(b[:g1])
		if err != nil {
			return nil, err
		}
		vk.IC, b = append(vk.IC, p), b[g1:]
	}
	return vk, nil
}

// arkInputs returns how many points of inputs a key has whose points of G1 have g1
// bytes each, and whether b is as long as that asks.
func arkInputs(b []byte, g1 int) (n int, ok bool) {
	if len(b) < 7*g1+8 {
		return 0, false
	}
	count := binary.LittleEndian.Uint64(b[7*g1:])
	if count < 1 || count > MaxInputs+1 {
		return 0, false
	}
	return int(count), len(b) == 7*g1+8+int(count)*g1
}

// DecodeArkworksInputs is [DecodeInputs] for little-endian inputs, without their number.
func DecodeArkworksInputs(b []byte) ([]fr.Element, error) {
	if len(b)%sizeWord != 0 {
		return nil, encodingError("%d bytes of public inputs", len(b))
	}
	words := slices.Clone(b)
	for word := range slices.Chunk(words, sizeWord) {
		slices.Reverse(word)
	}
	return DecodeInputs(words)
}
