package dryrun

import (
	"context"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// ops writes a script of opcodes and pushes: an int is an opcode, bytes are pushed.
func ops(parts ...any) []byte {
	var script []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			script = append(script, byte(p))
		case []byte:
			switch {
			case len(p) > 255:
				script = append(script, txscript.OP_PUSHDATA2, byte(len(p)), byte(len(p)>>8))
			case len(p) > 75:
				script = append(script, txscript.OP_PUSHDATA1, byte(len(p)))
			default:
				script = append(script, byte(len(p)))
			}
			script = append(script, p...)
		}
	}
	return script
}

// A coin is an output and how it is spent.
type coin struct {
	pkScript, sigScript []byte
	witness             [][]byte
}

var testKey, _ = btcec.PrivKeyFromBytes([]byte(strings.Repeat("k", 32)))

// tapLeaf is an output of taproot with a leaf, spent with these items.
func tapLeaf(t testing.TB, script []byte, items ...[]byte) coin {
	t.Helper()
	tree := txscript.AssembleTaprootScriptTree(txscript.NewBaseTapLeaf(script))
	root := tree.RootNode.TapHash()
	block := tree.LeafMerkleProofs[0].ToControlBlock(testKey.PubKey())
	control, err := block.ToBytes()
	if err != nil {
		t.Fatal(err)
	}
	output := txscript.ComputeTaprootOutputKey(testKey.PubKey(), root[:])
	return coin{
		pkScript: ops(txscript.OP_1, schnorr.SerializePubKey(output)),
		witness:  append(items[:len(items):len(items)], script, control),
	}
}

// witnessScript is an output of P2WSH.
func witnessScript(script []byte, items ...[]byte) coin {
	hash := sha256.Sum256(script)
	return coin{pkScript: ops(txscript.OP_0, hash[:]), witness: append(items[:len(items):len(items)], script)}
}

// redeemScript is an output of P2SH; pushes are before the script.
func redeemScript(script, pushes []byte) coin {
	return coin{
		pkScript:  ops(txscript.OP_HASH160, address.Hash160(script), txscript.OP_EQUAL),
		sigScript: append(pushes[:len(pushes):len(pushes)], ops(script)...),
	}
}

// wrapped is what a witness output is in P2SH.
func wrapped(c coin) coin {
	outer := redeemScript(c.pkScript, nil)
	outer.witness = c.witness
	return outer
}

// spend is a transaction that spends coins of 100,000 satoshis each to one output of
// taproot, and pays 10,000.
func spend(coins ...coin) *Spend {
	s := &Spend{Tx: wire.NewMsgTx(2), Input: -1}
	for i, c := range coins {
		s.Tx.AddTxIn(&wire.TxIn{
			PreviousOutPoint: wire.OutPoint{Hash: chainhash.Hash{byte(i), 1}, Index: uint32(i)},
			SignatureScript:  c.sigScript, Witness: c.witness, Sequence: wire.MaxTxInSequenceNum,
		})
		s.Prevouts = append(s.Prevouts, &wire.TxOut{Value: 100_000, PkScript: c.pkScript})
	}
	s.Tx.AddTxOut(&wire.TxOut{Value: int64(100_000*len(coins) - 10_000), PkScript: ops(txscript.OP_1, make([]byte, 32))})
	return s
}

func run(t testing.TB, s *Spend) *Report {
	t.Helper()
	r, err := Run(context.Background(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// outputsOf is what the engine is told of the outputs that are spent.
func outputsOf(s *Spend) (txscript.PrevOutputFetcher, *txscript.TxSigHashes) {
	outputs := make(map[wire.OutPoint]*wire.TxOut)
	for i, p := range s.Prevouts {
		outputs[s.Tx.TxIn[i].PreviousOutPoint] = p
	}
	fetcher := txscript.NewMultiPrevOutFetcher(outputs)
	return fetcher, txscript.NewTxSigHashes(s.Tx, fetcher)
}

// sign makes the signature of an input that spends by the test's key: P2PKH, P2WPKH, or the
// key path of taproot.
func (s *Spend) sign(t testing.TB, input int) {
	t.Helper()
	_, midstate := outputsOf(s)
	in, out := s.Tx.TxIn[input], s.Prevouts[input]
	var err error
	switch kind(out.PkScript) {
	case "pubkeyhash":
		in.SignatureScript, err = txscript.SignatureScript(s.Tx, input, out.PkScript, txscript.SigHashAll, testKey, true)
	case "witness_v0_keyhash":
		in.Witness, err = txscript.WitnessSignature(s.Tx, midstate, input, out.Value, out.PkScript, txscript.SigHashAll, testKey, true)
	case "witness_v1_taproot":
		in.Witness, err = txscript.TaprootWitnessSignature(s.Tx, midstate, input, out.Value, out.PkScript, txscript.SigHashDefault, testKey)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func keyHash() []byte { return address.Hash160(testKey.PubKey().SerializeCompressed()) }

func payToKeyHash() coin {
	return coin{pkScript: ops(txscript.OP_DUP, txscript.OP_HASH160, keyHash(), txscript.OP_EQUALVERIFY, txscript.OP_CHECKSIG)}
}

func payToWitnessKeyHash() coin { return coin{pkScript: ops(txscript.OP_0, keyHash())} }

func payToTaprootKey() coin {
	return coin{pkScript: ops(txscript.OP_1, schnorr.SerializePubKey(txscript.ComputeTaprootKeyNoScript(testKey.PubKey())))}
}
