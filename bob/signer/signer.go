// Package signer signs transactions for one account: with a key from a keystore file of
// go-ethereum's format, or by a remote signer that keeps the key. No key and no
// passphrase comes from a flag or an environment variable, none is logged, and what was
// signed is compared field by field with what was to be signed before anybody sees it.
package signer

import (
	"bytes"
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// A Signer signs for one account. It is safe for concurrent use.
type Signer interface {
	// Address returns the account.
	Address() common.Address
	// Sign returns tx, of type 2, signed for the chain that it names.
	Sign(ctx context.Context, tx *types.DynamicFeeTx) (*types.Transaction, error)
}

// A MismatchError says that what was signed is not what was to be signed.
type MismatchError struct {
	Field     string
	Got, Want any
}

// Error says which field was changed, and to what.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("the signer changed the %s: it signed %v, not %v", e.Field, e.Got, e.Want)
}

// Check fails with a *MismatchError unless signed is want, of type 2, with the signature
// of account and nothing else.
func Check(want *types.DynamicFeeTx, signed *types.Transaction, account common.Address) error {
	if signed.Type() != types.DynamicFeeTxType {
		return &MismatchError{"type", signed.Type(), types.DynamicFeeTxType}
	}
	for _, n := range []struct {
		field     string
		got, want *big.Int
	}{
		{"chain id", signed.ChainId(), want.ChainID},
		{"nonce", new(big.Int).SetUint64(signed.Nonce()), new(big.Int).SetUint64(want.Nonce)},
		{"priority fee", signed.GasTipCap(), want.GasTipCap},
		{"maximum fee", signed.GasFeeCap(), want.GasFeeCap},
		{"gas limit", new(big.Int).SetUint64(signed.Gas()), new(big.Int).SetUint64(want.Gas)},
		{"value", signed.Value(), want.Value},
	} {
		if n.got.Cmp(n.want) != 0 {
			return &MismatchError{n.field, n.got, n.want}
		}
	}
	switch to := signed.To(); {
	case to == nil || *to != *want.To:
		return &MismatchError{"recipient", to, want.To}
	case !bytes.Equal(signed.Data(), want.Data):
		return &MismatchError{"data", fmt.Sprintf("%d bytes", len(signed.Data())), fmt.Sprintf("%d bytes", len(want.Data))}
	case len(signed.AccessList()) != 0:
		return &MismatchError{"access list", len(signed.AccessList()), 0}
	}
	from, err := types.Sender(types.LatestSignerForChainID(want.ChainID), signed)
	if err != nil {
		return fmt.Errorf("the signature: %w", err)
	}
	if from != account {
		return &MismatchError{"account", from, account}
	}
	return nil
}
