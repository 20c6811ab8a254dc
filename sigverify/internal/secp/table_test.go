package secp

import (
	"math/big"
	"testing"
)

func TestRecoding(t *testing.T) {
	r := newRand(t)
	top := sub(pow2(128), big.NewInt(1))
	var numbers []*big.Int
	for _, n := range edges {
		numbers = append(numbers, new(big.Int).And(n, top))
	}
	for range rounds(2000) {
		numbers = append(numbers, new(big.Int).And(edge256(r), top))
	}
	for _, n := range numbers {
		for w := uint(2); w <= 16; w++ {
			negative := r.IntN(2) == 0
			low := new(big.Int).And(n, sub(pow2(64), big.NewInt(1)))
			h := Half{Lo: low.Uint64(), Hi: new(big.Int).Rsh(n, 64).Uint64(), Neg: negative}
			got, next := new(big.Int), 0
			var digits recoding
			digits.set(h, w)
			for i, d := range digits.digits {
				if d == 0 {
					continue
				}
				if d&1 == 0 || int(d) >= 1<<(w-1) || int(d) <= -1<<(w-1) || i < next || i >= digits.length {
					t.Fatalf("%x in width %d: digit %d is %d, length %d", n, w, i, d, digits.length)
				}
				got.Add(got, mul(big.NewInt(int64(d)), pow2(uint(i))))
				next = i + int(w)
			}
			if got.Cmp(h.big()) != 0 {
				t.Fatalf("%x in width %d is %v, which is %x", h.big(), w, digits, got)
			}
		}
	}
}

// checkMultiples compares the entries of a table, which are points of the curve
// where z is theirs, with multiples of p.
func checkMultiples(t *testing.T, odd []affine, z *big.Int, p *bigPoint) {
	t.Helper()
	multiple, twice := p, p.add(p)
	s := inverse(z, fieldPrime)
	for i := range odd {
		digit := 2*i + 1
		want := image(multiple, s)
		var q affine
		if q.multiple(odd, digit); !q.big().equal(want) {
			t.Fatalf("%d times %v is %v, want %v", digit, p, q.big(), want)
		}
		if q.multiple(odd, -digit); !q.big().equal(want.negate()) {
			t.Fatalf("%d times %v is %v, want %v", -digit, p, q.big(), want.negate())
		}
		multiple = multiple.add(twice)
	}
}

func TestBaseTables(t *testing.T) {
	tables := baseTables()
	for i, base := range []*bigPoint{generator, generator.times(pow2(128))} {
		checkMultiples(t, tables[i][:], big.NewInt(1), base)
		for j, q := range tables[i] {
			if !q.x.isNormal() || !q.y.isNormal() {
				t.Fatalf("entry %d of table %d is not normal: %x", j, i, q)
			}
		}
	}
}

func TestKeyTables(t *testing.T) { eachPath(t, testKeyTables) }

func testKeyTables(t *testing.T) {
	r := newRand(t)
	for range rounds(200) {
		q := decredTimes(edgeScalar(r), nil)
		var odd, image keyTable
		var z residue
		setKeyTables(&odd, &image, &z, newAffine(q))
		checkMultiples(t, odd[:], z.big(), q)
		checkMultiples(t, image[:], z.big(), decredTimes(lambda, q))
	}
}
