package demo

import (
	"fmt"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A signer signs one input.
type signer struct {
	wallet   *wallet
	tx       *wire.MsgTx
	hashes   *txscript.TxSigHashes
	index    int
	coin     Coin
	hashType txscript.SigHashType
}

// sign sets the input's signature script and witness.
func (s signer) sign() error {
	in := s.tx.TxIn[s.index]
	var err error
	switch s.coin.Kind {
	case P2PK:
		in.SignatureScript, err = s.pubKey()
	case P2PKH:
		in.SignatureScript, err = s.pubKeyHash()
	case Multisig:
		in.SignatureScript, err = s.multisig()
	case P2SHMultisig:
		in.SignatureScript, err = s.scriptHashMultisig()
	case P2WPKH:
		in.Witness, err = s.witnessKeyHash()
	case P2SHP2WPKH:
		if in.SignatureScript, err = s.redeemWitnessKeyHash(); err == nil {
			in.Witness, err = s.witnessKeyHash()
		}
	case P2WSHMultisig:
		in.Witness, err = s.witnessMultisig()
	case P2TRKey:
		in.Witness, err = s.taprootKey()
	case P2TRScript:
		in.Witness, err = s.taprootScript(0, 1)
	case P2TRMultisig:
		in.Witness, err = s.taprootScript(1, 2, 1)
	default:
		err = fmt.Errorf("unknown kind %d", s.coin.Kind)
	}
	return err
}

// ecdsaHashType is the hash type of the ECDSA signatures.
func (s signer) ecdsaHashType() txscript.SigHashType {
	if s.hashType == txscript.SigHashDefault {
		return txscript.SigHashAll
	}
	return s.hashType
}

// legacySignatures signs script, before segregated witness, with the first parts
// of the coin's key.
func (s signer) legacySignatures(script []byte, parts byte) ([][]byte, error) {
	sigs := make([][]byte, parts)
	for part := range parts {
		var err error
		sigs[part], err = txscript.RawTxInSignature(
			s.tx, s.index, script, s.ecdsaHashType(), s.wallet.key(s.coin.Key, part))
		if err != nil {
			return nil, err
		}
	}
	return sigs, nil
}

// witnessSignatures signs script by BIP143 with the first parts of the coin's
// key.
func (s signer) witnessSignatures(script []byte, parts byte) ([][]byte, error) {
	sigs := make([][]byte, parts)
	for part := range parts {
		var err error
		sigs[part], err = txscript.RawTxInWitnessSignature(
			s.tx, s.hashes, s.index, s.coin.Value, script, s.ecdsaHashType(), s.wallet.key(s.coin.Key, part))
		if err != nil {
			return nil, err
		}
	}
	return sigs, nil
}

// pushAll returns the script that pushes items.
func pushAll(items ...[]byte) ([]byte, error) {
	b := txscript.NewScriptBuilder()
	for _, item := range items {
		b.AddData(item)
	}
	return b.Script()
}

func (s signer) pubKey() ([]byte, error) {
	sigs, err := s.legacySignatures(s.coin.Script, 1)
	if err != nil {
		return nil, err
	}
	return pushAll(sigs...)
}

func (s signer) pubKeyHash() ([]byte, error) {
	sigs, err := s.legacySignatures(s.coin.Script, 1)
	if err != nil {
		return nil, err
	}
	return pushAll(sigs[0], s.wallet.public(s.coin.Kind, s.coin.Key))
}

// multisig spends a bare multisig coin. OP_CHECKMULTISIG takes one item too
// many, which has to be empty (BIP147).
func (s signer) multisig() ([]byte, error) {
	sigs, err := s.legacySignatures(s.coin.Script, 2)
	if err != nil {
		return nil, err
	}
	return pushAll(nil, sigs[0], sigs[1])
}

func (s signer) scriptHashMultisig() ([]byte, error) {
	script, err := s.wallet.multisig(s.coin.Key)
	if err != nil {
		return nil, err
	}
	sigs, err := s.legacySignatures(script, 2)
	if err != nil {
		return nil, err
	}
	return pushAll(nil, sigs[0], sigs[1], script)
}

func (s signer) witnessKeyHash() (wire.TxWitness, error) {
	pub := s.wallet.public(s.coin.Kind, s.coin.Key)
	script, err := payToWitnessKeyHash(pub)
	if err != nil {
		return nil, err
	}
	sigs, err := s.witnessSignatures(script, 1)
	if err != nil {
		return nil, err
	}
	return wire.TxWitness{sigs[0], pub}, nil
}

// redeemWitnessKeyHash returns the signature script of a nested coin.
func (s signer) redeemWitnessKeyHash() ([]byte, error) {
	script, err := payToWitnessKeyHash(s.wallet.public(s.coin.Kind, s.coin.Key))
	if err != nil {
		return nil, err
	}
	return pushAll(script)
}

func (s signer) witnessMultisig() (wire.TxWitness, error) {
	script, err := s.wallet.multisig(s.coin.Key)
	if err != nil {
		return nil, err
	}
	sigs, err := s.witnessSignatures(script, 2)
	if err != nil {
		return nil, err
	}
	return wire.TxWitness{nil, sigs[0], sigs[1], script}, nil
}

func (s signer) taprootKey() (wire.TxWitness, error) {
	return txscript.TaprootWitnessSignature(
		s.tx, s.hashes, s.index, s.coin.Value, s.coin.Script, s.hashType, s.wallet.key(s.coin.Key, 0))
}

// taprootScript spends a coin by a leaf of its tree. The signature that is
// checked first is the last of the witness: parts are in witness order.
func (s signer) taprootScript(leaf int, parts ...byte) (wire.TxWitness, error) {
	tree, err := s.wallet.tree(s.coin.Key)
	if err != nil {
		return nil, err
	}
	proof := tree.LeafMerkleProofs[leaf]
	control := proof.ToControlBlock(s.wallet.key(s.coin.Key, 0).PubKey())
	controlBlock, err := control.ToBytes()
	if err != nil {
		return nil, err
	}
	var witness wire.TxWitness
	for _, part := range parts {
		sig, err := txscript.RawTxInTapscriptSignature(s.tx, s.hashes, s.index, s.coin.Value,
			s.coin.Script, proof.TapLeaf, s.hashType, s.wallet.key(s.coin.Key, part))
		if err != nil {
			return nil, err
		}
		witness = append(witness, sig)
	}
	return append(witness, proof.Script, controlBlock), nil
}
