package lane

// The models of the kernels. Each computes what its kernel does, with the same
// limbs in memory afterwards, one lane after another.

// A vector is eight signatures in rows of eight lanes; layout.go has the rows. A
// work is what a kernel works in. They are arrays by other names because the
// kernels know no types.
type (
	vector = [vectorRows]row
	work   = [workRows]row
	row    = [8]uint64
)

// get returns lane i of the element in five rows.
func get(rows []row, i int) element {
	return element{rows[0][i], rows[1][i], rows[2][i], rows[3][i], rows[4][i]}
}

// put sets lane i of the element in five rows.
func put(rows []row, i int, x element) {
	for j, l := range x {
		rows[j][i] = l
	}
}

// words returns lane i of four rows.
func words(rows []row, i int) [4]uint64 {
	return [4]uint64{rows[0][i], rows[1][i], rows[2][i], rows[3][i]}
}

// byteOf returns byte i of a row, as it lies in memory on the machines that have
// the kernels.
func byteOf(r *row, i int) byte { return byte(r[i/8] >> (8 * (i % 8))) }

// setByte sets byte i of a row.
func setByte(r *row, i int, b byte) {
	s := 8 * (i % 8)
	r[i/8] = r[i/8]&^(255<<s) | uint64(b)<<s
}

// setBit sets bit i of byte at of a row to b.
func setBit(r *row, at, i int, b bool) {
	v := byteOf(r, at) &^ (1 << i)
	if b {
		v |= 1 << i
	}
	setByte(r, at, v)
}

func bitOf(r *row, at, i int) bool { return byteOf(r, at)>>i&1 == 1 }

// hotOf and coldOf return the parts of a work area that belong to vector n.
func hotOf(w *work, n int) []row  { return w[n*hotRows:][:hotRows] }
func coldOf(w *work, n int) []row { return w[coldStart+n*coldRows:][:coldRows] }

// liftSteps is the addition chain for the exponent (p+1)/4 but for the last two
// squarings: square so often, multiply, keep.
var liftSteps = []struct{ squarings, multiply, keep int }{
	{1, rowCube, rowPower2},
	{1, rowCube, rowPower3},
	{3, rowPower3, rowUnused},
	{3, rowPower3, rowUnused},
	{2, rowPower2, rowPower11},
	{11, rowPower11, rowPower22},
	{22, rowPower22, rowPower44},
	{44, rowPower44, rowPower88},
	{88, rowPower88, rowUnused},
	{44, rowPower44, rowUnused},
	{3, rowPower3, rowUnused},
	{23, rowPower22, rowUnused},
	{6, rowPower2, rowUnused},
}

var (
	generatorX = element{0x2815B16F81798, 0xDB2DCE28D959F, 0xE870B07029BFC, 0xBBAC55A06295C, 0x79BE667EF9DC}
	generatorY = element{0x7D08FFB10D4B8, 0x48A68554199C4, 0xE1108A8FD17B4, 0xC4655DA4FBFC0, 0x483ADA7726A3}
	beta       = element{0x96C28719501EE, 0x7512F58995C13, 0xC3434E99CF049, 0x7106E64479EA, 0x7AE96A2B657C}
)

func liftModel(vs []vector, w *work) {
	for n := range vs {
		v, tmp := &vs[n], w[coldStart+n*liftRows:]
		for i := range 8 {
			x := unpacked(words(v[rowKeyX:], i))
			cube := mulColumns(x.sqrSemi(), x).fold().plus(raw{l: element{7}}).reduced()
			put(tmp[rowCube:], i, cube)
			a := cube
			for _, step := range liftSteps {
				for range step.squarings {
					a = a.sqrSemi()
				}
				a = a.mulSemi(get(tmp[step.multiply:], i))
				put(tmp[step.keep:], i, a)
			}
			a = a.sqrSemi()
			put(tmp[rowPower:], i, a)

			root := a.sqr()
			d := mulColumns(root, root).fold().plus(negated(2, cube)).reduced().normal()
			y := root.normal()
			if y[0]&1 == 1 != bitOf(&v[rowFlags], flagOdd, i) {
				y = negated(2, y).reduced()
			}
			given := unpacked(words(v[rowKeyY:], i))
			setBit(&v[rowFlags], flagSameY, i, negated(2, given).plus(y.raw()).reduced().normal().isZero())
			setBit(&v[rowFlags], flagOnCurve, i, d.isZero())
			if !d.isZero() {
				x, y = generatorX, generatorY
			}
			put(v[rowQX:], i, x)
			put(v[rowQY:], i, y)
		}
	}
}

// scalarPrefixModel takes vs[0] as the vector before the first.
func scalarPrefixModel(vs []vector, _ *work) {
	for n := 1; n < len(vs); n++ {
		for i := range 8 {
			p := montgomery(get(vs[n-1][rowPrefix:], i), unpacked(words(vs[n][rowS:], i)))
			put(vs[n][rowPrefix:], i, p)
		}
	}
}

// scalarQuotientModel takes vs[0] as the vector before the first.
func scalarQuotientModel(vs []vector, w *work) {
	for n := len(vs) - 1; n > 0; n-- {
		v := &vs[n]
		for i := range 8 {
			all := get(w[hotFactor:], i)
			inverse := montgomery(all, get(vs[n-1][rowPrefix:], i))
			put(w[hotFactor:], i, montgomery(all, unpacked(words(v[rowS:], i))))
			put(v[rowU1:], i, montgomery(unpacked(words(v[rowM:], i)), inverse))
			put(v[rowU2:], i, montgomery(unpacked(words(v[rowT:], i)), inverse))
		}
	}
}

// storeDigit stores lane i of a digit: its offset, 32 bits, in the rows from
// digits on, and its sign in the row signs.
func storeDigit(digits []row, signs *row, event, i int, offset uint64, negative bool) {
	r := &digits[event/2][event%2*4+i/2]
	s := 32 * (i % 2)
	*r = *r&^((1<<32-1)<<s) | offset<<s
	setBit(signs, event, i, negative)
}

// loadDigit returns what storeDigit stored.
func loadDigit(digits []row, signs *row, event, i int) (offset uint32, negative bool) {
	r := digits[event/2][event%2*4+i/2]
	return uint32(r >> (32 * (i % 2))), bitOf(signs, event, i)
}

// entryBytes is the size of a table's entry: the words of x and y.
const entryBytes = 64

func recodeModel(v *vector, w *work, n int) {
	h := coldOf(w, n)
	for i := range 8 {
		k1, k2 := get(v[rowU2:], i).split()
		for n, windows := range [][windowsQ]uint64{k1.digitsQ(), k2.digitsQ()} {
			for j, window := range windows {
				index, negative := digit(window, windowQ)
				offset := (index + uint64(n)<<(windowQ-1)) * entryBytes
				storeDigit(h[coldDigitsQ:], &h[coldSignsQ], 2*(windowsQ-1-j)+n, i, offset, negative)
			}
		}
		for j, window := range get(v[rowU1:], i).digitsG() {
			group := j / (windowsG / 2)
			index, negative := digit(window, windowG)
			offset := (index + uint64(group)*multiplesG) * entryBytes
			storeDigit(h[coldDigitsG:], &h[coldSignsG], 2*(windowsG/2-1-j%(windowsG/2))+group, i, offset, negative)
		}
	}
}

// entryAt returns the point of a table's entry.
func entryAt(e *row) (x, y [4]uint64) { return [4]uint64(e[:4]), [4]uint64(e[4:]) }

// tableModel makes the tables of all vs, for the halves of w in order.
func tableModel(vs []*vector, w *work) {
	for n, v := range vs {
		for i := range 8 {
			tableLane(v, hotOf(w, n), coldOf(w, n), i)
		}
	}
}

func tableLane(v *vector, hot, h []row, i int) {
	multiple := func(j int) []row { return h[coldMultiples+15*j:] }
	twice, same, z := shared{get(v[rowQX:], i), get(v[rowQY:], i)}.double()
	for j := range multiplesQ {
		ratio := z
		if j > 0 {
			same, twice, ratio = twice.add(same)
		}
		put(multiple(j), i, same.x)
		put(multiple(j)[5:], i, same.y)
		put(multiple(j)[10:], i, ratio)
	}
	put(h[coldTwice:], i, twice.x)
	put(h[coldTwice+5:], i, twice.y)

	f := element{1}
	for j := multiplesQ - 1; j >= 0; j-- {
		f2 := f.sqrSemi()
		x := get(multiple(j), i).mul(f2).fits()
		y := get(multiple(j)[5:], i).mul(f2.mulSemi(f)).fits()
		ys := y.packed()
		for k, xs := range [2][4]uint64{x.packed(), x.mul(beta).fits().packed()} {
			e := &h[coldTable+i*2*multiplesQ+k*multiplesQ+j]
			copy(e[:4], xs[:])
			copy(e[4:], ys[:])
		}
		f = f.mulSemi(get(multiple(j)[10:], i))
	}
	put(hot[hotFactor:], i, f)
}

// multiplyHeadModel does the first doublings for all vs, and multiplyTailModel the
// others and sets their results, for the halves of w in order.
func multiplyHeadModel(vs []*vector, w *work, t *table) {
	for n := range vs {
		for i := range 8 {
			multiplyLane(hotOf(w, n), coldOf(w, n), t, i, false)
		}
	}
}

func multiplyTailModel(vs []*vector, w *work, t *table) {
	for n, v := range vs {
		hot := hotOf(w, n)
		for i := range 8 {
			p := multiplyLane(hot, coldOf(w, n), t, i, true)
			put(v[rowX:], i, p.x)
			put(v[rowY:], i, p.y)
			put(v[rowZ:], i, p.z.mul(get(hot[hotFactor:], i)))
		}
	}
}

// multiplyLane returns the sum of the head or of all, and leaves it in hot.
func multiplyLane(hot, h []row, t *table, i int, tail bool) jacobian {
	z := get(hot[hotFactor:], i)
	var p jacobian
	if tail {
		p = jacobian{get(hot[hotSum:], i), get(hot[hotSum+5:], i), get(hot[hotSum+10:], i)}
	}
	// add adds the point of an entry, and leaves in memory what it added.
	add := func(entry *row, scale element, negative bool) {
		for j, w := range entry {
			hot[hotEntry+j][i] = w
		}
		put(hot[hotScale:], i, scale)
		setBit(&hot[hotSign], 0, i, negative)
		x, y := entryAt(entry)
		p = p.addAffine(scale, unpackedSemi(x), unpackedSemi(y), negative)
	}
	addQ := func(event int) {
		offset, negative := loadDigit(h[coldDigitsQ:], &h[coldSignsQ], event, i)
		entry := &h[coldTable+i*2*multiplesQ+int(offset/entryBytes)]
		if event == 0 {
			x, y := entryAt(entry)
			p = jacobian{unpacked(x), unpacked(y), element{1}}
			if negative {
				p.y = negated(2, p.y).reduced()
			}
		} else {
			add(entry, p.z, negative)
		}
	}
	addG := func(event int) {
		offset, negative := loadDigit(h[coldDigitsG:], &h[coldSignsG], event, i)
		add(&t[offset/entryBytes], p.z.mulSemi(z), negative)
	}
	first, last := doublings, doublings-headDoublings
	if tail {
		first, last = last-1, 0
	}
	for position := first; position >= last; position-- {
		if position < doublings {
			p = p.double()
		}
		if position%windowQ == 0 {
			event := 2 * (windowsQ - 1 - position/windowQ)
			addQ(event)
			addQ(event + 1)
		}
		if event := windowsG - 2 - 2*(position/windowG); position%windowG == 0 && event >= 0 {
			addG(event)
			addG(event + 1)
		}
	}
	put(hot[hotSum:], i, p.x)
	put(hot[hotSum+5:], i, p.y)
	put(hot[hotSum+10:], i, p.z)
	return p
}

func checkModel(vs []vector, _ *work) {
	for n := range vs {
		v := &vs[n]
		for i := range 8 {
			z := get(v[rowZ:], i)
			d := mulColumns(unpacked(words(v[rowR:], i)), z.sqrSemi()).fold().plus(negated(2, get(v[rowX:], i)))
			setBit(&v[rowFlags], flagEqual, i, d.reduced().normal().isZero())
			setBit(&v[rowFlags], flagZero, i, z.normal().isZero())
		}
	}
}

// nonzeroZ returns Z, or 1 where it is zero.
func nonzeroZ(v *vector, i int) element {
	if bitOf(&v[rowFlags], flagZero, i) {
		return element{1}
	}
	return get(v[rowZ:], i)
}

// zPrefixModel takes vs[0] as the vector before the first.
func zPrefixModel(vs []vector, _ *work) {
	for n := 1; n < len(vs); n++ {
		for i := range 8 {
			put(vs[n][rowPrefix:], i, get(vs[n-1][rowPrefix:], i).mul(nonzeroZ(&vs[n], i)))
		}
	}
}

// oddModel takes vs[0] as the vector before the first.
func oddModel(vs []vector, w *work) {
	for n := len(vs) - 1; n > 0; n-- {
		v := &vs[n]
		for i := range 8 {
			all := get(w[hotFactor:], i)
			inverse := all.mulSemi(get(vs[n-1][rowPrefix:], i))
			put(w[hotFactor:], i, all.mul(nonzeroZ(v, i)))
			y := get(v[rowY:], i).mul(inverse.sqrSemi().mulSemi(inverse)).normal()
			setBit(&v[rowFlags], flagOddY, i, y[0]&1 == 1)
		}
	}
}
