package watch

import (
	"context"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A Committed is a claim as it stands in blocks.
type Committed struct {
	Instance *Instance
	Claim    string
	// Transactions carry it, in the order of the description.
	Transactions []Commit
}

// A Commit is a transaction that carries a part of a claim.
type Commit struct {
	Name  string
	Txid  chainhash.Hash
	Block Tip
	Tx    *wire.MsgTx
	// Inputs are the places of the inputs that spend connectors, in the graph's order.
	Inputs []int
}

// Witnesses returns the witnesses of the inputs that spend connectors, in order. They are
// memory of the transaction.
func (c *Commit) Witnesses() []wire.TxWitness {
	all := make([]wire.TxWitness, len(c.Inputs))
	for i, in := range c.Inputs {
		all[i] = c.Tx.TxIn[in].Witness
	}
	return all
}

// A Finding says what became of a claim.
type Finding string

// The findings.
const (
	Valid       Finding = "valid"
	Disprovable Finding = "disprovable"
	// Undecided: nobody here can tell. It is never a reason to do nothing.
	Undecided Finding = "undecided"
)

// A Judgement is what was found of a claim.
type Judgement struct {
	Finding Finding `json:"finding"`
	// Leaf is the script of the answering leaf that disproves it, where there is one.
	Leaf   *int   `json:"leaf,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Kind is what that script checks, and Claimed and Expected are the hash that is
	// committed to and the right one, in hexadecimal, where they differ.
	Kind     string `json:"kind,omitempty"`
	Claimed  string `json:"claimed,omitempty"`
	Expected string `json:"expected,omitempty"`
	// Input is the public input for which a valid proof is one, in hexadecimal, high
	// byte first. Whether it is the one that the peg-out must have is not looked at.
	Input string `json:"input,omitempty"`
}

// same reports whether two judgements say the same.
func (j *Judgement) same(other *Judgement) bool {
	if (j.Leaf == nil) != (other.Leaf == nil) || j.Leaf != nil && *j.Leaf != *other.Leaf {
		return false
	}
	a, b := *j, *other
	a.Leaf, b.Leaf = nil, nil
	return a == b
}

// A Judge verifies claims. It is asked once all transactions of a claim are in blocks,
// and keeps nothing of what it is given. When it cannot tell it says Undecided, and why;
// when ctx ends it returns soon.
type Judge interface {
	Judge(ctx context.Context, c *Committed) Judgement
	// Name tells it from judges that may find something else, such as by another key,
	// over restarts. What another one found is judged again.
	Name() string
}

// nobody judges where there is no Judge.
type nobody struct{}

func (nobody) Judge(context.Context, *Committed) Judgement {
	return Judgement{Finding: Undecided, Reason: "no key to verify such claims with is configured"}
}

func (nobody) Name() string { return "" }
