package groth16

import (
	"errors"
	"math/big"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
)

func prepared(t testing.TB, s *Simulator) *Key {
	t.Helper()
	k, err := Prepare(s.Key)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// spoil makes the proof of an item invalid, and returns its new self.
func spoil(r *rand.Rand, item Item) Item {
	p := *item.Proof
	inputs := append([]fr.Element(nil), item.Inputs...)
	_, _, g1, g2 := bn254.Generators()
	switch r.IntN(5) {
	case 0:
		p.A.Add(&p.A, &g1)
	case 1:
		p.B.Add(&p.B, &g2)
	case 2:
		p.C.Neg(&p.C)
	case 3:
		p.A, p.C = p.C, p.A
	case 4:
		one := fr.One()
		inputs[0].Add(&inputs[0], &one)
	}
	return Item{&p, inputs}
}

// Batches of every size with any members spoilt: the verdicts are those of each alone.
func TestBatch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := NewSimulator(2, 1)
	k := prepared(t, s)
	for size := range 18 {
		for _, share := range []float64{0, 0.1, 0.5, 1} {
			items, bad := make([]Item, size), make([]bool, size)
			for i := range items {
				items[i] = s.Item()
				if bad[i] = r.Float64() < share; bad[i] {
					items[i] = spoil(r, items[i])
				}
			}
			for i, verdict := range k.VerifyBatch(items) {
				if errors.Is(verdict, ErrEquation) != bad[i] || (verdict != nil) != bad[i] {
					t.Errorf("%d of %d: %v, spoilt %v", i, size, verdict, bad[i])
				}
				if alone := k.Verify(items[i].Proof, items[i].Inputs); (alone == nil) != (verdict == nil) {
					t.Errorf("%d of %d: %v, alone %v", i, size, verdict, alone)
				}
			}
		}
	}
}

// Proofs whose errors cancel when their equations are multiplied without coefficients
// are not taken for valid. OUTRIDER_GROTH16_BULK says how often this is tried.
func TestErrorsThatCancel(t *testing.T) {
	runs := 50
	if v := os.Getenv("OUTRIDER_GROTH16_BULK"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatalf("OUTRIDER_GROTH16_BULK: %v", err)
		}
		runs = n
	}
	s := NewSimulator(1, 7)
	k := prepared(t, s)
	for run := range runs {
		items := []Item{s.Item(), s.Item(), s.Item()}
		offset := s.Scalar()
		point := g1Times(&offset)
		first, second := *items[0].Proof, *items[2].Proof
		first.C.Add(&first.C, &point)
		second.C.Sub(&second.C, &point)
		items[0].Proof, items[2].Proof = &first, &second
		verdicts := k.VerifyBatch(items)
		if !errors.Is(verdicts[0], ErrEquation) || verdicts[1] != nil || !errors.Is(verdicts[2], ErrEquation) {
			t.Fatalf("run %d: %v", run, verdicts)
		}
	}
}

// A key serves many at once.
func TestConcurrent(t *testing.T) {
	s := NewSimulator(3, 4)
	k := prepared(t, s)
	items := []Item{s.Item(), spoil(rand.New(rand.NewPCG(1, 1)), s.Item())}
	for range 4 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for range 3 {
				if v := k.VerifyBatch(items); v[0] != nil || v[1] == nil {
					t.Error(v)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	s := NewSimulator(2, 1)
	k, item := prepared(b, s), s.Item()
	for b.Loop() {
		if err := k.Verify(item.Proof, item.Inputs); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyBatch64(b *testing.B) {
	s := NewSimulator(2, 1)
	k := prepared(b, s)
	items := make([]Item, 64)
	for i := range items {
		items[i] = s.Item()
	}
	for b.Loop() {
		for _, verdict := range k.VerifyBatch(items) {
			if verdict != nil {
				b.Fatal(verdict)
			}
		}
	}
}

// Sums are those of the point multiplied, infinity among them.
func TestSums(t *testing.T) {
	s := NewSimulator(1, 40)
	key := prepared(t, s)
	low := new(big.Int).Lsh(big.NewInt(1), 64)
	var numbers []fr.Element
	for _, limbs := range [][4]uint64{{}, {1}, {0, 0, 0, 1}, {5, 0, 7, 0}, {^uint64(0), ^uint64(0), ^uint64(0), 1}} {
		x := new(big.Int)
		for i := len(limbs) - 1; i >= 0; i-- {
			x.Mul(x, low).Add(x, new(big.Int).SetUint64(limbs[i]))
		}
		numbers = append(numbers, *new(fr.Element).SetBigInt(x))
	}
	// The number with which the point and the constant term come to infinity.
	var infinite fr.Element
	infinite.Neg(infinite.Div(&s.ic[0], &s.ic[1]))
	for _, x := range append(numbers, s.Scalar(), infinite) {
		sums := key.Sums(&x)
		number := x.BigInt(new(big.Int))
		for i := range 4 {
			part := new(big.Int).And(number, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(64*i+64)), big.NewInt(1)))
			var want bn254.G1Affine
			if want.ScalarMultiplication(&s.Key.IC[1], part); !sums[i].Equal(&want) {
				t.Errorf("%v, %d: %v, want %v", number, i, sums[i], want)
			}
		}
		var want bn254.G1Affine
		if want.Add(&sums[3], &s.Key.IC[0]); !sums[4].Equal(&want) {
			t.Errorf("%v with the constant term: %v, want %v", number, sums[4], want)
		}
	}
	if sums := key.Sums(&infinite); !sums[4].IsInfinity() {
		t.Error("the sum is not infinity")
	}
}
