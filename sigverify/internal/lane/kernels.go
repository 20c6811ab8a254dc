package lane

// A kernelSet is the functions that do the work: those in assembly, or their
// models. Where a function takes vectors and the products over them, vs[0] only
// holds what the first product begins with.
type kernelSet struct {
	// lift finds the keys of at most liftVectors vectors from their x and the
	// parity of their y: rowKeyX, rowKeyY and flagOdd make rowQX, rowQY,
	// flagOnCurve and flagSameY.
	lift func(vs []vector, w *work)
	// scalarPrefix multiplies the divisors up: rowS makes rowPrefix.
	scalarPrefix func(vs []vector, w *work)
	// scalarQuotient divides the multipliers by the divisors: rowM, rowT and
	// hotFactor of w, the inverse of the last product, make rowU1 and rowU2.
	scalarQuotient func(vs []vector, w *work)
	// recode makes the digits of v in cold part n of w.
	recode func(v *vector, w *work, n int)
	// table makes the tables of the keys of one or two vectors in w.
	table func(vs []*vector, w *work)
	// multiplyHead and multiplyTail set the results of one or two vectors to
	// u1⋅G + u2⋅Q, from the digits and tables in w, and the multiples of G. They are
	// two for Go's scheduler, which can preempt neither. Between them the sums are in
	// w.
	multiplyHead, multiplyTail func(vs []*vector, w *work, t *table)
	// check compares the results with rowR: flagEqual and flagZero.
	check func(vs []vector, w *work)
	// zPrefix multiplies the Z of the results up: rowZ makes rowPrefix.
	zPrefix func(vs []vector, w *work)
	// odd sets flagOddY, from hotFactor of w, the inverse of the last product.
	odd func(vs []vector, w *work)
}

// models returns the kernels in Go, which run everywhere.
func models() *kernelSet {
	return &kernelSet{
		lift:           liftModel,
		scalarPrefix:   scalarPrefixModel,
		scalarQuotient: scalarQuotientModel,
		recode:         recodeModel,
		table:          tableModel,
		multiplyHead:   multiplyHeadModel,
		multiplyTail:   multiplyTailModel,
		check:          checkModel,
		zPrefix:        zPrefixModel,
		odd:            oddModel,
	}
}
