package opstack

import (
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
)

// Quote returns what a signed transaction, as MarshalBinary returns it, pays in a block like
// b of a chain at this fork, if it uses gas and pays price for each unit, in wei. A deposit
// pays nothing.
func (b *Block) Quote(fork Fork, tx []byte, gas uint64, price *uint256.Int) (Fees, error) {
	var f Fees
	if len(tx) > 0 && tx[0] == DepositType {
		return f, nil
	}
	a, err := b.Attributes()
	if err != nil {
		return Fees{}, err
	}
	if _, over := f.Execution.MulOverflow(price, uint256.NewInt(gas)); over {
		return Fees{}, ErrFeeRange
	}
	if f.L1, err = a.L1Fee(fork, tx); err != nil {
		return Fees{}, err
	}
	f.Operator = a.OperatorFee(fork, gas)
	return f, nil
}

// Fork returns the fork that the form of the attributes tells, for who has no schedule. The
// first block of a fork still has the form before, and forks that changed no form are told
// by none: of those, the last before the next form is returned.
func (a *Attributes) Fork() Fork {
	switch a.Form {
	case FormBedrock:
		return Delta
	case FormEcotone:
		return Holocene
	case FormIsthmus:
		return Isthmus
	}
	return Jovian
}

// Sample returns a transaction (EIP-1559) to a contract as it would be signed, by a key that
// was made for it and is forgotten: a real one has the same length, or some bytes less, and
// compresses as well.
func Sample(chainID, nonce, gasLimit uint64, to [20]byte, data []byte, tip, price *uint256.Int) ([]byte, error) {
	key, err := crypto.GenerateKey()
	if err != nil {
		return nil, err
	}
	id, recipient := new(big.Int).SetUint64(chainID), common.Address(to)
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: nonce, Gas: gasLimit, To: &recipient, Data: data,
		GasTipCap: tip.ToBig(), GasFeeCap: price.ToBig(),
	})
	if err != nil {
		return nil, fmt.Errorf("sign a sample: %w", err)
	}
	return tx.MarshalBinary()
}
