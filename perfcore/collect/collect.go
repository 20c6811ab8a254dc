// Package collect measures slices of time: what the Go runtime, the process,
// its control group and the machine did in them, and what the program says of
// itself. An [Objective] makes of that the one number that an optimizer lowers.
//
// It starts no goroutine. What cannot be measured on a system is said in a
// sentence, once, and is then absent: no value is ever made up for it.
package collect

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/anomaly"
	"github.com/outrider-project/outrider/perfcore/regime"
)

// A Source measures one part of the program over slices. Pebble's, ristretto's
// and the node's live beside what they measure. One goroutine calls its
// methods.
type Source interface {
	// Begin begins a slice, and forgets one that has not ended.
	Begin()
	// End sets what the slice that Begin began has seen. Rates are per second
	// of s.Length.
	End(s *Slice)
	// Missing returns, in a sentence each, what can not be measured here.
	Missing() []string
}

// An Alarmer is a Source that knows of trouble between the ends of a slice.
type Alarmer interface {
	// Alarm returns why the program is in trouble at this moment; "" when it
	// is not.
	Alarm() string
}

// A Slice is what was measured in one slice of time, by the names of quantities
// (Prometheus names without the prefix: go_gc_cpu_ratio).
type Slice struct {
	Length time.Duration
	values map[string]float64
}

// Set sets a quantity. What is no finite number is left out.
func (s *Slice) Set(name string, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	if s.values == nil {
		s.values = make(map[string]float64)
	}
	s.values[name] = v
}

// SetRate sets a quantity to the rate of a total that grew from one reading to
// another. A total that went backwards, as after a restart, has no rate.
func (s *Slice) SetRate(name string, from, to float64) {
	if to >= from && s.Length > 0 {
		s.Set(name, (to-from)/s.Length.Seconds())
	}
}

// Value returns a quantity, and whether it was measured.
func (s *Slice) Value(name string) (v float64, measured bool) {
	v, measured = s.values[name]
	return v, measured
}

// Each calls f for every quantity, in no order.
func (s *Slice) Each(f func(name string, v float64)) {
	for name, v := range s.values {
		f(name, v)
	}
}

// A Term is one quantity in the cost.
type Term struct {
	// Quantity is its name, Weight its share in the cost: a rise of the
	// quantity by 1 % raises the cost by Weight per cent.
	Quantity string
	Weight   float64
	// PerWork divides it by the work's rate: for what grows with the load, as
	// processor time and bytes read do and latencies do not.
	PerWork bool
	// Floor, larger than 0, is what smaller values count as: without one a
	// quantity near 0 decides alone.
	Floor float64
}

// A Limit is a quantity above which a slice says nothing, or has a burst in it.
type Limit struct {
	Quantity string
	Above    float64
	Why      string
}

// A Use names the quantities that say what a resource did; "" for those that
// are not measured. A latency is in seconds.
type Use struct{ Utilization, Throughput, Latency string }

// An Objective says what a slice cost.
type Objective struct {
	Terms []Term
	// Work is the rate of the units of work that were done, refused and failed
	// ones not counted. A slice with fewer than MinWork of them says nothing,
	// but one with none at all: that may be the doing of what is tried. It does say what
	// resources did, which one beyond a limit of Void does not.
	Work    string
	MinWork float64
	Void    []Limit
	// Bursts tell of work that the background does now and then. No knob that is tried may
	// decide about it, for little of what that did would be seen. They are bursts while there
	// is one in no more than a third of the slices.
	Bursts []Limit
	Uses   map[perfcore.ResourceType]Use
}

// Check returns what is wrong with the objective; nil when nothing is.
func (o Objective) Check() error {
	if len(o.Terms) == 0 || o.Work == "" {
		return errors.New("an objective needs terms, and the work that they are held against")
	}
	for _, t := range o.Terms {
		if t.Quantity == "" || !(t.Weight > 0) || !(t.Floor > 0) {
			return fmt.Errorf("term %q: a weight of %v and a floor of %v must be larger than 0", t.Quantity, t.Weight, t.Floor)
		}
	}
	return nil
}

// Sample returns what the slice says under the objective.
func (o Objective) Sample(s *Slice) perfcore.Sample {
	var sample perfcore.Sample
	disturbed := beyond(o.Void, s)
	for r, use := range o.Uses {
		if u, ok := use.usage(s); ok && disturbed == "" {
			if sample.Usage == nil {
				sample.Usage = make(map[perfcore.ResourceType]perfcore.Usage)
			}
			sample.Usage[r] = u
		}
	}
	work, measured := s.Value(o.Work)
	if !measured {
		sample.Void = o.Work + " was not measured"
		return sample
	}
	sample.Work = work
	if units := work * s.Length.Seconds(); units > 0 && units < o.MinWork {
		sample.Void = fmt.Sprintf("only %.3g units of work were done", units)
	}
	for _, t := range o.Terms {
		v, measured := s.Value(t.Quantity)
		if !measured {
			sample.Void = t.Quantity + " was not measured"
			return sample
		}
		if t.PerWork {
			v /= work
		}
		sample.Cost += t.Weight * math.Log(max(v, t.Floor))
	}
	sample.Void = cmp.Or(disturbed, sample.Void)
	return sample
}

// beyond returns why the last limit that the slice is beyond says that it says nothing; ""
// when it is beyond none.
func beyond(limits []Limit, s *Slice) (why string) {
	for _, l := range limits {
		if v, measured := s.Value(l.Quantity); measured && v > l.Above {
			why = l.Why
		}
	}
	return why
}

// usage returns what the slice says of one resource, and whether it says
// anything.
func (use Use) usage(s *Slice) (u perfcore.Usage, ok bool) {
	u = perfcore.Unmeasured()
	if v, measured := s.Value(use.Utilization); measured {
		u.Utilization, ok = v, true
	}
	if v, measured := s.Value(use.Throughput); measured {
		u.Throughput, ok = v, true
	}
	if v, measured := s.Value(use.Latency); measured {
		u.Latency, ok = time.Duration(v*float64(time.Second)), true
	}
	return u, ok
}

// Config is what a Collector measures. Sources and Objective are needed.
type Config struct {
	Sources   []Source
	Objective Objective
	// Classifier, if set, is shown every slice, and says which regime the
	// program is in.
	Classifier Classifier
	// Watches are quantities that usually stay where they are. That one of them does not is
	// told, and is no reason for a slice to say nothing: it may last for as long as a search.
	Watches map[string]*anomaly.Detector
	// Alerted, if set, is told when a watch is raised or cleared, on the
	// goroutine of Collect. It must not block.
	Alerted func(Alert)
	// Log is told, once, what cannot be measured here (discarded).
	Log *slog.Logger
}

// An Alert is a watch that was raised or cleared by a value.
type Alert struct {
	Quantity string
	Event    anomaly.Event
	Value    float64
	// Median and Deviation are of the values that are usual now.
	Median, Deviation float64
}

// A Classifier says which regime a program is in, as perfcore/regime's does.
type Classifier interface {
	Observe(m regime.Measurement)
	Regime() string
	// Changes returns a number that is another one whenever the regime has changed since.
	Changes() int
}

// A Collector is a perfcore/engine MetricsCollector over sources. One goroutine
// calls Begin, Collect and Alarm.
type Collector struct {
	cfg    Config
	begun  time.Time
	slice  Slice
	bursts float64 // the share of slices with one
}

// New returns a collector, and tells the log what its sources miss.
func New(cfg Config) (*Collector, error) {
	if len(cfg.Sources) == 0 {
		return nil, errors.New("a collector needs sources")
	}
	if err := cfg.Objective.Check(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	for _, s := range cfg.Sources {
		for _, what := range s.Missing() {
			cfg.Log.Warn("something is not measured here", "what", what)
		}
	}
	return &Collector{cfg: cfg}, nil
}

// Begin begins a slice, and forgets one that was not collected.
func (c *Collector) Begin() {
	c.begun = time.Now()
	for _, s := range c.cfg.Sources {
		s.Begin()
	}
}

// Collect ends the slice and returns what it says under the objective.
func (c *Collector) Collect() perfcore.Sample {
	c.slice = Slice{Length: time.Since(c.begun)}
	for _, s := range c.cfg.Sources {
		s.End(&c.slice)
	}
	if c.cfg.Classifier != nil {
		c.cfg.Classifier.Observe(&c.slice)
	}
	sample := c.cfg.Objective.Sample(&c.slice)
	c.watch()
	sample.Burst = c.burst()
	return sample
}

const (
	// seldom is the share of slices above which a burst is none, but what is usual.
	seldom = 1.0 / 3
	// burstRate is the share of the newest slice in that.
	burstRate = 0.01
)

// burst returns why there is a burst in the slice; "" when there is none, or when they
// are not seldom.
func (c *Collector) burst() (why string) {
	why = beyond(c.cfg.Objective.Bursts, &c.slice)
	usual := c.bursts > seldom
	if why == "" {
		c.bursts -= burstRate * c.bursts
	} else {
		c.bursts += burstRate * (1 - c.bursts)
	}
	if usual {
		return ""
	}
	return why
}

// watch shows the slice to the watches.
func (c *Collector) watch() {
	for quantity, d := range c.cfg.Watches {
		v, measured := c.slice.Value(quantity)
		if !measured {
			continue
		}
		if e := d.Observe(v); e != anomaly.None && c.cfg.Alerted != nil {
			a := Alert{Quantity: quantity, Event: e, Value: v}
			a.Median, a.Deviation = d.Usual()
			c.cfg.Alerted(a)
		}
	}
}

// Slice returns what the last slice measured. The caller may keep it.
func (c *Collector) Slice() Slice { return c.slice }

// Regime returns the regime that the program is in at this moment; "" when
// nobody classifies it.
func (c *Collector) Regime() string {
	if c.cfg.Classifier == nil {
		return ""
	}
	return c.cfg.Classifier.Regime()
}

// Changes returns a number that is another one whenever the regime has changed since.
func (c *Collector) Changes() int {
	if c.cfg.Classifier == nil {
		return 0
	}
	return c.cfg.Classifier.Changes()
}

// Alarm returns why the program is in trouble at this moment; "" when it is
// not.
func (c *Collector) Alarm() string {
	for _, s := range c.cfg.Sources {
		if a, ok := s.(Alarmer); ok {
			if why := a.Alarm(); why != "" {
				return why
			}
		}
	}
	return ""
}
