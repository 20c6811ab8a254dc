package heap

import (
	"math"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The time from cycle to cycle follows from what GOGC and the limit leave, and from what is
// allocated.
func TestEvery(t *testing.T) {
	free := numbers{percent: 400, limit: math.MaxInt64, live: 100 * mib, other: 10 * mib, goal: 500 * mib}
	with := func(change func(*numbers)) numbers {
		n := free
		change(&n)
		return n
	}
	for _, tt := range []struct {
		name    string
		n       numbers
		percent int64
		rate    float64 // MiB a second
		want    time.Duration
	}{
		{"as it is", free, 400, 16, 25 * time.Second},
		{"with a larger value", free, 600, 16, 37500 * time.Millisecond},
		{"with a smaller value", free, 100, 50, 2 * time.Second},
		{"held by the limit", with(func(n *numbers) { n.limit, n.goal = 310*mib, 300*mib }), 600, 20, 10 * time.Second},
		{"held no more", with(func(n *numbers) { n.limit, n.goal = 310*mib, 300*mib }), 100, 20, 5 * time.Second},
		{"held by the limit then", with(func(n *numbers) { n.limit = 710 * mib }), 800, 20, 30 * time.Second},
		{"off, and held", with(func(n *numbers) { n.percent, n.limit, n.goal = -1, 310*mib, 300*mib }), 400, 20, 10 * time.Second},
	} {
		if got := tt.n.every(tt.percent, tt.rate*mib); got.Round(time.Millisecond) != tt.want {
			t.Errorf("%s: a cycle every %v, want %v", tt.name, got, tt.want)
		}
	}
	if got := free.every(400, 0); got < 24*time.Hour || cycles*got < got {
		t.Errorf("where nothing is allocated there is a cycle every %v", got)
	}
}

// What was allocated counts in the time in which it was, however often somebody looks, and
// less and less.
func TestPace(t *testing.T) {
	const settle = 10 * time.Second
	for _, every := range []time.Duration{time.Second, 2 * time.Second, 9 * time.Second} {
		var p pace
		at, all := time.Unix(1, 0), uint64(1<<40)
		p.see(at, all, settle)
		run := func(length time.Duration, rate uint64) float64 {
			for passed := time.Duration(0); passed < length; passed += every {
				at, all = at.Add(every), all+rate*uint64(every/time.Second)
				p.see(at, all, settle)
				p.see(at, all, settle)
			}
			got, _ := p.bytes()
			return got
		}
		if _, known := p.bytes(); known {
			t.Error("a pace of no time is known")
		}
		if got := run(9*time.Second, 100); math.Abs(got-100) > 1e-6 {
			t.Errorf("at first, every %v, it is %v", every, got)
		}
		run(2*time.Second, 100)
		if _, known := p.bytes(); !known {
			t.Errorf("behind the time that it settles in, every %v, it is not known", every)
		}
		run(10*time.Minute, 100)
		if got := run(2*time.Minute, 0); got < 5 || got > 16 { // a seventh, or an eighth
			t.Errorf("two minutes behind, every %v, it is %v", every, got)
		}
	}
}

// GOGC is tried while two cycles of both values pass in the time that it settles in, as the
// runtime says.
func TestGOGCUnready(t *testing.T) {
	keep := make([]byte, 32*mib)
	synctest.Test(t, func(t *testing.T) {
		g := newGovernor(t, Config{Limit: 4 << 30, Settle: 10 * time.Second})
		debug.FreeOSMemory() // what other tests have left
		live := read().live
		k := &g.Knobs()[0]
		if why := k.WhyNot(100); !strings.Contains(why, "not known") {
			t.Errorf("at first: %q", why)
		}
		for range 15 { // of the bubble's seconds: a cycle in two of them
			for range 32 {
				sink = make([]byte, live/64)
			}
			time.Sleep(time.Second)
			if err := g.Step(); err != nil {
				t.Fatal(err)
			}
		}
		runtime.GC() // what was allocated while the last cycle ran counted as live
		if why := k.WhyNot(100); why != "" {
			t.Errorf("where a cycle takes two seconds: %q", why)
		}
		for _, large := range []int64{300, 600} {
			if why := k.WhyNot(large); !strings.HasPrefix(why, "at ") || !strings.Contains(why, "collected every ") || !strings.HasSuffix(why, "every 3.3s or more often") {
				t.Errorf("at %d, where a cycle takes %v times two seconds: %q", large, large/100, why)
			}
		}
		time.Sleep(time.Hour)
		if why := k.WhyNot(50); !strings.Contains(why, "hardly ever") {
			t.Errorf("where nothing is allocated any more: %q", why)
		}
	})
	sink = nil
	runtime.KeepAlive(keep)
}
