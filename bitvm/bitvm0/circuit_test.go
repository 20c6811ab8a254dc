package bitvm0

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// What follows builds circuits of NAND gates, words with the low bit first.

type word []Wire

func (c *Circuit) not(a Wire) Wire    { return c.NAND(a, a) }
func (c *Circuit) and(a, b Wire) Wire { return c.not(c.NAND(a, b)) }

func (c *Circuit) xor(a, b Wire) Wire {
	n := c.NAND(a, b)
	return c.NAND(c.NAND(a, n), c.NAND(b, n))
}

// choose is b where a is 1, and else d.
func (c *Circuit) choose(a, b, d Wire) Wire { return c.NAND(c.NAND(a, b), c.NAND(c.not(a), d)) }

// majority is what two of three are.
func (c *Circuit) majority(a, b, d Wire) Wire {
	return c.NAND(c.NAND(a, b), c.NAND(d, c.NAND(c.not(a), c.not(b))))
}

// add adds two words, without the last carry.
func (c *Circuit) add(a, b word) word {
	sum := make(word, len(a))
	var carry Wire
	for i := range a {
		if i == 0 {
			sum[i], carry = c.xor(a[i], b[i]), c.and(a[i], b[i])
			continue
		}
		// A full adder of nine gates.
		n := c.NAND(a[i], b[i])
		half := c.NAND(c.NAND(a[i], n), c.NAND(b[i], n))
		m := c.NAND(half, carry)
		sum[i] = c.NAND(c.NAND(half, m), c.NAND(carry, m))
		carry = c.NAND(m, n)
	}
	return sum
}

func (c *Circuit) bitwise(f func(a, b Wire) Wire, words ...word) word {
	all := append(word(nil), words[0]...)
	for _, w := range words[1:] {
		for i := range all {
			all[i] = f(all[i], w[i])
		}
	}
	return all
}

func (w word) rotateRight(n int) word { return append(append(word(nil), w[n:]...), w[:n]...) }

// constant is a word that is always n, made of two inputs that are 0 and 1.
func constant(n uint32, zero, one Wire) word {
	w := make(word, 32)
	for i := range w {
		if w[i] = zero; n>>i&1 == 1 {
			w[i] = one
		}
	}
	return w
}

func inputs(from, bits int) word {
	w := make(word, bits)
	for i := range w {
		w[i] = Wire(from + i)
	}
	return w
}

func bitsOf(n uint64, bits int) (all []bool) {
	for i := range bits {
		all = append(all, n>>i&1 == 1)
	}
	return all
}

func (w word) value(bits []bool) (n uint64) {
	for i, wire := range w {
		if bits[wire] {
			n |= 1 << i
		}
	}
	return n
}

// An adder of words of so many bits.
func newAdder(bits int) (*Circuit, word) {
	c := &Circuit{Inputs: 2 * bits}
	return c, c.add(inputs(0, bits), inputs(bits, bits))
}

func TestAdder(t *testing.T) {
	c, sum := newAdder(32)
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(0, 1))
	for range 100 {
		a, b := r.Uint32(), r.Uint32()
		bits := c.Evaluate(append(bitsOf(uint64(a), 32), bitsOf(uint64(b), 32)...))
		if got := uint32(sum.value(bits)); got != a+b {
			t.Errorf("%d + %d = %d", a, b, got)
		}
		if gate, ok := c.Fault(bits); ok {
			t.Errorf("gate %d of an honest run is wrong", gate)
		}
		wrong := r.IntN(len(bits)-c.Inputs) + c.Inputs
		bits[wrong] = !bits[wrong]
		if gate, ok := c.Fault(bits); !ok || c.Out(gate) > Wire(wrong) && c.Gates[gate].A != Wire(wrong) && c.Gates[gate].B != Wire(wrong) {
			t.Errorf("wire %d is wrong, and gate %d is named (%v)", wrong, gate, ok)
		}
	}
}

// root returns the first 32 bits of the fraction of the n-th root of a prime, of which the
// constants of SHA-256 are made (FIPS 180-4, 4.2.2 and 5.3.3).
func root(prime int64, n int) uint32 {
	f := new(big.Float).SetPrec(200).SetInt64(prime)
	x := new(big.Float).SetPrec(200).SetFloat64(math.Pow(float64(prime), 1/float64(n)))
	for range 6 { // Newton
		power := new(big.Float).SetPrec(200).SetInt64(1)
		for range n - 1 {
			power.Mul(power, x)
		}
		next := new(big.Float).SetPrec(200).Quo(f, power)
		next.Add(next, new(big.Float).Mul(x, big.NewFloat(float64(n-1))))
		x.Quo(next, big.NewFloat(float64(n)))
	}
	shifted, _ := new(big.Float).Mul(x, big.NewFloat(1<<32)).Int(nil)
	return uint32(shifted.Uint64())
}

func primes(count int) (all []int64) {
	for n := int64(2); len(all) < count; n++ {
		if big.NewInt(n).ProbablyPrime(0) {
			all = append(all, n)
		}
	}
	return all
}

// newSHA256 is SHA-256 of one block (FIPS 180-4, 6.2.2), of NAND gates. Its inputs are the
// sixteen words of the block, a 0 and a 1.
func newSHA256() (*Circuit, [8]word) {
	const block = 512
	c := &Circuit{Inputs: block + 2}
	fixed := func(n uint32) word { return constant(n, block, block+1) }
	shift := func(w word, n int) word {
		s := append(word(nil), w[n:]...)
		for range n {
			s = append(s, block)
		}
		return s
	}
	var schedule [64]word
	for i := range schedule {
		if i < 16 {
			schedule[i] = inputs(32*i, 32)
			continue
		}
		x, y := schedule[i-15], schedule[i-2]
		s0 := c.bitwise(c.xor, x.rotateRight(7), x.rotateRight(18), shift(x, 3))
		s1 := c.bitwise(c.xor, y.rotateRight(17), y.rotateRight(19), shift(y, 10))
		schedule[i] = c.add(c.add(c.add(schedule[i-16], s0), schedule[i-7]), s1)
	}
	ps := primes(64)
	var initial, v [8]word
	for i := range v {
		initial[i] = fixed(root(ps[i], 2))
		v[i] = initial[i]
	}
	for i := range schedule {
		a, b, d, e, f, g, h := v[0], v[1], v[2], v[4], v[5], v[6], v[7]
		ch, maj := make(word, 32), make(word, 32)
		for j := range ch {
			ch[j], maj[j] = c.choose(e[j], f[j], g[j]), c.majority(a[j], b[j], d[j])
		}
		s1 := c.bitwise(c.xor, e.rotateRight(6), e.rotateRight(11), e.rotateRight(25))
		s0 := c.bitwise(c.xor, a.rotateRight(2), a.rotateRight(13), a.rotateRight(22))
		t1 := c.add(c.add(c.add(c.add(h, s1), ch), fixed(root(ps[i], 3))), schedule[i])
		v = [8]word{c.add(t1, c.add(s0, maj)), a, b, d, c.add(v[3], t1), e, f, g}
	}
	for i := range v {
		v[i] = c.add(initial[i], v[i])
	}
	return c, v
}

// SHA-256 of NAND gates is the standard library's.
func TestSHA256(t *testing.T) {
	c, digest := newSHA256()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d gates", len(c.Gates))
	for _, message := range []string{"", "abc", "BitVM: Compute Anything on Bitcoin"} {
		var block [64]byte
		copy(block[:], message)
		block[len(message)] = 0x80
		binary.BigEndian.PutUint64(block[56:], uint64(8*len(message)))
		var bits []bool
		for i := 0; i < 64; i += 4 {
			bits = append(bits, bitsOf(uint64(binary.BigEndian.Uint32(block[i:])), 32)...)
		}
		all := c.Evaluate(append(bits, false, true))
		var got [32]byte
		for i, w := range digest {
			binary.BigEndian.PutUint32(got[4*i:], uint32(w.value(all)))
		}
		if want := sha256.Sum256([]byte(message)); got != want {
			t.Errorf("%q: %x, want %x", message, got, want)
		}
		if gate, ok := c.Fault(all); ok {
			t.Errorf("%q: gate %d is wrong", message, gate)
		}
	}
}

func TestCircuitCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		c    Circuit
		good bool
	}{
		"one gate":       {Circuit{1, []Gate{{0, 0}}}, true},
		"of a gate":      {Circuit{2, []Gate{{0, 1}, {2, 1}}}, true},
		"no inputs":      {Circuit{0, []Gate{{0, 0}}}, false},
		"no gates":       {Circuit{2, nil}, false},
		"of itself":      {Circuit{1, []Gate{{0, 1}}}, false},
		"of a later one": {Circuit{1, []Gate{{2, 0}, {0, 0}}}, false},
		"negative":       {Circuit{1, []Gate{{0, -1}}}, false},
		"too large":      {Circuit{MaxWires, []Gate{{0, 0}}}, false},
		"far too large":  {Circuit{math.MaxInt, []Gate{{0, 0}}}, false},
	} {
		if err := tt.c.Check(); (err == nil) != tt.good || err != nil && !errors.Is(err, ErrCircuit) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
