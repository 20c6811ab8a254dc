package watch

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// clone returns a graph that may be changed, and checked again.
func clone(t *testing.T, g *Graph) *Graph {
	t.Helper()
	text, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	c := new(Graph)
	if err := json.Unmarshal(text, c); err != nil {
		t.Fatal(err)
	}
	return c
}

func garbled(t *testing.T, watchtowers int) *Graph {
	t.Helper()
	g, err := Builtin("garbled", watchtowers)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// errorsIn returns the rules of the errors and where they are.
func errorsIn(list []LintFinding) []string {
	var all []string
	for _, f := range list {
		if f.Severity == Error {
			all = append(all, string(f.Rule)+" "+f.Where)
		}
	}
	return all
}

// What is built in is sound on mainnet; on test networks BitVM2 has every lock at two
// blocks, so that the operator and who punishes lateness may act in the same block.
func TestBuiltinsAreSound(t *testing.T) {
	for _, tt := range []struct {
		graph   *Graph
		network string
		want    []string
	}{
		{BitVM2(), "main", nil},
		{BitVM2(), "regtest", []string{"race kick_off_2"}},
		{garbled(t, 1), "main", nil},
		{garbled(t, 5), "main", nil},
		{garbled(t, 2), "signet", nil},
	} {
		if got := errorsIn(tt.graph.Lint(tt.network, 0)); !slices.Equal(got, tt.want) {
			t.Errorf("%s on %s: %q, want %q", tt.graph.Name, tt.network, got, tt.want)
			for _, f := range tt.graph.Lint(tt.network, 0) {
				t.Log(f)
			}
		}
	}
}

// The notes and warnings of BitVM2 are the known ones.
func TestBitVM2Warnings(t *testing.T) {
	var got []string
	for _, f := range BitVM2().Lint("main", 0) {
		got = append(got, string(f.Severity)+" "+string(f.Rule)+" "+f.Where)
	}
	want := []string{
		"warning heavy assert_commit_1", "warning heavy assert_commit_2", "warning heavy disprove",
		"note no timeout peg_in_confirm", "note no timeout peg_out_confirm", "note no timeout assert_initial",
		"note no timeout assert_commit_1", "note no timeout assert_commit_2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Each mistake in a graph is found, under its rule, where it is.
func TestLintFinds(t *testing.T) {
	leaf := func(g *Graph, connector, name string) *Leaf {
		for i := range g.Connectors {
			if c := &g.Connectors[i]; c.Name == connector {
				return &c.Leaves[c.leaf(name)]
			}
		}
		panic(connector)
	}
	tx := func(g *Graph, name string) *Transaction {
		return &g.Transactions[slices.IndexFunc(g.Transactions, func(t Transaction) bool { return t.Name == name })]
	}
	for _, tt := range []struct {
		name   string
		graph  *Graph
		change func(*Graph)
		want   string
	}{
		{"a lock beyond BIP68", BitVM2(), func(g *Graph) { leaf(g, "4", "script").Lock.Main = 65536 }, "bip68 4:script"},
		{"the longest lock", BitVM2(), func(g *Graph) { leaf(g, "4", "script").Lock.Main = 65535 }, ""},
		{"no time to disprove", BitVM2(), func(g *Graph) { leaf(g, "4", "script").Lock.Main = 6 }, "undefended take_2"},
		{"just enough to disprove", BitVM2(), func(g *Graph) { leaf(g, "4", "script").Lock.Main = 7 }, ""},
		{"disprove behind take_2", BitVM2(), func(g *Graph) { leaf(g, "5", "1").Lock.Main = 2100 }, "undefended take_2"},
		{"take_1 at once", BitVM2(), func(g *Graph) { leaf(g, "3", "script").Lock.Main = 0 }, "race take_1"},
		{"kick-off timeout first", BitVM2(), func(g *Graph) { leaf(g, "1", "1").Lock.Main = 2000 }, "late kick_off_timeout"},
		{"kick-off timeout at the same time", BitVM2(), func(g *Graph) { leaf(g, "1", "1").Lock.Main = 2016 }, "race kick_off_2"},
		{"start time timeout at once", BitVM2(), func(g *Graph) { leaf(g, "1", "2").Lock.Main = 3 }, "race start_time"},
		{"no disprove", BitVM2(), func(g *Graph) {
			g.Transactions = slices.DeleteFunc(g.Transactions, func(t Transaction) bool { return t.Name == "disprove" })
			g.Claims = nil
		}, "undefended take_2"},
		{"an output that nobody spends", BitVM2(), func(g *Graph) {
			g.Connectors = append(g.Connectors, Connector{Name: "X", Leaves: []Leaf{{Name: "0", By: "operator"}}})
			tx(g, "kick_off_1").Outputs = append(tx(g, "kick_off_1").Outputs, Output{Connector: "X"})
		}, "unspendable X"},
		{"a transaction that no block holds", BitVM2(), func(g *Graph) { tx(g, "disprove").Weight = 4_000_001 }, "heavy disprove"},
		{"two alike", BitVM2(), func(g *Graph) {
			again := *tx(g, "disprove_chain")
			again.Name = "again"
			g.Transactions = append(g.Transactions, again)
		}, "alike again"},
		{"an impossible one", BitVM2(), func(g *Graph) {
			in := &tx(g, "disprove").Inputs
			*in = append(*in, Input{"A", "0"}, Input{"3", "script"}, Input{"B", "0"})
		}, "impossible disprove"},
		{"proof and payout at once", garbled(t, 2), func(g *Graph) { leaf(g, "contest_payout", "timeout").Lock.Main = 144 }, "undefended contested_payout"},
		{"no time for the acknowledgement", garbled(t, 2), func(g *Graph) { leaf(g, "contest_payout", "timeout").Lock.Main = 290 }, "undefended contested_payout"},
		{"time for the acknowledgement", garbled(t, 2), func(g *Graph) { leaf(g, "contest_payout", "timeout").Lock.Main = 296 }, ""},
		{"slashed when paid", garbled(t, 2), func(g *Graph) { leaf(g, "contest_slash", "timeout").Lock.Main = 433 }, "race contested_payout"},
		{"slashed before paid", garbled(t, 2), func(g *Graph) { leaf(g, "contest_slash", "timeout").Lock.Main = 400 }, "late slash"},
		{"no timeout for the proof", garbled(t, 2), func(g *Graph) {
			g.Transactions = slices.DeleteFunc(g.Transactions, func(t Transaction) bool { return t.Name == "bridge_proof_timeout" })
		}, "endless counterproof_ack_0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := clone(t, tt.graph)
			tt.change(g)
			if err := g.check(); err != nil {
				t.Fatal(err)
			}
			got := g.Lint("main", 0)
			if tt.want == "" != Sound(got) || tt.want != "" && !slices.Contains(errorsIn(got), tt.want) {
				t.Errorf("%q, want %q", errorsIn(got), tt.want)
			}
		})
	}
}

// A leaf that no transaction uses is told of.
func TestLintUnusedLeaf(t *testing.T) {
	g := clone(t, BitVM2())
	g.Connectors[1].Leaves = append(g.Connectors[1].Leaves, Leaf{Name: "backdoor", By: "operator"})
	if err := g.check(); err != nil {
		t.Fatal(err)
	}
	got := g.Lint("main", 0)
	if !slices.ContainsFunc(got, func(f LintFinding) bool {
		return f.Rule == UnusedLeaf && f.Where == "0:backdoor" && strings.Contains(f.Text, "backdoor")
	}) {
		t.Errorf("%v", got)
	}
}

// Graphs as large as they may be are looked at in moments.
func TestLargeGraphs(t *testing.T) {
	large := garbled(t, MaxWatchtowers)
	crowd := &Graph{Version: GraphVersion, Name: "crowd", Claimant: "a", Connectors: []Connector{{Name: "C", Leaves: []Leaf{{Name: "0", By: "a"}}}}}
	for i := range maxNodes {
		crowd.Transactions = append(crowd.Transactions, Transaction{Name: fmt.Sprintf("t%d", i), By: []string{"a", "b"}[i%2], Inputs: []Input{{"C", "0"}}})
	}
	if err := crowd.check(); err != nil {
		t.Fatal(err)
	}
	for _, g := range []*Graph{large, crowd} {
		in := &Instance{Version: InstanceVersion, Name: g.Name, Network: "main", Graph: g, Start: 1}
		began := time.Now()
		g.Lint("main", 0)
		if err := in.Bind(); err != nil {
			t.Fatal(err)
		}
		newTrack(in).status()
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s took %v", g.Name, took)
		} else {
			t.Logf("%s took %v", g.Name, took)
		}
	}
	if !Sound(large.Lint("main", 0)) {
		t.Error("the large graph is not sound")
	}
}
