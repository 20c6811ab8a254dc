package corefile

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"hash"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A SetHasher computes the hash_serialized_3 of a UTXO set: the hash of
// gettxoutsetinfo, the txoutset_hash of dumptxoutset, and what Bitcoin Core's
// chain parameters hold for the snapshots that it takes.
type SetHasher struct {
	hash    doubleHash
	last    chainhash.Hash
	started bool
	buf     []byte
}

// NewSetHasher returns the hasher of an empty set.
func NewSetHasher() *SetHasher { return &SetHasher{hash: newDoubleHash()} }

// Add adds the coins of a transaction, and sorts tx.Coins by output index.
// Transactions are added in ascending order of their ids, as a snapshot has
// them. An error wraps ErrMalformed, and nothing was added: the transaction is
// not after the one before, or has an output twice.
func (h *SetHasher) Add(tx *TxCoins) error {
	if h.started && bytes.Compare(h.last[:], tx.Txid[:]) >= 0 {
		return malformed("transaction %s after %s", tx.Txid, h.last)
	}
	if vout, twice := sortByVout(tx.Coins); twice {
		return malformed("output %d of transaction %s twice", vout, tx.Txid)
	}
	for i := range tx.Coins {
		c := &tx.Coins[i]
		h.buf = AppendTxOutSer(h.buf[:0], wire.OutPoint{Hash: tx.Txid, Index: c.Vout}, &c.Coin)
		h.hash.Write(h.buf)
	}
	h.last, h.started = tx.Txid, true
	return nil
}

// Sum returns the hash of the coins so far. More may be added after it.
func (h *SetHasher) Sum() chainhash.Hash { return h.hash.sum() }

// sortByVout sorts coins by output index, and returns an index that more than
// one of them has.
func sortByVout(coins []TxCoin) (vout uint32, twice bool) {
	byVout := func(a, b TxCoin) int { return cmp.Compare(a.Vout, b.Vout) }
	if !slices.IsSortedFunc(coins, byVout) {
		slices.SortFunc(coins, byVout)
	}
	for i := 1; i < len(coins); i++ {
		if coins[i].Vout == coins[i-1].Vout {
			return coins[i].Vout, true
		}
	}
	return 0, false
}

// A doubleHash computes a double SHA-256.
type doubleHash struct{ hash.Hash }

func newDoubleHash() doubleHash { return doubleHash{sha256.New()} }

// sum returns the hash of what was written so far.
func (h doubleHash) sum() chainhash.Hash {
	var once [sha256.Size]byte
	return sha256.Sum256(h.Sum(once[:0]))
}
