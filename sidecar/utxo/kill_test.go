package utxo

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMain is also the process that TestLoadKilled kills. It loads as its
// environment says, and prints a line for each chunk.
func TestMain(m *testing.M) {
	datadir := os.Getenv("UTXO_KILLED")
	if datadir == "" {
		os.Exit(m.Run())
	}
	_, err := Load(context.Background(), small(LoadOptions{
		Place: Place{Datadir: datadir}, Snapshot: os.Getenv("UTXO_SNAPSHOT"),
		Progress: func(p Progress) { fmt.Printf("%s %d\n", p.Doing, p.Done) },
	}))
	fmt.Println("ended:", err)
}

// TestLoadKilled kills a process with SIGKILL again and again while it loads, at
// random moments after it has begun to. What goes on then comes to the same hashes
// as a load that nobody killed, and so do the coins of the database.
func TestLoadKilled(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t, seed, 12_000)
	p := Place{Datadir: t.TempDir()}
	snapshot := file(t, w.snapshot(t))
	const lives = 6
	killed := 0
	for range lives {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "UTXO_KILLED="+p.Datadir, "UTXO_SNAPSHOT="+snapshot)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// It lives for so many chunks of the 90, beside those that were known.
		left := 1 + rng.IntN(40)
		ended := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "loading") {
				if left--; left == 0 {
					_ = cmd.Process.Kill() // it may have ended
				}
			}
			if what, ok := strings.CutPrefix(lines.Text(), "ended: "); ok {
				ended = true
				if what != "<nil>" {
					t.Fatal(what)
				}
			}
		}
		_ = cmd.Wait() // killed, or ended as it said
		if ended {
			break
		}
		killed++
		noTip(t, p)
	}
	if killed < 3 {
		t.Errorf("only %d lives ended by being killed", killed)
	}
	l, err := Load(t.Context(), LoadOptions{Place: p, Snapshot: snapshot})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("killed %d times; %d of %d coins were there at last", killed, l.CoinsBefore, l.Coins)
	if l.CoinsBefore == 0 {
		t.Error("nothing was loaded by those that were killed")
	}
	w.check(t, l, p)
}
