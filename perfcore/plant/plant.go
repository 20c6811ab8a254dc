// Package plant simulates programs whose best setting is known, to prove an
// optimizer on: their knobs are perfcore's, their costs come with the noise,
// the drifts and the traps of real ones, and everything follows from a seed.
// It is for tests and for comparing algorithms; nothing here measures a real
// program.
package plant

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// Levels is the number of values on the ladder of each knob. The value of level
// l is Value(l), so that nobody takes the one for the other.
const Levels = 11

// Value returns the value of a level.
func Value(level int) int64 { return int64(100 + 10*level) }

// Config describes a plant. Its zero value but for Start and Surface is a quiet
// one that obeys.
type Config struct {
	// Start is the level of each knob before anything is applied.
	Start []int
	// Surface is the true cost.
	Surface Surface
	// World is what disturbs the measurements.
	World World
	// Seed decides everything that is random.
	Seed uint64

	// Carry is how much of a slice's distance from the cost that the levels
	// will lead to is left in the next slice: 0 forgets at once.
	Carry float64
	// Settle is what the knobs say about that.
	Settle time.Duration
	// Unordered are knobs, by index, that say that their values have no order.
	Unordered []int
	// Liars are knobs, by index, that accept a value and keep their own.
	Liars []int
	// Broken are knobs, by index, whose Apply fails.
	Broken []int
	// FailingApply is the share of calls of Apply that fail and change nothing.
	FailingApply float64
	// Goodhart is the share of the work that the first knob drops for each
	// level above Start, and by which the cost seems to fall.
	Goodhart float64
	// Stall, if not 0, is the level of the first knob from which on no work is
	// done at all.
	Stall int
	// Hostile adds to the cost of each slice behind an odd number of calls
	// of Apply: a world that sees through the schedule of who takes turns
	// strictly.
	Hostile float64
	// Burst is the plant's work of the background.
	Burst Burst
	// Uses are what the plant's resources are seen to do.
	Uses []Use
	// AlarmAbove, if not 0, is the true cost above which the plant raises an
	// alarm.
	AlarmAbove float64
	// Applied, if set, is called whenever a value is accepted, with the levels
	// in force. It must not call the plant.
	Applied func(levels []int)
}

// A Burst is work of the background that comes due now and then. The zero value is none.
type Burst struct {
	// Every so many slices there are Length with Cost more, from a random one on.
	Every, Length int
	Cost          float64
	// Untold bursts are not in the samples.
	Untold bool
	// Dearer is by how much more they cost with the first knob above Start.
	Dearer float64
}

// A Use is how long a resource takes.
type Use struct {
	Resource perfcore.ResourceType
	// Latency is the natural logarithm of the true time in seconds, and Noise the standard deviation of
	// what is measured of it, independent from slice to slice.
	Latency Surface
	Noise   float64
	// Unseen, if set, says in which slices it is not measured.
	Unseen func(levels []int, t int) bool
}

// A Plant is a simulated program. It is safe for concurrent use; its slices
// follow each other in the order of the calls of Collect.
type Plant struct {
	cfg Config

	mu      sync.Mutex // guards what follows
	rand    *rand.Rand
	timing  *rand.Rand
	world   *weather
	levels  []int
	slice   int
	lag     float64 // cost that earlier levels have left behind
	settled float64 // cost that the last slice's levels lead to
	applies int
	phase   int // of bursts
}

// New returns a plant at its start.
func New(cfg Config) *Plant {
	p := &Plant{
		cfg:    cfg,
		rand:   rand.New(rand.NewPCG(cfg.Seed, 1)),
		timing: rand.New(rand.NewPCG(cfg.Seed, 4)),
		levels: slices.Clone(cfg.Start),
	}
	p.world = newWeather(cfg.World, rand.New(rand.NewPCG(cfg.Seed, 2)))
	p.settled = cfg.Surface(p.levels, 0)
	if cfg.Burst.Every > 0 {
		p.phase = rand.New(rand.NewPCG(cfg.Seed, 3)).IntN(cfg.Burst.Every)
	}
	return p
}

var errApply = errors.New("the plant is stuck")

// Knobs returns the plant's knobs, in the order of Start.
func (p *Plant) Knobs() []perfcore.Knob {
	ladder := make([]int64, Levels)
	for l := range ladder {
		ladder[l] = Value(l)
	}
	knobs := make([]perfcore.Knob, len(p.cfg.Start))
	for i := range knobs {
		knobs[i] = perfcore.Knob{
			Name: fmt.Sprintf("plant.knob%d", i), Help: "A simulated quantity.", Unit: "units",
			Scope: perfcore.Live, Resource: perfcore.CPU, Carry: perfcore.Memoryless, Settle: p.cfg.Settle,
			Ladder: slices.Clone(ladder), Unordered: slices.Contains(p.cfg.Unordered, i),
			Apply: func(_ context.Context, v int64) error { return p.apply(i, v) },
			Read:  func() int64 { return p.read(i) },
		}
	}
	return knobs
}

func (p *Plant) apply(knob int, value int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	level := int(value-Value(0)) / 10
	if level < 0 || level >= Levels || Value(level) != value {
		panic(fmt.Sprintf("plant: %d is on no ladder", value))
	}
	if slices.Contains(p.cfg.Broken, knob) || p.rand.Float64() < p.cfg.FailingApply {
		return errApply
	}
	p.applies++
	if !slices.Contains(p.cfg.Liars, knob) {
		p.levels[knob] = level
	}
	if p.cfg.Applied != nil {
		p.cfg.Applied(slices.Clone(p.levels))
	}
	return nil
}

func (p *Plant) read(knob int) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Value(p.levels[knob])
}

// Interfere moves a knob as somebody else would, past Apply.
func (p *Plant) Interfere(knob, level int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.levels[knob] = level
}

// Set puts all knobs to levels at once, without Apply.
func (p *Plant) Set(levels []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.applies++
	copy(p.levels, levels)
}

// Levels returns the levels in force.
func (p *Plant) Levels() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.levels)
}

// Slice returns how many slices have been collected.
func (p *Plant) Slice() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.slice
}

// Begin starts a slice. The plant measures whole slices, whatever their length.
func (p *Plant) Begin() {}

// Collect ends a slice in which the levels were those in force now.
func (p *Plant) Collect() perfcore.Sample {
	p.mu.Lock()
	defer p.mu.Unlock()
	target := p.cfg.Surface(p.levels, p.slice)
	p.lag = p.cfg.Carry * (p.lag + p.settled - target)
	p.settled = target

	now := p.world.next()
	cost, work := target+p.lag+now.cost, math.Exp(now.load)
	if up := p.levels[0] - p.cfg.Start[0]; p.cfg.Goodhart > 0 && up > 0 {
		dropped := p.cfg.Goodhart * float64(up)
		cost += math.Log1p(-dropped)
		work *= 1 - dropped
	}
	if p.applies%2 == 1 {
		cost += p.cfg.Hostile
	}
	if p.cfg.Stall != 0 && p.levels[0] >= p.cfg.Stall {
		cost, work = math.Inf(1), 0
	}
	extra, why := p.burst()
	usage := p.usage()
	if now.void != "" { // the neighbour is in it, too
		usage = nil
	}
	p.slice++
	return perfcore.Sample{Cost: cost + extra, Work: work, Usage: usage, Burst: why, Void: now.void}
}

// usage returns what the resources are seen to do in this slice; nil for none.
func (p *Plant) usage() (seen map[perfcore.ResourceType]perfcore.Usage) {
	for _, u := range p.cfg.Uses {
		latency := u.Latency(p.levels, p.slice) + u.Noise*p.timing.NormFloat64()
		if u.Unseen != nil && u.Unseen(p.levels, p.slice) {
			continue
		}
		if seen == nil {
			seen = make(map[perfcore.ResourceType]perfcore.Usage)
		}
		all := perfcore.Unmeasured()
		all.Latency = time.Duration(math.Exp(latency) * float64(time.Second))
		seen[u.Resource] = all
	}
	return seen
}

// burst returns what a burst costs in this slice, and what is said of it.
func (p *Plant) burst() (cost float64, why string) {
	b := p.cfg.Burst
	if b.Every == 0 || (p.slice+p.phase)%b.Every >= b.Length {
		return 0, ""
	}
	if !b.Untold {
		why = "the background is busy"
	}
	if p.levels[0] > p.cfg.Start[0] {
		return b.Cost + b.Dearer, why
	}
	return b.Cost, why
}

// Alarm returns why the plant is in trouble at this moment; "" when it is not.
func (p *Plant) Alarm() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cfg.AlarmAbove != 0 && p.cfg.Surface(p.levels, p.slice) > p.cfg.AlarmAbove {
		return "the plant overheats"
	}
	return ""
}

// Excess returns by how much the true cost of levels exceeds the oracle's in
// the slice that comes next, as a share: 0.05 is five per cent.
func (p *Plant) Excess(levels []int) float64 {
	t := p.Slice()
	_, best := Oracle(p.cfg.Surface, len(levels), t)
	return math.Expm1(p.cfg.Surface(levels, t) - best)
}
