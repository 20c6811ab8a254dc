package bob

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/perfcore"
)

// ethereum has the world's L2 be watched beside an L1, whose blocks are as few as the L2's: what the
// L2 says that it is derived from is far above.
func (w *world) ethereum(chain string) (server *httptest.Server, change func(c *Config)) {
	server = httptest.NewServer(w.serve(func(c call) any {
		switch c.Method {
		case "eth_chainId":
			return chain
		case "eth_blobBaseFee":
			return "0x3b9aca00"
		}
		return w.execution(c)
	}))
	w.t.Cleanup(server.Close)
	return server, func(c *Config) {
		c.L1 = []endpoint.Endpoint{{Name: "eth", URL: server.URL, Rate: 1e6}}
	}
}

// What Ethereum says is in the status beside what the L2 does, and what they contradict each other
// in is not good.
func TestAskL1(t *testing.T) {
	w := newWorld(t)
	_, change := w.ethereum("0x1")
	st := w.watch(change).Ask(t.Context())
	l1 := st.L1
	if l1 == nil || l1.ChainID != 1 || len(l1.Heads) != 3 || len(l1.Origins) != 3 {
		t.Fatalf("L1 is %+v", l1)
	}
	for i, height := range []uint64{4, 3, 2} {
		h, o := l1.Heads[i], l1.Origins[i]
		if h.Number != height || h.Sources != 1 || h.Hash != strings.Trim(string(w.blocks[height]["hash"]), `"`) || h.Lag <= 0 {
			t.Errorf("the head is %+v", h)
		}
		a := w.attributes(int(height))
		if o.Head != h.Head || o.Block != height || o.Number != a.Number || o.Hash != a.Hash.Hex() || o.Standing != "ahead of the L1 client" || o.Final || o.Problem != "" {
			t.Errorf("the origin is %+v", o)
		}
	}
	a := w.attributes(4)
	if f := l1.BaseFee; f.Recorded != a.BaseFee.Dec() || f.Now == "" || f.AtOrigin != "" || f.Drift == nil {
		t.Errorf("the base fee is %+v", f)
	}
	if f := l1.BlobBaseFee; f.Recorded != a.BlobBaseFee.Dec() || f.Now != "1000000000" || f.Drift == nil || *f.Drift < 1e8 {
		t.Errorf("the blob base fee is %+v", f)
	}
	if n := st.Nodes; len(n) != 3 || n[2].Name != "eth" || n[2].Role != "ethereum" || n[2].Chain != "right" || n[2].Problem != "" {
		t.Errorf("the nodes are %+v", n)
	}
	var kinds []string
	for _, f := range l1.Faults {
		kinds = append(kinds, f.Kind+" "+f.Head)
	}
	slices.Sort(kinds)
	want := []string{"l1-fees-drift unsafe", "l1-late finalized", "l1-late unsafe"}
	if drift := *l1.BaseFee.Drift; drift > 0.6 || drift < -0.375 {
		want = slices.Insert(want, 0, "l1-fees-drift unsafe")
	}
	if !slices.Equal(kinds, want) {
		t.Errorf("the faults are %q, want %q", kinds, want)
	}
	if !st.Good() {
		t.Error("what is late is not good")
	}
	for _, want := range []string{"Ethereum (chain 1)", "eth   ethereum", "22000003  ahead of the L1 client", "L2's finalized head from  22000001", "l1-late", "1000000000 wei; the L2 charges by 1"} {
		if got := tableOf(t, st); !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
	raw, err := json.Marshal(st)
	if err != nil || !strings.Contains(string(raw), `"l1":{"at":`) || !strings.Contains(string(raw), `"base_fee":{"now_wei":"`) {
		t.Errorf("as JSON it is %s, %v", raw, err)
	}
	l1.Faults = append(l1.Faults, Fault{Kind: string(opstack.OriginNotFinal), Head: "finalized"})
	if st.Good() {
		t.Error("a contradiction is good")
	}
	if st := w.watch(nil).Ask(t.Context()); st.L1 != nil || len(st.Nodes) != 2 {
		t.Errorf("without L1: %+v", st.L1)
	}
}

// A client of another chain, and one that does not answer, are told by name, and never by address.
func TestAskL1Faults(t *testing.T) {
	w := newWorld(t)
	server, change := w.ethereum("0xaa36a7")
	st := w.watch(change).Ask(t.Context())
	if n := st.Nodes[2]; n.Chain != "wrong" || !strings.Contains(n.Problem, "it is of chain 11155111, not of 1") || st.Good() {
		t.Errorf("of another chain: %+v", n)
	}
	if len(st.L1.Faults) != 3 || st.L1.Faults[0].Kind != "l1-silent" || st.L1.Heads[0].Sources != 0 {
		t.Errorf("of another chain: %+v", st.L1)
	}
	if got := tableOf(t, st); !strings.Contains(got, "base fee                  not known; the L2 charges by 277459069 wei") {
		t.Errorf("for people it is\n%s", got)
	}
	for name, set := range map[string]func(c *Config){
		"named":      func(c *Config) { change(c); c.L1ChainID = 11155111 },
		"of Sepolia": func(c *Config) { change(c); c.ChainID = 808813 },
	} {
		if st := w.watch(set).Ask(t.Context()); st.Nodes[len(st.Nodes)-1].Chain != "right" || st.L1.ChainID != 11155111 {
			t.Errorf("%s: %+v", name, st.Nodes)
		}
	}
	server.Close()
	st = w.watch(change).Ask(t.Context())
	if n := st.Nodes[2]; n.Problem == "" || strings.Contains(n.Problem, strings.TrimPrefix(server.URL, "http://")) {
		t.Errorf("one that is gone: %+v", n)
	}
	if got := tableOf(t, st); strings.Contains(got, strings.TrimPrefix(server.URL, "http://")) {
		t.Errorf("an address is told:\n%s", got)
	}
	bad := func(c *Config) { c.L1 = []endpoint.Endpoint{{Name: "eth", URL: "ftp://x"}} }
	c := DefaultConfig()
	c.Execution = []endpoint.Endpoint{{Name: "exec", URL: "http://127.0.0.1:1"}}
	bad(&c)
	if _, err := New(c, nil, nil); err == nil || !strings.Contains(err.Error(), "endpoint eth") {
		t.Errorf("an address that is none: %v", err)
	}
	// What the L2's blocks say of Ethereum is read from an execution client.
	c.Execution, c.OpNodes = nil, []endpoint.Endpoint{{Name: "node", URL: "http://127.0.0.1:1"}}
	if _, err := New(c, nil, nil); err == nil || !strings.Contains(err.Error(), "set OUTRIDER_BOB_L2") {
		t.Errorf("beside op-nodes only: %v", err)
	}
}

// What is wrong with Ethereum's clients, and between them and the L2, is found with what to do.
func TestDoctorL1(t *testing.T) {
	w := newWorld(t)
	_, change := w.ethereum("0xaa36a7")
	d, text := w.diagnose(nil, change)
	if !strings.Contains(text, "OUTRIDER_BOB_L1_CHAIN_ID") || strings.Contains(text, "or set OUTRIDER_BOB_CHAIN_ID") || !d.Failed() {
		t.Errorf("of another chain:\n%s", text)
	}
	server, change := w.ethereum("0x1")
	d, text = w.diagnose(nil, change)
	found := map[string]Level{}
	for _, f := range d.Findings {
		if kind, _, ok := strings.Cut(f.What, ": "); ok && strings.HasPrefix(kind, "l1-") {
			found[f.About+": "+kind] = f.Level
		}
	}
	for _, want := range []string{"Ethereum, unsafe head: l1-late", "Ethereum, finalized head: l1-late", "L2 beside Ethereum, unsafe head: l1-fees-drift"} {
		if found[want] != Warning {
			t.Errorf("there is no warning %q in\n%s", want, text)
		}
	}
	server.Close()
	if _, text = w.diagnose(nil, change); !strings.Contains(text, "listens where OUTRIDER_BOB_L1 says") {
		t.Errorf("one that is gone:\n%s", text)
	}
	// What contradicts is a failure.
	d = &Diagnosis{Status: &Status{L1: &L1Status{}}}
	for _, k := range opstack.L1FaultKinds {
		d.Status.L1.Faults = append(d.Status.L1.Faults, Fault{Kind: string(k), Head: "unsafe", Detail: "so"})
	}
	d.ethereum()
	if len(d.Findings) != len(opstack.L1FaultKinds) || len(l1Advice) != len(opstack.L1FaultKinds) {
		t.Fatalf("%d findings, %d advices", len(d.Findings), len(l1Advice))
	}
	for i, f := range d.Findings {
		if k := opstack.L1FaultKinds[i]; (f.Level == Failure) != k.Contradicts() || f.Do == "" || f.What != string(k)+": so" {
			t.Errorf("%+v", f)
		}
	}
}

// While it runs Ethereum is watched, too, with knobs of its own; and all of it ends.
func TestRunL1(t *testing.T) {
	w := newWorld(t)
	_, change := w.ethereum("0x1")
	registry := new(perfcore.Registry)
	c := DefaultConfig()
	c.Execution = []endpoint.Endpoint{{Name: "exec", URL: w.exec.URL, Rate: 1e6}}
	change(&c)
	watch, err := New(c, nil, registry)
	if err != nil {
		t.Fatal(err)
	}
	if st := watch.Status(); st.L1 != nil || len(st.Nodes) != 2 {
		t.Errorf("before: %+v", st)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := watch.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	defer running.Wait()
	defer cancel()
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(5 * time.Millisecond) {
		if st := watch.Status(); st.L1 != nil && st.L1.Heads[0].Number == 4 && st.L1.Origins[2].Number == w.attributes(2).Number {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the state stays %+v", watch.Status().L1)
		}
	}
	var names []string
	for _, k := range watch.Knobs() {
		names = append(names, k.Name)
		if k.Name == "bob.l1_poll_interval" && (k.Read() != 4000 || !slices.Contains(k.Ladder, 12_000)) {
			t.Errorf("the poll interval of L1 is %d of %v", k.Read(), k.Ladder)
		}
	}
	if want := []string{"bob.l2_poll_interval", "bob.l2_batch_size", "bob.l2_concurrency", "bob.l2_hedge_delay", "bob.l1_poll_interval", "bob.l1_concurrency", "bob.l1_hedge_delay"}; !slices.Equal(names, want) {
		t.Errorf("the knobs are %q", names)
	}
	timed := map[string]uint64{}
	for _, s := range registry.Series() {
		if s.Metric.Name == "outrider_bob_rpc_seconds" && s.Timer != nil {
			timed[s.Metric.Labels[1]] += s.Timer.Snapshot().Count
		}
	}
	if timed["l1"] == 0 || timed["l2"] == 0 {
		t.Errorf("exchanges were timed: %v", timed)
	}
}
