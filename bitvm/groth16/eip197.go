package groth16

import "github.com/consensys/gnark-crypto/ecc/bn254"

// DecodeEIP197Proof decodes a proof as contracts take it: A, B and C, 256 bytes, each
// coordinate a big-endian word, of those of B the imaginary part first (EIP-197). That
// is gnark's uncompressed form too.
func DecodeEIP197Proof(b []byte) (p *Proof, err error) {
	if len(b) != 2*sizeG1+sizeG2 {
		return nil, encodingError("%d bytes, of an EIP-197 proof there are %d", len(b), 2*sizeG1+sizeG2)
	}
	p = new(Proof)
	if p.A, err = g1FromWords(b); err != nil {
		return nil, err
	}
	if p.B, err = g2FromWords(b[sizeG1:]); err != nil {
		return nil, err
	}
	if p.C, err = g1FromWords(b[sizeG1+sizeG2:]); err != nil {
		return nil, err
	}
	return p, nil
}

// EncodeEIP197 returns p as [DecodeEIP197Proof] takes it.
func (p *Proof) EncodeEIP197() []byte {
	a, b, c := p.A.RawBytes(), p.B.RawBytes(), p.C.RawBytes()
	return append(append(a[:], b[:]...), c[:]...)
}

// DecodeEIP197Key decodes a key of which every coordinate is a word as in
// [DecodeEIP197Proof]: alpha, beta, gamma, delta, and of the inputs' points as many as
// are left. No point is negated.
func DecodeEIP197Key(b []byte) (vk *VerifyingKey, err error) {
	const fixed = sizeG1 + 3*sizeG2
	n := (len(b) - fixed) / sizeG1
	if n < 1 || n > MaxInputs+1 || len(b) != fixed+n*sizeG1 {
		return nil, encodingError("%d bytes are no key", len(b))
	}
	vk = new(VerifyingKey)
	if vk.Alpha, err = g1FromWords(b); err != nil {
		return nil, err
	}
	b = b[sizeG1:]
	if err := vk.eachG2(func(p *point2) error {
		*p, err = g2FromWords(b)
		b = b[sizeG2:]
		return err
	}); err != nil {
		return nil, err
	}
	for range n {
		p, err := g1FromWords(b)
		if err != nil {
			return nil, err
		}
		vk.IC, b = append(vk.IC, p), b[sizeG1:]
	}
	return vk, nil
}

// EncodeEIP197 returns vk as [DecodeEIP197Key] takes it. Keys are equal if, and only if,
// their encodings are.
func (vk *VerifyingKey) EncodeEIP197() []byte {
	b := make([]byte, 0, sizeG1*(1+len(vk.IC))+3*sizeG2)
	g1 := func(p *bn254.G1Affine) {
		raw := p.RawBytes()
		b = append(b, raw[:]...)
	}
	g1(&vk.Alpha)
	for _, p := range []*point2{&vk.Beta, &vk.Gamma, &vk.Delta} {
		raw := p.RawBytes()
		b = append(b, raw[:]...)
	}
	for i := range vk.IC {
		g1(&vk.IC[i])
	}
	return b
}
