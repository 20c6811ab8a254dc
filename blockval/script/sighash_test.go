package script

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// TestHashWriter writes in pieces on both sides of every buffer's end.
func TestHashWriter(t *testing.T) {
	rng := rand.New(rand.NewPCG(seedOf(t, 8), 0))
	w := newHashWriter()
	var m midstate
	for range 3000 {
		var all []byte
		w.reset()
		saved := -1
		for range rng.IntN(6) {
			b := make([]byte, []int{0, 1, 40, 255, hashBuffer - 40, hashBuffer - 1, hashBuffer, hashBuffer + 300}[rng.IntN(8)])
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			switch rng.IntN(6) {
			case 0:
				w.bytes(b)
				all = append(appendCompactSize(all, len(b)), b...)
			case 1:
				w.uint32(7)
				all = append(all, 7, 0, 0, 0)
			case 2:
				m.save(w)
				saved = len(all)
			case 3:
				if saved >= 0 {
					m.load(w)
					all = all[:saved]
				}
			default:
				w.raw(b)
				all = append(all, b...)
			}
		}
		if got, want := w.sum(), sha256.Sum256(all); got != want {
			t.Fatalf("%d bytes: %x, want %x", len(all), got, want)
		}
	}
}

// TestCompactSize is the lengths on both sides of each form.
func TestCompactSize(t *testing.T) {
	for n, want := range map[int]string{
		0: "\x00", 0xfc: "\xfc", 0xfd: "\xfd\xfd\x00", 0xffff: "\xfd\xff\xff", 0x10000: "\xfe\x00\x00\x01\x00",
	} {
		if got := string(appendCompactSize(nil, n)); got != want || compactSizeLen(n) != len(want) {
			t.Errorf("%#x: %x of %d bytes, want %x", n, got, compactSizeLen(n), want)
		}
	}
}

// TestSigHashes holds the signature hashes against txscript's: transactions of few
// and many inputs and outputs, which are asked for in any order, with all hash
// types, by one hasher.
func TestSigHashes(t *testing.T) {
	f := newForge(seedOf(t, 9))
	h := &sigHasher{w: newHashWriter()}
	var txs []*Tx
	for _, inputs := range []int{1, 1, 2, 3, 252, 253, 300} {
		for _, outputs := range []int{1, 2, 253} {
			txs = append(txs, randomTx(f, inputs, outputs))
		}
	}
	n := 4000
	if testing.Short() {
		n = 400
	}
	at := make(map[*Tx]int)
	for range n {
		tx := txs[f.rng.IntN(len(txs))]
		// Mostly ascending, as in use.
		at[tx] = (at[tx] + f.rng.IntN(3)) % len(tx.Msg.TxIn)
		input, t8 := at[tx], f.hashType()
		code := f.bytes(f.rng.IntN(60))
		for i := range code {
			if code[i] < opPushData4+1 {
				code[i] = pick[byte](f, opCodeSeparator, opDup, op1) // nothing malformed
			}
		}
		prevouts := txscript.NewMultiPrevOutFetcher(nil)
		for i, in := range tx.Msg.TxIn {
			prevouts.AddPrevOut(in.PreviousOutPoint, &tx.Prevouts[i])
		}
		hashType := txscript.SigHashType(t8)
		want, err := txscript.CalcSignatureHash(code, hashType, tx.Msg, input)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.legacy(tx, input, code, uint32(t8)); got != [32]byte(want) {
			t.Fatalf("input %d of %d, type %#x: legacy %x, want %x", input, len(tx.Msg.TxIn), t8, got, want)
		}
		hashes := txscript.NewTxSigHashes(tx.Msg, prevouts)
		want, err = txscript.CalcWitnessSigHash(code, hashes, hashType, tx.Msg, input, tx.Prevouts[input].Value)
		if err != nil {
			t.Fatal(err)
		}
		// btcd computes what only P2TR shares, or only what came before it, if there
		// is such a prevout.
		one, p2tr := len(tx.Msg.TxIn) == 1, len(tx.Prevouts[0].PkScript) == 34
		if got := h.witnessV0(tx, input, code, uint32(t8)); got != [32]byte(want) && !(one && p2tr) {
			t.Fatalf("input %d of %d, type %#x: BIP143 %x, want %x", input, len(tx.Msg.TxIn), t8, got, want)
		}
		want, err = txscript.CalcTaprootSignatureHash(hashes, hashType, tx.Msg, input, prevouts)
		got, ok := h.taproot(tx, input, new(tapContext), t8)
		if ok != (err == nil) || ok && got != [32]byte(want) && !(one && !p2tr) {
			t.Fatalf("input %d of %d, type %#x: BIP341 %x, %v, want %x, %v", input, len(tx.Msg.TxIn), t8, got, ok, want, err)
		}
	}
}

// TestTaprootHashTypes is BIP341's list of those that are defined.
func TestTaprootHashTypes(t *testing.T) {
	f := newForge(17)
	h := &sigHasher{w: newHashWriter()}
	tx := randomTx(f, 3, 2)
	for hashType := range 256 {
		want := slices.Contains([]int{0, 1, 2, 3, 0x81, 0x82, 0x83}, hashType)
		if _, ok := h.taproot(tx, 0, new(tapContext), byte(hashType)); ok != want {
			t.Errorf("hash type %#x: %v, want %v", hashType, ok, want)
		}
		// There is no third output.
		if _, ok := h.taproot(tx, 2, new(tapContext), byte(hashType)); ok != (want && hashType&3 != 3) {
			t.Errorf("hash type %#x without an output: %v", hashType, ok)
		}
	}
}

// randomTx returns a transaction whose values and scripts are random.
func randomTx(f *forge, inputs, outputs int) *Tx {
	tx := &Tx{Msg: wire.NewMsgTx(int32(f.rng.Uint32()))}
	tx.Msg.LockTime = f.rng.Uint32()
	for range inputs {
		in := &wire.TxIn{Sequence: f.rng.Uint32(), SignatureScript: f.bytes(f.rng.IntN(3))}
		in.PreviousOutPoint.Hash, in.PreviousOutPoint.Index = [32]byte(f.bytes(32)), f.rng.Uint32()
		tx.Msg.AddTxIn(in)
		tx.Prevouts = append(tx.Prevouts, wire.TxOut{Value: int64(f.rng.Uint64()), PkScript: f.bytes(f.rng.IntN(40))})
	}
	if inputs > 1 || outputs > 1 {
		tx.Prevouts[0].PkScript = append([]byte{op1, 32}, f.bytes(32)...)
	}
	for range outputs {
		size := pick(f, 0, 25, 34, 252, 253)
		if outputs < 3 {
			size = pick(f, size, 3000, 70_000)
		}
		tx.Msg.AddTxOut(&wire.TxOut{Value: int64(f.rng.Uint64()), PkScript: f.bytes(size)})
	}
	return tx
}

// TestManyInputsAreNotQuadraticInCopying signs every input of a transaction of 4,000
// without a witness: the states in between are kept, and no memory is taken for
// each.
func TestManyInputsAreNotQuadraticInCopying(t *testing.T) {
	f := newForge(10)
	tx := randomTx(f, 4000, 1)
	h := &sigHasher{w: newHashWriter()}
	i, code := 0, []byte{op1}
	h.legacy(tx, 0, code, sigHashAll)
	if n := testing.AllocsPerRun(300, func() {
		i++
		h.legacy(tx, i, code, sigHashAll)
	}); n > 0 {
		t.Errorf("%v allocations for each", n)
	}
	if h.blank != tx.blank.number || h.done != tx.blank.inputs+i*minTxIn {
		t.Errorf("the state is kept after byte %d, want %d", h.done, tx.blank.inputs+i*minTxIn)
	}
}

// TestLargeTransactionIsHashedOnce has a script check many signatures, of all hash
// types and with scripts that differ, of a large transaction. What is signed must be
// what is signed without a cache, and hashing the whole again must be rare.
func TestLargeTransactionIsHashedOnce(t *testing.T) {
	f := newForge(31)
	m := NewMachine()
	for range 20 {
		tx := randomTx(f, 2+f.rng.IntN(300), 1+f.rng.IntN(3))
		m.tx, m.input, m.version = tx, f.rng.IntN(len(tx.Msg.TxIn)), base
		for way := range m.legacy {
			m.legacy[way].valid = false
		}
		codes := [][]byte{nil, {op1}, {op1, opCodeSeparator, op1}, bytes.Repeat([]byte{op1}, 9000)}
		for range 300 {
			code, hashType := bytes.Clone(pick(f, codes...)), byte(f.rng.Uint32())
			if f.one(2) {
				hashType = pick[byte](f, sigHashAll, sigHashNone, sigHashSingle, sigHashAll|sigHashAnyoneCanPay)
			}
			fresh := sigHasher{w: newHashWriter()}
			got, want := *m.ecdsaDigest(code, hashType), fresh.legacy(tx, m.input, code, uint32(hashType))
			if got != want {
				t.Fatalf("input %d of %d, hash type %#x, %d bytes of script: %x, want %x",
					m.input, len(tx.Msg.TxIn), hashType, len(code), got, want)
			}
		}
	}
	tx := randomTx(f, 4000, 1)
	m.tx, m.input = tx, 3999
	m.ecdsaDigest([]byte{op1}, 0)
	if !m.legacy[0].valid {
		t.Error("the state of a large transaction is not kept")
	}
}
