package sidecar

import (
	"context"
	"net/http"
	"path/filepath"
	"sync"

	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/perf"
)

// newPerformance returns what observes performance; nil where that is off.
func (s *Sidecar) newPerformance() (*perf.Performance, error) {
	if s.cfg.Perf == perf.Off || s.cfg.Perf == "" {
		return nil, nil
	}
	limit, _ := divide(s.cfg.MemoryLimit, s.cfg.UTXOBytes, 0)
	return perf.New(perf.Config{
		Mode: s.cfg.Perf, Datadir: s.cfg.Datadir, Registry: s.registry, MemoryLimit: uint64(limit),
		Tolerance: s.cfg.PerfTolerance, SnapshotEvery: s.cfg.PerfSnapshots, Webhook: s.cfg.PerfWebhook, Log: s.log,
	})
}

// perfHandler returns the handler of the API; nil where performance is off.
func (s *Sidecar) perfHandler() http.Handler {
	if s.perf == nil {
		return nil
	}
	return s.perf.Handler()
}

// perform keeps the process to its memory, and observes and optimizes the knobs of
// all parts within that, by dividing the memory too, until ctx ends. Trouble with the
// latter is logged: blocks are judged all the same. The garbage collector is given back
// behind the optimizer, which has moved its knobs.
func (s *Sidecar) perform(ctx context.Context, network string, feed *node.Feed, m *memory, share *tenancy) {
	remember, forget := context.WithCancel(context.WithoutCancel(ctx))
	var memory sync.WaitGroup
	defer memory.Wait()
	defer forget()
	memory.Go(func() { m.run(remember) })
	if s.perf != nil {
		if err := s.perf.Follow(ctx, s.plant(network, feed, share)); err != nil {
			s.log.Error("performance is neither observed nor optimized", "err", err)
		}
	}
	<-ctx.Done()
}

// plant returns what is observed and optimized.
func (s *Sidecar) plant(network string, feed *node.Feed, share *tenancy) perf.Plant {
	knobs := s.Knobs()
	return perf.Plant{
		Network: network, Dir: filepath.Join(s.cfg.Datadir, network, "perf"), Knobs: knobs, Memory: share.memory(knobs),
		Behind: func() (float64, bool) { return s.behind(feed) },
	}
}

// behind returns how many blocks of the node's chain are not judged yet.
func (s *Sidecar) behind(feed *node.Feed) (blocks float64, known bool) {
	best, tip := feed.Status().Best, s.Status().Tip
	if best == (node.Tip{}) || tip == nil {
		return 0, false
	}
	return max(0, float64(best.Height)-float64(tip.Height)), true
}
