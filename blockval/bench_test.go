package blockval

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/testvectors"
)

// BenchmarkCheck measures a whole validation, decoding included, of the mainnet
// vectors: from the first payment over 20,000 inputs in one transaction to a
// block of today.
func BenchmarkCheck(b *testing.B) {
	for _, height := range testvectors.MainnetHeights() {
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%d/%dcore", height, workers), func(b *testing.B) {
				m := loadMainnet(b, height)
				v := newValidator(b, "main", Options{Workers: workers})
				var stages Stages
				b.ReportAllocs()
				b.SetBytes(int64(len(m.raw)))
				n := 0
				for b.Loop() {
					got := checkRaw(b, v, m.raw, m.at())
					if !got.Valid() {
						b.Fatal(got.Err)
					}
					stages.Parse += got.Stages.Parse
					stages.Lookup += got.Stages.Lookup
					stages.Rules += got.Stages.Rules
					stages.Scripts += got.Stages.Scripts
					n++
				}
				ms := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(n) }
				b.ReportMetric(ms(stages.Parse), "parse-ms")
				b.ReportMetric(ms(stages.Lookup), "lookup-ms")
				b.ReportMetric(ms(stages.Rules), "rules-ms")
				b.ReportMetric(ms(stages.Scripts), "scripts-ms")
			})
		}
	}
}

// BenchmarkParse measures decoding and hashing alone.
func BenchmarkParse(b *testing.B) {
	for _, height := range testvectors.MainnetHeights() {
		b.Run(fmt.Sprint(height), func(b *testing.B) {
			m := loadMainnet(b, height)
			b.ReportAllocs()
			b.SetBytes(int64(len(m.raw)))
			for b.Loop() {
				if _, err := Parse(m.raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBtcdEngine measures what Check is held against: the scripts alone,
// one after the other, in btcd's engine, with what signature hashes share
// computed once for each transaction that has a witness, as btcd does.
func BenchmarkBtcdEngine(b *testing.B) {
	for _, height := range testvectors.MainnetHeights() {
		b.Run(fmt.Sprint(height), func(b *testing.B) {
			m := loadMainnet(b, height)
			block, err := Parse(m.raw)
			if err != nil {
				b.Fatal(err)
			}
			p := newValidator(b, "main", Options{}).params
			flags := p.ScriptFlags(block.Hash, height).Txscript()
			coins := testCoins{}
			maps.Copy(coins, m.coins)
			coins.create(block, height)
			b.ReportAllocs()
			for b.Loop() {
				for _, tx := range block.Msg.Transactions[1:] {
					prevouts := txscript.NewMultiPrevOutFetcher(nil)
					for _, in := range tx.TxIn {
						prevouts.AddPrevOut(in.PreviousOutPoint, coins.output(in.PreviousOutPoint))
					}
					var hashes *txscript.TxSigHashes
					if flags&txscript.ScriptVerifyWitness != 0 && tx.HasWitness() {
						hashes = txscript.NewTxSigHashes(tx, prevouts)
					}
					for i, in := range tx.TxIn {
						out := coins.output(in.PreviousOutPoint)
						vm, err := txscript.NewEngine(out.PkScript, tx, i, flags, nil, hashes, out.Value, prevouts)
						if err == nil {
							err = vm.Execute()
						}
						if err != nil {
							b.Fatal(err)
						}
					}
				}
			}
		})
	}
}

// BenchmarkCheckSeen measures a whole validation when every transaction of the block
// was verified before: all but the signatures.
func BenchmarkCheckSeen(b *testing.B) {
	for _, height := range testvectors.MainnetHeights() {
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%d/%dcore", height, workers), func(b *testing.B) {
				m := loadMainnet(b, height)
				v := newValidator(b, "main", Options{Workers: workers})
				m.remember(b, v)
				b.ReportAllocs()
				b.SetBytes(int64(len(m.raw)))
				for b.Loop() {
					if got := checkRaw(b, v, m.raw, m.at()); !got.Valid() {
						b.Fatal(got.Err)
					}
				}
			})
		}
	}
}

// remember has v verify every transaction of the block.
func (m *mainnetBlock) remember(tb testing.TB, v *Validator) {
	tb.Helper()
	block, err := Parse(m.raw)
	if err != nil {
		tb.Fatal(err)
	}
	coins := testCoins{}
	maps.Copy(coins, m.coins)
	coins.create(block, m.height)
	for _, tx := range block.Msg.Transactions[1:] {
		var prevouts []wire.TxOut
		for _, in := range tx.TxIn {
			prevouts = append(prevouts, *coins.output(in.PreviousOutPoint))
		}
		if _, err := v.VerifyTx(tb.Context(), tx, prevouts); err != nil {
			tb.Fatal(err)
		}
	}
}
