//go:build !amd64 || purego

package secp

func (p *jacobian) doubleTimes(n int) { p.doubleTimesGo(n) }

func (p *jacobian) addDistinct(q *affine, z *residue) bool { return p.addDistinctGo(q, z) }

// Code names the code that does the arithmetic, and says why if it is not the
// fastest.
func Code() string { return "Go: there is no assembly in this build" }
