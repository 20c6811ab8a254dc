package zmq

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// The topics of bitcoind.
const (
	// TopicHashBlock tells the hash of a new tip. In a reorganisation it tells
	// the last tip only, and in initial block download nothing.
	TopicHashBlock = "hashblock"
	// TopicRawBlock tells the same tips as serialised blocks.
	TopicRawBlock = "rawblock"
	// TopicHashTx tells the txid of a transaction that entered the mempool, and
	// of each one in a block that is connected or disconnected.
	TopicHashTx = "hashtx"
	// TopicRawTx tells the same as serialised transactions.
	TopicRawTx = "rawtx"
	// TopicSequence tells each block connected and disconnected and each
	// transaction that entered or left the mempool, in order; see
	// DecodeSequence.
	TopicSequence = "sequence"
)

// Topics returns all topics of bitcoind.
func Topics() []string {
	return []string{TopicHashBlock, TopicRawBlock, TopicHashTx, TopicRawTx, TopicSequence}
}

// A Notification is what bitcoind published.
type Notification struct {
	// Topic is one of the Topic constants.
	Topic string
	// Body belongs to the receiver of the notification. Its form has been
	// checked, except that blocks and transactions are not looked into.
	Body []byte
	// Counter counts the notifications of one topic at one address, from 0 and
	// modulo 2^32, those included that the publisher dropped.
	Counter uint32
}

// A SequenceLabel says what a notification of TopicSequence is about.
type SequenceLabel byte

// The labels of Core's doc/zmq.md.
const (
	BlockConnected    SequenceLabel = 'C'
	BlockDisconnected SequenceLabel = 'D'
	TxAdded           SequenceLabel = 'A'
	// TxRemoved is for transactions that leave the mempool, but not by a
	// block that contains them.
	TxRemoved SequenceLabel = 'R'
)

// A Sequence is the body of a notification of TopicSequence.
type Sequence struct {
	Label SequenceLabel
	// Hash is the block's hash, or the transaction's id, in internal byte
	// order.
	Hash chainhash.Hash
	// MempoolSequence is the mempool's sequence number for TxAdded and
	// TxRemoved, and 0 for blocks.
	MempoolSequence uint64
}

// DecodeSequence decodes the body of a notification of TopicSequence: a hash in
// display order and the label, then for a transaction the mempool's sequence
// number in eight bytes, little-endian.
func DecodeSequence(body []byte) (Sequence, error) {
	if len(body) < chainhash.HashSize+1 {
		return Sequence{}, violation("sequence notification of %d bytes", len(body))
	}
	s := Sequence{Label: SequenceLabel(body[chainhash.HashSize]), Hash: reversed(body)}
	rest := body[chainhash.HashSize+1:]
	switch s.Label {
	case BlockConnected, BlockDisconnected:
		if len(rest) != 0 {
			return Sequence{}, violation("sequence notification %q of %d bytes", s.Label, len(body))
		}
	case TxAdded, TxRemoved:
		if len(rest) != 8 {
			return Sequence{}, violation("sequence notification %q of %d bytes", s.Label, len(body))
		}
		s.MempoolSequence = binary.LittleEndian.Uint64(rest)
	default:
		return Sequence{}, violation("sequence notification with label %q", s.Label)
	}
	return s, nil
}

// DecodeHash decodes the body of a notification of TopicHashBlock or
// TopicHashTx, a hash in display order, to internal order.
func DecodeHash(body []byte) (chainhash.Hash, error) {
	if len(body) != chainhash.HashSize {
		return chainhash.Hash{}, violation("hash of %d bytes", len(body))
	}
	return reversed(body), nil
}

// reversed returns the hash that body begins with, in the other byte order.
func reversed(body []byte) chainhash.Hash {
	h := chainhash.Hash(body[:chainhash.HashSize])
	slices.Reverse(h[:])
	return h
}

// check checks the form of a notification's body.
func (n *Notification) check() error {
	var err error
	switch n.Topic {
	case TopicSequence:
		_, err = DecodeSequence(n.Body)
	case TopicHashBlock, TopicHashTx:
		_, err = DecodeHash(n.Body)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", n.Topic, err)
	}
	return nil
}
