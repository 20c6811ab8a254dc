package collect

import "github.com/outrider-project/outrider/perfcore"

// Instruments is the source for what the program records of itself. Of a timer
// named x it sets x_per_second, x_mean, x_p50, x_p90 and x_p99, in seconds, of
// what was observed in the slice; the latter four are absent when that was
// nothing. Of a counter it sets the rate, and of a gauge the value at the end.
type Instruments struct {
	// Timers, Counters and Gauges are by the name of the quantity.
	Timers   map[string]*perfcore.Timer
	Counters map[string]*perfcore.Counter
	Gauges   map[string]*perfcore.Gauge

	timed   map[string]perfcore.Distribution
	counted map[string]uint64
}

// Missing implements Source.
func (*Instruments) Missing() []string { return nil }

// Begin implements Source.
func (in *Instruments) Begin() {
	in.timed, in.counted = make(map[string]perfcore.Distribution), make(map[string]uint64)
	for name, t := range in.Timers {
		in.timed[name] = t.Snapshot()
	}
	for name, c := range in.Counters {
		in.counted[name] = c.Value()
	}
}

// End implements Source.
func (in *Instruments) End(s *Slice) {
	for name, t := range in.Timers {
		before := in.timed[name]
		d := t.Snapshot().Since(before)
		s.SetRate(name+"_per_second", 0, float64(d.Count))
		if d.Count == 0 {
			continue
		}
		s.Set(name+"_mean", d.Sum.Seconds()/float64(d.Count))
		s.Set(name+"_p50", d.Quantile(0.5).Seconds())
		s.Set(name+"_p90", d.Quantile(0.9).Seconds())
		s.Set(name+"_p99", d.Quantile(0.99).Seconds())
	}
	for name, c := range in.Counters {
		s.SetRate(name, float64(in.counted[name]), float64(c.Value()))
	}
	for name, g := range in.Gauges {
		s.Set(name, g.Value())
	}
}
