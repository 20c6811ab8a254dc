package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// constants are the numbers that blocks broadcast, in one table of read-only
// data in the order of their first use.
type constants struct {
	table operand.Mem
	index map[uint64]int
	list  []uint64
}

// newConstants returns an empty table; declare writes it.
func newConstants() *constants {
	return &constants{
		table: operand.NewDataAddr(operand.NewStaticSymbol("constants"), 0),
		index: map[uint64]int{},
	}
}

// at returns the place of n.
func (d *constants) at(n uint64) operand.Mem {
	i, ok := d.index[n]
	if !ok {
		i = len(d.list)
		d.index[n] = i
		d.list = append(d.list, n)
	}
	return d.table.Offset(8 * i)
}

// declare writes the table. No block may be emitted after it.
func (d *constants) declare(c *build.Context) {
	c.StaticGlobal("constants")
	c.DataAttributes(attr.RODATA | attr.NOPTR)
	for _, n := range d.list {
		c.AppendDatum(operand.U64(n))
	}
}
