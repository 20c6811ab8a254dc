package adaptor

import (
	"errors"
	"fmt"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// Why something is refused. Errors wrap one of these.
var (
	// ErrForm says that bytes cannot be what they are to be: a point that is none, a
	// number that is not below its modulus, a script or a witness of another shape.
	ErrForm = errors.New("adaptor: not of the form")
	// ErrPresignature says that a presignature is not what it promises.
	ErrPresignature = errors.New("adaptor: the presignature is not valid")
	// ErrSignature says that a signature is not valid.
	ErrSignature = errors.New("adaptor: the signature is not valid")
	// ErrLabel says that a signature is of no label that was agreed on.
	ErrLabel = errors.New("adaptor: the signature is of no known label")
	// ErrDuplicate says that labels are not all different.
	ErrDuplicate = errors.New("adaptor: the labels are not all different")
)

// A Signature is one of BIP340: the x of its nonce, and s, both big-endian.
type Signature [64]byte

// r returns the x of the nonce.
func (s *Signature) r() [32]byte { return [32]byte(s[:32]) }

// A Presignature is a BIP340 signature that lacks the secret t of a point T. R is the
// nonce of the signature that it becomes, with its parity: the presigner's own nonce plus
// T. S is s - t where y of R is even, and s + t where it is odd, for BIP340 negates a
// nonce whose y is odd and T with it.
type Presignature struct {
	R Point
	S [32]byte // big-endian
}

// PresignatureSize is the size of an encoded [Presignature], in bytes.
const PresignatureSize = 33 + 32

// ParsePresignature reads R and then S. The error wraps [ErrForm] if there are not 65
// bytes, R is no point or S is not below the group order.
func ParsePresignature(b []byte) (pre Presignature, err error) {
	if len(b) != PresignatureSize {
		return pre, fmt.Errorf("%w: a presignature of %d bytes, must be %d", ErrForm, len(b), PresignatureSize)
	}
	copy(pre.R[:], b)
	copy(pre.S[:], b[33:])
	if _, ok := pre.R.parse(); !ok {
		return Presignature{}, fmt.Errorf("%w: R is no point", ErrForm)
	}
	if _, ok := scalar(pre.S); !ok {
		return Presignature{}, fmt.Errorf("%w: s is not below the group order", ErrForm)
	}
	return pre, nil
}

// Bytes is the opposite of [ParsePresignature].
func (pre *Presignature) Bytes() (b [PresignatureSize]byte) {
	copy(b[:], pre.R[:])
	copy(b[33:], pre.S[:])
	return b
}

// Presign makes a presignature of a digest for a point, by a secret key. aux is 32 bytes
// of randomness, as in BIP340; the nonce is a hash of it and of all else, the point
// included, so that two points never share one. The error wraps [ErrForm] if the key is
// zero or not below the group order, the point is none, or it is the opposite of the
// nonce, for which there is no R.
func Presign(key [32]byte, point Point, digest, aux [32]byte) (pre Presignature, err error) {
	d, ok := secret(key)
	if !ok {
		return pre, fmt.Errorf("%w: the secret key is not from 1 to below the group order", ErrForm)
	}
	at, ok := point.parse()
	if !ok {
		return pre, fmt.Errorf("%w: T is no point", ErrForm)
	}
	var p secp256k1.JacobianPoint
	secp256k1.ScalarBaseMultNonConst(&d, &p)
	p.ToAffine()
	if p.Y.IsOdd() {
		d.Negate()
	}
	public := *p.X.Bytes()

	masked, hidden := auxTag.hash(aux[:]), d.Bytes()
	for i := range masked {
		masked[i] ^= hidden[i]
	}
	h := nonceTag.hash(masked[:], point[:], public[:], digest[:])
	var k secp256k1.ModNScalar
	k.SetBytes(&h)
	return presign(&d, public, &k, &at, digest)
}

// presign is [Presign] with a nonce: d is the secret of the even point with the x public.
func presign(d *secp256k1.ModNScalar, public [32]byte, k *secp256k1.ModNScalar, at *secp256k1.JacobianPoint, digest [32]byte) (pre Presignature, err error) {
	var own, sum secp256k1.JacobianPoint
	secp256k1.ScalarBaseMultNonConst(k, &own)
	secp256k1.AddNonConst(&own, at, &sum)
	if infinite(&own) || infinite(&sum) {
		return pre, fmt.Errorf("%w: R or its nonce is infinite", ErrForm)
	}
	sum.ToAffine()
	pre.R = compress(&sum)
	s := challenge(pre.R.x(), public, digest)
	s.Mul(d)
	if pre.R.odd() {
		s.Add(new(secp256k1.ModNScalar).NegateVal(k))
	} else {
		s.Add(k)
	}
	pre.S = s.Bytes()
	return pre, nil
}

// A Key is the public key that a prover signs with, and multiples of its point, some 1 MB,
// with which a verification takes half as long. It is only read once it is made.
type Key struct {
	x         [32]byte
	multiples *multiples
}

// ParseKey reads a public key as BIP340 has it: the x of a point with an even y. The
// error wraps [ErrForm] if there is no such point.
func ParseKey(x [32]byte) (*Key, error) {
	p := Point{2}
	copy(p[1:], x[:])
	at, ok := p.parse()
	if !ok {
		return nil, fmt.Errorf("%w: the public key is no point", ErrForm)
	}
	return &Key{x, newMultiples(at)}, nil
}

// X returns the public key's bytes.
func (k *Key) X() [32]byte { return k.x }

// Verify checks that a presignature of a digest becomes a valid signature by the secret
// of the point, and by nothing else. The error wraps [ErrForm] or [ErrPresignature].
func (pre *Presignature) Verify(key *Key, point Point, digest [32]byte) error {
	_, err := pre.nonce(key, point, digest)
	return err
}

// nonce is [Presignature.Verify], and returns the presigner's own nonce, R - T.
func (pre *Presignature) nonce(key *Key, point Point, digest [32]byte) (Point, error) {
	at, ok := point.parse()
	if !ok {
		return Point{}, fmt.Errorf("%w: T is no point", ErrForm)
	}
	s, ok := scalar(pre.S)
	if !ok {
		return Point{}, fmt.Errorf("%w: s is not below the group order", ErrForm)
	}
	// s⋅G - e⋅P is the nonce, negated if y of R is odd.
	e := challenge(pre.R.x(), key.x, digest)
	e.Negate()
	var sG, eP, own, sum secp256k1.JacobianPoint
	secp256k1.ScalarBaseMultNonConst(&s, &sG)
	key.multiples.times(&e, &eP)
	secp256k1.AddNonConst(&sG, &eP, &own)
	if infinite(&own) {
		return Point{}, fmt.Errorf("%w: its nonce is infinite", ErrPresignature)
	}
	negate(&own, pre.R.odd())
	secp256k1.AddNonConst(&own, &at, &sum)
	if infinite(&sum) {
		return Point{}, ErrPresignature
	}
	both := []secp256k1.JacobianPoint{own, sum}
	toAffine(both)
	if compress(&both[1]) != pre.R {
		return Point{}, ErrPresignature
	}
	return compress(&both[0]), nil
}

// Adapt completes a presignature with the secret of its point, big-endian. Whether it is
// that secret, nobody looks: with another one the signature is not valid. The error wraps
// [ErrForm] if the secret is zero or not below the group order, or S is not below it.
func (pre *Presignature) Adapt(t [32]byte) (sig Signature, err error) {
	add, ok := secret(t)
	s, below := scalar(pre.S)
	if !ok || !below {
		return sig, fmt.Errorf("%w: the secret or s is not below the group order, or the secret is zero", ErrForm)
	}
	if pre.R.odd() {
		add.Negate()
	}
	s.Add(&add)
	copy(sig[:], pre.R[1:])
	s.PutBytesUnchecked(sig[32:])
	return sig, nil
}

// Extract returns the secret, big-endian, that a signature gives away. If both the
// presignature and the signature are valid for the same key and digest, it is the secret
// of the point; else it is any number. The error wraps [ErrLabel] if the signature is not
// of this presignature, [ErrForm] if a number is not below the group order, and
// [ErrSignature] if both have the same s, which no secret makes of a presignature.
func (pre *Presignature) Extract(sig *Signature) (t [32]byte, err error) {
	if pre.R.x() != sig.r() {
		return t, ErrLabel
	}
	s, ok := scalar([32]byte(sig[32:]))
	of, below := scalar(pre.S)
	if !ok || !below {
		return t, fmt.Errorf("%w: s is not below the group order", ErrForm)
	}
	s.Add(of.Negate())
	if s.IsZero() {
		return t, fmt.Errorf("%w: it reveals nothing", ErrSignature)
	}
	if pre.R.odd() {
		s.Negate()
	}
	return s.Bytes(), nil
}
