package sidecar

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/arbiter"
	"github.com/outrider-project/outrider/utxocache"
)

const (
	// missReach is how many times the first size a curve goes up to.
	missReach = 4
	// missEvery is how often it is told.
	missEvery = 30 * time.Second
	// coinBytes is what a coin in memory takes, about, before it is known.
	coinBytes = 100
	// leastSample is how many keys, and references, a sample needs to say anything, and
	// leastTimed how many misses must have been timed.
	leastSample, leastTimed = 256, 16
	// leastError is the least error of a miss ratio by a sample, sampleError that of a
	// sample of one reference: it falls with the root of their number. Curves of 1 key in
	// 8 to 1 in 128 were within 0.001 to 0.005 of the true ones.
	leastError, sampleError = 0.002, 0.5
	// halfLife is after what time what was seen counts for half: dozens of blocks at the
	// tip. sampledCoins and sampledBlocks are how many keys samples have at most, which
	// is so many references then that the error is about a hundredth.
	halfLife                    = 6 * time.Hour
	sampledCoins, sampledBlocks = 1 << 16, 1 << 15
)

// A missRatio tells by a sample of what a memory is asked for how much of that would
// miss it if it had another size, and what that costs. It is safe for concurrent use.
type missRatio struct {
	sampler *arbiter.Sampler
	// step is how many entries of the memory one unit of the sampler stands for, and
	// stands how many references one of the sampler's.
	step, stands float64
	// entry returns the bytes that an entry takes, and room how many bytes entries have
	// in a memory of that size.
	entry func() float64
	room  func(bytes int64) int64
	// missed returns how many misses there were so far, as far as they were timed, and
	// how long they took together; hit is how long a hit takes, in nanoseconds.
	missed func() (n float64, took time.Duration)
	hit    func() float64

	mu      sync.Mutex // guards what follows
	began   time.Time
	faded   time.Time // the last time
	watched fading    // seconds
	n, took fading    // of missed
	penalty float64
}

// A fading total counts less of what was before, like a sampler's references.
type fading struct{ base float64 }

func (f *fading) of(now float64) float64 { return now - f.base }

func (f *fading) fade(now float64) { f.base += (now - f.base) / 2 }

// since returns what has been seen since the beginning: the time, and the misses. mu
// is held.
func (m *missRatio) since() (seconds, n, took float64) {
	count, t := m.missed()
	return time.Since(m.began).Seconds(), count, float64(t)
}

// age fades what was seen when that is due.
func (m *missRatio) age() {
	m.mu.Lock()
	due := time.Since(m.faded) >= halfLife
	m.mu.Unlock()
	if due {
		m.fade()
	}
}

// fade has what was seen so far count for half.
func (m *missRatio) fade() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.price()
	seconds, n, took := m.since()
	m.watched.fade(seconds)
	m.n.fade(n)
	m.took.fade(took)
	m.sampler.Fade()
	m.faded = time.Now()
}

// price brings up to date what a miss costs beyond a hit, in nanoseconds, by the last
// ones that were timed. mu is held.
func (m *missRatio) price() {
	if _, n, took := m.since(); m.n.of(n) >= leastTimed {
		m.penalty = max(m.took.of(took)/m.n.of(n)-m.hit(), 0)
	}
}

// bid returns what the memory saves with 0 to so many units of so many bytes, while it
// may have lease bytes. After settle it is taken for known what a memory of that size is
// good for, though no more was asked for than a smaller one has room for.
func (m *missRatio) bid(unit int64, units int, lease int64, settle time.Duration) arbiter.Bid {
	curve, references := m.sampler.Curve()
	keys, sampled := m.sampler.Keys()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.price()
	seconds, _, _ := m.since()
	b := arbiter.Bid{Miss: make(arbiter.Curve, units+1), Penalty: m.penalty}
	if watched := m.watched.of(seconds); watched > 0 {
		b.References = float64(references) * m.stands / watched
	}
	for u := range b.Miss {
		b.Miss[u] = m.at(curve, int64(u)*unit)
	}
	b.Saved = arbiter.CacheSavings(b.Miss, b.References, b.Penalty)
	weight := float64(references) * float64(sampled) / max(keys, 1) // references in the sample
	b.Error = b.References * b.Penalty * max(leastError, sampleError/math.Sqrt(max(weight, 1)))
	room := float64(m.room(lease)) / m.entry()
	switch asked := keys * m.stands; {
	case sampled < leastSample || weight < leastSample:
		b.Why = fmt.Sprintf("too little was asked of it lately: the sample has %d keys and %.0f references, and needs %d of each", sampled, weight, leastSample)
	case m.penalty == 0:
		b.Why = "what a miss costs is not known: too few were timed"
	case asked < room && seconds < settle.Seconds():
		b.Why = fmt.Sprintf("it has room for %.3g entries, and %.3g were asked for: what the rest is good for is known in %v at most",
			room, asked, (settle - time.Duration(seconds*float64(time.Second))).Round(time.Second))
	}
	return b
}

// at returns the miss ratio of a memory of so many bytes.
func (m *missRatio) at(curve arbiter.Curve, bytes int64) float64 {
	units := float64(m.room(bytes)) / m.entry() / m.step
	return curve[int(min(max(units, 0), float64(len(curve)-1)))]
}

// A coinRatio is the missRatio of the coins in memory.
type coinRatio struct {
	missRatio
	gauges map[float64]*perfcore.Gauge // by the share of the first budget
	budget int64                       // the first one
	coins  atomic.Uint64               // whose sizes are known
	bytes  atomic.Uint64
}

// newCoinRatio returns one for coins in budget bytes, which are looked at in units of
// unit bytes. What misses cost is set before the first bid.
func newCoinRatio(budget, unit int64, rec perfcore.Recorder) *coinRatio {
	most := max(missReach*budget, unit)
	step := max(int(unit/coinBytes)>>utxocache.SampleShift, 1)
	m := &coinRatio{budget: budget, gauges: make(map[float64]*perfcore.Gauge)}
	m.missRatio = missRatio{
		sampler: arbiter.NewSampler(arbiter.SamplerConfig{Unit: step, Units: int(most/unit) + 1, RateShift: 1, MaxKeys: sampledCoins, Salt: rand.Uint64()}),
		step:    float64(step << utxocache.SampleShift), stands: 1 << utxocache.SampleShift,
		entry: m.coinBytes, room: utxocache.Accounted, began: time.Now(), faded: time.Now(),
		missed: func() (float64, time.Duration) { return 0, 0 }, hit: func() float64 { return 0 },
	}
	for share := 0.25; share <= missReach; share *= 2 {
		m.gauges[share] = rec.Gauge(perfcore.Metric{
			Name: "outrider_utxo_miss_ratio", Help: "Share of the coin look-ups that would miss the memory if it had this share of its size, by a sample.",
			Labels: []string{"memory", strconv.FormatFloat(share, 'g', -1, 64)},
		})
	}
	return m
}

// refer takes a reference of the sample.
func (m *coinRatio) refer(r utxocache.Reference) {
	if r.Bytes > 0 {
		m.coins.Add(1)
		m.bytes.Add(uint64(r.Bytes))
	}
	if r.Event != utxocache.Spent { // the look-up before it has counted
		m.sampler.Reference(r.Hash)
	}
}

// coinBytes returns what a coin in memory takes, by those that were found.
func (m *coinRatio) coinBytes() float64 {
	n, bytes := m.coins.Load(), m.bytes.Load()
	if n < leastSample {
		return coinBytes
	}
	return float64(bytes) / float64(n)
}

// tell brings the gauges up to date.
func (m *coinRatio) tell() {
	curve, references := m.sampler.Curve()
	if references == 0 {
		return
	}
	for share, gauge := range m.gauges {
		gauge.Set(m.at(curve, int64(share*float64(m.budget))))
	}
}

// run tells until ctx ends.
func (m *coinRatio) run(ctx context.Context) {
	for sleep(ctx, missEvery) == nil {
		m.tell()
	}
}
