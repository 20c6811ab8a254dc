package devchain

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/txpool"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"
)

// What is pending is bounded: transactions altogether and each one's nonce beyond its
// sender's next, and bytes of each, as in go-ethereum's own pool.
const (
	maxPending     = 4096
	maxAhead       = 64
	maxTransaction = 128 << 10
	priceBump      = 110 // per cent of what a transaction pays that another is to replace
)

var errPoolFull = errors.New("txpool is full")

// A pool is the transactions that wait for a block, by sender and nonce.
type pool struct {
	by    map[common.Address]map[uint64]*queued
	count int
	came  uint64 // how many ever came
}

// A queued is a transaction that waits, and the how-manieth to come it was.
type queued struct {
	tx   *types.Transaction
	from common.Address
	came uint64
}

func newPool() pool { return pool{by: make(map[common.Address]map[uint64]*queued)} }

// next returns the first nonce from n on that no transaction of an account has.
func (p *pool) next(from common.Address, n uint64) uint64 {
	for p.by[from][n] != nil {
		n++
	}
	return n
}

// find returns a transaction that waits; nil if it does not.
func (p *pool) find(hash common.Hash) *queued {
	for _, account := range p.by {
		for _, q := range account {
			if q.tx.Hash() == hash {
				return q
			}
		}
	}
	return nil
}

// put adds a transaction, perhaps in the place of one that pays a tenth less.
func (p *pool) put(tx *types.Transaction, from common.Address) error {
	account := p.by[from]
	switch old := account[tx.Nonce()]; {
	case old == nil && p.count >= maxPending:
		return errPoolFull
	case old == nil:
		p.count++
	case old.tx.Hash() == tx.Hash():
		return txpool.ErrAlreadyKnown
	case !bumped(old.tx.GasFeeCap(), tx.GasFeeCap()) || !bumped(old.tx.GasTipCap(), tx.GasTipCap()):
		return txpool.ErrReplaceUnderpriced
	}
	if account == nil {
		account = make(map[uint64]*queued)
		p.by[from] = account
	}
	p.came++
	account[tx.Nonce()] = &queued{tx, from, p.came}
	return nil
}

// bumped reports whether a price is enough to replace another.
func bumped(old, price *big.Int) bool {
	least := new(big.Int).Mul(old, big.NewInt(priceBump))
	return new(big.Int).Mul(price, big.NewInt(100)).Cmp(least) >= 0
}

// settle forgets what waits with the nonce of a transaction that was mined.
func (p *pool) settle(tx *types.Transaction, from common.Address) {
	if p.by[from][tx.Nonce()] == nil {
		return
	}
	p.count--
	delete(p.by[from], tx.Nonce())
	if len(p.by[from]) == 0 {
		delete(p.by, from)
	}
}

// A candidates is an account's transactions from its lowest nonce on, of each account.
type candidates struct {
	first   map[common.Address]*queued
	pool    *pool
	baseFee *big.Int
}

// candidates returns what may go into a block of a base fee, in order. What waits for an
// earlier nonce that is missing comes too: it fails to execute.
func (p *pool) candidates(baseFee *big.Int) *candidates {
	c := &candidates{make(map[common.Address]*queued), p, baseFee}
	for from, account := range p.by {
		for _, q := range account {
			if first := c.first[from]; first == nil || q.tx.Nonce() < first.tx.Nonce() {
				c.first[from] = q
			}
		}
	}
	return c
}

// next takes out the transaction that pays the most beyond the base fee, of equals the
// one that came first; nil if none is left that pays that.
func (c *candidates) next() *queued {
	var best *queued
	for _, q := range c.first {
		if q.tx.GasFeeCapIntCmp(c.baseFee) < 0 {
			continue
		}
		if best == nil {
			best = q
			continue
		}
		if more := c.tip(q).Cmp(c.tip(best)); more > 0 || more == 0 && q.came < best.came {
			best = q
		}
	}
	if best != nil {
		if after := c.pool.by[best.from][best.tx.Nonce()+1]; after != nil {
			c.first[best.from] = after
		} else {
			delete(c.first, best.from)
		}
	}
	return best
}

// tip returns what a transaction pays for its gas beyond the base fee.
func (c *candidates) tip(q *queued) *big.Int { return effectiveTip(q.tx, c.baseFee) }

// effectiveTip returns what a transaction pays for its gas beyond a base fee, which it
// pays.
func effectiveTip(tx *types.Transaction, baseFee *big.Int) *big.Int {
	tip := new(big.Int).Sub(tx.GasFeeCap(), baseFee)
	if tx.GasTipCap().Cmp(tip) < 0 {
		return tx.GasTipCap()
	}
	return tip
}

// skip leaves out the account of a transaction that cannot be in the block.
func (c *candidates) skip(q *queued) { delete(c.first, q.from) }

// Send accepts a transaction for one of the next blocks. It fails if no block could have
// it, by go-ethereum's errors.
func (c *Chain) Send(tx *types.Transaction) error {
	from, err := types.Sender(c.signer, tx)
	if err != nil {
		return fmt.Errorf("%w: %w", txpool.ErrInvalidSender, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	statedb, err := state.New(c.latest().Root(), c.db)
	if err != nil {
		return err
	}
	if err := c.acceptable(tx, from, statedb); err != nil {
		return err
	}
	return c.pool.put(tx, from)
}

// acceptable returns why no block can have a transaction.
func (c *Chain) acceptable(tx *types.Transaction, from common.Address, statedb *state.StateDB) error {
	next := statedb.GetNonce(from)
	switch {
	case tx.Type() == types.BlobTxType || tx.Type() == types.SetCodeTxType:
		return core.ErrTxTypeNotSupported
	case tx.Size() > maxTransaction:
		return txpool.ErrOversizedData
	case tx.Gas() > c.latest().GasLimit():
		return txpool.ErrGasLimit
	case tx.Gas() > params.MaxTxGas:
		return fmt.Errorf("%w (cap: %d, tx: %d)", core.ErrGasLimitTooHigh, params.MaxTxGas, tx.Gas())
	case tx.GasFeeCapIntCmp(tx.GasTipCap()) < 0:
		return core.ErrTipAboveFeeCap
	case tx.Nonce() < next:
		return fmt.Errorf("%w: next nonce %d, tx nonce %d", core.ErrNonceTooLow, next, tx.Nonce())
	case tx.Nonce() > next+maxAhead:
		return fmt.Errorf("%w: next nonce %d, tx nonce %d", core.ErrNonceTooHigh, next, tx.Nonce())
	case statedb.GetBalance(from).ToBig().Cmp(tx.Cost()) < 0:
		return core.ErrInsufficientFunds
	}
	if tx.To() == nil {
		if err := vm.CheckMaxInitCodeSize(&c.rules, uint64(len(tx.Data()))); err != nil {
			return err
		}
	}
	least, err := core.IntrinsicGas(tx.Data(), tx.AccessList(), nil, from, tx.To(), uint256.MustFromBig(tx.Value()), c.rules)
	if err != nil {
		return err
	}
	floor, err := core.FloorDataGas(c.rules, from, tx.To(), uint256.MustFromBig(tx.Value()), tx.Data(), tx.AccessList())
	if err != nil {
		return err
	}
	if tx.Gas() < max(least, floor) {
		return fmt.Errorf("%w: gas %d, minimum needed %d", core.ErrIntrinsicGas, tx.Gas(), max(least, floor))
	}
	return nil
}
