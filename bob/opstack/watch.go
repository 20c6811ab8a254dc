package opstack

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/core/types"

	"github.com/outrider-project/outrider/perfcore"
)

// A Source is a node that is asked for its heads.
type Source struct {
	// Name names the source in faults: it never is an address.
	Name string
	Kind Kind
	// Client asks one node. Behind a pool of several the heads of different nodes
	// would pass for those of one that goes back and forth.
	Client Client
}

// A WatcherConfig says whom a Watcher asks.
type WatcherConfig struct {
	Sources []Source
	// Heads is what is expected of the chain; its Sources are filled in.
	Heads HeadsConfig
	// Interval returns how long to wait between two questions to one source; it is
	// asked each time, and nil is a second.
	Interval func() time.Duration
	// Timeout bounds the questions of one round (5 s).
	Timeout  time.Duration
	Recorder perfcore.Recorder
	// Report, unless nil, is called with each new state, one after another; it must
	// not block.
	Report func(State)
}

// A Watcher asks its sources for their heads for as long as it runs.
type Watcher struct {
	cfg      WatcherConfig
	tracking *Tracking
	state    atomic.Pointer[State]
	perf     instruments
}

// NewWatcher returns a Watcher that has asked nobody.
func NewWatcher(cfg WatcherConfig) (*Watcher, error) {
	cfg.Heads.Sources = make(map[string]Kind, len(cfg.Sources))
	for _, s := range cfg.Sources {
		if _, twice := cfg.Heads.Sources[s.Name]; twice || s.Name == "" {
			return nil, fmt.Errorf("source %q: there are two of them, or it has no name", s.Name)
		}
		cfg.Heads.Sources[s.Name] = s.Kind
	}
	if cfg.Interval == nil {
		cfg.Interval = func() time.Duration { return time.Second }
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Recorder == nil {
		cfg.Recorder = perfcore.Discard
	}
	t, err := NewTracking(cfg.Heads, time.Now())
	if err != nil {
		return nil, err
	}
	return &Watcher{cfg: cfg, tracking: t, perf: newInstruments(cfg.Recorder)}, nil
}

// State returns the newest state; nil before the first answer. The caller must not change
// it.
func (w *Watcher) State() *State { return w.state.Load() }

// Run asks the sources, each at its own pace, until ctx ends, whose error it returns. It
// runs once.
func (w *Watcher) Run(ctx context.Context) error {
	reports := make(chan Report)
	var askers sync.WaitGroup
	for _, s := range w.cfg.Sources {
		askers.Go(func() {
			for {
				select {
				case reports <- w.ask(ctx, s):
				case <-ctx.Done():
					return
				}
				select {
				case <-time.After(max(w.cfg.Interval(), time.Millisecond)):
				case <-ctx.Done():
					return
				}
			}
		})
	}
	defer askers.Wait()
	for {
		select {
		case r := <-reports:
			w.tracking.Observe(r)
			st := w.tracking.State(time.Now())
			w.state.Store(&st)
			w.perf.record(&st, r.Err)
			if w.cfg.Report != nil {
				w.cfg.Report(st)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Refresh asks every source once and returns what each said, in the order of the
// configuration, and the state that follows. It must not be called while Run runs.
func (w *Watcher) Refresh(ctx context.Context) ([]Report, State) {
	reports := make([]Report, len(w.cfg.Sources))
	var asking sync.WaitGroup
	for i, s := range w.cfg.Sources {
		asking.Go(func() { reports[i] = w.ask(ctx, s) })
	}
	asking.Wait()
	for _, r := range reports {
		w.tracking.Observe(r)
	}
	st := w.tracking.State(time.Now())
	w.state.Store(&st)
	for _, r := range reports {
		w.perf.record(&st, r.Err)
	}
	return reports, st
}

// ask asks a source once.
func (w *Watcher) ask(ctx context.Context, s Source) Report {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
	defer cancel()
	r := Report{Source: s.Name}
	if s.Kind == OpNode {
		if r.Status, r.Err = s.Client.SyncStatus(ctx); r.Err == nil {
			r.Heads = r.Status.Heads()
		}
	} else {
		r.Heads, r.Syncing, r.Err = s.Client.executionHeads(ctx)
	}
	r.At = time.Now()
	w.perf.asked.Observe(r.At.Sub(start))
	return r
}

// executionHeads returns an execution client's heads, and whether it is syncing. Heads
// that it does not have are zero: it learns them from its op-node.
func (c Client) executionHeads(ctx context.Context) (h Heads, syncing bool, err error) {
	// One after another, from the oldest: none is then behind one before it.
	for l := Finalized; ; l-- {
		header, err := c.Header(ctx, l)
		switch {
		case err == nil:
			h[l] = refOf(header)
		case l == Unsafe || !isAbsent(err):
			return Heads{}, false, err
		}
		if l == Unsafe {
			break
		}
	}
	raw, err := c.call(ctx, "eth_syncing")
	return h, err == nil && string(raw) != "false", err
}

func refOf(h *types.Header) Ref {
	return Ref{Hash: h.Hash(), Number: h.Number.Uint64(), Parent: h.ParentHash, Time: h.Time}
}

// isAbsent reports whether a node says that it does not have something, in this package's
// way or by an error of its Caller that has a method Missing.
func isAbsent(err error) bool {
	if errors.Is(err, ErrNull) {
		return true
	}
	missing, ok := errors.AsType[interface {
		error
		Missing() bool
	}](err)
	return ok && missing.Missing()
}

// instruments are the metrics of a Watcher.
type instruments struct {
	asked       *perfcore.Timer
	failed      *perfcore.Counter
	height, lag [labels]*perfcore.Gauge
	sources     [labels]*perfcore.Gauge
	faults      map[FaultKind]*perfcore.Gauge
}

func newInstruments(rec perfcore.Recorder) instruments {
	in := instruments{
		asked: rec.Timer(perfcore.Metric{
			Name: "outrider_bob_heads_refresh_seconds", Help: "Time to ask one source for its three heads.",
		}),
		failed: rec.Counter(perfcore.Metric{
			Name: "outrider_bob_heads_failures_total", Help: "Questions for heads that a source did not answer.",
		}),
		faults: make(map[FaultKind]*perfcore.Gauge, len(FaultKinds)),
	}
	for l := range labels {
		gauge := func(name, help string) *perfcore.Gauge {
			return rec.Gauge(perfcore.Metric{Name: name, Help: help, Labels: []string{"head", l.String()}})
		}
		in.height[l] = gauge("outrider_bob_head_height", "Height of the L2's head that two sources have, or the only one.")
		in.lag[l] = gauge("outrider_bob_head_lag_seconds", "Time since the L2's head was made.")
		in.sources[l] = gauge("outrider_bob_head_sources", "Sources that have the L2's head; 0 when none does.")
	}
	for _, k := range FaultKinds {
		m := perfcore.Metric{
			Name: "outrider_bob_head_faults", Help: "What is wrong with heads now, by kind.", Labels: []string{"fault", string(k)},
		}
		switch k {
		case Disagree, FinalizedChanged:
			m.Alert = perfcore.Alert{
				Name: "bob_heads_disagree", Help: "Sources of the L2's heads have different blocks at one height, or one has replaced a final block: one of them is wrong.",
				Urgent: true, For: time.Minute,
			}
		case Silent, Stale, SyncTarget, Future, Late:
			m.Alert = perfcore.Alert{
				Name: "bob_heads_late", Help: "The L2's heads are late, or a source of them is silent, stale, syncing or ahead of the clock: \"outrider bob doctor\" says which and what to do.",
				For: 10 * time.Minute,
			}
		}
		in.faults[k] = rec.Gauge(m)
	}
	return in
}

// record records a state, and why its source did not answer.
func (in *instruments) record(st *State, err error) {
	if err != nil {
		in.failed.Add(1)
	}
	for l, h := range st.Heads {
		in.sources[l].Set(float64(h.Sources))
		if h.Sources > 0 {
			in.height[l].Set(float64(h.Number))
			in.lag[l].Set(h.Lag.Seconds())
		}
	}
	count := make(map[FaultKind]int)
	for _, f := range st.Faults {
		count[f.Kind]++
	}
	for k, g := range in.faults {
		g.Set(float64(count[k]))
	}
}
