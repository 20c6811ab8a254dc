package secp

// combine sets p to u⋅G + v⋅q, where G is the generator.
//
// It is Straus's method with the doublings shared by four factors of 128 bits:
// the halves of v that SplitLambda gives, and the lower and upper half of u.
func (p *jacobian) combine(u, v *Scalar, q *affine) {
	var digits [4]recoding
	k1, k2 := v.SplitLambda()
	digits[0].set(k1, windowKey)
	digits[1].set(k2, windowKey)
	digits[2].set(Half{Lo: u[0], Hi: u[1]}, windowBase)
	digits[3].set(Half{Lo: u[2], Hi: u[3]}, windowBase)
	length := max(digits[0].length, digits[1].length, digits[2].length, digits[3].length)

	var odd, lambda keyTable
	var z residue
	setKeyTables(&odd, &lambda, &z, q)
	base := baseTables()

	// The sum is built on the curve of the key's tables. There, the generator's
	// multiples have 1/z as their z.
	*p = jacobian{infinite: true}
	var entry affine
	doublings := 0
	for i := length - 1; i >= 0; i-- {
		doublings++
		for j := range digits {
			d := int(digits[j].digits[i])
			if d == 0 {
				continue
			}
			if !p.infinite {
				p.doubleTimes(doublings)
			}
			doublings = 0
			switch j {
			case 0:
				entry.multiple(odd[:], d)
				p.add(&entry, nil)
			case 1:
				entry.multiple(lambda[:], d)
				p.add(&entry, nil)
			default:
				entry.multiple(base[j-2][:], d)
				p.add(&entry, &z)
			}
		}
	}
	if !p.infinite {
		p.doubleTimes(doublings)
	}
	p.z.mul(&p.z, &z)
}
