package opstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// A Caller calls a method of a node by JSON-RPC and returns the result. It bounds the
// answer's size and the time. It may have an error of its own for a result that is null.
type Caller interface {
	Call(ctx context.Context, method string, params ...any) (json.RawMessage, error)
}

// ErrNull says that a node answers null: it does not have what it was asked for, now.
var ErrNull = errors.New("the node does not have it")

// ErrOther says that a node answers with another thing than it was asked for.
var ErrOther = errors.New("the node answers with another thing than it was asked for")

// A Client asks an execution client, or an op-node, and checks what can be checked of
// its answers. It is as safe for concurrent use as its Caller.
type Client struct{ Caller Caller }

// MessagePasser is the address of the L2ToL1MessagePasser.
var MessagePasser = common.HexToAddress("0x4200000000000000000000000000000000000016")

// call calls a method and returns its result, which is not null.
func (c Client) call(ctx context.Context, method string, params ...any) (json.RawMessage, error) {
	raw, err := c.Caller.Call(ctx, method, params...)
	if err == nil && (len(raw) == 0 || string(raw) == "null") {
		err = ErrNull
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	return raw, nil
}

// Header returns the header of a head's block, from an execution client.
func (c Client) Header(ctx context.Context, head Label) (*types.Header, error) {
	raw, err := c.call(ctx, "eth_getBlockByNumber", head.Tag(), false)
	if err != nil {
		return nil, err
	}
	header, _, err := ParseHeader(raw)
	return header, err
}

// HeaderByNumber returns the header of the block at a height.
func (c Client) HeaderByNumber(ctx context.Context, number uint64) (*types.Header, error) {
	raw, err := c.call(ctx, "eth_getBlockByNumber", hexutil.Uint64(number), false)
	if err != nil {
		return nil, err
	}
	header, _, err := ParseHeader(raw)
	if err == nil && header.Number.Uint64() != number {
		err = fmt.Errorf("block %d: %w: it is block %v", number, ErrOther, header.Number)
	}
	return header, err
}

// Block returns a head's block, from an execution client.
func (c Client) Block(ctx context.Context, head Label) (*Block, error) {
	return c.block(ctx, "eth_getBlockByNumber", head.Tag())
}

// BlockByNumber returns the block at a height.
func (c Client) BlockByNumber(ctx context.Context, number uint64) (*Block, error) {
	b, err := c.block(ctx, "eth_getBlockByNumber", hexutil.Uint64(number))
	if err == nil && b.Header.Number.Uint64() != number {
		err = fmt.Errorf("block %d: %w: it is block %v", number, ErrOther, b.Header.Number)
	}
	return b, err
}

// BlockByHash returns the block with a hash.
func (c Client) BlockByHash(ctx context.Context, hash common.Hash) (*Block, error) {
	b, err := c.block(ctx, "eth_getBlockByHash", hash)
	if err == nil && b.Hash != hash {
		err = fmt.Errorf("block %v: %w: it is block %v", hash, ErrOther, b.Hash)
	}
	return b, err
}

func (c Client) block(ctx context.Context, method string, which any) (*Block, error) {
	raw, err := c.call(ctx, method, which, true)
	if err != nil {
		return nil, err
	}
	b := new(Block)
	if err := b.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	return b, nil
}

// Transaction returns the transaction with a hash.
func (c Client) Transaction(ctx context.Context, hash common.Hash) (*Transaction, error) {
	raw, err := c.call(ctx, "eth_getTransactionByHash", hash)
	if err != nil {
		return nil, err
	}
	t := new(Transaction)
	if err := t.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	if t.Hash != hash {
		return nil, fmt.Errorf("transaction %v: %w: it is %v", hash, ErrOther, t.Hash)
	}
	return t, nil
}

// Receipts returns the receipts of a block, checked against its header.
func (c Client) Receipts(ctx context.Context, header *types.Header) ([]Receipt, error) {
	raw, err := c.call(ctx, "eth_getBlockReceipts", header.Hash())
	if err != nil {
		return nil, err
	}
	var receipts []Receipt
	if err := json.Unmarshal(raw, &receipts); err != nil {
		return nil, err
	}
	return receipts, CheckReceipts(header, receipts)
}

// Receipt returns the receipt of a transaction. It cannot be checked alone.
func (c Client) Receipt(ctx context.Context, tx common.Hash) (*Receipt, error) {
	raw, err := c.call(ctx, "eth_getTransactionReceipt", tx)
	if err != nil {
		return nil, err
	}
	r := new(Receipt)
	if err := r.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	if r.TxHash != tx {
		return nil, fmt.Errorf("receipt of %v: %w: it is of %v", tx, ErrOther, r.TxHash)
	}
	return r, nil
}

// OutputOf returns the output of the block at a height as an execution client has it.
// Before Isthmus the header lacks the withdrawals' root: it is then taken from
// eth_getProof, which needs the state of that block. The node is believed about it.
func (c Client) OutputOf(ctx context.Context, schedule *Schedule, number uint64) (*Output, error) {
	header, err := c.HeaderByNumber(ctx, number)
	if err != nil {
		return nil, err
	}
	o := &Output{Block: ID{header.Hash(), number}, State: header.Root}
	if schedule.At(header.Time) >= Isthmus {
		if header.WithdrawalsHash == nil {
			return nil, fmt.Errorf("block %d is of Isthmus and has no withdrawalsRoot", number)
		}
		o.Withdrawals = *header.WithdrawalsHash
	} else {
		raw, err := c.call(ctx, "eth_getProof", MessagePasser, []string{}, hexutil.Uint64(number))
		if err != nil {
			return nil, err
		}
		var proof struct {
			StorageHash *common.Hash `json:"storageHash"`
		}
		if err := decodeObject(raw, &proof); err != nil {
			return nil, fmt.Errorf("eth_getProof: %w", err)
		}
		if proof.StorageHash == nil {
			return nil, errors.New("eth_getProof: there is no storageHash")
		}
		o.Withdrawals = *proof.StorageHash
	}
	o.Root = OutputRoot(o.State, o.Withdrawals, o.Block.Hash)
	return o, nil
}

// OutputAtBlock returns the output of the block at a height as an op-node has it.
func (c Client) OutputAtBlock(ctx context.Context, number uint64) (*Output, error) {
	raw, err := c.call(ctx, "optimism_outputAtBlock", hexutil.Uint64(number))
	if err != nil {
		return nil, err
	}
	o, err := ParseOutput(raw)
	if err == nil && o.Block.Number != number {
		err = fmt.Errorf("output at %d: %w: it is at %d", number, ErrOther, o.Block.Number)
	}
	return o, err
}

// SyncStatus returns an op-node's status.
func (c Client) SyncStatus(ctx context.Context) (*SyncStatus, error) {
	raw, err := c.call(ctx, "optimism_syncStatus")
	if err != nil {
		return nil, err
	}
	return ParseSyncStatus(raw)
}

// RollupConfig returns an op-node's configuration.
func (c Client) RollupConfig(ctx context.Context) (*RollupConfig, error) {
	raw, err := c.call(ctx, "optimism_rollupConfig")
	if err != nil {
		return nil, err
	}
	return ParseRollupConfig(raw)
}

// ForkConfig returns what an execution client plans.
func (c Client) ForkConfig(ctx context.Context) (*ForkConfig, error) {
	raw, err := c.call(ctx, "eth_config")
	if err != nil {
		return nil, err
	}
	return ParseForkConfig(raw)
}

// NodeVersion returns an op-node's version.
func (c Client) NodeVersion(ctx context.Context) (string, error) {
	return c.text(ctx, "optimism_version")
}

// ExecutionVersion returns an execution client's version.
func (c Client) ExecutionVersion(ctx context.Context) (string, error) {
	return c.text(ctx, "web3_clientVersion")
}

// maxVersion bounds a version.
const maxVersion = 256

func (c Client) text(ctx context.Context, method string) (string, error) {
	raw, err := c.call(ctx, method)
	if err != nil {
		return "", err
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", fmt.Errorf("%s: %w", method, err)
	}
	if len(s) > maxVersion {
		return "", fmt.Errorf("%s: the answer has %d bytes", method, len(s))
	}
	return s, nil
}
