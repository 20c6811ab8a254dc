// Package perf runs the optimizer of perfcore/engine beside a sidecar: it hands
// it the knobs of all parts and what they measure, keeps its snapshots on disk,
// raises alerts, and has it told of, and commanded, by HTTP.
//
// By default it observes: it measures and reports, and no knob moves but at an
// operator's word. What it says about performance never decides about a block.
package perf

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

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
	"github.com/outrider-project/outrider/perfcore/regime"
)

// A Config configures a Performance. Mode, Datadir and Registry are needed; other
// zero fields have the defaults that their comments name.
type Config struct {
	Mode    Mode
	Datadir string
	// Registry is what the parts of the program report to.
	Registry *perfcore.Registry
	// MemoryLimit is how many bytes of memory the operator lets the process have (as many
	// as the machine and the control groups do).
	MemoryLimit uint64
	// SnapshotEvery is after how many accepted changes a snapshot is taken; 0 is
	// never.
	SnapshotEvery uint32
	// Tolerance is what is asked of a change, and what experiments may cost (the engine's).
	Tolerance Tolerance
	// Webhook is where alerts are sent, an address that CheckWebhook accepts
	// (nowhere). It is never logged.
	Webhook string
	// Slice is the mean length of what is measured at a time (10 s).
	Slice time.Duration
	// Log receives what an operator acts on (discarded).
	Log *slog.Logger

	seed uint64 // what the optimizer draws by; 0 draws it too
}

// A Plant is what is optimized, while the sidecar follows its node.
type Plant struct {
	Network string
	// Dir is where snapshots are kept.
	Dir   string
	Knobs []perfcore.Knob
	// Memory is who shares memory; nil where nobody does.
	Memory *Memory
	// Behind returns by how many blocks the sidecar is behind its node. It is safe
	// for concurrent use and answers from memory.
	Behind func() (blocks float64, known bool)
}

// A Performance observes, and optimizes if it is to. It is safe for concurrent
// use.
type Performance struct {
	cfg        Config
	log        *slog.Logger
	events     *events
	alerts     *alerts
	told       told
	outside    *outside
	classifier *regime.Classifier
	predicted  []collect.Source      // of loads that have days
	webhook    *webhook              // nil without one
	system     func() collect.Source // of the process and the machine
	readers    chan struct{}         // places of who reads the events
	strangers  chan struct{}         // those of them that bear no token
	reader     string                // the token for readers
	ended      chan struct{}         // closed when Run is told to end, and streams end then

	commands sync.Mutex // orders operators' commands

	// Who uses the plant holds it for reading, so that no knob is touched when the plant
	// is gone.
	mu        sync.RWMutex
	following *following // nil while there is no plant
	network   string     // of the plant that was followed last; "" before there was one
	refused   bool       // there is a plant, and to follow it failed
}

// New returns a Performance that does nothing yet. The data directory then holds a
// token, which callers that change something must know, and one for readers, which is another
// in each run.
func New(cfg Config) (*Performance, error) {
	if cfg.Mode != Observe && cfg.Mode != Optimize {
		return nil, fmt.Errorf("there is nothing to do in mode %q", cfg.Mode)
	}
	if cfg.Registry == nil {
		return nil, errors.New("performance is measured by a registry")
	}
	if err := makeToken(cfg.Datadir); err != nil {
		return nil, err
	}
	reader, err := makeReader(cfg.Datadir)
	if err != nil {
		return nil, err
	}
	cfg.Slice = cmp.Or(cfg.Slice, 10*time.Second)
	if cfg.Tolerance, err = cfg.Tolerance.withDefaults(); err != nil {
		return nil, err
	}
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	classifier, err := regime.New(regime.Config{})
	if err != nil {
		return nil, err
	}
	p := &Performance{
		cfg: cfg, log: cfg.Log, events: newEvents(), alerts: &alerts{looked: time.Now()}, told: newTold(cfg.Registry), outside: newOutside(cfg.Registry), classifier: classifier,
		system:  func() collect.Source { return collect.Linux().Within(cfg.MemoryLimit) },
		readers: make(chan struct{}, maxReaders), strangers: make(chan struct{}, maxStrangers), reader: reader, ended: make(chan struct{}),
	}
	for _, load := range predicted {
		source, err := collect.NewPredicted(load, time.Hour, 24)
		if err != nil {
			return nil, err
		}
		p.predicted = append(p.predicted, source)
	}
	if cfg.Webhook != "" {
		if err := CheckWebhook(cfg.Webhook); err != nil {
			return nil, fmt.Errorf("webhook: %w", err)
		}
		p.webhook = newWebhook(cfg.Webhook, cfg.Log)
		p.webhook.send(p.started())
	}
	return p, nil
}

// Run has the command line find the API at address, raises alerts while nothing is
// followed, that there is no node among them, and delivers all alerts, until ctx ends;
// then it ends the streams of events, and sends what waits for the webhook once more, for
// seconds at most. When counted is closed, which says that nobody counts what alerts are of any
// more, or behind lastCounts, it raises those of what was counted since the last slice, delivers
// them in the same time, and returns nil; a nil counted is one that is closed. It is called once.
func (p *Performance) Run(ctx context.Context, address string, counted <-chan struct{}) error {
	var delivery sync.WaitGroup
	defer delivery.Wait()
	end := sync.OnceFunc(func() { close(p.ended) })
	defer end()
	name := filepath.Join(p.cfg.Datadir, addressFile)
	if err := replaceFile(name, []byte(address+"\n")); err != nil {
		return fmt.Errorf("say where the API is: %w", err)
	}
	if p.webhook != nil {
		delivery.Go(func() { p.webhook.run(ctx) })
	}
	err := p.wait(ctx)
	if err != nil {
		p.log.Error("no alert is raised while no node is followed", "err", err)
	}
	<-ctx.Done()
	end()
	// Another sidecar may use the directory for another network.
	if at, failed := readAddress(p.cfg.Datadir); failed == nil && at == address {
		err = errors.Join(err, os.Remove(name))
	}
	if counted != nil {
		select {
		case <-counted:
		case <-time.After(lastCounts):
			p.log.Warn("what is counted from now on raises no alert: the sidecar takes long to end")
		}
	}
	delivery.Wait()
	p.lookLast()
	if p.webhook != nil {
		p.webhook.last(ctx)
		if left := len(p.webhook.queued()); left > 0 {
			p.log.Warn("the webhook was not told all", "notices", left)
		}
	}
	return err
}

// lastCounts is how long Run waits for others to end: less than a service manager waits before it
// kills.
const lastCounts = 20 * time.Second

// lookLast raises the alerts of what was counted since the last slice: the next run counts from 0,
// so that nobody would be told of it.
func (p *Performance) lookLast() {
	p.mu.RLock()
	defer p.mu.RUnlock()
	p.alerts.hold(Rules(p.cfg.Registry.Series()))
	unmeasured := func(string) (float64, bool) { return 0, false }
	for _, a := range p.alerts.observe(time.Now(), unmeasured) {
		p.raise(p.network, a)
	}
}

// Announce tells that a block is at hand: what is tried ends within a second and counts for
// nothing, and nothing else is tried until Arrived, or for half a minute. A nil Performance
// takes no notice.
func (p *Performance) Announce() {
	if p != nil {
		p.classifier.Announce()
	}
}

// Arrived tells that the block that was at hand is done with.
func (p *Performance) Arrived() {
	if p != nil {
		p.classifier.Arrived()
	}
}

// publish tells the stream of events.
func (p *Performance) publish(kind EventKind, data any) {
	if err := p.events.publish(kind, data); err != nil {
		p.log.Error("an event was not told", "error", err)
	}
}

// raise tells everybody of an alert.
func (p *Performance) raise(network string, a Alert) {
	if a.State == Firing {
		p.log.Warn("alert", "name", a.Name, "quantity", a.Quantity, "value", a.Value, "limit", a.Raise, "of", a.Of, "help", a.Help)
	} else {
		p.log.Info("alert has cleared", "name", a.Name, "quantity", a.Quantity, "value", a.Value)
	}
	p.publish(Alerted, a)
	if p.webhook != nil {
		p.webhook.send(p.notice(network, a))
	}
}
