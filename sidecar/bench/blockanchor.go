package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
)

// btcdScripts runs every input through btcd's script engine on k goroutines. What
// signature hashes share is computed once for each transaction that has a witness,
// as checkBlockScripts in btcd does. Decoding and everything but scripts is left
// out.
func (m *blockBench) btcdScripts(ctx context.Context, k int) (time.Duration, error) {
	flags := m.params.ScriptFlags(m.block.Hash, m.in.Height).Txscript()
	coins := m.coins
	type job struct {
		tx     *wire.MsgTx
		input  int
		coin   blockval.Coin
		hashes *txscript.TxSigHashes
	}
	start := time.Now()
	var jobs []job
	for _, tx := range m.block.Msg.Transactions[1:] {
		var hashes *txscript.TxSigHashes
		if flags&txscript.ScriptVerifyWitness != 0 && tx.HasWitness() {
			hashes = txscript.NewTxSigHashes(tx, coins)
		}
		for i, txin := range tx.TxIn {
			jobs = append(jobs, job{tx, i, coins.coin(&txin.PreviousOutPoint), hashes})
		}
	}
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range k {
		wg.Go(func() {
			for ctx.Err() == nil && failed.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(jobs) {
					return
				}
				j := &jobs[i]
				vm, err := txscript.NewEngine(j.coin.Script, j.tx, j.input, flags, nil, j.hashes, j.coin.Value, coins)
				if err == nil {
					err = vm.Execute()
				}
				if err != nil {
					err = fmt.Errorf("btcd refuses input %d of %v: %w", j.input, j.tx.TxHash(), err)
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return took, ctx.Err()
}

// A floor is libsecp256k1's time for one ECDSA signature, key and signature read, by
// go-ethereum's cgo binding: what no program that verifies with that goes below, whatever
// else it does. Newer libsecp256k1 without cgo takes three quarters of it. It stands for BIP340's too,
// which the binding does not have and which take libsecp256k1 as long.
type floor struct {
	verify  func(*sample) bool
	samples []sample
}

// floorSamples is how many signatures each core verifies for one measurement.
const floorSamples = 512

// newFloor returns nil where there is no libsecp256k1.
func newFloor() (*floor, error) {
	a := libsecp()
	if a == nil {
		return nil, nil
	}
	samples, _, err := newSamples(floorSamples)
	if err != nil {
		return nil, err
	}
	return &floor{a.ecdsa, samples}, nil
}

// measure returns the time for a signature when k cores verify.
func (f *floor) measure(k int) (time.Duration, error) {
	var refused atomic.Bool
	var wg sync.WaitGroup
	start := time.Now()
	for range k {
		wg.Go(func() {
			for i := range f.samples {
				if !f.verify(&f.samples[i]) {
					refused.Store(true)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	if refused.Load() {
		return 0, errors.New("libsecp256k1 refuses a valid signature")
	}
	return took / time.Duration(k*len(f.samples)), nil
}
