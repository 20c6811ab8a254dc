package groth16

import (
	"encoding/binary"

	"github.com/consensys/gnark-crypto/ecc/bn254"
)

// gnarkG1 decodes a point that gnark wrote: 32 bytes compressed, else 64. To gnark-crypto
// flags say which it is, and it refuses 32 bytes of a point that is not compressed.
func gnarkG1(b []byte) (p bn254.G1Affine, err error) {
	if len(b) != sizeG1/2 {
		return g1FromWords(b)
	}
	if _, err := p.SetBytes(b); err != nil {
		return p, encodingError("a point of G1: %v", err)
	}
	return p, nil
}

// gnarkG2 decodes a point that gnark wrote: 64 bytes compressed, else 128. A compressed
// one is in the subgroup.
func gnarkG2(b []byte) (p bn254.G2Affine, err error) {
	if len(b) != sizeG2/2 {
		return g2FromWords(b)
	}
	if _, err := p.SetBytes(b); err != nil {
		return p, encodingError("a point of G2: %v", err)
	}
	return p, nil
}

// DecodeGnarkProof decodes what gnark writes as a proof of its groth16 for BN254: A, B
// and C, compressed (WriteTo) or not (WriteRawTo), and after them the number of
// commitments and the proof of their knowledge, which some write and some omit. A proof
// with commitments is refused: it takes more than Groth16's equation to verify one.
func DecodeGnarkProof(b []byte) (p *Proof, err error) {
	var g1 int
	switch len(b) {
	case 4 * sizeG1, 4*sizeG1 + 4 + sizeG1:
		g1 = sizeG1
	case 2 * sizeG1, 2*sizeG1 + 4 + sizeG1/2:
		g1 = sizeG1 / 2
	default:
		return nil, encodingError("%d bytes are no proof of gnark without commitments", len(b))
	}
	p = new(Proof)
	if p.A, err = gnarkG1(b[:g1]); err != nil {
		return nil, err
	}
	if p.B, err = gnarkG2(b[g1 : 3*g1]); err != nil {
		return nil, err
	}
	if p.C, err = gnarkG1(b[3*g1 : 4*g1]); err != nil {
		return nil, err
	}
	if rest := b[4*g1:]; len(rest) > 0 {
		if binary.BigEndian.Uint32(rest) != 0 {
			return nil, encodingError("a proof with commitments, which are not supported")
		}
		pok, err := gnarkG1(rest[4:])
		if err != nil {
			return nil, err
		}
		if !pok.IsInfinity() {
			return nil, encodingError("a proof of knowledge of no commitments")
		}
	}
	return p, nil
}

// DecodeGnarkKey decodes what gnark writes as a verifying key of its groth16 for BN254,
// compressed or not: alpha, beta (in G1 and G2), gamma, delta (in both), the inputs'
// points with their number, and that there are no commitments. Beta and delta in G1 are
// decoded and dropped.
func DecodeGnarkKey(b []byte) (vk *VerifyingKey, err error) {
	g1 := sizeG1
	n, ok := gnarkInputs(b, g1)
	if !ok {
		g1 /= 2
		if n, ok = gnarkInputs(b, g1); !ok {
			return nil, encodingError("%d bytes are no key of gnark without commitments", len(b))
		}
	}
	vk = new(VerifyingKey)
	next := func(size int) []byte {
		head := b[:size]
		b = b[size:]
		return head
	}
	if vk.Alpha, err = gnarkG1(next(g1)); err != nil {
		return nil, err
	}
	if _, err = gnarkG1(next(g1)); err != nil {
		return nil, err
	}
	if vk.Beta, err = gnarkG2(next(2 * g1)); err != nil {
		return nil, err
	}
	if vk.Gamma, err = gnarkG2(next(2 * g1)); err != nil {
		return nil, err
	}
	if _, err = gnarkG1(next(g1)); err != nil {
		return nil, err
	}
	if vk.Delta, err = gnarkG2(next(2 * g1)); err != nil {
		return nil, err
	}
	next(4)
	for range n {
		p, err := gnarkG1(next(g1))
		if err != nil {
			return nil, err
		}
		vk.IC = append(vk.IC, p)
	}
	return vk, nil
}

// gnarkInputs returns how many points of inputs a key has whose points of G1 have g1
// bytes each, and whether b is such a key, as far as lengths say, without commitments.
func gnarkInputs(b []byte, g1 int) (n int, ok bool) {
	at := 9 * g1
	if len(b) < at+4 {
		return 0, false
	}
	count := binary.BigEndian.Uint32(b[at:])
	if count < 1 || count > MaxInputs+1 || len(b) != at+4+int(count)*g1+8 {
		return 0, false
	}
	return int(count), binary.BigEndian.Uint64(b[len(b)-8:]) == 0
}
