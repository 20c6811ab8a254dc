package opstack

import (
	"fmt"

	"github.com/ethereum/go-ethereum/common"
)

// An L1Ref names a block of L1. The zero value is none.
type L1Ref struct {
	Hash   common.Hash `json:"hash"`
	Number uint64      `json:"number"`
	Parent common.Hash `json:"parentHash"`
	Time   uint64      `json:"timestamp"`
}

// An ID names a block by hash and height.
type ID struct {
	Hash   common.Hash `json:"hash"`
	Number uint64      `json:"number"`
}

// A Ref names a block of L2. The zero value is none: an op-node that has just started
// answers with zeros.
type Ref struct {
	Hash   common.Hash `json:"hash"`
	Number uint64      `json:"number"`
	Parent common.Hash `json:"parentHash"`
	Time   uint64      `json:"timestamp"`
	// L1Origin and Sequence are zero where the source does not say: an execution
	// client's answer has them only in the block's first transaction.
	L1Origin ID     `json:"l1origin"`
	Sequence uint64 `json:"sequenceNumber"`
}

// ID returns the hash and the height.
func (r Ref) ID() ID { return ID{r.Hash, r.Number} }

// IsZero reports whether r is no block.
func (r Ref) IsZero() bool { return r.Hash == common.Hash{} }

// String returns the height and the hash, shortened.
func (id ID) String() string { return fmt.Sprintf("%d (%.10s…)", id.Number, id.Hash.Hex()) }

// A Label is one of the three heads of an L2 chain.
type Label uint8

// These are the labels (specs, glossary.md): the newest block that a sequencer sent, the
// newest that is derived from L1, and the newest derived from what L1 has finalized.
const (
	Unsafe Label = iota
	Safe
	Finalized
	labels
)

// String returns the label as op-node writes it.
func (l Label) String() string {
	if l < labels {
		return [labels]string{"unsafe", "safe", "finalized"}[l]
	}
	return fmt.Sprintf("label(%d)", uint8(l))
}

// Tag returns the label's name at an execution client.
func (l Label) Tag() string {
	if l == Unsafe {
		return "latest"
	}
	return l.String()
}

// Heads are a source's three heads, by Label.
type Heads [labels]Ref
