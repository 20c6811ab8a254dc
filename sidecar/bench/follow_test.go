package bench

import (
	"os/exec"
	"path/filepath"
	"testing"

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
