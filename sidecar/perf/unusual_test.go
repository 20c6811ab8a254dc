package perf

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
)

// A fetching machine also tells how long blocks take to be fetched.
type fetching struct {
	machine
	slow *atomic.Bool
}

func (f fetching) End(s *collect.Slice) {
	f.machine.End(s)
	s.Set("feed_fetch_mean", map[bool]float64{false: 0.01, true: 5}[f.slow.Load()])
}

// While a quantity is out of the ordinary no trial says anything.
func TestAnomalyStopsTrials(t *testing.T) {
	for _, happens := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			m := newMill(t)
			var slow atomic.Bool
			m.machine = func() collect.Source { return fetching{slow: &slow} }
			p, stop := m.start(t, Config{Mode: Optimize, seed: 1}, 0)
			go m.work(t.Context())
			time.Sleep(6 * time.Minute) // the usual is known
			slow.Store(happens)
			promoted := func() bool {
				list, err := p.decisions(0)
				if err != nil {
					t.Fatal(err)
				}
				return slices.ContainsFunc(list, func(d Decision) bool { return d.Verdict == perfcore.Promoted.String() })
			}
			time.Sleep(18 * time.Minute)
			if promoted() == happens {
				t.Errorf("with an anomaly %v, something was promoted: %v", happens, promoted())
			}
			time.Sleep(2 * time.Hour) // it is the usual by now
			if !promoted() {
				t.Errorf("with an anomaly %v long ago, nothing was promoted", happens)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}
