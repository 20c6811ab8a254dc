package perf

import (
	"context"
	"time"

	"github.com/outrider-project/outrider/perfcore/collect"
)

// nodeMissing is the quantity that says whether there is no node to follow.
const nodeMissing = "node_missing"

// wait raises alerts by what can be measured of the process and the machine, and that
// there is no node, for as long as there is no plant; while there is one, its own slices
// do that. It returns when ctx ends.
func (p *Performance) wait(ctx context.Context) error {
	recorded := new(collect.Instruments)
	c, err := collect.New(collect.Config{
		Sources:   []collect.Source{collect.NewRuntime(), p.system(), recorded, p.outside},
		Objective: objective(),
	})
	if err != nil {
		return err
	}
	for {
		// Parts that are made meanwhile record, too, and may be there when no plant is.
		*recorded = *Instruments(p.told.others(p.cfg.Registry.Series()))
		c.Begin()
		timer := time.NewTimer(p.cfg.Slice)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		c.Collect()
		slice := c.Slice()
		p.waited(&slice)
	}
}

// waited takes a slice, unless there is a plant.
func (p *Performance) waited(s *collect.Slice) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.following != nil {
		return
	}
	quantities := map[string]float64{nodeMissing: 1}
	if p.refused {
		quantities[nodeMissing] = 0
	}
	s.Each(func(name string, v float64) { quantities[name] = v })
	if full, measured := quantities["memory_ratio"]; measured {
		quantities[memoryPressure] = full
	}
	p.told.tell(quantities)
	p.alerts.hold(Rules(p.cfg.Registry.Series()))
	for _, a := range p.alerts.observe(time.Now(), func(q string) (float64, bool) { v, ok := quantities[q]; return v, ok }) {
		p.raise("", a)
	}
}
