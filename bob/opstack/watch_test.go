package opstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/perfcore"
)

// A rollup is a chain with an op-node and an execution client that speak JSON-RPC, and
// their faults.
type rollup struct {
	mu      sync.Mutex // guards what follows
	headers []*types.Header
	safe    uint64
	// cached, unless 0, is the height that the op-node's cache answers with.
	cached uint64
	// target, unless 0, is by how much the op-node's unsafe head is beyond the chain.
	target uint64
	// stuck, unless 0, is where the execution client stands.
	stuck            uint64
	syncing, fresh   bool // the client syncs; it was not told a safe head
	limited, torn    bool // it limits the rate; the op-node answers while it moves
	nodeURL, execURL string
}

func newRollup(t testing.TB) *rollup {
	c := new(rollup)
	for range 20 {
		c.grow()
	}
	for path, serve := range map[*string]func(string, []json.RawMessage) (any, int){&c.nodeURL: c.node, &c.execURL: c.exec} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var call struct {
				ID     json.RawMessage
				Method string
				Params []json.RawMessage
			}
			if json.NewDecoder(r.Body).Decode(&call) != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			c.mu.Lock()
			result, status := serve(call.Method, call.Params)
			c.mu.Unlock()
			w.WriteHeader(status)
			key := "result"
			if _, failed := result.(error); failed {
				key, result = "error", map[string]any{"code": -32000, "message": fmt.Sprint(result)}
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": call.ID, key: result}) // the client may have left
		}))
		t.Cleanup(s.Close)
		*path = s.URL
	}
	return c
}

// grow adds a block.
func (c *rollup) grow() {
	h := &types.Header{
		Number: big.NewInt(int64(len(c.headers))), Difficulty: new(big.Int), Time: uint64(time.Now().Unix()), Extra: []byte{},
		WithdrawalsHash: &types.EmptyWithdrawalsHash,
	}
	if len(c.headers) > 0 {
		h.ParentHash = c.headers[len(c.headers)-1].Hash()
	}
	c.headers = append(c.headers, h)
	c.safe = uint64(len(c.headers) / 2)
}

// change changes the chain or what is wrong with its nodes.
func (c *rollup) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// ref returns the block at a height, invented if the chain is not so long.
func (c *rollup) ref(n uint64) Ref {
	if n < uint64(len(c.headers)) {
		return refOf(c.headers[n])
	}
	return Ref{Hash: common.Hash{0xee, byte(n)}, Number: n, Time: uint64(time.Now().Unix())}
}

func (c *rollup) tip() uint64 { return uint64(len(c.headers) - 1) }

// node answers as op-node.
func (c *rollup) node(method string, params []json.RawMessage) (any, int) {
	switch method {
	case "optimism_rollupConfig":
		return json.RawMessage(bobConfig + "}"), http.StatusOK
	case "optimism_outputAtBlock":
		h := c.headers[number(params[0])]
		root := OutputRoot(h.Root, *h.WithdrawalsHash, h.Hash())
		return map[string]any{
			"version": common.Hash{}, "outputRoot": root, "blockRef": refOf(h), "stateRoot": h.Root, "withdrawalStorageRoot": h.WithdrawalsHash,
		}, http.StatusOK
	}
	unsafe, safe := c.tip(), c.safe
	if c.cached > 0 {
		unsafe, safe = c.cached, c.cached/2
	}
	if c.torn {
		safe = unsafe + 1
	}
	return SyncStatus{
		UnsafeL2: c.ref(unsafe + c.target), SafeL2: c.ref(safe), FinalizedL2: c.ref(safe / 2), LocalSafeL2: c.ref(safe),
	}, http.StatusOK
}

// exec answers as an execution client.
func (c *rollup) exec(method string, params []json.RawMessage) (any, int) {
	if c.limited {
		return errors.New("too many requests"), http.StatusTooManyRequests
	}
	tip := c.tip()
	if c.stuck > 0 {
		tip = c.stuck
	}
	switch method {
	case "eth_chainId":
		return "0xed88", http.StatusOK
	case "eth_syncing":
		if c.syncing {
			return map[string]any{"stages": []any{}}, http.StatusOK
		}
		return false, http.StatusOK
	}
	n := tip
	switch tag := string(params[0]); {
	case tag == `"latest"`:
	case tag == `"safe"` || tag == `"finalized"`:
		if c.fresh {
			return errors.New("safe block not found"), http.StatusOK
		}
		if n = c.safe; tag != `"safe"` {
			n /= 2
		}
	default:
		n = number(params[0])
	}
	return c.headers[n], http.StatusOK
}

func number(param json.RawMessage) uint64 {
	n, err := strconv.ParseUint(string(param[3:len(param)-1]), 16, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// client returns a client of one node.
func client(t testing.TB, url string, role endpoint.Role) Client {
	t.Helper()
	p, err := endpoint.Open(t.Context(), endpoint.Options{
		Layer: "l2", ChainID: 60808, Role: role, Endpoints: []endpoint.Endpoint{{Name: "one", URL: url, Rate: 1e6}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return Client{p}
}

// The watcher sees each fault of a node within a few questions, over JSON-RPC, and sees
// it go.
func TestWatcher(t *testing.T) {
	c := newRollup(t)
	registry := new(perfcore.Registry)
	states := make(chan State, 1)
	w, err := NewWatcher(WatcherConfig{
		Sources: []Source{
			{"node", OpNode, client(t, c.nodeURL, endpoint.OpNode)},
			{"exec", Execution, client(t, c.execURL, endpoint.Execution)},
		},
		Heads:    HeadsConfig{BlockTime: 20 * time.Millisecond, MaxAge: 300 * time.Millisecond},
		Interval: func() time.Duration { return 2 * time.Millisecond },
		Recorder: registry,
		Report: func(st State) {
			select { // only the newest is of interest
			case <-states:
			default:
			}
			states <- st
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if w.State() != nil {
		t.Error("there is a state before the first answer")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	defer running.Wait()
	defer cancel()

	patience := time.After(30 * time.Second)
	block := time.NewTicker(20 * time.Millisecond)
	defer block.Stop()
	// until lets blocks come until a state is as wanted.
	until := func(what string, wanted func(State) bool) {
		t.Helper()
		var last State
		for {
			select {
			case last = <-states:
				if wanted(last) {
					return
				}
			case <-block.C:
				c.change(c.grow)
			case <-patience:
				t.Fatalf("no state in which %s; the last: %+v", what, last)
			}
		}
	}
	fault := func(source string, k FaultKind) func(State) bool {
		return func(st State) bool {
			return slices.ContainsFunc(st.Faults, func(f Fault) bool { return f.Source == source && f.Kind == k })
		}
	}
	healthy := func(st State) bool {
		return len(st.Faults) == 0 && st.Heads[Unsafe].Sources == 2 && st.Heads[Safe].Sources == 2 && st.Heads[Finalized].Sources == 2
	}
	until("all is well", healthy)
	for _, tt := range []struct {
		name   string
		begin  func()
		end    func()
		wanted func(State) bool
	}{
		{"a cache goes back", func() { c.cached = c.tip() - 5 }, func() { c.cached = 0 }, fault("node", Stale)},
		{"the op-node names a target", func() { c.target = 1000 }, func() { c.target = 0 }, fault("node", SyncTarget)},
		{"the client is syncing", func() { c.syncing = true }, func() { c.syncing = false }, fault("exec", SyncTarget)},
		{"a status is torn", func() { c.torn = true }, func() { c.torn = false }, fault("node", Unordered)},
		{"the client hangs", func() { c.stuck = c.tip() }, func() { c.stuck = 0 }, fault("exec", Stale)},
		{"the client limits the rate", func() { c.limited = true }, func() { c.limited = false }, fault("exec", Silent)},
		{"the client has no safe head", func() { c.fresh = true }, func() { c.fresh = false }, func(st State) bool {
			return st.Heads[Unsafe].Sources == 2 && st.Heads[Safe].Sources == 1 && st.Heads[Finalized].Sources == 1
		}},
	} {
		c.change(tt.begin)
		until(tt.name, tt.wanted)
		c.change(tt.end)
		until("all is well after "+tt.name, healthy)
	}
	gauges := make(map[string]float64)
	for _, s := range registry.Series() {
		if s.Gauge != nil {
			gauges[s.Metric.Name+" "+s.Metric.Labels[1]] = s.Gauge.Value()
		}
	}
	if h := gauges["outrider_bob_head_height unsafe"]; h < 20 || gauges["outrider_bob_head_sources safe"] < 1 {
		t.Errorf("gauges: %v", gauges)
	}
}

// An op-node and its execution client commit to one state.
func TestOutputsOfNodes(t *testing.T) {
	c := newRollup(t)
	node, exec := client(t, c.nodeURL, endpoint.OpNode), client(t, c.execURL, endpoint.Execution)
	config, err := node.RollupConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	compare := func() error {
		a, err := node.OutputAtBlock(t.Context(), 7)
		if err != nil {
			t.Fatal(err)
		}
		b, err := exec.OutputOf(t.Context(), &config.Forks, 7)
		if err != nil {
			t.Fatal(err)
		}
		return CompareOutputs([]NodeOutput{{"node", *a}, {"exec", *b}})
	}
	if err := compare(); err != nil {
		t.Error(err)
	}
	// The client comes to be on another branch.
	forked := newRollup(t)
	forked.change(func() {
		forked.headers[7] = types.CopyHeader(c.headers[7])
		forked.headers[7].GasUsed = 1
	})
	exec = client(t, forked.execURL, endpoint.Execution)
	if d, ok := errors.AsType[*Disagreement](compare()); !ok || d.SameBlock {
		t.Errorf("two branches: %v", d)
	}
}

func TestNewWatcher(t *testing.T) {
	for _, sources := range [][]Source{nil, {{Kind: OpNode}}, {{Name: "a", Kind: OpNode}, {Name: "a", Kind: Execution}}, {{Name: "a"}}} {
		if _, err := NewWatcher(WatcherConfig{Sources: sources}); err == nil {
			t.Errorf("%+v is taken", sources)
		}
	}
}

// BenchmarkRefresh is one question to both sources and the state from their answers, on
// the loopback; the anchor is one call.
func BenchmarkRefresh(b *testing.B) {
	c := newRollup(b)
	node, exec := client(b, c.nodeURL, endpoint.OpNode), client(b, c.execURL, endpoint.Execution)
	b.Run("call", func(b *testing.B) {
		for b.Loop() {
			if _, err := exec.Header(b.Context(), Unsafe); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("state", func(b *testing.B) {
		w, err := NewWatcher(WatcherConfig{Sources: []Source{{"node", OpNode, node}, {"exec", Execution, exec}}})
		if err != nil {
			b.Fatal(err)
		}
		var took []time.Duration
		for b.Loop() {
			start := time.Now()
			for _, s := range w.cfg.Sources {
				w.tracking.Observe(w.ask(b.Context(), s))
			}
			if st := w.tracking.State(time.Now()); st.Heads[Unsafe].Sources != 2 {
				b.Fatalf("%+v", st)
			}
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	})
}
