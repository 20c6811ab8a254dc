package regime

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

type measured map[string]float64

func (m measured) Value(name string) (float64, bool) {
	v, ok := m[name]
	return v, ok
}

func newClassifier(t *testing.T) *Classifier {
	t.Helper()
	c, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A script of slices, and the regime behind each: three in a row are believed,
// and what lies between two thresholds changes nothing.
func TestClassify(t *testing.T) {
	const behind, rpc, l2, expected = "chain_blocks_behind", "rpc_requests_per_second", "l2_requests_per_second", "rpc_requests_per_second_predicted"
	c := newClassifier(t)
	if c.Regime() != TipIdle {
		t.Errorf("at first: %s", c.Regime())
	}
	for i, step := range []struct {
		m     measured
		times int
		want  string // behind the last of them
	}{
		{measured{behind: 5000}, 2, TipIdle},
		{measured{behind: 5000}, 1, InitialSync},
		{measured{behind: 200}, 10, InitialSync}, // between the thresholds
		{measured{behind: 100}, 2, InitialSync},
		{measured{behind: 100}, 1, CatchUp},
		{measured{behind: 1}, 10, CatchUp},
		{measured{behind: 0}, 3, TipIdle},
		{measured{behind: 2}, 10, TipIdle},
		{measured{behind: 0, rpc: 150}, 3, RPCBurst},
		{measured{behind: 0, rpc: 60, l2: 60}, 10, RPCBurst},
		{measured{behind: 0, rpc: 40, l2: 60}, 3, L2Heavy},
		{measured{}, 10, L2Heavy}, // nothing was measured
		{measured{behind: 0, rpc: 0, l2: 0, expected: 150}, 3, RPCBurst},
		{measured{expected: 60}, 10, RPCBurst},
		{measured{}, 3, TipIdle}, // the forecast is silent
		{measured{behind: 0, rpc: 0, l2: 60}, 3, L2Heavy},
		{measured{l2: 0, "mempool_verified_per_second_predicted": 80}, 3, MempoolBurst},
		{measured{l2: 60}, 3, L2Heavy},
		{measured{behind: 10, rpc: 500, l2: 60}, 3, CatchUp},
		{measured{behind: 0, rpc: 0, l2: 0}, 1, CatchUp},
		{measured{behind: 0, rpc: 500, l2: 0}, 2, CatchUp}, // another one begins to count anew
		{measured{behind: 0, rpc: 500, l2: 0}, 1, RPCBurst},
	} {
		for range step.times {
			c.Observe(step.m)
		}
		if got := c.Regime(); got != step.want {
			t.Errorf("step %d, %v: %s, want %s", i, step.m, got, step.want)
		}
	}
}

// A load that swings around a threshold, or jumps for moments, does not make
// the regime flap.
func TestNoFlapping(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	c := newClassifier(t)
	for i := range 10_000 {
		v := 75 + 24*math.Sin(float64(i))
		if r.IntN(10) == 0 && i%3 == 0 { // one slice, and two apart from the next
			v = 1000
		}
		c.Observe(measured{"rpc_requests_per_second": v})
	}
	if n := c.Switches(); n > 1 {
		t.Errorf("%d switches", n)
	}
}

// An announcement counts at once, for a time, and not while blocks come all the
// time.
func TestAnnounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClassifier(t)
		c.Announce()
		if c.Regime() != TipBlock {
			t.Errorf("announced: %s", c.Regime())
		}
		for range 5 {
			c.Observe(measured{"rpc_requests_per_second": 1000})
		}
		time.Sleep(30*time.Second - time.Nanosecond)
		if c.Regime() != TipBlock {
			t.Errorf("within thirty seconds: %s", c.Regime())
		}
		time.Sleep(time.Nanosecond)
		if c.Regime() != TipIdle {
			t.Errorf("after thirty seconds: %s", c.Regime())
		}
		c.Announce()
		c.Arrived()
		if c.Regime() != TipIdle {
			t.Errorf("when it has arrived: %s", c.Regime())
		}
		for range 3 {
			c.Observe(measured{"chain_blocks_behind": 10})
		}
		c.Announce()
		if c.Regime() != CatchUp {
			t.Errorf("catching up: %s", c.Regime())
		}
	})
}

// Whatever changes the regime can be told afterwards, and nothing else: what has come and gone
// at one moment, too.
func TestChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClassifier(t)
		slices := func(behind float64) func() {
			return func() {
				for range 3 {
					c.Observe(measured{"chain_blocks_behind": behind})
				}
			}
		}
		for _, tt := range []struct {
			what  string
			do    func()
			other bool
		}{
			{"nothing", func() {}, false},
			{"a block that comes and goes", func() { c.Announce(); c.Arrived() }, true},
			{"one that was not announced", c.Arrived, false},
			{"an announcement", c.Announce, true},
			{"the same once more", c.Announce, false},
			{"its block", c.Arrived, true},
			{"one that never comes", func() { c.Announce(); time.Sleep(time.Minute) }, true},
			{"one behind it", c.Arrived, false},
			{"slices that say the same", slices(0), false},
			{"slices that say something else", slices(5), true},
			{"a block of a catch-up", func() { c.Announce(); c.Arrived() }, false},
		} {
			before := c.Changes()
			tt.do()
			if got := c.Changes() != before; got != tt.other {
				t.Errorf("%s changes the regime: %v, want %v", tt.what, got, tt.other)
			}
		}
	})
}

func TestConfig(t *testing.T) {
	for _, cfg := range []Config{
		{Rules: []Rule{{"", "q", 2, 1, false}}}, {Rules: []Rule{{"r", "", 2, 1, false}}}, {Rules: []Rule{{"r", "q", 1, 1, false}}},
		{Rules: []Rule{{"r", "q", math.NaN(), 1, false}}}, {Rules: []Rule{{"r", "q", math.Inf(1), 1, false}}},
		{Dwell: -1}, {Longest: -1},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
	c, err := New(Config{Rules: []Rule{{"busy", "load", 2, 1, false}}, Else: "calm", Announced: "storm", Dwell: 1})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range []float64{1, 2, 1, 0} {
		c.Observe(measured{"load": v})
		got = append(got, c.Regime())
	}
	c.Announce()
	if got = append(got, c.Regime()); fmt.Sprint(got) != "[calm busy busy calm storm]" {
		t.Errorf("regimes %v", got)
	}
}
