package header

// CheckProofOfWork checks that the bits of h encode a target that the network
// allows and that the hash of h is not above it, as CheckProofOfWork in Bitcoin
// Core. The only error is a *RuleError with HighHash.
func (p *Params) CheckProofOfWork(h *Header) error {
	target, legal := p.target(h.Bits())
	if !legal {
		return broken(HighHash, "bits %08x are no target of network %s", h.Bits(), p.Name)
	}
	if hash := h.Hash(); hashValue(hash).Cmp(target) > 0 {
		return broken(HighHash, "hash %s is above target %s", hash, target)
	}
	return nil
}

// target returns the target that bits encode, and whether the network allows it.
func (p *Params) target(bits uint32) (target Uint256, legal bool) {
	target, negative, overflow := FromCompact(bits)
	return target, !negative && !overflow && target != (Uint256{}) && target.Cmp(p.PowLimit) <= 0
}

// NextBits returns the bits that the chain demands of the block at height with
// the given time, as GetNextWorkRequired in Bitcoin Core. It reads the header
// at height-1, at a retarget also the first one of the period that ends there,
// and on a network with AllowMinDifficulty as many as it takes to find one that
// did not use the exception, down to the period's first. Height 0 is the
// genesis block's. The error is the ancestors' own.
func (p *Params) NextBits(a Ancestors, height, time uint32) (uint32, error) {
	if height == 0 {
		return p.Genesis.Bits(), nil
	}
	prev, err := ancestor(a, height-1)
	if err != nil {
		return 0, err
	}
	return p.nextBits(a, height, time, prev)
}

// nextBits is NextBits above the genesis block; prev is the header at height-1.
func (p *Params) nextBits(a Ancestors, height, time uint32, prev Header) (uint32, error) {
	if p.NoRetargeting {
		return p.Genesis.Bits(), nil
	}
	interval := p.Interval()
	if height%interval == 0 {
		first, err := ancestor(a, height-interval)
		if err != nil {
			return 0, err
		}
		return p.nextPeriodBits(&first, &prev), nil
	}
	if !p.AllowMinDifficulty {
		return prev.Bits(), nil
	}
	limit := p.PowLimit.Compact()
	if p.mayUseMinDifficulty(time, &prev) {
		return limit, nil
	}
	for at := height - 1; at%interval != 0 && prev.Bits() == limit; {
		var err error
		at--
		if prev, err = ancestor(a, at); err != nil {
			return 0, err
		}
	}
	return prev.Bits(), nil
}

// mayUseMinDifficulty reports whether a block with this time on top of prev has
// PowLimit as its target, on a network with AllowMinDifficulty and not at the
// start of a period.
func (p *Params) mayUseMinDifficulty(time uint32, prev *Header) bool {
	return int64(time) > int64(prev.Time())+2*p.TargetSpacing
}

// nextPeriodBits returns the bits of the period after the one whose first and
// last headers are given.
func (p *Params) nextPeriodBits(first, last *Header) uint32 {
	base := last.Bits()
	if p.BIP94 {
		// The last block may have used the minimum difficulty exception; the
		// first of a period cannot.
		base = first.Bits()
	}
	return p.retarget(base, int64(last.Time())-int64(first.Time()))
}

// retarget returns the bits of a period after one with the given bits whose
// first and last block are actual seconds apart, as CalculateNextWorkRequired
// in Bitcoin Core.
//
// Core multiplies modulo 2^256, btcd without a bound. On Core's networks the
// product of a legal target never reaches 2^256, so that both are the same;
// on simnet it does, and btcd's way is that network's rule.
func (p *Params) retarget(compact uint32, actual int64) uint32 {
	actual = min(max(actual, p.TargetTimespan/4), p.TargetTimespan*4)
	target, _, _ := FromCompact(compact)
	next, overflow := target.mulDiv(uint64(actual), uint64(p.TargetTimespan))
	if overflow || next.Cmp(p.PowLimit) > 0 {
		next = p.PowLimit
	}
	return next.Compact()
}
