package script

import (
	"crypto/sha1"
	"crypto/sha256"

	"github.com/outrider-project/outrider/sigverify/hashlane"
)

// digestTop replaces the element at the top by its hash.
func (m *Machine) digestTop(op byte) Error {
	if !m.has(1) {
		return ErrInvalidStackOperation
	}
	e := m.top(1)
	size := 32
	if op == opRIPEMD160 || op == opSHA1 || op == opHash160 {
		size = 20
	}
	hash := m.result(size)
	switch op {
	case opRIPEMD160:
		sum := hashlane.RIPEMD160(e)
		copy(hash, sum[:])
	case opSHA1:
		sum := sha1.Sum(e)
		copy(hash, sum[:])
	case opSHA256:
		sum := sha256.Sum256(e)
		copy(hash, sum[:])
	case opHash160:
		sum := hash160(e)
		copy(hash, sum[:])
	case opHash256:
		first := sha256.Sum256(e)
		sum := sha256.Sum256(first[:])
		copy(hash, sum[:])
	}
	m.main[len(m.main)-1] = hash
	return OK
}

// hash160 returns the RIPEMD-160 of the SHA-256 of b.
func hash160(b []byte) [20]byte {
	first := sha256.Sum256(b)
	return hashlane.RIPEMD160(first[:])
}
