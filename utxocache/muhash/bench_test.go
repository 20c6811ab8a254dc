package muhash

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"runtime"
	"testing"
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
