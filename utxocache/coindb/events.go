package coindb

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// A logger is what Pebble tells.
type logger struct{ db *DB }

// Infof implements pebble.Logger.
func (l logger) Infof(string, ...any) {}

// Errorf implements pebble.Logger.
func (l logger) Errorf(format string, args ...any) {
	l.db.opts.Log.Error("coin database", "error", fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. It returns, where Pebble means it not to:
// after it, nothing that Pebble does reaches the disk.
func (l logger) Fatalf(format string, args ...any) {
	reason := fmt.Errorf(format, args...)
	for _, a := range args {
		if err, ok := a.(error); ok {
			reason = fmt.Errorf("%s: %w", reason, err)
			break
		}
	}
	l.db.disk.fail(reason)
	l.db.opts.Log.Error("coin database is broken", "error", reason)
}

// events returns what is done when something happens in Pebble. Its functions
// run while Pebble holds locks.
func (d *DB) events() *pebble.EventListener {
	// A flush that ends with an error has not failed if it only had nothing to
	// write; else BackgroundError has the same error right after.
	var flush error
	flushed := func(failed *error) {
		d.flushErr.Store(failed)
		select {
		case d.flushed <- struct{}{}:
		default:
		}
	}
	var running compacting
	return &pebble.EventListener{
		FlushBegin: func(pebble.FlushInfo) { running.begin(&d.perf) },
		FlushEnd: func(info pebble.FlushInfo) {
			flush = info.Err
			flushed(nil)
			running.end(&d.perf)
			d.tables.Add(1)
		},
		CompactionBegin: func(pebble.CompactionInfo) { running.begin(&d.perf) },
		CompactionEnd: func(pebble.CompactionInfo) {
			running.end(&d.perf)
			d.tables.Add(1)
		},
		BackgroundError: func(err error) {
			err = d.explain(err)
			if flush != nil && errors.Is(err, flush) {
				flushed(&err)
			}
			d.opts.Log.Warn("coin database: background work failed", "error", err)
		},
		DataCorruption:  func(info pebble.DataCorruptionInfo) { d.damage.add(info) },
		WriteStallBegin: func(pebble.WriteStallBeginInfo) { d.perf.stalls.Add(1) },
	}
}

// compacting counts the flushes and compactions that run.
type compacting struct {
	mu sync.Mutex
	n  int
}

func (c *compacting) begin(p *instruments) { c.add(1, p) }

func (c *compacting) end(p *instruments) {
	c.add(-1, p)
	p.compactions.Add(1)
}

func (c *compacting) add(n int, p *instruments) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += n
	p.compacting.Set(float64(c.n))
}

// damage is the files that were found corrupt.
type damage struct {
	mu    sync.Mutex
	files map[string]string // path to what is wrong
}

func (c *damage) add(info pebble.DataCorruptionInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files == nil {
		c.files = make(map[string]string)
	}
	c.files[info.Path] = info.Details.Error()
}

// list returns the files and what is wrong with each, sorted.
func (c *damage) list() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []string
	for path, what := range c.files {
		list = append(list, path+": "+what)
	}
	slices.Sort(list)
	return list
}

func (c *damage) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files = nil
}
