package groth16

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
)

// tagged returns RISC Zero's hash of a structure: of the tag's hash, the digests below,
// data and, in two bytes, the number of the digests, all little-endian (hash_struct in
// risc0-binfmt).
func tagged(tag string, below [][32]byte, data ...uint32) [32]byte {
	name := sha256.Sum256([]byte(tag))
	b := name[:]
	for _, d := range below {
		b = append(b, d[:]...)
	}
	for _, x := range data {
		b = binary.LittleEndian.AppendUint32(b, x)
	}
	return sha256.Sum256(binary.LittleEndian.AppendUint16(b, uint16(len(below))))
}

// A RISC0State is the state of RISC Zero's machine.
type RISC0State struct {
	MerkleRoot [32]byte
	PC         uint32
}

// Digest returns the state's digest.
func (s *RISC0State) Digest() [32]byte {
	return tagged("risc0.SystemState", [][32]byte{s.MerkleRoot}, s.PC)
}

// RISC0Output returns the digest of what a program puts out: a journal, under
// assumptions, whose digest is 0 if there are none.
func RISC0Output(journal []byte, assumptions [32]byte) [32]byte {
	return tagged("risc0.Output", [][32]byte{sha256.Sum256(journal), assumptions})
}

// A RISC0Claim is what a receipt of RISC Zero says: that a program, known by its image
// id, ran from a state to a state and put something out. All but the exit code are
// digests, in the order of their bytes.
type RISC0Claim struct {
	Input      [32]byte
	Pre        [32]byte // for a run from the start the image id
	Post       [32]byte // see [RISC0State]
	Output     [32]byte // see [RISC0Output]
	ExitSystem uint32
	ExitUser   uint32
}

// Digest returns the claim's digest.
func (c *RISC0Claim) Digest() [32]byte {
	return tagged("risc0.ReceiptClaim", [][32]byte{c.Input, c.Pre, c.Post, c.Output}, c.ExitSystem, c.ExitUser)
}

// RISC0Parameters say which circuits of RISC Zero a receipt is of. ControlID is
// bn254_control_id as contracts have it, big-endian; RISC Zero's own code prints it in
// reverse.
type RISC0Parameters struct {
	ControlRoot [32]byte
	ControlID   [32]byte
}

// Inputs returns the public inputs for a claim: the halves of the control root, those of
// the claim's digest, each half read little-endian, and the control id. It is an error if
// this is not below r.
func (p *RISC0Parameters) Inputs(claim [32]byte) ([]fr.Element, error) {
	var words []byte
	for _, digest := range [][32]byte{p.ControlRoot, claim} {
		for half := range slices.Chunk(digest[:], 16) {
			var word [32]byte
			copy(word[16:], half)
			slices.Reverse(word[16:])
			words = append(words, word[:]...)
		}
	}
	return DecodeInputs(append(words, p.ControlID[:]...))
}

// Digest returns the digest of the parameters together with a key. Its first four bytes
// are the selector of the seals that this verifies.
func (p *RISC0Parameters) Digest(vk *VerifyingKey) [32]byte {
	id := p.ControlID
	slices.Reverse(id[:])
	return tagged("risc0.Groth16ReceiptVerifierParameters", [][32]byte{p.ControlRoot, id, vk.RISC0Digest()})
}

// RISC0Digest returns RISC Zero's digest of a key.
func (vk *VerifyingKey) RISC0Digest() [32]byte {
	alpha := vk.Alpha.RawBytes()
	below := [][32]byte{sha256.Sum256(alpha[:])}
	for _, p := range []*point2{&vk.Beta, &vk.Gamma, &vk.Delta} {
		raw := p.RawBytes()
		below = append(below, sha256.Sum256(raw[:]))
	}
	var list [32]byte
	for _, p := range slices.Backward(vk.IC) {
		raw := p.RawBytes()
		list = tagged("risc0_groth16.VerifyingKey.IC", [][32]byte{sha256.Sum256(raw[:]), list})
	}
	return tagged("risc0_groth16.VerifyingKey", append(below, list))
}

// DecodeRISC0Seal decodes the seal of a receipt as contracts take it: four bytes of
// selector, and the proof as in [DecodeEIP197Proof].
func DecodeRISC0Seal(b []byte) (selector [4]byte, p *Proof, err error) {
	if len(b) < len(selector) {
		return selector, nil, encodingError("a seal of %d bytes", len(b))
	}
	p, err = DecodeEIP197Proof(b[len(selector):])
	return [4]byte(b), p, err
}
