package headers

import (
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// Tip returns the tip of the best chain.
func (t *Tree) Tip() Node {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.nodes[t.tip()].Node
}

// Root returns the lowest header that the tree has; every other one descends
// from it. It moves up with the tip.
func (t *Tree) Root() Node {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.root().Node
}

// Len returns how many headers the tree has, and how many of them are off the best
// chain.
func (t *Tree) Len() (all, stale int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.index), t.stale()
}

// Get returns the header with this hash; false if the tree does not have it.
func (t *Tree) Get(hash chainhash.Hash) (Node, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	at, ok := t.index[hash]
	if !ok {
		return Node{}, false
	}
	return t.nodes[at].Node, true
}

// At returns the header at height in the best chain; false below the root and above
// the tip.
func (t *Tree) At(height uint32) (Node, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i := int64(height) - int64(t.root().Height)
	if i < 0 || i >= int64(len(t.best)) {
		return Node{}, false
	}
	return t.nodes[t.best[i]].Node, true
}

// InBest reports whether the header with this hash is in the best chain; false if
// the tree does not have it.
func (t *Tree) InBest(hash chainhash.Hash) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	at, ok := t.index[hash]
	return ok && t.isBest(at)
}

// Fork returns the highest header that both chains have, of those that end in a and
// b; false if the tree does not have these.
func (t *Tree) Fork(a, b chainhash.Hash) (Node, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	x, knownA := t.index[a]
	y, knownB := t.index[b]
	if !knownA || !knownB {
		return Node{}, false
	}
	return t.nodes[t.fork(x, y)].Node, true
}

// fork returns the highest common ancestor of two nodes.
func (t *Tree) fork(x, y int32) int32 {
	for x != y {
		if t.nodes[x].Height >= t.nodes[y].Height {
			x = t.nodes[x].parent
		} else {
			y = t.nodes[y].parent
		}
	}
	return x
}

// Path returns the headers after the one with hash from, up to and with the one
// with hash to, lowest first. It is false if from is not to or one of the headers
// below it, or the tree does not have both.
func (t *Tree) Path(from, to chainhash.Hash) ([]Node, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	x, knownFrom := t.index[from]
	y, knownTo := t.index[to]
	if !knownFrom || !knownTo || t.nodes[x].Height > t.nodes[y].Height {
		return nil, false
	}
	path := make([]Node, 0, t.nodes[y].Height-t.nodes[x].Height)
	for t.nodes[y].Height > t.nodes[x].Height {
		path = append(path, t.nodes[y].Node)
		y = t.nodes[y].parent
	}
	slices.Reverse(path)
	return path, x == y
}

// MedianTimePast returns the median time past of the header with this hash; false
// if the tree does not have it, or not enough headers below it.
func (t *Tree) MedianTimePast(hash chainhash.Hash) (uint32, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	at, ok := t.index[hash]
	if !ok {
		return 0, false
	}
	var times [medianSpan]uint32
	n := 0
	for ; n < len(times) && at != none; n++ {
		times[n] = t.nodes[at].Header.Time()
		at = t.nodes[at].parent
	}
	if n < len(times) && t.root().Height > 0 {
		return 0, false
	}
	slices.Sort(times[:n])
	return times[n/2], true
}

// A Branch is a chain of the tree by its tip, as one of getchaintips.
type Branch struct {
	Tip Node
	// Fork is the last header that the branch has in common with the best chain,
	// and Length how many it has after that: 0 for the best chain itself.
	Fork   Node
	Length uint32
}

// Branches returns the best chain, and then every branch off it, that with the most
// work first.
func (t *Tree) Branches() []Branch {
	t.mu.RLock()
	defer t.mu.RUnlock()
	tip := t.nodes[t.tip()].Node
	branches := []Branch{{Tip: tip, Fork: tip}}
	for i := range t.nodes {
		n := &t.nodes[i]
		if !n.live || n.children > 0 || int32(i) == t.tip() {
			continue
		}
		fork := int32(i)
		for !t.isBest(fork) {
			fork = t.nodes[fork].parent
		}
		f := t.nodes[fork].Node
		branches = append(branches, Branch{Tip: n.Node, Fork: f, Length: n.Height - f.Height})
	}
	slices.SortStableFunc(branches[1:], func(a, b Branch) int { return b.Tip.Work.Cmp(a.Tip.Work) })
	return branches
}

// Serialised returns the headers of nodes, 80 bytes each, as the relays want them.
func Serialised(nodes []Node) []byte {
	data := make([]byte, 0, len(nodes)*header.Size)
	for i := range nodes {
		data = append(data, nodes[i].Header[:]...)
	}
	return data
}
