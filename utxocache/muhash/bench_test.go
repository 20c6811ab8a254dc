package muhash

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/utxocache/corefile"
)

// element is as long as what most coins stand for.
func element(n int) []byte {
	var e [71]byte
	binary.LittleEndian.PutUint64(e[:], uint64(n))
	return e[:]
}

func BenchmarkInsert(b *testing.B) {
	b.ReportAllocs()
	var s Set
	e := element(1)
	s.Insert(e)
	for b.Loop() {
		s.Insert(e)
	}
}

// BenchmarkInsertBig does the same over math/big.
func BenchmarkInsertBig(b *testing.B) {
	o, e := newOracle(), element(1)
	o.insert(e)
	for b.Loop() {
		o.insert(e)
	}
}

// BenchmarkElement makes the number of an element and multiplies nothing.
func BenchmarkElement(b *testing.B) {
	var x number
	e := element(1)
	for b.Loop() {
		numberOf(&x, e)
	}
}

func benchNumbers() (x, y number) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range x {
		x[i], y[i] = rng.Uint64(), rng.Uint64()
	}
	return x, y
}

func BenchmarkMul(b *testing.B) {
	x, y := benchNumbers()
	for b.Loop() {
		x.mul(&x, &y)
	}
}

// BenchmarkMulBig multiplies and reduces by math/big.
func BenchmarkMulBig(b *testing.B) {
	nx, ny := benchNumbers()
	x, y := nx.big(), ny.big()
	for b.Loop() {
		mulMod(x, y)
	}
}

// BenchmarkMulBigUnreduced multiplies by math/big and does not reduce.
func BenchmarkMulBigUnreduced(b *testing.B) {
	nx, ny := benchNumbers()
	x, y := nx.big(), ny.big()
	z := new(big.Int)
	for b.Loop() {
		z.Mul(x, y)
	}
}

func BenchmarkFinalize(b *testing.B) {
	s := setOf(element(1), element(2))
	s.Remove(element(3))
	for b.Loop() {
		s.Finalize()
	}
}

// BenchmarkApply applies what a large block creates and spends.
func BenchmarkApply(b *testing.B) {
	const n = 12_000
	var batch Batch
	for i := range n / 2 {
		batch.Insert(element(i))
		batch.Remove(element(n + i))
	}
	for _, goroutines := range []int{1, runtime.GOMAXPROCS(0)} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			var s Set
			for b.Loop() {
				s.Apply(&batch, goroutines)
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "elements/s")
		})
	}
}

// benchSnapshot returns a snapshot of n coins, two a transaction.
func benchSnapshot(b *testing.B, n int) []byte {
	var file bytes.Buffer
	w, err := corefile.NewSnapshotWriter(&file, corefile.SnapshotHeader{Net: wire.MainNet, Coins: uint64(n)})
	for i := 0; err == nil && i < n/2; i++ {
		tx := corefile.TxCoins{Coins: make([]corefile.TxCoin, 2)}
		binary.BigEndian.PutUint32(tx.Txid[:], uint32(i))
		for vout := range tx.Coins {
			script := append([]byte{0x00, 0x14}, element(i)[:20]...)
			tx.Coins[vout] = corefile.TxCoin{Vout: uint32(vout), Coin: corefile.Coin{
				Value: int64(12345 + i), Script: script, Height: 800_000,
			}}
		}
		err = w.Write(&tx)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		b.Fatal(err)
	}
	return file.Bytes()
}

// BenchmarkSnapshot reads a snapshot and computes both hashes of its coins, the
// MuHash on all processors.
func BenchmarkSnapshot(b *testing.B) {
	const n, each = 40_000, 4_000
	file := benchSnapshot(b, n)
	for b.Loop() {
		r, err := corefile.NewSnapshotReader(bytes.NewReader(file), wire.MainNet)
		serialized := corefile.NewSetHasher()
		var set Set
		var batch Batch
		var ser []byte
		for err == nil {
			var tx *corefile.TxCoins
			if tx, err = r.Next(); err != nil {
				break
			}
			err = serialized.Add(tx)
			for i := range tx.Coins {
				c := &tx.Coins[i]
				ser = corefile.AppendTxOutSer(ser[:0], wire.OutPoint{Hash: tx.Txid, Index: c.Vout}, &c.Coin)
				batch.Insert(ser)
			}
			if batch.Len() >= each {
				set.Apply(&batch, runtime.GOMAXPROCS(0))
				batch.Reset()
			}
		}
		if err != io.EOF || batch.Len() != 0 {
			b.Fatal(err)
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "coins/s")
}
