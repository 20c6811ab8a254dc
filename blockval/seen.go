package blockval

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"unsafe"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/script"
)

// A seenTx is a transaction whose scripts succeed: under which rules, and with
// which outputs spent, of which it has a hash.
type seenTx struct {
	wtxid chainhash.Hash
	spent uint64
	flags script.Flags
	falls int // of the verifier, when it said so
	full  bool
}

// A seenTxs remembers transactions whose scripts succeed. An id is compared whole.
// What a transaction spends is in its id already, so that the hash of that matters
// only if the same node tells two things of one output; its salt is secret. It is
// safe for concurrent use.
//
// It is a table of small sets. A set that is full loses the one that came first.
type seenTxs struct {
	seed maphash.Seed

	mu    sync.RWMutex // guards what follows
	sets  []seenSet
	count int
	limit int64
}

const seenWays = 8

// A seenSet is a few transactions; next is the place that is written next.
type seenSet struct {
	txs  [seenWays]seenTx
	next uint8
}

// newSeenTxs returns one that takes so much memory, in bytes, and at least a set.
func newSeenTxs(bytes int64) *seenTxs {
	s := &seenTxs{seed: maphash.MakeSeed(), limit: -1} // it has no size yet
	s.resize(bytes)
	return s
}

// resize makes the table take so much memory, and forgets everything unless it does already.
func (s *seenTxs) resize(bytes int64) {
	if s.bytes() == bytes {
		return
	}
	sets := make([]seenSet, max(1, bytes/int64(unsafe.Sizeof(seenSet{}))))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sets, s.count, s.limit = sets, 0, bytes
}

// bytes returns the memory that the table may take.
func (s *seenTxs) bytes() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.limit
}

// len returns how many transactions are remembered.
func (s *seenTxs) len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.count
}

// spent returns the hash of outputs.
func (s *seenTxs) spent(prevouts []wire.TxOut) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	var buf [16]byte
	for i := range prevouts {
		binary.LittleEndian.PutUint64(buf[:8], uint64(prevouts[i].Value))
		binary.LittleEndian.PutUint64(buf[8:], uint64(len(prevouts[i].PkScript)))
		h.Write(buf[:])
		h.Write(prevouts[i].PkScript)
	}
	return h.Sum64()
}

// set returns the set of an id. A mutex is held.
func (s *seenTxs) set(wtxid *chainhash.Hash) *seenSet {
	return &s.sets[maphash.Bytes(s.seed, wtxid[:])%uint64(len(s.sets))]
}

// add remembers that the scripts of a transaction succeed under flags, by the word of
// a verifier that has fallen so often.
func (s *seenTxs) add(wtxid chainhash.Hash, prevouts []wire.TxOut, flags script.Flags, falls int) {
	tx := seenTx{wtxid: wtxid, spent: s.spent(prevouts), flags: flags, falls: falls, full: true}
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.set(&wtxid)
	for i := range set.txs {
		if set.txs[i].full && set.txs[i].wtxid == wtxid {
			set.txs[i] = tx
			return
		}
	}
	if !set.txs[set.next].full {
		s.count++
	}
	set.txs[set.next] = tx
	set.next = (set.next + 1) % seenWays
}

// has calls known for each of the transactions whose scripts are known to succeed
// under flags, if the verifier has not fallen since: rules only ever forbid, so that what succeeds under more succeeds
// under these.
func (s *seenTxs) has(wtxids []chainhash.Hash, txs []script.Tx, flags script.Flags, falls int, known func(i int)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.count == 0 {
		return
	}
	for i := range wtxids {
		set := s.set(&wtxids[i])
		for j := range set.txs {
			tx := &set.txs[j]
			if tx.full && tx.wtxid == wtxids[i] {
				if tx.falls == falls && flags&^tx.flags == 0 && tx.spent == s.spent(txs[i].Prevouts) {
					known(i)
				}
				break
			}
		}
	}
}
