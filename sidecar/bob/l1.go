package bob

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/holiman/uint256"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/perfcore"
)

// An L1Status is what Ethereum's clients say, beside what the L2's blocks say of Ethereum.
type L1Status struct {
	At      time.Time `json:"at"`
	ChainID uint64    `json:"chain_id"`
	// Heads are Ethereum's newest (unsafe), safe and finalized blocks; of those that are not
	// known Sources is 0.
	Heads []Head `json:"heads"`
	// Origins are the blocks of Ethereum that the L2's heads are derived from.
	Origins     []Origin `json:"origins"`
	BaseFee     L1Fee    `json:"base_fee"`
	BlobBaseFee L1Fee    `json:"blob_base_fee"`
	Faults      []Fault  `json:"faults"`
}

// An Origin is the block of Ethereum that one of the L2's heads is derived from.
type Origin struct {
	// Head is the L2's, and Block its height there.
	Head   string `json:"head"`
	Block  uint64 `json:"block"`
	Number uint64 `json:"l1_number"`
	Hash   string `json:"l1_hash"`
	// Standing says whether Ethereum has it, Final whether it is final there, and Behind how
	// many blocks it is below the newest.
	Standing string `json:"standing"`
	Final    bool   `json:"final"`
	Behind   uint64 `json:"behind_blocks"`
	// Problem is why it is not known, if it is not.
	Problem string `json:"problem,omitempty"`
}

// An L1Fee is a price of Ethereum's, in wei for a unit of gas, as decimal numbers; "" is not known.
type L1Fee struct {
	Now string `json:"now_wei"`
	// Recorded is what the L2's newest block charges by, AtOrigin what Ethereum had in the block
	// that it is taken from.
	Recorded string `json:"recorded_wei"`
	AtOrigin string `json:"at_origin_wei"`
	// Drift is by what part Now is above Recorded; absent if it is not known, or of no matter.
	Drift *float64 `json:"drift,omitempty"`
}

// l1Chains are Ethereum's chains below BOB's: of BOB Sepolia it is Sepolia.
var l1Chains = map[uint64]uint64{Mainnet: 1, 808813: 11155111}

// l1Chain returns the chain id that Ethereum's clients must have.
func (c *Config) l1Chain() uint64 { return cmp.Or(c.L1ChainID, l1Chains[c.chain()], 1) }

// An l1Watch watches Ethereum.
type l1Watch struct {
	pool    *endpoint.Pool
	members []member
	watcher *opstack.L1Watcher
}

// newL1 returns who watches Ethereum, beside the L2's execution clients, which may be nil.
func newL1(cfg *Config, exec *endpoint.Pool, rec perfcore.Recorder) (*l1Watch, error) {
	pool, err := endpoint.New(endpoint.Options{Layer: "l1", ChainID: cfg.l1Chain(), Endpoints: cfg.L1, Recorder: rec})
	if err != nil {
		return nil, err
	}
	l1 := opstack.L1Config{L1: pool, Interval: pool.PollInterval, Recorder: rec}
	if exec != nil {
		l1.L2 = exec
	}
	w := &l1Watch{pool: pool, members: nodesOf(pool, cfg.L1)}
	w.watcher, err = opstack.NewL1Watcher(l1)
	return w, err
}

// run watches until ctx ends.
func (w *l1Watch) run(ctx context.Context) {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { _ = w.pool.Run(ctx) }) // the context's
	_ = w.watcher.Run(ctx)
}

// ask does a round, and asks each client by itself what its newest block is. It returns why those
// that did not answer did not, by name.
func (w *l1Watch) ask(ctx context.Context) (st *opstack.L1State, problems map[string]string) {
	errs := make([]error, len(w.members))
	var asking sync.WaitGroup
	for i, m := range w.members {
		asking.Go(func() { _, errs[i] = m.client.Header(ctx, opstack.Unsafe) })
	}
	st = w.watcher.Refresh(ctx)
	asking.Wait()
	problems = make(map[string]string)
	for i, m := range w.members {
		if errs[i] != nil {
			problems[m.name] = errs[i].Error()
		}
	}
	return st, problems
}

// knobs are the pool's, but for the size of batches: there are none.
func (w *l1Watch) knobs() []perfcore.Knob {
	return slices.DeleteFunc(w.pool.Knobs(), func(k perfcore.Knob) bool { return k.Name == "bob.l1_batch_size" })
}

// status returns a state for who reads it; nil of none.
func (w *l1Watch) status(chain uint64, st *opstack.L1State) *L1Status {
	if st == nil {
		return nil
	}
	s := &L1Status{At: st.At, ChainID: chain, BaseFee: l1Fee(&st.Base), BlobBaseFee: l1Fee(&st.Blob), Heads: []Head{}, Origins: []Origin{}, Faults: []Fault{}}
	for l, h := range st.Heads {
		one := Head{Head: opstack.Label(l).String()}
		if st.Known[l] {
			one.Number, one.Hash, one.Time, one.Sources = h.Number, h.Hash.Hex(), h.Time, 1
			one.Lag = max(st.At.Sub(time.Unix(int64(h.Time), 0)).Seconds(), 0)
		}
		s.Heads = append(s.Heads, one)
		o := &st.Origins[l]
		if origin := (Origin{Head: one.Head, Standing: o.Standing.String()}); o.Known {
			origin.Block, origin.Number, origin.Hash, origin.Final, origin.Behind = o.Head.Number, o.Block.Number, o.Block.Hash.Hex(), o.Final, o.Behind
			s.Origins = append(s.Origins, origin)
		} else if o.Err != nil {
			origin.Problem = o.Err.Error()
			s.Origins = append(s.Origins, origin)
		}
	}
	for _, f := range st.Faults {
		s.Faults = append(s.Faults, Fault{Kind: string(f.Kind), Head: f.Head.String(), Detail: f.Detail})
	}
	return s
}

func l1Fee(p *opstack.L1Price) (f L1Fee) {
	wei := func(n *uint256.Int) string {
		if n == nil {
			return ""
		}
		return n.Dec()
	}
	f = L1Fee{Now: wei(p.Now), Recorded: wei(p.Recorded), AtOrigin: wei(p.AtOrigin)}
	if drift, ok := p.Drift(); ok && !math.IsInf(drift, 0) {
		f.Drift = &drift
	}
	return f
}

// contradicts reports whether Ethereum's clients and the L2's cannot both be right.
func (s *L1Status) contradicts() bool {
	return slices.ContainsFunc(s.Faults, func(f Fault) bool { return opstack.L1FaultKind(f.Kind).Contradicts() })
}

// words returns the fee for people.
func (f *L1Fee) words() string {
	known := func(wei string) string {
		if wei == "" {
			return "not known"
		}
		return wei + " wei"
	}
	text := fmt.Sprintf("%s; the L2 charges by %s", known(f.Now), known(f.Recorded))
	if f.Drift != nil {
		text += fmt.Sprintf(", %+.1f %%", 100**f.Drift)
	}
	return text
}
