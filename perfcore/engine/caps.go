package engine

import "slices"

// caps remembers the levels beyond which a guard fired, or an alarm was raised, and for
// how long to stay away: twice as long each time. Then they open by one level.
type caps struct {
	low, high []limit
	// safe are the levels that were tried and raised no guard.
	safeLow, safeHigh []int
	// suspected counts how often a knob had been moved down, and up, when a
	// guard fired.
	suspected [][2]int
	// arms are, for each knob whose values have no order, the levels at which a
	// guard fired; nil for the others.
	arms []map[int]*limit
}

// A limit bounds one knob in one direction.
type limit struct {
	level   int
	set     bool
	until   float64 // slices
	strikes int
}

// capSlices is how long the first limit lasts.
const capSlices = 500

// newCaps returns caps that know nothing. arms says, for each knob, whether its
// values have no order.
func newCaps(at []int, arms []bool) *caps {
	n := len(at)
	c := &caps{
		low: make([]limit, n), high: make([]limit, n),
		safeLow: slices.Clone(at), safeHigh: slices.Clone(at), suspected: make([][2]int, n),
		arms: make([]map[int]*limit, n),
	}
	for i, unordered := range arms {
		if unordered {
			c.arms[i] = make(map[int]*limit)
		}
	}
	return c
}

// visited notes that the guard did not fire at x.
func (c *caps) visited(x []int) {
	for i, l := range x {
		c.safeLow[i], c.safeHigh[i] = min(c.safeLow[i], l), max(c.safeHigh[i], l)
	}
}

// blame limits the knob that is most likely the cause of a guard at y, which
// lies away from the incumbent x. That is one beyond the levels that are known
// to be safe, if there is any, else one whose move is known to raise the cost, by rises, of
// the logarithm; of these, the one that moved this way most often when a guard fired, then
// the one farthest beyond, then the one that moved most. choose decides between equals. It
// returns the knob, or -1 when none moved.
func (c *caps) blame(x, y []int, now float64, rises []float64, choose func(n int) int) int {
	var suspects []int
	worst, most := -1, 0.0
	for i := range y {
		if y[i] != x[i] {
			most = max(most, rises[i])
		}
	}
	for i := range y {
		if y[i] == x[i] {
			continue
		}
		moved := y[i] - x[i]
		beyond := max(y[i]-c.safeHigh[i], c.safeLow[i]-y[i], 0)
		if beyond == 0 && most > 0 && rises[i] < most/2 {
			continue // another one is known to do more
		}
		way := &c.suspected[i][0]
		if moved > 0 {
			way = &c.suspected[i][1]
		}
		*way++
		guilt := min(beyond, 1)<<30 + *way<<16 + beyond<<8 + max(moved, -moved)
		if guilt > worst {
			worst, suspects = guilt, suspects[:0]
		}
		if guilt == worst {
			suspects = append(suspects, i)
		}
	}
	if len(suspects) == 0 {
		return -1
	}
	i := suspects[choose(len(suspects))]
	if c.arms[i] != nil {
		if c.arms[i][y[i]] == nil {
			c.arms[i][y[i]] = new(limit)
		}
		c.arms[i][y[i]].strike(y[i], now)
		return i
	}
	if y[i] > x[i] {
		c.high[i].strike(max(x[i], y[i]-1), now)
		c.safeHigh[i] = min(c.safeHigh[i], c.high[i].level)
	} else {
		c.low[i].strike(min(x[i], y[i]+1), now)
		c.safeLow[i] = max(c.safeLow[i], c.low[i].level)
	}
	return i
}

func (l *limit) strike(level int, now float64) {
	l.until = now + float64(int(capSlices)<<min(l.strikes, 8))
	l.strikes++
	l.level, l.set = level, true
}

// bounds returns the lowest and highest level of knob i, of n levels, that may
// be tried at the time now.
func (c *caps) bounds(i, n int, now float64) (low, high int) {
	low, high = 0, n-1
	if l := &c.low[i]; l.set {
		if now >= l.until {
			l.level--
			l.until = now + capSlices
		}
		l.set = l.level > 0
		low = max(l.level, 0)
	}
	if h := &c.high[i]; h.set {
		if now >= h.until {
			h.level++
			h.until = now + capSlices
		}
		h.set = h.level < n-1
		high = min(h.level, n-1)
	}
	return low, high
}

// allowed returns the levels of knob i, of n without an order, that may be tried
// at the time now; nil for a knob with one.
func (c *caps) allowed(i, n int, now float64) []int {
	if c.arms[i] == nil {
		return nil
	}
	levels := make([]int, 0, n)
	for l := range n {
		if struck := c.arms[i][l]; struck == nil || now >= struck.until {
			levels = append(levels, l)
		}
	}
	return levels
}

// doubt lets limits that were struck once open at their next look, for the
// world has changed. One that was struck again has proved to be no accident.
func (c *caps) doubt(now float64) {
	for _, limits := range [][]limit{c.low, c.high} {
		for i := range limits {
			if l := &limits[i]; l.strikes == 1 {
				l.until = min(l.until, now)
			}
		}
	}
	for _, arms := range c.arms {
		for _, l := range arms {
			if l.strikes == 1 {
				l.until = min(l.until, now)
			}
		}
	}
}
