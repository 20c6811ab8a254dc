package script

import (
	"crypto/sha256"
	"math/rand/v2"
	"slices"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// A forge makes spends that lie at the edges of the rules: most of them nearly
// succeed, or nearly fail.
type forge struct {
	rng  *rand.Rand
	keys []*secp256k1.PrivateKey
	h    sigHasher

	// The spend that is made.
	tx    *Tx
	input int
	v     version
	annex []byte
	leaf  [32]byte
}

func newForge(seed uint64) *forge {
	f := &forge{rng: rand.New(rand.NewPCG(seed, 1)), h: sigHasher{w: newHashWriter()}}
	for k := range 6 {
		f.keys = append(f.keys, secp256k1.PrivKeyFromBytes([]byte{byte(k + 1)}))
	}
	return f
}

// one reports true once in n times.
func (f *forge) one(n int) bool { return f.rng.IntN(n) == 0 }

func pick[T any](f *forge, of ...T) T { return of[f.rng.IntN(len(of))] }

func (f *forge) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = pick(f, 0, 1, 0x80, 0xff, byte(f.rng.Uint32()))
	}
	return b
}

// A need is what an unlocking script has to give: a signature by a key, or data.
type need struct {
	key  int // -1 for data
	data []byte
	// code is where the script that is signed begins.
	code int
}

func data(b []byte) need { return need{key: -1, data: b} }

// fragment returns a piece of a locking script, and what it needs: the last of it
// at the top of the stack.
func (f *forge) fragment(script []byte, code int) (out []byte, needs []need) {
	k := f.rng.IntN(len(f.keys))
	sig := []need{{key: k, code: code}}
	pushKey := func(s []byte) []byte { return appendPush(s, f.key(k)) }
	switch n := f.rng.IntN(14); {
	case n < 3:
		return append(pushKey(script), opCheckSigVerify), sig
	case n == 3:
		return append(pushKey(script), opCheckSig, opNot, opVerify), sig
	case n == 4:
		s := append(pushKey(script), opCheckSig, opIf, op1, opElse, pick[byte](f, op0, op1), opEndIf, opVerify)
		return s, sig
	case n < 9 && (f.v != tapscript || f.one(20)):
		return f.multisig(script, code)
	case n < 9:
		return f.sigAdd(script, code)
	case n == 9:
		e := f.bytes(f.rng.IntN(6))
		s := append(script, opHash160)
		sum := hash160(e)
		return append(appendPush(s, sum[:]), opEqualVerify), []need{data(e)}
	case n == 10:
		lock := pick[int64](f, 0, 1, 2, 499_999_999, 500_000_000, 1<<22, 1<<22+1, 1<<31, 1<<32-1, 1<<39-1, -1)
		s := appendPush(script, appendNum(nil, lock))
		return append(s, pick[byte](f, opCheckLockTimeVerify, opCheckSequenceVerify), opDrop), nil
	case n == 11:
		s := append(script, pick[byte](f, opIf, opNotIf), pick[byte](f, op1, op0), opElse, op1, opEndIf, opVerify)
		return s, []need{data(pick(f, nil, []byte{1}, []byte{0x80}, []byte{2}, []byte{1, 0}))}
	case n == 12:
		s := script
		for range f.rng.IntN(8) {
			s = f.operation(s)
		}
		return s, nil
	}
	return append(script, opNop), nil
}

// operation appends any operation.
func (f *forge) operation(s []byte) []byte {
	switch f.rng.IntN(6) {
	case 0:
		return appendPush(s, f.bytes(f.rng.IntN(5)))
	case 1:
		return append(s, byte(f.rng.Uint32()))
	case 2:
		return append(s, op1+byte(f.rng.IntN(16)))
	case 3:
		return append(s, pick[byte](f, opIf, opNotIf, opElse, opEndIf, opVerify, opReturn, op1Negate, opCodeSeparator))
	}
	return append(s, opToAltStack+byte(f.rng.IntN(opHash256-opToAltStack)))
}

// multisig returns a multisig operation with signatures that mostly fit.
func (f *forge) multisig(script []byte, code int) (out []byte, needs []need) {
	n := pick(f, 1, 1, 2, 2, 3, 3, 3, 4, 5, 0, 20, 21)
	m := f.rng.IntN(n + 1)
	needs = append(needs, data(pick(f, nil, nil, nil, nil, nil, nil, nil, []byte{1})))
	left := m
	out = append(script, countOp(m)...)
	for i := range n {
		k := f.rng.IntN(len(f.keys))
		out = appendPush(out, f.key(k))
		if left > 0 && f.rng.IntN(n-i) < left {
			left--
			needs = append(needs, need{key: k, code: code})
		}
	}
	if len(needs) > 2 && f.one(12) {
		needs[1], needs[2] = needs[2], needs[1]
	}
	out = append(out, countOp(n)...)
	if f.one(5) {
		return append(out, opCheckMultisig, opNot, opVerify), needs
	}
	return append(out, opCheckMultisigVerify), needs
}

func countOp(n int) []byte {
	if n >= 1 && n <= 16 {
		return []byte{op1 + byte(n-1)}
	}
	return appendPush(nil, appendNum(nil, int64(n)))
}

// sigAdd returns what tapscripts have for a multisig operation.
func (f *forge) sigAdd(script []byte, code int) (out []byte, needs []need) {
	n := 1 + f.rng.IntN(4)
	out = append(script, op0)
	some := 0
	for range n {
		k := f.rng.IntN(len(f.keys))
		out = append(appendPush(out, f.key(k)), opCheckSigAdd)
		if f.one(3) {
			needs = append(needs, data(nil))
			continue
		}
		some++
		needs = append(needs, need{key: k, code: code})
	}
	slices.Reverse(needs)
	return append(append(out, countOp(some)...), pick[byte](f, opNumEqualVerify, opEqualVerify)), needs
}

// locking returns a script of a few fragments and what it needs.
func (f *forge) locking() (script []byte, needs []need) {
	code := 0
	for range pick(f, 1, 1, 1, 2, 2, 3) {
		if f.one(8) {
			script = append(script, opCodeSeparator)
			code = len(script)
		}
		var more []need
		script, more = f.fragment(script, code)
		needs = append(more, needs...)
	}
	switch f.rng.IntN(8) {
	case 0: // the last result is the script's
		if n := len(script); n > 0 && isVerify(script[n-1]) {
			script[n-1]--
			break
		}
		script = append(script, op1)
	case 1:
		script = f.operation(append(script, op1))
	default:
		script = append(script, op1)
	}
	if f.one(6) {
		script = f.mutate(script)
	}
	return script, needs
}

// isVerify reports whether the operation before op is the same without the verify.
func isVerify(op byte) bool {
	switch op {
	case opEqualVerify, opNumEqualVerify, opCheckSigVerify, opCheckMultisigVerify:
		return true
	}
	return false
}

// mutate changes a few bytes.
func (f *forge) mutate(b []byte) []byte {
	b = slices.Clone(b)
	for range 1 + f.rng.IntN(2) {
		at := f.rng.IntN(len(b) + 1)
		switch f.rng.IntN(4) {
		case 0:
			b = slices.Insert(b, at, pick[byte](f, 0, 1, opCodeSeparator, opDup, op1, byte(f.rng.Uint32())))
		case 1:
			if at < len(b) {
				b = slices.Delete(b, at, at+1)
			}
		case 2:
			if at < len(b) {
				b[at] ^= 1 << f.rng.IntN(8)
			}
		case 3:
			b = b[:at]
		}
	}
	return b
}

// frame makes a transaction whose input is to be filled.
func (f *forge) frame() {
	msg := wire.NewMsgTx(pick[int32](f, 1, 2, 2, 0, -1))
	msg.LockTime = pick[uint32](f, 0, 0, 1, 499_999_999, 500_000_000, 1<<32-1)
	n := pick(f, 1, 1, 2, 3)
	f.tx = &Tx{Msg: msg}
	for i := range n {
		in := &wire.TxIn{Sequence: pick[uint32](f, 0, 1, 1<<22, 1<<22+2, 1<<31, 1<<32-1, 1<<32-2)}
		in.PreviousOutPoint.Hash[3], in.PreviousOutPoint.Index = byte(f.rng.Uint32()), uint32(i)
		msg.AddTxIn(in)
		f.tx.Prevouts = append(f.tx.Prevouts, wire.TxOut{Value: int64(f.rng.IntN(3)), PkScript: f.bytes(f.rng.IntN(4))})
	}
	for range pick(f, 0, 1, 1, 2, 3) {
		msg.AddTxOut(&wire.TxOut{Value: int64(f.rng.IntN(1000)), PkScript: f.bytes(f.rng.IntN(30))})
	}
	f.input = f.rng.IntN(n)
	f.annex = nil
}

// spend makes a spend.
func (f *forge) spend() (tx *Tx, input int) {
	f.frame()
	in, out := f.tx.Msg.TxIn[f.input], &f.tx.Prevouts[f.input]
	kind := f.rng.IntN(9)
	switch kind {
	case 0, 1, 2: // bare, P2SH
		f.v = base
		script, needs := f.locking()
		if f.one(10) {
			script, needs = f.selfSigned()
		}
		out.PkScript = script
		elements := f.satisfy(script, needs)
		if kind > 0 {
			elements = append(elements, script)
			out.PkScript = p2sh(script)
		}
		in.SignatureScript = f.pushes(elements)
	case 3, 4: // P2WSH, and in P2SH
		f.v = witnessV0
		script, needs := f.locking()
		program := sha256.Sum256(script)
		f.nest(append([]byte{op0, 32}, program[:]...), kind == 4)
		in.Witness = append(f.satisfy(script, needs), script)
	case 5: // P2WPKH
		f.v = witnessV0
		k := f.rng.IntN(len(f.keys))
		key := f.key(k)
		hash := hash160(key)
		code := slices.Concat([]byte{opDup, opHash160, 20}, hash[:], []byte{opEqualVerify, opCheckSig})
		f.nest(append([]byte{op0, 20}, hash[:]...), f.one(2))
		in.Witness = wire.TxWitness{f.ecdsa(k, code), key}
	case 6: // P2TR by its key
		f.v = tapscript
		if f.one(3) {
			f.annex = append([]byte{annexTag}, f.bytes(f.rng.IntN(3))...)
		}
		k := f.keys[f.rng.IntN(len(f.keys))]
		out.PkScript = append([]byte{op1, 32}, schnorr.SerializePubKey(k.PubKey())...)
		c := new(tapContext)
		f.annexHash(c)
		in.Witness = f.withAnnex(wire.TxWitness{f.schnorr(k, c)})
	case 7: // P2TR by a script
		f.tapscript()
	case 8: // any program
		f.v = witnessV0
		program := f.bytes(pick(f, 1, 2, 20, 31, 32, 33, 40, 41))
		if f.one(4) {
			program = []byte{0x4e, 0x73}
		}
		f.nest(append([]byte{pick[byte](f, op0, op1, op1, op1+1, op16), byte(len(program))}, program...), f.one(3))
		in.Witness = wire.TxWitness{f.bytes(3)}[:f.rng.IntN(2)]
	}
	f.spoil()
	// What was hashed for the signatures is forgotten.
	return &Tx{Msg: f.tx.Msg, Prevouts: f.tx.Prevouts}, f.input
}

// spoil sometimes changes the finished spend.
func (f *forge) spoil() {
	in, out := f.tx.Msg.TxIn[f.input], &f.tx.Prevouts[f.input]
	switch f.rng.IntN(40) {
	case 0:
		in.SignatureScript = f.mutate(in.SignatureScript)
	case 1:
		out.PkScript = f.mutate(out.PkScript)
	case 2, 3:
		if n := len(in.Witness); n > 0 {
			i := f.rng.IntN(n)
			in.Witness[i] = f.mutate(in.Witness[i])
		}
	case 4:
		in.Witness = append(in.Witness, f.bytes(f.rng.IntN(3)))
	case 5:
		if n := len(in.Witness); n > 0 {
			in.Witness = in.Witness[1:]
		}
	case 6:
		f.tx.Msg.LockTime++
	case 7:
		out.Value++
	case 8:
		in.SignatureScript = f.operation(in.SignatureScript)
	}
}

func p2sh(script []byte) []byte {
	hash := hash160(script)
	return slices.Concat([]byte{opHash160, 20}, hash[:], []byte{opEqual})
}

// nest makes the output one of that witness program, in P2SH if nested.
func (f *forge) nest(program []byte, nested bool) {
	in, out := f.tx.Msg.TxIn[f.input], &f.tx.Prevouts[f.input]
	out.PkScript = program
	if nested {
		out.PkScript = p2sh(program)
		in.SignatureScript = appendPush(nil, program)
	}
}

// pushes returns a script that pushes the elements, mostly in the shortest way.
func (f *forge) pushes(elements [][]byte) (script []byte) {
	for _, e := range elements {
		switch {
		case len(e) == 1 && e[0] >= 1 && e[0] <= 16 && !f.one(8):
			script = append(script, op1+e[0]-1)
		case len(e) < 256 && f.one(30):
			script = append(append(script, opPushData1, byte(len(e))), e...)
		default:
			script = appendPush(script, e)
		}
	}
	return script
}

func (f *forge) withAnnex(w wire.TxWitness) wire.TxWitness {
	if f.annex != nil {
		w = append(w, f.annex)
	}
	return w
}

// tapscript makes a spend of P2TR by a script.
func (f *forge) tapscript() {
	f.v = tapscript
	in, out := f.tx.Msg.TxIn[f.input], &f.tx.Prevouts[f.input]
	if f.one(3) {
		f.annex = append([]byte{annexTag}, f.bytes(f.rng.IntN(3))...)
	}
	script, needs := f.locking()
	leafVersion := byte(leafTapscript)
	if f.one(12) {
		leafVersion = byte(f.rng.Uint32()) & leafMask
	}
	f.leaf = leafHash(f.h.w, leafVersion, script)
	internal := f.keys[f.rng.IntN(len(f.keys))].PubKey()
	control := append([]byte{leafVersion}, schnorr.SerializePubKey(internal)...)
	for range f.rng.IntN(3) {
		control = append(control, f.bytes(32)...)
	}
	root := merkleRoot(f.h.w, control, &f.leaf)
	q := tweaked(internal, root[:])
	control[0] |= q[0] & 1
	if f.one(16) {
		control[0] ^= 1
	}
	out.PkScript = append([]byte{op1, 32}, q[1:]...)
	in.Witness = f.withAnnex(append(f.satisfy(script, needs), script, control))
}

// flags returns a set of flags that go together.
func (f *forge) flags() Flags {
	flags := Flags(consensus)
	switch f.rng.IntN(4) {
	case 0:
		flags &= Flags(f.rng.Uint32())
	case 1:
		flags = allFlags() & Flags(f.rng.Uint32())
	}
	if flags&P2SH == 0 {
		flags &^= Witness
	}
	if flags&Witness == 0 {
		flags &^= CleanStack
	}
	return flags
}
