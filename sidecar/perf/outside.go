package perf

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
)

const (
	// maxOutside is how many quantities other processes may tell of.
	maxOutside  = 64
	maxQuantity = 64
	// outsideAge is how long a value counts.
	outsideAge = time.Minute
)

// outside is the source for what other processes measure and tell of, which /metrics tells of,
// too, until a slice ends in which it does not count any more. It is safe for concurrent use.
type outside struct {
	registry *perfcore.Registry

	mu     sync.Mutex // guards values
	values map[string]observed
}

// newOutside returns the source; nothing is told of yet.
func newOutside(registry *perfcore.Registry) *outside {
	return &outside{registry: registry, values: make(map[string]observed)}
}

type observed struct {
	value float64
	at    time.Time
}

// outsidePrefix begins the quantities of other processes, so that none stands for
// one of the sidecar's own.
const outsidePrefix = "outside_"

// outsideName is the name of the metric of all of them.
const outsideName = prefix + "outside"

// outsideMetric is the gauge of a quantity of that name.
func outsideMetric(name string) perfcore.Metric {
	return perfcore.Metric{
		Name: outsideName, Labels: []string{"quantity", name},
		Help: "What another process has told of within a minute (POST observe), by the name that it gave it.",
	}
}

// tell takes values by name; all or, with an error, none.
func (o *outside) tell(values map[string]float64) error {
	if len(values) == 0 {
		return errors.New("there is no value")
	}
	for name, v := range values {
		if !isQuantity(name) {
			return fmt.Errorf("%.64q is no name: it needs 1 to %d of a-z, 0-9 and _", name, maxQuantity)
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%s: %v is no number", name, v)
		}
	}
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expire(now)
	n := len(o.values)
	for name := range values {
		if _, known := o.values[name]; !known {
			n++
		}
	}
	if n > maxOutside {
		return fmt.Errorf("there would be %d values, more than %d", n, maxOutside)
	}
	for name, v := range values {
		o.values[name] = observed{v, now}
		o.registry.Gauge(outsideMetric(name)).Set(v)
	}
	return nil
}

// expire drops what does not count any more. o.mu is held.
func (o *outside) expire(now time.Time) {
	for name, v := range o.values {
		if now.Sub(v.at) >= outsideAge {
			delete(o.values, name)
			o.registry.Drop(outsideMetric(name))
		}
	}
}

func isQuantity(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return len(name) > 0 && len(name) <= maxQuantity
}

// Begin implements collect.Source.
func (*outside) Begin() {}

// End implements collect.Source.
func (o *outside) End(s *collect.Slice) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expire(time.Now())
	for name, v := range o.values {
		s.Set(outsidePrefix+name, v.value)
	}
}

// Missing implements collect.Source.
func (*outside) Missing() []string { return nil }
