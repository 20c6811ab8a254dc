package engine

import (
	"math"
	"slices"

	"github.com/outrider-project/outrider/perfcore"
)

// The sequential test is a mixture likelihood ratio (Robbins 1970): effects
// are taken to be normal around 0 with deviation mixture, and the ratio to no
// effect may be looked at after every block without the error growing. Of
// useless changes 1 in 10 would pass MinRatio if nobody ever stopped, half of
// them in the wrong direction; the block limit and the minimum effect leave
// 1 to 2 in 100.
const (
	mixture = 0.05
	// MinRatio is the likelihood ratio that a promotion needs.
	MinRatio = 10
	// AimedRatio is MinRatio where a target is in the cost, which is noisier then than
	// any noise that was learned without.
	AimedRatio = 30
	maxBlocks  = 8
	// mostBlocks is the limit where the ratio is promising at least.
	mostBlocks = 16
	promising  = 4
	// ownShare is how much of the ratio is that of differences which are held against
	// no deviation but their own, and ownMixture the deviation of effects in it, in
	// deviations of a difference.
	ownShare   = 0.2
	ownMixture = 2
	// signShare is how much of it is that of their signs, on each of which signBet is
	// put: eight of one sign are enough.
	signShare = 0.1
	signBet   = 0.9
	// confidence is that of Evidence.Low and High.
	confidence = 0.95
	// futile is the probability of the minimum effect under which a trial is
	// given up.
	futile = 0.20
	// hopeless is by how many standard deviations one block may be worse.
	hopeless = 3
)

// spread pools the variance of a block's difference over trials. Its memory is
// bounded, so that it follows a change of the noise.
type spread struct{ sum, freedom float64 }

const (
	maxFreedom = 60
	// firstFreedom is that of a calibration.
	firstFreedom = maxBlocks
)

// add takes the deviations of one trial's differences from their mean.
func (s *spread) add(diffs []float64) {
	if len(diffs) < 2 {
		return
	}
	m := mean(diffs)
	for _, d := range diffs {
		s.sum += (d - m) * (d - m)
	}
	s.freedom += float64(len(diffs) - 1)
	s.forget(maxFreedom)
}

// addZero takes the deviations of differences whose mean is known to be 0.
func (s *spread) addZero(diffs []float64) {
	for _, d := range diffs {
		s.sum += d * d
	}
	s.freedom += float64(len(diffs))
	s.forget(maxFreedom)
}

func (s *spread) forget(most float64) {
	if s.freedom > most {
		s.sum *= most / s.freedom
		s.freedom = most
	}
}

// elsewhere returns what is thought of the noise where nothing was measured yet: the
// same, with so little weight that the first trials say more.
func (s spread) elsewhere() spread {
	s.forget(firstFreedom)
	return s
}

// doubtFreedom is that of noise that may be more by now.
const doubtFreedom = 2

// doubted returns what is thought of the noise where it may be more by now, and nobody
// knows by how much: twice the deviation, with so little weight that the first trial says more.
func (s spread) doubted() spread {
	s.sum *= 4
	s.forget(doubtFreedom)
	return s
}

// deviation returns the standard deviation, larger by as much as the tail of
// Student's t lies outside of the normal one's at one per cent: few differences
// must not look like certainty. It is never 0.
func (s *spread) deviation() float64 {
	if s.freedom == 0 {
		return 1
	}
	return max(math.Sqrt(s.sum/s.freedom)*(1+2/s.freedom), 1e-6)
}

// within returns the deviation to judge diffs by: that of earlier trials, or
// three quarters of their own where that is more, for few earlier trials have
// seen the worst of the noise.
func (s *spread) within(diffs []float64) float64 {
	var own spread
	own.add(diffs)
	if own.freedom < 1 {
		return s.deviation()
	}
	return max(s.deviation(), 0.75*math.Sqrt(own.sum/own.freedom))
}

// An outlook is what the differences of a trial so far say.
type outlook uint8

const (
	undecided outlook = iota
	better
	notBetter
)

// look says what diffs say, when one block has deviation sd and only effects of
// minEffect count, and a ratio of least is enough. No single block decides: what remains without the best one
// must be an effect too, for noise has tails that a deviation does not tell of.
func look(diffs []float64, sd, minEffect, least float64) outlook {
	n := len(diffs)
	effect := mean(diffs)
	if n < 2 {
		if effect < -hopeless*sd {
			return notBetter
		}
		return undecided
	}
	rest := (effect*float64(n) - slices.Max(diffs)) / float64(n-1)
	evidence := ratio(diffs, sd)
	if rest >= minEffect && evidence >= least {
		return better
	}
	if n >= maxBlocks && n < mostBlocks && rest >= minEffect && evidence >= promising {
		return undecided
	}
	v, prior := sd*sd/float64(n), mixture*mixture
	expected := effect * prior / (prior + v)
	uncertain := math.Sqrt(v * prior / (prior + v))
	if n >= maxBlocks || 1-normal((minEffect-expected)/uncertain) < futile {
		return notBetter
	}
	return undecided
}

func likelihoodRatio(n int, effect, sd float64) float64 {
	v, prior := sd*sd/float64(n), mixture*mixture
	return math.Sqrt(v/(v+prior)) * math.Exp(effect*effect*prior/(2*v*(v+prior)))
}

// ratio is the mean of three likelihood ratios to no effect: by the deviation sd of earlier
// trials, by that of diffs alone, and by their signs. It is nearly one itself: sd is an
// estimate, and noise need not be normal, so that how often it errs is known by simulation
// (TestErrorRates). The noise of earlier trials may have been that of a neighbour who has
// gone since, and one burst may be in diffs: what is plain then need not wait until that is
// forgotten.
func ratio(diffs []float64, sd float64) float64 {
	return (1-ownShare-signShare)*likelihoodRatio(len(diffs), mean(diffs), sd) + ownShare*ownRatio(diffs) + signShare*signRatio(diffs)
}

// signRatio is what a stake has become of which a share of signBet was put, block by
// block, on the candidate's being better (Shafer 2021). Where the order within a block was
// drawn by lot and there is no effect, each sign is as likely, whatever the noise is.
func signRatio(diffs []float64) float64 {
	stake := 1.0
	for _, d := range diffs {
		if d > 0 {
			stake *= 1 + signBet
		} else {
			stake *= 1 - signBet
		}
	}
	return stake
}

// ownRatio is the likelihood ratio of diffs where nothing is known of their deviation,
// by its invariant prior (the t-test of Lai 1976 and Pérez-Ortiz et al. 2022, which may be
// looked at after every block, too). Of fewer than four it says little.
func ownRatio(diffs []float64) float64 {
	n := float64(len(diffs))
	if n < 2 {
		return 1
	}
	m, squares := mean(diffs), 0.0
	for _, d := range diffs {
		squares += (d - m) * (d - m)
	}
	if squares == 0 {
		return 1 // as if nothing were known: differences are never the same
	}
	wide := 1 + n*ownMixture*ownMixture
	t := n * m * m / squares // the square of Student's t, by its degrees of freedom
	return math.Pow((1+t)/(1+t/wide), n/2) / math.Sqrt(wide)
}

// interval returns half the width of the interval of effects to which the likelihood
// ratio by the deviation sd is less than most.
func interval(n int, sd, most float64) float64 {
	v, prior := sd*sd/float64(n), mixture*mixture
	return math.Sqrt(2 * v * (v + prior) / prior * math.Log(math.Sqrt((v+prior)/v)*most))
}

// bound returns the least effect that diffs do not exclude, whenever the trial is
// stopped: that to which their ratio is the confidence's.
func bound(diffs []float64, sd float64) float64 {
	const most = 1 / (1 - confidence)
	beyond := make([]float64, len(diffs))
	within := mean(diffs)
	out := within - interval(len(diffs), sd, most/(1-ownShare-signShare))
	for range 50 {
		effect := (out + within) / 2
		for i, d := range diffs {
			beyond[i] = d - effect
		}
		if ratio(beyond, sd) < most {
			within = effect
		} else {
			out = effect
		}
	}
	return within
}

// signFlip returns how large a share of all ways to flip the signs of diffs
// gives a mean at least as large. It needs no model of the noise, for the order
// within each block was drawn by lot. At most mostBlocks are given. Each way to flip
// the first half is looked up among the sorted ways to flip the second.
func signFlip(diffs []float64) float64 {
	var sum float64
	for _, d := range diffs {
		sum += d
	}
	half := len(diffs) / 2
	first, second := flipped(diffs[:half]), flipped(diffs[half:])
	slices.Sort(second)
	var count int
	for _, s := range first {
		least, _ := slices.BinarySearch(second, sum-1e-12-s)
		count += len(second) - least
	}
	return float64(count) / float64(int(1)<<len(diffs))
}

// flipped returns the sums of diffs by all ways to flip their signs.
func flipped(diffs []float64) []float64 {
	sums := make([]float64, 1, 1<<len(diffs))
	for _, d := range diffs {
		for i, s := range sums[:len(sums):len(sums)] {
			sums[i] = s + d
			sums = append(sums, s-d)
		}
	}
	return sums
}

// weigh fills in what follows from e.Diffs.
func weigh(e *perfcore.Evidence, sd float64) {
	n := len(e.Diffs)
	e.Noise = sd
	if n == 0 {
		return
	}
	e.Effect = mean(e.Diffs)
	negated := make([]float64, n)
	for i, d := range e.Diffs {
		negated[i] = -d
	}
	e.Low, e.High = bound(e.Diffs, sd), -bound(negated, sd)
	e.Ratio = ratio(e.Diffs, sd)
	e.SignFlip = signFlip(e.Diffs)
}

func mean(x []float64) float64 {
	var sum float64
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// normal returns the standard normal distribution's share below z.
func normal(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }
