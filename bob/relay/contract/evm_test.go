package contract

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/tracing"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"

	"github.com/outrider-project/outrider/bob/relay"
)

// gasLimit is that of every call, far above what any needs.
const gasLimit = 1 << 32

// A deployed is a contract in a chain of its own in memory.
type deployed struct {
	abi     *abi.ABI
	db      *state.StateDB
	address common.Address
	calls   int
	jumps   jumps
	// written are the slots of storage that were ever written, if only by a call
	// that reverted.
	written map[common.Hash]struct{}
}

// jumps are where code may be jumped to, by its hash, for all calls of a contract.
type jumps map[common.Hash]vm.BitVec

func (j jumps) Load(code common.Hash) (vm.BitVec, bool) {
	v, ok := j[code]
	return v, ok
}

func (j jumps) Store(code common.Hash, v vm.BitVec) { j[code] = v }

// A result is how a call ended.
type result struct {
	// data is what it returned, or what it reverted with.
	data []byte
	logs []*types.Log
	// exec is the gas of the execution, less what was refunded.
	exec uint64
	err  error
}

// parseABI reads the description of an interface.
func parseABI(t testing.TB, description []byte) *abi.ABI {
	t.Helper()
	parsed, err := abi.JSON(bytes.NewReader(description))
	if err != nil {
		t.Fatal(err)
	}
	return &parsed
}

// deploy deploys a contract, in a transaction of its own.
func deploy(t testing.TB, a *abi.ABI, from relay.Address, creation []byte) (*deployed, result) {
	t.Helper()
	db, err := state.New(types.EmptyRootHash, state.NewDatabaseForTesting())
	if err != nil {
		t.Fatal(err)
	}
	d := &deployed{abi: a, db: db, jumps: jumps{}, written: map[common.Hash]struct{}{}}
	r := d.transact(func(evm *vm.EVM) (ret []byte, left vm.GasBudget, err error) {
		ret, d.address, left, err = evm.Create(common.Address(from), creation, vm.NewGasBudget(gasLimit, 0), new(uint256.Int))
		return ret, left, err
	}, from, nil, 0)
	return d, r
}

// call calls the contract in a transaction of its own, in a block at a time.
func (d *deployed) call(from relay.Address, data []byte, now uint64) result {
	return d.transact(func(evm *vm.EVM) ([]byte, vm.GasBudget, error) {
		return evm.Call(common.Address(from), d.address, data, vm.NewGasBudget(gasLimit, 0), new(uint256.Int))
	}, from, &d.address, now)
}

// view calls the contract as eth_call does, and must not write.
func (d *deployed) view(data []byte) result {
	return d.transact(func(evm *vm.EVM) ([]byte, vm.GasBudget, error) {
		return evm.StaticCall(common.Address{}, d.address, data, vm.NewGasBudget(gasLimit, 0))
	}, relay.Address{}, &d.address, 0)
}

func (d *deployed) transact(do func(*vm.EVM) ([]byte, vm.GasBudget, error), from relay.Address, to *common.Address, now uint64) result {
	config := params.MergedTestChainConfig
	hooks := &tracing.Hooks{OnStorageChange: func(_ common.Address, slot, _, _ common.Hash) { d.written[slot] = struct{}{} }}
	evm := vm.NewEVM(vm.BlockContext{
		CanTransfer: core.CanTransfer, Transfer: core.Transfer,
		GetHash:     func(uint64) common.Hash { return common.Hash{} },
		BlockNumber: big.NewInt(1), Time: now, GasLimit: gasLimit,
		Difficulty: new(big.Int), BaseFee: new(big.Int), BlobBaseFee: new(big.Int), Random: &common.Hash{},
	}, state.NewHookedState(d.db, hooks), config, vm.Config{})
	defer evm.Release()
	evm.SetJumpDestCache(d.jumps)
	evm.SetTxContext(vm.TxContext{Origin: common.Address(from), GasPrice: new(uint256.Int)})
	rules := evm.GetRules()
	d.calls++
	id := common.BigToHash(big.NewInt(int64(d.calls)))
	d.db.SetTxContext(id, 0, 0)
	d.db.Prepare(rules, common.Address(from), common.Address{}, to, vm.ActivePrecompiles(rules), nil)
	data, left, err := do(evm)
	used := gasLimit - left.ExecutionGas
	used -= min(d.db.GetRefund(), used/params.RefundQuotientEIP3529)
	r := result{data: data, logs: d.db.GetLogs(id, 1, common.Hash{}, now), exec: used, err: err}
	d.db.Finalise(rules)
	return r
}

// set writes a slot of the contract's storage past its code.
func (d *deployed) set(slot, value common.Hash) {
	d.written[slot] = struct{}{}
	d.db.SetState(d.address, slot, value)
	d.db.Finalise(params.MergedTestChainConfig.Rules(big.NewInt(1), true, 0))
}

// storage returns what the contract has in the slots that it ever wrote, but for those
// that are zero.
func (d *deployed) storage() map[common.Hash]common.Hash {
	all := map[common.Hash]common.Hash{}
	for slot := range d.written {
		if value := d.db.GetState(d.address, slot); value != (common.Hash{}) {
			all[slot] = value
		}
	}
	return all
}

// slot returns the name of a slot.
func slot(number uint64) common.Hash { return common.BigToHash(new(big.Int).SetUint64(number)) }

// entry returns the slot of a mapping's entry.
func entry(mapping uint64, key [32]byte) common.Hash {
	base := slot(mapping)
	return crypto.Keccak256Hash(key[:], base[:])
}

// word returns a number as the EVM stores it.
func word(x relay.Uint256) (w common.Hash) {
	for i, limb := range x {
		binary.BigEndian.PutUint64(w[24-8*i:], limb)
	}
	return w
}

// small returns a small number so.
func small(n uint64) common.Hash { return word(relay.Uint256{n}) }

// describe says how a call ended: "" for well, or what package relay calls the revert.
func (r *result) describe() string {
	switch {
	case r.err == nil:
		return ""
	case !errors.Is(r.err, vm.ErrExecutionReverted):
		return r.err.Error()
	case len(r.data) < 4:
		return "reverted without a word"
	}
	switch selector, rest := [4]byte(r.data[:4]), r.data[4:]; selector {
	case [4]byte(crypto.Keccak256([]byte("Error(string)"))):
		if reason, err := abi.UnpackRevert(r.data); err == nil {
			return (&relay.Revert{Reason: reason}).Error()
		}
	case [4]byte(crypto.Keccak256([]byte("Panic(uint256)"))):
		return (&relay.Revert{Panic: uint8(new(big.Int).SetBytes(rest).Uint64())}).Error()
	}
	return "reverted: " + hex.EncodeToString(r.data)
}

// customError returns what describe says of a custom error with one address.
func customError(signature string, of relay.Address) string {
	return fmt.Sprintf("%s%x", customPrefix(signature), common.LeftPadBytes(of[:], 32))
}

// customPrefix returns what describe says of a custom error before its arguments.
func customPrefix(signature string) string {
	return fmt.Sprintf("reverted: %x", crypto.Keccak256([]byte(signature))[:4])
}
