package opstack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
)

// genesis is the time of block 0 of the chain of these tests, which has a block each 2 s.
const genesis = 1_760_000_000

// blockAt returns the block at a height of a branch.
func blockAt(branch byte, number uint64) Ref {
	hash := func(n uint64) common.Hash {
		h := common.Hash{0: 0xb1, 1: branch}
		binary.BigEndian.PutUint64(h[24:], n)
		return h
	}
	return Ref{Hash: hash(number), Number: number, Parent: hash(number - 1), Time: genesis + 2*number}
}

// headsAt returns three heads of branch 0.
func headsAt(unsafe, safe, finalized uint64) Heads {
	return Heads{Unsafe: blockAt(0, unsafe), Safe: blockAt(0, safe), Finalized: blockAt(0, finalized)}
}

// timeOf returns when a block is made.
func timeOf(number uint64) time.Time { return time.Unix(int64(genesis+2*number), 0) }

// two are the usual two sources.
var two = map[string]Kind{"node": OpNode, "exec": Execution}

func track(t *testing.T, sources map[string]Kind) *Tracking {
	t.Helper()
	tr, err := NewTracking(HeadsConfig{Sources: sources}, timeOf(1000))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// kinds returns the kinds of faults, with their sources.
func kinds(st State) []string {
	var all []string
	for _, f := range st.Faults {
		all = append(all, f.Source+":"+string(f.Kind)+":"+f.Head.String())
	}
	return all
}

// A step is a report and what is to be seen after it.
type step struct {
	source  string
	at      uint64 // the block that is made then
	heads   Heads
	syncing bool
	err     error
	// unsafe is the height of the unsafe head after it, 0 for none; faults are what is
	// wrong.
	unsafe uint64
	faults []string
}

func TestTracking(t *testing.T) {
	h := func(n uint64) Heads { return headsAt(n, 900, 800) }
	fork := func(n uint64) Heads {
		heads := h(n)
		heads[Unsafe] = blockAt(1, n)
		return heads
	}
	final := func(n uint64, branch byte) Heads {
		heads := headsAt(1002, 900, n)
		heads[Finalized] = blockAt(branch, n)
		return heads
	}
	lone := []string{":lone:unsafe", ":lone:safe", ":lone:finalized"}
	down := errors.New("connection refused")
	for _, tt := range []struct {
		name    string
		sources map[string]Kind
		steps   []step
	}{
		{"two agree", two, []step{
			{source: "node", at: 1000, heads: h(1000), unsafe: 1000, faults: lone},
			{source: "exec", at: 1000, heads: h(1000), unsafe: 1000},
			{source: "node", at: 1001, heads: h(1001), unsafe: 1000},
			{source: "exec", at: 1001, heads: h(1001), unsafe: 1001},
		}},
		{"one does not answer", two, []step{
			{source: "node", at: 1000, heads: h(1000), unsafe: 1000, faults: lone},
			{source: "exec", at: 1000, heads: h(1000), unsafe: 1000},
			{source: "exec", at: 1001, err: down, unsafe: 1000},
			{source: "node", at: 1005, heads: h(1005), unsafe: 1000},
			// After 15 seconds the other's answer is too old.
			{source: "node", at: 1008, heads: h(1008), unsafe: 1008, faults: append(slices.Clone(lone), "exec:silent:unsafe")},
		}},
		{"nobody began", two, []step{
			{source: "node", at: 1000, heads: Heads{}, faults: []string{"node:unstarted:unsafe"}},
			{source: "exec", at: 1009, err: down, faults: []string{"exec:silent:unsafe", "node:unstarted:unsafe"}},
		}},
		{"a reading that was interrupted", two, []step{
			{source: "node", at: 1000, heads: h(1000), unsafe: 1000, faults: lone},
			{source: "exec", at: 1000, heads: h(1000), unsafe: 1000},
			{source: "node", at: 1001, heads: headsAt(1001, 1002, 800), unsafe: 1000, faults: []string{"node:unordered:safe"}},
			{source: "node", at: 1001, heads: headsAt(1001, 900, 901), unsafe: 1000, faults: []string{"node:unordered:finalized"}},
		}},
		{"a cache answers again", two, []step{
			{source: "node", at: 1000, heads: h(1000), unsafe: 1000, faults: lone},
			{source: "exec", at: 1000, heads: h(1000), unsafe: 1000},
			{source: "node", at: 1002, heads: h(1002), unsafe: 1000},
			{source: "exec", at: 1002, heads: h(1002), unsafe: 1002},
			{source: "node", at: 1003, heads: h(1000), unsafe: 1002, faults: []string{"node:stale:unsafe"}},
			{source: "node", at: 1004, heads: h(1004), unsafe: 1002},
			// A height of zero, as some balancers have answered.
			{source: "exec", at: 1004, heads: Heads{Unsafe: blockAt(0, 0)}, unsafe: 1002, faults: []string{"exec:stale:unsafe"}},
			{source: "exec", at: 1004, heads: h(1004), unsafe: 1004},
		}},
		{"a cache stands still", two, []step{
			{source: "node", at: 1000, heads: h(1000), unsafe: 1000, faults: lone},
			{source: "exec", at: 1000, heads: h(1000), unsafe: 1000},
			{source: "node", at: 1002, heads: h(1000), unsafe: 1000},
			{source: "exec", at: 1002, heads: h(1002), unsafe: 1000},
			{source: "exec", at: 1003, heads: h(1003), unsafe: 1000},
			{source: "node", at: 1003, heads: h(1000), unsafe: 1003, faults: append(slices.Clone(lone), "node:stale:unsafe")},
		}},
		{"the node names a target", two, []step{
			{source: "exec", at: 5000, heads: h(1000), unsafe: 1000, faults: append(slices.Clone(lone), ":late:unsafe", ":late:finalized", ":late:safe", "node:silent:unsafe")},
			{source: "node", at: 5000, heads: h(5000), unsafe: 1000, faults: []string{":late:unsafe", ":late:finalized", ":late:safe", ":lone:unsafe", "node:sync-target:unsafe"}},
		}},
		{"the node names a target, and the client stands", two, []step{
			{source: "exec", at: 1000, heads: h(1000), unsafe: 1000, faults: lone},
			{source: "node", at: 1000, heads: h(1000), unsafe: 1000},
			{source: "node", at: 1003, heads: h(1003), unsafe: 1000},
			{source: "exec", at: 1003, heads: h(1000), unsafe: 1000, faults: []string{":lone:unsafe", "exec:stale:unsafe", "node:sync-target:unsafe"}},
		}},
		{"the client names a target", two, []step{
			{source: "node", at: 1000, heads: h(1000), unsafe: 1000, faults: lone},
			{source: "exec", at: 1000, heads: h(1000), syncing: true, unsafe: 1000, faults: append(slices.Clone(lone), "exec:sync-target:unsafe")},
		}},
		{"a head of the future", two, []step{
			{source: "node", at: 1000, heads: h(1004), faults: []string{"node:future:unsafe"}},
		}},
		{"a reorganisation is no fault", two, []step{
			{source: "node", at: 1002, heads: h(1002), unsafe: 1002, faults: lone},
			{source: "exec", at: 1002, heads: h(1002), unsafe: 1002},
			{source: "node", at: 1002, heads: fork(1001), unsafe: 1002, faults: []string{":lone:unsafe", "exec:disagree:unsafe"}},
			{source: "exec", at: 1002, heads: fork(1001), unsafe: 1001},
			{source: "node", at: 1003, heads: fork(1003), unsafe: 1001},
			{source: "exec", at: 1003, heads: fork(1003), unsafe: 1003},
		}},
		{"what was final changes", map[string]Kind{"a": Execution, "b": Execution}, []step{
			{source: "a", at: 1002, heads: final(800, 0), unsafe: 1002, faults: lone},
			{source: "b", at: 1002, heads: final(800, 0), unsafe: 1002},
			{source: "a", at: 1002, heads: final(800, 1), unsafe: 1002, faults: []string{"a:finalized-changed:finalized"}},
			{source: "a", at: 1003, heads: final(800, 0), unsafe: 1002},
		}},
		{"three of which one is on another branch", map[string]Kind{"a": Execution, "b": Execution, "c": Execution}, []step{
			{source: "a", at: 1002, heads: fork(1002), unsafe: 1002, faults: lone},
			{source: "b", at: 1002, heads: h(1001), unsafe: 1002, faults: []string{":lone:unsafe", "a:disagree:unsafe"}},
			{source: "c", at: 1002, heads: h(1002), unsafe: 1001, faults: []string{"a:disagree:unsafe", "a:disagree:unsafe"}},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := track(t, tt.sources)
			for i, s := range tt.steps {
				tr.Observe(Report{Source: s.source, At: timeOf(s.at), Heads: s.heads, Syncing: s.syncing, Err: s.err})
				st := tr.State(timeOf(s.at))
				got := kinds(st)
				slices.Sort(got)
				want := slices.Clone(s.faults)
				slices.Sort(want)
				if !slices.Equal(got, want) || st.Heads[Unsafe].Number != s.unsafe {
					t.Errorf("step %d: unsafe head %d, want %d; faults %q, want %q", i, st.Heads[Unsafe].Number, s.unsafe, got, want)
				}
			}
		})
	}
}

// Whoever stays back is believed when the last good answer is too old.
func TestTrackingGoesBack(t *testing.T) {
	tr := track(t, map[string]Kind{"node": OpNode})
	tr.Observe(Report{Source: "node", At: timeOf(1000), Heads: headsAt(1000, 900, 800)})
	for n := uint64(1001); n <= 1020; n++ {
		tr.Observe(Report{Source: "node", At: timeOf(n), Heads: headsAt(950, 900, 800)})
		st := tr.State(timeOf(n))
		stale := slices.Contains(kinds(st), "node:stale:unsafe")
		if back := n > 1007; back == stale || back != (st.Heads[Unsafe].Number == 950) {
			t.Errorf("at block %d: unsafe head %d, faults %v", n, st.Heads[Unsafe].Number, st.Faults)
		}
	}
}

// What two sources called final stays final, and one that has another block there is
// named for as long as it has.
func TestTrackingKeepsFinal(t *testing.T) {
	tr := track(t, two)
	see := func(source string, at uint64, h Heads) State {
		tr.Observe(Report{Source: source, At: timeOf(at), Heads: h})
		return tr.State(timeOf(at))
	}
	see("node", 1000, headsAt(1000, 900, 800))
	if st := see("exec", 1000, headsAt(1000, 900, 800)); st.Heads[Finalized].Number != 800 || st.Heads[Finalized].Sources != 2 {
		t.Errorf("finalized: %+v", st.Heads[Finalized])
	}
	// Both restart, long after, with older heads.
	see("node", 1100, headsAt(1100, 700, 600))
	if st := see("exec", 1100, headsAt(1100, 700, 600)); st.Heads[Finalized].Number != 800 {
		t.Errorf("finalized went back: %+v", st.Heads[Finalized])
	}
	other := headsAt(1200, 850, 800)
	other[Finalized] = blockAt(1, 800)
	st := see("exec", 1200, other)
	if !slices.Contains(kinds(st), "exec:finalized-changed:finalized") || st.Heads[Finalized].Hash != blockAt(0, 800).Hash {
		t.Errorf("finalized: %+v, %v", st.Heads[Finalized], st.Faults)
	}
}

func TestTrackingLags(t *testing.T) {
	tr := track(t, map[string]Kind{"a": Execution, "b": Execution})
	h := headsAt(10_000, 10_000-2251, 10_000-3601)
	for _, s := range []string{"a", "b"} {
		tr.Observe(Report{Source: s, At: timeOf(10_000), Heads: h})
	}
	st := tr.State(timeOf(10_000))
	if got := kinds(st); !slices.Equal(got, []string{":late:safe", ":late:finalized"}) {
		t.Errorf("faults %q", got)
	}
	if lag := st.Heads[Safe].Lag; lag != 4502*time.Second {
		t.Errorf("the safe head is %v old", lag)
	}
	if st = tr.State(timeOf(10_000).Add(14 * time.Second)); len(kinds(st)) != 2 {
		t.Errorf("faults after 14 s: %v", st.Faults)
	}
}

// Random reports: the finalized head never goes back, a head is one that a source named,
// and two sources that say the truth are never called faulty.
func TestTrackingRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	tr := track(t, map[string]Kind{"a": OpNode, "b": Execution, "liar": Execution})
	var final uint64
	for n := uint64(1000); n < 3000; n++ {
		for _, s := range []string{"a", "b", "liar"} {
			h := headsAt(n-rng.Uint64N(2), n-100, n-200)
			if s == "liar" {
				h = headsAt(rng.Uint64N(2*n)+1, rng.Uint64N(n)+1, rng.Uint64N(n)+1)
				for l := range labels {
					if rng.IntN(2) == 0 {
						h[l] = blockAt(byte(rng.IntN(3)), h[l].Number)
					}
				}
			}
			tr.Observe(Report{Source: s, At: timeOf(n), Heads: h})
		}
		st := tr.State(timeOf(n))
		if st.Heads[Finalized].Number < final {
			t.Fatalf("seed %d: the finalized head went back from %d to %d", seed, final, st.Heads[Finalized].Number)
		}
		final = st.Heads[Finalized].Number
		for _, f := range st.Faults {
			if (f.Source == "a" || f.Source == "b") && f.Kind != Disagree && f.Kind != Stale {
				t.Fatalf("seed %d, block %d: %v", seed, n, f)
			}
		}
		if got := st.Heads[Unsafe]; got.Number < n-1 && got.Sources > 1 {
			t.Fatalf("seed %d, block %d: unsafe head %+v, faults %v", seed, n, got, st.Faults)
		}
	}
}

func TestNewTracking(t *testing.T) {
	for _, cfg := range []HeadsConfig{{}, {Sources: map[string]Kind{"a": 0}}} {
		if _, err := NewTracking(cfg, timeOf(0)); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a source that is none may report")
		}
	}()
	track(t, two).Observe(Report{Source: "other"})
}

func TestFaultString(t *testing.T) {
	if got := fmt.Sprint(Fault{Stale, "node", Safe, "it stands"}, Fault{Late, "", Unsafe, "it is old"}); got !=
		"node: safe head stale: it stands unsafe head late: it is old" {
		t.Error(got)
	}
}
