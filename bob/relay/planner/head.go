package planner

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay"
)

// A Head is the last block of the chain that the relay is on.
type Head struct {
	Number, Time, GasLimit uint64
	Hash                   common.Hash
	// BaseFee is in wei for each gas.
	BaseFee *big.Int
	// Attributes are the block's L1 attributes, and Fork the rules of its own time, by
	// which fees are computed: with the first block of a fork they are others. Without
	// attributes, which each block of an OP chain has, they are nil and nothing is paid
	// beside gas.
	Attributes *opstack.Attributes
	Fork       opstack.Fork
}

// ReadHead returns the last block. schedule says when forks begin; if it is nil, the
// fork is the last one that the form of the L1 attributes allows.
func ReadHead(ctx context.Context, chain Chain, schedule *opstack.Schedule) (*Head, error) {
	b, err := opstack.Client{Caller: chain}.Block(ctx, opstack.Unsafe)
	if err != nil {
		return nil, err
	}
	header := b.Header
	if header.BaseFee == nil {
		return nil, fmt.Errorf("block %v has no base fee", header.Number)
	}
	h := &Head{
		Number: header.Number.Uint64(), Time: header.Time, GasLimit: header.GasLimit,
		Hash: b.Hash, BaseFee: header.BaseFee,
	}
	if len(b.Transactions) == 0 || !b.Transactions[0].IsDeposit() {
		return h, nil
	}
	if h.Attributes, err = b.Attributes(); err != nil {
		return nil, err
	}
	if schedule != nil {
		h.Fork = schedule.At(h.Time)
		return h, nil
	}
	switch h.Attributes.Form {
	case opstack.FormJovian:
		h.Fork = opstack.Jovian
	case opstack.FormIsthmus:
		h.Fork = opstack.Isthmus
	case opstack.FormEcotone:
		h.Fork = opstack.Holocene
	}
	return h, nil
}

// Caps returns what the next block allows.
func (h *Head) Caps() relay.Caps {
	caps := relay.DefaultCaps()
	caps.BlockGas = h.GasLimit
	if h.Attributes != nil {
		caps.FootprintScalar = h.Attributes.DAFootprintGasScalar
	}
	return caps
}

// Fees are what a transaction offers for each gas, in wei (EIP-1559).
type Fees struct {
	// Base is the last block's base fee, Tip the priority fee and Max the most that
	// both together may be.
	Base, Tip, Max *big.Int
}

// Price returns what a gas costs at the base fee.
func (f Fees) Price() *big.Int {
	price := new(big.Int).Add(f.Base, f.Tip)
	if price.Cmp(f.Max) > 0 {
		price.Set(f.Max)
	}
	return price
}

// A Cost is what a transaction costs, in wei.
type Cost struct {
	// Execution is for gas, L1 for the data and Operator for the chain's operator.
	Execution, L1, Operator, Total *big.Int
}

// Cost returns what a transaction with this data costs if it takes so much gas, each at
// a price in wei. The L1 fee is at the head's attributes. It is that of the longest
// signature, and a little more than is charged.
func (h *Head) Cost(to common.Address, data []byte, gas uint64, price *big.Int) (*Cost, error) {
	c := &Cost{
		Execution: new(big.Int).Mul(price, new(big.Int).SetUint64(gas)),
		L1:        new(big.Int), Operator: new(big.Int), Total: new(big.Int),
	}
	if h.Attributes != nil {
		raw, err := longest(to, data, gas).MarshalBinary()
		if err != nil {
			return nil, err
		}
		l1, err := h.Attributes.L1Fee(h.Fork, raw)
		if err != nil {
			return nil, err
		}
		operator := h.Attributes.OperatorFee(h.Fork, gas)
		c.L1, c.Operator = l1.ToBig(), operator.ToBig()
	}
	c.Total.Add(c.Execution, c.L1).Add(c.Total, c.Operator)
	return c, nil
}

// longest returns a transaction that is as long as one with this data can be.
func longest(to common.Address, data []byte, gas uint64) *types.Transaction {
	number := func(seed byte, size int) *big.Int { // of bytes that do not repeat
		b := make([]byte, size)
		for i := range b {
			b[i] = seed + byte(i*37) | 1
		}
		return new(big.Int).SetBytes(b)
	}
	return types.NewTx(&types.DynamicFeeTx{
		ChainID: number(0x81, 4), Nonce: 0x9182_7364, GasTipCap: number(0x93, 8), GasFeeCap: number(0xa5, 8),
		Gas: gas, To: &to, Value: new(big.Int), Data: data,
		V: big.NewInt(1), R: number(0xb7, 32), S: number(0xc9, 32),
	})
}

// ErrFeeAboveMaximum says that the chain asks for more than the operator allows.
var ErrFeeAboveMaximum = errors.New("the chain's fee is above the maximum")

// Fees returns what to offer so that the next blocks take a transaction, with most as the
// most for each gas, and the tip that a node suggests. It fails with ErrFeeAboveMaximum
// if the base fee and a tip of 1 wei exceed it.
func (h *Head) Fees(tip, most *big.Int) (Fees, error) {
	f := Fees{Base: h.BaseFee, Tip: new(big.Int).Set(tip), Max: new(big.Int).Lsh(h.BaseFee, 1)}
	if f.Tip.Sign() == 0 {
		f.Tip.SetInt64(1)
	}
	// Twice the base fee lasts for six full blocks on Ethereum, and more on BOB.
	if f.Max.Add(f.Max, f.Tip); f.Max.Cmp(most) > 0 {
		f.Max.Set(most)
	}
	room := new(big.Int).Sub(f.Max, h.BaseFee)
	if room.Sign() <= 0 {
		return Fees{}, fmt.Errorf("%w: the base fee is %v wei, the maximum %v", ErrFeeAboveMaximum, h.BaseFee, most)
	}
	if f.Tip.Cmp(room) > 0 {
		f.Tip.Set(room)
	}
	return f, nil
}
