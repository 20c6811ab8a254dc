package blockval

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// ParseSignetChallenge returns the script that the blocks of a signet must
// satisfy (BIP325) from its hexadecimal digits, in which Bitcoin Core takes it
// (signetchallenge) and tells it (getblockchaininfo). The error says what is
// asked for: it is not empty, and not longer than a script that anybody can
// satisfy.
func ParseSignetChallenge(s string) ([]byte, error) {
	if s == "" {
		return nil, errors.New("must not be empty")
	}
	if len(s) > 2*maxScriptSize {
		return nil, fmt.Errorf("must be a script of at most %d bytes", maxScriptSize)
	}
	challenge, err := hex.DecodeString(s)
	if err != nil {
		return nil, errors.New("must be a script in hexadecimal digits, two for each byte")
	}
	return challenge, nil
}

// SetSignetChallenge makes p, which are parameters of signet, those of the signet
// whose blocks satisfy this challenge; its magic is the beginning of the
// challenge's hash, as in SigNetParams of Bitcoin Core (kernel/chainparams.cpp).
// Everything else, the genesis block too, all signets have in common. The
// challenge belongs to p from then on. The error says that p are not signet's.
func (p *Params) SetSignetChallenge(challenge []byte) error {
	if p.SignetChallenge == nil {
		return fmt.Errorf("blocks of the network %s have no challenge to satisfy: only a signet's have", p.Name)
	}
	var hashed bytes.Buffer
	if err := wire.WriteVarBytes(&hashed, 0, challenge); err != nil {
		return fmt.Errorf("hash the challenge: %w", err)
	}
	hash := chainhash.DoubleHashH(hashed.Bytes())
	p.SignetChallenge, p.Magic = challenge, [4]byte(hash[:4])
	return nil
}
