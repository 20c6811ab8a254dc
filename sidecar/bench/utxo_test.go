package bench

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
)

// The report has every row, measured, and what it was measured beside.
func TestUtxoReport(t *testing.T) {
	dir := t.TempDir()
	rep, err := Utxo(t.Context(), UtxoOptions{Dir: dir, Coins: UtxoCoins(2) + 1, Rounds: 2})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"get/block8000/pebble": "goleveldb", "apply/block": "goleveldb", "load/snapshot": ""}
	for _, row := range rep.Rows {
		anchor, ok := want[row.Name]
		if !ok || row.Value <= 0 || row.Anchor != anchor || anchor != "" && (row.AnchorValue <= 0 || row.Ratio != row.AnchorValue/row.Value) {
			t.Errorf("row %+v", row)
		}
		delete(want, row.Name)
	}
	if len(want) > 0 {
		t.Errorf("there is no row of %v", want)
	}
	if _, err := os.Stat(filepath.Join(dir, "utxo.dat")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the snapshot is left: %v", err)
	}
	if _, err := Utxo(t.Context(), UtxoOptions{Dir: t.TempDir(), Coins: UtxoCoins(2) - 1, Rounds: 2}); err == nil {
		t.Error("coins are spent twice")
	}
}

// No coin is spent or asked for twice, the coins ascend, and blocks create others.
func TestCoinSet(t *testing.T) {
	const rounds = 3
	set := coinSet(UtxoCoins(rounds))
	seen := make(map[wire.OutPoint]bool)
	see := func(op wire.OutPoint) {
		if seen[op] {
			t.Fatalf("%s comes twice", op)
		}
		seen[op] = true
	}
	tip := set.base()
	for round := range rounds {
		b := set.block(round, tip)
		if len(b.Spent) != blockSpends || len(b.Created) != blockCreations || b.Prev != tip.Hash {
			t.Errorf("block %d spends %d and creates %d", round, len(b.Spent), len(b.Created))
		}
		for _, op := range b.Spent {
			see(op)
		}
		for _, c := range b.Created {
			see(c.OutPoint)
		}
		for _, i := range set.asked(round) {
			see(set.outPoint(i))
		}
		tip = b.Tip
	}
	last := set.outPoint(0)
	for i := 1; i < int(set); i++ {
		op := set.outPoint(i)
		if bytes.Compare(last.Hash[:], op.Hash[:]) >= 0 {
			t.Fatalf("coin %d does not ascend", i)
		}
		last = op
	}
}
