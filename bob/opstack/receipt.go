package opstack

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"
)

// A Receipt is a transaction's receipt with what the OP Stack adds. A field that is a
// pointer is nil where the node does not say: before the fork that brought it, or
// because the node leaves it out.
type Receipt struct {
	types.Receipt
	From common.Address
	To   *common.Address // nil when the transaction creates a contract

	// DepositNonce is the sender's nonce before a deposit was executed (Regolith);
	// DepositReceiptVersion is 1 since Canyon.
	DepositNonce, DepositReceiptVersion *uint64

	// L1GasPrice is L1's base fee in wei, L1Fee what the transaction paid in wei for
	// its data. L1GasUsed means little since Fjord.
	L1GasPrice, L1BlobBaseFee, L1GasUsed, L1Fee *uint256.Int
	L1BaseFeeScalar, L1BlobBaseFeeScalar        *uint64
	// L1FeeScalar is a decimal fraction, before Ecotone; "" since.
	L1FeeScalar string
	// OperatorFeeScalar and OperatorFeeConstant may both be nil if both are 0
	// (Isthmus).
	OperatorFeeScalar, OperatorFeeConstant *uint64
	// DAFootprintGasScalar came with Jovian, since which Receipt.BlobGasUsed is the
	// transaction's data-availability footprint.
	DAFootprintGasScalar *uint64
}

// receiptJSON is what the OP Stack adds to a receipt.
type receiptJSON struct {
	From                  common.Address  `json:"from"`
	To                    *common.Address `json:"to"`
	DepositNonce          *hexutil.Uint64 `json:"depositNonce,omitempty"`
	DepositReceiptVersion *hexutil.Uint64 `json:"depositReceiptVersion,omitempty"`
	L1GasPrice            *hexutil.U256   `json:"l1GasPrice,omitempty"`
	L1BlobBaseFee         *hexutil.U256   `json:"l1BlobBaseFee,omitempty"`
	L1GasUsed             *hexutil.U256   `json:"l1GasUsed,omitempty"`
	L1Fee                 *hexutil.U256   `json:"l1Fee,omitempty"`
	L1FeeScalar           fraction        `json:"l1FeeScalar,omitempty"`
	L1BaseFeeScalar       *hexutil.Uint64 `json:"l1BaseFeeScalar,omitempty"`
	L1BlobBaseFeeScalar   *hexutil.Uint64 `json:"l1BlobBaseFeeScalar,omitempty"`
	OperatorFeeScalar     *hexutil.Uint64 `json:"operatorFeeScalar,omitempty"`
	OperatorFeeConstant   *hexutil.Uint64 `json:"operatorFeeConstant,omitempty"`
	DAFootprintGasScalar  *hexutil.Uint64 `json:"daFootprintGasScalar,omitempty"`
}

// A fraction is a decimal fraction, as a string or as a number.
type fraction string

// UnmarshalJSON decodes both forms, and nothing that is no number.
func (f *fraction) UnmarshalJSON(data []byte) error {
	text := string(data)
	if len(data) > 0 && data[0] == '"' {
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
	}
	if text == "null" {
		text = ""
	}
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && c != '.' {
			return fmt.Errorf("%.40q is no decimal fraction", text)
		}
	}
	*f = fraction(text)
	return nil
}

// UnmarshalJSON decodes a receipt that a node answers with. On error r is unchanged.
func (r *Receipt) UnmarshalJSON(data []byte) error {
	var decoded Receipt
	if err := decoded.Receipt.UnmarshalJSON(data); err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	var in struct {
		receiptJSON
		Type hexutil.Uint64 `json:"type"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	switch {
	case in.Type > 0x7f:
		return fmt.Errorf("receipt: there is no transaction type %#x", uint64(in.Type))
	case decoded.BlockNumber != nil && !decoded.BlockNumber.IsUint64():
		return fmt.Errorf("receipt: %v is no height", decoded.BlockNumber)
	}
	decoded.From, decoded.To = in.From, in.To
	decoded.DepositNonce = (*uint64)(in.DepositNonce)
	decoded.DepositReceiptVersion = (*uint64)(in.DepositReceiptVersion)
	decoded.L1GasPrice, decoded.L1BlobBaseFee = (*uint256.Int)(in.L1GasPrice), (*uint256.Int)(in.L1BlobBaseFee)
	decoded.L1GasUsed, decoded.L1Fee = (*uint256.Int)(in.L1GasUsed), (*uint256.Int)(in.L1Fee)
	decoded.L1FeeScalar = string(in.L1FeeScalar)
	decoded.L1BaseFeeScalar = (*uint64)(in.L1BaseFeeScalar)
	decoded.L1BlobBaseFeeScalar = (*uint64)(in.L1BlobBaseFeeScalar)
	decoded.OperatorFeeScalar = (*uint64)(in.OperatorFeeScalar)
	decoded.OperatorFeeConstant = (*uint64)(in.OperatorFeeConstant)
	decoded.DAFootprintGasScalar = (*uint64)(in.DAFootprintGasScalar)
	*r = decoded
	return nil
}

// MarshalJSON encodes r as UnmarshalJSON decodes it.
func (r *Receipt) MarshalJSON() ([]byte, error) {
	ethereum, err := r.Receipt.MarshalJSON()
	if err != nil {
		return nil, err
	}
	added, err := json.Marshal(receiptJSON{
		From: r.From, To: r.To,
		DepositNonce:          (*hexutil.Uint64)(r.DepositNonce),
		DepositReceiptVersion: (*hexutil.Uint64)(r.DepositReceiptVersion),
		L1GasPrice:            (*hexutil.U256)(r.L1GasPrice),
		L1BlobBaseFee:         (*hexutil.U256)(r.L1BlobBaseFee),
		L1GasUsed:             (*hexutil.U256)(r.L1GasUsed),
		L1Fee:                 (*hexutil.U256)(r.L1Fee),
		L1FeeScalar:           fraction(r.L1FeeScalar),
		L1BaseFeeScalar:       (*hexutil.Uint64)(r.L1BaseFeeScalar),
		L1BlobBaseFeeScalar:   (*hexutil.Uint64)(r.L1BlobBaseFeeScalar),
		OperatorFeeScalar:     (*hexutil.Uint64)(r.OperatorFeeScalar),
		OperatorFeeConstant:   (*hexutil.Uint64)(r.OperatorFeeConstant),
		DAFootprintGasScalar:  (*hexutil.Uint64)(r.DAFootprintGasScalar),
	})
	if err != nil {
		return nil, err
	}
	return append(append(ethereum[:len(ethereum)-1], ','), added[1:]...), nil
}

// depositReceiptRLP is the receipt of a deposit that the header commits to.
type depositReceiptRLP struct {
	StatusOrRoot      []byte
	CumulativeGasUsed uint64
	Bloom             types.Bloom
	Logs              []*types.Log
	Nonce             *uint64 `rlp:"optional"`
	Version           *uint64 `rlp:"optional"`
}

// MarshalBinary returns the receipt as the header commits to it. Of a deposit's it holds
// nonce and version only with the version, since Canyon; between Regolith and Canyon
// nodes kept the nonce out of it.
func (r *Receipt) MarshalBinary() ([]byte, error) {
	data, err := r.Receipt.MarshalBinary()
	if err != nil || r.Type != DepositType || r.DepositReceiptVersion == nil {
		return data, err
	}
	if r.DepositNonce == nil {
		return nil, errors.New("receipt of a deposit: it has a version and no nonce")
	}
	var fields depositReceiptRLP
	if err := rlp.DecodeBytes(data[1:], &fields); err != nil {
		return nil, err
	}
	fields.Nonce, fields.Version = r.DepositNonce, r.DepositReceiptVersion
	data, err = rlp.EncodeToBytes(&fields)
	return append([]byte{DepositType}, data...), err
}

// UnmarshalBinary decodes what MarshalBinary returns, as debug_getRawReceipts has it:
// the fields that the header commits to, and no others. On error r is unchanged.
func (r *Receipt) UnmarshalBinary(data []byte) error {
	var decoded Receipt
	if len(data) == 0 || data[0] != DepositType {
		if err := decoded.Receipt.UnmarshalBinary(data); err != nil {
			return fmt.Errorf("receipt: %w", err)
		}
		*r = decoded
		return nil
	}
	var fields depositReceiptRLP
	if err := rlp.DecodeBytes(data[1:], &fields); err != nil {
		return fmt.Errorf("receipt of a deposit: %w", err)
	}
	if (fields.Nonce == nil) != (fields.Version == nil) {
		return errors.New("receipt of a deposit: it has a nonce and no version")
	}
	nonce, version := fields.Nonce, fields.Version
	fields.Nonce, fields.Version = nil, nil
	plain, err := rlp.EncodeToBytes(&fields)
	if err != nil {
		return err
	}
	if err := decoded.Receipt.UnmarshalBinary(append([]byte{types.DynamicFeeTxType}, plain...)); err != nil {
		return fmt.Errorf("receipt of a deposit: %w", err)
	}
	decoded.Type, decoded.DepositNonce, decoded.DepositReceiptVersion = DepositType, nonce, version
	*r = decoded
	return nil
}

// CheckReceipts fails with ErrRoot if the receipts are not those of the block with this
// header, in its order.
func CheckReceipts(header *types.Header, receipts []Receipt) error {
	list := make(encodings, len(receipts))
	for i := range receipts {
		data, err := receipts[i].MarshalBinary()
		if err != nil {
			return fmt.Errorf("receipt %d: %w", i, err)
		}
		list[i] = data
	}
	if list.root() != header.ReceiptHash {
		return fmt.Errorf("receipts of block %v: %w", header.Number, ErrRoot)
	}
	return nil
}
