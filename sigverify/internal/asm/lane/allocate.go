package main

import (
	"fmt"
	"strconv"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// zmm and mask are the registers that blocks may use, in the order in which
// they are handed out. K0 means "no mask" to the processor.
var (
	zmm = []reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
		reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
		reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}
	masks = []reg.OpmaskPhysical{reg.K1, reg.K2, reg.K3, reg.K4, reg.K5, reg.K6, reg.K7}

	// rowOffsets are the general registers that the offsets of opRow go through.
	rowOffsets = []reg.GPPhysical{reg.R8, reg.R9}
)

// An emitter gives the values of one block registers, and writes the
// instructions. Rows that do not fit into the registers go to a spill area; of
// all rows the one whose next use is furthest goes first (Belady).
type emitter struct {
	c       *build.Context
	data    *constants
	spill   addr // of spillRows rows
	order   []*value
	at      int           // the index of the instruction that is written
	uses    map[int][]int // by id: the indices of the uses that are ahead
	where   map[int]int   // by id: the register
	slot    map[int]int   // by id: the row of the spill area
	holder  [32]*value
	pinned  [32]bool // by the instruction that is written
	kWhere  map[int]int
	kHolder [7]*value
	slots   int   // rows of the spill area that were ever in use
	vacant  []int // of them, those that are not
	offsets int
}

// emit writes the code of the block. The order keeps about limit rows alive.
// It uses at most spillRows rows from spill on.
func (b *block) emit(c *build.Context, data *constants, spill addr, limit int) {
	e := &emitter{
		c: c, data: data, spill: spill, order: b.schedule(limit),
		uses: map[int][]int{}, where: map[int]int{}, slot: map[int]int{}, kWhere: map[int]int{},
	}
	for i, v := range e.order {
		for _, in := range v.inputs() {
			e.uses[in.id] = append(e.uses[in.id], i)
		}
	}
	for i, v := range e.order {
		e.at = i
		e.write(v)
		e.pinned = [32]bool{}
		for _, in := range v.inputs() {
			for len(e.uses[in.id]) > 0 && e.uses[in.id][0] <= i {
				e.uses[in.id] = e.uses[in.id][1:]
			}
			if len(e.uses[in.id]) == 0 {
				e.release(in)
				if row, ok := e.slot[in.id]; ok {
					delete(e.slot, in.id)
					e.vacant = append(e.vacant, row)
				}
			}
		}
		if len(e.uses[v.id]) == 0 {
			e.release(v)
		}
	}
	if e.slots > spillRows {
		panic(fmt.Sprintf("%s: %d rows spilled, of %d", b.name, e.slots, spillRows))
	}
}

func (e *emitter) release(v *value) {
	if r, ok := e.where[v.id]; ok {
		e.holder[r] = nil
		delete(e.where, v.id)
	}
	if k, ok := e.kWhere[v.id]; ok {
		e.kHolder[k] = nil
		delete(e.kWhere, v.id)
	}
}

// ahead returns how many uses of v there are after the present instruction.
func (e *emitter) ahead(v *value) int {
	n := 0
	for _, u := range e.uses[v.id] {
		if u > e.at {
			n++
		}
	}
	return n
}

// nextUse returns the index of the next use of v from the present one on.
func (e *emitter) nextUse(v *value) int {
	if u := e.uses[v.id]; len(u) > 0 {
		return u[0]
	}
	return len(e.order)
}

func (e *emitter) free() (int, bool) {
	for r := range e.holder {
		if e.holder[r] == nil && !e.pinned[r] {
			return r, true
		}
	}
	return 0, false
}

// take returns a register for v, which holds nothing yet.
func (e *emitter) take(v *value) int {
	r, ok := e.free()
	if !ok {
		r = -1
		furthest := -1
		for i, held := range e.holder {
			if e.pinned[i] {
				continue
			}
			distance := 2 * e.nextUse(held)
			if held.isHome() || e.hasSlot(held) {
				distance++ // it need not be stored
			}
			if distance > furthest {
				r, furthest = i, distance
			}
		}
		held := e.holder[r]
		if !held.isHome() && !e.hasSlot(held) {
			e.slot[held.id] = e.takeSlot()
			e.c.VMOVDQU64(zmm[r], e.mem(e.spill.plus(e.slot[held.id])))
		}
		e.release(held)
	}
	e.holder[r] = v
	e.where[v.id] = r
	e.pinned[r] = true
	return r
}

// takeSlot returns a row of the spill area that is not in use.
func (e *emitter) takeSlot() int {
	if n := len(e.vacant); n > 0 {
		row := e.vacant[n-1]
		e.vacant = e.vacant[:n-1]
		return row
	}
	e.slots++
	return e.slots - 1
}

func (e *emitter) hasSlot(v *value) bool {
	_, ok := e.slot[v.id]
	return ok
}

func (e *emitter) mem(a addr) operand.Mem { return operand.Mem{Base: a.base, Disp: a.disp} }

// home returns where v lies in memory.
func (e *emitter) home(v *value) (m operand.Mem, broadcast bool) {
	switch {
	case v.op == opConst:
		return e.data.at(v.hi), true
	case v.op == opLoad:
		return e.mem(v.at), false
	case e.hasSlot(v):
		return e.mem(e.spill.plus(e.slot[v.id])), false
	}
	panic("a value that is nowhere: " + strconv.Itoa(v.id))
}

// inRegister returns a register that holds v.
func (e *emitter) inRegister(v *value) int {
	if r, ok := e.where[v.id]; ok {
		e.pinned[r] = true
		return r
	}
	m, broadcast := e.home(v)
	r := e.take(v)
	if broadcast {
		e.c.VPBROADCASTQ(m, zmm[r])
	} else {
		e.c.VMOVDQU64(m, zmm[r])
	}
	return r
}

// operand returns v as the operand of an instruction that takes memory as well:
// from where it is, unless it pays to bring it into a register.
func (e *emitter) operand(v *value) (o operand.Op, broadcast bool) {
	if r, ok := e.where[v.id]; ok {
		e.pinned[r] = true
		return zmm[r], false
	}
	if _, ok := e.free(); ok && e.ahead(v) > 0 {
		return zmm[e.inRegister(v)], false
	}
	m, broadcast := e.home(v)
	return m, broadcast
}

// target returns the register for the result of v, which replaces old; a nil
// old is zero.
func (e *emitter) target(v, old *value) int {
	if old == nil {
		r := e.take(v)
		// Clearing the low part clears all; up to register 15 the code is shorter.
		if x := zmm[r].AsX(); r < 16 {
			e.c.VPXOR(x, x, x)
		} else {
			e.c.VPXORQ(zmm[r], zmm[r], zmm[r])
		}
		return r
	}
	if r, ok := e.where[old.id]; ok && e.ahead(old) == 0 {
		e.release(old)
		e.holder[r] = v
		e.where[v.id] = r
		e.pinned[r] = true
		return r
	}
	if r, ok := e.where[old.id]; ok {
		e.pinned[r] = true
		n := e.take(v)
		e.c.VMOVDQA64(zmm[r], zmm[n])
		return n
	}
	m, broadcast := e.home(old)
	r := e.take(v)
	if broadcast {
		e.c.VPBROADCASTQ(m, zmm[r])
	} else {
		e.c.VMOVDQU64(m, zmm[r])
	}
	return r
}

// fresh returns a register for the result of v after its operands are read: the
// register of one that dies may be it.
func (e *emitter) fresh(v *value) int {
	for _, in := range v.inputs() {
		r, ok := e.where[in.id]
		if ok && e.ahead(in) == 0 {
			e.release(in)
			e.holder[r] = v
			e.where[v.id] = r
			return r
		}
	}
	return e.take(v)
}

func (e *emitter) takeMask(v *value) reg.Register {
	for k := range e.kHolder {
		if e.kHolder[k] == nil {
			e.kHolder[k] = v
			e.kWhere[v.id] = k
			return masks[k]
		}
	}
	panic("more masks than registers")
}

func (e *emitter) inMask(v *value) reg.Register { return masks[e.kWhere[v.id]] }

// pair returns the operands of a two-operand instruction: the first may be in
// memory, the second is in a register. If the operation commutes the one that is
// in memory becomes the first.
func (e *emitter) pair(x, y *value, commutes bool) (first operand.Op, broadcast bool, second operand.Op) {
	if _, ok := e.where[x.id]; commutes && !ok {
		if _, ok := e.where[y.id]; ok {
			x, y = y, x
		}
	}
	second = zmm[e.inRegister(x)]
	if x == y {
		return second, false, second
	}
	first, broadcast = e.operand(y)
	return first, broadcast, second
}

func (e *emitter) write(v *value) {
	c := e.c
	switch v.op {
	case opMaddLo, opMaddHi:
		plain, bcst := c.VPMADD52LUQ, c.VPMADD52LUQ_BCST
		if v.op == opMaddHi {
			plain, bcst = c.VPMADD52HUQ, c.VPMADD52HUQ_BCST
		}
		if v.args[0] != nil {
			if r, ok := e.where[v.args[0].id]; ok {
				e.pinned[r] = true
			}
		}
		first, broadcast, second := e.pair(v.args[1], v.args[2], true)
		dst := zmm[e.target(v, v.args[0])]
		choose(plain, bcst, broadcast)(first, second, dst)
	case opAdd:
		e.simple(v, c.VPADDQ, c.VPADDQ_BCST, true)
	case opSub:
		e.simple(v, c.VPSUBQ, c.VPSUBQ_BCST, false)
	case opAnd:
		e.simple(v, c.VPANDQ, c.VPANDQ_BCST, true)
	case opOr:
		e.simple(v, c.VPORQ, c.VPORQ_BCST, true)
	case opXor:
		e.simple(v, c.VPXORQ, c.VPXORQ_BCST, true)
	case opUnpackLo:
		e.simple(v, c.VPUNPCKLQDQ, c.VPUNPCKLQDQ_BCST, false)
	case opUnpackHi:
		e.simple(v, c.VPUNPCKHQDQ, c.VPUNPCKHQDQ_BCST, false)
	case opShr, opShl:
		src := zmm[e.inRegister(v.args[0])]
		dst := zmm[e.fresh(v)]
		if v.op == opShr {
			c.VPSRLQ(operand.U8(v.imm), src, dst)
		} else {
			c.VPSLLQ(operand.U8(v.imm), src, dst)
		}
	case opFunnel:
		low, high := zmm[e.inRegister(v.args[0])], zmm[e.inRegister(v.args[1])]
		dst := zmm[e.fresh(v)]
		// avo's tables lack this instruction of AVX512_VBMI2.
		c.Instruction(&ir.Instruction{
			Opcode:   "VPSHRDQ",
			Operands: []operand.Op{operand.U8(v.imm), high, low, dst},
			Inputs:   []operand.Op{high, low},
			Outputs:  []operand.Op{dst},
			ISA:      []string{"AVX512_VBMI2"},
		})
	case opShuffle:
		x, y := zmm[e.inRegister(v.args[0])], zmm[e.inRegister(v.args[1])]
		c.VSHUFI64X2(operand.U8(v.imm), y, x, zmm[e.fresh(v)])
	case opRow:
		g := rowOffsets[e.offsets%len(rowOffsets)]
		e.offsets++
		c.MOVL(e.mem(v.at), g.As32())
		c.VMOVDQU64(operand.Mem{Base: v.table.base, Disp: v.table.disp, Index: g, Scale: 1}, zmm[e.take(v)])
	case opIsZero, opIsNonzero:
		plain, bcst := c.VPTESTNMQ, c.VPTESTNMQ_BCST
		if v.op == opIsNonzero {
			plain, bcst = c.VPTESTMQ, c.VPTESTMQ_BCST
		}
		first, broadcast, second := e.pair(v.args[0], v.args[1], true)
		choose(plain, bcst, broadcast)(first, second, e.takeMask(v))
	case opLoadMask:
		c.KMOVB(e.mem(v.at), e.takeMask(v))
	case opXorMask:
		x, y := e.inMask(v.args[0]), e.inMask(v.args[1])
		c.KXORB(x, y, e.takeMask(v))
	case opSubWhere, opXorWhere:
		k := e.inMask(v.mask)
		plain, bcst := c.VPSUBQ, c.VPSUBQ_BCST
		if v.op == opXorWhere {
			plain, bcst = c.VPXORQ, c.VPXORQ_BCST
		}
		if r, ok := e.where[v.args[0].id]; ok {
			e.pinned[r] = true
		}
		first, broadcast, second := e.pair(v.args[1], v.args[2], false)
		dst := zmm[e.target(v, v.args[0])]
		choose(plain, bcst, broadcast)(first, second, k, dst)
	case opSelect:
		k := e.inMask(v.mask)
		first, broadcast, second := e.pair(v.args[0], v.args[1], false)
		dst := zmm[e.fresh(v)]
		choose(c.VPBLENDMQ, c.VPBLENDMQ_BCST, broadcast)(first, second, k, dst)
	case opStore:
		c.VMOVDQU64(zmm[e.inRegister(v.args[0])], e.mem(v.at))
	case opStoreMask:
		c.KMOVB(e.inMask(v.args[0]), e.mem(v.at))
	case opStoreNarrow:
		c.VPMOVQD(zmm[e.inRegister(v.args[0])], e.mem(v.at))
	default:
		panic("no instruction for the operation")
	}
}

func (e *emitter) simple(v *value, plain, bcst func(...operand.Op), commutes bool) {
	first, broadcast, second := e.pair(v.args[0], v.args[1], commutes)
	dst := zmm[e.fresh(v)]
	choose(plain, bcst, broadcast)(first, second, dst)
}

func choose(plain, bcst func(...operand.Op), broadcast bool) func(...operand.Op) {
	if broadcast {
		return bcst
	}
	return plain
}
