package coindb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

const crashUndo = 10

// A script is a chain that grows and shrinks, and the changes of a database
// that follow it. The first change is the reset to the chain's first block.
type script struct {
	*chain
	made int // changes
	kept int // blocks that can be undone
}

func newScript(seed uint64) *script { return &script{chain: newChain(seed)} }

// next makes the next change in the chain, and returns it for a database.
func (s *script) next() func(*DB) error {
	s.made++
	switch {
	case s.made == 1:
		tip := s.top().tip
		return func(d *DB) error { return d.Reset(tip, true) }
	case s.kept > 0 && s.chance(4):
		s.kept--
		tip := s.undo().tip
		return func(d *DB) error { return d.Undo(tip) }
	default:
		s.kept = min(s.kept+1, crashUndo)
		b := s.mine()
		return func(d *DB) error { return d.Apply(b) }
	}
}

// agree fails unless d is where s is, or one change further; there it leaves
// s too.
func (s *script) agree(t *testing.T, d *DB) {
	t.Helper()
	tip, err := d.Tip()
	if err != nil && !errors.Is(err, ErrNoTip) {
		t.Fatal(err)
	}
	if err == nil && (s.made == 0 || tip != s.top().tip) {
		s.next()
	}
	if s.made == 0 && err != nil {
		return
	}
	must(t, err)
	compareDB(t, d, s.top())
	compareHash(t, d, s.top())
	report, err := d.Check(t.Context())
	must(t, err)
	if len(report.Problems) > 0 || len(report.Files) > 0 || report.UndoRecords != s.kept {
		t.Fatalf("after %d changes: %d undo records, must be %d; %q %q", s.made, report.UndoRecords, s.kept, report.Problems, report.Files)
	}
}

func crashOptions() Options {
	return Options{UndoBlocks: crashUndo, MemTable: 64 << 10, Memory: 1 << 20}
}

// The test binary is also the process that gets killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("COINDB_KILLED"); dir != "" {
		if err := killed(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// killed makes changes in dir until it is killed, and prints the number of
// each when it is made. The first of them have been made before. The MuHash
// follows meanwhile.
func killed(dir string) error {
	seed, err := strconv.ParseUint(os.Getenv("COINDB_SEED"), 10, 64)
	if err != nil {
		return err
	}
	made, err := strconv.Atoi(os.Getenv("COINDB_MADE"))
	if err != nil {
		return err
	}
	s := newScript(seed)
	for range made {
		s.next()
	}
	d, err := Open(dir, crashOptions())
	if err != nil {
		return err
	}
	follow := make(chan error, 1)
	go func() { follow <- d.FollowMuHash(context.Background()) }()
	for {
		select {
		case err := <-follow:
			return err
		default:
		}
		if err := s.next()(d); err != nil {
			return err
		}
		fmt.Println(s.made)
	}
}

func TestKill(t *testing.T) {
	seed, dir := seedOf(t), t.TempDir()
	when := rand.New(rand.NewPCG(seed, 1))
	s := newScript(seed)
	kills := 40
	if testing.Short() {
		kills = 8
	}
	for i := range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "COINDB_KILLED="+dir,
			fmt.Sprintf("COINDB_SEED=%d", seed), fmt.Sprintf("COINDB_MADE=%d", s.made))
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		kill := func() {
			if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Error(err)
			}
		}
		// Some are killed after a time, maybe while they open, the others after so
		// many changes.
		changes, after := 1+when.IntN(20), time.Hour
		if i%2 == 0 {
			changes, after = 0, time.Duration(when.IntN(120))*time.Millisecond
		}
		timer := time.AfterFunc(after, kill)
		acknowledged := s.made
		for lines := bufio.NewScanner(out); lines.Scan(); changes-- {
			acknowledged, err = strconv.Atoi(lines.Text())
			must(t, err)
			if changes == 1 {
				kill()
			}
		}
		err = cmd.Wait()
		timer.Stop()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
			t.Fatalf("the process ended by itself: %v: %s", err, stderr.String())
		}
		for s.made < acknowledged {
			s.next()
		}
		d, err := Open(dir, crashOptions())
		must(t, err)
		s.agree(t, d)
		must(t, d.Close())
	}
	t.Logf("%d kills, %d changes", kills, s.made)
	if s.made < kills/4 {
		t.Errorf("only %d changes were made", s.made)
	}
}

// fault makes changes while the file system fails, at its operation n or from
// there on, and compares what is left. It reports whether it failed.
func fault(t *testing.T, seed uint64, n int64, forever bool, reason error) bool {
	t.Helper()
	mem := vfs.NewCrashableMem()
	var count atomic.Int64
	var hit atomic.Bool
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsRead || op.Kind == errorfs.OpFileClose {
			return nil
		}
		if i := count.Add(1); i == n || forever && i > n {
			hit.Store(true)
			return reason
		}
		return nil
	}))
	s := newScript(seed)
	opts := crashOptions()
	opts.fs = fs
	if d, err := Open("coins", opts); err == nil {
		for range 30 {
			saved := *s
			saved.chain = s.clone()
			if err := s.next()(d); err != nil {
				*s = saved
				if errors.Is(reason, syscall.ENOSPC) && !errors.Is(err, ErrDiskFull) {
					t.Fatalf("operation %d: %v, must be %v", n, err, ErrDiskFull)
				}
				break
			}
			if s.made%3 == 0 {
				// It may fail, and the next goes on from the last that did not.
				_, _, _ = d.MuHash(t.Context())
			}
			if s.made%4 == 0 {
				// It may fail, and must do no harm.
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				_ = d.Compact(ctx)
				cancel()
			}
		}
		lost := mem.CrashClone(vfs.CrashCloneCfg{})
		_ = d.Close()
		crashed := *s
		crashed.chain = s.clone()
		opts.fs = lost
		d, err := Open("coins", opts)
		must(t, err)
		crashed.agree(t, d)
		must(t, d.Close())
	}
	opts.fs = mem
	d, err := Open("coins", opts)
	must(t, err)
	s.agree(t, d)
	must(t, s.next()(d))
	s.agree(t, d)
	must(t, d.Close())
	return hit.Load()
}

// clone returns a chain that goes on as c does.
func (c *chain) clone() *chain {
	src, err := c.src.MarshalBinary()
	if err != nil {
		panic(err)
	}
	clone := *c
	clone.src = new(rand.PCG)
	if err := clone.src.UnmarshalBinary(src); err != nil {
		panic(err)
	}
	clone.rng = rand.New(clone.src)
	clone.moments = append([]moment(nil), c.moments...)
	clone.coinbases = c.coinbases[:len(c.coinbases):len(c.coinbases)]
	return &clone
}

// Every operation on the file system fails in some run. What was acknowledged
// is there after it, and nothing else than the change that failed.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name    string
		forever bool
		err     error
	}{
		{"once", false, errorfs.ErrInjected},
		{"from there on", true, errorfs.ErrInjected},
		{"full from there on", true, syscall.ENOSPC},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			seed := seedOf(t)
			step := int64(1)
			if testing.Short() {
				step = 17
			}
			n := 1 + int64(seed%uint64(step))
			runs := 0
			for fault(t, seed, n, tt.forever, tt.err) {
				n += step
				runs++
			}
			t.Logf("%d runs, up to operation %d", runs, n)
			if n < 120 {
				t.Errorf("only %d operations could fail", n)
			}
		})
	}
}
