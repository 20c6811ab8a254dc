package main

import (
	"fmt"
	"math/bits"

	"github.com/mmcloughlin/avo/reg"
)

// An op is what a value is computed by.
type op uint8

const (
	opLoad        op = iota // a row of memory
	opConst                 // one number in every lane
	opMaddLo                // args[0] + low 52 bits of the 104-bit product of the low 52 bits of args[1] and args[2]
	opMaddHi                // the same with the high 52 bits of the product
	opAdd                   // args[0] + args[1]
	opSub                   // args[0] - args[1]
	opAnd                   // args[0] & args[1]
	opOr                    // args[0] | args[1]
	opXor                   // args[0] ^ args[1]
	opShr                   // args[0] >> imm
	opShl                   // args[0] << imm
	opFunnel                // (args[1]‖args[0]) >> imm, the low 64 bits
	opUnpackLo              // the even words of args[0] and args[1], interleaved
	opUnpackHi              // the odd words of args[0] and args[1], interleaved
	opShuffle               // pairs of words picked by imm, two of args[0] and two of args[1]
	opRow                   // the row that starts where the offset in memory says, behind a base
	opIsZero                // mask: which lanes of args[0] & args[1] are zero
	opIsNonzero             // mask: which lanes of args[0] & args[1] are not zero
	opLoadMask              // mask: a byte of memory
	opXorMask               // mask: args[0] ^ args[1]
	opSubWhere              // where the mask is set args[1] - args[2], else args[0]
	opXorWhere              // where the mask is set args[1] ^ args[2], else args[0]
	opSelect                // where the mask is set args[1], else args[0]
	opStore                 // store the row args[0]
	opStoreMask             // store the mask args[0] as a byte
	opStoreNarrow           // store the low halves of the eight lanes of args[0]
)

// An addr is a place in memory: a register that holds a pointer, and a distance
// in bytes. Places of one block that differ must not overlap: a block keeps the
// order of loads and stores for equal places only.
type addr struct {
	base reg.GPPhysical
	disp int
}

// plus returns the place n rows further.
func (a addr) plus(rows int) addr { return addr{a.base, a.disp + rows*rowBytes} }

// A value is eight lanes of 64 bits, a mask of eight bits, or a store, that a
// block computes once. Every lane of it lies between lo and hi, both included:
// arithmetic that could leave 64 bits does not get past the constructors.
type value struct {
	id     int
	rank   int // the place among the values of one vector
	op     op
	args   []*value
	mask   *value // of a masked operation
	imm    uint8
	at     addr // of loads, stores and the offset of opRow
	table  addr // of opRow
	lo, hi uint64
	// carried says that the bits from 2^52 on are already added to the next limb
	// and mean nothing. Such a value is good for nothing but a multiplication,
	// which does not read them.
	carried bool
}

const (
	mask52 = 1<<52 - 1
	mask48 = 1<<48 - 1
	all64  = 1<<64 - 1
)

// A block is straight-line code over rows of memory.
type block struct {
	name   string
	values []*value
	consts map[uint64]*value
	loads  map[addr]*value
	stored map[addr]bool
	origin int // the first value of the vector that is worked on
}

func newBlock(name string) *block {
	return &block{name: name, consts: map[uint64]*value{}, loads: map[addr]*value{}, stored: map[addr]bool{}}
}

// nextVector says that the values to come belong to another vector than those
// before, so that a schedule can work on both at a time.
func (b *block) nextVector() { b.origin = len(b.values) }

// boundError is the value of every panic about a number that could grow too
// large.
type boundError string

func (e boundError) Error() string { return string(e) }

func (b *block) fail(format string, args ...any) {
	panic(boundError(b.name + ": " + fmt.Sprintf(format, args...)))
}

func (b *block) value(v value) *value {
	v.id = len(b.values)
	v.rank = v.id - b.origin
	b.values = append(b.values, &v)
	return &v
}

// load returns the row at a, whose lanes are at most hi.
func (b *block) load(a addr, hi uint64) *value {
	if b.stored[a] {
		b.fail("a load after a store to the same place")
	}
	if v := b.loads[a]; v != nil {
		if v.hi != hi {
			b.fail("two bounds for one place")
		}
		return v
	}
	v := b.value(value{op: opLoad, at: a, hi: hi})
	b.loads[a] = v
	return v
}

// constant returns n in every lane.
func (b *block) constant(n uint64) *value {
	if v := b.consts[n]; v != nil {
		return v
	}
	v := b.value(value{op: opConst, lo: n, hi: n})
	b.consts[n] = v
	return v
}

// row returns the 64 bytes at table plus the 32-bit offset at a.
func (b *block) row(a, table addr) *value {
	return b.value(value{op: opRow, at: a, table: table, hi: all64})
}

// factor returns the largest number that a multiplication reads from v.
func (b *block) factor(v *value) uint64 {
	if v.hi > mask52 {
		if !v.carried {
			b.fail("a factor of up to %#x, of which a multiplication reads 52 bits", v.hi)
		}
		return mask52
	}
	return v.hi
}

// plain fails if v has bits that mean nothing.
func (b *block) plain(vs ...*value) {
	for _, v := range vs {
		if v.carried {
			b.fail("a carried limb outside of a multiplication")
		}
	}
}

// madd returns acc plus the low or the high half of x times y; a nil acc is
// zero.
func (b *block) madd(o op, acc, x, y *value) *value {
	hi, lo := bits.Mul64(b.factor(x), b.factor(y))
	bound := hi<<12 | lo>>52
	if o == opMaddLo {
		bound = min(lo, mask52)
		if hi != 0 {
			bound = mask52
		}
	}
	var floor uint64
	if acc != nil {
		b.plain(acc)
		var carry uint64
		if bound, carry = bits.Add64(bound, acc.hi, 0); carry != 0 {
			b.fail("an accumulator beyond 64 bits")
		}
		floor = acc.lo
	}
	return b.value(value{op: o, args: []*value{acc, x, y}, lo: floor, hi: bound})
}

func (b *block) maddLo(acc, x, y *value) *value { return b.madd(opMaddLo, acc, x, y) }
func (b *block) maddHi(acc, x, y *value) *value { return b.madd(opMaddHi, acc, x, y) }

// maddSmall returns acc + x⋅y, whose product must fit into 52 bits.
func (b *block) maddSmall(acc, x, y *value) *value {
	if hi, lo := bits.Mul64(b.factor(x), b.factor(y)); hi != 0 || lo > mask52 {
		b.fail("a product beyond 52 bits of which only the low half is added")
	}
	return b.maddLo(acc, x, y)
}

// lowOfProduct returns the low 52 bits of the product of y and the low 52 bits
// of x, whatever x has above them.
func (b *block) lowOfProduct(x, y *value) *value {
	b.plain(x)
	b.factor(y)
	return b.value(value{op: opMaddLo, args: []*value{nil, x, y}, hi: mask52})
}

func (b *block) add(x, y *value) *value {
	b.plain(x, y)
	hi, carry := bits.Add64(x.hi, y.hi, 0)
	if carry != 0 {
		b.fail("a sum beyond 64 bits")
	}
	return b.value(value{op: opAdd, args: []*value{x, y}, lo: x.lo + y.lo, hi: hi})
}

func (b *block) sub(x, y *value) *value {
	b.plain(x, y)
	if x.lo < y.hi {
		b.fail("a difference that could be negative: at least %#x minus at most %#x", x.lo, y.hi)
	}
	return b.value(value{op: opSub, args: []*value{x, y}, lo: x.lo - y.hi, hi: x.hi - y.lo})
}

// subWhere returns x - y in the lanes of the mask, and z in the others.
func (b *block) subWhere(mask, z, x, y *value) *value {
	b.plain(x, y, z)
	if x.lo < y.hi {
		b.fail("a difference that could be negative: at least %#x minus at most %#x", x.lo, y.hi)
	}
	return b.value(value{op: opSubWhere, mask: mask, args: []*value{z, x, y},
		lo: min(z.lo, x.lo-y.hi), hi: max(z.hi, x.hi-y.lo)})
}

// selectWhere returns y in the lanes of the mask, and x in the others.
func (b *block) selectWhere(mask, x, y *value) *value {
	b.plain(x, y)
	return b.value(value{op: opSelect, mask: mask, args: []*value{x, y}, lo: min(x.lo, y.lo), hi: max(x.hi, y.hi)})
}

// xorWhere returns x ^ y in the lanes of the mask, and x in the others.
func (b *block) xorWhere(mask, x, y *value) *value {
	b.plain(x, y)
	return b.value(value{op: opXorWhere, mask: mask, args: []*value{x, x, y}, hi: filled(x.hi | y.hi)})
}

func (b *block) and(x *value, m uint64) *value {
	b.plain(x)
	return b.value(value{op: opAnd, args: []*value{x, b.constant(m)}, hi: min(x.hi, m)})
}

func (b *block) or(x, y *value) *value {
	b.plain(x, y)
	return b.value(value{op: opOr, args: []*value{x, y}, hi: filled(x.hi | y.hi)})
}

// filled returns the largest number of as many bits as n has.
func filled(n uint64) uint64 { return 1<<bits.Len64(n) - 1 }

func (b *block) shr(x *value, n uint8) *value {
	b.plain(x)
	return b.value(value{op: opShr, imm: n, args: []*value{x}, lo: x.lo >> n, hi: x.hi >> n})
}

// shl returns x⋅2^n, which must fit.
func (b *block) shl(x *value, n uint8) *value {
	b.plain(x)
	if x.hi>>(64-n) != 0 {
		b.fail("a shift beyond 64 bits")
	}
	return b.value(value{op: opShl, imm: n, args: []*value{x}, lo: x.lo << n, hi: x.hi << n})
}

// shlBits returns x<<n without what leaves 64 bits: it is for fields of bits,
// not for numbers.
func (b *block) shlBits(x *value, n uint8) *value {
	b.plain(x)
	return b.value(value{op: opShl, imm: n, args: []*value{x}, hi: all64})
}

// funnel returns bits n to n+63 of the 128-bit number high‖low.
func (b *block) funnel(low, high *value, n uint8) *value {
	return b.value(value{op: opFunnel, imm: n, args: []*value{low, high}, hi: all64})
}

func (b *block) permute(o op, x, y *value, imm uint8) *value {
	return b.value(value{op: o, imm: imm, args: []*value{x, y}, lo: min(x.lo, y.lo), hi: max(x.hi, y.hi)})
}

func (b *block) isZero(x, y *value) *value {
	b.plain(x, y)
	return b.value(value{op: opIsZero, args: []*value{x, y}, hi: 255})
}

func (b *block) isNonzero(x, y *value) *value {
	return b.value(value{op: opIsNonzero, args: []*value{x, y}, hi: 255})
}

func (b *block) loadMask(a addr) *value {
	return b.value(value{op: opLoadMask, at: a, hi: 255})
}

func (b *block) xorMask(x, y *value) *value {
	return b.value(value{op: opXorMask, args: []*value{x, y}, hi: 255})
}

// store stores x, whose lanes must be at most hi, at a.
func (b *block) store(a addr, x *value, hi uint64) {
	if x.hi > hi {
		b.fail("a store of up to %#x where at most %#x is promised", x.hi, hi)
	}
	b.storeAs(opStore, a, x)
}

func (b *block) storeMask(a addr, x *value)   { b.storeAs(opStoreMask, a, x) }
func (b *block) storeNarrow(a addr, x *value) { b.storeAs(opStoreNarrow, a, x) }

func (b *block) storeAs(o op, a addr, x *value) {
	if b.stored[a] {
		b.fail("two stores to the same place")
	}
	b.stored[a] = true
	b.value(value{op: o, at: a, args: []*value{x}})
}

// assume returns v with the bound hi, which the caller has reasons for that
// intervals cannot see.
func (b *block) assume(v *value, hi uint64) *value {
	v.hi = min(v.hi, hi)
	return v
}

// isMask reports whether v is a mask and not a row.
func (v *value) isMask() bool {
	return v.op == opIsZero || v.op == opIsNonzero || v.op == opLoadMask || v.op == opXorMask
}

// isStore reports whether v is a store and has no result.
func (v *value) isStore() bool {
	return v.op == opStore || v.op == opStoreMask || v.op == opStoreNarrow
}

// isHome reports whether v lies in memory and need not be computed.
func (v *value) isHome() bool { return v.op == opLoad || v.op == opConst }

// inputs returns the values that v is computed from.
func (v *value) inputs() []*value {
	var in []*value
	for _, a := range v.args {
		if a != nil {
			in = append(in, a)
		}
	}
	if v.mask != nil {
		in = append(in, v.mask)
	}
	return in
}
