package sidecar

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/arbiter"
	"github.com/outrider-project/outrider/utxocache"
)

const (
	// missUnits is in how many units the curve has the budget, and missReach how
	// many budgets it goes up to.
	missUnits, missReach = 16, 4
	// missEvery is how often it is told.
	missEvery = 30 * time.Second
	// coinBytes is what a coin in memory takes, about.
	coinBytes = 100
)

// A missRatio tells by a sample of the look-ups how many of them would have missed the
// memory if it had another size.
type missRatio struct {
	sampler *arbiter.Sampler
	gauges  map[int]*perfcore.Gauge // by units
}

// newMissRatio returns one for coins in so many bytes.
func newMissRatio(budget int64, rec perfcore.Recorder) *missRatio {
	unit := int(budget/missUnits/coinBytes) >> utxocache.SampleShift
	m := &missRatio{
		sampler: arbiter.NewSampler(arbiter.SamplerConfig{
			Unit: max(unit, 1), Units: missUnits * missReach, RateShift: 1, Salt: rand.Uint64(),
		}),
		gauges: make(map[int]*perfcore.Gauge),
	}
	for units := missUnits / 4; units <= missUnits*missReach; units *= 2 {
		m.gauges[units] = rec.Gauge(perfcore.Metric{
			Name: "outrider_utxo_miss_ratio", Help: "Share of the coin look-ups that would miss the memory if it had this share of its size, by a sample.",
			Labels: []string{"memory", strconv.FormatFloat(float64(units)/missUnits, 'g', -1, 64)},
		})
	}
	return m
}

// refer takes a reference of the sample.
func (m *missRatio) refer(r utxocache.Reference) {
	if r.Event != utxocache.Spent { // the look-up before it has counted
		m.sampler.Reference(r.Hash)
	}
}

// tell brings the gauges up to date.
func (m *missRatio) tell() {
	curve, references := m.sampler.Curve()
	if references == 0 {
		return
	}
	for units, gauge := range m.gauges {
		gauge.Set(curve[units])
	}
}

// run tells until ctx ends.
func (m *missRatio) run(ctx context.Context) {
	for sleep(ctx, missEvery) == nil {
		m.tell()
	}
}
