// Package regime tells what kind of work a program does now, for the best
// setting of one kind is not that of another: a node that catches up wants
// every processor, and one at the tip wants to be quick once in ten minutes.
package regime

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// These are the regimes of a node's sidecar. A program may have others.
const (
	InitialSync  = "initial sync"
	CatchUp      = "catch-up"
	TipBlock     = "tip block"
	RPCBurst     = "RPC burst"
	L2Heavy      = "L2 heavy"
	MempoolBurst = "mempool burst"
	TipIdle      = "tip idle"
)

// A Rule says when a regime holds: from the slice on in which a quantity
// reaches Enter, until it has fallen below Leave, which is less. Where the quantity is
// missing the rule stays as it was, but for one that is Fickle: that does not hold then.
type Rule struct {
	Regime       string
	Quantity     string
	Enter, Leave float64
	Fickle       bool
}

// Rules are the regimes of a node's sidecar in order; the first that holds is
// the one. The thresholds of the load are for a program on a few cores.
func Rules() []Rule {
	return []Rule{
		// Left a day behind, where Bitcoin Core's initial block download ends
		// too (DEFAULT_MAX_TIP_AGE).
		{InitialSync, "chain_blocks_behind", 2016, 144, false},
		{CatchUp, "chain_blocks_behind", 3, 1, false},
		{RPCBurst, "rpc_requests_per_second", 100, 50, false},
		// A forecast that loses to persistence is silent.
		{RPCBurst, "rpc_requests_per_second_predicted", 100, 50, true},
		// An exchange is some milliseconds of a processor, with what is verified of it.
		{L2Heavy, "l2_requests_per_second", 50, 25, false},
		// Ten times what Bitcoin's chain can take: the usual is five to ten.
		{MempoolBurst, "mempool_verified_per_second", 70, 35, false},
		{MempoolBurst, "mempool_verified_per_second_predicted", 70, 35, true},
	}
}

// Config describes a Classifier. Zero fields have the defaults that their
// comments name.
type Config struct {
	// Rules in order (Rules).
	Rules []Rule
	// Else is the regime when no rule holds (TipIdle).
	Else string
	// Announced is the regime from an announcement on (TipBlock), for at most
	// Longest (30 s).
	Announced string
	Longest   time.Duration
	// Dwell is how many slices in a row must say the same before it is believed
	// (3).
	Dwell int
}

// A Measurement is one slice's quantities, as perfcore/collect's Slice is.
type Measurement interface {
	// Value returns a quantity, and whether it was measured.
	Value(quantity string) (v float64, measured bool)
}

// A Classifier says which regime a program is in. It changes its mind when
// several slices in a row say otherwise, and at once when it is told what is
// about to come. It is safe for concurrent use.
type Classifier struct {
	cfg Config

	mu       sync.Mutex // guards what follows
	holds    []bool     // of each rule, with its hysteresis
	current  string     // by the slices
	other    string     // what they have said lately instead
	times    int
	until    time.Time // an announcement counts
	switches int
	changes  int // switches, announcements, and ends of these that were told
}

// New returns a classifier in the regime of no rule.
func New(cfg Config) (*Classifier, error) {
	if cfg.Rules == nil {
		cfg.Rules = Rules()
	}
	cfg.Rules = slices.Clone(cfg.Rules)
	if cfg.Else == "" {
		cfg.Else = TipIdle
	}
	if cfg.Announced == "" {
		cfg.Announced = TipBlock
	}
	if cfg.Longest == 0 {
		cfg.Longest = 30 * time.Second
	}
	if cfg.Dwell == 0 {
		cfg.Dwell = 3
	}
	for _, r := range cfg.Rules {
		if r.Regime == "" || r.Quantity == "" || !(r.Leave < r.Enter) || math.IsInf(r.Enter-r.Leave, 0) {
			return nil, fmt.Errorf("regime %q: it is entered at %v %s and left below %v", r.Regime, r.Enter, r.Quantity, r.Leave)
		}
	}
	if cfg.Longest < 0 || cfg.Dwell < 0 {
		return nil, errors.New("a regime's times are negative")
	}
	return &Classifier{cfg: cfg, holds: make([]bool, len(cfg.Rules)), current: cfg.Else}, nil
}

// Observe takes what one slice measured. While an announcement counts, the slice is part of what was
// announced, and says nothing.
func (c *Classifier) Observe(m Measurement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.until) {
		return
	}
	said := c.cfg.Else
	for i, r := range slices.Backward(c.cfg.Rules) {
		switch v, measured := m.Value(r.Quantity); {
		case measured:
			c.holds[i] = v >= r.Enter || c.holds[i] && v >= r.Leave
		case r.Fickle:
			c.holds[i] = false
		}
		if c.holds[i] {
			said = r.Regime
		}
	}
	switch {
	case said == c.current:
		c.times = 0
	case said != c.other || c.times == 0:
		c.other, c.times = said, 1
	default:
		c.times++
	}
	if c.times >= c.cfg.Dwell {
		c.current, c.times = said, 0
		c.switches++
		c.changes++
	}
}

// Announce tells that a block is about to come, as a header or a compact block
// says before it is fetched. Nothing else can be known of it: the time between
// blocks is exponential, so that how long the last one is ago says nothing
// about the next. During an initial sync or a catch-up blocks come all the
// time, and announcements do not count.
func (c *Classifier) Announce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == InitialSync || c.current == CatchUp {
		return
	}
	now := time.Now()
	if !now.Before(c.until) {
		c.changes++
	}
	c.until = now.Add(c.cfg.Longest)
}

// Arrived tells that what was announced is done with.
func (c *Classifier) Arrived() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.until) {
		c.changes++
	}
	c.until = time.Time{}
}

// Regime returns the regime at this moment.
func (c *Classifier) Regime() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.until) {
		return c.cfg.Announced
	}
	return c.current
}

// Switches returns how often slices have changed the regime, announcements not
// counted.
func (c *Classifier) Switches() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.switches
}

// Changes returns a number that is another one whenever the regime has changed since, and be it
// back to what it was, as for a block that was announced and judged within a moment.
func (c *Classifier) Changes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changes
}
