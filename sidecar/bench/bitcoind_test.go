package bench

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// TestBitcoind measures small blocks beside a real bitcoind, to see that every
// figure is there and nothing is lost.
func TestBitcoind(t *testing.T) {
	bitcoind := nodetest.RealCoreProgram(t, "that outrider bench bitcoind measures anything")
	dir := t.TempDir()
	program := filepath.Join(dir, "outrider")
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/outrider").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	const transactions = 20
	rep, err := Bitcoind(t.Context(), BitcoindOptions{Program: program, Bitcoind: bitcoind, Dir: dir, Blocks: 1, Transactions: transactions})
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]Row)
	for _, row := range rep.Rows {
		rows[row.Name] = row
	}
	for _, name := range []string{
		"event/p50", "event/p99", "block-event/p50", "block-event/p99", "node-connect",
		"verdict/p50", "verdict/p99", "verdict-undo/p50", "verdict-undo/p99", "rss", "rss/peak", "catchup-own/inputs",
		"catchup-undo/blocks", "catchup-undo/inputs", "catchup-rest/blocks", "catchup-rest/inputs",
		"catchup-getblock3/blocks", "catchup-getblock3/inputs",
	} {
		if row := rows["bitcoind/"+name]; row.Value <= 0 {
			t.Errorf("%s is %v", name, row.Value)
		}
	}
	for name, want := range map[string]float64{
		"event/count": transactions, "block-event/count": 1, "verdict/count": 1, "verdict-undo/count": 1, "losses": 0,
	} {
		if row, ok := rows["bitcoind/"+name]; !ok || row.Value != want {
			t.Errorf("%s is %v, there: %v, want %v", name, row.Value, ok, want)
		}
	}
	for _, name := range []string{"node-connect", "verdict/p50", "verdict-undo/p50"} {
		if row := rows["bitcoind/"+name]; row.AnchorValue <= 0 {
			t.Errorf("%s has no anchor", name)
		}
	}
}
