// Package watchtest builds, for tests, the transactions of a bridge's graph: real ones,
// whose scripts are simple and whose locks consensus enforces.
package watchtest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/bitvm/watch"
)

// Small returns BitVM2's graph with an assertion of 6 commitments and 5 leaves, which is
// sooner built.
func Small() *watch.Graph {
	g := watch.BitVM2()
	for i := range g.Connectors {
		switch c := &g.Connectors[i]; c.Name {
		case "E1":
			c.Count = 4
		case "E2":
			c.Count = 2
		case "C":
			c.Leaves[1].Count = 5
		}
	}
	return g
}

// A Coin is an output that pays for a root.
type Coin struct {
	Outpoint wire.OutPoint
	Value    int64
	Witness  wire.TxWitness
}

// A Bridge builds the transactions of a graph. Its connectors are taproot outputs with a
// leaf for each script, and P2WSH where the only leaf is called "script". A script pushes
// its own name and checks the lock: anybody can spend it. The keys of key paths are public.
// What is built is the same each time, so that it may be mined again behind a
// reorganisation.
type Bridge struct {
	tb         testing.TB
	graph      *watch.Graph
	network    string
	label      string
	connectors map[string]*connector
	coins      map[string][]Coin // by connector, of what was built
	funds      map[string]Coin   // by root
}

// A connector has the scripts of one.
type connector struct {
	*watch.Connector
	key     *btcec.PrivateKey
	script  []byte              // of its outputs
	scripts map[string][][]byte // by leaf
	tree    *txscript.IndexedTapScriptTree
	place   map[string]int // in the tree: of a leaf's first script
}

// fee is what each transaction leaves to miners: a satoshi for each of its bytes at least.
const fee = 100_000

// New returns a bridge on a network. Bridges with other labels have other scripts.
func New(tb testing.TB, g *watch.Graph, network, label string) *Bridge {
	tb.Helper()
	b := &Bridge{
		tb: tb, graph: g, network: network, label: label,
		connectors: make(map[string]*connector), coins: make(map[string][]Coin), funds: make(map[string]Coin),
	}
	for i := range g.Connectors {
		b.connectors[g.Connectors[i].Name] = b.build(&g.Connectors[i])
	}
	return b
}

func (b *Bridge) build(of *watch.Connector) *connector {
	seed := sha256.Sum256([]byte(b.label + " " + of.Name))
	key, _ := btcec.PrivKeyFromBytes(seed[:])
	c := &connector{Connector: of, key: key, scripts: make(map[string][][]byte), place: make(map[string]int)}
	var leaves []txscript.TapLeaf
	for _, l := range of.Leaves {
		if l.Key {
			continue
		}
		c.place[l.Name] = len(leaves)
		for n := range max(l.Count, 1) {
			s := txscript.NewScriptBuilder().AddData(fmt.Appendf(nil, "%s %s:%s/%d", b.label, of.Name, l.Name, n)).AddOp(txscript.OP_DROP)
			if lock := l.Lock.On(b.network); lock > 0 {
				s.AddInt64(int64(lock)).AddOp(txscript.OP_CHECKSEQUENCEVERIFY).AddOp(txscript.OP_DROP)
			}
			if l.Absolute {
				s.AddInt64(0).AddOp(txscript.OP_CHECKLOCKTIMEVERIFY).AddOp(txscript.OP_DROP)
			}
			script := b.must(s.AddOp(txscript.OP_TRUE).Script())
			c.scripts[l.Name] = append(c.scripts[l.Name], script)
			leaves = append(leaves, txscript.NewBaseTapLeaf(script))
		}
	}
	if len(of.Leaves) == 1 && of.Leaves[0].Name == "script" {
		hash := sha256.Sum256(c.scripts["script"][0])
		c.script = b.must(txscript.NewScriptBuilder().AddOp(txscript.OP_0).AddData(hash[:]).Script())
		return c
	}
	output := txscript.ComputeTaprootKeyNoScript(c.key.PubKey())
	if len(leaves) > 0 {
		c.tree = txscript.AssembleTaprootScriptTree(leaves...)
		root := c.tree.RootNode.TapHash()
		output = txscript.ComputeTaprootOutputKey(c.key.PubKey(), root[:])
	}
	c.script = b.must(txscript.NewScriptBuilder().AddOp(txscript.OP_1).AddData(schnorr.SerializePubKey(output)).Script())
	return c
}

func (b *Bridge) must(script []byte, err error) []byte {
	b.tb.Helper()
	if err != nil {
		b.tb.Fatal(err)
	}
	return script
}

// Instance returns an instance whose scripts and leaves are known, and no ids.
func (b *Bridge) Instance(start uint32) *watch.Instance {
	in := &watch.Instance{
		Version: watch.InstanceVersion, Name: b.label, Network: b.network, Graph: b.graph, Start: start,
		Scripts: make(map[string][]string), Leaves: make(map[string]map[string][]string),
	}
	for name, c := range b.connectors {
		in.Scripts[name] = []string{hex.EncodeToString(c.script)}
		known := make(map[string][]string)
		for leaf, scripts := range c.scripts {
			for _, s := range scripts {
				hash := sha256.Sum256(s)
				if c.tree != nil {
					hash = txscript.NewBaseTapLeaf(s).TapHash()
				}
				known[leaf] = append(known[leaf], hex.EncodeToString(hash[:]))
			}
		}
		if len(known) > 0 {
			in.Leaves[name] = known
		}
	}
	return in
}

// Fund says which coin pays for a root.
func (b *Bridge) Fund(root string, c Coin) { b.funds[root] = c }

// Tx returns a transaction of the graph, whose parents were built before; a root, which
// was funded.
func (b *Bridge) Tx(name string) *wire.MsgTx {
	b.tb.Helper()
	return b.TxBy(name, 0)
}

// TxBy is Tx, by a script of its leaves where there are several, the number counted round.
func (b *Bridge) TxBy(name string, script int) *wire.MsgTx {
	b.tb.Helper()
	t := b.transaction(name)
	var from []Coin
	var by []func(*wire.MsgTx, int)
	tx := wire.NewMsgTx(2)
	if len(t.Inputs) == 0 {
		from = append(from, b.fund(name))
		by = append(by, func(tx *wire.MsgTx, i int) { tx.TxIn[i].Witness = b.funds[name].Witness })
		tx.AddTxIn(wire.NewTxIn(&from[0].Outpoint, nil, nil))
	}
	for _, in := range t.Inputs {
		coins := b.coins[in.Connector]
		if coins == nil {
			b.tb.Fatalf("%s spends connector %s, which was not built", name, in.Connector)
		}
		for _, c := range coins {
			from = append(from, c)
			by = append(by, b.spend(tx, c, in, script))
		}
	}
	var outputs []*connector
	for _, out := range t.Outputs {
		c := b.connectors[out.Connector] // nil where the graph ends
		for range outputsOf(c) {
			outputs = append(outputs, c)
		}
	}
	if len(outputs) == 0 {
		outputs = []*connector{nil}
	}
	b.pay(tx, from, outputs)
	for i, sign := range by {
		sign(tx, i)
	}
	b.keep(tx, outputs)
	return tx
}

func (b *Bridge) transaction(name string) *watch.Transaction {
	for i := range b.graph.Transactions {
		if b.graph.Transactions[i].Name == name {
			return &b.graph.Transactions[i]
		}
	}
	b.tb.Fatalf("there is no transaction %s", name)
	return nil
}

func outputsOf(c *connector) int {
	if c == nil {
		return 1
	}
	return max(c.Count, 1)
}

func (b *Bridge) fund(name string) Coin {
	c, ok := b.funds[name]
	if !ok {
		b.tb.Fatalf("%s was not funded", name)
	}
	return c
}

// spend adds an input for a coin of a connector, and returns what makes its witness.
func (b *Bridge) spend(tx *wire.MsgTx, from Coin, in watch.Input, script int) func(*wire.MsgTx, int) {
	c := b.connectors[in.Connector]
	txIn := wire.NewTxIn(&from.Outpoint, nil, nil)
	tx.AddTxIn(txIn)
	var leaf watch.Leaf
	for _, l := range c.Leaves {
		if l.Name == in.Leaf {
			leaf = l
		}
	}
	switch lock := leaf.Lock.On(b.network); {
	case lock > 0:
		txIn.Sequence = lock
	case leaf.Absolute:
		txIn.Sequence = wire.MaxTxInSequenceNum - 1
	}
	if leaf.Key {
		return func(tx *wire.MsgTx, i int) { tx.TxIn[i].Witness = wire.TxWitness{b.sign(tx, i, c)} }
	}
	scripts := c.scripts[in.Leaf]
	n := script % len(scripts)
	if c.tree == nil {
		txIn.Witness = wire.TxWitness{scripts[n]}
	} else {
		control := c.tree.LeafMerkleProofs[c.place[in.Leaf]+n].ToControlBlock(c.key.PubKey())
		txIn.Witness = wire.TxWitness{scripts[n], b.must(control.ToBytes())}
	}
	return func(*wire.MsgTx, int) {}
}

// sign signs an input that spends a connector by its key.
func (b *Bridge) sign(tx *wire.MsgTx, i int, c *connector) []byte {
	prevouts := make(map[wire.OutPoint]*wire.TxOut)
	for _, coins := range b.coins {
		for _, coin := range coins {
			prevouts[coin.Outpoint] = &wire.TxOut{Value: coin.Value}
		}
	}
	for name, coins := range b.coins {
		for _, coin := range coins {
			prevouts[coin.Outpoint].PkScript = b.connectors[name].script
		}
	}
	fetcher := txscript.NewMultiPrevOutFetcher(prevouts)
	var root []byte
	if c.tree != nil {
		hash := c.tree.RootNode.TapHash()
		root = hash[:]
	}
	spent := prevouts[tx.TxIn[i].PreviousOutPoint]
	sig, err := txscript.RawTxInTaprootSignature(tx, txscript.NewTxSigHashes(tx, fetcher), i, spent.Value, spent.PkScript, root, txscript.SigHashDefault, c.key)
	if err != nil {
		b.tb.Fatal(err)
	}
	return sig
}

// pay adds outputs that share what comes in, but for the fee. Where there is no connector
// an output goes to anyone.
func (b *Bridge) pay(tx *wire.MsgTx, from []Coin, outputs []*connector) {
	value := int64(-fee)
	for _, c := range from {
		value += c.Value
	}
	share := value / int64(len(outputs))
	if share < 1000 {
		b.tb.Fatalf("%d satoshis are left for each of %d outputs", share, len(outputs))
	}
	for _, c := range outputs {
		script := Anyone()
		if c != nil {
			script = c.script
		}
		tx.AddTxOut(wire.NewTxOut(share, script))
	}
}

// Anyone returns an output script that nothing is needed for: P2WSH of OP_TRUE.
func Anyone() []byte {
	hash := sha256.Sum256([]byte{txscript.OP_TRUE})
	return append([]byte{txscript.OP_0, 32}, hash[:]...)
}

// keep remembers the connectors that a transaction makes.
func (b *Bridge) keep(tx *wire.MsgTx, outputs []*connector) {
	made := make(map[string][]Coin)
	id := tx.TxHash()
	for i, c := range outputs {
		if c != nil {
			made[c.Name] = append(made[c.Name], Coin{Outpoint: wire.OutPoint{Hash: id, Index: uint32(i)}, Value: tx.TxOut[i].Value})
		}
	}
	maps.Copy(b.coins, made)
}

// Stray returns a transaction that spends the first output of a connector, which was
// built, by a leaf, and nothing else. The graph must have none like it.
func (b *Bridge) Stray(connector, leaf string) *wire.MsgTx {
	b.tb.Helper()
	tx := wire.NewMsgTx(2)
	coins := b.coins[connector]
	if coins == nil {
		b.tb.Fatalf("connector %s was not built", connector)
	}
	sign := b.spend(tx, coins[0], watch.Input{Connector: connector, Leaf: leaf}, 0)
	// Another value than any of the graph: the id does not cover the leaf.
	tx.AddTxOut(wire.NewTxOut(coins[0].Value-min(2*fee, coins[0].Value/2), Anyone()))
	sign(tx, 0)
	return tx
}
