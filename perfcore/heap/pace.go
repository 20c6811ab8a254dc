package heap

import (
	"fmt"
	"math"
	"time"
)

// A pace is how fast the heap fills, by what was allocated lately. The zero value has seen
// nothing.
type pace struct {
	at        time.Time
	allocated uint64
	rate      float64 // bytes a second, times weight
	weight    float64 // of what was seen, from 0 to 1
}

const (
	// paced is how many times as long as a knob settles what was allocated counts, by and by
	// less.
	paced = 6
	// cycles are to pass while a knob settles: two, in a slice that may be a quarter shorter.
	cycles = 3
)

// see takes how much was allocated by a moment in all, none before the last one. What is
// older than settle weighs less.
func (p *pace) see(at time.Time, allocated uint64, settle time.Duration) {
	passed := at.Sub(p.at)
	if !p.at.IsZero() && passed > 0 {
		keep := math.Exp(-float64(passed) / float64(paced*settle))
		p.rate = keep*p.rate + (1-keep)*float64(allocated-p.allocated)/passed.Seconds()
		p.weight = keep*p.weight + 1 - keep
	}
	p.at, p.allocated = at, allocated
}

// bytes returns what is allocated in a second; known says whether that was seen for as long
// as a knob settles.
func (p *pace) bytes() (rate float64, known bool) {
	least := -math.Expm1(-1.0 / paced)
	return p.rate / p.weight, p.weight >= least*(1-1e-9)
}

// every returns the time from cycle to cycle if GOGC were percent, where so many bytes are
// allocated in a second. Those that somebody forces do not count.
func (n numbers) every(percent int64, rate float64) time.Duration {
	room := float64(n.goal - n.live)
	if n.held() {
		room = min(room, float64(n.live)*float64(percent)/100)
	} else {
		room *= float64(percent) / float64(n.percent)
	}
	room = max(min(room, float64(n.limit-n.other-n.live)), 1)
	return time.Duration(min(room/rate, float64(math.MaxInt64/cycles/2)/1e9) * 1e9)
}

// unready returns why slices would not tell what the collector costs when GOGC is percent;
// "" when they would. What a value lets grow, the smaller one behind it collects at once,
// while it settles, and no slice that counts has the cost; so cycles of either are to pass
// meanwhile. Where they do not, little is allocated, and unless much is live little is saved.
func (g *Governor) unready(percent int64) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := read()
	g.pace.see(time.Now(), now.allocated, g.cfg.Settle)
	rate, known := g.pace.bytes()
	if !known {
		return "how fast the heap fills is not known yet"
	}
	every := now.every(percent, rate)
	if cycles*every <= g.cfg.Settle {
		return ""
	}
	how := "every " + every.Round(time.Second/10).String()
	if every >= time.Hour {
		how = "hardly ever"
	}
	return fmt.Sprintf("at %d the heap would be collected %s, and slices tell what that costs where it is every %v or more often",
		percent, how, (g.cfg.Settle / cycles).Round(time.Second/10))
}
