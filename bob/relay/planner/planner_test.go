package planner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/holiman/uint256"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/relaytest"
)

// startHeight is where the chains of these tests begin.
const startHeight = 10 * relaytest.Epoch

// A node answers the views of a FullRelay, that there is at one address.
type node struct {
	best, genesis common.Hash
	heights       map[common.Hash]uint64
	batches       int
	// fail, unless nil, is what becomes of the findHeight calls of a header.
	fail func(common.Hash) error
}

// unknown is what a node says of a header that the relay does not know.
func unknown() error {
	data := append([]byte{0x08, 0xc3, 0x79, 0xa0}, common.LeftPadBytes([]byte{32}, 32)...)
	data = append(data, common.LeftPadBytes([]byte{13}, 32)...)
	return &endpoint.Error{Kind: endpoint.Reverted, Data: append(data, common.RightPadBytes([]byte(unknownBlock), 32)...)}
}

func (n *node) Call(context.Context, string, ...any) (json.RawMessage, error) {
	return nil, errors.New("only views are asked for")
}

func (n *node) Batch(_ context.Context, method string, params [][]any) []endpoint.Result {
	n.batches++
	results := make([]endpoint.Result, len(params))
	for i, p := range params {
		data := view(p[0].(map[string]any)["data"].(hexutil.Bytes))
		var w common.Hash
		switch {
		case method != "eth_call":
			results[i].Err = errors.New("only views are asked for")
			continue
		case slices.Equal(data, getBestKnownDigest):
			w = n.best
		case slices.Equal(data, getRelayGenesis), slices.Equal(data, getLastReorgCommonAncestor):
			w = n.genesis
		case slices.Equal(data[:4], findHeight):
			key := common.Hash(data[4:])
			height, ok := n.heights[key]
			if n.fail != nil {
				results[i].Err = n.fail(key)
			}
			if !ok && results[i].Err == nil {
				results[i].Err = unknown()
			}
			w = common.BigToHash(new(big.Int).SetUint64(height))
		}
		if results[i].Err == nil {
			results[i].Raw = json.RawMessage(fmt.Sprintf("%q", w.Hex()))
		}
	}
	return results
}

// chain returns a chain of some more than two periods, and a tree of it.
var chain = func() func(testing.TB) (*relaytest.Bitcoin, *headers.Tree, []header.Header) {
	var b *relaytest.Bitcoin
	var all []header.Header
	return func(t testing.TB) (*relaytest.Bitcoin, *headers.Tree, []header.Header) {
		if b == nil {
			b = relaytest.NewBitcoin(startHeight)
			all = append([]header.Header{b.Start}, b.Mine(t, b.Start, 2*relaytest.Epoch+300)...)
		}
		return b, b.Tree(t, all[1:]), all
	}
}()

// knows returns a node whose relay knows the headers up to one, of which best is marked.
func knows(all []header.Header, genesis, stored, best int) *node {
	n := &node{best: common.Hash(all[best].Hash()), genesis: common.Hash(all[genesis].Hash()), heights: map[common.Hash]uint64{}}
	for i := genesis; i <= stored; i++ {
		n.heights[common.Hash(all[i].Hash())] = uint64(startHeight + i)
	}
	n.heights[common.Hash(all[0].Hash())] = startHeight // the start of the period
	return n
}

var target = Target{Kind: relay.KindFull, Relay: common.Address{1}, Multicall: common.Address{2}}

func head() *Head {
	return &Head{Number: 7, Time: 1_900_000_000, GasLimit: 30_000_000, Hash: common.Hash{7}, BaseFee: big.NewInt(1e6)}
}

// TestStoredIsFound has relays know some headers more than the best: the last is found, with
// few questions.
func TestStoredIsFound(t *testing.T) {
	_, tree, all := chain(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		best := 1 + rng.IntN(len(all)-1)
		stored := best + rng.IntN(len(all)-best)
		if i%4 == 0 {
			stored = min(best+rng.IntN(3), len(all)-1)
		}
		n := knows(all, 0, stored, best)
		s, err := ReadFull(t.Context(), n, &target, tree, head())
		if err != nil {
			t.Fatal(err)
		}
		if s.Stored.Hash != all[stored].Hash() || s.Best.Hash != all[best].Hash() || s.Fork.Hash != s.Best.Hash || s.GenesisHeight != startHeight {
			t.Errorf("best %d, stored %d: %d is found", best, stored, s.Stored.Height-startHeight)
		}
		if n.batches > 7 {
			t.Errorf("best %d, stored %d: %d batches", best, stored, n.batches)
		}
		if crosses := (len(all)-1)/relaytest.Epoch > stored/relaytest.Epoch; crosses != (s.PeriodStart != nil) {
			t.Errorf("stored %d: the start of its period is %v", stored, s.PeriodStart)
		}
	}
}

// TestFailureIsNotUnknown has each kind of failure, and reverts of other kinds, become of
// questions for headers: no plan is made. Only the contract's own words are believed.
func TestFailureIsNotUnknown(t *testing.T) {
	_, tree, all := chain(t)
	tip := common.Hash(all[len(all)-1].Hash())
	stored := len(all) - 10
	failures := map[string]error{
		"reverted without data":    &endpoint.Error{Kind: endpoint.Reverted},
		"reverted with other data": &endpoint.Error{Kind: endpoint.Reverted, Data: []byte{1, 2, 3, 4}},
		"an error of another kind": errors.New("no"),
		"a panic":                  &endpoint.Error{Kind: endpoint.Reverted, Data: append([]byte{0x4e, 0x48, 0x7b, 0x71}, common.LeftPadBytes([]byte{0x11}, 32)...)},
	}
	for _, kind := range endpoint.Kinds {
		if kind != endpoint.Reverted {
			failures[string(kind)] = &endpoint.Error{Kind: kind, Message: "execution reverted: Unknown block"}
		}
	}
	for name, failure := range failures {
		n := knows(all, 0, stored, stored)
		n.fail = func(h common.Hash) error {
			if h == tip {
				return failure
			}
			return nil
		}
		if s, err := ReadFull(t.Context(), n, &target, tree, head()); err == nil {
			t.Errorf("%s: %+v", name, s.Stored)
		}
	}
	n := knows(all, 0, stored, stored)
	n.fail = func(h common.Hash) error {
		if h == tip {
			return unknown()
		}
		return nil
	}
	if _, err := ReadFull(t.Context(), n, &target, tree, head()); err != nil {
		t.Errorf("the contract's own words: %v", err)
	}
}

// TestDisagreement has relays that are of another chain than the headers.
func TestDisagreement(t *testing.T) {
	_, tree, all := chain(t)
	last := len(all) - 1
	for name, tt := range map[string]struct {
		spoil func(*node)
		want  error
	}{
		"a best header that nobody knows":   {func(n *node) { n.best = common.Hash{1} }, ErrUnknownBest},
		"another height of the best":        {func(n *node) { n.heights[n.best]++ }, ErrDiverged},
		"a best that the relay forgot":      {func(n *node) { delete(n.heights, n.best) }, ErrDiverged},
		"another height of a stored one":    {func(n *node) { n.heights[common.Hash(all[last-3].Hash())] = 5 }, ErrDiverged},
		"another height of the period's":    {func(n *node) { n.heights[common.Hash(all[relaytest.Epoch].Hash())] = 5 }, ErrDiverged},
		"a period's first that it does not": {func(n *node) { delete(n.heights, common.Hash(all[relaytest.Epoch].Hash())) }, ErrDiverged},
	} {
		n := knows(all, 0, relaytest.Epoch+500, relaytest.Epoch+500)
		if strings.Contains(name, "stored") {
			n = knows(all, 0, last-3, last-10)
		}
		tt.spoil(n)
		if _, err := ReadFull(t.Context(), n, &target, tree, head()); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// situation reads and plans.
func situation(t *testing.T, n *node, tree *headers.Tree, on *Target) *Situation {
	t.Helper()
	s, err := ReadFull(t.Context(), n, on, tree, head())
	if err != nil {
		t.Fatal(err)
	}
	plan, err := s.Plan(on, tree)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// TestVerdicts plans in each situation.
func TestVerdicts(t *testing.T) {
	b, tree, all := chain(t)
	last := len(all) - 1
	verify := target
	verify.Kind = relay.KindFullWithVerify
	s := situation(t, knows(all, 0, last-5, last-5), tree, &verify)
	if s.Verdict != Behind || s.Behind != 5 || s.Plan.Headers != 5 || len(s.Plan.Transactions) != 1 || s.ForkDepth != 0 ||
		len(s.Notes) != 1 || !strings.Contains(s.Notes[0], fmt.Sprint(startHeight+last-261)) {
		t.Errorf("five behind: %+v", s)
	}
	if s := situation(t, knows(all, 0, last, last), tree, &target); s.Verdict != InStep || s.Plan != nil {
		t.Errorf("in step: %+v", s)
	}
	s = situation(t, knows(all, 0, last, last-5), tree, &target)
	if s.Verdict != Behind || s.Plan.Headers != 0 || len(s.Plan.Transactions) != 1 || s.Plan.Transactions[0].Calls[0].Function != "markNewHeaviest" {
		t.Errorf("stored and not marked: %+v", s)
	}
	// A branch of Bitcoin that is as long as the relay's.
	branch := b.Mine(t, all[last-4], 3)
	if _, err := tree.Add(branch, relaytest.Now); err != nil {
		t.Fatal(err)
	}
	other := slices.Concat(all[:last-3], branch)
	s = situation(t, knows(other, 0, len(other)-1, len(other)-1), tree, &target)
	if s.Verdict != Behind || s.ForkDepth != 3 || !strings.Contains(s.Why, "3 headers deep") {
		t.Errorf("a reorganisation: %+v", s)
	}
	// The relay is on the branch with the most headers, and Bitcoin's tree not yet.
	tree = b.Tree(t, all[1:last])
	if _, err := tree.Add(branch, relaytest.Now); err != nil {
		t.Fatal(err)
	}
	if s = situation(t, knows(other, 0, len(other)-1, len(other)-1), tree, &target); s.Verdict != Waiting || s.Plan != nil {
		t.Errorf("as much work: %+v", s)
	}
}

// TestMarksOnTheWay has far more headers stored than marked: a mark reaches over a period.
func TestMarksOnTheWay(t *testing.T) {
	_, tree, all := chain(t)
	best := 5
	for steps := 0; ; steps++ {
		s := situation(t, knows(all, 0, len(all)-2, best), tree, &target)
		if s.Verdict == InStep {
			t.Fatal("it is in step too early")
		}
		tx := s.Plan.Transactions[0]
		last := tx.Calls[len(tx.Calls)-1]
		marked := header.Header(last.Args[1])
		to := slices.IndexFunc(all, func(h header.Header) bool { return h == marked })
		if to <= best || to-best > relaytest.Epoch || steps > 5 {
			t.Fatalf("from %d a mark of %d", best, to)
		}
		if best = to; best == len(all)-1 {
			break
		}
	}
}

// TestReachesBack has a tree that does not reach back to what a plan needs.
func TestReachesBack(t *testing.T) {
	b, _, all := chain(t)
	tree, err := headers.NewTree(b.Params, headers.Base{
		Height: startHeight + 100, Work: all[100].Work(), Headers: all[100 : relaytest.Epoch+100],
	}, headers.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFull(t.Context(), knows(all, 0, 500, 500), &target, tree, head()); !errors.Is(err, ErrTooFar) {
		t.Errorf("without the first of the period: %v", err)
	}
}

// TestFees offers what a chain asks for, within a maximum.
func TestFees(t *testing.T) {
	h := head()
	h.BaseFee = big.NewInt(100)
	for _, tt := range []struct {
		tip, most        int64
		wantTip, wantMax int64
		refused          bool
		price            int64
	}{
		{10, 1000, 10, 210, false, 110},
		{0, 1000, 1, 201, false, 101},
		{10, 150, 10, 150, false, 110},
		{90, 150, 50, 150, false, 150},
		{10, 101, 1, 101, false, 101},
		{10, 100, 0, 0, true, 0},
		{10, 50, 0, 0, true, 0},
	} {
		f, err := h.Fees(big.NewInt(tt.tip), big.NewInt(tt.most))
		if tt.refused {
			if !errors.Is(err, ErrFeeAboveMaximum) {
				t.Errorf("a maximum of %d: %v", tt.most, err)
			}
			continue
		}
		if err != nil || f.Tip.Int64() != tt.wantTip || f.Max.Int64() != tt.wantMax || f.Price().Int64() != tt.price {
			t.Errorf("a tip of %d and a maximum of %d: %v %v %v, %v", tt.tip, tt.most, f.Tip, f.Max, f.Price(), err)
		}
	}
}

// TestCost adds up what a transaction costs on a chain of the OP Stack.
func TestCost(t *testing.T) {
	h := head()
	data := make([]byte, 8000)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	c, err := h.Cost(common.Address{1}, data, 1000, big.NewInt(7))
	if err != nil || c.Total.Int64() != 7000 || c.L1.Sign() != 0 || c.Operator.Sign() != 0 {
		t.Errorf("without L1 attributes: %+v, %v", c, err)
	}
	h.Fork = opstack.Jovian
	h.Attributes = &opstack.Attributes{
		Form: opstack.FormJovian, BaseFee: *uint256.NewInt(1e9), BaseFeeScalar: 1_000_000, OperatorFeeScalar: 3, OperatorFeeConstant: 11,
		DAFootprintGasScalar: 400,
	}
	c, err = h.Cost(common.Address{1}, data, 1000, big.NewInt(7))
	// 16 gas of L1 for each byte, of which there are somewhat more than the data's.
	low, high := int64(8000*16*836/1000*1e9/1), int64(8400*16*1e9)
	if err != nil || c.Operator.Int64() != 1000*3*100+11 || c.L1.Int64() < low || c.L1.Int64() > high ||
		c.Total.Int64() != 7000+c.L1.Int64()+c.Operator.Int64() {
		t.Errorf("%+v, %v; want an L1 fee of %d to %d", c, err, low, high)
	}
	if caps := h.Caps(); caps.FootprintScalar != 400 || caps.BlockGas != 30_000_000 || caps.TransactionGas != 1<<24 {
		t.Errorf("%+v", caps)
	}
}

// TestParseRevert decodes reverts of all forms, and what is none.
func TestParseRevert(t *testing.T) {
	for name, tt := range map[string]struct {
		data []byte
		want relay.Revert
	}{
		"a reason":       {errorData(unknown()), relay.Revert{Reason: "Unknown block"}},
		"a panic":        {append([]byte{0x4e, 0x48, 0x7b, 0x71}, common.LeftPadBytes([]byte{0x32}, 32)...), relay.Revert{Panic: 0x32}},
		"not the owner":  {append([]byte{0x11, 0x8c, 0xda, 0xa7}, make([]byte, 32)...), relay.Revert{Custom: "OwnableUnauthorizedAccount(address)"}},
		"another error":  {[]byte{1, 2, 3, 4, 5}, relay.Revert{Custom: "error 0x01020304"}},
		"nothing":        {nil, relay.Revert{Custom: "without a word"}},
		"a torn reason":  {errorData(unknown())[:70], relay.Revert{Custom: "error 0x08c379a0"}},
		"a large length": {slices.Replace(errorData(unknown()), 36, 68, slices.Repeat([]byte{0xff}, 32)...), relay.Revert{Custom: "error 0x08c379a0"}},
	} {
		if got := ParseRevert(tt.data); *got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, *got, tt.want)
		}
	}
}

func errorData(err error) []byte {
	e, _ := errors.AsType[*endpoint.Error](err)
	return e.Data
}

func FuzzParseRevert(f *testing.F) {
	f.Add(errorData(unknown()))
	f.Add([]byte{0x4e, 0x48, 0x7b, 0x71})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := ParseRevert(data)
		set := 0
		for _, is := range []bool{r.Reason != "", r.Panic != 0, r.Custom != ""} {
			if is {
				set++
			}
		}
		if set != 1 || len(r.Reason) > 3*maxReason {
			t.Errorf("%x: %+v", data, r)
		}
	})
}

func FuzzParseWord(f *testing.F) {
	f.Add(`"0x` + strings.Repeat("00", 32) + `"`)
	f.Add(`"0x"`)
	f.Fuzz(func(t *testing.T, text string) {
		w, err := parseWord(json.RawMessage(text))
		if err != nil {
			return
		}
		if n, err := w.number(); err == nil && common.BigToHash(new(big.Int).SetUint64(n)) != common.Hash(w) {
			t.Errorf("%s is %d", text, n)
		}
	})
}

// BenchmarkNewBlock plans what a relay that was in step is to be told after a new block, with
// its state read: p99 in milliseconds, and plans for each second.
func BenchmarkNewBlock(b *testing.B) {
	bench := func(b *testing.B, behind int) {
		_, tree, all := chain(b)
		last := len(all) - 1
		s, err := ReadFull(b.Context(), knows(all, 0, last-behind, last-behind), &target, tree, head())
		if err != nil {
			b.Fatal(err)
		}
		var took []time.Duration
		for b.Loop() {
			start := time.Now()
			if _, err := s.Plan(&target, tree); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e6, "p99-ms")
		b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "plans/s")
	}
	b.Run("1", func(b *testing.B) { bench(b, 1) })
	b.Run("6", func(b *testing.B) { bench(b, 6) })
	b.Run("2016", func(b *testing.B) { bench(b, 2016) })
}
