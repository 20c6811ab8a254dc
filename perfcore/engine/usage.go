package engine

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// usageRate is the share of the newest slice in what resources are said to do.
const usageRate = 0.2

// own runs one slice of the incumbent, and takes what it saw the resources do, though its
// cost may say nothing.
func (b *bench) own(ctx context.Context, again bool) (seen, error) {
	s, err := b.one(ctx, b.at, again)
	if err == nil || errors.Is(err, errVoid) {
		b.o.used(s.Sample, &b.budget)
	}
	return s, err
}

// used takes what a slice of the incumbent saw the resources do, and what experiments
// have cost so far.
func (o *PerformanceOptimizer) used(s perfcore.Sample, b *budget) {
	o.perf.regret.Set(b.regret())
	o.perf.budget.Set(b.used())
	o.mu.Lock()
	defer o.mu.Unlock()
	o.regret, o.spent = b.regret(), b.used()
	for r, now := range s.Usage {
		u := useOf(o.usage, r)
		u.Utilization = follow(u.Utilization, now.Utilization)
		u.Throughput = follow(u.Throughput, now.Throughput)
		u.Latency = time.Duration(follow(float64(u.Latency), float64(now.Latency)))
		o.usage[r] = u
	}
	o.judge()
}

// follow returns the average was with the newest value in it; what was not measured leaves
// it as it is.
func follow(was, now float64) float64 {
	switch {
	case !(now >= 0):
		return was
	case !(was >= 0):
		return now
	}
	return was + usageRate*(now-was)
}

// useOf returns what was measured of a resource.
func useOf(usage map[perfcore.ResourceType]perfcore.Usage, r perfcore.ResourceType) perfcore.Usage {
	if u, measured := usage[r]; measured {
		return u
	}
	return perfcore.Unmeasured()
}

// measured returns what slices of the incumbent saw the resources do lately.
func (o *PerformanceOptimizer) measured() map[perfcore.ResourceType]perfcore.Usage {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.usage)
}

// resume goes on with what slices of another regime saw the resources do, if anything.
func (o *PerformanceOptimizer) resume(usage map[perfcore.ResourceType]perfcore.Usage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.usage)
	maps.Copy(o.usage, usage)
	clear(o.limits)
	o.judge()
}

// mayTry notes whether anything may be tried, by a calibration, and is not interrupted each
// time. Where not, resources without a target are not optimized: nothing is known of them.
func (o *PerformanceOptimizer) mayTry(may bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unheard = !may
}
