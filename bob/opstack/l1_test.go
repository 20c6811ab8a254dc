package opstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/perfcore"
)

// A crossing is an L1 of a hundred blocks and an L2 whose heads are derived from three of them, and
// a client of each that speaks JSON-RPC.
type crossing struct {
	t      testing.TB
	l1, l2 *httptest.Server

	mu     sync.Mutex // guards what follows
	chain  []*types.Header
	heads  [labels]int // of L1
	blobs  map[int]uint64
	blob   uint64 // the next block's
	blocks [labels]map[string]json.RawMessage
	// answers replace those of the clients, by method: a string is an error.
	answers map[string]string
	calls   map[string]int
}

const (
	l1ChainID, l2ChainID = 11155111, 60808
	gwei                 = 1_000_000_000
)

func newCrossing(t testing.TB) *crossing {
	c := &crossing{t: t, heads: [labels]int{99, 67, 35}, blobs: map[int]uint64{}, blob: 3 * gwei, answers: map[string]string{}, calls: map[string]int{}}
	now := time.Now().Unix()
	for i := range 100 {
		h := &types.Header{
			Number: big.NewInt(int64(i)), Difficulty: new(big.Int), Time: uint64(now - int64(99-i)*12), Extra: []byte{},
			BaseFee: big.NewInt(10*gwei + int64(i)), WithdrawalsHash: &types.EmptyWithdrawalsHash,
		}
		if i > 0 {
			h.ParentHash = c.chain[i-1].Hash()
		}
		c.chain, c.blobs[i] = append(c.chain, h), 3*gwei+uint64(i)
	}
	for l, origin := range [labels]int{95, 60, 30} {
		c.derive(Label(l), c.recorded(origin))
	}
	c.l1, c.l2 = c.serve(c.answerL1), c.serve(c.answerL2)
	return c
}

// recorded returns the attributes that L1's block at a height makes.
func (c *crossing) recorded(height int) *Attributes {
	h := c.chain[height]
	return &Attributes{
		Form: FormJovian, Number: uint64(height), Time: h.Time, Hash: h.Hash(), BaseFee: *uint256.MustFromBig(h.BaseFee), BlobBaseFee: *uint256.NewInt(c.blobs[height]),
	}
}

// derive has a head of the L2 have attributes.
func (c *crossing) derive(l Label, a *Attributes) {
	c.t.Helper()
	d := &Deposit{From: L1AttributesDepositor, To: &L1BlockAddress, Gas: 1_000_000, Data: a.Encode()}
	raw, err := d.MarshalBinary()
	if err != nil {
		c.t.Fatal(err)
	}
	h := &types.Header{
		Number: big.NewInt(1000 - 100*int64(l)), Difficulty: new(big.Int), Time: a.Time, Extra: []byte{}, TxHash: encodings{raw}.root(), WithdrawalsHash: &types.EmptyWithdrawalsHash,
	}
	c.blocks[l] = fieldsOf(c.t, h)
	tx := fieldsOf(c.t, d)
	tx["hash"] = asJSON(c.t, d.Hash())
	c.blocks[l]["hash"], c.blocks[l]["transactions"] = asJSON(c.t, h.Hash()), asJSON(c.t, []any{tx})
}

func asJSON(t testing.TB, v any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func fieldsOf(t testing.TB, v any) (fields map[string]json.RawMessage) {
	t.Helper()
	if err := json.Unmarshal(asJSON(t, v), &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

func (c *crossing) serve(answer func(method string, params []json.RawMessage) any) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var call struct {
			ID     json.RawMessage
			Method string
			Params []json.RawMessage
		}
		if json.NewDecoder(r.Body).Decode(&call) != nil {
			return
		}
		c.mu.Lock()
		result := answer(call.Method, call.Params)
		c.calls[call.Method]++
		replaced, there := c.answers[call.Method]
		c.mu.Unlock()
		if there {
			code := -32005
			if strings.HasPrefix(replaced, "the method") {
				code = -32601
			}
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q}}`, call.ID, code, replaced)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": call.ID, "result": result}) // the client may have left
	}))
	c.t.Cleanup(s.Close)
	return s
}

func labelOf(raw json.RawMessage) (Label, bool) {
	at := slices.Index([]string{`"latest"`, `"safe"`, `"finalized"`}, string(raw))
	return Label(max(at, 0)), at >= 0
}

func (c *crossing) answerL1(method string, params []json.RawMessage) any {
	switch method {
	case "eth_chainId":
		return hexutil.Uint64(l1ChainID)
	case "eth_blobBaseFee":
		return hexutil.Uint64(c.blob)
	case "eth_getBlockByNumber":
		var height hexutil.Uint64
		if l, ok := labelOf(params[0]); ok {
			height = hexutil.Uint64(c.heads[l])
		} else if err := json.Unmarshal(params[0], &height); err != nil {
			panic(err)
		}
		if int(height) >= len(c.chain) {
			return nil
		}
		fields := fieldsOf(c.t, c.chain[height])
		fields["hash"] = asJSON(c.t, c.chain[height].Hash())
		return fields
	case "eth_feeHistory":
		var height hexutil.Uint64
		if err := json.Unmarshal(params[1], &height); err != nil {
			panic(err)
		}
		return map[string]any{"baseFeePerBlobGas": []any{hexutil.Uint64(c.blobs[int(height)]), hexutil.Uint64(c.blob)}}
	}
	panic(method)
}

func (c *crossing) answerL2(method string, params []json.RawMessage) any {
	switch method {
	case "eth_chainId":
		return hexutil.Uint64(l2ChainID)
	case "eth_getBlockByNumber":
		l, ok := labelOf(params[0])
		if !ok {
			panic(string(params[0]))
		}
		return c.blocks[l]
	case "eth_getBlockByHash":
		for _, b := range c.blocks {
			if string(b["hash"]) == string(params[0]) {
				return b
			}
		}
		return nil
	}
	panic(method)
}

func (c *crossing) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// pool returns a pool of one client.
func (c *crossing) pool(layer, url string, chain uint64) *endpoint.Pool {
	c.t.Helper()
	p, err := endpoint.New(endpoint.Options{Layer: layer, ChainID: chain, Endpoints: []endpoint.Endpoint{{Name: "a", URL: url, Rate: 1e6}}})
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

func (c *crossing) watcher(rec perfcore.Recorder) *L1Watcher {
	c.t.Helper()
	w, err := NewL1Watcher(L1Config{L1: c.pool("l1", c.l1.URL, l1ChainID), L2: c.pool("l2", c.l2.URL, l2ChainID), Recorder: rec})
	if err != nil {
		c.t.Fatal(err)
	}
	return w
}

// L1's heads, what the L2's are derived from, and both's fees.
func TestL1(t *testing.T) {
	c := newCrossing(t)
	w := c.watcher(nil)
	if w.State() != nil {
		t.Error("there is a state before the first round")
	}
	st := w.Refresh(t.Context())
	if st != w.State() || len(st.Faults) != 0 {
		t.Fatalf("faults: %+v", st.Faults)
	}
	for l, origin := range [labels]int{95, 60, 30} {
		o, h := st.Origins[l], c.chain[c.heads[l]]
		if !st.Known[l] || st.Heads[l].Hash != h.Hash() || st.Heads[l].Number != h.Number.Uint64() || st.Heads[l].Time != h.Time {
			t.Errorf("%v: L1 is at %+v", Label(l), st.Heads[l])
		}
		if !o.Known || o.Block.Number != uint64(origin) || o.Block.Hash != c.chain[origin].Hash() || o.Head.Number != uint64(1000-100*l) || o.Standing != StandingCanonical ||
			o.Final != (origin <= 35) || o.Behind != uint64(99-origin) {
			t.Errorf("%v: derived from %+v", Label(l), o)
		}
	}
	for name, p := range map[string]struct {
		price              L1Price
		now, recorded, was uint64
	}{
		"base": {st.Base, 10*gwei + 99, 10*gwei + 95, 10*gwei + 95},
		"blob": {st.Blob, 3 * gwei, 3*gwei + 95, 3*gwei + 95},
	} {
		if p.price.Now.Uint64() != p.now || p.price.Recorded.Uint64() != p.recorded || p.price.AtOrigin.Uint64() != p.was {
			t.Errorf("%s: %+v", name, p.price)
		}
	}
	if drift, ok := st.Base.Drift(); !ok || math.Abs(drift) > 1e-6 {
		t.Errorf("the drift is %v", drift)
	}
	// Blocks that were read are not read again.
	c.change(func() { clear(c.calls) })
	if w.Refresh(t.Context()); c.calls["eth_getBlockByHash"] != 0 || c.calls["eth_feeHistory"] != 1 {
		t.Errorf("the second round calls %v", c.calls)
	}
}

// Each thing that can be wrong is a fault of its kind, and of no other.
func TestL1Faults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(c *crossing)
		want   []string
	}{
		{"an origin that L1 left", func(c *crossing) {
			a := c.recorded(95)
			a.Hash[3] ^= 1
			c.derive(Unsafe, a)
		}, []string{"l1-origin-gone unsafe"}},
		{"a final head from what L1 left", func(c *crossing) {
			a := c.recorded(30)
			a.Hash[3] ^= 1
			c.derive(Finalized, a)
		}, []string{"l1-origin-gone finalized"}},
		{"a final head from what is not", func(c *crossing) { c.derive(Finalized, c.recorded(36)) }, []string{"l1-origin-not-final finalized"}},
		{"another base fee", func(c *crossing) {
			a := c.recorded(95)
			a.BaseFee.AddUint64(&a.BaseFee, 1)
			c.derive(Unsafe, a)
		}, []string{"l1-fees-differ unsafe"}},
		{"another blob fee", func(c *crossing) { c.blobs[95]++ }, []string{"l1-fees-differ unsafe"}},
		{"fees that rose", func(c *crossing) { c.blob = 6 * gwei }, []string{"l1-fees-drift unsafe"}},
		{"fees that fell", func(c *crossing) { c.blob = gwei }, []string{"l1-fees-drift unsafe"}},
		{"fees that are next to nothing", func(c *crossing) {
			c.blob, c.blobs[95] = 9_000_000, 1
			c.derive(Unsafe, c.recorded(95))
		}, nil},
		{"a fee that was nothing", func(c *crossing) {
			c.blobs[95] = 0
			c.derive(Unsafe, c.recorded(95))
		}, []string{"l1-fees-drift unsafe"}},
		{"heads out of order", func(c *crossing) { c.heads[Safe] = 34 }, []string{"l1-unordered finalized"}},
		{"a client that is behind", func(c *crossing) { c.heads[Unsafe] = 80 }, []string{"l1-late unsafe"}},
		{"a client that is behind with all", func(c *crossing) { c.heads = [labels]int{60, 40, 20} }, []string{"l1-late unsafe"}},
		{"an old head", func(c *crossing) { c.heads = [labels]int{93, 67, 35}; c.derive(Unsafe, c.recorded(93)) }, []string{"l1-late unsafe"}},
		{"no fees of blobs", func(c *crossing) {
			c.answers["eth_blobBaseFee"] = "the method is not there"
			c.answers["eth_feeHistory"] = "the method is not there"
		}, nil},
		{"an L1 that limits", func(c *crossing) { c.answers["eth_getBlockByNumber"] = "limit exceeded" }, []string{"l1-silent unsafe", "l1-silent safe", "l1-silent finalized"}},
		{"an L2 that limits", func(c *crossing) { c.answers["eth_getBlockByHash"] = "limit exceeded" }, nil},
	} {
		c := newCrossing(t)
		c.change(func() { tt.change(c) })
		st := c.watcher(nil).Refresh(t.Context())
		var got []string
		for _, f := range st.Faults {
			got = append(got, fmt.Sprintf("%s %v", f.Kind, f.Head))
			if f.Detail == "" || f.Kind.Contradicts() != (f.Kind == OriginGone || f.Kind == OriginNotFinal || f.Kind == FeesDiffer) {
				t.Errorf("%s: %+v", tt.name, f)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		switch tt.name {
		case "a final head from what L1 left":
			if o := st.Origins[Finalized]; o.Final || o.Standing != StandingGone || o.Behind != 69 {
				t.Errorf("%s: %+v", tt.name, o)
			}
		case "a client that is behind":
			if o := st.Origins[Unsafe]; o.Standing != StandingAhead || o.Final || o.Behind != 0 {
				t.Errorf("%s: %+v", tt.name, o)
			}
		case "no fees of blobs":
			if st.Blob.Now != nil || st.Blob.AtOrigin != nil || st.Base.AtOrigin == nil {
				t.Errorf("%s: %+v", tt.name, st.Blob)
			}
		case "an L2 that limits":
			if o := st.Origins[Safe]; o.Known || o.Err == nil || st.Base.Recorded != nil {
				t.Errorf("%s: %+v", tt.name, o)
			}
		case "an L1 that limits":
			if st.Errs[Safe] == nil || st.Origins[Safe].Known {
				t.Errorf("%s: %+v", tt.name, st)
			}
		}
	}
}

// An L1 of another chain is not believed, and one that is not there is not known.
func TestL1OfAnotherChain(t *testing.T) {
	c := newCrossing(t)
	w, err := NewL1Watcher(L1Config{L1: c.pool("l1", c.l1.URL, 1), L2: c.pool("l2", c.l2.URL, l2ChainID)})
	if err != nil {
		t.Fatal(err)
	}
	st := w.Refresh(t.Context())
	if !errors.Is(st.Errs[Unsafe], endpoint.WrongChain) || st.Known != [labels]bool{} || st.Origins[Safe].Standing != StandingUnknown || !st.Origins[Safe].Known || len(st.Faults) != 3 {
		t.Errorf("of another chain: %+v", st)
	}
	alone, err := NewL1Watcher(L1Config{L1: c.pool("l1", c.l1.URL, l1ChainID)})
	if err != nil {
		t.Fatal(err)
	}
	if st := alone.Refresh(t.Context()); len(st.Faults) != 0 || !st.Known[Finalized] || st.Origins[Unsafe].Known || st.Base.Now == nil {
		t.Errorf("without an L2: %+v", st)
	}
	if _, err := NewL1Watcher(L1Config{}); err == nil {
		t.Error("a watcher asks nobody")
	}
	if got := Standing(9%4).String() + StandingGone.String(); !strings.Contains(got, "not in the chain") {
		t.Error(got)
	}
}

// The metrics are what the state says, and no number where it is not known; Run ends when it is told.
func TestL1Instruments(t *testing.T) {
	c := newCrossing(t)
	registry := new(perfcore.Registry)
	w := c.watcher(registry)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	for w.State() == nil {
		<-time.After(time.Millisecond)
	}
	cancel()
	running.Wait()
	value := func(name string, labels ...string) float64 {
		t.Helper()
		for _, s := range registry.Series() {
			if s.Metric.Name == "outrider_bob_l1_"+name && slices.Equal(s.Metric.Labels, labels) {
				return s.Gauge.Value()
			}
		}
		t.Fatalf("there is no %s %v", name, labels)
		return 0
	}
	check := func(when string, want float64, name string, labels ...string) {
		t.Helper()
		if got := value(name, labels...); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("%s: %s %v is %v, want %v", when, name, labels, got, want)
		}
	}
	w.Refresh(t.Context())
	check("known", 67, "height", "head", "safe")
	check("known", 39, "origin_behind_blocks", "head", "safe")
	check("known", 10*gwei+99, "fee_wei", "fee", "base", "of", "l1")
	check("known", 3*gwei+95, "fee_wei", "fee", "blob", "of", "l2")
	check("known", 0, "faults", "fault", "l1-late")
	if got := value("age_seconds", "head", "finalized"); got < 64*12 || got > 64*12+30 {
		t.Errorf("the finalized block is %v s old", got)
	}
	if got := value("fee_drift_ratio", "fee", "base"); got <= 0 || got > 1e-6 {
		t.Errorf("the drift is %v", got)
	}
	nan := math.NaN()
	c.change(func() { c.answers["eth_getBlockByNumber"] = "limit exceeded" })
	w.Refresh(t.Context())
	check("silent", nan, "height", "head", "safe")
	check("silent", nan, "age_seconds", "head", "safe")
	check("silent", nan, "origin_behind_blocks", "head", "safe")
	check("silent", nan, "fee_wei", "fee", "base", "of", "l1")
	check("silent", nan, "fee_drift_ratio", "fee", "base")
	check("silent", 3, "faults", "fault", "l1-silent")
	for _, s := range registry.Series() {
		if s.Metric.Name == "outrider_bob_l1_faults" {
			kind := L1FaultKind(s.Metric.Labels[1])
			if (s.Metric.Alert.Name == "bob_l1_contradicts") != kind.Contradicts() {
				t.Errorf("%s has the alert %q", kind, s.Metric.Alert.Name)
			}
		}
	}
}
