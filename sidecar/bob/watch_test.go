package bob

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/perfcore"
)

// tableOf returns a status for people.
func tableOf(t *testing.T, s *Status) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteStatus(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestAsk(t *testing.T) {
	w := newWorld(t)
	w.marked, w.stored = len(w.headers)-31, len(w.headers)-11
	st := w.watch(nil).Ask(t.Context())
	tip := len(w.headers) - 1
	p := st.Relay.Position
	if !p.Known || int(p.V.MarkedHeight) != tip-30 || int(p.V.StoredHeight) != tip-10 || p.V.LagBlocks != 30 {
		t.Fatalf("the relay is %+v", p)
	}
	for i, want := range []struct {
		head   string
		number uint64
	}{{"unsafe", 4}, {"safe", 3}, {"finalized", 2}} {
		if h := st.Heads[i]; h.Head != want.head || h.Number != want.number || h.Sources != 2 || h.Hash != strings.Trim(string(w.blocks[want.number]["hash"]), `"`) {
			t.Errorf("the head is %+v", h)
		}
	}
	if o := st.Survey.Outputs; !o.Compared || !o.Agree || o.Height != 3 || len(o.Nodes) != 2 || o.Nodes[0].Root != o.Nodes[1].Root || o.Nodes[0].Root == "" {
		t.Errorf("the outputs are %+v", o)
	}
	if f := st.Survey.Forks; len(f) != 2 || f[0].Fork != "jovian" || f[0].Verdict != "ready" || f[1].Fork != "karst" || f[1].Verdict != "unplanned" ||
		f[0].OpNode != "node" || f[0].Execution != "exec" || f[0].NodeVersion != "v1.19.1" {
		t.Errorf("the forks are %+v", f)
	}
	if !slices.ContainsFunc(st.Faults, func(f Fault) bool { return f.Kind == "late" && f.Head == "unsafe" }) {
		t.Errorf("blocks of last year are not late: %+v", st.Faults)
	}
	if len(st.Nodes) != 2 || st.Nodes[0].Name != "exec" || st.Nodes[0].Role != "execution" || st.Nodes[1].Role != "op-node" || st.Nodes[0].Chain != "right" || st.Nodes[0].Problem != "" {
		t.Errorf("the nodes are %+v", st.Nodes)
	}
	if !st.Good() {
		t.Error("it is not good")
	}
	for _, want := range []string{"chain 60808", "exec", "finalized", "jovian", "2 nodes agree at height 3", "relay (full-verify)", "stored, marked", "30 blocks", "next retarget         12096",
		"provable now          up to block 10200", "block 10236 provable  with block 10242, about 2009-04-08 11:50:02: 0 of 6 headers on top"} {
		if got := tableOf(t, st); !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
	raw, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"marked":"` + w.headers[tip-30].Hash().String() + `"`, `"chain_id":60808`, `"lag_blocks":30`, `"known":true`, `"verdict":"ready"`, `"sources":2`, `"agree":true`, `"stored_height":10226`,
		`"provable_height":10200`, `"tip_provable":{"height":10236,"confirmations":0,"needed":6,"relay_best_height":10206,"provable":false,"at_height":10242,`, `"waits_for":"bitcoin"`} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("there is no %s in %s", want, raw)
		}
	}
}

// Whatever is wrong is told, with why, and is not good.
func TestAskFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(w *world)
		want   []string
	}{
		{"nobody answers", func(w *world) { w.down = true }, []string{"faulty", "not known: the L2: ", "not known: the height to look from", "not compared: no safe head"}},
		{"the relay is limited", func(w *world) { w.answers["eth_call"] = refused{-32005, "limit exceeded", ""} }, []string{"not known: the relay: eth_call: exec: rate limited"}},
		{"another chain", func(w *world) { w.answers["eth_chainId"] = "0x1" }, []string{"wrong chain", "it is of chain 1, not of 60808"}},
		{"another state", func(w *world) {
			w.answers["optimism_outputAtBlock"] = w.opNodeOutput("0x" + strings.Repeat("11", 32))
		}, []string{"THEY DIFFER", "one of them has a wrong state"}},
		{"another branch", func(w *world) {
			status := w.opNode(call{Method: "optimism_syncStatus"}).(map[string]any)
			other := w.ref(3)
			other["hash"] = "0x" + strings.Repeat("22", 32)
			status["safe_l2"] = other
			w.answers["optimism_syncStatus"] = status
		}, []string{"disagree"}},
		{"a fork is missed", func(w *world) {
			w.answers["eth_config"] = map[string]any{"current": map[string]any{"activationTime": 1746806401, "chainId": "0xed88"}}
		}, []string{"not ready", "the execution client's rules are from 1746806401"}},
		{"no headers of the relay's", func(w *world) { w.stored = -1 }, []string{"not known: the relay: the height of the marked header"}},
	} {
		w := newWorld(t)
		tt.change(w)
		st := w.watch(nil).Ask(t.Context())
		got := tableOf(t, st)
		for _, want := range tt.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: there is no %q in\n%s", tt.name, want, got)
			}
		}
		if st.Good() && time.Now().Unix() > 1773325801 {
			t.Errorf("%s: it is good", tt.name)
		}
	}
}

// opNodeOutput is an output at block 3 with another state.
func (w *world) opNodeOutput(state string) map[string]any {
	b := w.blocks[3]
	root := outputRoot(w, json.RawMessage(`"`+state+`"`), b["withdrawalsRoot"], b["hash"])
	return map[string]any{
		"version": "0x" + strings.Repeat("00", 32), "outputRoot": root, "blockRef": w.ref(3), "withdrawalStorageRoot": b["withdrawalsRoot"], "stateRoot": state,
	}
}

// A light relay has an epoch, and not headers.
func TestAskLight(t *testing.T) {
	w := newWorld(t)
	w.kind, w.marked = relay.KindLight, 4*2016
	st := w.watch(nil).Ask(t.Context())
	p := st.Relay.Position
	if !p.Known || p.V.EpochGap != 1 || p.V.Due != 10084 || int(p.V.LagBlocks) != len(w.headers)-10084 || !p.V.Agrees {
		t.Fatalf("the relay is %+v", p)
	}
	if st.Good() {
		t.Error("a retarget that is due is good")
	}
	if got := tableOf(t, st); !strings.Contains(got, "no proofs, now") || !strings.Contains(got, "could be submitted since block 10084") {
		t.Errorf("for people it is\n%s", got)
	}
}

// While it runs it has a state, and it ends when it is told.
func TestRun(t *testing.T) {
	w := newWorld(t)
	registry := new(perfcore.Registry)
	c := DefaultConfig()
	c.Execution = []endpoint.Endpoint{{Name: "exec", URL: w.exec.URL, Rate: 1e6}}
	c.OpNodes = []endpoint.Endpoint{{Name: "node", URL: w.node.URL, Rate: 1e6}}
	c.Relay[0], c.Kind = 1, relay.KindFull
	watch, err := New(c, w, registry)
	if err != nil {
		t.Fatal(err)
	}
	if st := watch.Status(); st.Relay != nil || st.Survey != nil || len(st.Heads) != 0 || len(st.Nodes) != 2 {
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
		st := watch.Status()
		if st.Relay != nil && st.Relay.Position.Known && st.Survey != nil && st.Survey.Outputs.Agree && len(st.Heads) == 3 && st.Heads[0].Sources == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the state stays %+v", st)
		}
	}
	want := map[string]float64{"outrider_bob_forks_not_ready": 0, "outrider_bob_outputs_disagree": 0}
	for _, s := range registry.Series() {
		if v, ok := want[s.Metric.Name]; ok && s.Gauge.Value() != v {
			t.Errorf("%s is %v", s.Metric.Name, s.Gauge.Value())
		}
	}
	if len(watch.Knobs()) != 4 {
		t.Errorf("the knobs are %v", watch.Knobs())
	}
}

func TestSurveyMetrics(t *testing.T) {
	w := newWorld(t)
	w.answers["optimism_outputAtBlock"] = w.opNodeOutput("0x" + strings.Repeat("11", 32))
	w.answers["eth_config"] = map[string]any{"current": map[string]any{"activationTime": 1746806401, "chainId": "0x1"}}
	registry := new(perfcore.Registry)
	c := DefaultConfig()
	c.Execution = []endpoint.Endpoint{{Name: "exec", URL: w.exec.URL, Rate: 1e6}}
	c.OpNodes = []endpoint.Endpoint{{Name: "node", URL: w.node.URL, Rate: 1e6}}
	watch, err := New(c, nil, registry)
	if err != nil {
		t.Fatal(err)
	}
	if st := watch.Ask(t.Context()); st.Relay != nil || st.Good() {
		t.Errorf("without a relay: %+v", st)
	}
	for _, s := range registry.Series() {
		if (s.Metric.Name == "outrider_bob_forks_not_ready" || s.Metric.Name == "outrider_bob_outputs_disagree") && s.Gauge.Value() != 1 {
			t.Errorf("%s is %v", s.Metric.Name, s.Gauge.Value())
		}
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(DefaultConfig(), nil, nil); err == nil || !strings.Contains(err.Error(), "OUTRIDER_BOB_L2") {
		t.Errorf("without nodes: %v", err)
	}
	c := DefaultConfig()
	c.OpNodes = []endpoint.Endpoint{{Name: "x", URL: "http://127.0.0.1:1"}}
	c.Relay[0] = 1
	if _, err := New(c, nil, nil); err == nil || !strings.Contains(err.Error(), "bob-relay-kind") || !strings.Contains(err.Error(), "bob-relay:") {
		t.Errorf("all mistakes: %v", err)
	}
	why := errors.New("there is none")
	absent := WithoutBitcoin(why)
	_, err1 := absent.BlockHash(t.Context(), 1)
	_, err2 := absent.Headers(t.Context(), nil)
	_, err3 := absent.Header(t.Context(), [32]byte{})
	if !errors.Is(err1, why) || !errors.Is(err2, why) || !errors.Is(err3, why) {
		t.Errorf("%v, %v, %v", err1, err2, err3)
	}
}

// What is set of the nodes of the L2 is set of all of them, whatever their role, and each
// knob is there once.
func TestKnobsOfAllNodes(t *testing.T) {
	w := newWorld(t).watch(func(c *Config) { c.OpNodes[0].Calls = 3 })
	seen := make(map[string]bool)
	for _, k := range w.Knobs() {
		if seen[k.Name] {
			t.Errorf("there are two knobs %s", k.Name)
		}
		seen[k.Name] = true
		if err := k.Set(t.Context(), k.Ladder[1]); err != nil {
			t.Error(err)
		}
	}
	for _, p := range []*endpoint.Pool{w.exec, w.nodes, w.opNodes()[0].pool} {
		for _, k := range p.Knobs() {
			if !seen[k.Name] || k.Read() != k.Ladder[1] {
				t.Errorf("%s of some nodes is at %d, want %d", k.Name, k.Read(), k.Ladder[1])
			}
		}
	}
}
