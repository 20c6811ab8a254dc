package secp

// The products of the field are columns of limb products, as on paper: column k
// is the sum of all x[i]⋅y[j] with i + j = k, and weighs 2^(52k). Columns 5 to
// 8 come down to 0 to 3 by 2²⁶⁰ ≡ fold52. The columns are taken in an order in
// which only two sums are open at a time:
//
//	high: 3, 4, 5, 6, 7    low: 8, which folds into 3 and 4; then 0, 1, 2, and
//	                       what is left of 3 and 4
//
// Bounds. Let the limbs have at most 56 bits and the last 52, which is
// magnitude 8. A column has at most five products of at most 112 bits, and so
// 114.4 bits at most. Each folded part adds less than 2⁶⁴⋅2³⁷ or 2⁵²⋅2⁴⁹, and
// each carry from the column below less than 2^(115-52). No sum reaches 2¹¹⁵.
// What the high columns leave above column 7 is d.hi < 2^(110-64), of at most
// two products of 108 bits; times fold52<<12 it has 95 bits, so the last carry
// has less than 44, and the last limb is below 2⁴⁸ + 2⁴⁴: magnitude 1.

// Mul sets z to x⋅y. The magnitudes of x and y must be at most 8; that of z
// is 1.
func (z *Element) Mul(x, y *Element) {
	x0, x1, x2, x3, x4 := x[0], x[1], x[2], x[3], x[4]
	y0, y1, y2, y3, y4 := y[0], y[1], y[2], y[3], y[4]

	d := wide{}.mac(x0, y3).mac(x1, y2).mac(x2, y1).mac(x3, y0)
	c := wide{}.mac(x4, y4)
	d = d.mac(c.lo, fold52)
	t3 := d.lo & mask52
	d = d.shift52().mac(x0, y4).mac(x1, y3).mac(x2, y2).mac(x3, y1).mac(x4, y0)
	d = d.mac(c.hi, fold52<<12)
	t4 := d.lo & mask52
	d = d.shift52().mac(x1, y4).mac(x2, y3).mac(x3, y2).mac(x4, y1)
	c = wide{}.mac(x0, y0).mac(d.lo&mask52<<4|t4>>48, fold)
	z0 := c.lo & mask52
	d = d.shift52().mac(x2, y4).mac(x3, y3).mac(x4, y2)
	c = c.shift52().mac(x0, y1).mac(x1, y0).mac(d.lo&mask52, fold52)
	z1 := c.lo & mask52
	d = d.shift52().mac(x3, y4).mac(x4, y3)
	c = c.shift52().mac(x0, y2).mac(x1, y1).mac(x2, y0).mac(d.lo, fold52)
	z[0], z[1], z[2] = z0, z1, c.lo&mask52
	c = c.shift52().add(t3).mac(d.hi, fold52<<12)
	z[3] = c.lo & mask52
	z[4] = t4&mask48 + c.shift52().lo
}

// Sqr sets z to x². The magnitude of x must be at most 8; that of z is 1.
func (z *Element) Sqr(x *Element) {
	x0, x1, x2, x3, x4 := x[0], x[1], x[2], x[3], x[4]
	twice0, twice1, twice2, twice3 := 2*x0, 2*x1, 2*x2, 2*x3

	d := wide{}.mac(twice0, x3).mac(twice1, x2)
	c := wide{}.mac(x4, x4)
	d = d.mac(c.lo, fold52)
	t3 := d.lo & mask52
	d = d.shift52().mac(twice0, x4).mac(twice1, x3).mac(x2, x2)
	d = d.mac(c.hi, fold52<<12)
	t4 := d.lo & mask52
	d = d.shift52().mac(twice1, x4).mac(twice2, x3)
	c = wide{}.mac(x0, x0).mac(d.lo&mask52<<4|t4>>48, fold)
	z0 := c.lo & mask52
	d = d.shift52().mac(twice2, x4).mac(x3, x3)
	c = c.shift52().mac(twice0, x1).mac(d.lo&mask52, fold52)
	z1 := c.lo & mask52
	d = d.shift52().mac(twice3, x4)
	c = c.shift52().mac(twice0, x2).mac(x1, x1).mac(d.lo, fold52)
	z[0], z[1], z[2] = z0, z1, c.lo&mask52
	c = c.shift52().add(t3).mac(d.hi, fold52<<12)
	z[3] = c.lo & mask52
	z[4] = t4&mask48 + c.shift52().lo
}
