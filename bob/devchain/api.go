package devchain

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/consensus/misc/eip1559"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"
)

const (
	// callTime bounds an execution that somebody asks for.
	callTime = 5 * time.Second
	// maxHistory and maxPercentiles bound what eth_feeHistory is asked for.
	maxHistory     = 1024
	maxPercentiles = 100
)

// decodeHex decodes digits with 0x before them.
func decodeHex(text string) ([]byte, error) {
	digits, ok := strings.CutPrefix(text, "0x")
	if !ok {
		return nil, hexutil.ErrMissingPrefix
	}
	return hex.DecodeString(digits)
}

// An ethAPI is what a node answers: the method ChainId is eth_chainId, and so on. They
// are named, and answer, as go-ethereum's do (internal/ethapi).
type ethAPI struct{ c *Chain }

// A netAPI and a web3API are two more name spaces.
type (
	netAPI  struct{ c *Chain }
	web3API struct{}
)

// Version is net_version: the chain id in decimal.
func (a *netAPI) Version() string { return a.c.config.ChainID.String() }

// ClientVersion is web3_clientVersion, by which this chain is told from others.
func (*web3API) ClientVersion() string { return "outrider-devchain" }

// ChainId is eth_chainId: what a transaction must be signed for (EIP-155).
func (a *ethAPI) ChainId() *hexutil.Big { return (*hexutil.Big)(a.c.config.ChainID) }

// BlockNumber is eth_blockNumber: the newest block's.
func (a *ethAPI) BlockNumber() hexutil.Uint64 { return hexutil.Uint64(a.c.Number()) }

// Syncing is eth_syncing: never, since there is nobody to follow.
func (*ethAPI) Syncing() bool { return false }

// GetBlockByNumber is eth_getBlockByNumber, with whole transactions if full and their hashes if not.
// It is null for a block that is not there, or is kept no more. The pending, safe and finalized
// blocks are the newest.
func (a *ethAPI) GetBlockByNumber(n rpc.BlockNumber, full bool) (fields, error) {
	a.c.mu.RLock()
	defer a.c.mu.RUnlock()
	return a.c.json(a.c.resolve(n), full)
}

// GetBlockByHash is eth_getBlockByHash; see GetBlockByNumber.
func (a *ethAPI) GetBlockByHash(hash common.Hash, full bool) (fields, error) {
	a.c.mu.RLock()
	defer a.c.mu.RUnlock()
	return a.c.json(a.c.byHash[hash], full)
}

// GetTransactionByHash is eth_getTransactionByHash: one of a block, or pending, whose block is null;
// null for any other.
func (a *ethAPI) GetTransactionByHash(hash common.Hash) (fields, error) {
	a.c.mu.RLock()
	defer a.c.mu.RUnlock()
	if at, ok := a.c.mined[hash]; ok {
		return a.c.transactionJSON(at)
	}
	q := a.c.pool.find(hash)
	if q == nil {
		return nil, nil
	}
	f, err := asFields(q.tx)
	if err == nil {
		f["from"], f["blockHash"], f["blockNumber"], f["transactionIndex"] = q.from, nil, nil, nil
	}
	return f, err
}

// GetTransactionReceipt is eth_getTransactionReceipt; null for one that is in no block.
func (a *ethAPI) GetTransactionReceipt(hash common.Hash) (fields, error) {
	a.c.mu.RLock()
	defer a.c.mu.RUnlock()
	at, ok := a.c.mined[hash]
	if !ok {
		return nil, nil
	}
	return a.c.receiptJSON(at)
}

// GetBlockReceipts is eth_getBlockReceipts, in the order of the transactions; null if there is no such
// block.
func (a *ethAPI) GetBlockReceipts(which rpc.BlockNumberOrHash) ([]fields, error) {
	a.c.mu.RLock()
	defer a.c.mu.RUnlock()
	b, err := a.c.state(&which)
	if err != nil {
		return nil, nil // as go-ethereum: null says that there is no such block
	}
	all := make([]fields, len(b.receipts))
	for i := range all {
		if all[i], err = a.c.receiptJSON(place{b, i}); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// GetLogs is eth_getLogs, by blocks or by a block's hash, ascending. A block that is kept no more, and
// more than 10,000 logs, are errors.
func (a *ethAPI) GetLogs(f logFilter) ([]*types.Log, error) {
	a.c.mu.RLock()
	defer a.c.mu.RUnlock()
	return a.c.logs(&f)
}

// SendRawTransaction is eth_sendRawTransaction: it puts a signed transaction among the pending ones,
// whose hash it returns. That it pays too little, or nobody could execute it, is an error as Send
// has it.
func (a *ethAPI) SendRawTransaction(raw hexutil.Bytes) (common.Hash, error) {
	if len(raw) > maxTransaction {
		return common.Hash{}, fmt.Errorf("a transaction of %d bytes", len(raw))
	}
	var tx types.Transaction
	if err := tx.UnmarshalBinary(raw); err != nil {
		return common.Hash{}, err
	}
	return tx.Hash(), a.c.Send(&tx)
}

// A callArgs is what is to be executed. Prices are accepted and count for nothing, as the
// execution costs nobody anything.
type callArgs struct {
	From                 common.Address  `json:"from"`
	To                   *common.Address `json:"to"`
	Gas                  *hexutil.Uint64 `json:"gas"`
	GasPrice             *hexutil.Big    `json:"gasPrice"`
	MaxFeePerGas         *hexutil.Big    `json:"maxFeePerGas"`
	MaxPriorityFeePerGas *hexutil.Big    `json:"maxPriorityFeePerGas"`
	Value                *hexutil.Big    `json:"value"`
	Data                 *hexutil.Bytes  `json:"data"`
	Input                *hexutil.Bytes  `json:"input"`
}

// message returns the message that is asked for, with at most so much gas, and the block
// after which it is executed.
func (c *Chain) message(args *callArgs, which *rpc.BlockNumberOrHash, most uint64) (*block, *core.Message, error) {
	b, err := c.state(which)
	if err != nil {
		return nil, nil, err
	}
	var data hexutil.Bytes
	switch {
	case args.Input != nil && args.Data != nil && !slices.Equal(*args.Input, *args.Data):
		return nil, nil, errors.New(`both "data" and "input" are set and not equal. Please use "input" to pass transaction call data`)
	case args.Input != nil:
		data = *args.Input
	case args.Data != nil:
		data = *args.Data
	}
	value := new(uint256.Int)
	if args.Value != nil && value.SetFromBig(args.Value.ToInt()) {
		return nil, nil, errors.New("the value has more than 256 bits")
	}
	if args.Gas != nil {
		most = min(most, uint64(*args.Gas))
	}
	return b, newMessage(args.From, args.To, value, data, most), nil
}

// Call is eth_call: it executes after a block, the newest if none is named (EIP-1898), changes nothing
// and returns what the contract does. A revert is a *RevertError; more gas or time than a call may
// take is an error.
func (a *ethAPI) Call(ctx context.Context, args callArgs, which *rpc.BlockNumberOrHash) (hexutil.Bytes, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	a.c.mu.RLock()
	defer a.c.mu.RUnlock()
	b, m, err := a.c.message(&args, which, callGas)
	if err != nil {
		return nil, err
	}
	return a.c.call(ctx, b, m)
}

// EstimateGas is eth_estimateGas: the least gas limit with which the call succeeds, at most that of a
// transaction (EIP-7825).
func (a *ethAPI) EstimateGas(ctx context.Context, args callArgs, which *rpc.BlockNumberOrHash) (hexutil.Uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	a.c.mu.RLock()
	defer a.c.mu.RUnlock()
	b, m, err := a.c.message(&args, which, params.MaxTxGas)
	if err != nil {
		return 0, err
	}
	least, err := a.c.estimate(ctx, b, m)
	return hexutil.Uint64(least), err
}

// read returns what f reads of a state.
func read[T any](a *ethAPI, which *rpc.BlockNumberOrHash, f func(*state.StateDB) T) (result T, err error) {
	a.c.mu.RLock()
	defer a.c.mu.RUnlock()
	b, err := a.c.state(which)
	if err != nil {
		return result, err
	}
	statedb, err := state.New(b.Root(), a.c.db)
	if err != nil {
		return result, err
	}
	return f(statedb), nil
}

// GetBalance is eth_getBalance, in wei, after a block.
func (a *ethAPI) GetBalance(of common.Address, which *rpc.BlockNumberOrHash) (*hexutil.Big, error) {
	return read(a, which, func(s *state.StateDB) *hexutil.Big { return (*hexutil.Big)(s.GetBalance(of).ToBig()) })
}

// GetCode is eth_getCode, after a block; empty where there is no contract.
func (a *ethAPI) GetCode(of common.Address, which *rpc.BlockNumberOrHash) (hexutil.Bytes, error) {
	return read(a, which, func(s *state.StateDB) hexutil.Bytes { return s.GetCode(of) })
}

// GetStorageAt is eth_getStorageAt: the 32 bytes of a slot after a block. The slot is a number in up to
// 64 digits, with 0x or without.
func (a *ethAPI) GetStorageAt(of common.Address, slot string, which *rpc.BlockNumberOrHash) (hexutil.Bytes, error) {
	digits := strings.TrimPrefix(slot, "0x")
	key, err := hex.DecodeString(strings.Repeat("0", len(digits)%2) + digits)
	if err != nil || len(key) > common.HashLength {
		return nil, fmt.Errorf("unable to decode storage key %.80q", slot)
	}
	return read(a, which, func(s *state.StateDB) hexutil.Bytes {
		value := s.GetState(of, common.BytesToHash(key))
		return value[:]
	})
}

// GetTransactionCount is eth_getTransactionCount: the nonce of the account's next transaction after a
// block, or, of the pending block, after those that are pending without a gap.
func (a *ethAPI) GetTransactionCount(of common.Address, which *rpc.BlockNumberOrHash) (hexutil.Uint64, error) {
	pending := which != nil && which.BlockNumber != nil && *which.BlockNumber == rpc.PendingBlockNumber
	return read(a, which, func(s *state.StateDB) hexutil.Uint64 {
		next := s.GetNonce(of)
		if pending {
			next = a.c.pool.next(of, next)
		}
		return hexutil.Uint64(next)
	})
}

// MaxPriorityFeePerGas is eth_maxPriorityFeePerGas, in wei for each gas.
func (*ethAPI) MaxPriorityFeePerGas() *hexutil.Big { return (*hexutil.Big)(big.NewInt(params.GWei)) }

// GasPrice is eth_gasPrice, in wei: the newest block's base fee and the tip of MaxPriorityFeePerGas.
func (a *ethAPI) GasPrice() *hexutil.Big {
	a.c.mu.RLock()
	defer a.c.mu.RUnlock()
	return (*hexutil.Big)(new(big.Int).Add(a.c.latest().BaseFee(), big.NewInt(params.GWei)))
}

// A feeHistory is the answer to eth_feeHistory.
type feeHistory struct {
	OldestBlock      hexutil.Uint64   `json:"oldestBlock"`
	Reward           [][]*hexutil.Big `json:"reward,omitempty"`
	BaseFeePerGas    []*hexutil.Big   `json:"baseFeePerGas"`
	GasUsedRatio     []float64        `json:"gasUsedRatio"`
	BlobBaseFee      []*hexutil.Big   `json:"baseFeePerBlobGas"`
	BlobGasUsedRatio []float64        `json:"blobGasUsedRatio"`
}

// FeeHistory is eth_feeHistory: of at most 1,024 blocks up to newest, and the base fee of the one
// after. Without percentiles there are no rewards.
func (a *ethAPI) FeeHistory(count math.HexOrDecimal64, newest rpc.BlockNumber, percentiles []float64) (*feeHistory, error) {
	if len(percentiles) > maxPercentiles {
		return nil, fmt.Errorf("%d percentiles, at most %d may be", len(percentiles), maxPercentiles)
	}
	for i, p := range percentiles {
		if !(p >= 0 && p <= 100) || i > 0 && p < percentiles[i-1] {
			return nil, fmt.Errorf("invalid reward percentile: %v", p)
		}
	}
	a.c.mu.RLock()
	defer a.c.mu.RUnlock()
	last := a.c.resolve(newest)
	if last == nil {
		return nil, errors.New("request beyond head block")
	}
	end := int(last.NumberU64()-a.c.blocks[0].NumberU64()) + 1
	blocks := a.c.blocks[end-min(end, int(min(uint64(count), maxHistory))) : end]
	h := &feeHistory{}
	if len(blocks) == 0 {
		return h, nil
	}
	h.OldestBlock = hexutil.Uint64(blocks[0].NumberU64())
	for _, b := range blocks {
		h.BaseFeePerGas = append(h.BaseFeePerGas, (*hexutil.Big)(b.BaseFee()))
		h.GasUsedRatio = append(h.GasUsedRatio, float64(b.GasUsed())/float64(b.GasLimit()))
		h.BlobBaseFee, h.BlobGasUsedRatio = append(h.BlobBaseFee, (*hexutil.Big)(big.NewInt(1))), append(h.BlobGasUsedRatio, 0)
		if len(percentiles) > 0 {
			h.Reward = append(h.Reward, b.rewards(percentiles))
		}
	}
	h.BaseFeePerGas = append(h.BaseFeePerGas, (*hexutil.Big)(eip1559.CalcBaseFee(a.c.config, last.Header())))
	h.BlobBaseFee = append(h.BlobBaseFee, (*hexutil.Big)(big.NewInt(1)))
	return h, nil
}

// rewards returns what the block's transactions paid beyond the base fee, by percentiles
// of the gas that they used.
func (b *block) rewards(percentiles []float64) []*hexutil.Big {
	type paid struct {
		tip *big.Int
		gas uint64
	}
	all := make([]paid, len(b.receipts))
	for i, tx := range b.Transactions() {
		all[i] = paid{effectiveTip(tx, b.BaseFee()), b.receipts[i].GasUsed}
	}
	slices.SortStableFunc(all, func(x, y paid) int { return x.tip.Cmp(y.tip) })
	rewards := make([]*hexutil.Big, len(percentiles))
	for i, p := range percentiles {
		rewards[i] = new(hexutil.Big)
		sum, want := uint64(0), uint64(float64(b.GasUsed())*p/100)
		for _, one := range all {
			rewards[i] = (*hexutil.Big)(one.tip)
			if sum += one.gas; sum >= want {
				break
			}
		}
	}
	return rewards
}
