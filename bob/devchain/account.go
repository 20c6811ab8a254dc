package devchain

import (
	"crypto/ecdsa"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/params"
)

// An Account signs transactions with a key that is in memory only, and gone with the
// process.
type Account struct {
	key     *ecdsa.PrivateKey
	address common.Address
}

// NewAccount returns an account with a random key.
func NewAccount() (*Account, error) {
	key, err := crypto.GenerateKey()
	if err != nil {
		return nil, err
	}
	return &Account{key, crypto.PubkeyToAddress(key.PublicKey)}, nil
}

// Address returns the account's address.
func (a *Account) Address() [20]byte { return a.address }

// Sign returns a transaction that is signed with the account's key, for the chain that it
// names.
func (a *Account) Sign(tx *types.DynamicFeeTx) (*types.Transaction, error) {
	return types.SignNewTx(a.key, types.LatestSignerForChainID(tx.ChainID), tx)
}

// Transact sends a transaction of an account, with its next nonce and fees that the next
// blocks take, and returns its hash. A reverting one is mined, too: see Await.
func (c *Chain) Transact(from *Account, to [20]byte, data []byte, gas uint64) (hash [32]byte, err error) {
	address := common.Address(to)
	tx, err := c.transact(from, &address, data, gas)
	if err != nil {
		return hash, err
	}
	return tx.Hash(), nil
}

// Deploy sends a transaction that creates a contract, and returns its hash and the
// contract's address.
func (c *Chain) Deploy(from *Account, creation []byte, gas uint64) (hash [32]byte, address [20]byte, err error) {
	tx, err := c.transact(from, nil, creation, gas)
	if err != nil {
		return hash, address, err
	}
	return tx.Hash(), crypto.CreateAddress(from.address, tx.Nonce()), nil
}

func (c *Chain) transact(from *Account, to *common.Address, data []byte, gas uint64) (*types.Transaction, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	head := c.latest()
	statedb, err := state.New(head.Root(), c.db)
	if err != nil {
		return nil, err
	}
	tip := big.NewInt(params.GWei)
	most := new(big.Int).Add(tip, new(big.Int).Lsh(head.BaseFee(), 1))
	tx, err := types.SignNewTx(from.key, c.signer, &types.DynamicFeeTx{
		ChainID: c.config.ChainID, Nonce: c.pool.next(from.address, statedb.GetNonce(from.address)),
		GasTipCap: tip, GasFeeCap: most, Gas: gas, To: to, Value: new(big.Int), Data: data,
	})
	if err != nil {
		return nil, err
	}
	if err := c.acceptable(tx, from.address, statedb); err != nil {
		return nil, fmt.Errorf("send a transaction: %w", err)
	}
	return tx, c.pool.put(tx, from.address)
}
