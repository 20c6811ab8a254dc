package watch_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/outrider-project/outrider/bitvm/watch"
	"github.com/outrider-project/outrider/bitvm/watch/watchtest"
)

// The end of the process at any byte of the journal: what was written whole is there
// again, the rest is looked at again, and the events have the same numbers.
func TestKilledAtAnyByte(t *testing.T) {
	dir := t.TempDir()
	j := disprovable()
	s := newScene(t, watchtest.Small(), watch.Options{Dir: dir, Judge: j})
	s.claimed()
	s.mine("disprove")
	want := s.w.Events("one", 0)
	path := filepath.Join(dir, "one.journal")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var ends []int
	for i, c := range whole {
		if c == '\n' {
			ends = append(ends, i, i+1)
		}
	}
	for range 20 {
		ends = append(ends, rand.IntN(len(whole)))
	}
	in := s.bridge.Instance(first)
	for _, end := range append(ends, 0, 1) {
		cut := t.TempDir()
		torn := whole[:end]
		if end%3 == 0 && end > 0 {
			torn = bytes.Clone(torn)
			torn[end-1] ^= 1 // the disk wrote something else
		}
		if err := os.WriteFile(filepath.Join(cut, "one.journal"), torn, 0o600); err != nil {
			t.Fatal(err)
		}
		w := watch.New(watch.Options{Dir: cut, Judge: j})
		if err := w.Add(in); err != nil {
			t.Fatalf("cut at %d: %v", end, err)
		}
		if err := w.Sync(t.Context(), s.chain); err != nil {
			t.Fatalf("cut at %d: %v", end, err)
		}
		if got := w.Events("one", 0); !sameEvents(got, want) {
			t.Fatalf("cut at %d of %d: %d events, want %d", end, len(whole), len(got), len(want))
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A chain that left while nobody looked is followed back, however deep.
func TestReorganisedWhileStopped(t *testing.T) {
	for _, depth := range []int{1, 6, 290, 700} {
		t.Run(fmt.Sprint(depth), func(t *testing.T) {
			dir := t.TempDir()
			s := newScene(t, watchtest.Small(), watch.Options{Dir: dir})
			s.mine("peg_in_deposit")
			s.mine("peg_in_confirm")
			for range 2 {
				s.connect()
			}
			s.mine("peg_out_confirm") // leaves
			for range depth - 1 {
				s.connect()
			}
			if err := s.w.Close(); err != nil {
				t.Fatal(err)
			}
			for range depth {
				s.chain.drop()
			}
			for range depth {
				s.chain.mine()
			}
			late := s.chain.mine(s.bridge.Tx("peg_out_confirm"))
			w := watch.New(watch.Options{Dir: dir})
			if err := w.Add(s.bridge.Instance(first)); err != nil {
				t.Fatal(err)
			}
			if err := w.Sync(t.Context(), s.chain); err != nil {
				t.Fatal(err)
			}
			st := w.Status()[0]
			if !st.Complete || st.Tip != s.chain.tip() || st.Transactions[4].Height != late.Height || st.Transactions[2].Height != first+1 {
				t.Errorf("%+v", st)
			}
			var told []string
			for _, e := range w.Events("one", 0) {
				if e.Transaction == "peg_out_confirm" {
					told = append(told, string(e.Kind))
				}
			}
			if !slices.Equal(told, []string{"seen", "rolled back", "seen"}) {
				t.Errorf("of peg_out_confirm is told %q", told)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Other words in a graph leave its journal what it is.
func TestReworded(t *testing.T) {
	dir := t.TempDir()
	s := newScene(t, watchtest.Small(), watch.Options{Dir: dir})
	b := s.mine("peg_out_confirm")
	if err := s.w.Close(); err != nil {
		t.Fatal(err)
	}
	in := s.bridge.Instance(first)
	in.Graph = watchtest.Small()
	in.Graph.About, in.Graph.Connectors[0].About, in.Graph.Connectors[0].Leaves[0].Means, in.Graph.Transactions[0].Means = "a", "b", "c", "d"
	w := watch.New(watch.Options{Dir: dir, Aside: func(_, path string) { t.Errorf("it was put at %s", path) }})
	if err := w.Add(in); err != nil {
		t.Fatal(err)
	}
	if st := w.Status()[0]; st.Tip != b.Tip {
		t.Errorf("%+v", st)
	}
	if got := w.Status()[0].Next; len(got) == 0 {
		t.Error("there is no advice")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// A journal of another instance of that name is put aside, not believed, and one that is
// there stays.
func TestOtherJournal(t *testing.T) {
	dir := t.TempDir()
	s := newScene(t, watchtest.Small(), watch.Options{Dir: dir})
	s.mine("peg_out_confirm")
	if err := s.w.Close(); err != nil {
		t.Fatal(err)
	}
	asides := make(map[string]bool)
	for react := range uint32(3) {
		in := s.bridge.Instance(first)
		in.React = 9 + react
		aside := ""
		w := watch.New(watch.Options{Dir: dir, Aside: func(_, path string) { aside = path }})
		if err := w.Add(in); err != nil {
			t.Fatal(err)
		}
		if st := w.Status()[0]; aside == "" || st.Tip.Height != first-1 || st.Event != 0 {
			t.Errorf("put at %q, then %+v", aside, st)
		}
		asides[aside] = true
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for path := range asides {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if len(asides) != 3 {
		t.Errorf("put at %v", asides)
	}
}
