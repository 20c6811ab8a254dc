package script

import (
	"encoding/hex"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// commit returns the key, in hex, and its parity of an output that commits to one
// script, by btcd.
func commit(tb testing.TB, internal, leaf []byte) (key string, parity byte) {
	tb.Helper()
	p, err := schnorr.ParsePubKey(internal)
	if err != nil {
		tb.Fatal(err)
	}
	root := txscript.NewBaseTapLeaf(leaf).TapHash()
	q := txscript.ComputeTaprootOutputKey(p, root[:]).SerializeCompressed()
	return hex.EncodeToString(q[1:]), q[0] & 1
}

func signECDSA(key *secp256k1.PrivateKey, digest [32]byte) []byte {
	return append(ecdsa.Sign(key, digest[:]).Serialize(), sigHashAll)
}

func signBIP340(key *secp256k1.PrivateKey, digest [32]byte) []byte {
	sig, err := schnorr.Sign(key, digest[:], schnorr.FastSign())
	if err != nil {
		panic(err)
	}
	return sig.Serialize()
}
