package perfcore

import (
	"fmt"
	"time"
)

// Targets is what a resource has to do. A zero field is no target.
type Targets struct {
	// Utilization is the largest share of the resource in use, from 0 to 1.
	Utilization float64
	// Throughput is the smallest number of units of work a second.
	Throughput float64
	// Latency is the longest time of the Quantile (0 < q < 1) of operations.
	Latency  time.Duration
	Quantile float64
}

// Usage is what a resource was seen to do.
type Usage struct {
	// Utilization is the share in use, Throughput units of work a second.
	Utilization, Throughput float64
	// Latency is the time of that quantile of operations that the targets name.
	Latency time.Duration
}

// Check returns what is wrong with the targets; nil when nothing is.
func (t Targets) Check() error {
	switch {
	case !(t.Utilization >= 0 && t.Utilization <= 1):
		return fmt.Errorf("a utilization of %v is not from 0 to 1", t.Utilization)
	case !(t.Throughput >= 0 && t.Throughput <= 1e18):
		return fmt.Errorf("a throughput of %v is none", t.Throughput)
	case t.Latency < 0:
		return fmt.Errorf("a latency of %v is negative", t.Latency)
	case !(t.Quantile >= 0 && t.Quantile < 1), (t.Latency > 0) != (t.Quantile > 0):
		return fmt.Errorf("a latency needs a quantile between 0 and 1, and no quantile stands alone: %v at %v", t.Latency, t.Quantile)
	}
	return nil
}

// Missed says which target u misses; "" when it misses none.
func (t Targets) Missed(u Usage) string {
	switch {
	case t.Utilization > 0 && u.Utilization > t.Utilization:
		return fmt.Sprintf("utilization %.3g > %.3g", u.Utilization, t.Utilization)
	case t.Throughput > 0 && u.Throughput < t.Throughput:
		return fmt.Sprintf("throughput %.3g/s < %.3g/s", u.Throughput, t.Throughput)
	case t.Latency > 0 && u.Latency > t.Latency:
		return fmt.Sprintf("latency %v > %v at %v", u.Latency, t.Latency, t.Quantile)
	}
	return ""
}
