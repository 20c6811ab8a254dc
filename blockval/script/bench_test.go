package script

import (
	"fmt"
	"testing"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"

	"github.com/outrider-project/outrider/sigverify"
)

// btcdSpend is an input as btcd's engine takes it, with what signature hashes
// share computed.
type btcdSpend struct {
	tx       *Tx
	input    int
	hashes   *txscript.TxSigHashes
	prevouts *txscript.MultiPrevOutFetcher
}

func btcdSpends(txs []Tx) (spends []btcdSpend) {
	for k := range txs {
		tx := &txs[k]
		prevouts := txscript.NewMultiPrevOutFetcher(nil)
		for i, in := range tx.Msg.TxIn {
			prevouts.AddPrevOut(in.PreviousOutPoint, &tx.Prevouts[i])
		}
		hashes := txscript.NewTxSigHashes(tx.Msg, prevouts)
		for i := range tx.Msg.TxIn {
			spends = append(spends, btcdSpend{tx, i, hashes, prevouts})
		}
	}
	return spends
}

// run runs the input in btcd's engine. cache knows the signatures that need not be
// verified again.
func (s *btcdSpend) run(flags Flags, cache *txscript.SigCache) error {
	out := &s.tx.Prevouts[s.input]
	vm, err := txscript.NewEngine(out.PkScript, s.tx.Msg, s.input, theirs(flags), cache, s.hashes, out.Value, s.prevouts)
	if err != nil {
		return err
	}
	return vm.Execute()
}

// collectAll collects every input, with the hashes that transactions share
// computed anew, and returns how many there are.
func collectAll(b *testing.B, m *Machine, batch *Batch, txs []Tx, flags Flags) (inputs int) {
	*batch = Batch{
		Items: batch.Items[:0], refs: batch.refs[:0],
		work: work{claims: batch.claims[:0], groups: batch.groups[:0], data: batch.data[:0]},
	}
	for k := range txs {
		tx := Tx{Msg: txs[k].Msg, Prevouts: txs[k].Prevouts}
		for i := range tx.Msg.TxIn {
			if reason := m.Collect(&tx, i, flags, batch, inputs); reason != OK {
				b.Fatal(reason)
			}
			inputs++
		}
	}
	return inputs
}

// BenchmarkCollect measures collecting all inputs of a block, beside btcd's engine
// over the same inputs when its cache knows every signature: neither verifies any.
// The two take turns. btcd's time is without the hashes that transactions share,
// and without what it takes to fill the cache.
func BenchmarkCollect(b *testing.B) {
	for _, height := range []uint32{367891, 866342} {
		b.Run(fmt.Sprint(height), func(b *testing.B) {
			txs, flags := loadMainnet(b, height), mainnetFlags(height)
			spends := btcdSpends(txs)
			cache := txscript.NewSigCache(1 << 15)
			engines := func() {
				for i := range spends {
					if err := spends[i].run(flags, cache); err != nil {
						b.Fatal(err)
					}
				}
			}
			engines()
			m, batch := NewMachine(), new(Batch)
			inputs := collectAll(b, m, batch, txs, flags)
			best := [2]time.Duration{1 << 62, 1 << 62}
			for b.Loop() {
				start := time.Now()
				collectAll(b, m, batch, txs, flags)
				best[0] = min(best[0], time.Since(start))
				start = time.Now()
				engines()
				best[1] = min(best[1], time.Since(start))
			}
			b.ReportMetric(float64(best[0].Nanoseconds())/float64(inputs), "ns/input")
			b.ReportMetric(float64(best[1].Nanoseconds())/float64(inputs), "btcd-ns/input")
			b.ReportMetric(float64(best[1])/float64(best[0]), "x")
			b.ReportMetric(testing.AllocsPerRun(1, func() { collectAll(b, m, batch, txs, flags) })/float64(inputs), "allocs/input")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkBlock measures a block's scripts from beginning to end, on one core: all
// inputs collected, and the checks verified in one batch. btcd's engine runs the same
// inputs, with the hashes that transactions share computed before.
func BenchmarkBlock(b *testing.B) {
	const height = 866342
	txs, flags := loadMainnet(b, height), mainnetFlags(height)
	spends := btcdSpends(txs)
	v := sigverify.New(sigverify.Options{Workers: 1, CacheBytes: -1})
	b.Cleanup(v.Close)
	m, batch := NewMachine(), new(Batch)
	best := [2]time.Duration{1 << 62, 1 << 62}
	for b.Loop() {
		start := time.Now()
		collectAll(b, m, batch, txs, flags)
		for len(batch.Items) > 0 {
			valid := make([]bool, len(batch.Items))
			if err := v.Verify(b.Context(), batch.Items, valid); err != nil {
				b.Fatal(err)
			}
			if failed := batch.Settle(valid, nil); len(failed) > 0 {
				b.Fatal(failed)
			}
		}
		best[0] = min(best[0], time.Since(start))
		start = time.Now()
		for i := range spends {
			if err := spends[i].run(flags, nil); err != nil {
				b.Fatal(err)
			}
		}
		best[1] = min(best[1], time.Since(start))
	}
	b.ReportMetric(best[0].Seconds()*1000, "ms")
	b.ReportMetric(best[1].Seconds()*1000, "btcd-ms")
	b.ReportMetric(float64(best[1])/float64(best[0]), "x")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkForms measures one input of each common form, with the hashes that its
// transaction shares computed before.
func BenchmarkForms(b *testing.B) {
	f := newForge(15)
	tx, _ := manyInputs(f, 3)
	script := countOp(2)
	for k := range 3 {
		script = appendPush(script, f.keys[k].PubKey().SerializeCompressed())
	}
	script = append(append(script, countOp(3)...), opCheckMultisig)
	tapscript := append(appendPush(nil, f.keys[1].PubKey().SerializeCompressed()[1:]), opCheckSig)
	for _, form := range []struct {
		name  string
		tx    *Tx
		input int
	}{
		{"P2PKH", tx, 0},
		{"P2WPKH", tx, 1},
		{"P2TR-key", tx, 2},
		{"P2WSH-2of3", multisigSpend(f.keys, script, 0+5*2, 2), 0},
		{"P2TR-script", tapscriptSpend(b, tapscript, make([]byte, 64)), 0},
	} {
		b.Run(form.name, func(b *testing.B) {
			m, batch := NewMachine(), new(Batch)
			b.ReportAllocs()
			for b.Loop() {
				if reason := m.Collect(form.tx, form.input, consensus, batch, 0); reason != OK {
					b.Fatal(reason)
				}
				batch.Items, batch.refs = batch.Items[:0], batch.refs[:0]
				batch.work.reset()
			}
		})
	}
}

func BenchmarkHash160(b *testing.B) {
	var key [33]byte
	for b.Loop() {
		hash160(key[:])
	}
}
