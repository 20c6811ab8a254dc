package headers

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sigverify/hashlane"
)

// These are the errors of a Tree that say nothing about a header's validity.
var (
	// ErrUnknownParent: the header before is not in the tree.
	ErrUnknownParent = errors.New("the header before is not in the tree")
	// ErrTooDeep: the header forks off so far down that the tree does not
	// reach back to what its rules need.
	ErrTooDeep = errors.New("the header forks off below what the tree keeps")
	// ErrTooManyStale: a branch that is not the best has more headers than the
	// tree keeps of such.
	ErrTooManyStale = errors.New("the branch has more headers than the tree keeps of stale ones")
)

// A Node is a header in a Tree, and its place there.
type Node struct {
	Header header.Header
	Hash   chainhash.Hash
	Height uint32
	// Work is that of the chain that ends here.
	Work header.Work
}

// A Base is where a Tree begins: headers that are taken for valid, such as those
// that a node has in its best chain.
type Base struct {
	// Height and Work are the first header's: Work is that of the chain up to
	// and with it, as getblockheader's chainwork.
	Height uint32
	Work   header.Work
	// Headers are those of one chain. What follows them is only accepted where
	// they reach back to what the rules need: ten headers below the last, and
	// to the first of its period.
	Headers []header.Header
}

// Genesis returns the Base that is a network's genesis block.
func Genesis(p *header.Params) Base {
	return Base{Work: p.Genesis.Work(), Headers: []header.Header{p.Genesis}}
}

// Limits bound the memory of a Tree, of which some 250 bytes are for each header.
type Limits struct {
	// Depth is how many headers of the best chain are kept, at least; up to an
	// eighth more are. A reorganisation may be as deep, less a period.
	Depth int
	// Stale is how many headers off the best chain are kept, at most. Of more,
	// those go that end the branches with the least work.
	Stale int
}

// DefaultLimits keep two months of the best chain, enough for every rule of the
// relays, and as many stale headers as a period has.
func DefaultLimits() Limits { return Limits{Depth: 4 * 2016, Stale: 2016} }

// A Tree keeps the headers near the tip of the best chain, and the branches off
// it. The best chain is the one with the most work, and of equals the one that was
// seen first, as in Bitcoin Core. Every header in it is valid by the network's
// rules. It is safe for concurrent use.
type Tree struct {
	params *header.Params
	limits Limits

	// A plain mutex is not used because monitors, planner and tracer all read,
	// and only new blocks write.
	mu    sync.RWMutex
	nodes []node // all that there is memory for, from the start
	free  []int32
	index map[chainhash.Hash]int32
	// best are the nodes of the best chain, the root first.
	best []int32
	// run continues the best chain, if it is known.
	run   header.Run
	runAt int32 // the node it is at
	// path and keep are memory that calls use again.
	path []int32
	keep []verdict
	// bits and work are the last bits whose work was asked for, and that.
	bits uint32
	work header.Work
}

// A node is a Node with its connections: indices of Tree.nodes.
type node struct {
	Node
	parent   int32 // none for the root
	children int32 // how many
	live     bool
}

const none = -1

// NewTree returns a Tree that begins with base. It fails if the headers of base
// do not follow one another or lack proof of work, or if limits are too small for
// the rules or for base.
func NewTree(p *header.Params, base Base, limits Limits) (*Tree, error) {
	interval := int(p.Interval())
	switch {
	case limits.Depth < interval+medianSpan:
		return nil, fmt.Errorf("a depth of %d headers: the rules of network %s need %d", limits.Depth, p.Name, interval+medianSpan)
	case limits.Stale < 1:
		return nil, fmt.Errorf("room for %d stale headers: there must be some", limits.Stale)
	case len(base.Headers) == 0 || len(base.Headers) > limits.Depth:
		return nil, fmt.Errorf("a base of %d headers: it must have 1 to %d", len(base.Headers), limits.Depth)
	}
	room := limits.Depth + limits.Depth/8 + limits.Stale + 1
	t := &Tree{
		params: p,
		limits: limits,
		nodes:  make([]node, room),
		free:   make([]int32, room),
		index:  make(map[chainhash.Hash]int32, room),
		best:   make([]int32, 0, limits.Depth+limits.Depth/8+1),
		path:   make([]int32, 0, interval+medianSpan),
		keep:   make([]verdict, room),
	}
	for i := range t.free {
		t.free[i] = int32(room - 1 - i)
	}
	// The clock is the last header's own: base was valid in its time.
	latest := uint32(0)
	for i := range base.Headers {
		latest = max(latest, base.Headers[i].Time())
	}
	run := p.NewRun(base.Height)
	hashes := make([]chainhash.Hash, len(base.Headers))
	if _, _, err := Verify(&run, base.Headers, hashes, time.Unix(int64(latest), 0)); err != nil {
		return nil, fmt.Errorf("the tree's base: %w", err)
	}
	parent := int32(none)
	for i, h := range base.Headers {
		n := node{Node: Node{Header: h, Hash: hashes[i], Height: base.Height + uint32(i), Work: base.Work}, parent: parent}
		if parent != none {
			n.Work = t.nodes[parent].Work.Add(t.blockWork(&h))
		}
		parent = t.insert(n)
		t.best = append(t.best, parent)
	}
	t.run, t.runAt = run, parent
	return t, nil
}

// medianSpan is how many headers a median time past spans.
const medianSpan = 11

// A Change is what Add did.
type Change struct {
	// Added counts the headers that were not in the tree.
	Added int
	// From and To are the tips of the best chain before and after.
	From, To Node
	// Fork is the last header of the best chain that stayed in it all the time:
	// From, if nothing was reorganised away.
	Fork Node
}

// Moved reports whether the tip of the best chain is another one.
func (c *Change) Moved() bool { return c.From.Hash != c.To.Hash }

// Depth returns how many headers left the best chain.
func (c *Change) Depth() uint32 { return c.From.Height - c.Fork.Height }

// Add adds headers, each of which must come after its parent, in the tree or in
// headers. Those that are in the tree are skipped. It stops at the first that is
// not valid or that does not fit: the error is then ErrUnknownParent, or an *Error,
// whose Err is a *header.RuleError, ErrTooDeep or ErrTooManyStale; Change tells of
// those before. It allocates nothing unless it fails.
func (t *Tree) Add(headers []header.Header, now time.Time) (Change, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := t.nodes[t.tip()].Node
	change := Change{From: from, To: from, Fork: from}
	var err error
	var hashes [batch]chainhash.Hash
	for len(headers) > 0 && err == nil {
		next := headers[:min(batch, len(headers))]
		headers = headers[len(next):]
		hashlane.DoubleSum80(hashes[:len(next)], next)
		for i := range next {
			if _, known := t.index[hashes[i]]; known {
				continue
			}
			err = t.add(&next[i], &hashes[i], now, &change)
			if err != nil && mend(&hashes[i], &next[i]) {
				err = t.add(&next[i], &hashes[i], now, &change)
			}
			if err != nil {
				break
			}
			change.Added++
		}
	}
	change.To = t.nodes[t.tip()].Node
	return change, err
}

// add adds a header that is not in the tree.
func (t *Tree) add(h *header.Header, hash *chainhash.Hash, now time.Time, change *Change) error {
	parent, ok := t.index[h.Prev()]
	if !ok {
		return fmt.Errorf("header %s: %w", *hash, ErrUnknownParent)
	}
	run := t.run
	if t.runAt != parent {
		run = t.runTo(parent)
	}
	height := run.Height()
	left, err := run.Check(h, hash, now)
	switch {
	case err != nil:
		return &Error{Height: height, Hash: *hash, Err: err}
	case left != 0:
		return &Error{Height: height, Hash: *hash, Err: ErrTooDeep}
	}
	n := node{Node: Node{Header: *h, Hash: *hash, Height: height}, parent: parent}
	n.Work = t.nodes[parent].Work.Add(t.blockWork(h))
	heavier := n.Work.Cmp(t.nodes[t.tip()].Work) > 0
	if !heavier && !t.makeRoom(parent) {
		return &Error{Height: height, Hash: *hash, Err: ErrTooManyStale}
	}
	at := t.insert(n)
	t.run, t.runAt = run, at
	if heavier {
		t.setTip(at, change)
	}
	return nil
}

// tip returns the tip of the best chain.
func (t *Tree) tip() int32 { return t.best[len(t.best)-1] }

// root returns the first header that the tree has.
func (t *Tree) root() *node { return &t.nodes[t.best[0]] }

// insert takes a free node for n, of which there is one.
func (t *Tree) insert(n node) int32 {
	at := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	n.live = true
	t.nodes[at] = n
	t.index[n.Hash] = at
	if n.parent != none {
		t.nodes[n.parent].children++
	}
	return at
}

// remove frees a node without children.
func (t *Tree) remove(at int32) {
	n := &t.nodes[at]
	if n.parent != none {
		t.nodes[n.parent].children--
	}
	delete(t.index, n.Hash)
	*n = node{}
	t.free = append(t.free, at)
	if t.runAt == at {
		t.runAt = none
	}
}

// blockWork returns the work of h.
func (t *Tree) blockWork(h *header.Header) header.Work {
	if bits := h.Bits(); bits != t.bits {
		t.bits, t.work = bits, h.Work()
	}
	return t.work
}

// runTo returns a run whose last header is that of the node at. It reaches back
// as far as the rules for the next header need, or to the root.
func (t *Tree) runTo(at int32) header.Run {
	height := t.nodes[at].Height
	start := height - height%t.params.Interval()
	start = max(min(start, height-min(height, medianSpan-1)), t.root().Height)
	t.path = t.path[:0]
	for i := at; ; i = t.nodes[i].parent {
		t.path = append(t.path, i)
		if t.nodes[i].Height == start {
			break
		}
	}
	run := t.params.NewRun(start)
	for i := len(t.path) - 1; i >= 0; i-- {
		n := &t.nodes[t.path[i]]
		run.Trust(&n.Header, &n.Hash)
	}
	return run
}

// isBest reports whether the node is in the best chain.
func (t *Tree) isBest(at int32) bool {
	i := t.nodes[at].Height - t.root().Height
	return int(i) < len(t.best) && t.best[i] == at
}

// setTip makes the node, which has the most work, the tip of the best chain.
func (t *Tree) setTip(at int32, change *Change) {
	fork := at
	for !t.isBest(fork) {
		fork = t.nodes[fork].parent
	}
	if f := &t.nodes[fork]; f.Height < change.Fork.Height {
		change.Fork = f.Node
	}
	root := t.root().Height
	t.best = t.best[:t.nodes[fork].Height-root+1]
	for end := t.nodes[at].Height - root; len(t.best) <= int(end); {
		t.best = append(t.best, none)
	}
	for i := at; i != fork; i = t.nodes[i].parent {
		t.best[t.nodes[i].Height-root] = i
	}
	if len(t.best) > t.limits.Depth+t.limits.Depth/8 {
		t.prune()
	}
	// A reorganisation may leave a longer chain than the new one.
	for t.stale() > t.limits.Stale {
		t.makeRoom(none)
	}
}

// stale returns how many nodes are not in the best chain.
func (t *Tree) stale() int { return len(t.index) - len(t.best) }

// makeRoom sees to it that there is room for one more stale header, on top of the
// node parent; false if there is none without removing that.
func (t *Tree) makeRoom(parent int32) bool {
	for t.stale() >= t.limits.Stale {
		least := int32(none)
		for i := range t.nodes {
			n, at := &t.nodes[i], int32(i)
			if !n.live || n.children > 0 || at == t.tip() || at == parent {
				continue
			}
			if least == none || n.Work.Cmp(t.nodes[least].Work) < 0 {
				least = at
			}
		}
		if least == none {
			return false
		}
		t.remove(least)
	}
	return true
}

// A verdict is what prune decided about a node.
type verdict uint8

const (
	undecided verdict = iota
	kept
	dropped
)

// prune makes the header Depth below the tip the root, and removes all that do not
// descend from it. It takes as long as the tree is large, and happens once in
// Depth/8 headers.
func (t *Tree) prune() {
	gone := len(t.best) - t.limits.Depth
	clear(t.keep)
	for _, at := range t.best[:gone] {
		t.keep[at] = dropped
	}
	for _, at := range t.best[gone:] {
		t.keep[at] = kept
	}
	for i := range t.nodes {
		if !t.nodes[i].live {
			continue
		}
		// Up to an ancestor that is decided: every one is in the best chain at
		// last.
		t.path = t.path[:0]
		at := int32(i)
		for t.keep[at] == undecided {
			t.path = append(t.path, at)
			at = t.nodes[at].parent
		}
		for _, below := range t.path {
			t.keep[below] = t.keep[at]
		}
	}
	t.nodes[t.best[gone]].parent = none
	for i := range t.nodes {
		if t.nodes[i].live && t.keep[i] == dropped {
			// Its children go too, or it is the old root's chain: nobody is left
			// to be counted.
			t.nodes[i].parent = none
			t.remove(int32(i))
		}
	}
	t.best = append(t.best[:0], t.best[gone:]...)
}
