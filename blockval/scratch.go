package blockval

import (
	"hash/maphash"
	"math/bits"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/script"
)

// A scratch is the memory that a check takes, for the next one to use again.
type scratch struct {
	first    []int
	spent    []wire.OutPoint // by the inputs
	spenders index           // of inputs
	creators index           // of the block's transactions
	coins    []Coin
	sigOps   []int // of the transactions' own scripts

	// What is asked of Coins, the inputs that it is for, and the other inputs.
	ops    []wire.OutPoint
	places []int
	own    []ownCoin

	leaves   []chainhash.Hash
	prevouts []wire.TxOut
	txs      []script.Tx
	known    []bool
}

// release lets go of everything that the memory refers to.
func (s *scratch) release() {
	clear(s.coins[:cap(s.coins)])
	clear(s.prevouts[:cap(s.prevouts)])
	for i := range s.txs {
		s.txs[i].Reset(nil, nil)
	}
}

// resized returns a slice of n zero elements, in the memory of s if that suffices.
func resized[T any](s []T, n int) []T {
	if n > cap(s) {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// An index finds the number of a key in a list of the caller's. Keys are hashed with
// a secret salt, so that nobody can make blocks whose keys collide.
type index struct {
	seed  maphash.Seed
	slots []int32 // numbers from 1; 0 for none
}

// reset empties the index, and makes it ready for n keys.
func (x *index) reset(n int) {
	if x.slots == nil {
		x.seed = maphash.MakeSeed()
	}
	x.slots = resized(x.slots, 1<<bits.Len(uint(2*n)))
}

// at returns the place of a key: where same says that its number lies, else an
// empty one.
func (x *index) at(key []byte, same func(n int) bool) *int32 {
	mask := uint64(len(x.slots) - 1)
	for i := maphash.Bytes(x.seed, key) & mask; ; i = (i + 1) & mask {
		if n := x.slots[i]; n == 0 || same(int(n-1)) {
			return &x.slots[i]
		}
	}
}

// outPointKey returns op as the key of an index, in the memory of buf.
func outPointKey(op *wire.OutPoint, buf *[chainhash.HashSize + 4]byte) []byte {
	copy(buf[:], op.Hash[:])
	buf[32], buf[33], buf[34], buf[35] = byte(op.Index), byte(op.Index>>8), byte(op.Index>>16), byte(op.Index>>24)
	return buf[:]
}
