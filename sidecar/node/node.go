// Package node speaks to the Bitcoin node that Outrider rides beside. It has
// one adapter for each kind of node, all of them a [Node], and the [Feed] that
// turns whatever they say into one ordered, complete stream of events.
package node

import (
	"context"
	"errors"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
)

// A Tip is a block of the chain and its place in it.
type Tip struct {
	Hash   chainhash.Hash
	Height uint32
}

// A Node answers questions about a Bitcoin node's chain and mempool. All its
// methods are safe for concurrent use, bound the memory and the time that an
// answer may take, and return an error for anything that is not a complete,
// well-formed answer: an error never says anything about the chain, except
// ErrNotFound.
type Node interface {
	// Network returns the chain's name as Bitcoin Core has it: main, test,
	// testnet4, signet, regtest (and btcd's simnet).
	Network(ctx context.Context) (string, error)
	// SignetChallenge returns the script that the blocks of the node's signet must
	// satisfy (BIP325); nil when the node does not tell, as a Bitcoin Core before
	// v29, or is on another network. The caller only reads it.
	SignetChallenge(ctx context.Context) ([]byte, error)
	// Tip returns the best block.
	Tip(ctx context.Context) (Tip, error)
	// BlockHash returns the hash of the best chain's block at height.
	BlockHash(ctx context.Context, height uint32) (chainhash.Hash, error)
	// Headers returns at most 2,000 headers of the best chain in ascending
	// order. The first follows the first locator hash that is in that chain,
	// or is the genesis block's successor when none is.
	Headers(ctx context.Context, locator []chainhash.Hash) ([]header.Header, error)
	// Header returns the header of any block that the node knows.
	Header(ctx context.Context, hash chainhash.Hash) (header.Header, error)
	// Block returns a serialised block, of any branch. The bytes are the
	// caller's, and are a block whose header has that hash; the rest of them
	// is not checked.
	Block(ctx context.Context, hash chainhash.Hash) ([]byte, error)
	// ChainTips returns the tips of all the branches that the node knows.
	ChainTips(ctx context.Context) ([]ChainTip, error)
	// Mempool returns the ids of the transactions in the mempool, in no order.
	Mempool(ctx context.Context) ([]chainhash.Hash, error)
	// Transaction returns a serialised transaction of the mempool.
	Transaction(ctx context.Context, txid chainhash.Hash) ([]byte, error)
	// Transactions returns serialised transactions of the mempool, in the order
	// of txids; nil for one that is not there (any more).
	Transactions(ctx context.Context, txids []chainhash.Hash) ([][]byte, error)
	// Prevouts returns the coins that ops refer to, as the node knows them:
	// outputs of transactions in the best chain, spent or not. One that the
	// node does not know has Missing set. It returns an error that wraps
	// ErrNoPrevouts when the node cannot look them up at all.
	Prevouts(ctx context.Context, ops []wire.OutPoint) ([]Prevout, error)
	// Watch subscribes to the node's notifications and sends a hint for each,
	// until ctx ends; it connects and subscribes again by itself, with a
	// Connected hint each time, and returns only ctx's error. A hint may be
	// missing, doubled or late: it says where to look, never what is there.
	Watch(ctx context.Context, hints chan<- Hint) error
	// Close frees what the node holds; nothing may be under way.
	Close()
}

// A Prevout is a coin as the node tells of it, and the block that made it.
type Prevout struct {
	blockval.Coin
	// Block is the block that Coin.Height is the height of; zero in an answer
	// of Spender or Unspender that names none.
	Block chainhash.Hash
}

// A Spender is a Node that can tell what a whole block spends.
type Spender interface {
	// Spent returns the coins that a block of the node's best chain spends,
	// one for each input but the coinbase's, in the order of the inputs; b is
	// the block's body, and is one: its hashes are those that its header
	// commits to. Those at the places in want, which ascend, are set; any
	// other may be, and is Missing otherwise. One of want is Missing only when
	// the node says that it has no such coin.
	//
	// The coins fit the block as far as it tells: their number, their values'
	// range, heights up to the block's own, and what the block itself made.
	// They are the node's word all the same. Block is set where the node was
	// asked for single coins, which are those of its best chain at that
	// moment; else the coins are bound to the block's hash and have none.
	//
	// The error wraps ErrNoPrevouts when the node has no way to tell, or
	// ErrNotTold when it did not this time.
	Spent(ctx context.Context, block Tip, b *blockval.Block, want []int) ([]Prevout, error)
}

// An Unspender is a Node that can tell of unspent coins, whatever it has indexed.
type Unspender interface {
	// Unspent returns the coins that ops refer to which are unspent in the node's
	// best chain, whatever its mempool spends of them, and the tip of that chain;
	// the others are Missing. Block is not set. The error wraps ErrMoved when the
	// tip was another one before than afterwards each time that it was tried.
	Unspent(ctx context.Context, ops []wire.OutPoint) ([]Prevout, Tip, error)
}

// A MempoolUnspender is a Node that can tell of unspent coins as its mempool has
// them.
type MempoolUnspender interface {
	// UnspentInMempool is Unspent, but for what the mempool spends, which is Missing,
	// and what it makes, which is there with a height of 0.
	UnspentInMempool(ctx context.Context, ops []wire.OutPoint) ([]Prevout, Tip, error)
}

// A ChainTip is the last block of a branch.
type ChainTip struct {
	Tip
	// BranchLen is how many blocks the branch has off the best chain; 0 for
	// the best chain itself.
	BranchLen uint32
	// Status is what the node thinks of the branch, as getchaintips has it:
	// active, valid-fork, valid-headers, headers-only, invalid.
	Status string
}

// These are the errors that callers tell apart.
var (
	// ErrNotFound says that the node does not have what was asked for.
	ErrNotFound = errors.New("the node does not have it")
	// ErrMoved says that the node's tip moved while it was asked.
	ErrMoved = errors.New("the node's tip moved while it was asked")
	// ErrNoPrevouts says that the node has no index to look outputs up in.
	ErrNoPrevouts = errors.New("the node cannot look up spent outputs")
	// ErrNotTold says that the node did not tell what a block spends, though
	// it may for another block, or later: a file lags behind, an answer was
	// damaged, or the block is pruned.
	ErrNotTold = errors.New("the node did not tell which coins the block spends")
)

// A Hint is a notification.
type Hint struct {
	Kind HintKind
	// At is when it arrived.
	At time.Time
	// Sequenced says that the hint is one of a complete, ordered series, from
	// the last Connected hint, which says so too, to the next Lost or Missed
	// one: blocks that join and leave the best chain, and transactions that
	// enter and leave the mempool (see Sequencer).
	Sequenced bool
	// Tip is the block of a BlockConnected or BlockDisconnected hint; a
	// sequenced one does not tell the height.
	Tip Tip
	// Tx is the serialised transaction of a Tx or RawTx hint. The receiver owns
	// it.
	Tx []byte
	// Txid is the transaction of a TxAdded, TxRemoved or RawTx hint, Sequence
	// the number of that change of the mempool.
	Txid     chainhash.Hash
	Sequence uint64
}

// A HintKind says what a Hint is about.
type HintKind uint8

// These are the kinds of hint.
const (
	// HintConnected: the subscription began, or began anew after a loss.
	HintConnected HintKind = iota + 1
	// HintLost: the subscription was lost; hints may be missing from here on.
	HintLost
	// HintMissed: the subscription goes on, but hints are missing before the
	// next one.
	HintMissed
	// HintBlockConnected: a block joined the best chain.
	HintBlockConnected
	// HintBlockDisconnected: a block left the best chain.
	HintBlockDisconnected
	// HintTx: a transaction entered the mempool.
	HintTx
	// HintTxAdded: a transaction entered the mempool; always sequenced.
	HintTxAdded
	// HintTxRemoved: a transaction left the mempool, but not by a block that
	// holds it; always sequenced.
	HintTxRemoved
	// HintRawTx: these are the bytes of a transaction, which may enter the
	// mempool, or be one of a block.
	HintRawTx
)
