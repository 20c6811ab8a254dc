// Package spv builds and verifies proofs that a transaction is in a block of Bitcoin:
// by the merkle path of its txid, or by that of its wtxid and the commitment in the
// block's coinbase. A proof is about a block header; that the header is in the best
// chain is for a relay to say, or for package headers.
//
// A node of a merkle tree is hashed like a transaction of 64 bytes, so that either can
// be passed off as the other. Proofs here have the coinbase transaction in full, as
// deep in the tree as the transaction that they are about, and neither may have 64
// bytes.
//
// Hashes are in internal byte order, as in merkle trees.
package spv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/sigverify/hashlane"
)

// ErrTransaction says that bytes are not one transaction, encoded as Bitcoin's nodes do,
// with inputs and outputs.
var ErrTransaction = errors.New("not a well-formed transaction")

// A Transaction is the parts of a serialised transaction, as BOB's contracts take them
// (BitcoinTx.Info). They are views of the bytes that it was parsed from.
type Transaction struct {
	Version [4]byte
	// InputVector and OutputVector are inputs and outputs, each with their number
	// in front.
	InputVector, OutputVector []byte
	// Witness has the stacks of all inputs; nil if the encoding has none.
	Witness  []byte
	Locktime [4]byte
}

// ParseTransaction parses a transaction. All of data must belong to it.
func ParseTransaction(data []byte) (Transaction, error) {
	tx, rest, err := cutTransaction(data)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: %d bytes follow it", ErrTransaction, len(rest))
	}
	return tx, err
}

// Stripped returns the transaction without its witnesses: what its txid is the hash of.
func (tx *Transaction) Stripped() []byte {
	data := make([]byte, 0, tx.strippedSize())
	data = append(data, tx.Version[:]...)
	data = append(data, tx.InputVector...)
	data = append(data, tx.OutputVector...)
	return append(data, tx.Locktime[:]...)
}

func (tx *Transaction) strippedSize() int { return 8 + len(tx.InputVector) + len(tx.OutputVector) }

// isCoinbase reports whether the transaction has the one input of a coinbase.
func (tx *Transaction) isCoinbase() bool {
	const start = "\x01" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\xff\xff\xff\xff"
	return len(tx.InputVector) > len(start) && string(tx.InputVector[:len(start)]) == start
}

// commitment returns the commitment to the block's witnesses that a coinbase
// transaction has: in its last output whose script begins as BIP141 says.
func (tx *Transaction) commitment() (chainhash.Hash, bool) {
	const (
		start = "\x6a\x24\xaa\x21\xa9\xed"
		size  = len(start) + chainhash.HashSize
	)
	var found chainhash.Hash
	ok := false
	c := cutter{data: tx.OutputVector}
	for range c.compactSize() {
		c.bytes(8)
		script := c.bytes(c.compactSize())
		if len(script) >= size && string(script[:len(start)]) == start {
			found, ok = chainhash.Hash(script[len(start):size]), true
		}
	}
	return found, ok
}

// cutTransaction parses the transaction that data begins with.
func cutTransaction(data []byte) (tx Transaction, rest []byte, err error) {
	c := cutter{data: data}
	copy(tx.Version[:], c.bytes(4))
	// Two bytes in place of a number of inputs, which is never 0 (BIP144).
	segwit := bytes.HasPrefix(c.rest(), []byte{0, 1})
	if segwit {
		c.bytes(2)
	}
	inputs := c.at
	count := c.compactSize()
	if count == 0 {
		c.failed = true
	}
	for i := uint64(0); i < count && !c.failed; i++ {
		c.bytes(36)
		c.bytes(c.compactSize())
		c.bytes(4)
	}
	tx.InputVector = data[inputs:c.at]
	outputs := c.at
	outs := c.compactSize()
	if outs == 0 {
		c.failed = true
	}
	for i := uint64(0); i < outs && !c.failed; i++ {
		c.bytes(8)
		c.bytes(c.compactSize())
	}
	tx.OutputVector = data[outputs:c.at]
	if segwit {
		witness := c.at
		empty := true
		for i := uint64(0); i < count && !c.failed; i++ {
			items := c.compactSize()
			empty = empty && items == 0
			for j := uint64(0); j < items && !c.failed; j++ {
				c.bytes(c.compactSize())
			}
		}
		// Core refuses an encoding with nothing but empty stacks.
		c.failed = c.failed || empty
		tx.Witness = data[witness:c.at]
	}
	copy(tx.Locktime[:], c.bytes(4))
	if c.failed {
		return Transaction{}, nil, ErrTransaction
	}
	return tx, c.rest(), nil
}

// A cutter takes bytes from the front of data. Once there are too few it fails, and
// gives nothing. It counts them instead of shortening data, which would be a pointer to
// write, millions of times a block.
type cutter struct {
	data   []byte
	at     int
	failed bool
}

func (c *cutter) bytes(n uint64) []byte {
	if c.failed || n > uint64(len(c.data)-c.at) {
		c.failed = true
		return nil
	}
	cut := c.data[c.at : c.at+int(n)]
	c.at += int(n)
	return cut
}

// rest returns what is left.
func (c *cutter) rest() []byte { return c.data[c.at:] }

// compactSize takes a number in Bitcoin's compact form, which must be the shortest.
func (c *cutter) compactSize() uint64 {
	first := c.bytes(1)
	if first == nil {
		return 0
	}
	if first[0] < 0xfd {
		return uint64(first[0])
	}
	var number [8]byte
	size := uint64(2) << (first[0] - 0xfd)
	copy(number[:], c.bytes(size))
	n := binary.LittleEndian.Uint64(number[:])
	least := uint64(0xfd)
	if size > 2 {
		least = 1 << (4 * size) // what half as many bytes cannot say
	}
	if n < least {
		c.failed = true
		return 0
	}
	return n
}

// txid returns the hash of a transaction without its witnesses.
func (tx *Transaction) txid() chainhash.Hash {
	var id [1]chainhash.Hash
	hashlane.DoubleSumParts(id[:], []hashlane.Parts{tx.parts()})
	return id[0]
}

// parts returns the transaction without its witnesses, for hashing. Inputs and outputs
// lie together where they were parsed.
func (tx *Transaction) parts() hashlane.Parts {
	body := tx.InputVector[:len(tx.InputVector)+len(tx.OutputVector)]
	return hashlane.Parts{Head: tx.Version[:], Body: body, Tail: tx.Locktime[:]}
}
