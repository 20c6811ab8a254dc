package secp

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

func (s *signed62) big() *big.Int {
	n := new(big.Int)
	for i := 4; i >= 0; i-- {
		n.Lsh(n, 62).Add(n, big.NewInt(s[i]))
	}
	return n
}

func newSigned62(n *big.Int) (s signed62) {
	n = new(big.Int).Set(n)
	for i := range 4 {
		s[i] = new(big.Int).And(n, big.NewInt(mask62)).Int64()
		n.Rsh(n, 62)
	}
	s[4] = n.Int64()
	return s
}

// residueBetween returns a number above -2m and below m, near the ends or near
// zero more often than chance.
func residueBetween(r *rand.Rand, m *big.Int) *big.Int {
	small := big.NewInt(1 + r.Int64N(3))
	switch r.IntN(5) {
	case 0:
		return sum(mul(big.NewInt(-2), m), small)
	case 1:
		return sub(m, small)
	case 2:
		return sub(small, big.NewInt(2))
	case 3:
		return sub(new(big.Int).Neg(m), sub(small, big.NewInt(2)))
	}
	n := sum(new(big.Int).Lsh(random256(r), 256), random256(r))
	return sum(mod(n, sub(mul(big.NewInt(3), m), big.NewInt(1))), sub(big.NewInt(1), mul(big.NewInt(2), m)))
}

// TestInversionSteps checks what inversions rely on: the ranges and values that
// the applications of a transition leave, with numbers at the ends of the ranges,
// which whole inversions hardly ever meet.
func TestInversionSteps(t *testing.T) {
	r := newRand(t)
	for _, m := range []struct {
		*modulus
		n *big.Int
	}{{&fieldModulus, fieldPrime}, {&scalarModulus, groupOrder}} {
		if m.m.big().Cmp(m.n) != 0 || (m.inverse*uint64(m.m[0]))&mask62 != 1 {
			t.Fatalf("%x is not the modulus %x, or %x not its inverse", m.m, m.n, m.inverse)
		}
		for range rounds(20000) {
			f, g := newSigned62(residueBetween(r, m.n)), newSigned62(residueBetween(r, m.n))
			f[0] |= 1
			_, tr := divsteps62(int64(r.IntN(200)-100), uint64(f[0]), uint64(g[0]))
			u, v, q, s := big.NewInt(tr.u), big.NewInt(tr.v), big.NewInt(tr.q), big.NewInt(tr.r)
			wantF := sum(mul(u, f.big()), mul(v, g.big()))
			wantG := sum(mul(q, f.big()), mul(s, g.big()))
			if tr.apply(&f, &g, 5); new(big.Int).Lsh(f.big(), 62).Cmp(wantF) != 0 || new(big.Int).Lsh(g.big(), 62).Cmp(wantG) != 0 {
				t.Fatalf("%+v leads to %x and %x, want %x and %x over 2⁶²", tr, f.big(), g.big(), wantF, wantG)
			}

			d, e := residueBetween(r, m.n), residueBetween(r, m.n)
			wantD, wantE := sum(mul(u, d), mul(v, e)), sum(mul(q, d), mul(s, e))
			sd, se := newSigned62(d), newSigned62(e)
			tr.applyModulo(&sd, &se, m.modulus)
			for _, x := range []struct{ got, want *big.Int }{{sd.big(), wantD}, {se.big(), wantE}} {
				if mod(sub(new(big.Int).Lsh(x.got, 62), x.want), m.n).Sign() != 0 {
					t.Fatalf("%+v of %x and %x is %x, want %x over 2⁶²", tr, d, e, x.got, x.want)
				}
				if x.got.Cmp(m.n) >= 0 || x.got.Cmp(mul(big.NewInt(-2), m.n)) <= 0 {
					t.Fatalf("%+v of %x and %x is %x, which is out of range", tr, d, e, x.got)
				}
			}

			negate := r.IntN(2) == 0
			want := d
			if negate {
				want = new(big.Int).Neg(d)
			}
			sd = newSigned62(d)
			var got Scalar
			got[0], got[1], got[2], got[3] = m.normalize(&sd, negate)
			if got.big().Cmp(mod(want, m.n)) != 0 {
				t.Fatalf("%x modulo %x is %x", want, m.n, got.big())
			}
		}
	}
}
