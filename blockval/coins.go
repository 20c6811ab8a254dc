package blockval

import (
	"context"

	"github.com/btcsuite/btcd/wire/v2"
)

// A Coin is an output that a block spends.
type Coin struct {
	// Value is in satoshis.
	Value int64
	// Script is the output's locking script. It is only read.
	Script []byte
	// Height is the height of the block that created the coin. It is below
	// that of the block that spends it, whose ancestors Check asks about it.
	Height uint32
	// Coinbase says that a coinbase transaction created it.
	Coinbase bool
	// Missing says that the coin does not exist or is spent; the other fields
	// are then zero.
	Missing bool
}

// A Source says whose word a block's coins are.
type Source string

// A verdict that rests on the sidecar's own view of the coins can tell that a
// coin is missing or spent twice. One that rests on the node's word for them
// cannot: it checks everything else.
const (
	Own  Source = "own"
	Node Source = "node"
)

// Coins is the view of the coins that validation reads, as of the parent of
// the block under validation. The sidecar hands in one for each block.
type Coins interface {
	// Prevouts sets coins[i] to the coin of ops[i], for every i, and says
	// whose word they are: Own only if every one of them is.
	// A coin that is known not to exist or to be spent has Missing set. An
	// error means that some coin could not be learnt; it says nothing about
	// the block. Neither slice may be kept. The coins may be asked for before it is
	// known that the block is worth it; ctx ends when it is not.
	Prevouts(ctx context.Context, ops []wire.OutPoint, coins []Coin) (Source, error)

	// Unspent returns which of the outpoints is the first that is an unspent coin
	// (BIP30); -1 if none is. Then known is false where the view is not complete enough
	// to say.
	Unspent(ctx context.Context, ops []wire.OutPoint) (first int, known bool, err error)
}
