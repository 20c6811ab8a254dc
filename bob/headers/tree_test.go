package headers

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// newTree returns a tree that begins with the genesis block.
func newTree(t testing.TB, p *header.Params, limits Limits) *Tree {
	t.Helper()
	tree, err := NewTree(p, Genesis(p), limits)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// mustAdd adds headers that are all new and valid.
func mustAdd(t testing.TB, tree *Tree, headers []header.Header) Change {
	t.Helper()
	change, err := tree.Add(headers, latest())
	if err != nil || change.Added != len(headers) {
		t.Fatalf("added %d of %d headers: %v", change.Added, len(headers), err)
	}
	return change
}

// TestTreeReorganises grows two branches past each other, and compares what the
// tree says of them with the chains as they were made.
func TestTreeReorganises(t *testing.T) {
	p := small(t, "main")
	tree := newTree(t, p, Limits{Depth: 100, Stale: 50})
	trunk := append([]header.Header{p.Genesis}, extend(t, p, []header.Header{p.Genesis}, 37, 600, 0)...)
	mustAdd(t, tree, trunk[1:])
	fork := tree.Tip()
	a := extend(t, p, trunk, 3, 600, 1)
	b := extend(t, p, trunk, 5, 600, 2) // across the retarget at 40, as a is not

	change := mustAdd(t, tree, a)
	if !change.Moved() || change.Depth() != 0 || change.Fork != fork || change.To.Hash != a[2].Hash() {
		t.Errorf("a branch on the tip: %+v", change)
	}
	change = mustAdd(t, tree, b[:3])
	if change.Moved() || tree.Tip().Hash != a[2].Hash() {
		t.Errorf("as much work, seen later: %+v", change)
	}
	change = mustAdd(t, tree, b[3:])
	if !change.Moved() || change.Fork != fork || change.Depth() != 3 || change.From.Hash != a[2].Hash() || change.To.Hash != b[4].Hash() {
		t.Errorf("a reorganisation: %+v", change)
	}
	if change, err := tree.Add(slices.Concat(a, b), latest()); err != nil || change.Added != 0 || change.Moved() {
		t.Errorf("known headers: %+v, %v", change, err)
	}

	best := slices.Concat(trunk, b)
	work := header.Work{}
	for i := range best {
		work = work.Add(best[i].Work())
		want := Node{Header: best[i], Hash: best[i].Hash(), Height: uint32(i), Work: work}
		if got, ok := tree.At(uint32(i)); !ok || got != want {
			t.Fatalf("at height %d: %+v, want %+v", i, got, want)
		}
		if got, ok := tree.Get(want.Hash); !ok || got != want || !tree.InBest(want.Hash) {
			t.Fatalf("%s: %+v, want %+v", want.Hash, got, want)
		}
		median, err := header.MedianTimePast(header.Chain(best), uint32(i))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := tree.MedianTimePast(want.Hash); !ok || got != median {
			t.Fatalf("median time past at height %d: %d, want %d", i, got, median)
		}
	}
	if _, ok := tree.At(uint32(len(best))); ok {
		t.Error("there is a header above the tip")
	}
	if tree.InBest(a[0].Hash()) {
		t.Error("the stale branch is in the best chain")
	}
	if got, ok := tree.Fork(a[2].Hash(), b[4].Hash()); !ok || got != fork {
		t.Errorf("fork: %+v, want %+v", got, fork)
	}
	if got, ok := tree.Fork(trunk[5].Hash(), a[2].Hash()); !ok || got.Hash != trunk[5].Hash() {
		t.Errorf("fork of a chain and its descendant: %+v", got)
	}
	if path, ok := tree.Path(fork.Hash, b[4].Hash()); !ok || string(Serialised(path)) != string(raw(b)) {
		t.Errorf("path: %d headers, %t", len(path), ok)
	}
	if _, ok := tree.Path(a[0].Hash(), b[4].Hash()); ok {
		t.Error("there is a path from one branch to the other")
	}
	branches := tree.Branches()
	if len(branches) != 2 || branches[0].Tip.Hash != b[4].Hash() || branches[0].Length != 0 ||
		branches[1].Tip.Hash != a[2].Hash() || branches[1].Fork != fork || branches[1].Length != 3 {
		t.Errorf("branches: %+v", branches)
	}
	if all, stale := tree.Len(); all != len(best)+3 || stale != 3 {
		t.Errorf("%d headers, %d of them stale", all, stale)
	}
}

// TestTreeRefuses adds headers that do not belong into a tree.
func TestTreeRefuses(t *testing.T) {
	p := small(t, "main")
	tree := newTree(t, p, Limits{Depth: 100, Stale: 50})
	chain := append([]header.Header{p.Genesis}, extend(t, p, []header.Header{p.Genesis}, 60, 600, 0)...)
	mustAdd(t, tree, chain[1:51])
	easy := build(chain[50], 4, chain[50].Time()+600, easyBits-1, 0)
	mine(t, p, &easy)
	unworked := build(chain[50], 4, chain[50].Time()+600, chain[50].Bits(), 0)
	for p.CheckProofOfWork(&unworked) == nil {
		unworked[76]++
	}
	noTarget := build(chain[50], 4, chain[50].Time()+600, 0, 0)
	for _, tt := range []struct {
		name string
		h    header.Header
		want error
	}{
		{"no work at all", noTarget, header.HighHash},
		{"not the work that it claims", unworked, header.HighHash},
		{"less work than the chain demands", easy, header.BadDiffBits},
		{"a parent that is not there", chain[52], ErrUnknownParent},
	} {
		before := tree.Tip()
		change, err := tree.Add([]header.Header{tt.h}, latest())
		if !errors.Is(err, tt.want) || change.Added != 0 || change.Moved() || tree.Tip() != before {
			t.Errorf("%s: %+v, %v; want %v", tt.name, change, err, tt.want)
		}
		if _, known := tree.Get(tt.h.Hash()); known {
			t.Errorf("%s: is in the tree", tt.name)
		}
	}
	// What comes before the wrong one is taken.
	change, err := tree.Add([]header.Header{chain[51], chain[52], unworked, chain[53]}, latest())
	if !errors.Is(err, header.HighHash) || change.Added != 2 || tree.Tip().Hash != chain[52].Hash() {
		t.Errorf("a batch with a wrong header: %+v, %v", change, err)
	}
}

// TestWorkBeyond96Bits begins a tree where the chain work of the main network left
// 96 bits, with which a bridge's node once stood still: the sum is exact, and more
// work is more.
func TestWorkBeyond96Bits(t *testing.T) {
	p := small(t, "main")
	for _, below := range []header.Work{
		{^uint64(0), 1<<32 - 1},                                  // 2^96 - 1
		{^uint64(0), ^uint64(0)},                                 // 2^128 - 1
		{^uint64(0), ^uint64(0), ^uint64(0)},                     // 2^192 - 1
		{^uint64(0) - 5, ^uint64(0), ^uint64(0), ^uint64(0) - 1}, // near the end
	} {
		tree, err := NewTree(p, Base{Work: below, Headers: []header.Header{p.Genesis}}, Limits{Depth: 100, Stale: 50})
		if err != nil {
			t.Fatal(err)
		}
		want := below
		for _, h := range extend(t, p, []header.Header{p.Genesis}, 10, 600, 0) {
			change := mustAdd(t, tree, []header.Header{h})
			want = want.Add(h.Work())
			if !change.Moved() || change.To.Work != want || want.Cmp(below) <= 0 {
				t.Fatalf("the work after %s is %s, want %s", below, change.To.Work, want)
			}
		}
	}
}

// TestTreeIsBounded adds a chain many times as long as the tree, with a stale branch
// every few headers: its memory stays what it was, and the rules hold.
func TestTreeIsBounded(t *testing.T) {
	p := small(t, "main")
	limits := Limits{Depth: 40, Stale: 12}
	tree := newTree(t, p, limits)
	chain := []header.Header{p.Genesis}
	for i := range uint32(400) {
		if i%7 == 3 {
			stale := extend(t, p, chain, int(1+i%3), 700, i+1)
			if _, err := tree.Add(stale[:1], latest()); err != nil {
				t.Fatal(err)
			}
		}
		if i%50 == 20 {
			// A branch of old: what it would need is gone, or it is stale.
			old := extend(t, p, chain[:len(chain)-15], 1, 650, i+1)
			if _, err := tree.Add(old, latest()); err != nil {
				t.Fatalf("a fork 15 deep: %v", err)
			}
		}
		next := extend(t, p, chain, 1, 600, 0)
		chain = append(chain, next...)
		if _, err := tree.Add(next, latest()); err != nil {
			t.Fatal(err)
		}
		if tree.Tip().Hash != next[0].Hash() {
			// The branch was first.
			if _, err := tree.Add(next, latest()); err != nil {
				t.Fatal(err)
			}
		}
		all, stale := tree.Len()
		if most := limits.Depth + limits.Depth/8 + limits.Stale; all > most || stale > limits.Stale {
			t.Fatalf("%d headers, %d stale", all, stale)
		}
		if cap(tree.nodes) != limits.Depth+limits.Depth/8+limits.Stale+1 {
			t.Fatalf("the tree has grown to %d nodes", cap(tree.nodes))
		}
		checkTree(t, tree)
	}
	if got := tree.Root().Height; got < 400-45-1 {
		t.Errorf("the root is still at %d", got)
	}
	// A fork at the root: what its rules need is gone.
	root := tree.Root().Height
	deep := extend(t, p, chain[:root+1], 1, 650, 9)
	if _, err := tree.Add(deep, latest()); !errors.Is(err, ErrTooDeep) {
		t.Errorf("a fork at the root: %v", err)
	}
	gone := extend(t, p, chain[:root-1], 1, 650, 9)
	if _, err := tree.Add(gone, latest()); !errors.Is(err, ErrUnknownParent) {
		t.Errorf("a fork below the root: %v", err)
	}
}

// checkTree fails if the tree's connections do not fit each other.
func checkTree(t testing.TB, tree *Tree) {
	t.Helper()
	children := make([]int32, len(tree.nodes))
	live := 0
	for i := range tree.nodes {
		n := &tree.nodes[i]
		if !n.live {
			continue
		}
		live++
		if tree.index[n.Hash] != int32(i) {
			t.Fatalf("node %d is not where the index says", i)
		}
		if n.parent == none {
			if int32(i) != tree.best[0] {
				t.Fatalf("node %d has no parent", i)
			}
			continue
		}
		parent := &tree.nodes[n.parent]
		children[n.parent]++
		if !parent.live || parent.Hash != n.Header.Prev() || parent.Height+1 != n.Height ||
			parent.Work.Add(n.Header.Work()) != n.Work {
			t.Fatalf("node %d does not follow its parent", i)
		}
		if n.Work.Cmp(tree.nodes[tree.tip()].Work) > 0 {
			t.Fatalf("node %d has more work than the tip", i)
		}
	}
	for i := range tree.nodes {
		if tree.nodes[i].children != children[i] {
			t.Fatalf("node %d counts %d children, has %d", i, tree.nodes[i].children, children[i])
		}
	}
	if live != len(tree.index) || live+len(tree.free) != len(tree.nodes) {
		t.Fatalf("%d nodes live, %d in the index, %d free of %d", live, len(tree.index), len(tree.free), len(tree.nodes))
	}
	for i, at := range tree.best {
		if i > 0 && tree.nodes[at].parent != tree.best[i-1] {
			t.Fatalf("the best chain breaks at %d", i)
		}
	}
}

// A branch that is longer than there is room for, and never the best, is refused,
// and those that it pushed out are the ones with less work.
func TestTreeStaleBranches(t *testing.T) {
	p := small(t, "main")
	tree := newTree(t, p, Limits{Depth: 100, Stale: 4})
	chain := append([]header.Header{p.Genesis}, extend(t, p, []header.Header{p.Genesis}, 30, 600, 0)...)
	mustAdd(t, tree, chain[1:])
	low := extend(t, p, chain[:21], 2, 600, 1)
	mustAdd(t, tree, low)
	long := extend(t, p, chain[:22], 8, 600, 2)
	change, err := tree.Add(long, latest())
	if !errors.Is(err, ErrTooManyStale) || change.Added != 4 {
		t.Errorf("added %d headers of a long branch: %v", change.Added, err)
	}
	if _, known := tree.Get(low[0].Hash()); known {
		t.Error("the branch with the least work is still there")
	}
	checkTree(t, tree)
}

// TestTreeBase begins a tree in the middle of a chain: it accepts what follows once
// the base reaches back to what the rules need, and not before.
func TestTreeBase(t *testing.T) {
	p := small(t, "main")
	chain := append([]header.Header{p.Genesis}, extend(t, p, []header.Header{p.Genesis}, 80, 600, 0)...)
	for _, tt := range []struct {
		from, to int
		want     error
	}{
		{0, 1, nil},
		{20, 31, nil}, // eleven, and the period's first
		{40, 60, nil}, // the next is a retarget
		{41, 60, ErrTooDeep},
		{21, 31, ErrTooDeep}, // ten
		{30, 45, nil},
	} {
		t.Run(fmt.Sprint(tt.from, tt.to), func(t *testing.T) {
			base := Base{Height: uint32(tt.from), Work: header.Work{1000}, Headers: chain[tt.from:tt.to]}
			tree, err := NewTree(p, base, Limits{Depth: 100, Stale: 4})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tree.Add(chain[tt.to:tt.to+1], latest()); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if _, known := tree.MedianTimePast(chain[tt.to-1].Hash()); known != (tt.from == 0 || tt.to-tt.from >= 11) {
				t.Errorf("the median time past of the last is known: %t", known)
			}
		})
	}
	for name, tt := range map[string]struct {
		base   Base
		limits Limits
	}{
		"no headers":         {Base{}, DefaultLimits()},
		"a gap":              {Base{Height: 3, Headers: []header.Header{chain[3], chain[5]}}, DefaultLimits()},
		"another genesis":    {Base{Headers: chain[3:4]}, DefaultLimits()},
		"too many":           {Base{Headers: chain}, Limits{Depth: 50, Stale: 1}},
		"too little depth":   {Genesis(p), Limits{Depth: 30, Stale: 1}},
		"no room for stales": {Genesis(p), Limits{Depth: 100}},
	} {
		if _, err := NewTree(p, tt.base, tt.limits); err == nil {
			t.Errorf("%s: made a tree", name)
		}
	}
}

func TestTreeAllocatesNothing(t *testing.T) {
	chain := load(t, "headers/mainnet_0_10236.bin.zst", "that a tree of headers allocates nothing")
	p := params(t, "main")
	now := latest()
	tree := newTree(t, p, DefaultLimits())
	next := 1
	allocs := testing.AllocsPerRun(99, func() {
		if _, err := tree.Add(chain[next:next+100], now); err != nil {
			t.Fatal(err)
		}
		next += 100
	})
	// hashlane's own memory is pooled, and may be taken away.
	if allocs > 10 {
		t.Errorf("%v allocations for 100 headers", allocs)
	}
}

// TestTreeConcurrently reads a tree while it grows and reorganises.
func TestTreeConcurrently(t *testing.T) {
	p := small(t, "main")
	tree := newTree(t, p, Limits{Depth: 40, Stale: 12})
	chain := append([]header.Header{p.Genesis}, extend(t, p, []header.Header{p.Genesis}, 120, 600, 0)...)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				tip := tree.Tip()
				tree.MedianTimePast(tip.Hash)
				tree.Fork(tip.Hash, tree.Root().Hash)
				tree.Branches()
			}
		})
	}
	for i := 1; i < len(chain); i++ {
		if _, err := tree.Add(chain[i:i+1], latest()); err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	readers.Wait()
}

// FuzzTree adds headers in any order, some of them spoilt: the tree stays whole and
// within its limits, and its tip has the most work.
func FuzzTree(f *testing.F) {
	p := small(f, "testnet4")
	trunk := append([]header.Header{p.Genesis}, extend(f, p, []header.Header{p.Genesis}, 60, 600, 0)...)
	all := slices.Clone(trunk)
	for i := range 12 {
		all = append(all, extend(f, p, trunk[:5*i+1], 6, uint32(500+100*(i%3)), uint32(i+1))...)
	}
	f.Add([]byte{1, 2, 3, 4, 5, 70, 71})
	var forwards []byte
	for i := range all {
		forwards = append(forwards, byte(i))
	}
	f.Add(forwards[:30])
	f.Add(forwards[50:80])
	f.Fuzz(func(t *testing.T, order []byte) {
		if len(order) > 200 {
			return
		}
		tree := newTree(t, p, Limits{Depth: 40, Stale: 8})
		for _, i := range order {
			h := all[int(i)%len(all)]
			if int(i) >= len(all) {
				h[i%header.Size] ^= 1 << (i % 8)
			}
			if _, err := tree.Add([]header.Header{h}, time.Unix(1<<32, 0)); err == nil {
				if n, ok := tree.Get(chainhash.Hash(h.Hash())); !ok || n.Header != h {
					t.Fatalf("header %d was added and is not there", i)
				}
			}
			checkTree(t, tree)
		}
	})
}
