package sidecar

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/outrider-project/outrider/sidecar/node"
)

func reopenTip(t testing.TB, path string) *tipFile {
	t.Helper()
	f, err := openTip(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.file.Close() })
	return f
}

func TestTipFileKeepsTheLastTip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tip.dat")
	if f := reopenTip(t, path); f.tip != nil {
		t.Fatalf("a new file holds %v", f.tip)
	}
	for height := range uint32(10) {
		f := reopenTip(t, path)
		want := node.Tip{Height: height, Hash: [32]byte{byte(height), 1}}
		if err := f.store(want); err != nil {
			t.Fatal(err)
		}
		if err := f.close(); err != nil {
			t.Fatal(err)
		}
		if got := reopenTip(t, path); got.tip == nil || *got.tip != want {
			t.Fatalf("stored %v, got %v", want, got.tip)
		}
	}
}

// A write that is torn anywhere leaves the tip before it, or the new one.
func TestTipFileSurvivesATornWrite(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		path := filepath.Join(t.TempDir(), "tip.dat")
		f := reopenTip(t, path)
		n := 1 + rng.IntN(4)
		var tips []node.Tip
		for i := range n {
			tips = append(tips, node.Tip{Height: rng.Uint32(), Hash: [32]byte{byte(i + 1)}})
			if err := f.store(tips[i]); err != nil {
				t.Fatal(err)
			}
		}
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		next := node.Tip{Height: rng.Uint32(), Hash: [32]byte{99}}
		if err := f.store(next); err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// Of the new record, the first bytes arrived; the rest is as before.
		torn := append([]byte(nil), after...)
		record := int(f.number%2) * tipRecord
		arrived := rng.IntN(tipRecord + 1)
		for i := record + arrived; i < record+tipRecord; i++ {
			torn[i] = 0
			if i < len(before) {
				torn[i] = before[i]
			}
		}
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		got := reopenTip(t, path)
		if got.tip == nil || *got.tip != tips[n-1] && *got.tip != next {
			t.Fatalf("after %d bytes of the write: got %v, want %v or %v", arrived, got.tip, tips[n-1], next)
		}
		if arrived == tipRecord && *got.tip != next {
			t.Fatal("a whole write was lost")
		}
	}
}
