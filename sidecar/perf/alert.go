package perf

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A Rule says when an alert is raised: when Quantity has been at Raise or above
// for as long as For. It is cleared when the quantity has been at Clear, which is
// less, or below for as long as Keep. Between the two it stays as it is.
type Rule struct {
	Name string
	// Help is a sentence for the operator: what it means, and what to do.
	Help         string
	Quantity     string
	Raise, Clear float64
	For, Keep    time.Duration
}

// These are quantities that only alerts look at.
const (
	differRate      = "block_verdicts_differ_per_second"
	missedTargets   = "perf_targets_missed"
	isolatedKnobs   = "perf_knobs_isolated"
	abortedLately   = "perf_trials_aborted"
	regretRatio     = "perfcore_regret_ratio"
	miscalibrated   = "perf_miscalibrated"
	optimizerEnded  = "perf_optimizer_ended"
	abortedWithin   = time.Hour
	anomalyQuantity = "perf_anomalies"
)

// Rules returns the alerts that there are, in no order of weight.
func Rules() []Rule {
	return []Rule{
		{"verdict_differs", "The sidecar and its node disagree about a block: look at the evidence at once.", differRate, 1e-9, 0, 0, time.Hour},
		{"behind", "The sidecar has been blocks behind its node for minutes.", behind, 6, 1, 5 * time.Minute, time.Minute},
		{"memory_pressure", "The process is close to the memory that it may use: lower utxo-bytes or memory-limit.", "memory_ratio", 0.90, 0.80, 30 * time.Second, 2 * time.Minute},
		{"memory_stall", "Tasks wait for memory: the machine or the control group has too little.", "pressure_memory_full_ratio", 0.10, 0.02, 30 * time.Second, 2 * time.Minute},
		{"cpu_throttled", "The control group holds the process back: give it more processor time.", "group_throttled_ratio", 0.25, 0.10, time.Minute, 5 * time.Minute},
		{"gc_pressure", "The garbage collector takes a large share of the processors: give Go more memory.", "go_gc_cpu_ratio", 0.25, 0.15, time.Minute, 5 * time.Minute},
		{"coindb_stalls", "Writes of coins wait for the disk.", "coindb_stalls_per_second", 0.1, 0.01, time.Minute, 5 * time.Minute},
		{"target_missed", "A resource misses its target: outrider perf status says which.", missedTargets, 1, 0, 2 * time.Minute, 2 * time.Minute},
		{"anomaly", "A quantity has left the range in which it usually is.", anomalyQuantity, 1, 0, 0, 2 * time.Minute},
		{"knob_isolated", "Somebody else moved a knob, or it fails: outrider perf knobs says which; release gives it back.", isolatedKnobs, 1, 0, 0, 0},
		{"trials_aborted", "Guards have stopped many trials within an hour.", abortedLately, 5, 1, 0, 10 * time.Minute},
		{"regret", "Experiments have cost more than their budget.", regretRatio, 0.03, 0.02, time.Minute, 10 * time.Minute},
		{"miscalibrated", "The incumbent was found different from itself: experiments are off until it is not.", miscalibrated, 1, 0, 0, 0},
		{"optimizer_ended", "The optimizer has ended by an error; the incumbents are in force, and nothing is tried any more.", optimizerEnded, 1, 0, 0, 0},
	}
}

// An AlertState is where an alert stands.
type AlertState string

// These are the states, in the order in which they follow one another.
const (
	Pending  AlertState = "pending"
	Firing   AlertState = "firing"
	Clearing AlertState = "clearing"
	Cleared  AlertState = "cleared"
)

// An Alert is a rule that does not hold, or did not.
type Alert struct {
	Name  string     `json:"name"`
	State AlertState `json:"state"`
	Help  string     `json:"help"`
	// Since is when it came into the state.
	Since time.Time `json:"since"`
	// Quantity was Value, and Raise is from where on the alert is raised.
	Quantity string  `json:"quantity"`
	Value    float64 `json:"value"`
	Raise    float64 `json:"raise"`
	// Times counts how often it was raised since the start.
	Times int `json:"times"`
}

// String says the alert in one line.
func (a Alert) String() string {
	return fmt.Sprintf("%s %s: %s (%s is %.4g, limit %.4g)", a.Name, a.State, a.Help, a.Quantity, a.Value, a.Raise)
}

// alerts holds the rules against what is measured. It is safe for concurrent use.
type alerts struct {
	mu     sync.Mutex // guards what follows
	rules  []Rule
	states []alertState
}

type alertState struct {
	state AlertState // "" is as it should be
	since time.Time
	value float64
	times int
}

func newAlerts(rules []Rule) *alerts {
	return &alerts{rules: rules, states: make([]alertState, len(rules))}
}

// observe takes the quantities of a moment and returns the alerts that were
// raised or cleared by them. An alert whose quantity was not measured stays as it
// is.
func (as *alerts) observe(now time.Time, value func(quantity string) (float64, bool)) []Alert {
	as.mu.Lock()
	defer as.mu.Unlock()
	var told []Alert
	for i := range as.rules {
		r, s := &as.rules[i], &as.states[i]
		v, measured := value(r.Quantity)
		if !measured {
			continue
		}
		s.value = v
		before := s.state
		s.step(r, now)
		if s.state == Firing && before != Firing && before != Clearing {
			s.times++
			told = append(told, s.alert(r))
		}
		if s.state == "" && (before == Firing || before == Clearing) {
			a := s.alert(r)
			a.State = Cleared
			told = append(told, a)
		}
	}
	return told
}

// step moves the alert as far as its value and the time call for.
func (s *alertState) step(r *Rule, now time.Time) {
	move := func(to AlertState) { s.state, s.since = to, now }
	if s.state == "" && s.value >= r.Raise {
		move(Pending)
	}
	if s.state == Pending {
		switch {
		case s.value < r.Raise:
			move("")
		case now.Sub(s.since) >= r.For:
			move(Firing)
		}
	}
	if s.state == Firing && s.value <= r.Clear {
		move(Clearing)
	}
	if s.state == Clearing {
		switch {
		case s.value > r.Clear:
			move(Firing)
		case now.Sub(s.since) >= r.Keep:
			move("")
		}
	}
}

func (s *alertState) alert(r *Rule) Alert {
	return Alert{
		Name: r.Name, State: s.state, Help: r.Help, Since: s.since, Quantity: r.Quantity, Value: finite(s.value), Raise: r.Raise, Times: s.times,
	}
}

// active returns the alerts that are pending, firing or clearing; firing ones
// come first, and then the older ones.
func (as *alerts) active() []Alert {
	as.mu.Lock()
	defer as.mu.Unlock()
	list := []Alert{}
	for i := range as.rules {
		if s := &as.states[i]; s.state != "" {
			list = append(list, s.alert(&as.rules[i]))
		}
	}
	slices.SortStableFunc(list, func(a, b Alert) int {
		return cmp.Or(rank(a.State)-rank(b.State), a.Since.Compare(b.Since))
	})
	return list
}

func rank(s AlertState) int { return slices.Index([]AlertState{Firing, Clearing, Pending}, s) }
