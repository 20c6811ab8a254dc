package bench

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sigverify"
)

func generate(t *testing.T, transactions int) BlockInput {
	t.Helper()
	in, err := GenerateBlock(7, transactions)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// TestGeneratedReport has the rows of a generated block, by name and anchor.
func TestGeneratedReport(t *testing.T) {
	rep, err := Block(t.Context(), generate(t, 100), BlockOptions{Cores: []int{1, 3}, Rounds: 2, Warm: 0.95})
	if err != nil {
		t.Fatal(err)
	}
	if !rep.Valid || rep.Transactions != 100 || rep.Signatures < 90 || *rep.Seed != 7 ||
		!slices.Equal(rep.Unchecked, []blockval.Rule{blockval.RepeatedTx}) {
		t.Errorf("got %+v", rep)
	}
	var got, want []string
	anchors := make(map[string][]float64)
	for _, row := range rep.Rows {
		got = append(got, strings.TrimSpace(row.Name+" "+row.Anchor))
		if row.Value <= 0 || row.Anchor != "" && (row.AnchorValue <= 0 || row.Ratio != row.AnchorValue/row.Value) {
			t.Errorf("row %+v", row)
		}
		if row.Anchor != "" {
			anchors[row.Name] = append(anchors[row.Name], row.AnchorValue)
		}
	}
	for name, values := range anchors {
		if len(slices.Compact(slices.Clone(values))) != len(values) {
			t.Errorf("%s has one value for several anchors: %v", name, values)
		}
	}
	total := func(at string) {
		if libsecp() != nil {
			want = append(want, "block/total/"+at+" libsecp256k1-floor")
		}
		want = append(want, "block/total/"+at+" btcd")
	}
	for _, at := range []string{"1core", coresName(3)} {
		total(at)
		for _, stage := range []string{"parse/" + at, "lookup/" + at, "rules/" + at, "scripts/" + at + " btcd", "allocated/" + at} {
			want = append(want, "block/"+stage)
		}
		if at == "1core" {
			total("warm95")
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("rows %q,\nwant %q", got, want)
	}
	if (len(rep.Notes) == 0) != (libsecp() != nil) {
		t.Errorf("notes %q", rep.Notes)
	}
	var out bytes.Buffer
	if err := rep.WriteTable(&out); err != nil || !strings.HasPrefix(out.String(), "block of mainnet's shape, generated from seed 7: valid\n") {
		t.Errorf("table (%v):\n%s", err, out.String())
	}
	if rep, err = Block(t.Context(), generate(t, 1), BlockOptions{Cores: []int{1}, Rounds: 1, Warm: 0}); err != nil || !rep.Valid ||
		strings.Contains(fmt.Sprint(rep.Rows), "warm") {
		t.Errorf("a block of nothing but its coinbase: %+v, %v", rep, err)
	}
}

func TestGenerateBlockRefuses(t *testing.T) {
	if _, err := GenerateBlock(1, MostTransactions+1); err == nil {
		t.Error("a block that is too heavy was generated")
	}
}

// TestRemember has the validator remember the transactions that were seen before,
// and no others.
func TestRemember(t *testing.T) {
	in := generate(t, 300)
	params, err := blockval.ParamsFor(in.Network)
	if err != nil {
		t.Fatal(err)
	}
	b, err := blockval.Parse(in.Raw)
	if err != nil {
		t.Fatal(err)
	}
	coins := newSpent(b.Msg, in.Spent)
	for _, share := range []float64{0, 0.5, 0.95, 1} {
		var reg perfcore.Registry
		verifier := sigverify.New(sigverify.Options{})
		defer verifier.Close()
		v := blockval.New(params, blockval.Options{Verifier: verifier, Recorder: &reg})
		if err := remember(t.Context(), v, b.Msg, coins, share); err != nil {
			t.Fatal(err)
		}
		got, err := v.Check(t.Context(), b, in.at(coins))
		if err != nil || !got.Valid() {
			t.Fatalf("share %v: %+v, %v", share, got, err)
		}
		var remembered, all uint64
		for _, s := range reg.Series() {
			if s.Metric.Name == "outrider_blockval_inputs_total" {
				all += s.Counter.Value()
				if slices.Contains(s.Metric.Labels, "remembered") {
					remembered = s.Counter.Value()
				}
			}
		}
		if all != uint64(got.Inputs) || float64(remembered) < (share-0.1)*float64(all) ||
			float64(remembered) > (share+0.1)*float64(all) || share == 1 && remembered != all {
			t.Errorf("share %v: %d of the block's %d inputs were remembered", share, remembered, all)
		}
	}
}
