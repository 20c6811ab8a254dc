package sidecar

import (
	"fmt"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// signedChain mines blocks on a new btcd of regtest, of which each of the last n has
// so many inputs with a signature (P2WPKH), a hundred in a transaction.
func signedChain(tb testing.TB, n, inputs int) *nodetest.Btcd {
	tb.Helper()
	btcd := nodetest.NewBtcd(tb, nodetest.BtcdOptions{NoTLS: true})
	btcd.Mine(100 + n)
	key, public := btcec.PrivKeyFromBytes([]byte("a key of the benchmark"))
	script := append([]byte{txscript.OP_0, txscript.OP_DATA_20}, address.Hash160(public.SerializeCompressed())...)
	funds := make([]*wire.MsgTx, n)
	for i := range funds {
		funds[i] = spendFirst(tb, btcd, 1+i, opTrue)
		each := funds[i].TxOut[0].Value / int64(inputs)
		funds[i].TxOut = nil
		for range inputs {
			funds[i].AddTxOut(wire.NewTxOut(each, script))
		}
	}
	btcd.AddTx(funds[0])
	btcd.Mine(1)
	for i, fund := range funds {
		for from := 0; from < inputs; from += 100 {
			tx := wire.NewMsgTx(2)
			for k := from; k < min(from+100, inputs); k++ {
				tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: fund.TxHash(), Index: uint32(k)}, nil, nil))
			}
			tx.AddTxOut(wire.NewTxOut(1e6, script))
			hashes := txscript.NewTxSigHashes(tx, txscript.NewCannedPrevOutputFetcher(script, fund.TxOut[0].Value))
			for k, in := range tx.TxIn {
				witness, err := txscript.WitnessSignature(tx, hashes, k, fund.TxOut[0].Value, script, txscript.SigHashAll, key, true)
				if err != nil {
					tb.Fatal(err)
				}
				in.Witness = witness
			}
			btcd.AddTx(tx)
		}
		if i+1 < n {
			btcd.AddTx(funds[i+1])
		}
		btcd.Mine(1)
	}
	return btcd
}

// BenchmarkCatchUp measures blocks of a thousand signatures from the first of them
// to the last, beside a fake btcd on the same cores: one after the other, and as
// multiples of that speed the blocks in flight. Runs take turns; it tells medians.
func BenchmarkCatchUp(b *testing.B) {
	const blocks, inputs = 40, 1000
	btcd := signedChain(b, blocks, inputs)
	depths := []int64{1, 2, 4, 16}
	took := make([][]float64, len(depths))
	for b.Loop() {
		for i, depth := range depths {
			p := newPilot(b, btcd, 0, depth)
			land := p.fly(b)
			reports := p.awaitTip(b, btcd)
			for _, r := range reports {
				if r.Outcome != Agree {
					b.Fatalf("block %d: %s: %s", r.Verdict.Height, r.Outcome, r.Reason)
				}
			}
			took[i] = append(took[i], reports[len(reports)-1].At.Sub(reports[len(reports)-1-blocks].At).Seconds())
			_ = land()
		}
	}
	for i, depth := range depths {
		slices.Sort(took[i])
		if median := took[i][len(took[i])/2]; i == 0 {
			b.ReportMetric(blocks/median, "blocks/s")
		} else {
			b.ReportMetric(took[0][len(took[0])/2]/median, fmt.Sprintf("x(%d)", depth))
		}
	}
}
