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
		"headers/verify", "relay/plan", "relay/plan/median", "relay/plans", "relay/cpu", "relay/rss", "relay/catchup2016",
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
	if rep.AllocationsPerHeader != 0 {
		t.Errorf("%v allocations for a header", rep.AllocationsPerHeader)
	}
	if len(rep.Catchups) != 1 {
		t.Fatalf("catch-ups %+v", rep.Catchups)
	}
	c := rep.Catchups[0]
	if c.Offset != 1008 || c.Transactions != 4 || c.Blocks != 4 || c.Seconds != c.PlanSeconds+8 || c.PlanSeconds <= 0 || c.gasPerHeader() > 34_000 || c.gasPerHeader() < 31_000 {
		t.Errorf("catch-up %+v, %.0f gas a header", c, c.gasPerHeader())
	}
	if rows["relay/catchup2016"].Value != c.Seconds || rows["relay/gas-per-header"].Value != float64(c.Gas)/2016 || rows["relay/catchup2016/transactions"].Value != 4 {
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
	if len(b.chain) != 2*relayPeriod+10 || len(bits) != 3 || back < 1000 {
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
	const first = relayPeriod
	c, err := b.deploy(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := c.model.Plan(b.request(first, first+1, c), relay.DefaultCaps())
	if err != nil {
		t.Fatal(err)
	}
	err = c.nodes(t.Context(), 2, func(ctx context.Context, pools []*endpoint.Pool) error {
		if err := try(ctx, pools[0], plan); err != nil {
			t.Errorf("a plan that is right: %v", err)
		}
		twice := &relay.Plan{Transactions: append(plan.Transactions, plan.Transactions...)}
		if err := try(ctx, pools[0], twice); err == nil || !strings.Contains(err.Error(), "in 2 transactions") {
			t.Errorf("a plan of two transactions: %v", err)
		}
		nowhere := plan.Transactions[0]
		nowhere.To = relay.Address{9}
		if err := try(ctx, pools[0], &relay.Plan{Transactions: []relay.Transaction{nowhere}}); err == nil || !strings.Contains(err.Error(), "no contract") {
			t.Errorf("a plan for nobody: %v", err)
		}
		spoilt := plan.Transactions[0]
		spoilt.Data = bytes.Replace(spoilt.Data, b.chain[first+1][:], b.chain[first+2][:], 1)
		if err := try(ctx, pools[1], &relay.Plan{Transactions: []relay.Transaction{spoilt}}); err == nil || !strings.Contains(err.Error(), "call failed") {
			t.Errorf("a plan with another header: %v", err)
		}
		if _, err := refresh(ctx, pools, relay.Address{9}); err == nil || !strings.Contains(err.Error(), "no word") {
			t.Errorf("the state of nobody: %v", err)
		}
		r, err := refresh(ctx, pools, c.at)
		if err != nil || r.height != first || len(r.heads) != 2 || len(r.heads[1]) != 3 || r.heads[1][2].Hash() != r.heads[0][0].Hash() {
			t.Errorf("refreshed %+v, %v", r, err)
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
