package secp

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

// newAffine returns p, which must not be nil.
func newAffine(p *bigPoint) *affine { return &affine{*newResidue(p.x), *newResidue(p.y)} }

func (q *affine) big() *bigPoint {
	return &bigPoint{mod(q.x.big(), fieldPrime), mod(q.y.big(), fieldPrime)}
}

func (q *Point) big() *bigPoint { return &bigPoint{q.X.big(), q.Y.big()} }

// newJacobian returns p with a z of 1 or any other. Infinity has any coordinates.
func newJacobian(r *rand.Rand, p *bigPoint) *jacobian {
	if p == nil {
		return &jacobian{x: *newResidue(edge256(r)), y: *newResidue(edge256(r)), z: *newResidue(edge256(r)), infinite: true}
	}
	z := big.NewInt(1)
	if r.IntN(3) != 0 {
		z = unit(r)
	}
	q := image(p, inverse(z, fieldPrime))
	return &jacobian{x: *respell(r, q.x), y: *respell(r, q.y), z: *respell(r, z)}
}

// unit returns an element of the field other than zero.
func unit(r *rand.Rand) *big.Int {
	for {
		if z := mod(edge256(r), fieldPrime); z.Sign() != 0 {
			return z
		}
	}
}

// image returns (x/s², y/s³), which with 1/s as its z is p.
func image(p *bigPoint, s *big.Int) *bigPoint {
	i := inverse(s, fieldPrime)
	ii := mul(i, i)
	return &bigPoint{mod(mul(p.x, ii), fieldPrime), mod(mul(p.y, mul(ii, i)), fieldPrime)}
}

func (p *jacobian) big() *bigPoint {
	if p.infinite {
		return nil
	}
	return image(&bigPoint{p.x.big(), p.y.big()}, p.z.big())
}

// edgePoints returns small multiples of the generator and their images under the
// endomorphism, infinity first, of which every pair is an exceptional case or
// next to one.
func edgePoints() []*bigPoint {
	points := []*bigPoint{nil}
	for k := range int64(4) {
		p := generator.times(big.NewInt(k + 1))
		points = append(points, p, p.negate(), p.times(lambda))
	}
	return points
}

func TestPointAddition(t *testing.T) { eachPath(t, testPointAddition) }

func testPointAddition(t *testing.T) {
	r := newRand(t)
	check := func(a, b *bigPoint) {
		p, want := *newJacobian(r, a), a.add(b)
		entry := affine{*respell(r, b.x), *respell(r, b.y)}
		got := p
		if got.add(&entry, nil); !got.big().equal(want) {
			t.Fatalf("%v + %v = %v, want %v; of %+v and %+v became %+v", a, b, got.big(), want, p, entry, got)
		}
		s := unit(r)
		other := image(b, s)
		entry = affine{*respell(r, other.x), *respell(r, other.y)}
		got = p
		if got.add(&entry, respell(r, s)); !got.big().equal(want) {
			t.Fatalf("%v + %v = %v with a scale, want %v; of %+v and %+v became %+v", a, b, got.big(), want, p, entry, got)
		}
	}
	for _, a := range edgePoints() {
		for _, b := range edgePoints()[1:] {
			for range 4 {
				check(a, b)
			}
		}
	}
	for range rounds(500) {
		check(decredTimes(edgeScalar(r), nil), decredTimes(edgeScalar(r), nil))
	}
}

func TestPointDoubling(t *testing.T) { eachPath(t, testPointDoubling) }

func testPointDoubling(t *testing.T) {
	r := newRand(t)
	points := edgePoints()
	for range rounds(500) {
		points = append(points, decredTimes(edgeScalar(r), nil))
	}
	for _, a := range points {
		p := *newJacobian(r, a)
		got := p
		got.double()
		if want := a.add(a); !got.big().equal(want) {
			t.Fatalf("2⋅%v = %v, want %v; of %+v became %+v", a, got.big(), want, p, got)
		}
		if a != nil {
			if q := p.affine(); q != *newAffine(a) {
				t.Fatalf("%+v is %+v, want %v", p, q, a)
			}
		}
	}
}

// combined returns u⋅G + v⋅q by the code under test.
func combined(u, v *big.Int, q *bigPoint) *bigPoint {
	var p jacobian
	p.combine(newScalar(u), newScalar(v), newAffine(q))
	return p.big()
}

// TestCombineEdges pairs all edges of both factors with keys that are multiples
// of the generator, so that sums on the way are equal, opposite or infinite.
func TestCombineEdges(t *testing.T) { eachPath(t, testCombineEdges) }

func testCombineEdges(t *testing.T) {
	r := newRand(t)
	var factors []*big.Int
	for _, k := range []*big.Int{
		new(big.Int), big.NewInt(1), big.NewInt(2), big.NewInt(3), big.NewInt(15), big.NewInt(16), big.NewInt(17),
		lambda, sum(lambda, big.NewInt(1)), mul(lambda, big.NewInt(2)), pow2(128), sub(pow2(128), big.NewInt(1)),
		sum(pow2(128), big.NewInt(1)), pow2(129), pow2(255), new(big.Int).Rsh(groupOrder, 1),
	} {
		factors = append(factors, k, new(big.Int).Neg(k))
	}
	secrets := []*big.Int{big.NewInt(1), big.NewInt(-1), big.NewInt(2), big.NewInt(-3), lambda, pow2(128), inverse(big.NewInt(2), groupOrder)}
	if testing.Short() {
		secrets = secrets[:3]
	}
	for _, d := range secrets {
		q := decredTimes(d, nil)
		for _, u := range factors {
			for _, v := range factors {
				if testing.Short() && r.IntN(4) != 0 {
					continue
				}
				want := decredTimes(sum(u, mul(v, d)), nil)
				if got := combined(u, v, q); !got.equal(want) {
					t.Fatalf("%x⋅G + %x⋅%x⋅G = %v, want %v", u, v, d, got, want)
				}
			}
		}
	}
	for range rounds(1000) {
		u, v, d := edgeScalar(r), edgeScalar(r), edgeScalar(r)
		switch r.IntN(4) {
		case 0: // infinity
			u = new(big.Int).Neg(mul(v, d))
		case 1: // twice the same
			u = mul(v, d)
		}
		want := decredTimes(sum(u, mul(v, d)), nil)
		if got := combined(u, v, decredTimes(d, nil)); !got.equal(want) {
			t.Fatalf("%x⋅G + %x⋅%x⋅G = %v, want %v", u, v, d, got, want)
		}
	}
}

// The oracle alone, without decred, on fewer.
func TestCombineAgainstOracle(t *testing.T) { eachPath(t, testCombineAgainstOracle) }

func testCombineAgainstOracle(t *testing.T) {
	r := newRand(t)
	for range rounds(40) {
		u, v, d := edgeScalar(r), edgeScalar(r), edgeScalar(r)
		q := generator.times(d)
		want := generator.times(u).add(q.times(v))
		if got := combined(u, v, q); !got.equal(want) {
			t.Fatalf("%x⋅G + %x⋅%x⋅G = %v, want %v", u, v, d, got, want)
		}
	}
}
