package bench

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/sidecar/demo"
)

// TestFollow measures a few small blocks, to see that every figure is there.
func TestFollow(t *testing.T) {
	if testing.Short() {
		t.Skip("not checked with -short: that outrider bench follow measures anything")
	}
	t.Setenv("OUTRIDER_BTCD_DIR", t.TempDir()) // no node but the test's
	dir := t.TempDir()
	program := filepath.Join(dir, "outrider")
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/outrider").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	btcd, err := demo.FindBtcd(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	const blocks = 4
	rep, err := Follow(t.Context(), FollowOptions{Program: program, Btcd: btcd, Dir: dir, Blocks: blocks, Rounds: 1, Transactions: 20})
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]Row)
	for _, row := range rep.Rows {
		rows[row.Name] = row
		if row.Value <= 0 {
			t.Errorf("%s is %v", row.Name, row.Value)
		}
	}
	for _, name := range []string{
		"follow/verdict/p50", "follow/verdict/p99", "follow/node-connect", "follow/node-busy", "follow/node-busy/nice0", "follow/rss", "follow/rss/peak", "catchup/blocks", "catchup/inputs",
		"catchup/cores", "catchup/cores/node",
	} {
		if _, ok := rows[name]; !ok {
			t.Errorf("there is no row %s", name)
		}
	}
	if n := rows["follow/verdict/count"].Value; n != blocks {
		t.Errorf("%v verdicts were measured, want %d", n, blocks)
	}
	if rows["follow/verdict/p50"].Value > rows["follow/verdict/p99"].Value || rows["follow/rss"].Value > rows["follow/rss/peak"].Value {
		t.Errorf("the figures do not fit each other: %+v", rep.Rows)
	}
	if rows["follow/node-connect"].AnchorValue <= 0 {
		t.Errorf("the node was not measured without the sidecar: %+v", rows["follow/node-connect"])
	}
}

// TestProcessorTime holds what the kernel says of this process against its clock, which is
// exact, before and after some work.
func TestProcessorTime(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("not checked: that the processor time of a process is told, which /proc does")
	}
	for range 2 {
		before := processTime()
		got, err := processorTime(os.Getpid())
		after := processTime()
		if ticks := 2 * time.Second / 100; err != nil || got < before-ticks || got > after+ticks {
			t.Errorf("%v, %v; want it between %v and %v", got, err, before, after)
		}
		for processTime() < after+100*time.Millisecond {
			_, _ = os.ReadFile("/proc/self/stat") // in the kernel and out of it
		}
	}
	if _, err := processorTime(1 << 30); err == nil {
		t.Error("no error for a process that is not there")
	}
}

// TestPossible has figures that nothing was measured for, each of which is named.
func TestPossible(t *testing.T) {
	for _, tc := range []struct {
		row  Row
		want bool
	}{
		{plain("x", 0.001, "ms"), true},
		{plain("x", 0, "ms"), false},
		{plain("x", -1, "ms"), false},
		{plain("x", math.NaN(), "1/s"), false},
		{plain("x", math.Inf(1), "1/s"), false},
		{plain("x", 0.1, "cores"), true},
		{plain("x", 2, "cores"), true},
		{plain("x", 2.5, "cores"), false},
		{plain("x", 2.5, "ms"), true},
		{lessIsBetter("x", 1, "ms", "alone", 2), true},
		{lessIsBetter("x", 1, "ms", "alone", 0), false},
		{lessIsBetter("x", 0, "ms", "alone", 1), false},
	} {
		r := &Report{Machine: Machine{Cores: 2}, Rows: []Row{plain("good", 1, "ms"), tc.row}}
		err := possible(r)
		if (err == nil) != tc.want || err != nil && (!strings.Contains(err.Error(), "x: ") || strings.Contains(err.Error(), "good")) {
			t.Errorf("%+v: %v, want it to be possible: %v", tc.row, err, tc.want)
		}
	}
}
