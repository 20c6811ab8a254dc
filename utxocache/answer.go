package utxocache

import (
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// A Tip is a block of the chain and its place in it.
type Tip struct {
	Hash   chainhash.Hash
	Height uint32
}

// String returns height and hash, the hash in display order.
func (t Tip) String() string { return fmt.Sprintf("%d %s", t.Height, t.Hash) }

// A State is what is known of an outpoint.
type State uint8

// These are the states.
const (
	// Unknown: this cache cannot say.
	Unknown State = iota
	// Unspent: the coin exists.
	Unspent
	// Absent: the coin was never created, or is spent. Certainly.
	Absent
)

// String returns the state's name in lower case.
func (s State) String() string {
	switch s {
	case Unspent:
		return "unspent"
	case Absent:
		return "absent"
	default:
		return "unknown"
	}
}

// An Answer is what the cache says of one outpoint.
type Answer struct {
	// Coin is set where State is Unspent.
	Coin  Coin
	State State
	// Own says that the answer rests on blocks that the cache applied itself;
	// it is false for a coin that the node told of, and for Unknown.
	Own bool
}

// These are the errors that callers tell apart. They come wrapped.
var (
	// ErrTip says that the question, or the block, is for another tip than the
	// one at which the cache stands.
	ErrTip = errors.New("the cache stands at another tip")
	// ErrTooDeep says that a block is below what the cache can undo.
	ErrTooDeep = errors.New("deeper than the blocks that the cache holds")
	// ErrAbsent says that a block spends a coin that certainly does not exist
	// or is spent.
	ErrAbsent = errors.New("spends an absent coin")
)
