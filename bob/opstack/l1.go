package opstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/holiman/uint256"

	"github.com/outrider-project/outrider/perfcore"
)

// An L1Config says what an L1Watcher asks.
type L1Config struct {
	// L1 are execution clients of Ethereum, L2 those of the OP chain; L2 may be nil, and
	// then nothing is said of the chain.
	L1, L2 Caller
	// Interval returns how long Run waits between two rounds; it is asked each time, and
	// nil is 4 s, a third of a block's time.
	Interval func() time.Duration
	// Timeout bounds a round (0: 10 s).
	Timeout  time.Duration
	Recorder perfcore.Recorder
}

// An L1Watcher looks at L1 beside what the blocks of an OP chain say of it: whether the L1 blocks
// that its heads name are there and final, and what L1's fees are beside those that it charges by.
// It is safe for concurrent use.
type L1Watcher struct {
	cfg   L1Config
	perf  l1Instruments
	state atomic.Pointer[L1State]

	mu sync.Mutex // guards what follows; held during a round
	// attributes are those of the blocks that were heads in the last round, whose hashes
	// are their keys.
	attributes map[common.Hash]*Attributes
}

// An L1State is what was seen in a round. Nobody changes it.
type L1State struct {
	At time.Time
	// Heads are L1's newest, safe and finalized blocks, by Label; Known says which of them
	// were answered, and Errs why the others were not.
	Heads [labels]L1Ref
	Known [labels]bool
	Errs  [labels]error
	// Origins are the L1 blocks that the OP chain's heads name, by Label.
	Origins [labels]Origin
	// Base and Blob are L1's fees.
	Base, Blob L1Price
	Faults     []L1Fault
}

// An Origin is the L1 block that a head of an OP chain says that it is derived from.
type Origin struct {
	// Known says that the head was read; else Err is why it was not.
	Known bool
	Err   error
	// Head is the OP chain's block, Block the L1 block that it names.
	Head, Block ID
	Standing    Standing
	// Final says that L1's finalized block is Block or above it.
	Final bool
	// Behind counts the blocks from Block to L1's newest.
	Behind uint64
}

// A Standing says whether L1 has a block.
type Standing uint8

// These are the standings.
const (
	// StandingUnknown: nobody said.
	StandingUnknown Standing = iota
	// Standing in L1's chain.
	StandingCanonical
	// StandingGone: L1 has another block at that height.
	StandingGone
	// StandingAhead: the L1 client that answered is not that far.
	StandingAhead
)

// String returns the standing in words.
func (s Standing) String() string {
	return [...]string{"unknown", "in the chain", "not in the chain", "ahead of the L1 client"}[s]
}

// An L1Price is what a unit of gas costs on L1, in wei; what is nil is not known.
type L1Price struct {
	// Now is the newest block's, Recorded what the OP chain's newest block has and charges
	// by, and AtOrigin what L1 has in the block that it was taken from.
	Now, Recorded, AtOrigin *uint256.Int
}

// Drift returns by what part Now is above Recorded; false if either is not known, or if both are so
// low that nobody pays for them.
func (p *L1Price) Drift() (float64, bool) {
	if p.Now == nil || p.Recorded == nil || p.Now.LtUint64(minPrice) && p.Recorded.LtUint64(minPrice) {
		return 0, false
	}
	if p.Recorded.IsZero() {
		return math.Inf(1), true
	}
	return p.Now.Float64()/p.Recorded.Float64() - 1, true
}

const (
	// minPrice is a hundredth of a gwei: an L1 fee of it is a few hundred gwei.
	minPrice = 1e7
	// maxDrift is four full blocks of L1, each of which raises the base fee by an eighth: an
	// OP chain that keeps up is not further behind.
	maxDrift = 0.6
	// L1 has a slot every 12 s, of which some are empty, and is final after two epochs of 32;
	// a third and a part are usual.
	lateHead, lateFinal = time.Minute, 30 * time.Minute
)

// An L1FaultKind is what can be wrong.
type L1FaultKind string

// These are the kinds. With the first three the OP chain's client contradicts L1's: one of them is
// wrong, or on a branch that was left.
const (
	// OriginGone: L1 has another block where a head says that it is derived from one.
	OriginGone L1FaultKind = "l1-origin-gone"
	// OriginNotFinal: the finalized head is derived from a block that L1 has, and that is not
	// final there. Of an L1 client whose newest block is old that cannot be told.
	OriginNotFinal L1FaultKind = "l1-origin-not-final"
	// FeesDiffer: the L1 attributes of the newest block are not those of the L1 block.
	FeesDiffer L1FaultKind = "l1-fees-differ"
	// FeesDrift: L1's fees went away from those that the OP chain charges by.
	FeesDrift L1FaultKind = "l1-fees-drift"
	// L1Late: L1's newest or finalized block is old.
	L1Late L1FaultKind = "l1-late"
	// L1Unordered: L1's heads are not in their order.
	L1Unordered L1FaultKind = "l1-unordered"
	// L1Silent: a head of L1 was not answered.
	L1Silent L1FaultKind = "l1-silent"
)

// L1FaultKinds are all kinds.
var L1FaultKinds = []L1FaultKind{OriginGone, OriginNotFinal, FeesDiffer, FeesDrift, L1Late, L1Unordered, L1Silent}

// Contradicts reports whether L1 and the OP chain's client cannot both be right.
func (k L1FaultKind) Contradicts() bool {
	return k == OriginGone || k == OriginNotFinal || k == FeesDiffer
}

// An L1Fault is one that is there now. Head is the head that it is about, of the OP chain or, of the
// last three kinds, of L1.
type L1Fault struct {
	Kind   L1FaultKind
	Head   Label
	Detail string
}

// NewL1Watcher returns an L1Watcher that has asked nobody.
func NewL1Watcher(cfg L1Config) (*L1Watcher, error) {
	if cfg.L1 == nil {
		return nil, errors.New("a watcher of L1 needs somebody to ask")
	}
	if cfg.Interval == nil {
		cfg.Interval = func() time.Duration { return 4 * time.Second }
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Recorder == nil {
		cfg.Recorder = perfcore.Discard
	}
	return &L1Watcher{cfg: cfg, perf: newL1Instruments(cfg.Recorder)}, nil
}

// State returns the newest state; nil before the first round has ended.
func (w *L1Watcher) State() *L1State { return w.state.Load() }

// Run does rounds until ctx ends, whose error it returns.
func (w *L1Watcher) Run(ctx context.Context) error {
	for {
		w.Refresh(ctx)
		select {
		case <-time.After(max(w.cfg.Interval(), time.Millisecond)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Refresh does one round and returns what was seen. Rounds come one after another.
func (w *L1Watcher) Refresh(ctx context.Context) *L1State {
	w.mu.Lock()
	defer w.mu.Unlock()
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
	defer cancel()
	st := new(L1State)
	var heads [labels]*Attributes
	var asking sync.WaitGroup
	for l := range labels {
		asking.Go(func() { st.Errs[l] = w.askHead(ctx, l, st) })
		if w.cfg.L2 != nil {
			asking.Go(func() { heads[l] = w.askOrigin(ctx, l, &st.Origins[l]) })
		}
	}
	asking.Go(func() { st.Blob.Now = w.price(ctx, "eth_blobBaseFee") })
	asking.Wait()
	w.attributes = make(map[common.Hash]*Attributes, labels)
	for l, a := range heads {
		if a != nil {
			w.attributes[st.Origins[l].Head.Hash] = a
		}
	}
	for l, a := range heads {
		if a != nil {
			asking.Go(func() { w.place(ctx, Label(l), a, st) })
		}
	}
	asking.Wait()
	st.At = time.Now()
	st.judge(heads)
	w.state.Store(st)
	w.perf.record(st, time.Since(start))
	return st
}

// askHead asks for a head of L1, of whose fee the newest block's is the one that is now.
func (w *L1Watcher) askHead(ctx context.Context, l Label, st *L1State) error {
	h, err := Client{Caller: w.cfg.L1}.Header(ctx, l)
	if err != nil {
		return err
	}
	st.Heads[l], st.Known[l] = L1Ref{Hash: h.Hash(), Number: h.Number.Uint64(), Parent: h.ParentHash, Time: h.Time}, true
	if l == Unsafe && h.BaseFee != nil {
		st.Base.Now, _ = uint256.FromBig(h.BaseFee)
	}
	return nil
}

// askOrigin asks for a head of the OP chain and returns its L1 attributes.
func (w *L1Watcher) askOrigin(ctx context.Context, l Label, o *Origin) *Attributes {
	c := Client{Caller: w.cfg.L2}
	h, err := c.Header(ctx, l)
	if err != nil {
		o.Err = err
		return nil
	}
	o.Head = ID{h.Hash(), h.Number.Uint64()}
	a := w.attributes[o.Head.Hash]
	if a == nil {
		b, err := c.BlockByHash(ctx, o.Head.Hash)
		if err == nil {
			a, err = b.Attributes()
		}
		if err != nil {
			o.Err = err
			return nil
		}
	}
	o.Known, o.Block = true, ID{a.Hash, a.Number}
	return a
}

// price asks for an amount of wei; nil if it is not answered.
func (w *L1Watcher) price(ctx context.Context, method string, params ...any) *uint256.Int {
	raw, err := Client{Caller: w.cfg.L1}.call(ctx, method, params...)
	if err != nil {
		return nil
	}
	var n looseU256
	if json.Unmarshal(raw, &n) != nil {
		return nil
	}
	return (*uint256.Int)(&n)
}

// place finds the L1 block that a head names, and its fees if the head is the newest.
func (w *L1Watcher) place(ctx context.Context, l Label, a *Attributes, st *L1State) {
	o := &st.Origins[l]
	if newest := st.Heads[Unsafe]; st.Known[Unsafe] && a.Number > newest.Number {
		o.Standing = StandingAhead
		return
	} else if st.Known[Unsafe] {
		o.Behind = newest.Number - a.Number
	}
	h, err := Client{Caller: w.cfg.L1}.HeaderByNumber(ctx, a.Number)
	switch {
	case err != nil:
		return
	case h.Hash() != a.Hash:
		o.Standing = StandingGone
		return
	}
	o.Standing = StandingCanonical
	if l != Unsafe {
		return
	}
	if h.BaseFee != nil {
		st.Base.AtOrigin, _ = uint256.FromBig(h.BaseFee)
	}
	// Of its excess of blob gas the fee follows by a parameter that changes with forks: the
	// client knows it.
	var history struct {
		BlobBaseFee []looseU256 `json:"baseFeePerBlobGas"`
	}
	raw, err := Client{Caller: w.cfg.L1}.call(ctx, "eth_feeHistory", hexutil.Uint64(1), hexutil.Uint64(a.Number), []float64{})
	if err == nil && json.Unmarshal(raw, &history) == nil && len(history.BlobBaseFee) > 0 {
		st.Blob.AtOrigin = (*uint256.Int)(&history.BlobBaseFee[0])
	}
}

// judge fills in what follows from what was answered.
func (st *L1State) judge(heads [labels]*Attributes) {
	fault := func(kind L1FaultKind, l Label, format string, args ...any) {
		st.Faults = append(st.Faults, L1Fault{kind, l, fmt.Sprintf(format, args...)})
	}
	if a := heads[Unsafe]; a != nil {
		st.Base.Recorded, st.Blob.Recorded = new(a.BaseFee), new(a.BlobBaseFee)
	}
	for l := range labels {
		if !st.Known[l] {
			fault(L1Silent, l, "%v", st.Errs[l])
		}
	}
	for l := range Finalized {
		if st.Known[l] && st.Known[l+1] && st.Heads[l].Number < st.Heads[l+1].Number {
			fault(L1Unordered, l+1, "it is at %d, and the %v head at %d: they are of clients that are not equally far", st.Heads[l+1].Number, l, st.Heads[l].Number)
		}
	}
	late := func(l Label, most time.Duration) {
		if age := st.age(l); st.Known[l] && age > most {
			fault(L1Late, l, "it is %v old, at most %v is usual", age.Round(time.Second), most)
		}
	}
	late(Unsafe, lateHead)
	late(Finalized, lateFinal)
	for l := range labels {
		o := &st.Origins[l]
		final := st.Known[Finalized] && o.Known && o.Block.Number <= st.Heads[Finalized].Number
		o.Final = final && o.Standing == StandingCanonical
		switch {
		case o.Standing == StandingGone:
			fault(OriginGone, l, "block %v names L1 block %v, and L1 has another there", o.Head, o.Block)
		case l == Finalized && o.Standing == StandingCanonical && st.Known[Finalized] && !final && st.Known[Unsafe] && st.age(Unsafe) <= lateHead:
			fault(OriginNotFinal, l, "block %v is derived from L1 block %d, and L1 is final up to %d", o.Head, o.Block.Number, st.Heads[Finalized].Number)
		}
	}
	for _, p := range []struct {
		name  string
		price *L1Price
	}{{"base fee", &st.Base}, {"blob base fee", &st.Blob}} {
		if at, recorded := p.price.AtOrigin, p.price.Recorded; at != nil && recorded != nil && !at.Eq(recorded) {
			fault(FeesDiffer, Unsafe, "block %v has a %s of L1 of %v wei, and L1's block %d has %v", st.Origins[Unsafe].Head, p.name, recorded, st.Origins[Unsafe].Block.Number, at)
		}
		if drift, ok := p.price.Drift(); ok && (drift > maxDrift || drift < 1/(1+maxDrift)-1) {
			fault(FeesDrift, Unsafe, "L1's %s is %v wei, and the OP chain charges by %v", p.name, p.price.Now, p.price.Recorded)
		}
	}
}

// age returns for how long a head of L1 has been there.
func (st *L1State) age(l Label) time.Duration {
	return max(st.At.Sub(time.Unix(int64(min(st.Heads[l].Time, math.MaxInt32*2)), 0)), 0)
}

// l1Instruments are the metrics of an L1Watcher. What is not known is not a number.
type l1Instruments struct {
	refresh             *perfcore.Timer
	height, age, behind [labels]*perfcore.Gauge
	now, recorded       [2]*perfcore.Gauge
	drift               [2]*perfcore.Gauge
	faults              map[L1FaultKind]*perfcore.Gauge
}

func newL1Instruments(rec perfcore.Recorder) l1Instruments {
	gauge := func(name, help string, labels ...string) *perfcore.Gauge {
		return rec.Gauge(perfcore.Metric{Name: name, Help: help, Labels: labels})
	}
	in := l1Instruments{
		refresh: rec.Timer(perfcore.Metric{
			Name: "outrider_bob_l1_refresh_seconds", Help: "Time of a round that asks Ethereum for its heads and fees, and for the blocks that the L2 names.",
		}),
		faults: make(map[L1FaultKind]*perfcore.Gauge, len(L1FaultKinds)),
	}
	for l := range labels {
		in.height[l] = gauge("outrider_bob_l1_height", "Height of Ethereum's newest (unsafe), safe and finalized blocks.", "head", l.String())
		in.age[l] = gauge("outrider_bob_l1_age_seconds", "Time since Ethereum's head was made.", "head", l.String())
		in.behind[l] = gauge("outrider_bob_l1_origin_behind_blocks", "Blocks from the one of Ethereum that the L2's head is derived from to Ethereum's newest.", "head", l.String())
	}
	for i, fee := range []string{"base", "blob"} {
		const fees = "Price of a unit of Ethereum's gas: in its newest block, and as the L2 charges by it."
		in.now[i] = gauge("outrider_bob_l1_fee_wei", fees, "fee", fee, "of", "l1")
		in.recorded[i] = gauge("outrider_bob_l1_fee_wei", fees, "fee", fee, "of", "l2")
		in.drift[i] = gauge("outrider_bob_l1_fee_drift_ratio", "By what part Ethereum's price is above the one that the L2 charges by; 0 while both are next to nothing.", "fee", fee)
	}
	for _, k := range L1FaultKinds {
		m := perfcore.Metric{Name: "outrider_bob_l1_faults", Help: "What is wrong between Ethereum and the L2 now, by kind.", Labels: []string{"fault", string(k)}}
		switch {
		case k.Contradicts():
			m.Alert = perfcore.Alert{
				Name: "bob_l1_contradicts", Help: "The L2's client and Ethereum's cannot both be right: a head names a block that Ethereum has not, or has not finalized, or fees that it did not have. See the status for which, and ask other nodes.",
				Urgent: true, For: 5 * time.Minute,
			}
		case k == L1Late || k == L1Silent:
			m.Alert = perfcore.Alert{
				Name: "bob_l1_late", Help: "Ethereum's heads are late, or its clients do not answer: finality of the L2 cannot be told.", For: 10 * time.Minute,
			}
		}
		in.faults[k] = rec.Gauge(m)
	}
	return in
}

// record records a state, and how long it took.
func (in *l1Instruments) record(st *L1State, took time.Duration) {
	in.refresh.Observe(took)
	set := func(g *perfcore.Gauge, known bool, v float64) {
		if !known {
			v = math.NaN()
		}
		g.Set(v)
	}
	for l := range labels {
		set(in.height[l], st.Known[l], float64(st.Heads[l].Number))
		set(in.age[l], st.Known[l], st.age(l).Seconds())
		o := &st.Origins[l]
		set(in.behind[l], o.Known && st.Known[Unsafe] && o.Standing != StandingAhead, float64(o.Behind))
	}
	for i, p := range []*L1Price{&st.Base, &st.Blob} {
		for g, n := range map[*perfcore.Gauge]*uint256.Int{in.now[i]: p.Now, in.recorded[i]: p.Recorded} {
			v := 0.0
			if n != nil {
				v = n.Float64()
			}
			set(g, n != nil, v)
		}
		drift, _ := p.Drift()
		set(in.drift[i], p.Now != nil && p.Recorded != nil, drift)
	}
	count := make(map[L1FaultKind]int)
	for _, f := range st.Faults {
		count[f.Kind]++
	}
	for k, g := range in.faults {
		g.Set(float64(count[k]))
	}
}
