package perf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// A Rule is an alert of a metric.
type Rule struct {
	perfcore.Alert
	// Series are those of the metric that have the alert.
	Series []perfcore.Series
	// Quantity names what is held against the limits: the sum of parts.
	Quantity string
	parts    []string
}

// Rules returns the alerts of all series, in the order in which those come.
func Rules(series []perfcore.Series) []Rule {
	var rules []Rule
	at := make(map[string]int) // by the alert's name
	for _, s := range series {
		alert := s.Metric.Alert
		if alert.Name == "" {
			continue
		}
		i, known := at[alert.Name]
		if !known {
			i = len(rules)
			at[alert.Name] = i
			rules = append(rules, Rule{Alert: alert})
		}
		r := &rules[i]
		r.Series = append(r.Series, s)
		r.parts = append(r.parts, measuredAs(s))
		r.Quantity = r.parts[0]
	}
	for i := range rules {
		if r := &rules[i]; len(r.Series) > 1 {
			whole := r.Series[0]
			whole.Metric.Labels = nil
			r.Quantity = measuredAs(whole)
		}
	}
	return rules
}

// measuredAs returns the quantity that a slice has of a counter or a gauge.
func measuredAs(s perfcore.Series) string {
	if s.Counter != nil {
		return quantityOf(s.Metric) + "_per_second"
	}
	return quantityOf(s.Metric)
}

// value returns the quantity that the rule looks at, from the parts that were
// measured, and of several parts those that are above 0.
func (r *Rule) value(quantity func(name string) (float64, bool)) (sum float64, of []string, measured bool) {
	for _, name := range r.parts {
		v, ok := quantity(name)
		if !ok {
			continue
		}
		if sum, measured = sum+v, true; v > 0 && len(r.parts) > 1 {
			of = append(of, name)
		}
	}
	return sum, of, measured
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
	// Quantity was Value, and Raise is above which the alert is raised.
	Quantity string  `json:"quantity"`
	Value    float64 `json:"value"`
	Raise    float64 `json:"raise"`
	// Of are the parts of a quantity that is a sum which were above 0, when one was last;
	// empty for others.
	Of []string `json:"of"`
	// Times counts how often it was raised since the start.
	Times int `json:"times"`
}

// String says the alert in one line.
func (a Alert) String() string {
	of := ""
	if len(a.Of) > 0 {
		of = ", of " + strings.Join(a.Of, ", ")
	}
	return fmt.Sprintf("%s %s: %s (%s is %.4g, limit %.4g%s)", a.Name, a.State, a.Help, a.Quantity, a.Value, a.Raise, of)
}

// alerts holds rules against what is measured. It is safe for concurrent use.
type alerts struct {
	mu     sync.Mutex // guards what follows
	rules  []Rule
	states []alertState
	looked time.Time                    // when observe looked last; before that, when they began
	totals map[*perfcore.Counter]uint64 // of the rules' counters then
}

type alertState struct {
	state AlertState // "" is as it should be
	since time.Time
	value float64
	of    []string
	times int
}

// hold replaces the rules. An alert that was there before stays as it is.
func (as *alerts) hold(rules []Rule) {
	as.mu.Lock()
	defer as.mu.Unlock()
	states := make([]alertState, len(rules))
	for i := range rules {
		if was := slices.IndexFunc(as.rules, func(r Rule) bool { return r.Name == rules[i].Name }); was >= 0 {
			states[i] = as.states[was]
		}
	}
	as.rules, as.states = rules, states
}

// observe takes the quantities of a moment and returns the alerts that were
// raised or cleared by them. An alert whose quantity was not measured stays as it
// is. Of a counter it takes what grown does.
func (as *alerts) observe(now time.Time, value func(quantity string) (float64, bool)) []Alert {
	as.mu.Lock()
	defer as.mu.Unlock()
	var told []Alert
	grown := as.grown(now)
	for i := range as.rules {
		r, s := &as.rules[i], &as.states[i]
		v, of, measured := r.value(func(quantity string) (float64, bool) {
			if v, counted := grown[quantity]; counted {
				return v, true
			}
			return value(quantity)
		})
		if !measured {
			continue
		}
		if s.value = v; len(of) > 0 {
			s.of = of
		}
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

// grown returns what the rules' counters have grown by in a second since the last look, by
// quantity; since 0 where there was none. A slice has only its own: a fault that is counted
// between two, or before the first, is in none. One that is counted right behind a look is told as
// one in a second, and not as thousands. as.mu is held.
func (as *alerts) grown(now time.Time) map[string]float64 {
	seconds := max(now.Sub(as.looked), time.Second).Seconds()
	rates, totals := make(map[string]float64), make(map[*perfcore.Counter]uint64)
	for _, r := range as.rules {
		for i, s := range r.Series {
			if s.Counter != nil {
				totals[s.Counter] = s.Counter.Value()
				rates[r.parts[i]] = float64(totals[s.Counter]-as.totals[s.Counter]) / seconds
			}
		}
	}
	as.looked, as.totals = now, totals
	return rates
}

// step moves the alert as far as its value and the time call for.
func (s *alertState) step(r *Rule, now time.Time) {
	move := func(to AlertState) { s.state, s.since = to, now }
	if s.state == "" && s.value > r.Raise {
		move(Pending)
	}
	if s.state == Pending {
		switch {
		case !(s.value > r.Raise):
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
		Of: append([]string{}, s.of...),
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
