package arbiter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// A Tenant is a part of the program whose memory is leased: a cache, or the
// collector's headroom. Its functions are safe for concurrent use.
type Tenant struct {
	// Knob is the name of the knob that sets its lease, in bytes.
	Knob string
	// Least and Most bound its lease. Least may move: it is what the tenant can
	// not do without at this moment.
	Least func() int64
	Most  int64
	// Settle is how long it takes for memory that was given or taken away to show
	// in what it saves.
	Settle time.Duration
	// Lease returns the bytes that it may use. Why, unless "", is why that is not
	// the arbiter's to change.
	Lease func() (bytes int64, why string)
	// Held returns the bytes that it uses, as accounted.
	Held func() int64
	// Bid returns what it would save with 0 to so many units of so many bytes,
	// by what was seen lately.
	Bid func(unit int64, units int) Bid
	// Fade, if set, has what was seen so far count for less. It is called after
	// every look at the bids for a decision.
	Fade func()
}

// A Bid is what a tenant saves by its memory.
type Bid struct {
	// Saved is as a Bidder's, Error the standard error of differences in it.
	Saved []float64
	Error float64
	// Why, unless "", is why that is not known yet. The lease then stays.
	Why string
	// Miss is the miss ratio by units, nil of what is no cache. References is how
	// often it is asked a second, and Penalty what a miss costs, in nanoseconds.
	Miss                Curve
	References, Penalty float64
}

// Config says who shares which memory. Tenants, Limit, Unit and Decided are
// needed; other zero fields have the defaults that their comments name.
type Config struct {
	Tenants []Tenant
	// Limit is how many bytes all leases together may have. It is divided in
	// units of Unit bytes.
	Limit, Unit int64
	// Period is how often memory is moved at most (10 min).
	Period time.Duration
	// Look is how often it is seen whether a tenant has given back what it was
	// told to (10 s), and Patience after what time one is late that has not (3
	// min: Go collects garbage every two at least). After five times that it is not
	// waited for any more.
	Look, Patience time.Duration
	// Set sets a lease; when it fails, that is as it was. Without it the arbiter
	// only says what it would do.
	Set func(ctx context.Context, knob string, bytes int64) error
	// Rests returns why nothing may be moved at this moment; "" when it may be
	// (always). Memory that is asked back is given back all the same.
	Rests func() string
	// Decided receives every decision, on Run's goroutine. It must not block.
	Decided func(perfcore.Decision)
}

func (c Config) withDefaults() (Config, error) {
	c.Period = cmp.Or(c.Period, 10*time.Minute)
	c.Look = cmp.Or(c.Look, 10*time.Second)
	c.Patience = cmp.Or(c.Patience, 3*time.Minute)
	if c.Rests == nil {
		c.Rests = func() string { return "" }
	}
	if len(c.Tenants) == 0 || c.Decided == nil || c.Unit < 1 || c.Limit < c.Unit {
		return c, fmt.Errorf("%d bytes in units of %d for %d tenants are not to be divided", c.Limit, c.Unit, len(c.Tenants))
	}
	if c.Period < 0 || c.Look < 0 || c.Patience < 0 {
		return c, fmt.Errorf("a period of %v, a look of %v and a patience of %v are none", c.Period, c.Look, c.Patience)
	}
	return c, nil
}

// reversal is how many times a tenant must have settled before a move of its
// lease may be taken back.
const reversal = 3

// resignation is after how many times Patience nobody waits for memory any more.
const resignation = 5

// An Arbiter moves memory between tenants: to where it saves most by their bids,
// a tenth of all at a time, when that is worth it. It takes memory back from who
// saves nothing by it, within one error in all, and that stays free. Leases never sum to more than the
// limit: who gives memory back does so first, and only when its accounted bytes
// say that it has is another lease raised. What is not given back in the end is nobody
// else's: its tenant may keep its lease or get more, and the others divide the rest.
type Arbiter struct {
	cfg Config

	mu      sync.Mutex // guards what follows
	moved   []move     // the last move of each tenant
	pending *transfer  // nil when no memory is waited for
	// owed is since when each tenant has had to give memory back that is not waited for any
	// more; zero when it holds no more than its lease.
	owed    []time.Time
	advised string    // what was said last that would be done
	next    time.Time // of the next decision
}

// A move is the last change of a lease: up, down, or none yet.
type move struct {
	up bool
	at time.Time // zero for none
}

// A transfer is memory on its way: the leases in shrink are lowered already,
// those in grow are raised when the bytes are there.
type transfer struct {
	shrink, grow []change
	refused      []string // why a lease in grow was not raised
	decision     perfcore.Decision
	since        time.Time
}

type change struct {
	tenant   int
	from, to int64
}

// New returns an arbiter that has moved nothing yet.
func New(cfg Config) (*Arbiter, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("arbiter: %w", err)
	}
	return &Arbiter{cfg: cfg, moved: make([]move, len(cfg.Tenants)), owed: make([]time.Time, len(cfg.Tenants))}, nil
}

// Run divides memory until ctx ends. It decides for the first time after one
// period. It is called once at a time.
func (a *Arbiter) Run(ctx context.Context) {
	a.mu.Lock()
	a.next = time.Now().Add(a.cfg.Period)
	a.mu.Unlock()
	look := time.NewTicker(min(a.cfg.Look, a.cfg.Period))
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		a.step(ctx)
	}
}

// Quiesce waits until what the arbiter does at this moment has ended. Behind it, no memory
// moves on the word of what Rests has said before.
func (a *Arbiter) Quiesce() {
	a.mu.Lock()
	defer a.mu.Unlock()
}

// step does what is due.
func (a *Arbiter) step(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for i, t := range a.cfg.Tenants {
		if !a.owed[i].IsZero() && t.Held() <= a.lease(i) {
			a.owed[i] = time.Time{}
		}
	}
	switch {
	case a.pending != nil:
		a.finish(ctx, now)
	case now.Before(a.next) || a.cfg.Rests() != "":
	default:
		a.next = now.Add(a.cfg.Period)
		a.decide(ctx, now)
		for _, t := range a.cfg.Tenants {
			if t.Fade != nil {
				t.Fade()
			}
		}
	}
}

// A Standing is one tenant as it is seen at a moment.
type Standing struct {
	Knob string
	// Lease is what it may use and Held what it uses, Least what it can not do
	// without, Would what the arbiter would give it in the end: all in bytes.
	Lease, Held, Least, Would int64
	// Why, unless "", is why its lease stays.
	Why string
	Bid Bid
}

// A Report is who has what, and would have.
type Report struct {
	// Limit and Unit are the Config's. Free is what nobody has a lease of; it is
	// negative where operators have set more than there is.
	Limit, Unit, Free int64
	Tenants           []Standing
	// Next is when it is decided next; zero before Run.
	Next time.Time
	// Late says who owes memory for longer than it should; "" when nobody does.
	Late string
	// Problem says why there is no division; "" when there is one.
	Problem string
}

// Report returns who has what at this moment, and what their bids say.
func (a *Arbiter) Report() Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.view(time.Now())
	r := Report{Limit: a.cfg.Limit, Unit: a.cfg.Unit, Free: a.cfg.Limit, Next: a.next}
	to, err := Allocate(v.bidders, v.units)
	if err != nil {
		to, r.Problem = v.now, err.Error()
	}
	for i, t := range a.cfg.Tenants {
		s := Standing{Knob: t.Knob, Lease: v.lease[i], Held: t.Held(), Least: t.Least(), Would: v.lease[i], Why: v.why[i], Bid: v.bids[i]}
		if to[i] != v.now[i] {
			s.Would = int64(to[i]) * a.cfg.Unit
		}
		r.Free -= s.Lease
		r.Tenants = append(r.Tenants, s)
	}
	if t, held, since := a.late(time.Now()); t >= 0 {
		r.Late = fmt.Sprintf("%s holds %d bytes, and was told %v ago to hold %d", a.cfg.Tenants[t].Knob, held,
			time.Since(since).Round(time.Second), a.lease(t))
	}
	return r
}

// Pressure returns the largest share of its lease that a tenant holds which is
// late with giving memory back: more than 1; 0 when none is.
func (a *Arbiter) Pressure() float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, held, _ := a.late(time.Now())
	if t < 0 {
		return 0
	}
	return float64(held) / float64(max(a.lease(t), 1))
}

// late returns the tenant that owes memory for longer than it should, and most by its lease,
// what it holds, and since when it owes; -1 when there is none. a.mu is held.
func (a *Arbiter) late(now time.Time) (tenant int, held int64, since time.Time) {
	tenant = -1
	worst := 0.0
	for i, t := range a.cfg.Tenants {
		owed := a.owed[i]
		if owed.IsZero() && a.pending != nil && now.Sub(a.pending.since) >= a.cfg.Patience {
			owed = a.pending.since
		}
		h, lease := t.Held(), a.lease(i)
		if over := float64(h) / float64(max(lease, 1)); !owed.IsZero() && over > max(worst, 1) {
			tenant, held, since, worst = i, h, owed, over
		}
	}
	return tenant, held, since
}

func (a *Arbiter) lease(tenant int) int64 {
	bytes, _ := a.cfg.Tenants[tenant].Lease()
	return bytes
}

// A view is the tenants in units, as bidders.
type view struct {
	units   int
	now     []int   // units, rounded up
	lease   []int64 // bytes
	why     []string
	bids    []Bid
	bidders []Bidder
	whole   []Bidder // the same, also with memory that they may not have back yet
	err     float64  // of the sum of what is saved
}

// view looks at the tenants. Those whose lease stays are bidders for what they
// have and nothing else; one whose lease was moved may not go back yet. One that owes
// memory that is not waited for has what it holds, and is not asked for it again. a.mu
// is held.
func (a *Arbiter) view(now time.Time) *view {
	v := new(view)
	variance, all := 0.0, int(a.cfg.Limit/a.cfg.Unit)
	left, fixed := a.cfg.Limit, 0 // without what stays, which need not be whole units
	for i, t := range a.cfg.Tenants {
		lease, why := t.Lease()
		has := lease
		if !a.owed[i].IsZero() {
			has = max(has, t.Held())
		}
		units := a.unitsOf(has)
		bid := t.Bid(a.cfg.Unit, max(all, units))
		if why == "" {
			why = bid.Why
		}
		b := Bidder{Name: t.Knob, Saved: bid.Saved, Floor: a.unitsOf(t.Least())}
		if most := int(t.Most/a.cfg.Unit) + 1; len(b.Saved) > most {
			b.Saved = b.Saved[:most]
		}
		if !a.owed[i].IsZero() {
			b.Floor = max(b.Floor, units)
		}
		whole := b
		if m := a.moved[i]; !m.at.IsZero() && now.Sub(m.at) < reversal*t.Settle {
			if m.up {
				b.Floor = max(b.Floor, units)
			} else if len(b.Saved) > units+1 {
				b.Saved = b.Saved[:units+1]
			}
		}
		if why != "" {
			b = Bidder{Name: t.Knob, Floor: units}
			whole = b
			left, fixed = left-has, fixed+units
		} else {
			variance += bid.Error * bid.Error
		}
		v.now, v.lease, v.why = append(v.now, units), append(v.lease, lease), append(v.why, why)
		v.bids, v.bidders, v.whole = append(v.bids, bid), append(v.bidders, b), append(v.whole, whole)
	}
	v.units = int(left/a.cfg.Unit) + fixed
	v.err = math.Sqrt(variance)
	return v
}

// unitsOf returns how many units hold so many bytes.
func (a *Arbiter) unitsOf(bytes int64) int { return int((bytes + a.cfg.Unit - 1) / a.cfg.Unit) }

// decide looks whether memory should move, and begins to move it. a.mu is held.
func (a *Arbiter) decide(ctx context.Context, now time.Time) {
	v := a.view(now)
	tr, worth, err := Step(v.bidders, v.now, v.units, v.err)
	if err != nil {
		return // Report says it
	}
	reason := "memory is worth more elsewhere"
	if !worth || !slices.ContainsFunc(tr.Grow, positive) && !slices.ContainsFunc(tr.Shrink, positive) {
		if tr, worth = reclaim(v); !worth {
			return
		}
		reason = "nothing is saved by it, within the error of what was seen"
	}
	p := a.transfer(v, tr, now)
	if len(p.decision.Moves) == 0 {
		return
	}
	p.decision.Reason = reason
	p.decision.Prediction = v.predict(p, a.cfg.Unit)
	if a.cfg.Set == nil {
		a.advise(p.decision)
		return
	}
	a.begin(ctx, p)
}

func positive(n int) bool { return n > 0 }

// reclaim returns what can be taken back from tenants that save nothing by it: each is left
// what saves as much, within its error, as it would with all that the others could spare.
// What it saves at this moment is no measure, for that is less each time, and errors add up.
// Curves say what memory is good for beyond a lease as well as within it.
func reclaim(v *view) (tr Transfer, worth bool) {
	tr = Transfer{Shrink: make([]int, len(v.now)), Grow: make([]int, len(v.now))}
	left := max(int(stepShare*float64(v.units)), 1)
	floors := 0
	for _, b := range v.bidders {
		floors += b.Floor
	}
	for i, b := range v.bidders {
		if v.why[i] != "" {
			continue
		}
		reach := max(v.units-(floors-b.Floor), v.now[i])
		if n := min(v.now[i]-v.whole[i].knee(v.now[i], b.Floor, reach, v.bids[i].Error), left); n > 0 {
			tr.Shrink[i], worth = n, true
			left -= n
		}
	}
	return tr, worth
}

// transfer returns what a step means in bytes. a.mu is held.
func (a *Arbiter) transfer(v *view, tr Transfer, now time.Time) *transfer {
	p := &transfer{since: now, decision: perfcore.Decision{Trigger: "memory", Verdict: perfcore.Leased}}
	for i, t := range a.cfg.Tenants {
		c := change{tenant: i, from: v.lease[i]}
		switch {
		case tr.Shrink[i] > 0:
			c.to = int64(v.now[i]-tr.Shrink[i]) * a.cfg.Unit
			p.shrink = append(p.shrink, c)
		case tr.Grow[i] > 0:
			c.to = int64(v.now[i]+tr.Grow[i]) * a.cfg.Unit
			p.grow = append(p.grow, c)
		default:
			continue
		}
		p.decision.Moves = append(p.decision.Moves, perfcore.Move{Knob: t.Knob, From: c.from, To: c.to})
	}
	return p
}

// predict says what the curves promise of a transfer.
func (v *view) predict(p *transfer, unit int64) string {
	then := slices.Clone(v.now)
	for _, c := range slices.Concat(p.shrink, p.grow) {
		then[c.tenant] = int(c.to / unit)
	}
	to, err := Allocate(v.bidders, v.units)
	if err != nil {
		to = v.now
	}
	const milli = 1e6
	saved := Saved(v.bidders, v.now)
	return fmt.Sprintf("by the curves this step saves %+.3g ms a second and the whole way %+.3g, of %.3g that the memory saves now; the error is %.2g",
		(Saved(v.bidders, then)-saved)/milli, (Saved(v.bidders, to)-saved)/milli, saved/milli, v.err/milli)
}

// advise says what would be done, unless it said so last. a.mu is held.
func (a *Arbiter) advise(d perfcore.Decision) {
	said := fmt.Sprint(d.Moves)
	if said == a.advised {
		return
	}
	a.advised = said
	d.Verdict = perfcore.Advised
	a.cfg.Decided(d)
}

// begin has tenants give back memory, all or none. a.mu is held.
func (a *Arbiter) begin(ctx context.Context, p *transfer) {
	for i, c := range p.shrink {
		err := a.set(ctx, c.tenant, c.to)
		if err == nil {
			continue
		}
		for _, b := range slices.Backward(p.shrink[:i]) {
			err = errors.Join(err, a.set(ctx, b.tenant, b.from)) // what it gave back is still free
		}
		a.end(p, perfcore.Aborted, fmt.Sprintf("%s: %v", p.decision.Reason, err))
		return
	}
	a.pending = p
	a.finish(ctx, p.since)
}

func (a *Arbiter) set(ctx context.Context, tenant int, bytes int64) error {
	return a.cfg.Set(ctx, a.cfg.Tenants[tenant].Knob, bytes)
}

// finish raises leases once those who shrink hold no more than theirs. a.mu is
// held.
func (a *Arbiter) finish(ctx context.Context, now time.Time) {
	p := a.pending
	for _, c := range p.shrink {
		t := a.cfg.Tenants[c.tenant]
		if lease, why := t.Lease(); why != "" || lease != c.to {
			a.end(p, perfcore.Inconclusive, fmt.Sprintf("%s has another owner now", t.Knob))
			return
		}
		if t.Held() > c.to {
			if now.Sub(p.since) >= resignation*a.cfg.Patience {
				a.giveUp(p)
			}
			return // it is waited for
		}
	}
	if len(p.grow) > 0 && a.cfg.Rests() != "" {
		return
	}
	room := a.cfg.Limit
	for i, t := range a.cfg.Tenants {
		room -= max(a.lease(i), t.Held())
	}
	for ; len(p.grow) > 0; p.grow = p.grow[1:] {
		c := p.grow[0]
		t := a.cfg.Tenants[c.tenant]
		if lease, why := t.Lease(); why != "" || lease != c.from {
			p.refused = append(p.refused, fmt.Sprintf("%s has another owner now", t.Knob))
			continue
		}
		takes := max(c.to, t.Held()) - max(c.from, t.Held())
		if takes > room {
			// Somebody else holds more than a lease, or was given a larger one.
			if now.Sub(p.since) > a.cfg.Patience {
				a.end(p, perfcore.Aborted, fmt.Sprintf("others have taken the memory that %s was to have", t.Knob))
			}
			return
		}
		if err := a.set(ctx, c.tenant, c.to); err != nil {
			p.refused = append(p.refused, err.Error())
			continue
		}
		room -= takes
	}
	if len(p.refused) > 0 {
		a.end(p, perfcore.Aborted, strings.Join(p.refused, "; "))
		return
	}
	a.end(p, perfcore.Leased, p.decision.Reason)
}

// giveUp ends a transfer for which memory has not been given back. a.mu is held.
func (a *Arbiter) giveUp(p *transfer) {
	var whys []string
	for _, c := range p.shrink {
		if t := a.cfg.Tenants[c.tenant]; t.Held() > c.to {
			a.owed[c.tenant] = p.since
			whys = append(whys, fmt.Sprintf("%s does not give its memory back, which nobody else gets: it holds %d bytes", t.Knob, t.Held()))
		}
	}
	a.end(p, perfcore.Aborted, strings.Join(whys, "; "))
}

// end ends a transfer, of which v is the verdict unless a lease stands where it was to go: that
// is in force, in part if not all do. What was given back stays free. a.mu is held.
func (a *Arbiter) end(p *transfer, v perfcore.Verdict, reason string) {
	now := time.Now()
	a.pending, a.next = nil, now.Add(a.cfg.Period)
	d := p.decision
	// It tells of what has moved, not of what should have.
	var moved []perfcore.Move
	for _, m := range d.Moves {
		i := slices.IndexFunc(a.cfg.Tenants, func(t Tenant) bool { return t.Knob == m.Knob })
		if a.lease(i) == m.To {
			moved = append(moved, m)
			a.moved[i] = move{up: m.To > m.From, at: now}
		}
	}
	d.Moves = moved
	if v != perfcore.Leased && len(d.Moves) > 0 {
		v, reason = perfcore.Leased, "in part: "+reason
	}
	d.Verdict, d.Reason = v, reason
	a.cfg.Decided(d)
}
