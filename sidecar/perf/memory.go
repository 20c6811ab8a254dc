package perf

import (
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/arbiter"
	"github.com/outrider-project/outrider/perfcore/engine"
)

// A Memory is what several knobs of a plant divide between them, each of which is a
// lease. Their ladders have every multiple of Unit between their ends.
type Memory struct {
	// Limit is how many bytes all leases together may have, Unit in which steps they
	// are divided.
	Limit, Unit int64
	// Tenants are who has the leases; their field Lease is set here.
	Tenants []arbiter.Tenant
	// Period, Look and Patience are arbiter.Config's.
	Period, Look, Patience time.Duration
}

// share hands the knobs of the memory over to an arbiter, which moves them in the mode
// optimize, and else says what it would do. A knob that the optimizer has left out has
// no tenant.
func (f *following) share() error {
	m := f.plant.Memory
	if m == nil {
		return nil
	}
	resources := f.optimizer.Resources
	cfg := arbiter.Config{
		Limit: m.Limit, Unit: m.Unit, Period: m.Period, Look: m.Look, Patience: m.Patience,
		Rests: f.rests, Decided: f.optimizer.Decide,
	}
	if f.p.cfg.Mode == Optimize {
		cfg.Set = resources.Lease
	}
	var names []string
	for _, t := range m.Tenants {
		if _, err := resources.Knob(t.Knob); err != nil {
			continue // the log has said why
		}
		t.Lease = func() (int64, string) {
			k, err := resources.Knob(t.Knob)
			switch {
			case err != nil:
				return 0, err.Error()
			case k.Owner != engine.Arbiter:
				return k.Read(), k.Why
			}
			return k.Incumbent, ""
		}
		cfg.Tenants, names = append(cfg.Tenants, t), append(names, t.Knob)
	}
	if len(names) == 0 {
		return nil
	}
	resources.Entrust(names)
	var err error
	if f.arbiter, err = arbiter.New(cfg); err != nil {
		return err
	}
	for _, t := range cfg.Tenants {
		f.leased = append(f.leased, newLeaseMetrics(t.Knob, f.p.cfg.Registry))
	}
	return nil
}

// rests returns why no memory is moved at this moment.
func (f *following) rests() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.frozen.Why != "" {
		return "it is frozen: " + f.frozen.Why
	}
	return ""
}

// leaseMetrics are of one lease.
type leaseMetrics struct{ lease, held *perfcore.Gauge }

func newLeaseMetrics(knob string, rec perfcore.Recorder) leaseMetrics {
	gauge := func(name, help string) *perfcore.Gauge {
		return rec.Gauge(perfcore.Metric{Name: name, Help: help, Labels: []string{"knob", knob}})
	}
	return leaseMetrics{
		lease: gauge("outrider_perfcore_lease_bytes", "Memory that each part may use, of what they share."),
		held:  gauge("outrider_perfcore_held_bytes", "Memory that each part uses, of what they share, as accounted."),
	}
}

// memoryPressure is the quantity by which memory is said to be short: how full the
// process's memory is, or how far a part exceeds its lease that is late with giving
// memory back.
const memoryPressure = "memory_pressure_ratio"

// aboutMemory sets the quantities that say how memory is divided.
func (f *following) aboutMemory(values map[string]float64) {
	pressure, measured := values["memory_ratio"]
	if f.arbiter != nil {
		pressure, measured = max(pressure, f.arbiter.Pressure()), true
		for i, t := range f.arbiter.Report().Tenants {
			f.leased[i].lease.Set(float64(t.Lease))
			f.leased[i].held.Set(float64(t.Held))
		}
	}
	if measured {
		values[memoryPressure] = pressure
	}
}
