// Package heap drives Go's garbage collector within a limit on the memory of
// the whole process: GOGC as a knob that the optimizer may try, and GOMEMLIMIT
// by a law that leaves room for what the runtime does not know of: caches in C,
// mapped files that are written, the kernel's part.
//
// Go's own limit counts what Go has mapped and not released, and nothing else.
// Set to nine tenths of a container's limit, as is common, it does not keep a
// process with a cache outside of it from being killed.
package heap

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/arbiter"
)

// Config says within what the collector is driven. Limit is needed; zero fields
// have the defaults that their comments name.
type Config struct {
	// Limit is how many bytes the process may use, with everything: its control
	// group's limit, say, or a share of the machine's memory.
	Limit int64
	// Reserve is the share of it that stays free (0.08).
	Reserve float64
	// OffHeap returns the bytes outside of Go's memory that other parts may
	// take: the sizes of caches, not what is in them (none).
	OffHeap func() int64
	// Anonymous, if set, returns the bytes that the process has in no file, as
	// Linux's RssAnon and VmSwap together. Of those that are not Go's and those
	// that OffHeap declares, which are mostly the same, the greater number counts.
	Anonymous func() (bytes int64, measured bool)
	// Headroom is how many bytes the heap may have beyond what is live at first,
	// for the knob go.headroom; without one there is no such knob, and GOGC and
	// Limit alone bound it.
	Headroom int64
	// Settle is for how long what one value of GOGC let grow shows behind the next one: two
	// cycles. While so little is allocated that these take longer, GOGC is not tried (10 s).
	Settle time.Duration
}

// percents are the values of GOGC that are tried, beside the one that was in
// force.
var percents = []int64{50, 75, 100, 150, 200, 300, 400, 600}

// shares are the parts, in per cent, of the room that Go may use.
var shares = []int64{50, 60, 70, 80, 90, 100}

// A Governor drives the collector. It is safe for concurrent use, and a program
// has one. It has no goroutine: somebody calls Step.
type Governor struct {
	cfg Config

	mu      sync.Mutex // guards what follows
	law     law
	rest    resident
	pace    pace
	share   int64 // per cent
	room    int64 // the headroom, in bytes; 0 for no bound
	percent int64 // GOGC when the governor came
	before  int64 // GOMEMLIMIT when it came
	set     int64 // GOMEMLIMIT as it was set last; 0 before
	trouble string
	last    numbers
	foreign error
}

// New returns a governor that has changed nothing yet. A limit that was set for
// Go before, as by GOMEMLIMIT, is never exceeded.
func New(cfg Config) (*Governor, error) {
	if cfg.Reserve == 0 {
		cfg.Reserve = 0.08
	}
	if cfg.Settle == 0 {
		cfg.Settle = 10 * time.Second
	}
	if cfg.Limit < 2*leastBytes || !(cfg.Reserve > 0 && cfg.Reserve < 0.5) || cfg.Settle < 0 || cfg.Headroom < 0 {
		return nil, fmt.Errorf("a limit of %d bytes with a reserve of %v and a headroom of %d, or settling in %v, is none",
			cfg.Limit, cfg.Reserve, cfg.Headroom, cfg.Settle)
	}
	now := read()
	return &Governor{
		cfg: cfg, share: 100, room: cfg.Headroom, percent: now.percent, before: now.limit, last: now,
		law: law{limit: cfg.Limit, ceiling: now.limit, reserve: cfg.Reserve}, pace: pace{at: time.Now(), allocated: now.allocated},
	}, nil
}

// Knobs returns GOGC, which is the engine's, the share of the room that Go may use,
// which is an operator's, and the headroom, which is an arbiter's: both fill for
// minutes. GOGC says how much headroom is wished for, and the others how much there
// is.
func (g *Governor) Knobs() []perfcore.Knob {
	ladder := percents
	if g.percent > 0 {
		ladder = perfcore.Ladder(ladder, g.percent)
	}
	knobs := []perfcore.Knob{
		{
			Name: "go.gogc", Help: "How much the heap grows before it is collected, as Go's GOGC.", Unit: "percent",
			Scope: perfcore.Live, Resource: perfcore.CPU, Carry: perfcore.Warm, Settle: g.cfg.Settle, Ladder: ladder,
			Apply: func(_ context.Context, v int64) error {
				debug.SetGCPercent(int(v))
				return nil
			},
			Read:    func() int64 { return read().percent },
			Unready: g.unready,
		},
		{
			Name: "go.memlimit", Help: "The part of the memory that other parts leave, which Go may use.", Unit: "percent",
			Scope: perfcore.Live, Resource: perfcore.Memory, Carry: perfcore.Stateful, Settle: g.cfg.Settle, Ladder: shares,
			Apply: func(_ context.Context, v int64) error {
				g.mu.Lock()
				defer g.mu.Unlock()
				before := g.share
				g.share = v
				if err := g.step(); err != nil {
					g.share = before
					return err
				}
				return nil
			},
			Read: func() int64 {
				g.mu.Lock()
				defer g.mu.Unlock()
				return g.share
			},
		},
	}
	if g.cfg.Headroom == 0 {
		return knobs
	}
	var rooms []int64
	for n := max(g.cfg.Headroom/roomShrinks, 1); n < roomGrowth*g.cfg.Headroom; n *= 2 {
		rooms = append(rooms, n)
	}
	return append(knobs, perfcore.Knob{
		Name: "go.headroom", Help: "How much the heap may have beyond what is live, before it is collected.", Unit: "bytes",
		Scope: perfcore.Live, Resource: perfcore.Memory, Carry: perfcore.Stateful, Settle: g.cfg.Settle,
		Ladder: perfcore.Ladder(rooms, g.cfg.Headroom, roomGrowth*g.cfg.Headroom),
		Apply: func(_ context.Context, v int64) error {
			g.mu.Lock()
			defer g.mu.Unlock()
			before := g.room
			g.room = v
			if err := g.step(); err != nil {
				g.room = before
				return err
			}
			return nil
		},
		Read: func() int64 {
			g.mu.Lock()
			defer g.mu.Unlock()
			return g.room
		},
	})
}

// roomGrowth and roomShrinks are how much larger and smaller than at first the headroom
// can be made.
const roomGrowth, roomShrinks = 8, 32

// ErrForeign says that somebody else has set GOMEMLIMIT. The governor leaves it
// alone from then on.
var ErrForeign = errors.New("somebody else has set the memory limit of Go")

// Step brings GOMEMLIMIT to what the other parts leave at this moment. It is
// called every few seconds, and takes microseconds.
func (g *Governor) Step() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.step()
}

func (g *Governor) step() error {
	if g.foreign != nil {
		return g.foreign
	}
	now := read()
	if g.set != 0 && now.limit != g.set {
		g.foreign = fmt.Errorf("%w: it is %d bytes, and was set to %d", ErrForeign, now.limit, g.set)
		return g.foreign
	}
	r := reading{
		at: time.Now(), live: now.live, other: now.other, gc: now.gcSince(g.last), held: now.held(), share: float64(g.share) / 100,
		headroom: g.room,
	}
	g.pace.see(r.at, now.allocated, g.cfg.Settle)
	if g.cfg.OffHeap != nil {
		r.declared = g.cfg.OffHeap()
	}
	if g.cfg.Anonymous != nil {
		if v, measured := g.cfg.Anonymous(); measured {
			r.seen = g.rest.others(v, max(now.used, read().used)) // it may have grown meanwhile
		}
	}
	if now.cycles != g.last.cycles {
		g.last = now // the processor's classes are as of the last cycle
	}
	g.set, g.trouble = g.law.next(r)
	debug.SetMemoryLimit(g.set)
	return nil
}

// Alarm returns why memory is in trouble, as of the last Step; "" when it is
// not.
func (g *Governor) Alarm() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.trouble
}

// Headroom returns the collector as a bidder for memory, by what it did since
// another time: what it marks, what was allocated, and what marking a byte
// costs. It is not ok before two cycles have passed between the two.
func (g *Governor) Headroom(since Mark) (h arbiter.Headroom, ok bool) {
	now := read()
	elapsed := time.Since(since.at).Seconds()
	cycles := now.cycles - since.numbers.cycles
	if cycles < 2 || elapsed <= 0 || now.live == 0 {
		return h, false
	}
	marked := float64(now.live) * float64(cycles)
	return arbiter.Headroom{
		Allocated: float64(now.allocated-since.numbers.allocated) / elapsed,
		Live:      float64(now.live),
		Cost:      1e9 * (now.gc - since.numbers.gc) / marked,
	}, true
}

// Room returns how many bytes the heap has beyond what is live at this moment, how
// many it cannot do without, and how many GOGC lets it have at most; MaxInt64 when
// that is off.
func (g *Governor) Room() (held, least, most int64) {
	now := read()
	held = max(now.used-now.other-now.live, 0)
	least = int64(leastRoom*float64(now.live)) + leastBytes
	if now.percent < 0 {
		return held, least, math.MaxInt64
	}
	// The runtime adds stacks and globals to what the percentage is of.
	return held, least, max(now.goal-now.live, now.live/100*now.percent, least)
}

// A Mark is a moment that Headroom counts from.
type Mark struct {
	at      time.Time
	numbers numbers
}

// Now returns this moment.
func (g *Governor) Now() Mark { return Mark{time.Now(), read()} }

// Release sets GOGC and GOMEMLIMIT to what they were before the governor came,
// unless somebody else has set the latter.
func (g *Governor) Release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	debug.SetGCPercent(int(g.percent))
	if g.set != 0 && read().limit == g.set {
		debug.SetMemoryLimit(g.before)
	}
	g.set = 0
}

// numbers are what the runtime says of itself.
type numbers struct {
	percent    int64 // GOGC; -1 when it is off
	limit      int64 // GOMEMLIMIT; MaxInt64 when there is none
	live, used int64 // used is mapped, and not released
	other      int64 // of that, what is not the heap's
	goal       int64
	cycles     uint64
	allocated  uint64
	gc, cpu    float64 // seconds of processor time, as of the last cycle
}

func read() numbers {
	s := []metrics.Sample{
		{Name: "/gc/gogc:percent"}, {Name: "/gc/gomemlimit:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/goal:bytes"},
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/allocs:bytes"},
		{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/cpu/classes/total:cpu-seconds"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(s)
	n := numbers{
		percent: -1, limit: int64(s[1].Value.Uint64()), live: int64(s[2].Value.Uint64()),
		goal: int64(min(s[3].Value.Uint64(), math.MaxInt64)), used: int64(s[4].Value.Uint64() - s[5].Value.Uint64()),
		cycles: s[6].Value.Uint64(), allocated: s[7].Value.Uint64(), gc: s[8].Value.Float64(), cpu: s[9].Value.Float64(),
	}
	n.other = n.used - int64(s[10].Value.Uint64()+s[11].Value.Uint64()+s[12].Value.Uint64())
	if p := s[0].Value.Uint64(); p < math.MaxInt32 {
		n.percent = int64(p)
	}
	return n
}

// gcSince returns the share of the processor time that the collector took since
// before.
func (n numbers) gcSince(before numbers) float64 {
	if n.cpu <= before.cpu {
		return 0
	}
	return (n.gc - before.gc) / (n.cpu - before.cpu)
}

// held reports whether the goal is lower than GOGC alone would have it.
func (n numbers) held() bool {
	return n.percent < 0 || float64(n.goal) < 0.95*float64(n.live)*(1+float64(n.percent)/100)
}
