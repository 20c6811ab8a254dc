package perf

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/outrider-project/outrider/perfcore/collect"
)

const (
	// maxOutside is how many quantities other processes may tell of.
	maxOutside  = 64
	maxQuantity = 64
	// outsideAge is how long a value counts.
	outsideAge = time.Minute
)

// outside is the source for what other processes measure and tell of. It is safe
// for concurrent use.
type outside struct {
	mu     sync.Mutex // guards values
	values map[string]observed
}

type observed struct {
	value float64
	at    time.Time
}

// outsidePrefix begins the quantities of other processes, so that none stands for
// one of the sidecar's own.
const outsidePrefix = "outside_"

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
	merged := make(map[string]observed)
	for name, v := range o.values {
		if now.Sub(v.at) < outsideAge {
			merged[name] = v
		}
	}
	for name, v := range values {
		merged[name] = observed{v, now}
	}
	if len(merged) > maxOutside {
		return fmt.Errorf("there would be %d values, more than %d", len(merged), maxOutside)
	}
	o.values = merged
	return nil
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
	for name, v := range o.values {
		if time.Since(v.at) < outsideAge {
			s.Set(outsidePrefix+name, v.value)
		}
	}
}

// Missing implements collect.Source.
func (*outside) Missing() []string { return nil }
