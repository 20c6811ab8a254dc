package engine

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/perfcore"
)

// The likelihood ratio is the mean over the mixture's effects of the
// likelihood, which is summed here.
func TestLikelihoodRatio(t *testing.T) {
	for _, tt := range []struct {
		n          int
		effect, sd float64
	}{{2, 0.1, 0.04}, {8, 0.02, 0.04}, {3, -0.05, 0.1}, {5, 0, 0.05}} {
		v := tt.sd * tt.sd / float64(tt.n)
		density := func(mu float64) float64 { return math.Exp(-(tt.effect - mu) * (tt.effect - mu) / (2 * v)) }
		var sum, weights float64
		for mu := -0.5; mu <= 0.5; mu += 1e-4 {
			w := math.Exp(-mu * mu / (2 * mixture * mixture))
			sum += w * density(mu)
			weights += w
		}
		want := sum / weights / density(0)
		if got := likelihoodRatio(tt.n, tt.effect, tt.sd); math.Abs(got/want-1) > 1e-6 {
			t.Errorf("%d blocks, effect %v, deviation %v: ratio %v, want %v", tt.n, tt.effect, tt.sd, got, want)
		}
	}
}

// By their own deviation, differences say the same in every unit, and what they say is
// the mean over effects and deviations, which is summed here.
func TestOwnRatio(t *testing.T) {
	for _, diffs := range [][]float64{
		{0.2, 0.25}, {0.01, 0.02, 0.015, -0.01}, {-0.2, -0.21, -0.19, -0.2, -0.22}, {0.16, 0.24, 0.26, 0.17, 0.26, 0.16, 0.26, 0.23},
	} {
		n := float64(len(diffs))
		var with, without float64
		for z := -8.0; z <= 8; z += 0.005 { // the deviation's logarithm, under its invariant prior
			sd := 0.05 * math.Exp(z)
			var none float64
			for _, d := range diffs {
				none -= d * d / (2 * sd * sd)
			}
			none = math.Exp(none - n*math.Log(sd))
			without += none
			with += none * likelihoodRatioOf(len(diffs), mean(diffs), sd, ownMixture*sd)
		}
		got := ownRatio(diffs)
		if math.Abs(got/(with/without)-1) > 1e-3 {
			t.Errorf("%v: ratio %v, want %v", diffs, got, with/without)
		}
		scaled := make([]float64, len(diffs))
		for i, d := range diffs {
			scaled[i] = -7 * d
		}
		if again := ownRatio(scaled); math.Abs(again/got-1) > 1e-9 {
			t.Errorf("%v: ratio %v, and %v seven times as large", diffs, got, again)
		}
	}
	for _, diffs := range [][]float64{nil, {0.5}, {0.1, 0.1}} {
		if got := ownRatio(diffs); got != 1 {
			t.Errorf("%v: ratio %v, want 1", diffs, got)
		}
	}
}

// Whatever is put on the signs, what is expected of it is what was put in.
func TestSignRatio(t *testing.T) {
	var sum float64
	for signs := range 1 << maxBlocks {
		diffs := make([]float64, maxBlocks)
		for i := range diffs {
			if diffs[i] = -0.01; signs>>i&1 == 1 {
				diffs[i] = 0.5
			}
		}
		sum += signRatio(diffs)
	}
	if got := sum / (1 << maxBlocks); math.Abs(got-1) > 1e-9 {
		t.Errorf("a stake of 1 becomes %v on average", got)
	}
}

// likelihoodRatioOf is likelihoodRatio with another mixture.
func likelihoodRatioOf(n int, effect, sd, mixture float64) float64 {
	v, prior := sd*sd/float64(n), mixture*mixture
	return math.Sqrt(v/(v+prior)) * math.Exp(effect*effect*prior/(2*v*(v+prior)))
}

// The ends of the interval are the effects to which the ratio is the confidence's; what a
// trial finds plain is plain there too, whatever the noise was before.
func TestInterval(t *testing.T) {
	for n := 1; n <= maxBlocks; n++ {
		half := interval(n, 0.04, 20)
		if got := likelihoodRatio(n, half, 0.04); math.Abs(got/20-1) > 1e-9 {
			t.Errorf("%d blocks: the ratio at the interval's end is %v, want 20", n, got)
		}
	}
	plain := []float64{0.16, 0.24, 0.26, 0.17, 0.26, 0.16, 0.21, 0.2}
	for _, sd := range []float64{0.02, 0.2, 1} {
		e := perfcore.Evidence{Diffs: plain}
		weigh(&e, sd)
		if e.Low <= 0 || e.Low >= e.Effect || e.High <= e.Effect || e.High > 0.5 {
			t.Errorf("noise of %v: %.3f to %.3f about %.3f", sd, e.Low, e.High, e.Effect)
		}
		negated, beyond := make([]float64, len(plain)), make([]float64, len(plain))
		for i, d := range plain {
			beyond[i], negated[i] = d-e.Low, e.High-d
		}
		for _, diffs := range [][]float64{beyond, negated} {
			// A sign may change there, and the ratio leap.
			if got := ratio(diffs, sd); got > 20.01 || ratio(shifted(diffs, 1e-9), sd) < 19.99 {
				t.Errorf("noise of %v: the ratio at an end is %v", sd, got)
			}
		}
	}
}

func shifted(diffs []float64, by float64) []float64 {
	out := make([]float64, len(diffs))
	for i, d := range diffs {
		out[i] = d + by
	}
	return out
}

func TestSignFlip(t *testing.T) {
	for _, tt := range []struct {
		diffs []float64
		want  float64
	}{
		{[]float64{1}, 1.0 / 2},
		{[]float64{1, 2, 3}, 1.0 / 8},
		{[]float64{-1, 2, 3}, 2.0 / 8},
		{[]float64{-1, -2}, 1},
		{[]float64{0, 0, 0}, 1},
		{[]float64{1, 1, 1, 1, 1, 1, 1, 1}, 1.0 / 256},
	} {
		if got := signFlip(tt.diffs); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.diffs, got, tt.want)
		}
	}
}

// All ways to flip signs, one after another, give the same.
func TestSignFlipTriesAll(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 13 {
		diffs := make([]float64, n)
		var sum float64
		for i := range diffs {
			diffs[i] = float64(r.IntN(9)-3) / 8 // many sums are equal, and exact
			sum += diffs[i]
		}
		count := 0
		for flips := range 1 << n {
			s := 0.0
			for i, d := range diffs {
				if flips>>i&1 == 1 {
					d = -d
				}
				s += d
			}
			if s >= sum {
				count++
			}
		}
		if got, want := signFlip(diffs), float64(count)/float64(int(1)<<n); got != want {
			t.Errorf("%v: %v, want %v", diffs, got, want)
		}
	}
}

func TestLook(t *testing.T) {
	const sd, least = 0.04, 0.015
	for _, tt := range []struct {
		name  string
		diffs []float64
		want  outlook
	}{
		{"one block proves nothing", []float64{0.5}, undecided},
		{"one block is hopeless", []float64{-0.13}, notBetter},
		{"one block is bad", []float64{-0.1}, undecided},
		{"two large ones", []float64{0.15, 0.2}, better},
		{"one of two is large", []float64{0.01, 0.4}, undecided},
		{"two worse ones", []float64{-0.08, -0.06}, notBetter},
		{"eight without effect", []float64{0.03, -0.02, 0.02, -0.01, 0.02, 0.01, 0, 0}, notBetter},
		{"eight below the minimum", []float64{0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01}, notBetter},
		{"eight above it", []float64{0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05}, better},
	} {
		if got := look(tt.diffs, sd, least, MinRatio); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	// Noise that has gone is no reason to doubt what is plain, and one large difference
	// is not plain.
	plain := []float64{0.16, 0.24, 0.26, 0.17, 0.26, 0.16}
	if got := look(plain, 0.2, least, MinRatio); got != better {
		t.Errorf("%v beside a deviation of 20 %%: %d, want %d", plain, got, better)
	}
	if got := look([]float64{0.02, 0.03, 0.9, 0.02, 0.04, 0.03}, 0.2, least, MinRatio); got == better {
		t.Error("one large difference decides")
	}
	burst := []float64{0.06, 0.08, 0.17, 0.1, 0.77, 0.09, 0.16, 0.03}
	if got := look(burst, 0.18, least, MinRatio); got != better {
		t.Errorf("eight of one sign, a burst among them: %d, want %d", got, better)
	}
	// What promises something at the last block has more, and what does not has none.
	promise := []float64{0.05, 0.05, 0.02, -0.03, 0.04, 0.06, 0.03, 0.01}
	if got, e := look(promise, 0.03, least, MinRatio), ratio(promise, 0.03); got != undecided || e < promising || e >= MinRatio {
		t.Errorf("eight that promise, at a ratio of %v: %d, want %d", e, got, undecided)
	}
	all := slices.Concat(promise, []float64{0.05, -0.02, 0.03, -0.03, 0.05, 0.02, 0.03, 0.01})
	if got, e := look(all, 0.035, least, MinRatio), ratio(all, 0.035); got != notBetter || e < promising || e >= MinRatio {
		t.Errorf("sixteen that only promise, at a ratio of %v: %d, want %d", e, got, notBetter)
	}
	// Certainty about a useless effect is no reason to promote it.
	if got := look([]float64{0.01, 0.01}, 1e-6, least, MinRatio); got != notBetter {
		t.Errorf("a certain effect below the minimum: %d, want %d", got, notBetter)
	}
}

// Whichever arm is called the incumbent, a difference is the same but for its
// sign, and what is common to all slices is not in it.
func TestMeasured(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		var s [4]seen
		for i := range s {
			s[i] = seen{Sample: perfcore.Sample{Cost: r.NormFloat64(), Work: 1 + r.Float64()}}
		}
		abba, baab := measured([4]int{0, 1, 1, 0}, s), measured([4]int{1, 0, 0, 1}, s)
		if abba.diff != -baab.diff || abba.work != -baab.work || abba.lag != -baab.lag {
			t.Errorf("%+v and %+v are not opposite", abba, baab)
		}
		want := (s[0].Cost + s[3].Cost - s[1].Cost - s[2].Cost) / 2
		if math.Abs(abba.diff-want) > 1e-12 {
			t.Errorf("diff %v, want %v", abba.diff, want)
		}
		trend := s
		for i := range trend {
			trend[i].Cost += 5 + 0.3*float64(i)
		}
		if got := measured([4]int{0, 1, 1, 0}, trend); math.Abs(got.diff-abba.diff) > 1e-12 {
			t.Errorf("a trend moves the difference from %v to %v", abba.diff, got.diff)
		}
	}
	// A first slice behind the switch that still has half of the other arm's
	// cost shows as carry-over of the effect's sign, in both orders.
	cost := func(costs ...float64) (s [4]seen) {
		for i, c := range costs {
			s[i] = seen{Sample: perfcore.Sample{Cost: c, Work: 1}}
		}
		return s
	}
	if got := measured([4]int{0, 1, 1, 0}, cost(1, 0.5, 0, 1)); got.lag != 0.5 {
		t.Errorf("lag %v in ABBA, want 0.5", got.lag)
	}
	if got := measured([4]int{1, 0, 0, 1}, cost(0, 0.5, 1, 0)); got.lag != 0.5 {
		t.Errorf("lag %v in BAAB, want 0.5", got.lag)
	}
}

// The pooled deviation is right on the whole, larger while little is known, and
// follows a change.
func TestSpread(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var s spread
	if got := s.deviation(); got != 1 {
		t.Errorf("knowing nothing, the deviation is %v, want 1", got)
	}
	draw := func(sd float64) []float64 {
		diffs := make([]float64, 5)
		for i := range diffs {
			diffs[i] = 0.3 + sd*r.NormFloat64()
		}
		return diffs
	}
	s.add([]float64{1})
	if s.freedom != 0 {
		t.Errorf("one difference gave %v degrees of freedom", s.freedom)
	}
	for _, sd := range []float64{0.05, 0.2} {
		for range 60 {
			s.add(draw(sd))
		}
		if got := s.deviation(); math.Abs(got/sd-1) > 0.25 {
			t.Errorf("deviation %v, want about %v", got, sd)
		}
	}
	if s.freedom > maxFreedom {
		t.Errorf("%v degrees of freedom, want at most %v", s.freedom, maxFreedom)
	}
	if other := s.elsewhere(); other.freedom != firstFreedom || math.Abs(other.sum/other.freedom-s.sum/s.freedom) > 1e-12 {
		t.Errorf("elsewhere it is %+v, here %+v", other, s)
	}
	if d := s.doubted(); math.Abs(d.sum/d.freedom-4*s.sum/s.freedom) > 1e-12 || d.freedom != doubtFreedom {
		t.Errorf("in doubt it is %+v, before %+v", d, s)
	}
	few := spread{}
	few.addZero([]float64{0.1, -0.1})
	if got := few.deviation(); got != 0.2 {
		t.Errorf("deviation of two %v, want twice 0.1", got)
	}
}

func TestBudget(t *testing.T) {
	b := budget{share: 0.02}
	if !b.allows() {
		t.Error("a new program may not spend")
	}
	b.charge(4.9)
	b.charge(-100) // is not given back
	if !b.allows() {
		t.Error("it may spend 2 % of 250 slices")
	}
	b.charge(0.2)
	if b.allows() {
		t.Error("it may spend more than 2 % of 250 slices")
	}
	for range 6 {
		b.slice()
	}
	if !b.allows() {
		t.Error("six slices earn nothing")
	}
	b.charge(1)
	b.gain = 0.1
	for range 9 {
		b.slice()
	}
	if !b.allows() {
		t.Error("what was saved may not be spent")
	}
	if got, want := b.regret(), 6.1/15; math.Abs(got-want) > 1e-12 {
		t.Errorf("regret %v, want %v", got, want)
	}
	// What is saved and not spent is forfeited, and no debt is made of it.
	for range 50 {
		b.slice()
	}
	b.charge(2)
	b.forfeit()
	if b.gain != 0 || !b.allows() || b.granted()-b.spent > 1e-9 {
		t.Errorf("behind the forfeit %v is spent of %v, and a slice saves %v", b.spent, b.granted(), b.gain)
	}
	b = budget{share: 0.02, gain: 1, saved: 7}
	b.forfeit()
	if got, want := b.granted(), 5.0; math.Abs(got-want) > 1e-12 {
		t.Errorf("with nothing spent %v are granted behind the forfeit, want %v", got, want)
	}
}

func TestShift(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var s shift
	alarms, noise := 0, 0.0
	step := func(level float64) bool {
		noise = 0.6*noise + 0.8*0.05*r.NormFloat64()
		return s.watch(level+noise, 0.05)
	}
	for range 20_000 {
		if step(0) {
			alarms++
		}
	}
	if alarms > 20 {
		t.Errorf("%d alarms in 20000 slices without a change", alarms)
	}
	s = shift{}
	for i := range 2000 { // four times the noise
		if s.watch(0.2*r.NormFloat64(), 0.2) {
			t.Errorf("noise of 20 %% is a change of the world in slice %d", i)
		}
	}
	s = shift{}
	for range 200 {
		step(0)
	}
	for _, level := range []float64{0.3, 0} {
		found := -1
		for i := range 40 {
			if step(level) {
				found = i
				break
			}
		}
		if found < 0 || found > 15 {
			t.Errorf("a change of 30 %% was seen after %d slices, want 15", found)
		}
		for range 200 {
			step(level)
		}
	}
}

func TestCaps(t *testing.T) {
	c := newCaps([]int{5, 5}, nil)
	first := func(int) int { return 0 }
	if low, high := c.bounds(0, 11, 0); low != 0 || high != 10 {
		t.Errorf("at first from %d to %d, want all", low, high)
	}
	if got := c.blame([]int{5, 5}, []int{5, 5}, 0, make([]float64, 2), first); got != -1 {
		t.Errorf("knob %d is to blame, and none moved", got)
	}
	c.visited([]int{4, 9})
	// Knob 1 has been at 8 before, knob 0 never at 7.
	if got := c.blame([]int{5, 5}, []int{7, 8}, 100, make([]float64, 2), first); got != 0 {
		t.Fatalf("knob %d is to blame, want 0", got)
	}
	if low, high := c.bounds(0, 11, 100); low != 0 || high != 6 {
		t.Errorf("from %d to %d, want 0 to 6", low, high)
	}
	if _, high := c.bounds(0, 11, 100+capSlices-1); high != 6 {
		t.Errorf("up to %d before the time is over, want 6", high)
	}
	if _, high := c.bounds(0, 11, 100+capSlices); high != 7 {
		t.Errorf("up to %d when the time is over, want 7", high)
	}
	c.blame([]int{6, 5}, []int{7, 5}, 1000, make([]float64, 2), first)
	if _, high := c.bounds(0, 11, 1000+2*capSlices-1); high != 6 {
		t.Errorf("up to %d, want 6 for twice as long", high)
	}
	c.doubt(1001)
	if _, high := c.bounds(0, 11, 1001); high != 6 {
		t.Errorf("up to %d: a limit struck twice is in doubt", high)
	}
	c.blame([]int{5, 5}, []int{5, 1}, 1000, make([]float64, 2), first)
	if low, _ := c.bounds(1, 11, 1000); low != 2 {
		t.Errorf("from %d, want 2", low)
	}
	c.doubt(1001)
	if low, _ := c.bounds(1, 11, 1001); low != 1 {
		t.Errorf("from %d: a limit struck once is not in doubt", low)
	}
}

// Where each move alone is known to be safe, the one that raises the cost most is to blame for
// all of them, and none that lowers it; what is not known to be safe is suspected first.
func TestBlameByWhatIsKnown(t *testing.T) {
	last := func(n int) int { return n - 1 }
	at := []int{5, 5, 5}
	for _, tt := range []struct {
		name   string
		to     []int
		rises  []float64
		blamed int
	}{
		{"one rises", []int{6, 4, 6}, []float64{0.2, -0.3, 0.05}, 0},
		{"two rise alike", []int{6, 4, 6}, []float64{0.2, -0.3, 0.15}, 2},
		{"nothing is known", []int{6, 4, 6}, []float64{0, 0, 0}, 2},
		{"all are known to fall", []int{6, 4, 6}, []float64{-0.1, -0.3, -0.2}, 2},
		{"one goes farther than is known", []int{6, 2, 6}, []float64{0.2, -0.3, 0.05}, 1},
	} {
		c := newCaps(at, nil)
		c.visited([]int{4, 4, 4})
		c.visited([]int{6, 6, 6})
		if got := c.blame(at, tt.to, 0, tt.rises, last); got != tt.blamed {
			t.Errorf("%s: knob %d is to blame, want %d", tt.name, got, tt.blamed)
		}
	}
}

// Whatever it is told, the engine proposes and probes within the bounds.
func TestHybridStaysWithin(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	verdicts := []perfcore.Verdict{perfcore.Promoted, perfcore.Rejected, perfcore.Aborted, perfcore.Inconclusive}
	for range 200 {
		n := 1 + r.IntN(6)
		h := NewHybrid(r)
		for range 20 {
			s := Space{At: make([]int, n), Low: make([]int, n), High: make([]int, n)}
			for i := range n {
				s.At[i] = r.IntN(11)
				s.Low[i], s.High[i] = r.IntN(s.At[i]+1), s.At[i]+r.IntN(11-s.At[i])
			}
			within := func(x []int) {
				for i, l := range x {
					if l < s.Low[i] || l > s.High[i] {
						t.Fatalf("%v is not within %+v", x, s)
					}
				}
			}
			y, err := h.Propose(t.Context(), s, func(plus, minus []int) (float64, error) {
				within(plus)
				within(minus)
				return r.NormFloat64(), nil
			})
			if err != nil {
				t.Fatal(err)
			}
			within(y)
			h.Learn(verdicts[r.IntN(len(verdicts))])
			if r.IntN(10) == 0 {
				h.Forget()
			}
		}
	}
}

// What is predicted of a move is what the slopes say of a bowl: of its sign, and nothing of
// knobs that were never perturbed.
func TestPredict(t *testing.T) {
	h := &turns{ordered: &hybrid{rand: rand.New(rand.NewPCG(1, 2)), radius: firstRadius}}
	s := Space{At: []int{5, 5, 5}, Low: []int{0, 0, 5}, High: []int{10, 10, 5}, Arms: make([][]int, 3)}
	cost := func(x []int) float64 { return 0.02*float64(x[0]) - 0.05*float64(x[1]) }
	y, err := h.Propose(t.Context(), s, func(plus, minus []int) (float64, error) { return cost(plus) - cost(minus), nil })
	if err != nil {
		t.Fatal(err)
	}
	falls, by := h.predict(s.At, y)
	if want := cost(s.At) - cost(y); want <= 0 || math.Abs(falls-want) > 0.6*want || by == 0 {
		t.Errorf("from %v to %v: falls by %v of %v pairs, want %v", s.At, y, falls, by, want)
	}
	if got := predict(h, s.At, y); !strings.HasPrefix(got, "cost -") {
		t.Errorf("%q", got)
	}
	if got := predict(h, s.At, []int{5, 5, 6}); got != "" {
		t.Errorf("of a knob that was never perturbed: %q", got)
	}
}
