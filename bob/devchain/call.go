package devchain

import (
	"context"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"
)

// callGas is what a call that only reads may take, at most.
const callGas = 50_000_000

// A RevertError is the error of a call that a contract reverts.
type RevertError struct {
	// Reason is the argument of Solidity's Error(string), or the name of a
	// Panic(uint256); empty if the revert has another form.
	Reason string
	// Data is what the contract reverted with.
	Data []byte
}

// Error returns go-ethereum's words for a revert, and the reason if there is one.
func (e *RevertError) Error() string {
	if e.Reason == "" {
		return vm.ErrExecutionReverted.Error()
	}
	return vm.ErrExecutionReverted.Error() + ": " + e.Reason
}

// Unwrap returns vm.ErrExecutionReverted.
func (e *RevertError) Unwrap() error { return vm.ErrExecutionReverted }

// ErrorCode and ErrorData are what a node answers with.
func (e *RevertError) ErrorCode() int { return 3 }
func (e *RevertError) ErrorData() any { return hexutil.Encode(e.Data) }

// newRevert returns the error for what a contract reverted with.
func newRevert(data []byte) *RevertError {
	e := &RevertError{Data: data}
	if reason, err := abi.UnpackRevert(data); err == nil {
		e.Reason = reason
	}
	return e
}

// Call returns what a contract answers to a call as of the latest block, which changes
// nothing. The error is a *RevertError if the contract reverts.
func (c *Chain) Call(ctx context.Context, to [20]byte, data []byte) ([]byte, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	address := common.Address(to)
	return c.call(ctx, c.latest(), newMessage(common.Address{}, &address, new(uint256.Int), data, callGas))
}

// newMessage returns a message that pays nothing for its gas.
func newMessage(from common.Address, to *common.Address, value *uint256.Int, data []byte, gas uint64) *core.Message {
	m := &core.Message{
		From: from, To: to, Value: value, Data: data, GasLimit: gas,
		GasPrice: new(uint256.Int), GasFeeCap: new(uint256.Int), GasTipCap: new(uint256.Int),
	}
	return m.SkipNonceCheck().SkipEOACheck()
}

// call executes a message on the state after a block, and returns what it returned.
func (c *Chain) call(ctx context.Context, b *block, m *core.Message) ([]byte, error) {
	result, err := c.execute(ctx, b, m.SkipGasLimitCapCheck())
	if err != nil {
		return nil, err
	}
	return result.ReturnData, failure(result)
}

// failure returns why an execution failed; nil if it did not.
func failure(result *core.ExecutionResult) error {
	if errors.Is(result.Err, vm.ErrExecutionReverted) {
		return newRevert(result.ReturnData)
	}
	return result.Err
}

// execute executes a message on the state after a block, until ctx ends.
func (c *Chain) execute(ctx context.Context, b *block, m *core.Message) (*core.ExecutionResult, error) {
	statedb, err := state.New(b.Root(), c.db)
	if err != nil {
		return nil, err
	}
	evm := vm.NewEVM(c.blockContext(b.Header()), statedb, c.config, vm.Config{NoBaseFee: true})
	cancelled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		evm.Cancel()
		close(cancelled)
	})
	defer func() {
		if !stop() {
			<-cancelled // another execution may have what is released
		}
		evm.Release()
	}()
	result, err := core.ApplyMessage(evm, m, core.NewGasPool(m.GasLimit))
	if ctx.Err() != nil {
		return nil, fmt.Errorf("the execution was given up: %w", ctx.Err())
	}
	return result, err
}

// estimate returns the least gas limit, up to a hundredth more, with which a message
// works on the state after a block.
func (c *Chain) estimate(ctx context.Context, b *block, m *core.Message) (uint64, error) {
	most := min(m.GasLimit, params.MaxTxGas, b.GasLimit())
	try := func(gas uint64) (*core.ExecutionResult, error) {
		m.GasLimit = gas
		result, err := c.execute(ctx, b, m)
		if errors.Is(err, core.ErrIntrinsicGas) || errors.Is(err, core.ErrFloorDataGas) {
			return &core.ExecutionResult{Err: err}, nil
		}
		return result, err
	}
	result, err := try(most)
	if err != nil {
		return 0, err
	}
	if err := failure(result); err != nil {
		return 0, err
	}
	// What is used is enough, unless as much as a call inside another must leave over
	// is not (EIP-150), or gas is given back.
	middle := result.UsedGas
	least := middle - 1
	for most-least > 1+least/100 {
		if result, err = try(middle); err != nil {
			return 0, err
		}
		if result.Failed() {
			least = middle
		} else {
			most = middle
		}
		middle = least + (most-least)/2
		if most > 2*least {
			middle = 2 * least // it is rarely far above what is used
		}
	}
	return most, nil
}
