package demo

import (
	"fmt"
	"testing"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// testCoin returns a coin of w that no chain has.
func testCoin(t *testing.T, w *wallet, kind Kind, value int64) Coin {
	t.Helper()
	_, coin, err := w.output(Payment{Kind: kind, Value: value})
	if err != nil {
		t.Fatal(err)
	}
	coin.OutPoint = wire.OutPoint{Hash: chainhash.HashH(coin.Script), Index: coin.Key}
	return coin
}

// checkScripts runs the scripts of tx with the flags of the mempool.
func checkScripts(tx *Tx) error {
	prevouts := make(map[wire.OutPoint]*wire.TxOut)
	for _, c := range tx.Spent {
		prevouts[c.OutPoint] = wire.NewTxOut(c.Value, c.Script)
	}
	fetcher := txscript.NewMultiPrevOutFetcher(prevouts)
	hashes := txscript.NewTxSigHashes(tx.Msg, fetcher)
	for i, c := range tx.Spent {
		e, err := txscript.NewEngine(c.Script, tx.Msg, i, txscript.StandardVerifyFlags, nil, hashes, c.Value, fetcher)
		if err == nil {
			err = e.Execute()
		}
		if err != nil {
			return fmt.Errorf("input %d (%v): %w", i, c.Kind, err)
		}
	}
	return nil
}

func TestSpend(t *testing.T) {
	hashTypes := []txscript.SigHashType{
		txscript.SigHashDefault, txscript.SigHashAll, txscript.SigHashNone, txscript.SigHashSingle,
		txscript.SigHashAll | txscript.SigHashAnyOneCanPay,
		txscript.SigHashNone | txscript.SigHashAnyOneCanPay,
		txscript.SigHashSingle | txscript.SigHashAnyOneCanPay,
	}
	for _, kind := range Kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			w := newWallet(1)
			for i, hashType := range hashTypes {
				o := SpendOptions{HashType: hashType, LockTime: uint32(i), Sequence: uint32(i)}
				// Four coins, so that one of the keys is uncompressed.
				var coins []Coin
				var payments []Payment
				for j := range 4 {
					coins = append(coins, testCoin(t, w, kind, 1_000_000))
					payments = append(payments, Payment{Kind: kind, Value: 900_000 + int64(j)})
				}
				tx, err := w.spend(coins, payments, o)
				if err != nil {
					t.Fatal(err)
				}
				if err := checkScripts(tx); err != nil {
					t.Errorf("hash type %#x: %v", hashType, err)
				}
				if tx.Fee != 4*100_000-6 {
					t.Errorf("fee %d", tx.Fee)
				}
				if hashType&^txscript.SigHashAnyOneCanPay == txscript.SigHashNone {
					continue // nothing covers the outputs
				}
				tx.Msg.TxOut[0].Value--
				if checkScripts(tx) == nil {
					t.Errorf("hash type %#x: valid after an output was changed", hashType)
				}
			}
		})
	}
}

func TestSpendCreatesItsOutputs(t *testing.T) {
	w := newWallet(2)
	var payments []Payment
	for _, kind := range Kinds() {
		payments = append(payments, Payment{Kind: kind, Value: 1000 + int64(kind)})
	}
	payments = append(payments[:3:3], append([]Payment{{Data: []byte("data")}}, payments[3:]...)...)
	tx, err := w.spend([]Coin{testCoin(t, w, P2WPKH, 1_000_000)}, payments, SpendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(tx.Created) != len(Kinds()) {
		t.Fatalf("%d coins of %d kinds", len(tx.Created), len(Kinds()))
	}
	for i, c := range tx.Created {
		out := tx.Msg.TxOut[c.Index]
		if c.Kind != Kind(i) || c.Value != out.Value || string(c.Script) != string(out.PkScript) || c.Hash != tx.Msg.TxHash() {
			t.Errorf("coin %d is not the output %d", i, c.Index)
		}
	}
	if !txscript.IsNullData(tx.Msg.TxOut[3].PkScript) {
		t.Error("output 3 is no null data")
	}
	// Each of them can be spent, all in one transaction.
	tx, err = w.spend(tx.Created, []Payment{{Kind: P2TRKey, Value: 1}}, SpendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := checkScripts(tx); err != nil {
		t.Error(err)
	}
}

func TestWalletFollowsFromSeed(t *testing.T) {
	spend := func(seed uint64) chainhash.Hash {
		w := newWallet(seed)
		var coins []Coin
		for _, kind := range Kinds() {
			coins = append(coins, testCoin(t, w, kind, 5000))
		}
		tx, err := w.spend(coins, []Payment{{Kind: P2WPKH, Value: 2}}, SpendOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return tx.Msg.WitnessHash()
	}
	first := spend(1)
	if again := spend(1); again != first {
		t.Error("one seed makes two transactions")
	}
	if spend(2) == first {
		t.Error("two seeds make one transaction")
	}
}

// TestSpendSize checks the sizes that fees are reckoned from.
func TestSpendSize(t *testing.T) {
	w := newWallet(3)
	for _, kind := range Kinds() {
		var most int64
		for key := range uint32(16) {
			w.next = key
			tx, err := w.spend([]Coin{testCoin(t, w, kind, 5000)}, []Payment{{Kind: Multisig, Value: 1}},
				SpendOptions{HashType: txscript.SigHashAll})
			if err != nil {
				t.Fatal(err)
			}
			size := (blockchain.GetTransactionWeight(btcutil.NewTx(tx.Msg)) + 3) / 4
			most = max(most, size)
		}
		if bound := baseSize + outputSize + spendSize[kind]; most > bound || most < bound-6 {
			t.Errorf("%v: %d virtual bytes, reckoned %d", kind, most, bound)
		}
	}
}
