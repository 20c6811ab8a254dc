//go:build !purego

package muhash

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// The assembly gives the same words as Go, at the ends of its numbers too, and
// writes nothing else.
func TestProductADX(t *testing.T) {
	if !useADX {
		t.Skip("the processor has no BMI2 and ADX: the assembly was not checked")
	}
	rng := newRand(t)
	for range 20_000 {
		factors, guard := randomNumber(rng), rng.Uint64()
		before := factors
		x, y := factors.halves()
		z := struct {
			before uint64
			z      number
			after  uint64
		}{guard, number{0: rng.Uint64(), limbs - 1: rng.Uint64()}, guard}
		var want number
		mulHalvesGo(&want, x, y)
		productADX(&z.z, x, y)
		if z.z != want || z.before != guard || z.after != guard || factors != before {
			t.Fatalf("%x times %x is %x, want %x", *x, *y, z, want)
		}
	}
}

func TestStreamAVX2(t *testing.T) {
	if !useAVX2 {
		t.Skip("the processor has no AVX2: the assembly was not checked")
	}
	rng := newRand(t)
	for i := range 20_000 {
		var key [32]byte
		if i > 0 {
			randomBytes(rng, key[:])
		}
		before := key
		var z struct {
			before uint64
			stream [numberSize]byte
			after  uint64
		}
		var want [numberSize]byte
		streamGo(&want, &key)
		streamAVX2(&z.stream, &key)
		if z.stream != want || z.before != 0 || z.after != 0 || key != before {
			t.Fatalf("key %x: %x, want %x", key, z, want)
		}
	}
}

func randomBytes(rng *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
}

// A kernel that errs is not used.
func TestSelfTests(t *testing.T) {
	if testProduct(func(z *number, x, y *half) {
		mulHalvesGo(z, x, y)
		z[limbs-1] ^= 1 << 40
	}) {
		t.Error("a product that errs passes")
	}
	if testStream(func(stream *[numberSize]byte, key *[32]byte) {
		streamGo(stream, key)
		stream[numberSize-1] ^= 1
	}) {
		t.Error("a stream that errs passes")
	}
	if !testProduct(mulHalvesGo) || !testStream(streamGo) {
		t.Error("what does not err fails")
	}
}

// A set has the same hash whichever code makes it.
func TestPaths(t *testing.T) {
	adx, avx2 := useADX, useAVX2
	defer func() { useADX, useAVX2 = adx, avx2 }()
	rng := newRand(t)
	elements := make([][]byte, 200)
	for i := range elements {
		elements[i] = randomElement(rng)
	}
	hash := func(useProduct, useStream bool) string {
		useADX, useAVX2 = useProduct, useStream
		s := setOf(elements...)
		s.Remove(elements[7])
		return s.Finalize().String()
	}
	want := hash(false, false)
	for _, path := range []struct{ product, stream bool }{{true, false}, {false, true}, {true, true}} {
		t.Run(fmt.Sprintf("adx=%t avx2=%t", path.product, path.stream), func(t *testing.T) {
			if path.product && !adx || path.stream && !avx2 {
				t.Skip("the processor cannot run this assembly: it was not checked")
			}
			if got := hash(path.product, path.stream); got != want {
				t.Errorf("the hash is %s, by Go %s", got, want)
			}
		})
	}
}

// BenchmarkKernels measures what has assembly beside the Go that it stands for, in
// turns.
func BenchmarkKernels(b *testing.B) {
	adx, avx2 := useADX, useAVX2
	defer func() { useADX, useAVX2 = adx, avx2 }()
	x, y := benchNumbers()
	low, high := x.halves()
	var stream [numberSize]byte
	var key [32]byte
	var s Set
	e := element(1)
	for _, bench := range []struct {
		name string
		do   func()
	}{
		{"product", func() { mulHalves(&y, low, high) }},
		{"stream", func() { streamOf(&stream, &key) }},
		{"insert", func() { s.Insert(e) }},
	} {
		for _, assembly := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/assembly=%t", bench.name, assembly), func(b *testing.B) {
				if assembly && !(adx && avx2) {
					b.Skip("the processor cannot run all of the assembly")
				}
				useADX, useAVX2 = assembly, assembly
				for b.Loop() {
					bench.do()
				}
			})
		}
	}
}
