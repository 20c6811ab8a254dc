package watch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// InstanceVersion is the version of instances that is read here.
const InstanceVersion = 1

// MaxInstance bounds an encoded instance, in bytes: 364 leaf hashes are 25 kB, 400 scripts
// 30 kB, and a graph may be in it.
const MaxInstance = 4 << 20

// An Instance binds a graph to one peg-out on one network. What it does not know is not
// checked: without transaction ids a spend is told by the connectors and leaves that it
// uses, without leaf hashes a leaf is told by the transaction.
type Instance struct {
	Version int    `json:"version"`
	Name    string `json:"name"`
	Network string `json:"network"`
	// Graph is the graph; Builtin names one that is built in instead, with a number of
	// watchtowers where it is for one.
	Graph       *Graph `json:"graph,omitempty"`
	Builtin     string `json:"builtin,omitempty"`
	Watchtowers int    `json:"watchtowers,omitempty"`
	// Start is the height of the first block to look at: none below it spends or makes
	// a connector, but for what Outpoints tells.
	Start uint32 `json:"start"`
	// Outpoints are connectors that are there before Start.
	Outpoints map[string]Existing `json:"outpoints,omitempty"`
	// Txids are the ids of transactions that are known beforehand, such as signed ones:
	// no other transaction is then taken for one of that name.
	Txids map[string]string `json:"txids,omitempty"`
	// Scripts are the output scripts of connectors, in hexadecimal: one for all
	// outputs of a connector, or one for each. A root without an id is found by them
	// too: the first that pays there, so that whoever else pays there can mislead.
	Scripts map[string][]string `json:"scripts,omitempty"`
	// Leaves are, by connector and leaf, the hashes of their scripts in hexadecimal,
	// one for each of a leaf's scripts: the tapleaf hash (BIP341), or for P2WSH the
	// SHA-256 (BIP141). A connector has those of all its script leaves or of none.
	Leaves map[string]map[string][]string `json:"leaves,omitempty"`
	// React is how many blocks before a deadline it becomes urgent; 0 is 36 on
	// mainnet, and 1 on other networks.
	React uint32 `json:"react,omitempty"`

	bound *binding
}

// An Existing is an output that was there before an instance's Start.
type Existing struct {
	Outpoint string `json:"outpoint"` // as txid:index
	Height   uint32 `json:"height"`   // of its block
	// Script is its output script in hexadecimal, if it is told: that of Scripts, where
	// that is told too.
	Script string `json:"script,omitempty"`
}

// A binding is an instance made ready.
type binding struct {
	graph   *Graph
	digest  [32]byte
	txids   []*chainhash.Hash // by transaction
	byTxid  map[chainhash.Hash]int
	scripts [][][]byte // by connector: none, one, or one for each output
	byRoot  map[string]int
	leaves  []map[[32]byte]leafPlace // by connector; nil if the hashes are not known
	exists  map[int]existing         // by connector
	first   []int                    // of a connector: the place of its first output among all
	outputs int                      // of all connectors
	limits  [][]limit                // by transaction
}

// A leafPlace is a script of a leaf.
type leafPlace struct{ leaf, script int }

type existing struct {
	outpoint wire.OutPoint
	height   uint32
}

// networks are those that an instance may be on, by Bitcoin Core's names.
var networks = []string{"main", "test", "testnet4", "signet", "regtest", "simnet"}

// IsNetwork reports whether there is a network of that name.
func IsNetwork(name string) bool { return slices.Contains(networks, name) }

// DecodeInstance reads an instance. It takes no field that it does not know and nothing
// behind it. The error says what is wrong, all of it where that can be told.
func DecodeInstance(data []byte) (*Instance, error) {
	if len(data) > MaxInstance {
		return nil, fmt.Errorf("watch: an instance of %d bytes, at most %d are read", len(data), MaxInstance)
	}
	in := new(Instance)
	if err := decodeStrictly(data, in); err != nil {
		return nil, fmt.Errorf("watch: instance: %w", err)
	}
	if err := in.bind(); err != nil {
		return nil, fmt.Errorf("watch: instance %q: %w", in.Name, err)
	}
	return in, nil
}

// Bind checks an instance that was not decoded, and makes it ready.
func (in *Instance) Bind() error {
	if err := in.bind(); err != nil {
		return fmt.Errorf("watch: instance %q: %w", in.Name, err)
	}
	return nil
}

// Describes returns the graph that the instance is of.
func (in *Instance) Describes() *Graph { return in.bound.graph }

func (in *Instance) bind() error {
	if in.Version != InstanceVersion {
		return fmt.Errorf("version %d, only %d is known", in.Version, InstanceVersion)
	}
	if !name.MatchString(in.Name) {
		return errors.New("it has no name: letters, digits and _.- are, up to 64")
	}
	if !IsNetwork(in.Network) {
		return fmt.Errorf("network %q: must be one of %s", in.Network, strings.Join(networks, ", "))
	}
	if in.Start == 0 {
		return errors.New("start: must be 1 or more")
	}
	b := &binding{graph: in.Graph, byTxid: make(map[chainhash.Hash]int), byRoot: make(map[string]int), exists: make(map[int]existing)}
	var err error
	switch {
	case (in.Graph == nil) == (in.Builtin == ""):
		return errors.New("either graph or builtin must be there")
	case in.Graph == nil:
		b.graph, err = Builtin(in.Builtin, in.Watchtowers)
	default:
		err = in.Graph.check()
	}
	if err != nil {
		return err
	}
	if b.digest, err = in.sum(b.graph); err != nil {
		return err
	}
	g := b.graph
	b.limits = g.limits(in.Network)
	b.first = make([]int, len(g.Connectors))
	for i := range g.Connectors {
		b.first[i] = b.outputs
		b.outputs += g.Connectors[i].outputs()
	}
	err = errors.Join(b.readTxids(in.Txids), b.readScripts(in.Scripts), b.readLeaves(in.Leaves), b.readExisting(in))
	if err != nil {
		return err
	}
	for i, t := range g.Transactions {
		if len(t.Inputs) == 0 && b.txids[i] == nil {
			err = errors.Join(err, b.root(i))
		}
	}
	if err != nil {
		return err
	}
	in.bound = b
	return nil
}

// sum returns the digest of an instance and its graph, without the words for people: what
// was seen of it does not depend on them.
func (in *Instance) sum(g *Graph) ([32]byte, error) {
	bare, graph := *in, *g
	bare.Graph = nil
	graph.About = ""
	graph.Connectors, graph.Transactions = slices.Clone(g.Connectors), slices.Clone(g.Transactions)
	for i := range graph.Connectors {
		c := &graph.Connectors[i]
		c.About, c.Leaves = "", slices.Clone(c.Leaves)
		for k := range c.Leaves {
			c.Leaves[k].Means = ""
		}
	}
	for i := range graph.Transactions {
		graph.Transactions[i].Means = ""
	}
	text, err := json.Marshal(struct {
		Instance *Instance
		Graph    *Graph
	}{&bare, &graph})
	return sha256.Sum256(text), err
}

// react returns how many blocks before a deadline it becomes urgent.
func (in *Instance) react() uint32 {
	if in.React == 0 {
		return defaultReact(in.Network)
	}
	return in.React
}

// defaultReact is six hours on mainnet, for which GOAT's nodes ask an hour at least.
func defaultReact(network string) uint32 {
	if network == "main" {
		return 36
	}
	return 1
}

func (b *binding) readTxids(txids map[string]string) error {
	b.txids = make([]*chainhash.Hash, len(b.graph.Transactions))
	var errs []error
	for of, text := range txids {
		i, ok := b.graph.index.transactions[of]
		if !ok {
			errs = append(errs, fmt.Errorf("txids: there is no transaction %q", of))
			continue
		}
		hash, err := parseHash(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("txids: %s: %w", of, err))
			continue
		}
		if other, double := b.byTxid[hash]; double {
			errs = append(errs, fmt.Errorf("txids: %s and %s are the same", of, b.graph.Transactions[other].Name))
		}
		b.txids[i], b.byTxid[hash] = &hash, i
	}
	return errors.Join(errs...)
}

func (b *binding) readScripts(scripts map[string][]string) error {
	b.scripts = make([][][]byte, len(b.graph.Connectors))
	var errs []error
	for of, list := range scripts {
		i, ok := b.graph.index.connectors[of]
		if !ok {
			errs = append(errs, fmt.Errorf("scripts: there is no connector %q", of))
			continue
		}
		if n := b.graph.Connectors[i].outputs(); len(list) != 1 && len(list) != n {
			errs = append(errs, fmt.Errorf("scripts: %s has %d, must be 1 or %d", of, len(list), n))
			continue
		}
		for _, text := range list {
			script, err := hex.DecodeString(text)
			if err != nil || len(script) == 0 || len(script) > txscript.MaxScriptSize {
				errs = append(errs, fmt.Errorf("scripts: %s: must be an output script in hexadecimal", of))
				break
			}
			b.scripts[i] = append(b.scripts[i], script)
		}
	}
	return errors.Join(errs...)
}

// script returns the script of output n of a connector, or nil if it is not known.
func (b *binding) script(connector, n int) []byte {
	switch s := b.scripts[connector]; len(s) {
	case 0:
		return nil
	case 1:
		return s[0]
	default:
		return s[n]
	}
}

func (b *binding) readLeaves(leaves map[string]map[string][]string) error {
	b.leaves = make([]map[[32]byte]leafPlace, len(b.graph.Connectors))
	var errs []error
	for of, byLeaf := range leaves {
		i, ok := b.graph.index.connectors[of]
		if !ok {
			errs = append(errs, fmt.Errorf("leaves: there is no connector %q", of))
			continue
		}
		c, known := &b.graph.Connectors[i], make(map[[32]byte]leafPlace)
		for leaf := range byLeaf {
			if at := c.leaf(leaf); at < 0 || c.Leaves[at].Key {
				errs = append(errs, fmt.Errorf("leaves: connector %s has no script leaf %q", of, leaf))
			}
		}
		// The outputs of a row have scripts of their own: as many for each.
		for at, l := range c.Leaves {
			if l.Key {
				continue
			}
			list, want := byLeaf[l.Name], max(l.Count, 1)
			if len(list) != want && len(list) != want*c.outputs() {
				errs = append(errs, fmt.Errorf("leaves: %s:%s has %d hashes, must have %d, or %d for each output", of, l.Name, len(list), want, want))
				continue
			}
			for n, text := range list {
				raw, err := hex.DecodeString(text)
				if err != nil || len(raw) != 32 {
					errs = append(errs, fmt.Errorf("leaves: %s:%s: must be hashes of 32 bytes in hexadecimal", of, l.Name))
					break
				}
				hash := [32]byte(raw)
				if other, double := known[hash]; double && other.leaf != at {
					errs = append(errs, fmt.Errorf("leaves: %s:%s has a script that another leaf has", of, l.Name))
				}
				known[hash] = leafPlace{at, n % want}
			}
		}
		b.leaves[i] = known
	}
	return errors.Join(errs...)
}

func (b *binding) readExisting(in *Instance) error {
	var errs []error
	for of, e := range in.Outpoints {
		i, ok := b.graph.index.connectors[of]
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("outpoints: there is no connector %q", of))
			continue
		case b.graph.Connectors[i].outputs() != 1:
			errs = append(errs, fmt.Errorf("outpoints: %s is a row of outputs; begin at the transaction that makes it", of))
			continue
		case e.Height >= in.Start:
			errs = append(errs, fmt.Errorf("outpoints: %s is of height %d, and blocks are looked at from %d on", of, e.Height, in.Start))
		}
		op, err := parseOutpoint(e.Outpoint)
		if err != nil {
			errs = append(errs, fmt.Errorf("outpoints: %s: %w", of, err))
		}
		script, err := hex.DecodeString(e.Script)
		if err != nil {
			errs = append(errs, fmt.Errorf("outpoints: %s: script: %w", of, err))
		}
		if known := b.script(i, 0); len(script) > 0 && known != nil && !bytes.Equal(script, known) {
			errs = append(errs, fmt.Errorf("outpoints: %s has another script than scripts has", of))
		}
		b.exists[i] = existing{op, e.Height}
	}
	return errors.Join(errs...)
}

// root has a root be found by the script of its first connector of one output, if that is
// known and the connector is not there already.
func (b *binding) root(tx int) error {
	for _, out := range b.graph.Transactions[tx].Outputs {
		if out.Connector == "" {
			continue
		}
		i := b.graph.connector(out.Connector)
		if _, there := b.exists[i]; there {
			return nil
		}
		s := b.script(i, 0)
		if s == nil || b.graph.Connectors[i].outputs() != 1 {
			continue
		}
		if other, double := b.byRoot[string(s)]; double {
			return fmt.Errorf("scripts: %s and %s pay to the same script: tell their txids", b.graph.Transactions[other].Name, b.graph.Transactions[tx].Name)
		}
		b.byRoot[string(s)] = tx
		return nil
	}
	return nil
}

func parseHash(text string) (chainhash.Hash, error) {
	var h chainhash.Hash
	if len(text) != chainhash.MaxHashStringSize {
		return h, fmt.Errorf("%d digits, must be %d", len(text), chainhash.MaxHashStringSize)
	}
	return h, chainhash.Decode(&h, text)
}

func parseOutpoint(text string) (wire.OutPoint, error) {
	id, index, ok := strings.Cut(text, ":")
	if !ok {
		return wire.OutPoint{}, errors.New("must be txid:index")
	}
	hash, err := parseHash(id)
	if err != nil {
		return wire.OutPoint{}, err
	}
	n, err := strconv.ParseUint(index, 10, 32)
	if err != nil {
		return wire.OutPoint{}, errors.New("must be txid:index")
	}
	return wire.OutPoint{Hash: hash, Index: uint32(n)}, nil
}
