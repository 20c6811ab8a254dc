package opstack

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
)

// ErrHash says that what a node calls by a hash does not have that hash.
var ErrHash = errors.New("the content does not have the hash that it is called by")

// A Transaction is one of a block of an OP chain. Of Deposit, Ethereum and Unknown
// exactly one is set.
type Transaction struct {
	// Deposit is set for type 0x7e.
	Deposit *Deposit
	// Ethereum is set for the types that go-ethereum knows.
	Ethereum *types.Transaction
	// Unknown is the transaction as it came, JSON or binary, if its type is one that
	// nobody here knows. So a future type hides no block; it hides only itself.
	Unknown []byte

	// Type is the type (EIP-2718), Hash the transaction's hash. The hash of an
	// unknown transaction in JSON is what the node says.
	Type uint8
	Hash common.Hash
	// From is the sender as the node says; the zero address when the transaction did
	// not come in JSON and is no deposit. Sender recovers it.
	From common.Address
	// Block is where the transaction is; nil if it is in none, or did not come in JSON.
	Block *Place
}

// A Place is where in the chain a transaction is.
type Place struct {
	Hash   common.Hash
	Number uint64
	Index  uint64
}

// IsDeposit reports whether the transaction is a deposit.
func (t *Transaction) IsDeposit() bool { return t.Deposit != nil }

// Sender returns the sender that the signature proves, or that the deposit names.
func (t *Transaction) Sender() (common.Address, error) {
	switch {
	case t.Deposit != nil:
		return t.Deposit.From, nil
	case t.Ethereum != nil:
		return types.Sender(types.LatestSignerForChainID(t.Ethereum.ChainId()), t.Ethereum)
	}
	return common.Address{}, fmt.Errorf("the sender of a transaction of type %#x is not known", t.Type)
}

// MarshalBinary returns the transaction as a block contains it. It fails for an unknown
// one that came in JSON.
func (t *Transaction) MarshalBinary() ([]byte, error) {
	switch {
	case t.Deposit != nil:
		return t.Deposit.MarshalBinary()
	case t.Ethereum != nil:
		return t.Ethereum.MarshalBinary()
	case len(t.Unknown) > 0 && t.Unknown[0] == t.Type:
		return append([]byte(nil), t.Unknown...), nil
	}
	return nil, fmt.Errorf("a transaction of type %#x has no encoding that is known", t.Type)
}

// UnmarshalBinary decodes a transaction as a block contains it. On error t is unchanged.
func (t *Transaction) UnmarshalBinary(data []byte) error {
	var decoded Transaction
	switch {
	case len(data) == 0:
		return errors.New("the transaction is empty")
	case data[0] >= 0xc0: // a list: before there were types
		decoded.Type = types.LegacyTxType
	case data[0] > 0x7f:
		return fmt.Errorf("there is no transaction type %#x", data[0])
	default:
		decoded.Type = data[0]
	}
	switch {
	case decoded.Type == DepositType:
		decoded.Deposit = new(Deposit)
		if err := decoded.Deposit.UnmarshalBinary(data); err != nil {
			return err
		}
		decoded.From = decoded.Deposit.From
	case ethereumType(uint64(decoded.Type)):
		decoded.Ethereum = new(types.Transaction)
		if err := decoded.Ethereum.UnmarshalBinary(data); err != nil {
			return fmt.Errorf("transaction of type %#x: %w", decoded.Type, err)
		}
	default:
		decoded.Unknown = append([]byte(nil), data...)
	}
	decoded.Hash = crypto.Keccak256Hash(data)
	*t = decoded
	return nil
}

// ethereumType reports whether go-ethereum decodes a type.
func ethereumType(t uint64) bool { return t <= types.SetCodeTxType }

// transactionJSON is what every transaction of a node's answer has.
type transactionJSON struct {
	Type        *hexutil.Uint64 `json:"type"`
	Hash        *common.Hash    `json:"hash"`
	From        common.Address  `json:"from"`
	BlockHash   *common.Hash    `json:"blockHash"`
	BlockNumber *hexutil.Uint64 `json:"blockNumber"`
	Index       *hexutil.Uint64 `json:"transactionIndex"`
}

// UnmarshalJSON decodes a transaction that a node answers with. It fails with ErrHash
// if the fields do not have the hash that the node says. On error t is unchanged.
func (t *Transaction) UnmarshalJSON(data []byte) error {
	var in transactionJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("transaction: %w", err)
	}
	if in.Hash == nil {
		return errors.New("transaction: there is no hash")
	}
	kind := uint64(types.LegacyTxType)
	if in.Type != nil {
		kind = uint64(*in.Type)
	}
	if kind > 0x7f {
		return fmt.Errorf("there is no transaction type %#x", kind)
	}
	decoded := Transaction{Type: uint8(kind), Hash: *in.Hash, From: in.From}
	if in.BlockHash != nil && in.BlockNumber != nil && in.Index != nil {
		decoded.Block = &Place{*in.BlockHash, uint64(*in.BlockNumber), uint64(*in.Index)}
	}
	var computed common.Hash
	switch {
	case kind == DepositType:
		decoded.Deposit = new(Deposit)
		if err := decoded.Deposit.UnmarshalJSON(data); err != nil {
			return err
		}
		computed = decoded.Deposit.Hash()
	case ethereumType(kind):
		decoded.Ethereum = new(types.Transaction)
		if err := decoded.Ethereum.UnmarshalJSON(data); err != nil {
			return fmt.Errorf("transaction %v: %w", decoded.Hash, err)
		}
		computed = decoded.Ethereum.Hash()
	default:
		decoded.Unknown = append([]byte(nil), data...)
		computed = decoded.Hash
	}
	if computed != decoded.Hash {
		return fmt.Errorf("transaction %v: %w: it has %v", decoded.Hash, ErrHash, computed)
	}
	*t = decoded
	return nil
}

// encodeRLP returns the element of a block's list: a typed transaction is a string there.
func (t *Transaction) encodeRLP() (rlp.RawValue, error) {
	data, err := t.MarshalBinary()
	if err != nil || data[0] >= 0xc0 {
		return data, err
	}
	return rlp.EncodeToBytes(data)
}

// decodeRLP decodes an element of a block's list of transactions.
func (t *Transaction) decodeRLP(raw rlp.RawValue) error {
	kind, content, rest, err := rlp.Split(raw)
	switch {
	case err != nil:
		return err
	case len(rest) != 0:
		return rlp.ErrMoreThanOneValue
	case kind == rlp.List:
		return t.UnmarshalBinary(raw)
	case kind == rlp.Byte || len(content) > 0 && content[0] >= 0xc0:
		return errors.New("the transaction has neither a type nor fields")
	}
	return t.UnmarshalBinary(content)
}
