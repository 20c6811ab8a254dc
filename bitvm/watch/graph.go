package watch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
)

// GraphVersion is the version of descriptions that is read here.
const GraphVersion = 1

// Bounds of a description. BitVM2 has 16 connectors, one of 300 outputs.
const (
	MaxGraph       = 1 << 20 // bytes
	maxNodes       = 1024    // connectors, transactions
	maxLeaves      = 1024    // of a connector
	maxCount       = 4096    // outputs of a connector, scripts of a leaf, inputs of a transaction
	maxOutputs     = 100_000 // of all connectors together
	maxText        = 1024    // bytes of an explanation
	maxLockInBIP68 = 0xffff  // blocks
)

// A Graph describes the transactions of a bridge. It is not changed any more once it is
// decoded or checked.
type Graph struct {
	Version int    `json:"version"`
	Name    string `json:"name"`
	About   string `json:"about,omitempty"`
	// Claimant is the role that claims money, and against whom the others act.
	Claimant     string        `json:"claimant"`
	Connectors   []Connector   `json:"connectors"`
	Transactions []Transaction `json:"transactions"`
	Claims       []Claim       `json:"claims,omitempty"`

	index *graphIndex // by check
}

// A Connector is an output, or a row of outputs alike, that joins transactions.
type Connector struct {
	Name string `json:"name"`
	// Count is how many outputs it has; 0 is one.
	Count  int    `json:"count,omitempty"`
	About  string `json:"about,omitempty"`
	Leaves []Leaf `json:"leaves"`
}

// A Leaf is a way to spend a connector: a script, a family of scripts that mean the same,
// or the key path.
type Leaf struct {
	Name string `json:"name"`
	// By says who signs, or holds what the script asks for.
	By string `json:"by"`
	// Key says that it is the key path of a taproot output.
	Key bool `json:"key,omitempty"`
	// Count is of how many scripts the family is; 0 is one.
	Count int `json:"count,omitempty"`
	// Lock is the relative lock (BIP68, BIP112), in blocks.
	Lock Blocks `json:"csv,omitzero"`
	// Absolute says that the script has an absolute lock too (BIP65), which the
	// description does not know.
	Absolute bool   `json:"cltv,omitempty"`
	Means    string `json:"means,omitempty"`
}

// Blocks is a lock as numbers of blocks: on mainnet, and on all networks for tests.
type Blocks struct {
	Main uint32 `json:"main"`
	Test uint32 `json:"test"`
}

// On returns the lock on a network, by Bitcoin Core's name of the chain.
func (b Blocks) On(network string) uint32 {
	if network == "main" {
		return b.Main
	}
	return b.Test
}

// An Outcome is what a transaction means for the claimant.
type Outcome string

// The outcomes; most transactions have none.
const (
	Paid     Outcome = "paid"     // the claimant has the money
	Punished Outcome = "punished" // the claimant lost the stake, or the way to the money
	Refunded Outcome = "refunded" // who put the money in has it again
)

// A Transaction is one of a graph.
type Transaction struct {
	Name string `json:"name"`
	// By is the role that gains by it and sends it.
	By    string `json:"by"`
	Means string `json:"means,omitempty"`
	// Inputs and Outputs are in the order of the transaction's. One without inputs is
	// a root: it is found by its id, or by what it pays to.
	Inputs  []Input  `json:"inputs,omitempty"`
	Outputs []Output `json:"outputs,omitempty"`
	// Open says that inputs and outputs may follow those that are told, because
	// signatures do not cover them.
	Open bool `json:"open,omitempty"`
	// Weight is how heavy it may get, in weight units; 0 is light.
	Weight  int64   `json:"weight,omitempty"`
	Outcome Outcome `json:"outcome,omitempty"`
}

// An Input spends all outputs of a connector by one leaf.
type Input struct {
	Connector string `json:"connector"`
	Leaf      string `json:"leaf"`
}

// An Output is all outputs of a connector, or one output that the graph ends with.
type Output struct {
	Connector string `json:"connector,omitempty"`
	To        string `json:"to,omitempty"`
}

// A Claim is what the witnesses of some transactions say together, which a [Judge] judges.
type Claim struct {
	Name string `json:"name"`
	// Commits are the transactions whose witnesses carry it, and Answers those by
	// which others answer one that is false.
	Commits []string `json:"commits"`
	Answers []string `json:"answers"`
}

// graphIndex has the places of names.
type graphIndex struct {
	connectors, transactions map[string]int
	maker                    []int   // of a connector: the transaction, or -1
	spenders                 [][]int // of a connector
	order                    []int   // transactions, each behind those that it spends
	rivals                   [][]int // of a transaction
}

// DecodeGraph reads a description. It takes no field that it does not know and nothing
// behind the description. The error says what is wrong, all of it where that can be told.
func DecodeGraph(data []byte) (*Graph, error) {
	if len(data) > MaxGraph {
		return nil, fmt.Errorf("watch: a description of %d bytes, at most %d are read", len(data), MaxGraph)
	}
	g := new(Graph)
	if err := decodeStrictly(data, g); err != nil {
		return nil, fmt.Errorf("watch: graph: %w", err)
	}
	if err := g.check(); err != nil {
		return nil, fmt.Errorf("watch: graph %q: %w", g.Name, err)
	}
	return g, nil
}

func decodeStrictly(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows its end")
	}
	return nil
}

// name is what names look like.
var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// check reports what is wrong, and fills the index.
func (g *Graph) check() error {
	if g.Version != GraphVersion {
		return fmt.Errorf("version %d, only %d is known", g.Version, GraphVersion)
	}
	if len(g.Connectors) > maxNodes || len(g.Transactions) > maxNodes || len(g.Claims) > maxNodes {
		return fmt.Errorf("more than %d connectors, transactions or claims", maxNodes)
	}
	var errs []error
	complain := func(format string, args ...any) {
		if len(errs) < 100 {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	named := func(what, s string) {
		if !name.MatchString(s) {
			complain("%s: %q is no name: letters, digits and _.- are, up to 64", what, s)
		}
	}
	explained := func(what, s string) {
		if len(s) > maxText {
			complain("%s: explained in %d bytes, at most %d are allowed", what, len(s), maxText)
		}
	}
	named("name", g.Name)
	named("claimant", g.Claimant)
	explained("about", g.About)
	ix := &graphIndex{
		connectors: make(map[string]int), transactions: make(map[string]int),
		maker: make([]int, len(g.Connectors)), spenders: make([][]int, len(g.Connectors)),
	}
	outputs := 0
	for i := range g.Connectors {
		c := &g.Connectors[i]
		what := "connector " + c.Name
		named("connector", c.Name)
		explained(what, c.About)
		if _, double := ix.connectors[c.Name]; double {
			complain("%s is there twice", what)
		}
		ix.connectors[c.Name], ix.maker[i] = i, -1
		if c.Count < 0 || c.Count > maxCount {
			complain("%s has %d outputs, at most %d are allowed", what, c.Count, maxCount)
		} else if outputs += max(c.Count, 1); outputs > maxOutputs {
			return fmt.Errorf("the connectors have more than %d outputs", maxOutputs)
		}
		if len(c.Leaves) > maxLeaves {
			complain("%s has %d leaves, at most %d are allowed", what, len(c.Leaves), maxLeaves)
			continue
		}
		for j, l := range c.Leaves {
			named(what+": leaf", l.Name)
			named(what+": leaf "+l.Name+": by", l.By)
			explained(what+": leaf "+l.Name, l.Means)
			if l.Count < 0 || l.Count > maxCount || l.Key && (l.Count > 1 || l.Lock != Blocks{} || l.Absolute) {
				complain("%s: leaf %s: %d scripts; at most %d are allowed, and the key path has neither scripts nor locks", what, l.Name, l.Count, maxCount)
			}
			for _, other := range c.Leaves[:j] {
				if other.Name == l.Name || other.Key && l.Key {
					complain("%s: leaf %s is there twice", what, l.Name)
				}
			}
		}
	}
	for i := range g.Transactions {
		t := &g.Transactions[i]
		what := "transaction " + t.Name
		named("transaction", t.Name)
		named(what+": by", t.By)
		explained(what, t.Means)
		if _, double := ix.transactions[t.Name]; double {
			complain("%s is there twice", what)
		}
		ix.transactions[t.Name] = i
		if t.Weight < 0 {
			complain("%s: weight %d", what, t.Weight)
		}
		switch t.Outcome {
		case "", Paid, Punished, Refunded:
		default:
			complain("%s: there is no outcome %q", what, t.Outcome)
		}
		if len(t.Inputs) > maxCount || len(t.Outputs) > maxCount {
			complain("%s has more than %d inputs or outputs", what, maxCount)
			continue
		}
		for _, in := range t.Inputs {
			at, ok := ix.connectors[in.Connector]
			if !ok || g.Connectors[at].leaf(in.Leaf) < 0 {
				complain("%s spends %s by leaf %q, which is not there", what, in.Connector, in.Leaf)
			} else if slices.Contains(ix.spenders[at], i) {
				complain("%s spends %s twice", what, in.Connector)
			} else {
				ix.spenders[at] = append(ix.spenders[at], i)
			}
		}
		for _, out := range t.Outputs {
			switch at, ok := ix.connectors[out.Connector]; {
			case out.Connector == "":
				named(what+": output to", out.To)
			case out.To != "":
				complain("%s: an output is connector %s, and ends at %s", what, out.Connector, out.To)
			case !ok:
				complain("%s makes connector %s, which is not there", what, out.Connector)
			case ix.maker[at] >= 0:
				complain("%s makes connector %s, which %s makes", what, out.Connector, g.Transactions[ix.maker[at]].Name)
			default:
				ix.maker[at] = i
			}
		}
	}
	for _, c := range g.Claims {
		named("claim", c.Name)
		if len(c.Commits) == 0 || len(c.Commits)+len(c.Answers) > maxNodes {
			complain("claim %s has %d commits and %d answers", c.Name, len(c.Commits), len(c.Answers))
			continue
		}
		for _, t := range slices.Concat(c.Commits, c.Answers) {
			if _, ok := ix.transactions[t]; !ok {
				complain("claim %s is of transaction %q, which is not there", c.Name, t)
			}
		}
	}
	if len(errs) == 0 && !ix.sort(g) {
		complain("transactions spend each other in a circle")
	}
	if len(errs) == 0 {
		ix.exclude(g)
	}
	g.index = ix
	return errors.Join(errs...)
}

// sort puts each transaction behind those that it spends. It returns false if there is a
// circle.
func (ix *graphIndex) sort(g *Graph) bool {
	waits := make([]int, len(g.Transactions))
	var ready []int
	for i, t := range g.Transactions {
		for _, in := range t.Inputs {
			if ix.maker[ix.connectors[in.Connector]] >= 0 {
				waits[i]++
			}
		}
		if waits[i] == 0 {
			ready = append(ready, i)
		}
	}
	for len(ready) > 0 {
		i := ready[0]
		ready, ix.order = ready[1:], append(ix.order, i)
		for _, out := range g.Transactions[i].Outputs {
			if out.Connector == "" {
				continue
			}
			for _, s := range ix.spenders[ix.connectors[out.Connector]] {
				if waits[s]--; waits[s] == 0 {
					ready = append(ready, s)
				}
			}
		}
	}
	return len(ix.order) == len(g.Transactions)
}

// leaf returns the place of a leaf, or -1.
func (c *Connector) leaf(name string) int {
	return slices.IndexFunc(c.Leaves, func(l Leaf) bool { return l.Name == name })
}

// outputs returns how many outputs the connector has.
func (c *Connector) outputs() int { return max(c.Count, 1) }

// connector returns a connector's place; it is there.
func (g *Graph) connector(name string) int { return g.index.connectors[name] }

// transaction returns a transaction's place; it is there.
func (g *Graph) transaction(name string) int { return g.index.transactions[name] }

// input returns the connector and the leaf that an input names.
func (g *Graph) input(in Input) (*Connector, *Leaf) {
	c := &g.Connectors[g.connector(in.Connector)]
	return c, &c.Leaves[c.leaf(in.Leaf)]
}

// leafIn returns the leaf by which a transaction spends a connector, which it does.
func (g *Graph) leafIn(tx, connector int) *Leaf {
	for _, in := range g.Transactions[tx].Inputs {
		if g.connector(in.Connector) == connector {
			_, l := g.input(in)
			return l
		}
	}
	panic("watch: the transaction does not spend the connector")
}

// rivals returns the transactions that spend a connector that tx spends, but for tx. The
// list is the graph's own.
func (g *Graph) rivals(tx int) []int { return g.index.rivals[tx] }

// exclude finds each transaction's rivals.
func (ix *graphIndex) exclude(g *Graph) {
	ix.rivals = make([][]int, len(g.Transactions))
	for tx := range g.Transactions {
		is := make([]bool, len(g.Transactions))
		is[tx] = true
		for _, in := range g.Transactions[tx].Inputs {
			for _, other := range ix.spenders[ix.connectors[in.Connector]] {
				if !is[other] {
					is[other] = true
					ix.rivals[tx] = append(ix.rivals[tx], other)
				}
			}
		}
	}
}
