package engine

import (
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// watcher is an optimizer of a flat plant, with a target of the disk's latency.
func watcher(t *testing.T) (*PerformanceOptimizer, *tuner) {
	t.Helper()
	p := plant.New(plant.Config{Start: []int{5}, Surface: plant.Flat(), Seed: 1})
	o, err := New(Config{Knobs: p.Knobs(), Collector: p, Slice: time.Second, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.SetTargets(perfcore.Disk, perfcore.Targets{Latency: time.Second, Quantile: 0.9}); err != nil {
		t.Fatal(err)
	}
	return o, newTuner(o)
}

// saw shows what the disk did in a slice of the incumbent.
func (t *tuner) saw(u perfcore.Usage) {
	t.o.used(perfcore.Sample{Usage: map[perfcore.ResourceType]perfcore.Usage{perfcore.Disk: u}}, &t.budget)
}

// A latency that nobody has measured is no target that is met, and what is measured now and
// then stays as it was meanwhile.
func TestUsedFieldByField(t *testing.T) {
	o, tu := watcher(t)
	rate := perfcore.Usage{Utilization: perfcore.NotMeasured, Throughput: 10, Latency: perfcore.NotMeasured}
	tu.saw(rate)
	if len(o.aims()) != 0 || o.content() {
		t.Errorf("the latency was not measured: %+v, content %v", o.aims(), o.content())
	}
	o.settle(perfcore.Optimizing)
	if o.settle(perfcore.Optimized); o.Status(perfcore.Disk) != perfcore.Failed {
		t.Errorf("the latency was not measured, and the status is %v", o.Status(perfcore.Disk))
	}
	tu.saw(perfcore.Usage{Utilization: perfcore.NotMeasured, Throughput: 20, Latency: 2 * time.Second})
	tu.saw(rate)
	want := perfcore.Usage{Utilization: perfcore.NotMeasured, Throughput: 11.6, Latency: 2 * time.Second}
	got := o.usage[perfcore.Disk]
	if near := got.Throughput - want.Throughput; near > 1e-9 || near < -1e-9 || got.Latency != want.Latency || got.Utilization != want.Utilization {
		t.Errorf("it is used by %+v, want %+v", got, want)
	}
	if o.content() || !o.Hurried(perfcore.Disk) {
		t.Error("the latency is missed, and does not count")
	}
}
