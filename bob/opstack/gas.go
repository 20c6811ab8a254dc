package opstack

import (
	"bytes"

	"github.com/ethereum/go-ethereum/params"
)

// IntrinsicGas returns what gas the transaction takes before anything is executed, by the rules of
// a fork, and so the least that it takes: for its data (EIP-2028), what it creates (EIP-3860), its
// access list (EIP-2930) and its authorizations (EIP-7702), and from Isthmus on the floor of its
// data (EIP-7623). It is 0 of a deposit and of a type that is not known.
func (t *Transaction) IntrinsicGas(fork Fork) uint64 {
	tx := t.Ethereum
	if tx == nil {
		return 0
	}
	gas := params.TxGas
	data, creates := tx.Data(), tx.To() == nil
	zeros := uint64(bytes.Count(data, []byte{0}))
	others := uint64(len(data)) - zeros
	gas += zeros*params.TxDataZeroGas + others*params.TxDataNonZeroGasEIP2028
	if creates {
		gas += params.TxGasContractCreation - params.TxGas
		gas += (uint64(len(data)) + 31) / 32 * params.InitCodeWordGas
	}
	list := tx.AccessList()
	gas += uint64(len(list))*params.TxAccessListAddressGas + uint64(list.StorageKeys())*params.TxAccessListStorageKeyGas
	gas += uint64(len(tx.SetCodeAuthorizations())) * params.CallNewAccountGas
	if fork >= Isthmus {
		gas = max(gas, params.TxGas+(zeros+others*params.TxTokenPerNonZeroByte)*params.TxCostFloorPerToken)
	}
	return gas
}
