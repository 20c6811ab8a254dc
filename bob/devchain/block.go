package devchain

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

// errNoBlock is what go-ethereum answers for the state of a block that it does not have,
// or has no more.
var errNoBlock = errors.New("header not found")

// resolve returns the block that a number or a tag is of; nil if it is not kept, or is not
// there yet.
func (c *Chain) resolve(n rpc.BlockNumber) *block {
	switch {
	case n >= 0:
		return c.at(uint64(n))
	case n == rpc.EarliestBlockNumber:
		return c.at(0)
	}
	return c.latest()
}

// state returns the block that a call names, the latest if it names none.
func (c *Chain) state(which *rpc.BlockNumberOrHash) (*block, error) {
	b := c.latest()
	if which != nil && which.BlockHash != nil {
		b = c.byHash[*which.BlockHash]
	} else if which != nil && which.BlockNumber != nil {
		b = c.resolve(*which.BlockNumber)
	}
	if b == nil {
		return nil, errNoBlock
	}
	return b, nil
}

// A fields is a JSON object.
type fields map[string]any

// asFields returns the object that v marshals to.
func asFields(v any) (fields, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, fmt.Errorf("an object of JSON: %w", err)
	}
	f := make(fields, len(members)+4)
	for name, value := range members {
		f[name] = value
	}
	return f, nil
}

// json returns a block as a node tells it; nil for nil.
func (c *Chain) json(b *block, full bool) (fields, error) {
	if b == nil {
		return nil, nil
	}
	f, err := asFields(b.Header())
	if err != nil {
		return nil, err
	}
	txs := make([]any, len(b.Transactions()))
	for i, tx := range b.Transactions() {
		txs[i] = tx.Hash()
		if full {
			if txs[i], err = c.transactionJSON(place{b, i}); err != nil {
				return nil, err
			}
		}
	}
	f["transactions"], f["uncles"], f["withdrawals"] = txs, []common.Hash{}, b.Withdrawals()
	f["size"] = hexutil.Uint64(b.Size())
	return f, nil
}

// transactionJSON returns a transaction as a node tells it.
func (c *Chain) transactionJSON(at place) (fields, error) {
	tx := at.block.Transactions()[at.index]
	f, err := asFields(tx)
	if err != nil {
		return nil, err
	}
	f["from"], f["blockHash"] = c.sender(tx), at.block.Hash()
	f["blockNumber"], f["transactionIndex"] = hexutil.Uint64(at.block.NumberU64()), hexutil.Uint64(at.index)
	f["gasPrice"] = (*hexutil.Big)(at.block.receipts[at.index].EffectiveGasPrice)
	return f, nil
}

// receiptJSON returns a receipt as a node tells it.
func (c *Chain) receiptJSON(at place) (fields, error) {
	tx, receipt := at.block.Transactions()[at.index], at.block.receipts[at.index]
	f, err := asFields(receipt)
	if err != nil {
		return nil, err
	}
	f["from"], f["to"] = c.sender(tx), tx.To()
	if tx.To() != nil {
		f["contractAddress"] = nil
	}
	return f, nil
}
