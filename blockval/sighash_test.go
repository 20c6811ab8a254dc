package blockval

import (
	"math/rand/v2"
	"testing"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// TestLegacySigHash holds the signature hash for SIGHASH_ALL against txscript's,
// for transactions of sizes on both sides of each length of a count.
func TestLegacySigHash(t *testing.T) {
	const seed = 3
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, inputs := range []int{1, 2, 3, 10, 252, 253, 300} {
		for _, outputs := range []int{0, 1, 2, 252, 253} {
			s := &spendTx{tx: wire.NewMsgTx(int32(rng.Uint32()))}
			s.tx.LockTime = rng.Uint32()
			for range inputs {
				in := &wire.TxIn{Sequence: rng.Uint32(), SignatureScript: make([]byte, rng.IntN(3))}
				in.PreviousOutPoint.Hash[5], in.PreviousOutPoint.Index = byte(rng.Uint32()), rng.Uint32()
				s.tx.AddTxIn(in)
			}
			for range outputs {
				size := []int{0, 25, 252, 253, 70_000}[rng.IntN(5)] * min(1, 2/outputs+rng.IntN(2))
				s.tx.AddTxOut(&wire.TxOut{Value: int64(rng.Uint64()), PkScript: make([]byte, size)})
			}
			l := &legacyHasher{t: s}
			// Ascending, as in use, and then back.
			for _, i := range []int{0, 1, inputs / 2, inputs - 1, 0} {
				i = min(i, inputs-1)
				script := p2pkh([]byte{byte(i)})
				want, err := txscript.CalcSignatureHash(script, txscript.SigHashAll, s.tx, i)
				if err != nil {
					t.Fatal(err)
				}
				if got := l.all(i, script, uint32(txscript.SigHashAll)); got != [32]byte(want) {
					t.Fatalf("seed %d: %d inputs, %d outputs, input %d: %x, want %x", seed, inputs, outputs, i, got, want)
				}
			}
		}
	}
}
