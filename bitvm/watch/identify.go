package watch

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// unknown is the place of a transaction or a leaf that the graph does not have.
const unknown = -1

// A Spent is an output of a connector that a transaction spends.
type Spent struct {
	Connector int `json:"connector"` // its place in the graph
	Output    int `json:"output"`    // of the connector's outputs
	Input     int `json:"input"`     // of the transaction
	// Leaf is the place of the leaf, or -1 if the witness does not tell it; Script is
	// which of the leaf's scripts it is.
	Leaf   int `json:"leaf"`
	Script int `json:"script"`

	path path
}

// A path is how a witness spends an output.
type path struct {
	key    bool     // by the key path of taproot
	leaf   [32]byte // the tapleaf hash (BIP341), if the witness may be of a script path
	script [32]byte // the SHA-256 of the last item, which is the script of P2WSH (BIP141)
}

// pathOf reads a witness that consensus has accepted. Whether the output is taproot's is
// not looked at: no P2WSH script can begin with the byte of an annex, nor is one likely
// to have the hash of a known leaf by chance.
func pathOf(witness wire.TxWitness) path {
	if n := len(witness); n >= 2 && len(witness[n-1]) > 0 && witness[n-1][0] == txscript.TaprootAnnexTag {
		witness = witness[:n-1]
	}
	if len(witness) == 0 {
		return path{}
	}
	last := witness[len(witness)-1]
	if len(witness) == 1 {
		return path{key: len(last) == 64 || len(last) == 65, script: sha256.Sum256(last)}
	}
	p := path{script: sha256.Sum256(last)}
	const base, step, most = txscript.ControlBlockBaseSize, txscript.ControlBlockNodeSize, txscript.ControlBlockMaxSize
	if len(last) >= base && len(last) <= most && (len(last)-base)%step == 0 {
		version := txscript.TapscriptLeafVersion(last[0] & txscript.TaprootLeafMask)
		p.leaf = txscript.NewTapLeaf(version, witness[len(witness)-2]).TapHash()
	}
	return p
}

// place finds the leaf of a spend by what is known of the connector's scripts.
func (b *binding) place(s *Spent) {
	s.Leaf = unknown
	c := &b.graph.Connectors[s.Connector]
	known := b.leaves[s.Connector]
	for _, hash := range [][32]byte{s.path.leaf, s.path.script} {
		if at, ok := known[hash]; ok {
			s.Leaf, s.Script = at.leaf, at.script
			return
		}
	}
	if s.path.key {
		for i, l := range c.Leaves {
			if l.Key {
				s.Leaf = i
				return
			}
		}
	}
}

// identify tells which transaction of the graph spends the outputs, in the order of its
// inputs, or why it is none. It sets the leaves of spent.
func (b *binding) identify(tx *wire.MsgTx, txid chainhash.Hash, spent []Spent) (at int, why string) {
	for i := range spent {
		spent[i].path = pathOf(tx.TxIn[spent[i].Input].Witness)
		b.place(&spent[i])
	}
	if at, ok := b.byTxid[txid]; ok {
		b.takeLeaves(at, spent)
		return at, ""
	}
	var reasons []string
	at = unknown
	for _, candidate := range b.graph.index.spenders[spent[0].Connector] {
		if why := b.differs(candidate, tx, spent); why != "" {
			reasons = append(reasons, fmt.Sprintf("it is not %s: %s", b.graph.Transactions[candidate].Name, why))
			continue
		}
		if at != unknown {
			return unknown, fmt.Sprintf("it may be %s or %s", b.graph.Transactions[at].Name, b.graph.Transactions[candidate].Name)
		}
		at = candidate
	}
	if at == unknown {
		return unknown, strings.Join(reasons, "; ")
	}
	b.takeLeaves(at, spent)
	return at, ""
}

// takeLeaves sets the leaves that the witnesses did not tell to those by which the
// transaction spends.
func (b *binding) takeLeaves(tx int, spent []Spent) {
	for i := range spent {
		s := &spent[i]
		c := &b.graph.Connectors[s.Connector]
		for _, in := range b.graph.Transactions[tx].Inputs {
			if s.Leaf == unknown && in.Connector == c.Name {
				s.Leaf = c.leaf(in.Leaf)
			}
		}
	}
}

// differs says why tx is not the transaction of the graph; "" if it may be.
func (b *binding) differs(at int, tx *wire.MsgTx, spent []Spent) string {
	g, t := b.graph, &b.graph.Transactions[at]
	if b.txids[at] != nil {
		return "that one has another id"
	}
	n, at0 := 0, t.shift(g, spent) // inputs, and the place of the first
	for _, in := range t.Inputs {
		c, leaf := g.input(in)
		connector := g.connector(in.Connector)
		for output := range c.outputs() {
			if n >= len(spent) || spent[n].Input != at0+n || spent[n].Connector != connector || spent[n].Output != output {
				return fmt.Sprintf("input %d is not connector %s", n, c.Name)
			}
			s := &spent[n]
			switch {
			case s.Leaf == unknown && b.leaves[connector] != nil && !s.path.key:
				return fmt.Sprintf("input %d spends %s by a script that is not known", n, c.Name)
			case s.Leaf != unknown && &c.Leaves[s.Leaf] != leaf:
				return fmt.Sprintf("input %d spends %s by leaf %s, not %s", n, c.Name, c.Leaves[s.Leaf].Name, leaf.Name)
			case s.Leaf == unknown && s.path.key != leaf.Key:
				return fmt.Sprintf("input %d spends %s by leaf %s neither", n, c.Name, leaf.Name)
			}
			n++
		}
	}
	if n != len(spent) || n != len(tx.TxIn) && !t.Open {
		return fmt.Sprintf("%d inputs, must be %d", len(tx.TxIn), n)
	}
	return b.paysElse(at, tx, at0)
}

// shift returns the place of the first input, and of the first output, that the graph tells
// of: 0, but where the transaction is open and spends one output. A signature with
// SIGHASH_SINGLE|SIGHASH_ANYONECANPAY covers neither the other inputs nor the place of its
// own, and of the outputs that with its place.
func (t *Transaction) shift(g *Graph, spent []Spent) int {
	if !t.Open || len(t.Inputs) != 1 || len(spent) == 0 {
		return 0
	}
	if c, _ := g.input(t.Inputs[0]); c.outputs() != 1 {
		return 0
	}
	return spent[0].Input
}

// paysElse says how the outputs of tx, from a first one on, are not those of the
// transaction of the graph; "" if they may be.
func (b *binding) paysElse(at int, tx *wire.MsgTx, first int) (why string) {
	n := first
	b.eachOutput(at, func(connector, output int) {
		switch {
		case why != "":
		case n >= len(tx.TxOut):
			why = fmt.Sprintf("%d outputs are too few", len(tx.TxOut))
		case connector == unknown:
		default:
			if want := b.script(connector, output); want != nil && !bytes.Equal(want, tx.TxOut[n].PkScript) {
				why = fmt.Sprintf("output %d does not pay to connector %s", n, b.graph.Connectors[connector].Name)
			}
		}
		n++
	})
	return why
}

// eachOutput calls f for each output of a transaction that the graph tells of, in order:
// with its connector and place there, or unknown and 0 where the graph ends.
func (b *binding) eachOutput(tx int, f func(connector, output int)) {
	for _, out := range b.graph.Transactions[tx].Outputs {
		if out.Connector == "" {
			f(unknown, 0)
			continue
		}
		i := b.graph.connector(out.Connector)
		for n := range b.graph.Connectors[i].outputs() {
			f(i, n)
		}
	}
}
