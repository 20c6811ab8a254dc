package muhash

import (
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// modulus is 2^3072 − 1103717.
var modulus = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 3072), big.NewInt(1103717))

// bigOf returns the number of bytes, little-endian, of any size.
func bigOf(little []byte) *big.Int {
	b := slices.Clone(little)
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}

// littleOf returns x modulo the modulus in 384 bytes, little-endian.
func littleOf(x *big.Int) []byte {
	b := new(big.Int).Mod(x, modulus).FillBytes(make([]byte, numberSize))
	slices.Reverse(b)
	return b
}

func (x *number) big() *big.Int { return bigOf(x.append(nil)) }

func numberOfBig(x *big.Int) (n number) {
	b := x.FillBytes(make([]byte, numberSize))
	slices.Reverse(b)
	n.decode((*[numberSize]byte)(b))
	return n
}

// newRand returns a source of random numbers, and logs its seed.
func newRand(tb testing.TB) *rand.Rand {
	seed := rand.Uint64()
	tb.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// edges are numbers around which words overflow.
func edges() []number {
	var all []number
	for _, base := range []*big.Int{
		big.NewInt(2), modulus, new(big.Int).Lsh(big.NewInt(1), 3072),
		new(big.Int).Lsh(big.NewInt(1), 1536), new(big.Int).Lsh(big.NewInt(1), 64),
	} {
		for d := int64(-2); d <= 2; d++ {
			x := new(big.Int).Add(base, big.NewInt(d))
			if x.BitLen() <= 3072 {
				all = append(all, numberOfBig(x))
			}
		}
	}
	return all
}

// randomNumber returns a number whose words are all alike, zero, full or random.
func randomNumber(rng *rand.Rand) (x number) {
	for i := range x {
		switch rng.IntN(6) {
		case 0:
		case 1:
			x[i] = 1<<64 - 1
		case 2:
			x[i] = 1
		default:
			x[i] = rng.Uint64()
		}
	}
	for range rng.IntN(4) { // and runs of the same word
		from := rng.IntN(limbs)
		word := x[rng.IntN(limbs)]
		for i := from; i < min(limbs, from+rng.IntN(limbs)); i++ {
			x[i] = word
		}
	}
	return x
}

func TestMul(t *testing.T) {
	all, rng := edges(), newRand(t)
	for range 40 {
		all = append(all, randomNumber(rng))
	}
	for i := range all {
		for j := range all {
			checkMul(t, all[i], all[j])
		}
	}
}

// checkMul holds x·y against math/big, with the product where the factors are.
func checkMul(t *testing.T, x, y number) {
	t.Helper()
	want := new(big.Int).Mul(x.big(), y.big())
	want.Mod(want, modulus)
	var apart number
	apart.mul(&x, &y)
	overX, overY := x, y
	overX.mul(&overX, &y)
	overY.mul(&x, &overY)
	reduced := apart.reduced()
	if reduced.big().Cmp(want) != 0 {
		t.Errorf("%x · %x is %x, want %x", x.big(), y.big(), reduced.big(), want)
	}
	if overX != apart || overY != apart {
		t.Errorf("%x · %x is another number in the place of a factor", x.big(), y.big())
	}
}

// TestMulSquare multiplies a number by itself in its place.
func TestMulSquare(t *testing.T) {
	for _, x := range edges() {
		square := x
		square.mul(&square, &square)
		square = square.reduced()
		if want := new(big.Int).Mul(x.big(), x.big()); square.big().Cmp(want.Mod(want, modulus)) != 0 {
			t.Errorf("the square of %x is %x, want %x", x.big(), square.big(), want)
		}
	}
}

// TestFold adds multiples of 2^3072, those with which the sum overflows twice
// among them.
func TestFold(t *testing.T) {
	all := edges()
	overflows := 0
	for _, low := range all {
		for _, high := range all {
			sum := new(big.Int).Lsh(high.big(), 3072)
			sum.Add(sum, low.big())
			x := low
			x.fold(&high)
			got := x.reduced()
			if want := new(big.Int).Mod(sum, modulus); got.big().Cmp(want) != 0 {
				t.Errorf("%x + %x·2^3072 is %x, want %x", low.big(), high.big(), got.big(), want)
			}
			once := new(big.Int).Mul(high.big(), big.NewInt(distance))
			once.Add(once, low.big())
			upper := new(big.Int).Rsh(once, 3072)
			twice := new(big.Int).Sub(once, new(big.Int).Lsh(upper, 3072))
			if twice.Add(twice, upper.Mul(upper, big.NewInt(distance))).BitLen() > 3072 {
				overflows++
			}
		}
	}
	if overflows == 0 {
		t.Error("no sum overflows twice")
	}
}

func TestReduced(t *testing.T) {
	for _, x := range edges() {
		r := x.reduced()
		if want := new(big.Int).Mod(x.big(), modulus); r.big().Cmp(want) != 0 {
			t.Errorf("%x becomes %x, want %x", x.big(), r.big(), want)
		}
	}
}

func TestInverse(t *testing.T) {
	rng := newRand(t)
	all := edges()
	for range 20 {
		all = append(all, randomNumber(rng))
	}
	for _, x := range all {
		inverse := x.inverse()
		if x.reduced() == (number{}) {
			if inverse != (number{}) {
				t.Errorf("the inverse of 0 is %x", inverse.big())
			}
			continue
		}
		var product number
		product.mul(&x, &inverse)
		if product.reduced() != one {
			t.Errorf("%x by its inverse is %x", x.big(), product.big())
		}
	}
}
