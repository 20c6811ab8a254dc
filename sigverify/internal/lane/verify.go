package lane

import (
	"encoding/binary"

	"github.com/outrider-project/outrider/sigverify/internal/secp"
)

// An Item is one signature to verify. All integers are big-endian. What the
// fields refer to is only read, and not kept.
type Item struct {
	// Key is the public key: for ECDSA in SEC 1 form, compressed (33 bytes),
	// uncompressed or hybrid (65 bytes); for BIP340 the x coordinate (32 bytes).
	Key []byte
	// Sig is r ‖ s.
	Sig *[64]byte
	// Digest is the signature hash.
	Digest *[32]byte
	// BIP340 says that the signature is BIP340's, else it is ECDSA's.
	BIP340 bool
}

// A Verdict is what Verify says of a signature.
type Verdict uint8

const (
	// Invalid says that the signature does not fit. It is the zero value.
	Invalid Verdict = iota
	// Valid says that the signature fits.
	Valid
	// Unsure says that the lanes cannot tell, and package secp must.
	Unsure
)

// chunk is the number of signatures that go through the kernels together: enough
// that the inversions they share cost nothing, few enough that all vectors, the
// work area and the table stay in a second-level cache of one MiB.
const chunk = 8 * maxVectors

const maxVectors = 32

// A Scratch verifies with memory of its own, about 200 KiB. It allocates no
// more. It must not be used by two goroutines at once.
type Scratch struct {
	kernels *kernelSet
	table   *table
	// vectors[0] is only there for what the products begin with.
	vectors []vector
	lanes   [maxVectors + 1]lanes
	work    *work
	pair    [2]*vector

	scalars  [2][8]secp.Scalar
	elements [2][8]secp.Element
}

// The lanes of a vector, a bit each.
type lanes struct {
	bad    uint8 // the item is malformed, or there is none
	given  uint8 // the key came with its y
	bip340 uint8
}

func newScratch(k *kernelSet, t *table) *Scratch {
	return &Scratch{
		kernels: k,
		table:   t,
		vectors: aligned[vector](maxVectors + 1),
		work:    &aligned[work](1)[0],
	}
}

// Verify sets verdicts[i] to the verdict on items[i], for every i. The slices
// must have the same length. Items of both schemes may be mixed.
func (s *Scratch) Verify(items []Item, verdicts []Verdict) {
	if len(items) != len(verdicts) {
		panic("lane: Verify: len(items) != len(verdicts)")
	}
	for len(items) > 0 {
		n := min(len(items), chunk)
		s.verifyChunk(items[:n], verdicts[:n])
		items, verdicts = items[n:], verdicts[n:]
	}
}

func (s *Scratch) verifyChunk(items []Item, verdicts []Verdict) {
	n := (len(items) + 7) / 8
	vs := s.vectors[:n+1]
	for i := range n {
		s.lanes[1+i] = lanes{}
		s.vectors[1+i][rowFlags] = row{}
	}
	bip340 := false
	for i := range 8 * n {
		v, l := &s.vectors[1+i/8], &s.lanes[1+i/8]
		if i >= len(items) || !stage(v, l, i%8, &items[i]) {
			l.bad |= 1 << (i % 8)
			stageNothing(v, i%8)
		}
		bip340 = bip340 || l.bip340 != 0
	}

	k := s.kernels
	for i := 1; i <= n; i += liftVectors {
		k.lift(vs[i:min(i+liftVectors, n+1)], s.work)
	}
	s.divide(vs)
	for i := 1; i <= n; i += 2 {
		pair := s.pair[:min(2, n+1-i)]
		for j := range pair {
			pair[j] = &vs[i+j]
			k.recode(pair[j], s.work, j)
		}
		k.table(pair, s.work)
		k.multiplyHead(pair, s.work, s.table)
		k.multiplyTail(pair, s.work, s.table)
	}
	k.check(vs[1:], s.work)
	if bip340 {
		s.parities(vs)
	}
	for i := range items {
		verdicts[i] = verdict(&vs[1+i/8], &s.lanes[1+i/8], i%8)
	}
}

// divide divides the multipliers of all vectors but the first by their divisors.
func (s *Scratch) divide(vs []vector) {
	for i := range 8 {
		put(vs[0][rowPrefix:], i, montgomeryOne)
	}
	s.kernels.scalarPrefix(vs, s.work)
	inverses, room := &s.scalars[0], &s.scalars[1]
	for i := range inverses {
		inverses[i] = get(vs[len(vs)-1][rowPrefix:], i).scalar()
	}
	secp.InvertAll(inverses[:], room[:])
	for i := range inverses {
		inverses[i].Mul(&inverses[i], &montgomeryR)
		put(s.work[hotFactor:], i, unpacked(inverses[i]))
	}
	s.kernels.scalarQuotient(vs, s.work)
}

// parities finds out which results of all vectors but the first have an odd y.
func (s *Scratch) parities(vs []vector) {
	for i := range 8 {
		put(vs[0][rowPrefix:], i, element{1})
	}
	s.kernels.zPrefix(vs, s.work)
	inverses, room := &s.elements[0], &s.elements[1]
	for i := range inverses {
		inverses[i] = secp.Element(get(vs[len(vs)-1][rowPrefix:], i).normal())
	}
	invertAllIn(inverses[:], room[:])
	for i := range inverses {
		inverses[i].Normalize()
		put(s.work[hotFactor:], i, element(inverses[i]))
	}
	s.kernels.odd(vs, s.work)
}

// verdict returns the verdict on lane i of v.
func verdict(v *vector, l *lanes, i int) Verdict {
	flag := func(at int) bool { return bitOf(&v[rowFlags], at, i) }
	bit := uint8(1) << i
	switch {
	case l.bad&bit != 0, !flag(flagOnCurve), l.given&bit != 0 && !flag(flagSameY):
		return Invalid
	case flag(flagZero):
		return Unsure
	case l.bip340&bit != 0:
		if flag(flagEqual) && !flag(flagOddY) {
			return Valid
		}
	case flag(flagEqual):
		return Valid
	case v[rowR+3][i] == 0 && v[rowR+2][i] <= 1:
		// r + n may be below p, and then it is another x that r stands for:
		// p - n is between 2¹²⁸ and 2¹²⁹.
		return Unsure
	}
	return Invalid
}

// A number is four words, the lowest first.
type number = [4]uint64

var (
	fieldPrime = number{0xFFFFFFFEFFFFFC2F, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1}
	groupOrder = number{0xBFD25E8CD0364141, 0xBAAEDCE6AF48A03B, 0xFFFFFFFFFFFFFFFE, 1<<64 - 1}

	// montgomeryOne and montgomeryR are 2²⁶⁰ mod n.
	montgomeryOne = scalar{0xA1732FC9BEBF0, 0x950B75FC4402D, 0x14551231}
	montgomeryR   = secp.Scalar{0x2DA1732FC9BEBF0, 0x551231950B75FC44, 0x14, 0}
)

// less reports whether x < y.
func less(x, y *number) bool {
	for i := 3; i > 0; i-- {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return x[0] < y[0]
}

func readNumber(b *[32]byte) number {
	return number{
		binary.BigEndian.Uint64(b[24:]), binary.BigEndian.Uint64(b[16:]),
		binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[:]),
	}
}

func putNumber(rows []row, i int, n *number) {
	_ = rows[3]
	rows[0][i], rows[1][i], rows[2][i], rows[3][i] = n[0], n[1], n[2], n[3]
}

// stage puts the item into lane i of v. It returns false if its key or numbers
// are malformed; then the lane is left in no particular state.
func stage(v *vector, l *lanes, i int, it *Item) bool {
	r, s := readNumber((*[32]byte)(it.Sig[:32])), readNumber((*[32]byte)(it.Sig[32:]))
	if !less(&s, &groupOrder) || !stageKey(v, l, i, it.Key, it.BIP340) {
		return false
	}
	putNumber(v[rowR:], i, &r)
	if it.BIP340 {
		if !less(&r, &fieldPrime) {
			return false
		}
		l.bip340 |= 1 << i
		e := secp.Challenge((*[32]byte)(it.Sig[:32]), (*[32]byte)(it.Key), it.Digest)
		e.Negate(&e)
		putNumber(v[rowS:], i, &number{1})
		putNumber(v[rowM:], i, &s)
		putNumber(v[rowT:], i, (*number)(&e))
		return true
	}
	if !less(&r, &groupOrder) || r == (number{}) || s == (number{}) {
		return false
	}
	digest := readNumber(it.Digest)
	putNumber(v[rowS:], i, &s)
	putNumber(v[rowM:], i, &digest)
	putNumber(v[rowT:], i, &r)
	return true
}

// stageKey puts the key into lane i of v, and returns false if it is malformed.
func stageKey(v *vector, l *lanes, i int, key []byte, bip340 bool) bool {
	if bip340 {
		return len(key) == 32 && stageX(v, i, key)
	}
	odd := false
	switch {
	case len(key) == 33 && key[0]&^1 == 2:
		odd = key[0]&1 == 1
	case len(key) == 65 && (key[0] == 4 || key[0]&^1 == 6):
		odd = key[64]&1 == 1
		y := readNumber((*[32]byte)(key[33:]))
		if !less(&y, &fieldPrime) || key[0] != 4 && key[0]&1 != key[64]&1 {
			return false
		}
		l.given |= 1 << i
		putNumber(v[rowKeyY:], i, &y)
	default:
		return false
	}
	if odd {
		v[rowFlags][0] |= 1 << (8*flagOdd + i)
	}
	return stageX(v, i, key[1:33])
}

func stageX(v *vector, i int, key []byte) bool {
	x := readNumber((*[32]byte)(key))
	putNumber(v[rowKeyX:], i, &x)
	return less(&x, &fieldPrime)
}

// stageNothing puts harmless numbers into lane i of v.
func stageNothing(v *vector, i int) {
	x := number(generatorX.packed())
	one := number{1}
	putNumber(v[rowKeyX:], i, &x)
	for _, at := range []int{rowR, rowS, rowM, rowT} {
		putNumber(v[at:], i, &one)
	}
}
