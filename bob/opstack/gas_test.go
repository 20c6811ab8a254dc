package opstack

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"
)

// What a transaction takes before it runs is what go-ethereum says, whatever it has.
func TestIntrinsicGas(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	floors := 0
	for i := range 2000 {
		data := make([]byte, rng.IntN(400)*rng.IntN(2))
		for j := range data {
			data[j] = byte(rng.IntN(3) * rng.IntN(2))
		}
		var list types.AccessList
		for range rng.IntN(4) {
			list = append(list, types.AccessTuple{StorageKeys: make([]common.Hash, rng.IntN(4))})
		}
		var auths []types.SetCodeAuthorization
		to := &common.Address{1}
		var inner types.TxData
		switch i % 4 {
		case 0:
			list = nil
			inner = &types.LegacyTx{To: to, Data: data}
		case 1:
			if rng.IntN(2) == 0 {
				to = nil
			}
			inner = &types.AccessListTx{ChainID: new(big.Int), To: to, Data: data, AccessList: list}
		case 2:
			inner = &types.DynamicFeeTx{ChainID: new(big.Int), To: to, Data: data, AccessList: list}
		case 3:
			auths = make([]types.SetCodeAuthorization, 1+rng.IntN(3))
			inner = &types.SetCodeTx{ChainID: new(uint256.Int), To: *to, Data: data, AccessList: list, AuthList: auths}
		}
		tx := Transaction{Ethereum: types.NewTx(inner)}
		for fork, prague := range map[Fork]bool{Holocene: false, Isthmus: true, Jovian: true} {
			rules := params.Rules{IsHomestead: true, IsIstanbul: true, IsShanghai: true, IsPrague: prague}
			want, err := core.IntrinsicGas(data, list, auths, common.Address{}, to, new(uint256.Int), rules)
			if err != nil {
				t.Fatal(err)
			}
			if prague {
				floor, err := core.FloorDataGas(rules, common.Address{}, to, new(uint256.Int), data, list)
				if err != nil {
					t.Fatal(err)
				}
				if floor > want {
					floors++
				}
				want = max(want, floor)
			}
			if got := tx.IntrinsicGas(fork); got != want {
				t.Fatalf("%v of type %d with %d bytes and %d addresses: %d, want %d", fork, tx.Ethereum.Type(), len(data), len(list), got, want)
			}
		}
	}
	if floors == 0 {
		t.Error("the floor never was above")
	}
	deposit := Transaction{Deposit: &Deposit{Gas: 1e6}}
	if got := deposit.IntrinsicGas(Jovian); got != 0 {
		t.Errorf("a deposit takes %d", got)
	}
}
