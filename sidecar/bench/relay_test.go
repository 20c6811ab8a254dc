package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay"
)

// The report has its rows, and those that do not depend on the machine have what is
// demanded of them.
func TestRelayReport(t *testing.T) {
	rep, err := Relay(t.Context(), RelayOptions{Rounds: 2, Quick: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"headers/verify", "relay/plan", "relay/plan/median", "relay/plans", "relay/plans/cpu", "relay/cpu", "relay/rss", "relay/catchup2016",
		"relay/catchup2016/transactions", "relay/gas-per-header", "relay/state-sync", "relay/state-sync/median", "relay/state-sync/cpu",
	}
	if _, ok := peakMemory(); !ok {
		want = slices.DeleteFunc(want, func(name string) bool { return name == "relay/rss" })
	}
	rows := make(map[string]Row)
	var got []string
	for _, row := range rep.Rows {
		got, rows[row.Name] = append(got, row.Name), row
		if row.Value <= 0 {
			t.Errorf("row %+v", row)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("rows %q,\nwant %q", got, want)
	}
	if row := rows["headers/verify"]; row.Anchor != "crypto/sha256 alone" || row.AnchorValue <= 0 || row.Ratio != row.Value/row.AnchorValue {
		t.Errorf("row %+v", row)
	}
	for _, name := range []string{"relay/plan", "relay/plan/median"} {
		if row := rows[name]; row.Anchor != "eth_blockNumber" || row.AnchorValue <= 0 || row.Ratio != row.AnchorValue/row.Value {
			t.Errorf("row %+v", row)
		}
	}
	if rep.AllocationsPerHeader != 0 {
		t.Errorf("%v allocations for a header", rep.AllocationsPerHeader)
	}
	if len(rep.Catchups) != 1 {
		t.Fatalf("catch-ups %+v", rep.Catchups)
	}
	c := rep.Catchups[0]
	if c.Offset != 1008 || c.Transactions < 4 || c.Transactions > 6 || c.Blocks < c.Transactions || c.Seconds != 2*float64(c.Blocks) || c.Seconds > 60 || c.PlanSeconds <= 0 || c.gasPerHeader() > 34_000 || c.gasPerHeader() < 31_000 {
		t.Errorf("catch-up %+v, %.0f gas a header", c, c.gasPerHeader())
	}
	if rows["relay/catchup2016"].Value != c.Seconds || rows["relay/gas-per-header"].Value != float64(c.Gas)/2016 || rows["relay/catchup2016/transactions"].Value != float64(c.Transactions) {
		t.Errorf("rows %v, of catch-up %+v", rep.Rows, c)
	}

	var out bytes.Buffer
	if err := WriteJSON(&out, rep); err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(out.Bytes(), &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"machine", "rows", "quick", "allocations_per_header", "catchups", "notes"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("the report has no field %q", name)
		}
	}
	out.Reset()
	if err := rep.WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"headers/verify", "quick: everything is short", "100 to 500 ms"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &out)
		}
	}
	if _, err := Relay(t.Context(), RelayOptions{}); err == nil {
		t.Error("no rounds are measured")
	}
}

func newTestBench(t *testing.T) *relayBench {
	t.Helper()
	b, err := newRelayBench(relaySize{plans: 10, catchups: []int{0}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The generated headers are valid by every rule, have two retargets, and not all of the
// times in order; a spoilt one is no figure.
func TestRelayHeaders(t *testing.T) {
	b := newTestBench(t)
	bits := map[uint32]bool{}
	back := 0
	for i := range b.chain {
		if i > 0 {
			if err := b.params.Check(&b.chain[i], uint32(i), b.chain[:i], b.now); err != nil {
				t.Fatalf("header %d: %v", i, err)
			}
			if b.chain[i].Time() < b.chain[i-1].Time() {
				back++
			}
		}
		bits[b.chain[i].Bits()] = true
	}
	if len(b.chain) != 2*relayPeriod+7 || len(bits) != 3 || back < 1000 {
		t.Errorf("%d headers, %d targets, %d earlier than the one before", len(b.chain), len(bits), back)
	}
	f := &verifyFigure{relayBench: b}
	if n, err := f.verify(t.Context()); n != len(b.chain) || err != nil {
		t.Errorf("%d headers are valid, %v", n, err)
	}
	b.chain[3000][40] ^= 1
	var wrong *headers.Error
	if n, err := f.verify(t.Context()); n != 3000 || !errors.As(err, &wrong) || wrong.Height != 3000 {
		t.Errorf("%d headers are valid, %v", n, err)
	}
	if err := f.measure(t.Context()); !errors.As(err, &wrong) {
		t.Errorf("measured with a spoilt header: %v", err)
	}
	impossible := *b.params
	impossible.PowLimit = header.Uint256{}
	if err := mineHeader(&impossible, &header.Header{}); err == nil {
		t.Error("a header without a target is mined")
	}
}

// What a contract refuses, or nobody answers, is an error and no figure.
func TestRelayRefused(t *testing.T) {
	b := newTestBench(t)
	plans := &planFigure{relayBench: b, count: 10}
	const first = relayPeriod
	c, err := b.deploy(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	bitcoin := newRelayBitcoin(b)
	bitcoin.tip = first + 3
	err = c.nodes(t.Context(), 2, func(ctx context.Context, pools []*endpoint.Pool) error {
		right := c.at
		tree, err := b.tree(plans.first())
		if err != nil {
			t.Fatal(err)
		}
		// The relay began where the figure's do not.
		if err := plans.submissions(ctx, c, tree, pools[0]); err == nil || !strings.Contains(err.Error(), "a block is planned in") {
			t.Errorf("submitted to another relay: %v", err)
		}
		c.at = relay.Address{9}
		if tree, err = b.tree(plans.first()); err != nil {
			t.Fatal(err)
		}
		if err := plans.submissions(ctx, c, tree, pools[0]); err == nil || !strings.Contains(err.Error(), "is there such a contract") {
			t.Errorf("submitted to nobody: %v", err)
		}
		if tree, err = b.tree(plans.first() + plans.count); err != nil {
			t.Fatal(err)
		}
		if err := plans.plans(ctx, c, tree, pools[0]); err == nil || !strings.Contains(err.Error(), "is there such a contract") {
			t.Errorf("planned for nobody: %v", err)
		}
		nobody, err := newRefresher(pools, c.at, bitcoin)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := nobody.refresh(ctx); err == nil || !strings.Contains(err.Error(), "the relay is not known") {
			t.Errorf("the state of nobody: %v", err)
		}
		lost, err := newRefresher(pools, right, newRelayBitcoin(b)) // whose only block is the first
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := lost.refresh(ctx); err == nil || !strings.Contains(err.Error(), "the relay's position is not known") {
			t.Errorf("the state beside a node that lacks the relay's headers: %v", err)
		}
		if len(plans.took)+len(plans.rate) != 0 {
			t.Errorf("figures %v, %v", plans.took, plans.rate)
		}
		c.at = right
		r, err := newRefresher(pools, c.at, bitcoin)
		if err != nil {
			t.Fatal(err)
		}
		st, heads, err := r.refresh(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if p := st.Position.V; p.MarkedHeight != first || p.StoredHeight != first || p.LagBlocks != 3 || heads.Heads[opstack.Unsafe].Sources != 2 {
			t.Errorf("refreshed %+v, %+v", p, heads)
		}
		return errors.New("this is the caller's")
	})
	if err == nil || err.Error() != "this is the caller's" {
		t.Errorf("the nodes ended with %v", err)
	}
	// What is mined, but reverts.
	hash, err := c.Transact(c.account, c.at, relay.AddHeadersData(b.chain[first][:], b.chain[first+2][:]), 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	if c.Mined(hash) {
		t.Error("it is mined before there is a block")
	}
	if err := c.tick(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.succeeded(t.Context(), hash); err == nil || !c.Mined(hash) {
		t.Errorf("a transaction that reverts: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Relay(ended, RelayOptions{Rounds: 1, Quick: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("measured when all is over: %v", err)
	}
}
