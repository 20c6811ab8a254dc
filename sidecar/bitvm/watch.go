package bitvm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/outrider-project/outrider/bitvm/watch"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node"
)

// A Watch watches bridges on the chain of a node. It is safe for concurrent use.
type Watch struct {
	chain     chain
	instances []*watch.Instance
	judge     watch.Judge
	log       *slog.Logger
	onEvent   func(watch.Event) // may be nil
	onLook    func(*Status)     // may be nil; hears of every look at the chain
	perf      *watchPerf
	every     time.Duration

	heard  chan heard
	missed chan struct{} // that more was heard than there was room for
	hints  chan []byte   // transactions of the mempool

	mu      sync.Mutex     // guards what follows
	watcher *watch.Watcher // nil until it runs
	problem string         // why it cannot go on at present
}

// A heard is something that the node's chain did.
type heard struct {
	block *watch.Block // nil if one left the chain, or cannot be read
	seen  time.Time
}

const (
	// lookEvery is how often the chain is compared with what was seen, whatever was
	// heard: it is what finds what nobody told.
	lookEvery = 30 * time.Second
	// keptHeard is how many blocks may wait, which may be large; those that find no room
	// are fetched.
	keptHeard = 2
	// keptHints is how many transactions of the mempool may wait; more are let go.
	keptHints = 16
)

// New returns a Watch that has read its files, and asked nobody. rec and log may be nil;
// onEvent, if it is not, hears of every event in order, behind its being kept.
func New(cfg Config, source Source, rec perfcore.Recorder, log *slog.Logger, onEvent func(watch.Event)) (*Watch, error) {
	if !cfg.Enabled() {
		return nil, errors.New("no bridge is to be watched: name files of instances")
	}
	list, judge, err := cfg.load()
	if err != nil {
		return nil, fmt.Errorf("bridges to watch: %w", err)
	}
	if rec == nil {
		rec = perfcore.Discard
	}
	w := &Watch{
		chain: chain{source}, instances: list, judge: judge, log: cmp.Or(log, slog.New(slog.DiscardHandler)), onEvent: onEvent,
		perf: newWatchPerf(rec), every: lookEvery, heard: make(chan heard, keptHeard),
		missed: make(chan struct{}, 1), hints: make(chan []byte, keptHints), problem: "it has not begun to look",
	}
	w.perf.instances.Set(float64(len(list)))
	w.perf.incomplete.Set(float64(len(list)))
	return w, nil
}

// Hear takes what a feed tells of the chain. It returns at once.
func (w *Watch) Hear(ev node.Event) {
	var h heard
	switch ev := ev.(type) {
	case node.Connected:
		if h.seen = ev.Seen; ev.Block != nil {
			h.block = watched(ev.Block, ev.Height)
		}
	case node.Disconnected:
	case node.MempoolAdded:
		select {
		case w.hints <- ev.Raw:
		default: // it decides nothing
		}
		return
	default:
		return
	}
	select {
	case w.heard <- h:
	default:
		select {
		case w.missed <- struct{}{}:
		default: // that is known
		}
	}
}

// Run watches until ctx ends, whose error it returns, or until a journal cannot be
// written. Journals are in the directory bitvm of dir, which is of the network alone. It
// runs once.
func (w *Watch) Run(ctx context.Context, network, dir string) (err error) {
	if on := w.instances[0].Network; on != network {
		return fmt.Errorf("bridges to watch are on network %s, and the node is on %s", on, network)
	}
	o := watch.Options{Judge: w.judge, Blocks: w.chain, Event: w.tell, Aside: func(instance, path string) {
		w.log.Warn("the journal of a bridge is of another description; beginning anew", "instance", instance, "old", path)
	}}
	if dir != "" {
		o.Dir = filepath.Join(dir, "bitvm")
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return err
		}
	}
	watcher := watch.New(o)
	defer func() { err = errors.Join(err, watcher.Close()) }()
	for _, in := range w.instances {
		if err := watcher.Add(in); err != nil {
			return err
		}
	}
	w.mu.Lock()
	w.watcher = watcher
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.watcher, w.problem = nil, "it has ended"
	}()
	return w.follow(ctx, watcher)
}

// follow feeds the watcher until ctx ends.
func (w *Watch) follow(ctx context.Context, watcher *watch.Watcher) error {
	look := time.NewTimer(0)
	defer look.Stop()
	for {
		var h heard
		select {
		case <-ctx.Done():
			return ctx.Err()
		case raw := <-w.hints:
			w.peek(watcher, raw)
			continue
		case <-look.C:
		case <-w.missed:
		case h = <-w.heard:
		}
		err := watch.ErrGap
		if h.block != nil {
			err = watcher.Connect(ctx, h.block)
		}
		if errors.Is(err, watch.ErrGap) {
			err = watcher.Sync(ctx, w.chain)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, watch.ErrJournal):
			return err
		}
		if h.block != nil && err == nil {
			w.perf.block.Since(h.seen)
		}
		w.note(err)
		w.perf.record(watcher.Status())
		if w.onLook != nil {
			w.onLook(w.Status())
		}
		wait := w.every
		if err != nil {
			wait = time.Second
		}
		look.Reset(wait)
	}
}

// note says why the chain cannot be looked at, or with nil that it can.
func (w *Watch) note(err error) {
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	w.mu.Lock()
	before := w.problem
	w.problem = problem
	w.mu.Unlock()
	if problem != "" && problem != before {
		w.log.Warn("bridges are not watched completely; trying again", "err", err)
	}
}

// tell tells of an event.
func (w *Watch) tell(e watch.Event) {
	level := slog.LevelInfo
	if e.Urgent {
		level = slog.LevelWarn
	}
	w.log.Log(context.Background(), level, "bridge", "instance", e.Instance, "number", e.Number, "kind", e.Kind, "height", e.Tip.Height, "what", e.Text)
	w.perf.events.Add(1)
	if w.onEvent != nil {
		w.onEvent(e)
	}
}

// A Status is what is known of the bridges.
type Status struct {
	// Problem is why the chain cannot be looked at; empty if it can.
	Problem   string         `json:"problem,omitempty"`
	Instances []watch.Status `json:"instances"`
}

// Good reports whether all is seen and nothing is urgent.
func (s *Status) Good() bool {
	if s.Problem != "" {
		return false
	}
	for _, in := range s.Instances {
		for _, a := range in.Next {
			if a.Urgent {
				return false
			}
		}
	}
	return true
}

// Status returns what is known, from memory.
func (w *Watch) Status() *Status {
	w.mu.Lock()
	watcher, problem := w.watcher, w.problem
	w.mu.Unlock()
	s := &Status{Problem: problem, Instances: []watch.Status{}}
	if watcher != nil {
		s.Instances = append(s.Instances, watcher.Status()...)
	}
	return s
}

// Ask looks at the chain once, and returns what is known then. Nothing is kept. It must
// not be called while Run runs.
func (w *Watch) Ask(ctx context.Context) (*Status, error) {
	network, err := w.chain.Network(ctx)
	if err != nil {
		return nil, err
	}
	if on := w.instances[0].Network; on != network {
		return nil, fmt.Errorf("bridges to watch are on network %s, and the node is on %s", on, network)
	}
	watcher := watch.New(watch.Options{Judge: w.judge, Blocks: w.chain, Event: w.tell})
	for _, in := range w.instances {
		if err := watcher.Add(in); err != nil {
			return nil, err
		}
	}
	if err := watcher.Sync(ctx, w.chain); err != nil {
		return nil, err
	}
	return &Status{Instances: watcher.Status()}, nil
}
