package script

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/testvectors"
)

// loadMainnet returns the transactions of a mainnet vector, the coinbase left out,
// beside what they spend.
func loadMainnet(tb testing.TB, height uint32) []Tx {
	tb.Helper()
	raw, spent := testvectors.LoadMainnet(tb, height, fmt.Sprintf("that the scripts of mainnet block %d succeed", height))
	var block wire.MsgBlock
	if err := block.Deserialize(bytes.NewReader(raw)); err != nil {
		tb.Fatal(err)
	}
	txs := make([]Tx, len(block.Transactions)-1)
	for i, msg := range block.Transactions[1:] {
		txs[i].Msg = msg
		for range msg.TxIn {
			txs[i].Prevouts = append(txs[i].Prevouts, wire.TxOut{Value: spent[0].Value, PkScript: spent[0].Script})
			spent = spent[1:]
		}
	}
	if len(spent) != 0 {
		tb.Fatalf("block %d has %d inputs less than its vector spent outputs", height, len(spent))
	}
	return txs
}

// mainnetFlags are the flags of a block by its height.
func mainnetFlags(height uint32) Flags {
	flags := P2SH | Witness | Taproot
	for _, rule := range []struct {
		from uint32
		flag Flags
	}{{363725, DERSig}, {388381, CheckLockTimeVerify}, {419328, CheckSequenceVerify}, {481824, NullDummy}} {
		if height >= rule.from {
			flags |= rule.flag
		}
	}
	return flags
}

// TestMainnetBlocks collects whole blocks. Every input must be proved by the
// checks that are collected, but for those that are named.
func TestMainnetBlocks(t *testing.T) {
	for _, want := range []struct {
		height         uint32
		inputs, failed int
	}{{170, 1, 0}, {150013, 94, 0}, {367891, 20817, 0}, {757739, 91, 0}, {866342, 7972, 0}} {
		t.Run(fmt.Sprint(want.height), func(t *testing.T) {
			j := newJudge(t)
			flags := mainnetFlags(want.height)
			inputs, items := 0, 0
			var left []int
			for _, tx := range slices.Backward(indexes(loadMainnet(t, want.height))) {
				for i := range tx.Msg.TxIn {
					if reason := j.m.Collect(tx, i, flags, &j.b, inputs); reason != OK {
						t.Errorf("input %d of %s: %v", i, tx.Msg.TxHash(), reason)
					}
					inputs++
				}
			}
			items = len(j.b.Items)
			left = j.settle(t)
			t.Logf("%d inputs, %d checks, %d to be run exactly", inputs, items, len(left))
			if inputs != want.inputs || len(left) != want.failed {
				t.Errorf("%d inputs, %d not proved; want %d and %d", inputs, len(left), want.inputs, want.failed)
			}
		})
	}
}

// indexes returns pointers to the elements of s.
func indexes[T any](s []T) []*T {
	p := make([]*T, len(s))
	for i := range s {
		p[i] = &s[i]
	}
	return p
}

// TestMainnetFlags runs the blocks exactly with each flag of consensus alone, with
// those it needs, with none, and with those of its height: btcd's engine must agree about every input.
func TestMainnetFlags(t *testing.T) {
	sets := []Flags{0, P2SH, DERSig, NullDummy, CheckLockTimeVerify, CheckSequenceVerify, P2SH | Witness, P2SH | Witness | Taproot}
	c := startCore(t)
	for _, height := range testvectors.MainnetHeights() {
		if height > 150013 && height != 757739 && testing.Short() {
			continue
		}
		t.Run(fmt.Sprint(height), func(t *testing.T) {
			j, txs := newJudge(t), loadMainnet(t, height)
			spends, cache := btcdSpends(txs), txscript.NewSigCache(1<<15)
			invalid := 0
			for _, flags := range append(sets, mainnetFlags(height)) {
				for _, s := range spends {
					if c != nil && j.inputs%10 == 0 && len(s.tx.Msg.TxIn) < 100 {
						if got, want := j.execute(t, s.tx, s.input, flags), c.run(t, s.tx, s.input, flags); got != want {
							t.Errorf("flags %x: %v, Bitcoin Core says %v\n%s", flags, got, want, describe(s.tx, s.input, flags))
						}
					}
					got := j.run(t, s.tx, s.input, flags)
					err := s.run(flags, cache)
					if got != OK {
						invalid++
					}
					if (got == OK) != (err == nil) {
						t.Errorf("flags %x: %v, btcd says %v\n%s", flags, got, err, describe(s.tx, s.input, flags))
					}
				}
			}
			t.Logf("%d runs, %d invalid, %d proved", j.inputs, invalid, j.proved)
		})
	}
}
