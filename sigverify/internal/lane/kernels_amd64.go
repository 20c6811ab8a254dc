//go:build !purego

package lane

// assembly returns the kernels in assembly. The processor must have what
// missingFeature asks for. All rows must lie at multiples of 64 bytes.
func assembly() *kernelSet {
	return &kernelSet{
		lift: func(vs []vector, w *work) { liftKernel(&vs[0], w, len(vs)) },
		scalarPrefix: func(vs []vector, w *work) {
			scalarPrefixKernel(&vs[1], w, len(vs)-1)
		},
		scalarQuotient: func(vs []vector, w *work) {
			scalarQuotientKernel(&vs[len(vs)-1], w, len(vs)-1)
		},
		recode: func(v *vector, w *work, n int) {
			recodeKernel(v, w, n*coldRows*rowBytes)
		},
		table: func(vs []*vector, w *work) {
			if len(vs) == 1 {
				table1Kernel(vs[0], w)
				return
			}
			table2Kernel(vs[0], vs[1], w)
		},
		multiplyHead: func(vs []*vector, w *work, t *table) { multiplyKernel(vs, w, t, 0) },
		multiplyTail: func(vs []*vector, w *work, t *table) { multiplyKernel(vs, w, t, 1) },
		check:        func(vs []vector, w *work) { checkKernel(&vs[0], w, len(vs)) },
		zPrefix: func(vs []vector, w *work) {
			zPrefixKernel(&vs[1], w, len(vs)-1)
		},
		odd: func(vs []vector, w *work) {
			oddKernel(&vs[len(vs)-1], w, len(vs)-1)
		},
	}
}

func multiplyKernel(vs []*vector, w *work, t *table, tail int) {
	if len(vs) == 1 {
		multiply1Kernel(vs[0], w, t, tail)
		return
	}
	multiply2Kernel(vs[0], vs[1], w, t, tail)
}
