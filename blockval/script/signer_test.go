package script

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// key returns a public key as scripts hold it, sometimes one that is wrong.
func (f *forge) key(k int) []byte {
	pub := f.keys[k].PubKey()
	b := pub.SerializeCompressed()
	if f.v == tapscript {
		b = b[1:]
	}
	switch f.rng.IntN(24) {
	case 0:
		b = pub.SerializeUncompressed()
	case 1:
		b = pub.SerializeUncompressed()
		b[0] = 6 + b[64]&1
	case 2:
		b = pub.SerializeUncompressed()
		b[0] = 7 - b[64]&1
	case 3:
		b = f.bytes(pick(f, 0, 1, 31, 32, 33, 34, 65))
	case 4:
		b = slices.Clone(b)
		b[0] ^= byte(1 << f.rng.IntN(8))
	}
	return b
}

// hashType returns a hash type, sometimes one that is not defined.
func (f *forge) hashType() byte {
	t := pick[byte](f, 1, 1, 1, 1, 2, 3, 0x81, 0x82, 0x83)
	if f.one(16) {
		t = byte(f.rng.Uint32())
	}
	return t
}

// ecdsa returns a signature by key k with its hash type, sometimes one that is
// wrong or oddly encoded.
func (f *forge) ecdsa(k int, code []byte) []byte {
	t := f.hashType()
	var digest [32]byte
	if f.v == witnessV0 {
		digest = f.h.witnessV0(f.tx, f.input, code, uint32(t))
	} else {
		digest = f.h.legacy(f.tx, f.input, code, uint32(t))
	}
	sig := ecdsa.Sign(f.keys[k], digest[:])
	r, s := sig.R(), sig.S()
	if f.one(16) {
		s.Negate()
	}
	rb, sb := r.Bytes(), s.Bytes()
	odd := f.one(20)
	der := f.der(rb[:], sb[:], odd)
	switch f.rng.IntN(28) {
	case 0:
		return nil
	case 1:
		return append(f.mutate(der), t)
	case 2:
		t ^= 1
	}
	return append(der, t)
}

// der encodes a signature, if odd as only the lax reader takes it.
func (f *forge) der(r, s []byte, odd bool) []byte {
	integer := func(n []byte) []byte {
		n = bytes.TrimLeft(n, "\x00")
		if len(n) == 0 || n[0]&0x80 != 0 {
			n = append([]byte{0}, n...)
		}
		size := []byte{byte(len(n))}
		if odd {
			switch f.rng.IntN(5) {
			case 0:
				n = append(make([]byte, 1+f.rng.IntN(40)), n...)
				size = []byte{byte(len(n))}
			case 1:
				size = append([]byte{0x82}, 0, byte(len(n)))
			case 2:
				n = bytes.TrimLeft(n, "\x00")
				size = []byte{byte(len(n))}
			case 3:
				size = append([]byte{0x85}, 0, 0, 0, 0, byte(len(n)))
			}
		}
		return slices.Concat([]byte{2}, size, n)
	}
	body := append(integer(r), integer(s)...)
	head := []byte{0x30, byte(len(body))}
	if odd {
		switch f.rng.IntN(4) {
		case 0:
			head[1]++
		case 1:
			head = []byte{0x30, 0x81, byte(len(body))}
		case 2:
			body = append(body, f.bytes(f.rng.IntN(4))...)
		}
	}
	return append(head, body...)
}

// schnorr returns a signature of BIP340 by a key, mostly right.
func (f *forge) schnorr(key *secp256k1.PrivateKey, c *tapContext) []byte {
	t := f.hashType()
	if f.one(3) {
		t = 0
	}
	digest, ok := f.h.taproot(f.tx, f.input, c, t)
	if !ok && !f.one(8) {
		t = 0
		digest, _ = f.h.taproot(f.tx, f.input, c, t)
	}
	sig, err := schnorr.Sign(key, digest[:], schnorr.FastSign())
	if err != nil {
		panic(err)
	}
	b := sig.Serialize()
	if t != 0 || f.one(30) {
		b = append(b, t)
	}
	switch f.rng.IntN(24) {
	case 0:
		return nil
	case 1:
		return f.mutate(b)
	}
	return b
}

// satisfy returns the elements that a script needs.
func (f *forge) satisfy(script []byte, needs []need) (elements [][]byte) {
	for _, n := range needs {
		code := script[min(n.code, len(script)):]
		switch {
		case n.key < 0:
			elements = append(elements, n.data)
		case f.v == tapscript:
			c := f.context()
			if n.code > 0 {
				c.separator = f.position(script, n.code)
			}
			elements = append(elements, f.schnorr(f.keys[n.key], c))
		default:
			elements = append(elements, f.ecdsa(n.key, code))
		}
	}
	if f.one(40) && len(elements) > 0 {
		elements = elements[1:]
	}
	if f.one(40) {
		elements = append([][]byte{f.bytes(2)}, elements...)
	}
	return elements
}

// position returns the number of the operation that ends at that byte.
func (f *forge) position(script []byte, end int) uint32 {
	at := uint32(0)
	for r := (reader{script: script}); r.more(); at++ {
		if _, _, ok := r.next(); !ok || r.pos >= end {
			break
		}
	}
	return at
}

// context returns what a tapscript's signatures sign.
func (f *forge) context() *tapContext {
	c := &tapContext{inScript: true, leaf: f.leaf, separator: noSeparator}
	f.annexHash(c)
	return c
}

func (f *forge) annexHash(c *tapContext) {
	if f.annex != nil {
		c.hasAnnex = true
		f.h.w.reset()
		f.h.w.bytes(f.annex)
		c.annex = f.h.w.sum()
	}
}

// selfSigned returns a legacy script that has its signature in it (FindAndDelete).
func (f *forge) selfSigned() (script []byte, needs []need) {
	k := f.rng.IntN(len(f.keys))
	rest := append(appendPush([]byte{opDrop}, f.keys[k].PubKey().SerializeCompressed()), opCheckSig)
	sig := f.ecdsa(k, rest)
	return append(appendPush(nil, sig), rest...), []need{data(sig)}
}

// tweaked returns the key of a taproot output, compressed, by decred's curve.
func tweaked(internal *btcec.PublicKey, root []byte) []byte {
	key := schnorr.SerializePubKey(internal)
	h := sha256.New()
	h.Write(tagTapTweak[:])
	h.Write(key)
	h.Write(root)
	var t btcec.ModNScalar
	t.SetByteSlice(h.Sum(nil))
	even, err := schnorr.ParsePubKey(key)
	if err != nil {
		panic(err)
	}
	var p, tG, q btcec.JacobianPoint
	even.AsJacobian(&p)
	btcec.ScalarBaseMultNonConst(&t, &tG)
	btcec.AddNonConst(&p, &tG, &q)
	q.ToAffine()
	return btcec.NewPublicKey(&q.X, &q.Y).SerializeCompressed()
}
