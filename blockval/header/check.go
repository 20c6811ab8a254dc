package header

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// These are limits that hold on every network, in Bitcoin Core's names.
const (
	// medianTimeSpan is how many blocks a median time past spans.
	medianTimeSpan = 11
	// MaxFutureBlockTime is how many seconds a block's time may be ahead of
	// the clock.
	MaxFutureBlockTime = 2 * 60 * 60
	// maxTimewarp is how many seconds the first block of a period may be
	// before the last of the one before (BIP94).
	maxTimewarp = 600
)

// Check checks that h is valid as the block at height on top of a: its proof of
// work, then its context. It is CheckProofOfWork followed by CheckContext, the
// order in which Bitcoin Core accepts a header, and returns what they return.
func (p *Params) Check(h *Header, height uint32, a Ancestors, now time.Time) error {
	if err := p.CheckProofOfWork(h); err != nil {
		return err
	}
	return p.CheckContext(h, height, a, now)
}

// CheckContext checks everything about h as the block at height that needs the
// headers below it or the clock, in this order: BadPrevBlock, BadDiffBits,
// TimeTooOld, TimeWarp, TimeTooNew, BadVersion. From the second on this is
// ContextualCheckBlockHeader in Bitcoin Core. BadPrevBlock here means that h
// does not name the hash of the header at height-1, or at height 0, that h is
// not the network's genesis block.
//
// The headers below height are trusted to be valid. now is the time that a
// block may be at most two hours ahead of.
//
// The first broken rule is a *RuleError. Any other error is that of an ancestor
// that could not be read, and says nothing about h.
func (p *Params) CheckContext(h *Header, height uint32, a Ancestors, now time.Time) error {
	if height == 0 {
		if *h != p.Genesis {
			return broken(BadPrevBlock, "%s is not the genesis block of network %s", h.Hash(), p.Name)
		}
		return nil
	}
	prev, err := ancestor(a, height-1)
	if err != nil {
		return err
	}
	if hash := prev.Hash(); h.Prev() != hash {
		return notAfter(h, height-1, hash)
	}
	want, err := p.nextBits(a, height, h.Time(), prev)
	if err != nil {
		return err
	}
	if h.Bits() != want {
		return notBits(h, want)
	}
	median, err := MedianTimePast(a, height-1)
	if err != nil {
		return err
	}
	if h.Time() <= median {
		return notAfterMedian(h, median)
	}
	if p.warps(h, height, &prev) {
		return warped(h, &prev)
	}
	return p.checkClockAndVersion(h, height, now)
}

// warps reports whether h, as the block at height on top of prev, breaks
// TimeWarp.
func (p *Params) warps(h *Header, height uint32, prev *Header) bool {
	return p.BIP94 && height%p.Interval() == 0 && int64(h.Time()) < int64(prev.Time())-maxTimewarp
}

// checkClockAndVersion checks TimeTooNew and BadVersion of h as the block at
// height.
func (p *Params) checkClockAndVersion(h *Header, height uint32, now time.Time) error {
	if latest := now.Unix() + MaxFutureBlockTime; int64(h.Time()) > latest {
		return broken(TimeTooNew, "time %d is after %d, two hours from now", h.Time(), latest)
	}
	if least := p.MinVersion(height); h.Version() < least {
		return broken(BadVersion, "version %d (%08x), want at least %d", h.Version(), uint32(h.Version()), least)
	}
	return nil
}

// notAfter is the error of a header that does not follow the one with this hash.
func notAfter(h *Header, height uint32, hash chainhash.Hash) error {
	return broken(BadPrevBlock, "follows %s, the block at height %d is %s", h.Prev(), height, hash)
}

// notBits is the error of a header that does not have the bits that it must.
func notBits(h *Header, want uint32) error {
	return broken(BadDiffBits, "bits %08x, want %08x", h.Bits(), want)
}

// notAfterMedian is the error of a header that is not later than the median.
func notAfterMedian(h *Header, median uint32) error {
	return broken(TimeTooOld, "time %d is not after the median time past %d", h.Time(), median)
}

// warped is the error of a header that warps.
func warped(h, prev *Header) error {
	return broken(TimeWarp, "time %d is more than %d s before its predecessor's %d", h.Time(), maxTimewarp, prev.Time())
}

// MedianTimePast returns the median time past of the block at height: the
// median of the times of that block and the up to ten below it, eleven in all,
// as CBlockIndex::GetMedianTimePast in Bitcoin Core. Of an even number, below
// height 10, it is the greater of the two in the middle. The block at height+1
// must be later than this (BIP113 has transactions' lock times compared with it
// too). The error is the ancestors' own.
func MedianTimePast(a Ancestors, height uint32) (uint32, error) {
	var times [medianTimeSpan]uint32
	n := min(height, medianTimeSpan-1) + 1
	for i := range n {
		h, err := ancestor(a, height-i)
		if err != nil {
			return 0, err
		}
		times[i] = h.Time()
	}
	slices.Sort(times[:n])
	return times[n/2], nil
}

// MinVersion returns the lowest version that the block at height may have.
// Below BIP34 every version is allowed, negative ones too.
func (p *Params) MinVersion(height uint32) int32 {
	switch {
	case height >= p.BIP65Height:
		return 4
	case height >= p.BIP66Height:
		return 3
	case height >= p.BIP34Height:
		return 2
	}
	return -1 << 31
}

// ancestor reads the header at height. Its error never looks like a broken
// rule, even if the ancestors' own does.
func ancestor(a Ancestors, height uint32) (Header, error) {
	h, err := a.At(height)
	if err == nil {
		return h, nil
	}
	// A *RuleError unwraps to a Rule.
	if _, ok := errors.AsType[Rule](err); ok {
		err = errors.New(err.Error())
	}
	return Header{}, fmt.Errorf("read the header at height %d: %w", height, err)
}
