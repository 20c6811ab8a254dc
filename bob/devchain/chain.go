// Package devchain is an Ethereum chain in this process's memory, for demonstrations and
// benchmarks: go-ethereum's EVM and state, blocks on demand or by the clock, and a node's
// JSON-RPC on the loopback.
//
// It executes by the rules of Ethereum's Osaka, whose cap on a transaction's gas
// (EIP-7825) comes to OP chains with Karst. It is no chain of the OP Stack: there are
// neither deposits nor fees for L1, so that what needs these is tested with anvil. Nobody
// else takes part, so that nothing is ever reorganised: the latest block is safe and
// finalized at once.
//
// Addresses and hashes are plain arrays in what other packages call, for those that do
// not import go-ethereum.
package devchain

import (
	"cmp"
	"context"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/consensus/misc/eip1559"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/tracing"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/trie"
	"github.com/ethereum/go-ethereum/triedb"
	"github.com/holiman/uint256"
)

// Options say what chain to begin. Fields that are zero have the value in parentheses.
type Options struct {
	// ChainID is what its transactions are signed for (1337, as in other chains of
	// developers).
	ChainID uint64
	// GasLimit is a block's (30 million, as in BOB's genesis).
	GasLimit uint64
	// Keep is how many blocks there are memory for, with their states, receipts and
	// logs (16,384: nine hours of 2 s). Older ones are forgotten.
	Keep int
	// Time is the genesis block's (now).
	Time time.Time
	// Rich are accounts that begin with a million ether each.
	Rich []*Account
}

const (
	defaultChainID  = 1337
	defaultGasLimit = 30_000_000
	defaultKeep     = 1 << 14
)

// A Chain is a chain in memory. It is safe for concurrent use.
type Chain struct {
	config *params.ChainConfig
	rules  params.Rules
	signer types.Signer
	keep   int
	tries  *triedb.Database
	db     state.Database

	// Those who read hold the lock while they execute, so that the state that they
	// read is not forgotten meanwhile.
	mu      sync.RWMutex // guards what follows
	blocks  []*block     // those that are kept, ascending; never empty
	byHash  map[common.Hash]*block
	mined   map[common.Hash]place // the transactions of those blocks
	pool    pool
	changed chan struct{} // closed, and replaced, when there is a new block
}

// A block is a block and what came of it.
type block struct {
	*types.Block
	receipts types.Receipts
}

// A place is where a transaction is.
type place struct {
	block *block
	index int
}

// New returns a chain that has its genesis block.
func New(o Options) (*Chain, error) {
	if o.Keep < 0 {
		return nil, fmt.Errorf("a chain that keeps %d blocks", o.Keep)
	}
	config := chainConfig(cmp.Or(o.ChainID, defaultChainID))
	disk := rawdb.NewMemoryDatabase()
	c := &Chain{
		config:  config,
		rules:   config.Rules(new(big.Int), true, 0),
		signer:  types.LatestSigner(config),
		keep:    cmp.Or(o.Keep, defaultKeep),
		tries:   triedb.NewDatabase(disk, triedb.HashDefaults),
		byHash:  make(map[common.Hash]*block),
		mined:   make(map[common.Hash]place),
		pool:    newPool(),
		changed: make(chan struct{}),
	}
	c.db = state.NewDatabase(c.tries, state.NewCodeDB(disk))
	statedb, err := state.New(types.EmptyRootHash, c.db)
	if err != nil {
		return nil, err
	}
	for _, a := range o.Rich {
		million := new(uint256.Int).Mul(uint256.NewInt(1_000_000), uint256.NewInt(params.Ether))
		statedb.AddBalance(a.address, million, tracing.BalanceIncreaseGenesisBalance)
	}
	if o.Time.IsZero() {
		o.Time = time.Now()
	}
	h := newHeader(cmp.Or(o.GasLimit, defaultGasLimit), uint64(o.Time.Unix()))
	h.Number, h.BaseFee = new(big.Int), big.NewInt(params.InitialBaseFee)
	if h.Root, err = statedb.Commit(c.rules, 0); err != nil {
		return nil, err
	}
	return c, c.add(h, nil, nil)
}

// chainConfig returns the rules of Osaka for a chain.
func chainConfig(id uint64) *params.ChainConfig {
	c := *params.MergedTestChainConfig
	c.ChainID = new(big.Int).SetUint64(id)
	return &c
}

// newHeader returns what the headers of all blocks have in common.
func newHeader(gasLimit, time uint64) *types.Header {
	return &types.Header{
		Difficulty: new(big.Int), GasLimit: gasLimit, Time: time,
		WithdrawalsHash: &types.EmptyWithdrawalsHash, RequestsHash: &types.EmptyRequestsHash,
		ParentBeaconRoot: new(common.Hash), BlobGasUsed: new(uint64), ExcessBlobGas: new(uint64),
	}
}

// ChainID returns what the chain's transactions are signed for.
func (c *Chain) ChainID() uint64 { return c.config.ChainID.Uint64() }

// Number returns the latest block's number.
func (c *Chain) Number() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.latest().NumberU64()
}

func (c *Chain) latest() *block { return c.blocks[len(c.blocks)-1] }

// Run mines a block each period, until ctx ends, and then returns nil.
func (c *Chain) Run(ctx context.Context, period time.Duration) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if _, err := c.Mine(now); err != nil {
				return err
			}
		}
	}
}

// Mine mines a block of the pending transactions, those that pay most first, and returns
// its number. Its time is at, or a second after the block before if that is later; so a
// caller may let the chain's clock run as it likes.
func (c *Chain) Mine(at time.Time) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	parent := c.latest()
	h := newHeader(parent.GasLimit(), max(uint64(at.Unix()), parent.Time()+1))
	h.ParentHash, h.Number = parent.Hash(), new(big.Int).SetUint64(parent.NumberU64()+1)
	h.BaseFee = eip1559.CalcBaseFee(c.config, parent.Header())
	txs, receipts, err := c.fill(h, parent)
	if err != nil {
		return 0, fmt.Errorf("mine block %d: %w", h.Number, err)
	}
	if err := c.add(h, txs, receipts); err != nil {
		return 0, fmt.Errorf("mine block %d: %w", h.Number, err)
	}
	return h.Number.Uint64(), nil
}

// fill executes pending transactions as the block of header h, and sets what of h follows
// from that.
func (c *Chain) fill(h *types.Header, parent *block) (txs []*types.Transaction, receipts types.Receipts, err error) {
	statedb, err := state.New(parent.Root(), c.db)
	if err != nil {
		return nil, nil, err
	}
	evm := vm.NewEVM(c.blockContext(h), statedb, c.config, vm.Config{})
	defer evm.Release()
	gas := core.NewGasPool(h.GasLimit)
	candidates := c.pool.candidates(h.BaseFee)
	for q := candidates.next(); q != nil; q = candidates.next() {
		before, left := statedb.Snapshot(), gas.Snapshot()
		statedb.SetTxContext(q.tx.Hash(), len(txs), uint32(len(txs)))
		receipt, _, err := core.ApplyTransaction(context.Background(), evm, gas, statedb, h, q.tx)
		if err != nil {
			// It does not fit, or its sender has no money for it any more: it stays,
			// and so do those after it.
			statedb.RevertToSnapshot(before)
			gas.Set(left)
			candidates.skip(q)
			continue
		}
		txs, receipts = append(txs, q.tx), append(receipts, receipt)
	}
	h.GasUsed = gas.Used()
	h.Root, err = statedb.Commit(c.rules, h.Number.Uint64())
	return txs, receipts, err
}

// add makes a block the latest.
func (c *Chain) add(h *types.Header, txs []*types.Transaction, receipts types.Receipts) error {
	b := &block{types.NewBlock(h, &types.Body{Transactions: txs, Withdrawals: []*types.Withdrawal{}}, receipts, trie.NewListHasher()), receipts}
	if err := receipts.DeriveFields(c.config, b.Hash(), b.NumberU64(), b.Time(), b.BaseFee(), new(big.Int), txs); err != nil {
		return err
	}
	if err := c.tries.Reference(b.Root(), common.Hash{}); err != nil {
		return err
	}
	c.blocks, c.byHash[b.Hash()] = append(c.blocks, b), b
	for i, tx := range txs {
		c.mined[tx.Hash()] = place{b, i}
		c.pool.settle(tx, c.sender(tx))
	}
	for len(c.blocks) > c.keep {
		if err := c.forget(); err != nil {
			return err
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

// forget forgets the oldest block.
func (c *Chain) forget() error {
	b := c.blocks[0]
	c.blocks[0] = nil // the array may live on
	c.blocks = c.blocks[1:]
	delete(c.byHash, b.Hash())
	for _, tx := range b.Transactions() {
		delete(c.mined, tx.Hash())
	}
	return c.tries.Dereference(b.Root())
}

// sender returns who signed a transaction that was accepted.
func (c *Chain) sender(tx *types.Transaction) common.Address {
	from, err := types.Sender(c.signer, tx)
	if err != nil {
		panic("devchain: a transaction that was accepted has no sender: " + err.Error())
	}
	return from
}

// blockContext returns what a contract sees of the block of header h.
func (c *Chain) blockContext(h *types.Header) vm.BlockContext {
	return vm.BlockContext{
		CanTransfer: core.CanTransfer, Transfer: core.Transfer,
		GetHash: func(n uint64) common.Hash {
			if b := c.at(n); b != nil { // which of them may be asked for, the EVM knows
				return b.Hash()
			}
			return common.Hash{}
		},
		Coinbase: h.Coinbase, BlockNumber: h.Number, Time: h.Time, GasLimit: h.GasLimit,
		Difficulty: h.Difficulty, BaseFee: h.BaseFee, BlobBaseFee: big.NewInt(1), Random: &h.MixDigest,
	}
}

// at returns the block with this number; nil if it is not kept, or is not there yet.
func (c *Chain) at(number uint64) *block {
	first := c.blocks[0].NumberU64()
	if number < first || number-first >= uint64(len(c.blocks)) {
		return nil
	}
	return c.blocks[number-first]
}

// Mined reports whether a transaction is in one of the blocks that are kept.
func (c *Chain) Mined(hash [32]byte) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, ok := c.mined[hash]
	return ok
}

// Await waits until a transaction is mined, and returns its receipt, which is not to be
// changed. It fails when ctx ends.
func (c *Chain) Await(ctx context.Context, hash [32]byte) (*types.Receipt, error) {
	for {
		c.mu.RLock()
		at, ok := c.mined[hash]
		changed := c.changed
		c.mu.RUnlock()
		if ok {
			return at.block.receipts[at.index], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
