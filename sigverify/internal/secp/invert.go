package secp

import "math/bits"

// Inversion is Bernstein's and Yang's division steps (Fast constant-time gcd
// computation and modular inversion, 2019) in the variable-time form with half
// deltas: 62 steps at a time are found from the low words of f and g alone, as a
// matrix that is then applied to the whole numbers f, g and to d, e, for which
// d⋅x ≡ f and e⋅x ≡ g modulo m holds throughout, up to powers of two that the
// application divides out.

// A signed62 is the sum of limb i times 2^(62i). Limbs 0 to 3 have 62 bits and
// are not negative; the last one has the sign.
type signed62 [5]int64

const mask62 = 1<<62 - 1

// A modulus is an odd number below 2²⁵⁶.
type modulus struct {
	m signed62
	// inverse is 1/m modulo 2⁶².
	inverse uint64
}

var (
	fieldModulus = modulus{
		m:       signed62{mask62 - fold + 1, mask62, mask62, mask62, 255},
		inverse: 0x27C7F6E22DDACACF,
	}
	scalarModulus = modulus{
		m:       signed62{0x3FD25E8CD0364141, 0x2ABB739ABD2280EE, mask62 - 0x14, mask62, 255},
		inverse: 0x34F20099AA774EC1,
	}
)

// A transition is 62 division steps: (f, g) becomes (u⋅f + v⋅g, q⋅f + r⋅g)/2⁶². It
// holds |u| + |v| ≤ 2⁶² and |q| + |r| ≤ 2⁶².
type transition struct{ u, v, q, r int64 }

// divsteps62 returns the transition that 62 steps from the state eta, f, g make,
// and the next eta. Only the low 64 bits of f and g count; f is odd.
func divsteps62(eta int64, f, g uint64) (int64, transition) {
	u, v, q, r := uint64(1), uint64(0), uint64(0), uint64(1)
	for left := 62; ; {
		// As many steps as g has trailing zeros are mere halvings.
		zeros := bits.TrailingZeros64(g | ^uint64(0)<<left)
		g >>= zeros
		u <<= zeros
		v <<= zeros
		eta -= int64(zeros)
		if left -= zeros; left == 0 {
			return eta, transition{int64(u), int64(v), int64(q), int64(r)}
		}
		// g is odd. Add the multiple of f that makes as many low bits of it zero as
		// may be before the next exchange, at most 6 or 4, which have a cheap inverse.
		var w uint64
		if eta < 0 {
			eta = -eta
			f, g = g, -f
			u, q = q, -u
			v, r = r, -v
			w = f * g * (f*f - 2) & 63
		} else {
			w = -(f + (f+1)&4<<1) * g & 15
		}
		w &= 1<<min(eta+1, int64(left)) - 1
		g += f * w
		q += u * w
		r += v * w
	}
}

// A wideInt is an integer of 128 bits in two's complement.
type wideInt struct{ hi, lo uint64 }

// mac returns w + a⋅b, for a b that is not negative.
func (w wideInt) mac(a int64, b uint64) wideInt {
	hi, lo := bits.Mul64(uint64(a), b)
	lo, carry := bits.Add64(w.lo, lo, 0)
	hi, _ = bits.Add64(w.hi, hi, carry)
	return wideInt{hi - uint64(a>>63)&b, lo}
}

// macSigned returns w + a⋅b.
func (w wideInt) macSigned(a, b int64) wideInt {
	w = w.mac(a, uint64(b))
	w.hi -= uint64(b>>63) & uint64(a)
	return w
}

// shift62 returns w / 2⁶², rounded down.
func (w wideInt) shift62() wideInt {
	return wideInt{uint64(int64(w.hi) >> 62), w.hi<<2 | w.lo>>62}
}

// apply applies t to the first n limbs of f and g.
func (t *transition) apply(f, g *signed62, n int) {
	last := n - 1
	if last == 0 {
		cf := wideInt{}.macSigned(t.u, f[0]).macSigned(t.v, g[0])
		cg := wideInt{}.macSigned(t.q, f[0]).macSigned(t.r, g[0])
		f[0], g[0] = int64(cf.shift62().lo), int64(cg.shift62().lo)
		return
	}
	f0, g0 := uint64(f[0]), uint64(g[0])
	cf := wideInt{}.mac(t.u, f0).mac(t.v, g0)
	cg := wideInt{}.mac(t.q, f0).mac(t.r, g0)
	for i := 1; i < last; i++ {
		fi, gi := uint64(f[i]), uint64(g[i])
		cf = cf.shift62().mac(t.u, fi).mac(t.v, gi)
		cg = cg.shift62().mac(t.q, fi).mac(t.r, gi)
		f[i-1] = int64(cf.lo & mask62)
		g[i-1] = int64(cg.lo & mask62)
	}
	cf = cf.shift62().macSigned(t.u, f[last]).macSigned(t.v, g[last])
	cg = cg.shift62().macSigned(t.q, f[last]).macSigned(t.r, g[last])
	f[last-1] = int64(cf.lo & mask62)
	g[last-1] = int64(cg.lo & mask62)
	f[last] = int64(cf.shift62().lo)
	g[last] = int64(cg.shift62().lo)
}

// applyModulo applies t to d and e modulo m. They are and stay between -2m and
// m.
func (t *transition) applyModulo(d, e *signed62, m *modulus) {
	// With the sign bits, the multiples of m make u⋅d + v⋅e and q⋅d + r⋅e lie between
	// -2⁶²⋅2m and 2⁶²⋅m in the end; with the inverse, multiples of 2⁶².
	sd, se := d[4]>>63, e[4]>>63
	md := t.u&sd + t.v&se
	me := t.q&sd + t.r&se

	d0, e0 := uint64(d[0]), uint64(e[0])
	cd := wideInt{}.mac(t.u, d0).mac(t.v, e0)
	ce := wideInt{}.mac(t.q, d0).mac(t.r, e0)
	md -= int64((m.inverse*cd.lo + uint64(md)) & mask62)
	me -= int64((m.inverse*ce.lo + uint64(me)) & mask62)
	cd = cd.mac(md, uint64(m.m[0]))
	ce = ce.mac(me, uint64(m.m[0]))

	for i := 1; i < 4; i++ {
		di, ei, mi := uint64(d[i]), uint64(e[i]), uint64(m.m[i])
		cd = cd.shift62().mac(t.u, di).mac(t.v, ei).mac(md, mi)
		ce = ce.shift62().mac(t.q, di).mac(t.r, ei).mac(me, mi)
		d[i-1] = int64(cd.lo & mask62)
		e[i-1] = int64(ce.lo & mask62)
	}
	cd = cd.shift62().macSigned(t.u, d[4]).macSigned(t.v, e[4]).mac(md, uint64(m.m[4]))
	ce = ce.shift62().macSigned(t.q, d[4]).macSigned(t.r, e[4]).mac(me, uint64(m.m[4]))
	d[3] = int64(cd.lo & mask62)
	e[3] = int64(ce.lo & mask62)
	d[4] = int64(cd.shift62().lo)
	e[4] = int64(ce.shift62().lo)
}

// isZero reports whether the first n limbs of s are zero.
func (s *signed62) isZero(n int) bool {
	var or int64
	for _, limb := range s[:n] {
		or |= limb
	}
	return or == 0
}

// invert returns 1/x modulo m in four words, the lowest first; zero if x is
// zero. x, in four words, must be below m.
func (m *modulus) invert(x0, x1, x2, x3 uint64) (r0, r1, r2, r3 uint64) {
	f := m.m
	g := signed62{
		int64(x0 & mask62),
		int64((x0>>62 | x1<<2) & mask62),
		int64((x1>>60 | x2<<4) & mask62),
		int64((x2>>58 | x3<<6) & mask62),
		int64(x3 >> 56),
	}
	d, e := signed62{}, signed62{1}
	eta := int64(-1)
	for n := len(f); !g.isZero(n); {
		var t transition
		// f and g need their low 64 bits, of which limb 0 lacks two, for 62 steps
		// only their low 62.
		eta, t = divsteps62(eta, uint64(f[0]), uint64(g[0]))
		t.applyModulo(&d, &e, m)
		t.apply(&f, &g, n)
		// Drop the last limb of f and g when it is nothing but a sign.
		if n > 1 && (f[n-1] == 0 || f[n-1] == -1) && (g[n-1] == 0 || g[n-1] == -1) {
			f[n-2] |= f[n-1] << 62
			g[n-2] |= g[n-1] << 62
			n--
		}
	}
	// Now g is 0 and f is 1 or -1, the gcd (or m itself, if x was zero, and then d
	// is zero), so that 1/x is d or -d.
	return m.normalize(&d, f[0] < 0)
}

// normalize returns d, or -d, modulo m. d must be between -2m and m.
func (m *modulus) normalize(d *signed62, negate bool) (r0, r1, r2, r3 uint64) {
	if d[4] < 0 {
		d.addModulus(m)
	}
	if negate {
		for i := range d {
			d[i] = -d[i]
		}
		d.carry()
	}
	if d[4] < 0 {
		d.addModulus(m)
	}
	return uint64(d[0]) | uint64(d[1])<<62,
		uint64(d[1])>>2 | uint64(d[2])<<60,
		uint64(d[2])>>4 | uint64(d[3])<<58,
		uint64(d[3])>>6 | uint64(d[4])<<56
}

func (s *signed62) addModulus(m *modulus) {
	for i := range s {
		s[i] += m.m[i]
	}
	s.carry()
}

// carry brings limbs 0 to 3 into their range.
func (s *signed62) carry() {
	for i := range 4 {
		s[i+1] += s[i] >> 62
		s[i] &= mask62
	}
}
