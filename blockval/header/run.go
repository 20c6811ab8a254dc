package header

import (
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// A Run checks the headers of one chain in the order of their heights. It gives
// the verdicts of Params.Check, but remembers what the rules need of the headers
// below instead of reading them, is handed each hash instead of computing two,
// and can begin in the middle of a chain.
//
// It is a value: a copy goes on from where the original is, independently. It
// is not safe for concurrent use.
type Run struct {
	params    *Params
	interval  uint32 // the blocks in a period
	limitBits uint32 // the bits of the highest target
	height    uint32 // of the next header
	prev      chainhash.Hash
	last      Header // the one that prev is the hash of
	known     bool   // whether there is a last header
	work      Work

	// What NextBits would find below. first is the first header of the period
	// that last is in, and real the bits that a network with AllowMinDifficulty
	// finds when it walks down from last: 0 if they are below the run's start.
	first      Header
	firstKnown bool
	real       uint32

	times medianTimes
	// targets are those of the last two different bits. Test networks alternate
	// between two.
	targets [2]decodedBits
}

// decodedBits is what the bits of a header stand for. The zero value is right
// for 0, which is no target.
type decodedBits struct {
	bits   uint32
	legal  bool // a target that the network allows
	target Uint256
	work   Work
}

// Unchecked is a set of rules that could not be checked, because the headers
// that they need are below the first that a Run was given. The zero value is
// none.
type Unchecked uint8

// These are the members of an Unchecked.
const (
	// UncheckedPrev: BadPrevBlock and TimeWarp need the header before.
	UncheckedPrev Unchecked = 1 << iota
	// UncheckedBits: BadDiffBits needs the header before; the first block of a
	// period, all of the period before; on a network with AllowMinDifficulty a
	// block that did not use that exception.
	UncheckedBits
	// UncheckedTime: TimeTooOld needs eleven headers.
	UncheckedTime
)

// NewRun returns a Run whose first header is that at height. Above 0 it knows
// nothing of the chain below: see Check and Trust.
func (p *Params) NewRun(height uint32) Run {
	return Run{params: p, interval: p.Interval(), limitBits: p.PowLimit.Compact(), height: height}
}

// Height returns the height of the next header.
func (r *Run) Height() uint32 { return r.height }

// Tip returns the last header and its hash; false before the first one.
func (r *Run) Tip() (Header, chainhash.Hash, bool) { return r.last, r.prev, r.known }

// Work returns the sum of the work of all headers so far: the chain work of the
// last one if the run began at height 0.
func (r *Run) Work() Work { return r.work }

// MedianTimePast returns the median time past of the last header, and whether
// the run reaches far enough back to know it.
func (r *Run) MedianTimePast() (uint32, bool) {
	if !r.timesKnown() {
		return 0, false
	}
	return r.times.median(), true
}

// Check checks that h, whose hash is given, is valid as the next header, and if
// it is makes it the last one. Rules, their order and errors are those of
// Params.Check, but there are no other errors: a rule that needs headers below
// the run's first one is left out, and reported. After an error the run is
// unchanged.
//
// hash must be h's: it is compared, not computed.
func (r *Run) Check(h *Header, hash *chainhash.Hash, now time.Time) (Unchecked, error) {
	p := r.params
	d := r.decode(h.Bits())
	if !d.legal || hashValue(*hash).Cmp(d.target) > 0 {
		// The error says which, and from the header itself.
		if err := p.CheckProofOfWork(h); err != nil {
			return 0, err
		}
		return 0, broken(HighHash, "hash %s is not that of the header", *hash)
	}
	if r.height == 0 {
		if *h != p.Genesis {
			return 0, p.CheckContext(h, 0, nil, now)
		}
		r.take(h, hash, d)
		return 0, nil
	}

	var left Unchecked
	if !r.known {
		left |= UncheckedPrev
	} else if h.Prev() != r.prev {
		return left, notAfter(h, r.height-1, r.prev)
	}
	if want, known := r.nextBits(h); !known {
		left |= UncheckedBits
	} else if h.Bits() != want {
		return left, notBits(h, want)
	}
	if !r.timesKnown() {
		left |= UncheckedTime
	} else if median := r.times.median(); h.Time() <= median {
		return left, notAfterMedian(h, median)
	}
	if r.known && p.warps(h, r.height, &r.last) {
		return left, warped(h, &r.last)
	}
	if err := p.checkClockAndVersion(h, r.height, now); err != nil {
		return left, err
	}
	r.take(h, hash, d)
	return left, nil
}

// Trust makes h, whose hash is given, the last header without checking anything.
func (r *Run) Trust(h *Header, hash *chainhash.Hash) { r.take(h, hash, r.decode(h.Bits())) }

// take makes h the last header.
func (r *Run) take(h *Header, hash *chainhash.Hash, d *decodedBits) {
	switch {
	case r.height%r.interval == 0:
		r.first, r.firstKnown, r.real = *h, true, d.bits
	case d.bits != r.limitBits:
		r.real = d.bits
	}
	r.last, r.prev, r.known = *h, *hash, true
	r.times.add(h.Time())
	r.work = r.work.Add(d.work)
	r.height++
}

// nextBits is Params.NextBits for the header h; false if the run does not reach
// far enough back.
func (r *Run) nextBits(h *Header) (uint32, bool) {
	p := r.params
	switch {
	case p.NoRetargeting:
		return p.Genesis.Bits(), true
	case !r.known:
		return 0, false
	case r.height%r.interval == 0:
		if !r.firstKnown {
			return 0, false
		}
		return p.nextPeriodBits(&r.first, &r.last), true
	case !p.AllowMinDifficulty:
		return r.last.Bits(), true
	case p.mayUseMinDifficulty(h.Time(), &r.last):
		return r.limitBits, true
	}
	return r.real, r.real != 0
}

// decode returns what bits stand for. The result is valid until the next call.
func (r *Run) decode(bits uint32) *decodedBits {
	if r.targets[0].bits == bits {
		return &r.targets[0]
	}
	r.targets[0], r.targets[1] = r.targets[1], r.targets[0]
	d := &r.targets[0]
	if d.bits != bits {
		*d = decodedBits{bits: bits, work: BlockWork(bits)}
		d.target, d.legal = r.params.target(bits)
	}
	return d
}

// timesKnown reports whether the run has all the times that a median time past
// spans.
func (r *Run) timesKnown() bool { return uint32(r.times.n) == min(r.height, medianTimeSpan) }

// medianTimes are the times of the last blocks of a chain, up to as many as a
// median time past spans.
type medianTimes struct {
	n      int
	oldest int                    // the index in recent, once n is full
	recent [medianTimeSpan]uint32 // in the order of the blocks, from oldest on
	sorted [medianTimeSpan]uint32 // the same n, ascending
}

// median returns the median time past, as MedianTimePast does. There must be at
// least one time.
func (m *medianTimes) median() uint32 { return m.sorted[m.n/2] }

// add adds the time of the next block, in place of the oldest one if there are
// enough.
func (m *medianTimes) add(time uint32) {
	at := m.n
	if m.n < medianTimeSpan {
		m.recent[m.n] = time
		m.n++
	} else {
		gone := m.recent[m.oldest]
		m.recent[m.oldest] = time
		if m.oldest++; m.oldest == medianTimeSpan {
			m.oldest = 0
		}
		// The greater times move into the gap: mostly the oldest is the least.
		for at = 0; m.sorted[at] != gone; at++ {
		}
		for ; at+1 < medianTimeSpan; at++ {
			m.sorted[at] = m.sorted[at+1]
		}
	}
	for ; at > 0 && m.sorted[at-1] > time; at-- {
		m.sorted[at] = m.sorted[at-1]
	}
	m.sorted[at] = time
}
