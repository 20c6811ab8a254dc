package opstack

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// ErrFeeRange says that a fee exceeds 256 bits, which no chain's parameters bring about.
var ErrFeeRange = errors.New("the fee exceeds 256 bits")

// Fees are what a transaction pays, in wei.
type Fees struct {
	// Execution is for gas, L1 for its data on L1, Operator for the operator of the
	// chain (Isthmus).
	Execution, L1, Operator uint256.Int
}

// Total returns the sum.
func (f Fees) Total() (uint256.Int, error) {
	var sum uint256.Int
	_, over := sum.AddOverflow(&f.Execution, &f.L1)
	_, over2 := sum.AddOverflow(&sum, &f.Operator)
	if over || over2 {
		return uint256.Int{}, ErrFeeRange
	}
	return sum, nil
}

// The regression of a transaction's compressed size on its length after FastLZ, in
// millionths of bytes (specs, fjord/exec-engine.md).
const (
	sizeIntercept = -42_585_600
	sizeSlope     = 836_500
	minSize       = 100_000_000
)

// estimatedSize returns what the signed transaction tx is thought to add to a batch, in
// millionths of bytes.
func estimatedSize(tx []byte) uint64 {
	// A length has 32 bits, so nothing overflows.
	size := int64(FastLZLength(tx))*sizeSlope + sizeIntercept
	return uint64(max(size, minSize))
}

// L1Fee returns what a signed transaction, as MarshalBinary returns it, pays for its data
// in a block with these attributes, of a chain at this fork. Deposits pay nothing; this
// does not look whether tx is one.
//
// In the first block of Ecotone the attributes still have the form of Bedrock, and that
// form decides.
func (a *Attributes) L1Fee(fork Fork, tx []byte) (uint256.Int, error) {
	switch {
	case a.Form == FormBedrock:
		return a.bedrockFee(fork, tx)
	case fork >= Fjord:
		return a.scaledFee(estimatedSize(tx), 1_000_000_000_000)
	}
	// A sixteenth of the calldata's gas is the estimate of Ecotone.
	return a.scaledFee(calldataGas(tx), 16_000_000)
}

// scaledFee returns size * (16*baseFee*baseFeeScalar + blobBaseFee*blobBaseFeeScalar)
// divided by divisor.
func (a *Attributes) scaledFee(size, divisor uint64) (uint256.Int, error) {
	var calldata, blobs uint256.Int
	_, over := calldata.MulOverflow(&a.BaseFee, uint256.NewInt(16*uint64(a.BaseFeeScalar)))
	_, over2 := blobs.MulOverflow(&a.BlobBaseFee, uint256.NewInt(uint64(a.BlobBaseFeeScalar)))
	_, over3 := calldata.AddOverflow(&calldata, &blobs)
	fee, over4 := new(uint256.Int).MulDivOverflow(&calldata, uint256.NewInt(size), uint256.NewInt(divisor))
	if over || over2 || over3 || over4 {
		return uint256.Int{}, ErrFeeRange
	}
	return *fee, nil
}

// bedrockFee is the fee before Ecotone: (gas + overhead) * baseFee * scalar / 1e6.
func (a *Attributes) bedrockFee(fork Fork, tx []byte) (uint256.Int, error) {
	gas := calldataGas(tx)
	if fork < Regolith {
		gas += 68 * 16 // the bytes of a signature, which Bedrock counted twice
	}
	var used, fee uint256.Int
	_, over := used.AddOverflow(uint256.NewInt(gas), &a.Overhead)
	_, over2 := fee.MulOverflow(&used, &a.BaseFee)
	_, over3 := fee.MulDivOverflow(&fee, &a.Scalar, uint256.NewInt(1_000_000))
	if over || over2 || over3 {
		return uint256.Int{}, ErrFeeRange
	}
	return fee, nil
}

// calldataGas is 4 for a zero byte and 16 for another.
func calldataGas(tx []byte) uint64 {
	gas := uint64(16 * len(tx))
	for _, b := range tx {
		if b == 0 {
			gas -= 12
		}
	}
	return gas
}

// OperatorFee returns what a transaction that used gas pays to the chain's operator, in
// wei. With the limit of its gas for gas, it is what the sender must be able to pay.
// Deposits pay nothing. It is 0 before Isthmus; Jovian takes 100 for each unit of gas
// and scalar where Isthmus took a millionth.
func OperatorFee(fork Fork, scalar uint32, constant, gas uint64) uint256.Int {
	if fork < Isthmus {
		return uint256.Int{}
	}
	var fee uint256.Int
	fee.Mul(uint256.NewInt(gas), uint256.NewInt(uint64(scalar)))
	if fork >= Jovian {
		fee.Mul(&fee, uint256.NewInt(100))
	} else {
		fee.Div(&fee, uint256.NewInt(1_000_000))
	}
	return *fee.Add(&fee, uint256.NewInt(constant))
}

// OperatorFee is OperatorFee with the parameters of the block.
func (a *Attributes) OperatorFee(fork Fork, gas uint64) uint256.Int {
	return OperatorFee(fork, a.OperatorFeeScalar, a.OperatorFeeConstant, gas)
}

// DAFootprint returns the gas that a signed transaction, as MarshalBinary returns it,
// takes of the room for data in a block with these attributes (Jovian). The room is the
// block's gas limit. It is 0 in a form before FormJovian.
func (a *Attributes) DAFootprint(tx []byte) uint64 {
	return estimatedSize(tx) / 1_000_000 * uint64(a.DAFootprintGasScalar)
}

// DAFootprint returns the sum over the transactions that are no deposits. Since Jovian
// the header has it for blobGasUsed. It fails if a transaction has no encoding that is
// known, and if the block has none of Jovian's attributes but others than deposits: the
// first block of Jovian consists of deposits.
func (b *Block) DAFootprint() (uint64, error) {
	a, err := b.Attributes()
	if err != nil {
		return 0, err
	}
	var sum, carry uint64
	for i := range b.Transactions {
		if b.Transactions[i].IsDeposit() {
			continue
		}
		if a.Form < FormJovian {
			return 0, fmt.Errorf("block %v has L1 attributes of form %v, which have no scalar of the footprint", b.Hash, a.Form)
		}
		tx, err := b.Transactions[i].MarshalBinary()
		if err != nil {
			return 0, fmt.Errorf("block %v, transaction %d: %w", b.Hash, i, err)
		}
		if sum, carry = bits.Add64(sum, a.DAFootprint(tx), 0); carry != 0 {
			return 0, fmt.Errorf("block %v: its footprint exceeds 64 bits", b.Hash)
		}
	}
	return sum, nil
}

// Fees returns what the transaction paid, by its receipt. It fails if the receipt lacks
// the price of gas or the L1 fee; absent parameters of the operator's fee are 0. A
// deposit pays nothing.
func (r *Receipt) Fees(fork Fork) (Fees, error) {
	var f Fees
	if r.Type == DepositType {
		return f, nil
	}
	if r.EffectiveGasPrice == nil || r.L1Fee == nil {
		return Fees{}, fmt.Errorf("the receipt of %v has no price of gas or no L1 fee", r.TxHash)
	}
	price, over := uint256.FromBig(r.EffectiveGasPrice)
	_, over2 := f.Execution.MulOverflow(price, uint256.NewInt(r.GasUsed))
	if over || over2 {
		return Fees{}, ErrFeeRange
	}
	f.L1 = *r.L1Fee
	var scalar, constant uint64
	if r.OperatorFeeScalar != nil {
		scalar = *r.OperatorFeeScalar
	}
	if r.OperatorFeeConstant != nil {
		constant = *r.OperatorFeeConstant
	}
	if scalar >= 1<<32 {
		return Fees{}, fmt.Errorf("the receipt of %v has an operator fee scalar of more than 32 bits", r.TxHash)
	}
	f.Operator = OperatorFee(fork, uint32(scalar), constant, r.GasUsed)
	return f, nil
}

// A FeeError says that a receipt and the rules differ, field by field: one of the
// node's fields is not what the block makes it.
type FeeError struct {
	Tx    common.Hash
	Field string
	// Node is what the receipt has ("" if it has none), Computed what the rules give.
	Node, Computed string
}

// Error names the receipt and the field, and says what both have.
func (e *FeeError) Error() string {
	return fmt.Sprintf("receipt of %v: %s is %q, the rules give %q", e.Tx, e.Field, e.Node, e.Computed)
}

// CheckFees computes the fees of a transaction of a block with these attributes again
// and compares what the receipt says with them. It fails with a *FeeError for the first
// difference. Some nodes have answered with fees that were not those that they charged.
func (a *Attributes) CheckFees(fork Fork, tx *Transaction, r *Receipt) error {
	if tx.IsDeposit() {
		return nil
	}
	data, err := tx.MarshalBinary()
	if err != nil {
		return err
	}
	fee, err := a.L1Fee(fork, data)
	if err != nil {
		return err
	}
	type field struct {
		name           string
		node, computed *uint256.Int
		optional       bool
	}
	number := func(n *uint64) *uint256.Int {
		if n == nil {
			return nil
		}
		return uint256.NewInt(*n)
	}
	fields := []field{{"l1Fee", r.L1Fee, &fee, false}, {"l1GasPrice", r.L1GasPrice, &a.BaseFee, false}}
	if a.Form >= FormEcotone {
		fields = append(fields,
			field{"l1BlobBaseFee", r.L1BlobBaseFee, &a.BlobBaseFee, false},
			field{"l1BaseFeeScalar", number(r.L1BaseFeeScalar), uint256.NewInt(uint64(a.BaseFeeScalar)), false},
			field{"l1BlobBaseFeeScalar", number(r.L1BlobBaseFeeScalar), uint256.NewInt(uint64(a.BlobBaseFeeScalar)), false})
	}
	if a.Form >= FormIsthmus {
		none := a.OperatorFeeScalar == 0 && a.OperatorFeeConstant == 0
		fields = append(fields,
			field{"operatorFeeScalar", number(r.OperatorFeeScalar), uint256.NewInt(uint64(a.OperatorFeeScalar)), none},
			field{"operatorFeeConstant", number(r.OperatorFeeConstant), uint256.NewInt(a.OperatorFeeConstant), none})
	}
	if a.Form >= FormJovian {
		fields = append(fields,
			field{"daFootprintGasScalar", number(r.DAFootprintGasScalar), uint256.NewInt(uint64(a.DAFootprintGasScalar)), false},
			field{"blobGasUsed", uint256.NewInt(r.BlobGasUsed), uint256.NewInt(a.DAFootprint(data)), false})
	}
	for _, f := range fields {
		switch {
		case f.node == nil && f.optional:
		case f.node == nil:
			return &FeeError{tx.Hash, f.name, "", f.computed.Dec()}
		case !f.node.Eq(f.computed):
			return &FeeError{tx.Hash, f.name, f.node.Dec(), f.computed.Dec()}
		}
	}
	return nil
}
