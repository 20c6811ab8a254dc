package testvectors

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/txscript/v2"
)

// A lock is an output's script, and what it takes to spend it.
type lock struct {
	pattern
	script []byte
	keys   []*btcec.PrivateKey
	public []*btcec.PublicKey
	// inner is the script that the output's commits to, where it does.
	inner []byte
	// control is the control block of a tapscript.
	control []byte
	// preimage is what p2wshSwap asks for.
	preimage []byte
}

// delay is the relative lock time of the patterns that have one, in blocks.
const delay = 16

// newLock returns a lock with fresh keys.
func newLock(rng *rand.Rand, p pattern) (*lock, error) {
	l := &lock{pattern: p}
	for range keysOf(p) {
		key, public := btcec.PrivKeyFromBytes(randomBytes(rng, 32))
		l.keys, l.public = append(l.keys, key), append(l.public, public)
	}
	switch p {
	case p2pk:
		l.script = append(push(l.key(0)), txscript.OP_CHECKSIG)
	case p2pkh, p2pkhLong:
		l.script = payToHash(p2pkh, address.Hash160(l.key(0)))
	case p2wpkh:
		l.script = payToHash(p2wpkh, address.Hash160(l.key(0)))
	case nestedP2WPKH:
		l.inner = payToHash(p2wpkh, address.Hash160(l.key(0)))
		l.script = payToHash(p, address.Hash160(l.inner))
	case p2shMultisig:
		l.inner = l.multisig(2)
		l.script = payToHash(nestedP2WPKH, address.Hash160(l.inner))
	case nestedP2WSH:
		l.inner = l.multisig(2)
		l.script = payToHash(nestedP2WPKH, address.Hash160(witnessScriptHash(l.inner)))
	case p2wshChannel, p2wshVault, p2wshSwap, p2wshAnchor:
		l.setWitnessScript(rng)
		l.script = witnessScriptHash(l.inner)
	default:
		return l, l.setTaproot(rng)
	}
	return l, nil
}

// keysOf returns how many keys a pattern has.
func keysOf(p pattern) int {
	switch p {
	case p2shMultisig, nestedP2WSH, p2wshVault:
		return 3
	case p2wshChannel, p2wshSwap, tapMultisig:
		return 2
	}
	return 1
}

// key returns a public key as the pattern has it.
func (l *lock) key(i int) []byte {
	if l.pattern == p2pk || l.pattern == p2pkhLong {
		return l.public[i].SerializeUncompressed()
	}
	return l.public[i].SerializeCompressed()
}

// multisig returns the script of OP_CHECKMULTISIG that wants m of the keys.
func (l *lock) multisig(m int) []byte {
	script := []byte{small(m)}
	for i := range l.keys {
		script = append(script, push(l.key(i))...)
	}
	return append(script, small(len(l.keys)), txscript.OP_CHECKMULTISIG)
}

// setWitnessScript sets the script of a pattern of version 0.
func (l *lock) setWitnessScript(rng *rand.Rand) {
	switch l.pattern {
	case p2wshSwap:
		// The second key's owner may spend it for the preimage; the owner of a
		// key that is not ours once a time has passed.
		l.preimage = randomBytes(rng, 32)
		l.inner = slices.Concat(push(l.key(0)), ops(txscript.OP_CHECKSIG, txscript.OP_NOTIF),
			ops(txscript.OP_DUP, txscript.OP_HASH160), push(randomBytes(rng, 20)), ops(txscript.OP_EQUALVERIFY, txscript.OP_CHECKSIGVERIFY),
			push([]byte{0x5e, 0x38, 0x0d}), ops(txscript.OP_CHECKLOCKTIMEVERIFY, txscript.OP_ELSE),
			push(l.key(1)), ops(txscript.OP_CHECKSIGVERIFY, txscript.OP_SIZE), push([]byte{32}), ops(txscript.OP_EQUALVERIFY),
			ops(txscript.OP_HASH160), push(address.Hash160(l.preimage)), ops(txscript.OP_EQUAL, txscript.OP_ENDIF))
	case p2wshAnchor:
		// The owner of the key may spend it at once, everybody after the delay.
		l.inner = slices.Concat(push(l.key(0)), ops(txscript.OP_CHECKSIG, txscript.OP_IFDUP, txscript.OP_NOTIF,
			small(delay), txscript.OP_CHECKSEQUENCEVERIFY, txscript.OP_ENDIF))
	default:
		l.inner = l.multisig(2)
	}
}

// setTaproot sets what is of a taproot output. One with a script has that as the
// only leaf.
func (l *lock) setTaproot(rng *rand.Rand) (err error) {
	internal := l.public[0]
	first := push(schnorr.SerializePubKey(internal))
	check := ops(txscript.OP_CHECKSIG)
	switch l.pattern {
	case p2trKey:
		l.script, err = txscript.PayToTaprootScript(txscript.ComputeTaprootKeyNoScript(internal))
		return err
	case tapInscribed:
		l.inner = slices.Concat(first, check, envelope(rng, pick(rng, inscriptions[:])))
	case tapLarge:
		l.inner = slices.Concat(first, check, envelope(rng, largeInscription))
	case tapDelayed:
		l.inner = slices.Concat(first, ops(txscript.OP_CHECKSIGVERIFY, small(delay), txscript.OP_CHECKSEQUENCEVERIFY))
	case tapMultisig:
		l.inner = slices.Concat(first, check, push(schnorr.SerializePubKey(l.public[1])),
			ops(txscript.OP_CHECKSIGADD, small(2), txscript.OP_GREATERTHANOREQUAL))
	default:
		return fmt.Errorf("there is no lock of pattern %q", l.pattern)
	}
	root := l.leaf().TapHash()
	output := txscript.ComputeTaprootOutputKey(internal, root[:])
	control := txscript.ControlBlock{
		InternalKey: internal, LeafVersion: txscript.BaseLeafVersion,
		OutputKeyYIsOdd: output.SerializeCompressed()[0] == 3,
	}
	if l.control, err = control.ToBytes(); err != nil {
		return err
	}
	l.script, err = txscript.PayToTaprootScript(output)
	return err
}

func (l *lock) leaf() txscript.TapLeaf { return txscript.NewBaseTapLeaf(l.inner) }

// inscriptions are about the sizes in bytes of what is inscribed in block 866342,
// with how often they are. largeInscription is the size of the one that is large:
// less than it has there, so that no block is too heavy, whatever the length of its
// signatures.
var inscriptions = [...]sizes{{92, 61}, {50, 22}, {53, 20}, {72, 17}, {63, 14}, {43, 6}, {13, 6}}

const largeInscription = 65_000

// envelope returns an inscription of a content of that size, which has no effect.
func envelope(rng *rand.Rand, size int) []byte {
	script := slices.Concat(ops(txscript.OP_0, txscript.OP_IF), push([]byte("ord")), ops(txscript.OP_DATA_1, 1),
		push([]byte("text/plain;charset=utf-8")), ops(txscript.OP_0))
	for size > 0 {
		n := min(size, txscript.MaxScriptElementSize)
		script = append(script, push(randomBytes(rng, n))...)
		size -= n
	}
	return append(script, txscript.OP_ENDIF)
}

// nullDataSizes are about the sizes in bytes of the scripts of nullData in block 866342,
// most of them runestones, with how often they are.
var nullDataSizes = [...]sizes{{10, 2380}, {9, 1527}, {12, 35}, {7, 15}, {34, 11}, {83, 7}}

// unspendable returns an output's script of the pattern for which nobody has a key.
// Nothing tells it from others.
func unspendable(rng *rand.Rand, p pattern) []byte {
	switch p {
	case nullData:
		data := randomBytes(rng, pick(rng, nullDataSizes[:])-3)
		if len(data) > txscript.OP_DATA_75 {
			return slices.Concat(ops(txscript.OP_RETURN), push(data))
		}
		return slices.Concat(ops(txscript.OP_RETURN, txscript.OP_13), push(data))
	case p2wshChannel, p2trKey:
		return payToHash(p, randomBytes(rng, 32))
	}
	return payToHash(p, randomBytes(rng, 20))
}

// payToHash returns the script of p2pkh, nestedP2WPKH (any P2SH), p2wpkh,
// p2wshChannel (any P2WSH) or p2trKey with this hash, or key.
func payToHash(p pattern, hash []byte) []byte {
	switch p {
	case p2pkh:
		return slices.Concat(ops(txscript.OP_DUP, txscript.OP_HASH160), push(hash), ops(txscript.OP_EQUALVERIFY, txscript.OP_CHECKSIG))
	case nestedP2WPKH:
		return slices.Concat(ops(txscript.OP_HASH160), push(hash), ops(txscript.OP_EQUAL))
	case p2trKey:
		return slices.Concat(ops(txscript.OP_1), push(hash))
	}
	return slices.Concat(ops(txscript.OP_0), push(hash))
}

// witnessScriptHash returns the P2WSH program of a script.
func witnessScriptHash(script []byte) []byte {
	hash := sha256.Sum256(script)
	return payToHash(p2wshChannel, hash[:])
}

func ops(codes ...byte) []byte { return codes }

// small returns the operation that pushes a number from 1 to 16.
func small(n int) byte { return txscript.OP_1 - 1 + byte(n) }

// push returns the operation that pushes data, of 1 to 65,535 bytes, as such: not as
// a small number, where it is one.
func push(data []byte) []byte {
	switch n := len(data); {
	case n <= txscript.OP_DATA_75:
		return append([]byte{byte(n)}, data...)
	case n <= 0xff:
		return append([]byte{txscript.OP_PUSHDATA1, byte(n)}, data...)
	default:
		return append([]byte{txscript.OP_PUSHDATA2, byte(n), byte(n >> 8)}, data...)
	}
}

// A sizes is a size and how often it is.
type sizes struct{ size, n int }

// pick draws a size.
func pick(rng *rand.Rand, from []sizes) int {
	total := 0
	for _, s := range from {
		total += s.n
	}
	k := rng.IntN(total)
	for _, s := range from {
		if k -= s.n; k < 0 {
			return s.size
		}
	}
	panic("testvectors: a draw beyond the total")
}

// randomBytes returns n bytes.
func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}
