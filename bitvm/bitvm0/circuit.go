package bitvm0

import (
	"errors"
	"fmt"
)

// A Wire is a wire of a circuit, from 0: the inputs first, and then the output of each
// gate, in the gates' order.
type Wire int

// A Gate is a NAND of two wires, which may be the same.
type Gate struct{ A, B Wire }

// A Circuit is gates, each of which has its inputs before it.
type Circuit struct {
	Inputs int
	Gates  []Gate
}

// MaxWires bounds a circuit: an instance of one with more would take gigabytes.
const MaxWires = 1 << 20

// ErrCircuit says that a circuit cannot be one.
var ErrCircuit = errors.New("bitvm0: not a circuit")

// Check checks that each gate has wires before it, and that there are no more than
// [MaxWires]. The error wraps [ErrCircuit].
func (c *Circuit) Check() error {
	if c.Inputs < 1 || len(c.Gates) < 1 || c.Inputs > MaxWires || len(c.Gates) > MaxWires-c.Inputs {
		return fmt.Errorf("%w: %d inputs and %d gates", ErrCircuit, c.Inputs, len(c.Gates))
	}
	for i, g := range c.Gates {
		if out := c.Out(i); g.A < 0 || g.B < 0 || g.A >= out || g.B >= out {
			return fmt.Errorf("%w: gate %d has the wires %d and %d, must be below %d", ErrCircuit, i, g.A, g.B, out)
		}
	}
	return nil
}

// Wires returns how many wires there are.
func (c *Circuit) Wires() int { return c.Inputs + len(c.Gates) }

// Out returns the wire that is a gate's output.
func (c *Circuit) Out(gate int) Wire { return Wire(c.Inputs + gate) }

// NAND adds a gate and returns its output. All inputs are there before the first gate.
func (c *Circuit) NAND(a, b Wire) Wire {
	c.Gates = append(c.Gates, Gate{a, b})
	return c.Out(len(c.Gates) - 1)
}

// Evaluate returns the bit of every wire. There are as many inputs as the circuit has, and
// it is one that [Circuit.Check] takes.
func (c *Circuit) Evaluate(inputs []bool) []bool {
	bits := append(make([]bool, 0, c.Wires()), inputs...)
	for _, g := range c.Gates {
		bits = append(bits, nand(bits[g.A], bits[g.B]))
	}
	return bits
}

func nand(a, b bool) bool { return !(a && b) }

// Fault returns the first gate whose output is not the NAND of its inputs, if the wires have
// these bits. Who claims them cannot open it.
func (c *Circuit) Fault(bits []bool) (gate int, ok bool) {
	for i, g := range c.Gates {
		if bits[c.Out(i)] != nand(bits[g.A], bits[g.B]) {
			return i, true
		}
	}
	return 0, false
}
