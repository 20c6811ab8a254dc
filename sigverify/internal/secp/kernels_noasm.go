//go:build !amd64 || purego

package secp

func (p *jacobian) doubleTimes(n int) { p.doubleTimesGo(n) }

func (p *jacobian) addDistinct(q *affine, z *residue) bool { return p.addDistinctGo(q, z) }
