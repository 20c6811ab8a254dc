package perfcore

import (
	"fmt"
	"math"
	"time"
)

// Targets is what a resource has to do. A zero field is no target.
type Targets struct {
	// Utilization is the largest share of the resource in use, from 0 to 1.
	Utilization float64
	// Throughput is the smallest number, a second, of what the resource does.
	Throughput float64
	// Latency is the longest time of the Quantile (0 < q < 1) of operations.
	Latency  time.Duration
	Quantile float64
}

// NotMeasured is the value of a field of Usage that was not measured. So is every other
// negative one, and what is no number.
const NotMeasured = -1

// Usage is what a resource was seen to do.
type Usage struct {
	// Utilization is the share in use, Throughput how much of what it does was done a second.
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

// Unmeasured returns the Usage of a resource of which nothing was measured.
func Unmeasured() Usage { return Usage{NotMeasured, NotMeasured, NotMeasured} }

// Measured reports whether all that there is a target of was measured.
func (t Targets) Measured(u Usage) bool {
	return (t.Utilization == 0 || u.Utilization >= 0) && (t.Throughput == 0 || u.Throughput >= 0) && (t.Latency == 0 || u.Latency >= 0)
}

// Missed says which target u misses; "" when it misses none. What was not measured misses
// none.
func (t Targets) Missed(u Usage) string {
	switch {
	case t.Utilization > 0 && u.Utilization > t.Utilization:
		return fmt.Sprintf("utilization %.3g > %.3g", u.Utilization, t.Utilization)
	case t.Throughput > 0 && u.Throughput >= 0 && u.Throughput < t.Throughput:
		return fmt.Sprintf("throughput %.3g/s < %.3g/s", u.Throughput, t.Throughput)
	case t.Latency > 0 && u.Latency > t.Latency:
		return fmt.Sprintf("latency %v > %v at %v", u.Latency, t.Latency, t.Quantile)
	}
	return ""
}

// Shortfall says how far u misses the targets: the sum, over those that it misses, of the
// natural logarithm of how many times too much, too little or too long it is. It is 0 where
// Missed says "". Each target counts as missed a hundredfold at most, so that the sum is
// finite also where there was no throughput at all. What was not measured adds nothing.
func (t Targets) Shortfall(u Usage) (sum float64) {
	if t.Utilization > 0 {
		sum += excess(u.Utilization, t.Utilization)
	}
	if t.Throughput > 0 && u.Throughput >= 0 {
		sum += excess(t.Throughput, u.Throughput)
	}
	if t.Latency > 0 {
		sum += excess(float64(u.Latency), float64(t.Latency))
	}
	return sum
}

// mostMissed is how many times too much counts at most.
const mostMissed = 100

// excess returns the natural logarithm of more by less, from 0 to mostMissed's.
func excess(more, less float64) float64 {
	switch {
	case !(more > less):
		return 0
	case !(less > 0 && more/less < mostMissed):
		return math.Log(mostMissed)
	}
	return math.Log(more / less)
}
