package opstack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/ethereum/go-ethereum/trie"
)

// ErrRoot says that a block's parts do not have the root that its header commits to.
var ErrRoot = errors.New("the parts do not have the root that the header commits to")

// A Block is a block of an OP chain with its transactions.
type Block struct {
	Header *types.Header
	// Hash is the header's, computed.
	Hash         common.Hash
	Transactions []Transaction
}

// blockJSON is what a block has beside its header.
type blockJSON struct {
	Hash         *common.Hash       `json:"hash"`
	Transactions *[]json.RawMessage `json:"transactions"`
}

// UnmarshalJSON decodes a block that a node answers with, with whole transactions and
// not only their hashes. It fails with ErrHash if the header does not have the hash that
// the node says, and with ErrRoot if the transactions are not those of the header: what
// it decodes is a block, whoever sent it. (A block with a transaction of an unknown
// type has transactions that cannot be checked; those that are known have their hashes.)
// On error b is unchanged.
func (b *Block) UnmarshalJSON(data []byte) error {
	var in blockJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("block: %w", err)
	}
	if in.Hash == nil || in.Transactions == nil {
		return errors.New("block: there is no hash, or there are no transactions")
	}
	header, err := parseHeader(data, *in.Hash)
	if err != nil {
		return err
	}
	decoded := Block{Header: header, Hash: *in.Hash, Transactions: make([]Transaction, len(*in.Transactions))}
	for i, raw := range *in.Transactions {
		if len(raw) > 0 && raw[0] == '"' {
			return fmt.Errorf("block %v has hashes instead of transactions: ask for whole ones", *in.Hash)
		}
		if err := decoded.Transactions[i].UnmarshalJSON(raw); err != nil {
			return fmt.Errorf("block %v, transaction %d: %w", *in.Hash, i, err)
		}
	}
	if err := decoded.checkTransactions(); err != nil {
		return err
	}
	*b = decoded
	return nil
}

// ParseHeader decodes the header of a block that a node answers with, whatever the
// answer says of transactions. It fails with ErrHash if the header does not have the
// hash that the node says.
func ParseHeader(data []byte) (*types.Header, common.Hash, error) {
	var in blockJSON
	if err := json.Unmarshal(data, &struct {
		Hash **common.Hash `json:"hash"`
	}{&in.Hash}); err != nil {
		return nil, common.Hash{}, fmt.Errorf("header: %w", err)
	}
	if in.Hash == nil {
		return nil, common.Hash{}, errors.New("header: there is no hash")
	}
	header, err := parseHeader(data, *in.Hash)
	return header, *in.Hash, err
}

func parseHeader(data []byte, hash common.Hash) (*types.Header, error) {
	header := new(types.Header)
	if err := header.UnmarshalJSON(data); err != nil {
		return nil, fmt.Errorf("header %v: %w", hash, err)
	}
	if !header.Number.IsUint64() {
		return nil, fmt.Errorf("header %v: %v is no height", hash, header.Number)
	}
	if computed := header.Hash(); computed != hash {
		return nil, fmt.Errorf("header %v: %w: it has %v", hash, ErrHash, computed)
	}
	return header, nil
}

// blockRLP is a block as nodes store and send it. OP chains have withdrawals since
// Canyon, and never one.
type blockRLP struct {
	Header       *types.Header
	Transactions []rlp.RawValue
	Uncles       []*types.Header
	Withdrawals  *[]*types.Withdrawal `rlp:"optional"`
}

// UnmarshalBinary decodes a block in RLP, as debug_getRawBlock has it. It fails with
// ErrRoot if the transactions are not those of the header. On error b is unchanged.
func (b *Block) UnmarshalBinary(data []byte) error {
	var in blockRLP
	if err := rlp.DecodeBytes(data, &in); err != nil {
		return fmt.Errorf("block: %w", err)
	}
	switch {
	case !in.Header.Number.IsUint64():
		return fmt.Errorf("block: %v is no height", in.Header.Number)
	case len(in.Uncles) != 0 || in.Withdrawals != nil && len(*in.Withdrawals) != 0:
		return errors.New("block: it has uncles or withdrawals, which no OP chain has")
	}
	decoded := Block{Header: in.Header, Hash: in.Header.Hash(), Transactions: make([]Transaction, len(in.Transactions))}
	for i, raw := range in.Transactions {
		if err := decoded.Transactions[i].decodeRLP(raw); err != nil {
			return fmt.Errorf("block %v, transaction %d: %w", decoded.Hash, i, err)
		}
	}
	if err := decoded.checkTransactions(); err != nil {
		return err
	}
	*b = decoded
	return nil
}

// MarshalBinary returns what UnmarshalBinary decodes.
func (b *Block) MarshalBinary() ([]byte, error) {
	out := blockRLP{Header: b.Header, Transactions: make([]rlp.RawValue, len(b.Transactions))}
	for i := range b.Transactions {
		raw, err := b.Transactions[i].encodeRLP()
		if err != nil {
			return nil, fmt.Errorf("block %v, transaction %d: %w", b.Hash, i, err)
		}
		out.Transactions[i] = raw
	}
	if b.Header.WithdrawalsHash != nil {
		out.Withdrawals = new([]*types.Withdrawal)
	}
	return rlp.EncodeToBytes(&out)
}

// checkTransactions compares the transactions with the header's root, unless one of
// them has no encoding that is known.
func (b *Block) checkTransactions() error {
	list := make(encodings, len(b.Transactions))
	for i := range b.Transactions {
		data, err := b.Transactions[i].MarshalBinary()
		if err != nil {
			return nil
		}
		list[i] = data
	}
	if root := list.root(); root != b.Header.TxHash {
		return fmt.Errorf("block %v: transactions: %w", b.Hash, ErrRoot)
	}
	return nil
}

// Attributes returns the L1 attributes of the block, which its first transaction sets.
// The genesis block has none.
func (b *Block) Attributes() (*Attributes, error) {
	if len(b.Transactions) == 0 || b.Transactions[0].Deposit == nil {
		return nil, fmt.Errorf("block %v does not begin with a deposit", b.Hash)
	}
	d := b.Transactions[0].Deposit
	if d.From != L1AttributesDepositor || d.To == nil || *d.To != L1BlockAddress {
		return nil, fmt.Errorf("block %v does not begin with L1 attributes", b.Hash)
	}
	return ParseAttributes(d.Data)
}

// encodings are what a tree of a header is of.
type encodings [][]byte

// Len and EncodeIndex have types.DeriveSha read them.
func (e encodings) Len() int                           { return len(e) }
func (e encodings) EncodeIndex(i int, b *bytes.Buffer) { b.Write(e[i]) }
func (e encodings) root() common.Hash {
	return types.DeriveSha(e, trie.NewStackTrie(nil))
}
