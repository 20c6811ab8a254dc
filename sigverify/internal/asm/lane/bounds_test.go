package main

import (
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/mmcloughlin/avo/reg"
)

func input(i int) addr { return addr{reg.RDI, i * 5 * rowBytes} }

// Every sequence whose numbers could outgrow their place stops the generator.
func TestBoundsAreChecked(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func(b *block)
		want string // a part of the message; "" if the sequence is right
	}{
		{"product of reduced elements", func(b *block) {
			x := b.mul(b.loadReduced(input(0)), b.loadReduced(input(1)))
			b.storeReduced(input(2), b.sqr(x))
		}, ""},
		{"product of a sum that is not carried", func(b *block) {
			x := b.loadReduced(input(0))
			b.mul(reduced{b.addReduced(asRaw(x), x).l}, x)
		}, "of which a multiplication reads 52 bits"},
		{"the same, carried", func(b *block) {
			x := b.loadReduced(input(0))
			b.mul(b.semiOf(b.addReduced(asRaw(x), x)), x)
		}, ""},
		{"product with a limb 4 that is not reduced", func(b *block) {
			x := b.times2(asRaw(b.loadReduced(input(0))), 4)
			b.semiOf(x)
		}, "limb 4 of a factor"},
		{"square of doubled limbs", func(b *block) {
			x := b.times2(asRaw(b.loadReduced(input(0))), 1)
			b.sqrColumns(reduced{x.l})
		}, "of which a multiplication reads 52 bits"},
		{"carried limb in a sum", func(b *block) {
			x := b.loadSemi(input(0))
			b.addReduced(raw{l: x.l}, b.loadReduced(input(1)))
		}, "a carried limb outside of a multiplication"},
		{"carried limb in a reduction", func(b *block) {
			x := b.semiOf(b.addReduced(asRaw(b.loadReduced(input(0))), b.loadReduced(input(1))))
			b.storeReduced(input(2), reduced(x))
		}, "a carried limb outside of a multiplication"},
		{"p minus a reduced element", func(b *block) { b.negated(1, b.loadReduced(input(0))) }, "could be negative"},
		{"2p minus a reduced element", func(b *block) { b.negated(2, b.loadReduced(input(0))) }, ""},
		{"2p minus two reduced elements", func(b *block) {
			b.negated(2, b.loadReduced(input(0)), b.loadReduced(input(1)))
		}, "could be negative"},
		{"product minus an eightfold product", func(b *block) {
			c := b.mulColumns(columns{}, b.loadReduced(input(0)), b.loadReduced(input(1)))
			b.fold(b.mulColumns(b.negatedColumns(c, 3), b.loadReduced(input(0)), b.loadReduced(input(1))))
		}, ""},
		{"bias minus a 256-fold product", func(b *block) {
			c := b.mulColumns(columns{}, b.loadReduced(input(0)), b.loadReduced(input(1)))
			b.negatedColumns(c, 8)
		}, "could be negative"},
		{"subtraction of a product whose spill is open", func(b *block) {
			c := b.mulColumns(columns{}, b.loadReduced(input(0)), b.loadReduced(input(1)))
			b.addWhere(b.loadMask(input(3)), raw{l: b.negated(2, b.loadReduced(input(2))).l}, b.fold(c))
		}, "a spill cannot be subtracted"},
		{"carrying a product whose spill is open", func(b *block) {
			c := b.mulColumns(columns{}, b.loadReduced(input(0)), b.loadReduced(input(1)))
			b.semiOf(b.fold(c))
		}, "a spill that is not folded"},
		{"sum of two open spills", func(b *block) {
			product := func() columns {
				return b.mulColumns(columns{}, b.loadReduced(input(0)), b.loadReduced(input(1)))
			}
			b.plus(b.fold(product()), b.fold(product()))
		}, "a sum of two spills"},
		{"product folded twice", func(b *block) {
			c := b.mulColumns(columns{}, b.loadReduced(input(0)), b.loadReduced(input(1)))
			b.fold(c)
			b.fold(c)
		}, "a carried limb outside of a multiplication"},
		{"words of a carried element", func(b *block) {
			b.pack(reduced(b.sqrSemi(b.loadReduced(input(0)))))
		}, "may not fit into 256 bits"},
		{"zero test of a carried element", func(b *block) {
			b.zeroMask(reduced(b.sqrSemi(b.loadReduced(input(0)))))
		}, "a carried limb outside of a multiplication"},
		{"too many products in one column", func(b *block) {
			c := columns{}
			for range 500 {
				c = b.mulColumns(c, b.loadReduced(input(0)), b.loadReduced(input(1)))
			}
		}, "an accumulator beyond 64 bits"},
		{"column 9 too large to fold", func(b *block) {
			c := b.mulColumns(columns{}, b.loadSemi(input(0)), b.loadSemi(input(1)))
			for range 12 {
				c.t[9] = b.add(c.t[9], c.t[9])
			}
			b.fold(c)
		}, "of which a multiplication reads 52 bits"},
		{"store of a raw limb as reduced", func(b *block) {
			x := b.loadReduced(input(0))
			b.storeReduced(input(1), reduced{b.addReduced(asRaw(x), x).l})
		}, "where at most"},
		{"words of a number that may not fit", func(b *block) { b.pack(b.loadReduced(input(0))) }, "may not fit into 256 bits"},
		{"words of one that fits", func(b *block) { b.pack(b.fits(b.loadReduced(input(0)))) }, ""},
		{"normal of a sum", func(b *block) {
			x := b.loadReduced(input(0))
			b.normal(b.reduce(b.addReduced(asRaw(x), x)))
		}, ""},
		{"normal of a sum that is not reduced", func(b *block) {
			x := b.loadReduced(input(0))
			b.normal(reduced{b.addReduced(asRaw(x), x).l})
		}, "a number of 2p or more"},
		{"small product that is not small", func(b *block) {
			b.maddSmall(nil, b.constant(mask52), b.constant(2))
		}, "of which only the low half is added"},
		{"shift beyond 64 bits", func(b *block) { b.shl(b.constant(mask52), 13) }, "a shift beyond 64 bits"},
		{"sum beyond 64 bits", func(b *block) {
			x := b.load(input(0), all64)
			b.add(x, x)
		}, "a sum beyond 64 bits"},
		{"two bounds for one place", func(b *block) {
			b.load(input(0), 1)
			b.load(input(0), 2)
		}, "two bounds"},
		{"load after a store", func(b *block) {
			b.store(input(1), b.load(input(0), 1), 1)
			b.load(input(1), 1)
		}, "a load after a store"},
		{"two stores", func(b *block) {
			x := b.load(input(0), 1)
			b.store(input(1), x, 1)
			b.store(input(1), x, 1)
		}, "two stores"},
		{"product of scalars", func(b *block) {
			b.storeScalar(input(2), b.montgomery(b.loadScalar(input(0)), b.loadScalar(input(1))))
		}, ""},
		{"product of scalars too large", func(b *block) {
			x := b.loadScalar(input(0))
			x.l[4] = b.load(input(4), mask52)
			b.storeScalar(input(2), b.montgomery(x, x))
		}, "limb 4 of a scalar"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				var failed boundError
				err, _ := recover().(error)
				switch {
				case tt.want == "" && err != nil:
					t.Errorf("%v; want nothing wrong", err)
				case tt.want != "" && (!errors.As(err, &failed) || !strings.Contains(err.Error(), tt.want)):
					t.Errorf("got %v, want %q", err, tt.want)
				}
			}()
			tt.run(newBlock(tt.name))
		})
	}
}

func TestMultipleOfPrime(t *testing.T) {
	for _, bias := range [][]uint8{biasColumns, biasRaw} {
		sum := new(big.Int)
		for i, k := range multipleOfPrime(bias) {
			if k < 1<<bias[i] {
				t.Errorf("column %d is %#x, below 2^%d", i, k, bias[i])
			}
			sum.Add(sum, new(big.Int).Lsh(new(big.Int).SetUint64(k), uint(52*i)))
		}
		if sum.Mod(sum, fieldPrime).Sign() != 0 {
			t.Errorf("the columns of %v are no multiple of p", bias)
		}
	}
}
