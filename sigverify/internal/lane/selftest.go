package lane

import "math/rand/v2"

// A trial is random memory for one kernel to run on.
type trial struct {
	vectors []vector
	work    *work
	table   *table
	pair    []*vector
}

// A kernelTest runs one kernel on a trial.
type kernelTest struct {
	name    string
	most    int                          // vectors that one call takes
	prepare func(r *rand.Rand, t *trial) // makes the inputs be in range
	run     func(k *kernelSet, t *trial) // calls the kernel
}

// kernelTests are the tests of all kernels. Vector 0 of a trial is there for
// those that need one before the first.
var kernelTests = []kernelTest{
	{"lift", liftVectors, func(r *rand.Rand, t *trial) {
		for n := range t.vectors {
			v := &t.vectors[n]
			for i := range 8 {
				if x := number(edgeElement(r).fits().packed()); r.IntN(4) == 0 {
					putNumber(v[rowKeyX:], i, &x)
				}
				if r.IntN(4) == 0 { // the y that is given may be right
					x, y := number(generatorX.packed()), number(generatorY.packed())
					putNumber(v[rowKeyX:], i, &x)
					putNumber(v[rowKeyY:], i, &y)
				}
			}
		}
	}, func(k *kernelSet, t *trial) { k.lift(t.vectors[1:], t.work) }},
	{"scalarPrefix", maxVectors, prepareScalars, func(k *kernelSet, t *trial) { k.scalarPrefix(t.vectors, t.work) }},
	{"scalarQuotient", maxVectors, prepareScalars, func(k *kernelSet, t *trial) { k.scalarQuotient(t.vectors, t.work) }},
	{"recode", 2, prepareScalars, func(k *kernelSet, t *trial) {
		for n := range len(t.vectors) - 1 {
			k.recode(&t.vectors[1+n], t.work, n)
		}
	}},
	{"table", 2, preparePoints, func(k *kernelSet, t *trial) { k.table(t.pair, t.work) }},
	{"multiplyHead", 2, prepareMultipliers, func(k *kernelSet, t *trial) { k.multiplyHead(t.pair, t.work, t.table) }},
	{"multiplyTail", 2, prepareMultipliers, func(k *kernelSet, t *trial) { k.multiplyTail(t.pair, t.work, t.table) }},
	{"check", maxVectors, func(r *rand.Rand, t *trial) {
		preparePoints(r, t)
		for n := range t.vectors {
			v := &t.vectors[n]
			for i := range 8 {
				if r.IntN(2) == 0 { // the right x
					r := number(get(v[rowX:], i).normal().packed())
					put(v[rowZ:], i, element{1})
					putNumber(v[rowR:], i, &r)
				}
			}
		}
	}, func(k *kernelSet, t *trial) { k.check(t.vectors[1:], t.work) }},
	{"zPrefix", maxVectors, preparePoints, func(k *kernelSet, t *trial) { k.zPrefix(t.vectors, t.work) }},
	{"odd", maxVectors, preparePoints, func(k *kernelSet, t *trial) { k.odd(t.vectors, t.work) }},
}

// prepareScalars puts scalars where kernels expect them.
func prepareScalars(r *rand.Rand, t *trial) {
	for n := range t.vectors {
		for i := range 8 {
			for _, at := range []int{rowPrefix, rowU1, rowU2} {
				put(t.vectors[n][at:], i, edgeScalar(r))
			}
		}
	}
	for i := range 8 {
		put(t.work[hotFactor:], i, edgeScalar(r))
	}
}

// preparePoints puts reduced elements where kernels expect them.
func preparePoints(r *rand.Rand, t *trial) {
	for n := range t.vectors {
		for i := range 8 {
			for _, at := range []int{rowQX, rowQY, rowX, rowY, rowZ, rowPrefix} {
				put(t.vectors[n][at:], i, edgeElement(r))
			}
		}
	}
	for i := range 8 {
		put(t.work[hotFactor:], i, edgeElement(r))
	}
}

// prepareMultipliers puts digits and a sum where the multiplication expects them.
func prepareMultipliers(r *rand.Rand, t *trial) {
	for n := range t.pair {
		hot, h := hotOf(t.work, n), coldOf(t.work, n)
		for i := range 8 {
			put(hot[hotFactor:], i, edgeSemi(r))
			put(hot[hotSum:], i, edgeElement(r))
			put(hot[hotSum+5:], i, edgeElement(r))
			put(hot[hotSum+10:], i, edgeSemi(r))
			for event := range 2 * windowsQ {
				offset := (uint64(event%2)*multiplesQ + edgeIndex(r, multiplesQ)) * entryBytes
				storeDigit(h[coldDigitsQ:], &h[coldSignsQ], event, i, offset, r.IntN(2) == 0)
			}
			for event := range windowsG {
				offset := (uint64(event%2)*multiplesG + edgeIndex(r, multiplesG)) * entryBytes
				storeDigit(h[coldDigitsG:], &h[coldSignsG], event, i, offset, r.IntN(2) == 0)
			}
		}
	}
}

// edgeLimb returns a number from 0 to top, often one of the ends.
func edgeLimb(r *rand.Rand, top uint64) uint64 {
	switch r.IntN(6) {
	case 0:
		return 0
	case 1:
		return top
	case 2:
		return top - r.Uint64N(3)
	case 3:
		return 1
	}
	return r.Uint64N(top) + r.Uint64N(2)
}

// topReduced is the largest limb 4 of a reduced element.
const topReduced = 1<<48 + 1<<12

// edgeElement returns a reduced element, often a bound, zero or p.
func edgeElement(r *rand.Rand) element {
	switch r.IntN(16) {
	case 0:
		return element{}
	case 1:
		return primeLimbs
	case 2: // 2p, which fits as well
		return element{mask52 - 2*fold + 2, mask52, mask52, mask52, 1<<49 - 1}.fits()
	case 3:
		return element{mask52, mask52, mask52, mask52, topReduced}
	case 4:
		return element{primeLimbs[0] + 1, mask52, mask52, mask52, mask48}
	}
	var x element
	for i := range 4 {
		x[i] = edgeLimb(r, mask52)
	}
	x[4] = edgeLimb(r, topReduced)
	return x
}

// edgeSemi returns a semi-reduced element, whose carried bits are any.
func edgeSemi(r *rand.Rand) element {
	x := edgeElement(r)
	for i := range 4 {
		x[i] |= r.Uint64() &^ mask52
	}
	return x
}

// edgeScalar returns a scalar within its bounds.
func edgeScalar(r *rand.Rand) scalar {
	switch r.IntN(16) {
	case 0:
		return scalar{}
	case 1:
		return orderLimbs
	case 2:
		return scalar{mask52, mask52, mask52, mask52, 1<<49 - 1}
	}
	var x scalar
	for i := range 4 {
		x[i] = edgeLimb(r, mask52)
	}
	x[4] = edgeLimb(r, 1<<49-1)
	return x
}

// edgeIndex returns an index below n.
func edgeIndex(r *rand.Rand, n int) uint64 { return edgeLimb(r, uint64(n)-1) }

// newTrial returns a trial of n vectors and one before them, all of whose memory
// is random.
func newTrial(r *rand.Rand, n int, t *table) *trial {
	tr := &trial{vectors: aligned[vector](n + 1), work: &aligned[work](1)[0], table: t}
	for i := range tr.vectors {
		fill(r, tr.vectors[i][:])
		if i > 0 {
			tr.pair = append(tr.pair, &tr.vectors[i])
		}
	}
	fill(r, tr.work[:])
	return tr
}

func fill(r *rand.Rand, rows []row) {
	for i := range rows {
		for j := range rows[i] {
			rows[i][j] = edgeLimb(r, 1<<64-1)
		}
	}
}

// copyTo makes u the same as t.
func (t *trial) copyTo(u *trial) {
	copy(u.vectors, t.vectors)
	*u.work = *t.work
}

// matches runs the test with n vectors on k and on the models, and reports
// whether all memory is the same afterwards, but for what k spilled.
func (test *kernelTest) matches(k *kernelSet, r *rand.Rand, n int, t *table) bool {
	got, want := newTrial(r, n, t), newTrial(r, n, t)
	test.prepare(r, want)
	want.copyTo(got)
	test.run(models(), want)
	test.run(k, got)
	clear(want.work[spillStart:][:spillRows])
	clear(got.work[spillStart:][:spillRows])
	for i := range got.vectors {
		if got.vectors[i] != want.vectors[i] {
			return false
		}
	}
	return *got.work == *want.work
}

// selfTest returns the name of the first kernel that differs from its model; an
// empty string if none does.
func selfTest(e *engine) string {
	r := rand.New(rand.NewPCG(0x73656c66, 0x74657374))
	for i := range kernelTests {
		test := &kernelTests[i]
		for _, n := range []int{1, 2, 3, liftVectors} {
			if n <= test.most && !test.matches(e.kernels, r, n, e.table) {
				return test.name
			}
		}
	}
	return ""
}
