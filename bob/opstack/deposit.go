package opstack

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"
)

// DepositType is the type (EIP-2718) of deposit transactions.
const DepositType = 0x7e

// A Deposit is a transaction that L1 caused (specs, deposits.md). It has no signature
// and no nonce, and pays no fees on L2.
type Deposit struct {
	// SourceHash tells deposits apart that are otherwise equal.
	SourceHash common.Hash
	From       common.Address
	// To is the recipient; nil when the transaction creates a contract.
	To *common.Address `rlp:"nil"`
	// Mint is the wei that the deposit creates on L2, Value the wei that it sends.
	Mint, Value uint256.Int
	Gas         uint64
	// IsSystem exempts the deposit from the gas of its block; false since Regolith.
	IsSystem bool
	Data     []byte
}

// MarshalBinary returns the type and the RLP of the fields: what a block contains and
// what is hashed.
func (d *Deposit) MarshalBinary() ([]byte, error) {
	fields, err := rlp.EncodeToBytes(d)
	if err != nil {
		return nil, err
	}
	return append([]byte{DepositType}, fields...), nil
}

// UnmarshalBinary decodes what MarshalBinary returns, and nothing else: there is one
// encoding of a deposit. On error d is unchanged.
func (d *Deposit) UnmarshalBinary(data []byte) error {
	if len(data) == 0 || data[0] != DepositType {
		return errors.New("the transaction is no deposit")
	}
	var decoded Deposit
	if err := rlp.DecodeBytes(data[1:], &decoded); err != nil {
		return fmt.Errorf("deposit transaction: %w", err)
	}
	*d = decoded
	return nil
}

// Hash returns the hash of the transaction.
func (d *Deposit) Hash() common.Hash {
	data, err := d.MarshalBinary()
	if err != nil {
		// The encoder fails for types that have no RLP, and these have.
		panic(err)
	}
	return crypto.Keccak256Hash(data)
}

// depositJSON are the fields of a deposit in an answer of a node.
type depositJSON struct {
	Type       hexutil.Uint64  `json:"type"`
	SourceHash *common.Hash    `json:"sourceHash"`
	From       *common.Address `json:"from"`
	To         *common.Address `json:"to"`
	Mint       *hexutil.U256   `json:"mint,omitempty"`
	Value      *hexutil.U256   `json:"value"`
	Gas        *hexutil.Uint64 `json:"gas"`
	IsSystem   *bool           `json:"isSystemTx,omitempty"`
	Input      *hexutil.Bytes  `json:"input"`

	// What another type of transaction would have.
	GasPrice *hexutil.U256 `json:"gasPrice,omitempty"`
	V        *hexutil.U256 `json:"v,omitempty"`
	R        *looseU256    `json:"r,omitempty"`
	S        *looseU256    `json:"s,omitempty"`
}

// looseU256 is a number that may have leading zeros: some nodes write the absent
// signature of a deposit as 32 zero bytes.
type looseU256 uint256.Int

// UnmarshalText decodes at most 64 hexadecimal digits with 0x before them.
func (n *looseU256) UnmarshalText(text []byte) error {
	if !has0x(text) || len(text) > 2+64 {
		return fmt.Errorf("%.80q is no number of at most 32 bytes in hexadecimal", text)
	}
	var value [32]byte
	for i, c := range text[2:] {
		digit, ok := hexDigit(c)
		if !ok {
			return fmt.Errorf("%.80q is no number in hexadecimal", text)
		}
		at := 64 - (len(text) - 2) + i
		value[at/2] |= digit << (4 * (1 - at%2))
	}
	(*uint256.Int)(n).SetBytes32(value[:])
	return nil
}

func has0x(text []byte) bool {
	return len(text) >= 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// UnmarshalJSON decodes the fields that a node answers with. An absent mint is 0, an
// absent isSystemTx false. It refuses what a deposit cannot have, a signature or a gas
// price. On error d is unchanged.
func (d *Deposit) UnmarshalJSON(data []byte) error {
	var in depositJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("deposit transaction: %w", err)
	}
	for _, field := range []struct {
		name   string
		absent bool
	}{
		{"sourceHash", in.SourceHash == nil},
		{"from", in.From == nil},
		{"value", in.Value == nil},
		{"gas", in.Gas == nil},
		{"input", in.Input == nil},
	} {
		if field.absent {
			return fmt.Errorf("deposit transaction: there is no %s", field.name)
		}
	}
	for _, n := range []*uint256.Int{(*uint256.Int)(in.V), (*uint256.Int)(in.R), (*uint256.Int)(in.S)} {
		if n != nil && !n.IsZero() {
			return errors.New("deposit transaction: it has a signature")
		}
	}
	switch {
	case in.Type != DepositType:
		return fmt.Errorf("the transaction's type is %#x: it is no deposit", uint64(in.Type))
	case in.GasPrice != nil && !(*uint256.Int)(in.GasPrice).IsZero():
		return errors.New("deposit transaction: it has a gas price")
	}
	*d = Deposit{
		SourceHash: *in.SourceHash, From: *in.From, To: in.To,
		Value: uint256.Int(*in.Value), Gas: uint64(*in.Gas),
		IsSystem: in.IsSystem != nil && *in.IsSystem, Data: *in.Input,
	}
	if in.Mint != nil {
		d.Mint = uint256.Int(*in.Mint)
	}
	return nil
}

// MarshalJSON encodes d as UnmarshalJSON decodes it, as a request to a node that
// accepts deposits has it too.
func (d *Deposit) MarshalJSON() ([]byte, error) {
	return json.Marshal(depositJSON{
		Type: DepositType, SourceHash: &d.SourceHash, From: &d.From, To: d.To,
		Mint: (*hexutil.U256)(&d.Mint), Value: (*hexutil.U256)(&d.Value),
		Gas: (*hexutil.Uint64)(&d.Gas), IsSystem: &d.IsSystem, Input: (*hexutil.Bytes)(&d.Data),
	})
}

// The domains of source hashes.
const (
	userDomain    = 0
	l1InfoDomain  = 1
	upgradeDomain = 2
)

// UserSourceHash returns the source hash of what the OptimismPortal's log caused: the
// log's index is that in its L1 block, over all transactions.
func UserSourceHash(l1Block common.Hash, logIndex uint64) common.Hash {
	return sourceHash(userDomain, crypto.Keccak256Hash(l1Block[:], word(logIndex)))
}

// L1InfoSourceHash returns the source hash of the deposit that begins an L2 block with
// the attributes of an L1 block, the sequence-th since that L1 block changed.
func L1InfoSourceHash(l1Block common.Hash, sequence uint64) common.Hash {
	return sourceHash(l1InfoDomain, crypto.Keccak256Hash(l1Block[:], word(sequence)))
}

// UpgradeSourceHash returns the source hash of a deposit that a network upgrade brings;
// intent is its name in the specifications.
func UpgradeSourceHash(intent string) common.Hash {
	return sourceHash(upgradeDomain, crypto.Keccak256Hash([]byte(intent)))
}

func sourceHash(domain uint64, id common.Hash) common.Hash {
	return crypto.Keccak256Hash(word(domain), id[:])
}

// word returns n as 32 bytes, big-endian.
func word(n uint64) []byte {
	w := make([]byte, 32)
	binary.BigEndian.PutUint64(w[24:], n)
	return w
}
