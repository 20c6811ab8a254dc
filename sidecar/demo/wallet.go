package demo

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A Kind is a way to lock a coin, and to spend it.
type Kind uint8

// These are the kinds of coin that the wallet makes and spends. btcd relays all of
// them. Keys are compressed, except that every fourth key of P2PK and P2PKH is
// not; multisig is 2 of 3.
const (
	P2PK Kind = iota
	P2PKH
	Multisig // bare
	P2SHMultisig
	P2WPKH
	P2SHP2WPKH
	P2WSHMultisig
	P2TRKey
	P2TRScript   // script path, <key> OP_CHECKSIG
	P2TRMultisig // script path, 2 of 2 by OP_CHECKSIGADD
	numKinds
)

var kindNames = [numKinds]string{
	"p2pk", "p2pkh", "multisig", "p2sh-multisig", "p2wpkh", "p2sh-p2wpkh",
	"p2wsh-multisig", "p2tr-key", "p2tr-script", "p2tr-multisig",
}

func (k Kind) String() string { return kindNames[k] }

// Kinds returns every kind.
func Kinds() []Kind {
	kinds := make([]Kind, numKinds)
	for i := range kinds {
		kinds[i] = Kind(i)
	}
	return kinds
}

// A Coin is an output of the wallet, and what the wallet needs to spend it.
type Coin struct {
	wire.OutPoint
	// Value is in satoshis.
	Value int64
	// Script is the locking script.
	Script []byte
	Kind   Kind
	// Key is the index of the wallet's key.
	Key uint32
	// Height is the height of the block that made the coin; 0 before that.
	Height uint32
	// Coinbase says that a coinbase transaction made it.
	Coinbase bool

	// past is the median time past, in Unix seconds, of the block before the
	// one that made the coin: where BIP68 starts to count.
	past int64
}

// A Payment is an output to be: of a kind that the wallet can spend, or, if
// Data is not nil, a null data output.
type Payment struct {
	Kind  Kind
	Value int64 // satoshis
	Data  []byte
}

// A SpendOptions says how to spend. The zero value makes a final version 2
// transaction whose signatures cover everything.
type SpendOptions struct {
	// LockTime is nLockTime.
	LockTime uint32
	// Sequence is the sequence number of all inputs; 0 means the final one.
	Sequence uint32
	// HashType is what the signatures cover; 0 means SIGHASH_DEFAULT for
	// taproot and SIGHASH_ALL for the rest.
	HashType txscript.SigHashType
}

// A Tx is a signed transaction of the wallet.
type Tx struct {
	Hash chainhash.Hash
	Msg  *wire.MsgTx
	// Spent are the coins of the inputs, in their order, as they were when the
	// transaction was made: the height of an unconfirmed one is 0.
	Spent []Coin
	// Created are the outputs that the wallet can spend.
	Created []Coin
	// Fee is in satoshis.
	Fee int64

	// node is the index of the node that the transaction was sent to.
	node int
}

// A wallet derives keys from a seed and signs with them. Everything that it does
// follows from the seed and the order of the calls. It is not safe for
// concurrent use.
type wallet struct {
	seed uint64
	next uint32 // the next unused key
}

// newWallet returns the wallet of a seed.
func newWallet(seed uint64) *wallet { return &wallet{seed: seed} }

// spend makes and signs a transaction that spends coins, in that order, to
// payments, in that order, each to a fresh key. What the payments leave is the
// fee. It does not look at heights and lock times.
func (w *wallet) spend(coins []Coin, payments []Payment, o SpendOptions) (*Tx, error) {
	tx := &Tx{Msg: wire.NewMsgTx(2), Spent: coins}
	tx.Msg.LockTime = o.LockTime
	sequence := o.Sequence
	if sequence == 0 {
		sequence = wire.MaxTxInSequenceNum
	}
	for _, c := range coins {
		tx.Msg.AddTxIn(&wire.TxIn{PreviousOutPoint: c.OutPoint, Sequence: sequence})
		tx.Fee += c.Value
	}
	for i, p := range payments {
		out, coin, err := w.output(p)
		if err != nil {
			return nil, fmt.Errorf("pay to %v: %w", p.Kind, err)
		}
		tx.Msg.AddTxOut(out)
		tx.Fee -= p.Value
		if p.Data == nil {
			coin.Index = uint32(i)
			tx.Created = append(tx.Created, coin)
		}
	}
	if err := w.sign(tx.Msg, coins, o.HashType); err != nil {
		return nil, err
	}
	tx.Hash = tx.Msg.TxHash()
	for i := range tx.Created {
		tx.Created[i].Hash = tx.Hash
	}
	return tx, nil
}

// output makes the output of a payment, with a fresh key, and the coin that it
// will be, without its outpoint.
func (w *wallet) output(p Payment) (*wire.TxOut, Coin, error) {
	if p.Data != nil {
		script, err := txscript.NullDataScript(p.Data)
		return wire.NewTxOut(p.Value, script), Coin{}, err
	}
	key := w.next
	w.next++
	script, err := w.lock(p.Kind, key)
	return wire.NewTxOut(p.Value, script), Coin{Value: p.Value, Script: script, Kind: p.Kind, Key: key}, err
}

// key returns a private key: of the parts of a key index, one for each signer.
func (w *wallet) key(index uint32, part byte) *btcec.PrivateKey {
	b := []byte("outrider demo wallet")
	b = binary.LittleEndian.AppendUint64(b, w.seed)
	b = binary.LittleEndian.AppendUint32(b, index)
	h := sha256.Sum256(append(b, part))
	key, _ := btcec.PrivKeyFromBytes(h[:])
	return key
}

// public returns the serialised public key of the first part of a key index.
func (w *wallet) public(kind Kind, index uint32) []byte {
	pub := w.key(index, 0).PubKey()
	if uncompressed(kind, index) {
		return pub.SerializeUncompressed()
	}
	return pub.SerializeCompressed()
}

// uncompressed reports whether the key of a coin is used uncompressed.
func uncompressed(kind Kind, index uint32) bool {
	return (kind == P2PK || kind == P2PKH) && index%4 == 3
}

// lock returns the locking script of a kind and key.
func (w *wallet) lock(kind Kind, index uint32) ([]byte, error) {
	b := txscript.NewScriptBuilder()
	switch kind {
	case P2PK:
		return b.AddData(w.public(kind, index)).AddOp(txscript.OP_CHECKSIG).Script()
	case P2PKH:
		return payToKeyHash(w.public(kind, index))
	case Multisig:
		return w.multisig(index)
	case P2SHMultisig:
		script, err := w.multisig(index)
		if err != nil {
			return nil, err
		}
		return payToScriptHash(script)
	case P2WPKH:
		return payToWitnessKeyHash(w.public(kind, index))
	case P2SHP2WPKH:
		script, err := payToWitnessKeyHash(w.public(kind, index))
		if err != nil {
			return nil, err
		}
		return payToScriptHash(script)
	case P2WSHMultisig:
		script, err := w.multisig(index)
		if err != nil {
			return nil, err
		}
		hash := sha256.Sum256(script)
		return b.AddOp(txscript.OP_0).AddData(hash[:]).Script()
	case P2TRKey:
		return txscript.PayToTaprootScript(txscript.ComputeTaprootKeyNoScript(w.key(index, 0).PubKey()))
	case P2TRScript, P2TRMultisig:
		tree, err := w.tree(index)
		if err != nil {
			return nil, err
		}
		root := tree.RootNode.TapHash()
		return txscript.PayToTaprootScript(txscript.ComputeTaprootOutputKey(w.key(index, 0).PubKey(), root[:]))
	}
	return nil, fmt.Errorf("unknown kind %d", kind)
}

// multisig returns a 2 of 3 script.
func (w *wallet) multisig(index uint32) ([]byte, error) {
	keys := make([]*address.AddressPubKey, 3)
	for i := range keys {
		pub := w.key(index, byte(i)).PubKey().SerializeCompressed()
		var err error
		if keys[i], err = address.NewAddressPubKey(pub, &chaincfg.RegressionNetParams); err != nil {
			return nil, err
		}
	}
	return txscript.MultiSigScript(keys, 2)
}

// tree returns the script tree of a taproot coin: a leaf for P2TRScript and one
// for P2TRMultisig.
func (w *wallet) tree(index uint32) (*txscript.IndexedTapScriptTree, error) {
	single, err := txscript.NewScriptBuilder().
		AddData(schnorr.SerializePubKey(w.key(index, 1).PubKey())).AddOp(txscript.OP_CHECKSIG).
		Script()
	if err != nil {
		return nil, err
	}
	double, err := txscript.NewScriptBuilder().
		AddData(schnorr.SerializePubKey(w.key(index, 1).PubKey())).AddOp(txscript.OP_CHECKSIG).
		AddData(schnorr.SerializePubKey(w.key(index, 2).PubKey())).AddOp(txscript.OP_CHECKSIGADD).
		AddOp(txscript.OP_2).AddOp(txscript.OP_NUMEQUAL).
		Script()
	if err != nil {
		return nil, err
	}
	return txscript.AssembleTaprootScriptTree(
		txscript.NewBaseTapLeaf(single), txscript.NewBaseTapLeaf(double)), nil
}

func payToKeyHash(pub []byte) ([]byte, error) {
	return txscript.NewScriptBuilder().
		AddOp(txscript.OP_DUP).AddOp(txscript.OP_HASH160).AddData(address.Hash160(pub)).
		AddOp(txscript.OP_EQUALVERIFY).AddOp(txscript.OP_CHECKSIG).Script()
}

func payToScriptHash(script []byte) ([]byte, error) {
	return txscript.NewScriptBuilder().
		AddOp(txscript.OP_HASH160).AddData(address.Hash160(script)).AddOp(txscript.OP_EQUAL).Script()
}

func payToWitnessKeyHash(pub []byte) ([]byte, error) {
	return txscript.NewScriptBuilder().AddOp(txscript.OP_0).AddData(address.Hash160(pub)).Script()
}

// sign signs all inputs of tx, which spend coins.
func (w *wallet) sign(tx *wire.MsgTx, coins []Coin, hashType txscript.SigHashType) error {
	prevouts := make(map[wire.OutPoint]*wire.TxOut, len(coins))
	for _, c := range coins {
		prevouts[c.OutPoint] = wire.NewTxOut(c.Value, c.Script)
	}
	hashes := txscript.NewTxSigHashes(tx, txscript.NewMultiPrevOutFetcher(prevouts))
	for i, c := range coins {
		s := signer{w, tx, hashes, i, c, hashType}
		if err := s.sign(); err != nil {
			return fmt.Errorf("sign input %d (%v): %w", i, c.Kind, err)
		}
	}
	return nil
}

// compareHashes orders hashes by their bytes.
func compareHashes(a, b chainhash.Hash) int { return bytes.Compare(a[:], b[:]) }
