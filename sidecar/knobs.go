package sidecar

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// A tuning holds what may be tried at other values while a sidecar runs.
type tuning struct {
	flight       atomic.Int64 // blocks that are judged at once
	mempoolShare atomic.Int64 // percent of a core for the mempool's scripts
	elastic      atomic.Int64 // percent that work which can wait keeps while others wait
	prefetch     atomic.Int64 // inputs of a block that are looked up before its turn
}

// landing is the time in which the blocks that were in flight at another depth have
// been judged, large ones on few cores too.
const landing = 10 * time.Second

// Knobs returns what may be tried at other values, before Run or while it runs.
// They change nothing about a verdict.
//
// Those of the parts are among them while it follows the node's chain.
func (s *Sidecar) Knobs() []perfcore.Knob {
	knobs := []perfcore.Knob{
		live(perfcore.Knob{
			Name: "sidecar.flight", Help: "How many blocks of a catch-up are judged at once.", Unit: "blocks",
			Resource: perfcore.CPU, Carry: perfcore.Warm, Settle: landing, Hastens: true,
			Ladder: []int64{1, 2, 4, 8, 16, 32, maxFlight},
		}, &s.tuning.flight),
		live(perfcore.Knob{
			Name: "sidecar.mempool_share", Help: "How much of one core may be spent, on average, on the scripts of the mempool's transactions.", Unit: "percent",
			Ladder: []int64{0, 5, 10, 25, 50, 100},
		}, &s.tuning.mempoolShare),
		live(perfcore.Knob{
			Name: "cpu.elastic", Help: "How much of the time that it would take work that can wait is left while goroutines wait for a processor; 100 leaves all.", Unit: "percent",
			Resource: perfcore.CPU, Ladder: []int64{5, 10, 25, 50, 100},
		}, &s.tuning.elastic),
		live(perfcore.Knob{
			Name: "sidecar.prefetch", Help: "Of how many inputs of a block that was fetched ahead the coins are read from disk before its turn.", Unit: "inputs",
			Resource: perfcore.Database, Carry: perfcore.Warm, Settle: landing, Hastens: true,
			Ladder: []int64{0, 256, 1024, 4096, 16384},
		}, &s.tuning.prefetch),
	}
	if s.bob != nil {
		knobs = append(knobs, s.bob.Knobs()...)
	}
	knobs = append(knobs, s.claims.knobs()...)
	if parts := s.parts.Load(); parts != nil {
		for _, p := range *parts {
			knobs = append(knobs, p.Knobs()...)
		}
	}
	return knobs
}

// A tuned part has knobs.
type tuned interface{ Knobs() []perfcore.Knob }

// live returns k as a knob that turns v, with v's present value on its ladder.
func live(k perfcore.Knob, v *atomic.Int64) perfcore.Knob {
	k.Ladder = perfcore.Ladder(k.Ladder, v.Load())
	k.Scope = perfcore.Live
	k.Apply = func(_ context.Context, n int64) error { v.Store(n); return nil }
	k.Read = v.Load
	return k
}
