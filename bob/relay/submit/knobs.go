package submit

import (
	"context"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// Knobs returns what may be turned while the submitter runs: how often it looks. That is an
// operator's, as the other intervals of what no notification tells of: what is seen later
// costs less, and no measure of cost tells what it is worth.
func (s *Submitter) Knobs() []perfcore.Knob {
	k := perfcore.Knob{
		Name: "bob.submit_poll_interval", Help: "How long who tells a relay of headers waits between two looks, unless a new block of Bitcoin ends it.",
		Unit: "milliseconds", Scope: perfcore.Live, Resource: perfcore.Network,
		Ladder: []int64{250, 500, 1000, 2000, 4000, 8000},
		Apply:  func(_ context.Context, n int64) error { s.poll.Store(n * int64(time.Millisecond)); return nil },
		Read:   func() int64 { return s.poll.Load() / int64(time.Millisecond) },
	}
	k.Ladder = perfcore.Ladder(k.Ladder, k.Read())
	return []perfcore.Knob{k}
}
