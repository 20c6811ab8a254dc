//go:build !purego

package secp

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

// eachPath runs a test with the assembly, if the processor can, and without.
func eachPath(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	had := useADX
	defer func() { useADX = had }()
	for name, use := range map[string]bool{"go": false, "adx": true} {
		t.Run(name, func(t *testing.T) {
			if use && !had {
				t.Skip("the processor has no BMI2 and ADX: the assembly was not checked")
			}
			useADX = use
			test(t)
		})
	}
}

func TestOffersADX(t *testing.T) {
	const all = 1<<32 - 1
	for missing, want := range map[uint32]bool{0: true, 1 << 8: false, 1 << 19: false, 1 << 20: true} {
		if got := offersADX(all &^ missing); got != want {
			t.Errorf("without bits %#x: %v, want %v", missing, got, want)
		}
	}
}

// skipWithoutADX skips a test of the assembly where it cannot run.
func skipWithoutADX(t *testing.T) {
	t.Helper()
	if !useADX {
		t.Skip("the processor has no BMI2 and ADX: the assembly was not checked")
	}
}

// weirdJacobian returns any coordinates, hardly ever of a point of the curve: the
// formulas do not care, and reach the ends of their ranges.
func weirdJacobian(r *rand.Rand) jacobian {
	return jacobian{x: *weird(r), y: *weird(r), z: *weird(r)}
}

// The assembly gives the same words as Go, not only the same values.
func TestOperationsADX(t *testing.T) {
	skipWithoutADX(t)
	r := newRand(t)
	for range rounds(200000) {
		x, y, a, b := weird(r), weird(r), weird(r), weird(r)
		if r.IntN(10) == 0 {
			if x, y = carrying(r); r.IntN(2) == 0 {
				a = new(residue)
			}
		}
		for _, op := range []struct {
			name     string
			asm, ref func(z, x, y *residue)
		}{
			{"mul", mulADX, (*residue).mul},
			{"sqr", sqrADX, func(z, x, _ *residue) { z.sqr(x) }},
			{"sub", subADX, (*residue).sub},
			{"subFrom", subFromADX, (*residue).sub},
			{"subTwice", subTwiceADX, (*residue).subTwice},
			{"threeHalves", threeHalvesADX, func(z, x, _ *residue) { z.threeHalves(x) }},
			{"mulSub", func(z, x, y *residue) { mulSubADX(z, x, y, a, b) }, func(z, x, y *residue) { z.mulSub(x, y, a, b) }},
		} {
			var got, want residue
			op.asm(&got, x, y)
			if op.ref(&want, x, y); got != want {
				t.Fatalf("%s of %x and %x (and %x and %x) is %x, want %x", op.name, *x, *y, *a, *b, got, want)
			}
		}
	}
}

func TestDoubleADX(t *testing.T) {
	skipWithoutADX(t)
	r := newRand(t)
	for range rounds(100000) {
		p := weirdJacobian(r)
		n := 1 + r.IntN(4)
		got, want := p, p
		want.doubleTimesGo(n)
		if doubleADX(&got, uint64(n)); got != want {
			t.Fatalf("%x doubled %d times is %x, want %x", p.words(), n, got.words(), want.words())
		}
	}
}

func (p *jacobian) words() [3]residue { return [3]residue{p.x, p.y, p.z} }

func TestAddADX(t *testing.T) {
	skipWithoutADX(t)
	r := newRand(t)
	equal := 0
	for range rounds(100000) {
		p, q, z := weirdJacobian(r), affine{*weird(r), *weird(r)}, *weird(r)
		switch r.IntN(6) {
		case 0: // q.x⋅z² is p.x, or what differs from it by p
			var zz residue
			zz.sqr(&z)
			p.x.mul(&q.x, &zz)
			p.x = *respell(r, p.x.big())
		case 1: // the same, next to it
			z = residue{1}
			p.x = q.x
			p.x.sub(&p.x, &residue{r.Uint64N(3)})
		case 2: // both zero in all forms
			p.x, q.x = *respell(r, new(big.Int)), *respell(r, new(big.Int))
		}
		got, want := p, p
		wantOK := want.addDistinctGo(&q, &z)
		if ok := addADX(&got, &q, &z); ok != wantOK || got != want {
			t.Fatalf("%x + %x, z %x, is %x, %v; want %x, %v", p.words(), q, z, got.words(), ok, want.words(), wantOK)
		}
		if !wantOK {
			equal++
			if want != p {
				t.Fatalf("%x + %x, which was refused, is %x", p.words(), q, want.words())
			}
		}
	}
	if equal == 0 {
		t.Error("no points with the same x")
	}
}

func BenchmarkADX(b *testing.B) {
	had := useADX
	defer func() { useADX = had }()
	for name, use := range map[string]bool{"go": false, "adx": true} {
		items := benchItems(b, false)
		b.Run(name, func(b *testing.B) {
			if use && !had {
				b.Skip("the processor has no BMI2 and ADX")
			}
			useADX = use
			for i := 0; b.Loop(); i++ {
				if !items[i%len(items)].verify() {
					b.Fatal("a valid signature is invalid")
				}
			}
		})
	}
}

// The test at the start finds a kernel that is wrong in one word of one operation.
func TestTestKernels(t *testing.T) {
	skipWithoutADX(t)
	if !testKernels(doubleADX, addADX) {
		t.Error("the kernels fail their test")
	}
	for broken := 1; broken <= 24; broken++ {
		calls := 0
		spoil := func(p *jacobian) {
			if calls++; calls == broken {
				p.y[calls%4] ^= 1 << calls
			}
		}
		if testKernels(func(p *jacobian, n uint64) { doubleADX(p, n); spoil(p) }, addADX) {
			t.Errorf("doubling is wrong at call %d, and passes", broken)
		}
		calls = 0
		add := func(p *jacobian, q *affine, z *residue) bool {
			ok := addADX(p, q, z)
			spoil(p)
			return ok
		}
		if testKernels(doubleADX, add) {
			t.Errorf("addition is wrong at call %d, and passes", broken)
		}
	}
	if testKernels(doubleADX, func(p *jacobian, q *affine, z *residue) bool { return true }) {
		t.Error("an addition that does nothing passes")
	}
}
