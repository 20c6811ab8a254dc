package bench

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/testvectors"
)

// The report has every row, measured, and what it was measured beside.
func TestUtxoReport(t *testing.T) {
	dir := t.TempDir()
	rep, err := Utxo(t.Context(), UtxoOptions{Dir: dir, Coins: UtxoCoins(2) + 1, Rounds: 2, hits: hitBlocks{300, 20}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"get/ring Go map", "get/ring ristretto alone", "get/ristretto Go map", "get/ristretto ristretto alone",
		"get/block8000/warm Go map", "scaling/get hashes, which share nothing",
		"bytes/coin ristretto alone", "bytes/coin Go map",
		"hit/spend-once/100k ristretto alone", "hit/spend-once/100k LRU", "hit/spend-once/100k Belady, the bound",
		"get/block8000/pebble goleveldb", "get/one/pebble goleveldb", "apply/block/read goleveldb", "apply/block goleveldb", "load/snapshot",
	}
	if runtime.GOMAXPROCS(0) == 1 {
		want = slices.DeleteFunc(want, func(row string) bool { return strings.HasPrefix(row, "scaling/") })
	}
	var got []string
	for _, row := range rep.Rows {
		got = append(got, strings.TrimSpace(row.Name+" "+row.Anchor))
		ratio := 0.0
		switch {
		case row.Unit == "%" || row.Unit == string(relative):
			ratio = row.Value / row.AnchorValue
		case row.Anchor != "":
			ratio = row.AnchorValue / row.Value
		}
		if row.Value <= 0 || row.Unit == "%" && row.Value > 100 || row.Anchor != "" && row.AnchorValue <= 0 || row.Ratio != ratio {
			t.Errorf("row %+v", row)
		}
		if row.Name == "bytes/coin" && (row.Value < 67 || row.Value > row.AnchorValue) {
			t.Errorf("a coin takes %.1f bytes, and with %s %.1f", row.Value, row.Anchor, row.AnchorValue)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("rows %q,\nwant %q", got, want)
	}
	if rep.AllocationsPerGet != 0 {
		t.Errorf("%v allocations for a look-up", rep.AllocationsPerGet)
	}
	if notes := strings.Join(rep.Notes, "\n"); !strings.Contains(notes, testvectors.SpendAges()) || strings.Contains(notes, "ours 0 at") || strings.Contains(notes, "it is 0.0,") {
		t.Errorf("notes:\n%s", notes)
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
