package bench

import (
	"cmp"
	"context"
	"runtime/metrics"
	"slices"
	"sync"
	"time"

	"github.com/outrider-project/outrider/perfcore/collect"
)

// readTimes are how long look-ups took, in nanoseconds. It is safe for concurrent use.
type readTimes struct {
	mu    sync.Mutex // guards what follows
	took  []uint32   // since drain
	slice []uint32   // since drainSlice
	// measuring and slicing say that somebody drains them.
	measuring, slicing bool
}

func (r *readTimes) add(d time.Duration) {
	ns := uint32(min(d, 1<<32-1))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.measuring {
		r.took = append(r.took, ns)
	}
	if r.slicing {
		r.slice = append(r.slice, ns)
	}
}

// drain returns the times since it was called last, which the caller owns; none when
// it was never.
func (r *readTimes) drain() []uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.took
	r.took, r.measuring = nil, true
	return taken
}

// drainSlice is drain for slices, which are shorter than what is measured.
func (r *readTimes) drainSlice() []uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.slice
	r.slice, r.slicing = nil, true
	return taken
}

// p90 returns the 90th percentile, in seconds; 0 for none. It sorts took.
func p90(took []uint32) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return float64(took[len(took)*9/10]) / 1e9
}

// memoryEvery is how often memory is looked at: a few times in a slice, as each look takes a third
// of a millisecond of the processor, which is in what is measured.
const memoryEvery = 40 * time.Millisecond

// A memoryMeter looks at the memory that the process manages: what the Go runtime has
// mapped and not given back, and Pebble's cache and memtables where they are outside of
// that. It is safe for concurrent use.
type memoryMeter struct {
	replay *replay

	mu        sync.Mutex // guards what follows
	seen, due memorySum  // since drain, and drainDue
	err       error      // of the first look that failed
}

// A memorySum is of looks at memory, in bytes.
type memorySum struct {
	sum, peak float64
	looks     int
}

func (s *memorySum) add(v float64) { s.sum, s.peak, s.looks = s.sum+v, max(s.peak, v), s.looks+1 }

func (s *memorySum) mean() float64 {
	if s.looks == 0 {
		return 0
	}
	return s.sum / float64(s.looks)
}

// run looks until ctx ends.
func (m *memoryMeter) run(ctx context.Context) {
	ticker := time.NewTicker(memoryEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		outside, err := m.replay.outside()
		seen, due := m.replay.memory(outside), m.replay.due(outside)
		m.mu.Lock()
		m.seen.add(seen)
		m.due.add(due)
		m.err = cmp.Or(m.err, err)
		m.mu.Unlock()
	}
}

// memory returns the managed memory of this moment, in bytes, with what is outside of Go's.
func (r *replay) memory(outside float64) float64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return float64(s[0].Value.Uint64()-s[1].Value.Uint64()) + outside
}

// outside returns what of the managed memory is outside of Go's, in bytes. It reads no table: what
// the meter reads is in what it measures.
func (r *replay) outside() (float64, error) {
	if r.db.OffHeap() == 0 {
		return 0, nil
	}
	cache, memtables, err := r.db.Held()
	return float64(cache + memtables), err
}

// due returns the managed memory that the settings of this moment lead to, in bytes, with what is
// outside of Go's: the heap may grow to its goal before it is collected, and is given back some
// cycles after a goal has fallen. That takes seconds where a slice is a fraction of one. What the
// cache of signatures may yet take is live one day: in a synchronisation it takes nothing, and so
// a size that costs nothing there would be paid for at the tip. And Pebble's cache takes, outside of
// Go's memory, what has been read since it may be that large: a slice would be charged with the
// little that it has read itself.
func (r *replay) due(outside float64) float64 {
	s := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/heap/goal:bytes"},
		{Name: "/gc/gogc:percent"},
	}
	metrics.Read(s)
	taken, limit := r.verifier.CacheBytes()
	grows := float64(max(limit-taken, 0)) * (1 + float64(s[6].Value.Uint64())/100)
	beside := s[0].Value.Uint64()
	for _, heap := range s[1:5] {
		beside -= heap.Value.Uint64()
	}
	return float64(beside+s[5].Value.Uint64()) + grows + max(outside, float64(r.db.OffHeap()))
}

// drain returns what was seen since it was called last.
func (m *memoryMeter) drain() (memorySum, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.seen
	m.seen = memorySum{}
	return s, m.err
}

// drainDue returns what is due, by looks since it was called last.
func (m *memoryMeter) drainDue() memorySum {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.due
	m.due = memorySum{}
	return s
}

// A replaySource measures a replay for the optimizer. It is a collect.Source.
type replaySource struct {
	replay *replay
	memory *memoryMeter
	cpu    time.Duration
	units  uint64
}

// Begin implements collect.Source.
func (s *replaySource) Begin() {
	s.cpu, s.units = processTime(), s.replay.units.Load()
	s.replay.reads.drainSlice()
	s.memory.drainDue()
}

// End implements collect.Source.
func (s *replaySource) End(slice *collect.Slice) {
	slice.SetRate(perfWorkRate, float64(s.units), float64(s.replay.units.Load()))
	slice.SetRate(perfCores, s.cpu.Seconds(), processTime().Seconds())
	if took := s.replay.reads.drainSlice(); len(took) > 0 {
		slice.Set(perfRead, p90(took))
	}
	if m := s.memory.drainDue(); m.looks > 0 {
		slice.Set(perfMemory, m.mean())
	}
}

// Missing implements collect.Source.
func (*replaySource) Missing() []string { return nil }
