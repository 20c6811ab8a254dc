package relay

import (
	"math/big"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// HeightInterval is how many headers apart FullRelay stores a height.
const HeightInterval = 4

// A FullRelay is the contract that is told of every header. Adding headers stores
// them; the relay only follows once markNewHeaviest makes one of them the best.
type FullRelay struct {
	genesis, best, lastReorgAncestor chainhash.Hash
	previous                         map[chainhash.Hash]chainhash.Hash
	heights                          map[chainhash.Hash]uint64
	currentEpochDiff, prevEpochDiff  Uint256

	costs Costs

	// below has what previous and heights lack; nil if they have everything.
	below *FullRelay
}

// Fork returns a relay in the same state, to try calls on. It costs nothing, and is
// only right as long as r is not called again.
func (r *FullRelay) Fork() *FullRelay {
	fork := *r
	fork.below = r
	fork.previous, fork.heights = map[chainhash.Hash]chainhash.Hash{}, map[chainhash.Hash]uint64{}
	return &fork
}

// PreviousBlock is the contract's mapping: the digest below a header that was added,
// and zero for any other.
func (r *FullRelay) PreviousBlock(digest chainhash.Hash) chainhash.Hash {
	if previous, ok := r.previous[digest]; ok || r.below == nil {
		return previous
	}
	return r.below.PreviousBlock(digest)
}

// BlockHeight is the contract's mapping: the height of every fourth header that was
// added, of the genesis header and of the first of its period, and 0 for any other.
func (r *FullRelay) BlockHeight(digest chainhash.Hash) uint64 {
	if height, ok := r.heights[digest]; ok || r.below == nil {
		return height
	}
	return r.below.BlockHeight(digest)
}

// A Receipt is what a call did.
type Receipt struct {
	// Exec is the gas of the execution, and Gas that of a transaction that does
	// this call and nothing else. Both are estimates; see the table in the tests.
	Exec, Gas uint64
	// Events are what it emitted, in order; none if it reverted.
	Events []Event
}

// An Event is an Extension, a NewTip, a Genesis or a Retarget.
type Event interface{ event() }

// An Extension says that headers were added: First is the anchor below them, Last
// the last of them.
type Extension struct{ First, Last chainhash.Hash }

// A NewTip says that the best header is another one. GCD is the last common ancestor.
type NewTip struct{ From, To, GCD chainhash.Hash }

func (Extension) event() {}
func (NewTip) event()    {}

// NewFullRelay is the contract's constructor. Nothing about its arguments is checked
// but the header's length: height is taken for the header's, and periodStart for the
// digest of the first header of its period.
func NewFullRelay(genesisHeader []byte, height uint64, periodStart chainhash.Hash) (*FullRelay, error) {
	if err := require(len(genesisHeader) == header.Size, "Bad genesis block"); err != nil {
		return nil, err
	}
	difficulty, err := headerDifficulty(genesisHeader)
	if err != nil {
		return nil, err
	}
	digest := hash256(genesisHeader)
	r := &FullRelay{
		genesis:           digest,
		best:              digest,
		lastReorgAncestor: digest,
		previous:          map[chainhash.Hash]chainhash.Hash{},
		heights:           map[chainhash.Hash]uint64{},
		currentEpochDiff:  difficulty,
		costs:             BOBCosts(),
	}
	r.heights[digest] = height
	r.heights[periodStart] = height - height%epochLength
	return r, nil
}

// SetCosts says which compiled contract the gas is estimated for: BOBCosts unless told.
func (r *FullRelay) SetCosts(costs Costs) { r.costs = costs }

// RelayGenesis returns the digest of the header that the relay began with.
func (r *FullRelay) RelayGenesis() chainhash.Hash { return r.genesis }

// BestKnownDigest returns the digest of the header that was marked last.
func (r *FullRelay) BestKnownDigest() chainhash.Hash { return r.best }

// LastReorgCommonAncestor returns the common ancestor of the last marked header and
// the one marked before.
func (r *FullRelay) LastReorgCommonAncestor() chainhash.Hash { return r.lastReorgAncestor }

// CurrentEpochDifficulty returns the difficulty of the best header.
func (r *FullRelay) CurrentEpochDifficulty() Uint256 { return r.currentEpochDiff }

// PrevEpochDifficulty returns the difficulty of the period before the last retarget
// that was added near the tip; 0 before the first.
func (r *FullRelay) PrevEpochDifficulty() Uint256 { return r.prevEpochDiff }

// Headers returns how many headers were added.
func (r *FullRelay) Headers() int {
	if r.below != nil {
		return len(r.previous) + r.below.Headers()
	}
	return len(r.previous)
}

// Knows reports whether a header with this digest was added: the genesis header was
// not.
func (r *FullRelay) Knows(digest chainhash.Hash) bool {
	return r.PreviousBlock(digest) != chainhash.Hash{}
}

// FindHeight returns the height of a header that the relay knows.
func (r *FullRelay) FindHeight(digest chainhash.Hash) (uint64, error) {
	return r.findHeight(&meter{}, digest)
}

// FindAncestor returns the digest of the header offset below one that was added.
func (r *FullRelay) FindAncestor(digest chainhash.Hash, offset uint64) (chainhash.Hash, error) {
	for ; offset > 0 && digest != (chainhash.Hash{}); offset-- {
		digest = r.PreviousBlock(digest)
	}
	return digest, require(digest != chainhash.Hash{}, "Unknown ancestor")
}

// IsAncestor reports whether ancestor is descendant, or less than limit below it.
func (r *FullRelay) IsAncestor(ancestor, descendant chainhash.Hash, limit uint64) bool {
	return r.isAncestor(&meter{}, ancestor, descendant, limit)
}

// AddHeaders stores headers that follow the header anchor, which the relay must know,
// and have its target.
func (r *FullRelay) AddHeaders(anchor, headers []byte) (Receipt, error) {
	m := r.costs.call(AddHeadersData(anchor, headers))
	events, err := r.addHeadersAlone(m, anchor, headers)
	return m.receipt(events), err
}

func (r *FullRelay) addHeadersAlone(m *meter, anchor, headers []byte) ([]Event, error) {
	m.spend(m.costs.AddHeaders)
	if err := require(len(headers)%header.Size == 0, "Header array length must be divisible by 80"); err != nil {
		return nil, err
	}
	if err := require(len(anchor) == header.Size, "Anchor must be 80 bytes"); err != nil {
		return nil, err
	}
	return r.addHeaders(m, anchor, headers, false)
}

// AddHeadersWithRetarget stores headers that follow oldEnd, the last header of a
// period, of which oldStart is the first. The relay must know both.
func (r *FullRelay) AddHeadersWithRetarget(oldStart, oldEnd, headers []byte) (Receipt, error) {
	m := r.costs.call(AddHeadersWithRetargetData(oldStart, oldEnd, headers))
	events, err := r.addHeadersWithRetarget(m, oldStart, oldEnd, headers)
	return m.receipt(events), err
}

func (r *FullRelay) addHeadersWithRetarget(m *meter, oldStart, oldEnd, headers []byte) ([]Event, error) {
	m.spend(m.costs.AddHeaders + m.costs.Retarget)
	if err := require(len(oldStart) == header.Size && len(oldEnd) == header.Size && len(headers)%header.Size == 0,
		"Bad args. Check header and array byte lengths."); err != nil {
		return nil, err
	}
	startHeight, err := r.findHeight(m, hash256(oldStart))
	if err != nil {
		return nil, err
	}
	endHeight, err := r.findHeight(m, hash256(oldEnd))
	if err != nil {
		return nil, err
	}
	if err := require(endHeight%epochLength == epochLength-1, "Must provide the last header of the closing difficulty period"); err != nil {
		return nil, err
	}
	if err := require(endHeight == startHeight+epochLength-1, "Must provide exactly 1 difficulty period"); err != nil {
		return nil, err
	}
	oldDiff, err := headerDifficulty(oldStart)
	if err != nil {
		return nil, err
	}
	endDiff, err := headerDifficulty(oldEnd)
	if err != nil {
		return nil, err
	}
	if err := require(oldDiff == endDiff, "Period header difficulties do not match"); err != nil {
		return nil, err
	}

	// Headers have the leading bits of the target only.
	actual, err := targetOf(headers)
	if err != nil {
		return nil, err
	}
	oldTarget, err := targetOf(oldStart)
	if err != nil {
		return nil, err
	}
	expected, err := retarget(oldTarget, timeAt(oldStart, 0), timeAt(oldEnd, 0))
	if err != nil {
		return nil, err
	}
	if err := require(isTruncated(actual, expected), "Invalid retarget provided"); err != nil {
		return nil, err
	}

	// A period in the deep past does not count.
	prevEpochDiff := r.prevEpochDiff
	m.load(slotPrevEpochDiff)
	if prevEpochDiff != oldDiff {
		m.load(slotBest)
		bestHeight, err := r.findHeight(m, r.best)
		if err != nil {
			return nil, err
		}
		if bestHeight < epochLength {
			return nil, panics(PanicArithmetic)
		}
		if endHeight > bestHeight-epochLength {
			m.store(slotPrevEpochDiff, prevEpochDiff == Uint256{})
			prevEpochDiff = oldDiff
		}
	}
	events, err := r.addHeaders(m, oldEnd, headers, true)
	if err == nil {
		r.prevEpochDiff = prevEpochDiff
	}
	return events, err
}

// addHeaders is the part that both ways of adding headers have. The contract stores
// each header when it has looked at it; here all are stored when all have passed,
// which no check can tell from that.
func (r *FullRelay) addHeaders(m *meter, anchor, headers []byte, retargets bool) ([]Event, error) {
	first := hash256(anchor)
	anchorHeight, err := r.findHeight(m, first)
	if err != nil {
		return nil, err
	}
	target, err := targetOf(headers)
	if err != nil {
		return nil, err
	}
	if !retargets {
		anchorTarget, err := targetOf(anchor)
		if err != nil {
			return nil, err
		}
		if err := require(anchorTarget == target, "Unexpected retarget on external call"); err != nil {
			return nil, err
		}
	}

	m.memory(len(headers))
	last := first
	var added []chainhash.Hash // with a zero digest for those that were known
	for at := 0; at < len(headers); at += header.Size {
		m.spend(m.costs.Header)
		digest := hash256(headers[at : at+header.Size])
		m.load(slotOf(previousBlock, digest))
		if r.Knows(digest) {
			added = append(added, chainhash.Hash{})
		} else {
			m.spend(m.costs.NewHeader)
			if err := require(littleEndian(digest).Cmp(target) <= 0, "Header work is insufficient"); err != nil {
				return nil, err
			}
			m.store(slotOf(previousBlock, digest), true)
			if height := anchorHeight + uint64(len(added)) + 1; height%HeightInterval == 0 {
				m.spend(m.costs.Height)
				m.store(slotOf(blockHeight, digest), r.BlockHeight(digest) == 0)
			}
			added = append(added, digest)
		}
		own, err := targetOf(headers[at:])
		if err != nil {
			return nil, err
		}
		if err := require(own == target, "Target changed unexpectedly"); err != nil {
			return nil, err
		}
		if err := require(prevAt(headers, at) == last, "Headers do not form a consistent chain"); err != nil {
			return nil, err
		}
		last = digest
	}
	for i, digest := range added {
		if digest == (chainhash.Hash{}) {
			continue
		}
		r.previous[digest] = prevAt(headers, i*header.Size)
		if height := anchorHeight + uint64(i) + 1; height%HeightInterval == 0 {
			r.heights[digest] = height
		}
	}
	return []Event{Extension{First: first, Last: last}}, nil
}

// MarkNewHeaviest makes newBest the best header. The relay must know it, and it must
// have more work than currentBest, the best one so far. ancestor is the last header
// that both have below them, or are, and at most limit below either.
func (r *FullRelay) MarkNewHeaviest(ancestor chainhash.Hash, currentBest, newBest []byte, limit uint64) (Receipt, error) {
	m := r.costs.call(MarkNewHeaviestData(ancestor, currentBest, newBest, limit))
	events, err := r.markNewHeaviest(m, ancestor, currentBest, newBest, limit)
	return m.receipt(events), err
}

func (r *FullRelay) markNewHeaviest(m *meter, ancestor chainhash.Hash, currentBest, newBest []byte, limit uint64) ([]Event, error) {
	m.spend(m.costs.Mark)
	if err := require(len(newBest) == header.Size && len(currentBest) == header.Size,
		"Bad args. Check header and array byte lengths."); err != nil {
		return nil, err
	}
	if err := require(limit <= epochLength, "Requested limit is greater than 1 difficulty period"); err != nil {
		return nil, err
	}
	digest, current := hash256(newBest), hash256(currentBest)
	m.load(slotBest)
	if err := require(current == r.best, "Passed in best is not best known"); err != nil {
		return nil, err
	}
	m.load(slotOf(previousBlock, digest))
	if err := require(r.Knows(digest), "New best is unknown"); err != nil {
		return nil, err
	}
	if err := require(r.isMostRecentAncestor(m, ancestor, r.best, digest, limit), "Ancestor must be heaviest common ancestor"); err != nil {
		return nil, err
	}
	heaviest, err := r.heaviestFromAncestor(m, ancestor, currentBest, newBest)
	if err != nil {
		return nil, err
	}
	if err := require(heaviest == digest, NotHeaviest); err != nil {
		return nil, err
	}
	difficulty, err := headerDifficulty(newBest)
	if err != nil {
		return nil, err
	}

	if digest == r.best {
		m.spend(gasWarmLoad) // written all the same, as the next
	} else {
		m.store(slotBest, false)
		r.best = digest
	}
	if m.load(slotLastReorgAncestor); r.lastReorgAncestor == ancestor {
		m.spend(gasWarmLoad)
	} else {
		m.store(slotLastReorgAncestor, false)
		r.lastReorgAncestor = ancestor
	}
	if m.load(slotCurrentEpochDiff); r.currentEpochDiff != difficulty {
		m.store(slotCurrentEpochDiff, r.currentEpochDiff == Uint256{})
		r.currentEpochDiff = difficulty
	}
	return []Event{NewTip{From: current, To: digest, GCD: ancestor}}, nil
}

// findHeight counts the headers from digest down to one whose height is stored.
func (r *FullRelay) findHeight(m *meter, digest chainhash.Hash) (uint64, error) {
	for i := range uint64(HeightInterval + 1) {
		m.spend(m.costs.FindHeight)
		m.load(slotOf(blockHeight, digest))
		if height := r.BlockHeight(digest); height != 0 {
			return height + i, nil
		}
		m.load(slotOf(previousBlock, digest))
		digest = r.PreviousBlock(digest)
	}
	return 0, reason("Unknown block")
}

func (r *FullRelay) isAncestor(m *meter, ancestor, descendant chainhash.Hash, limit uint64) bool {
	for i := range limit {
		if descendant == ancestor {
			return true
		}
		if descendant == (chainhash.Hash{}) {
			// There is nothing below, but the contract looks until the end.
			m.load(slotOf(previousBlock, descendant))
			m.repeat(limit-i, m.costs.Ancestor+gasWarmLoad)
			return false
		}
		m.spend(m.costs.Ancestor)
		m.load(slotOf(previousBlock, descendant))
		descendant = r.PreviousBlock(descendant)
	}
	return false
}

// isMostRecentAncestor walks down from both tips at once, limit steps each, and
// waits with one at the ancestor.
func (r *FullRelay) isMostRecentAncestor(m *meter, ancestor, left, right chainhash.Hash, limit uint64) bool {
	if ancestor == left && ancestor == right {
		return true
	}
	leftCurrent, rightCurrent := left, right
	leftPrev, rightPrev := left, right
	for range limit {
		m.spend(m.costs.CommonAncestor)
		if leftPrev != ancestor {
			m.spend(m.costs.StepDown)
			m.load(slotOf(previousBlock, leftPrev))
			leftCurrent, leftPrev = leftPrev, r.PreviousBlock(leftPrev)
		}
		if rightPrev != ancestor {
			m.spend(m.costs.StepDown)
			m.load(slotOf(previousBlock, rightPrev))
			rightCurrent, rightPrev = rightPrev, r.PreviousBlock(rightPrev)
		}
	}
	// If the last steps were from the same header, that is a nearer ancestor.
	return leftCurrent != rightCurrent && leftPrev == rightPrev
}

// HeaviestFromAncestor returns the digest of the one of two headers that has more
// work above the ancestor, left if both have as much. The contract calls this where
// it marks; see Wedged for where it cannot tell.
func (r *FullRelay) HeaviestFromAncestor(ancestor chainhash.Hash, left, right []byte) (chainhash.Hash, error) {
	return r.heaviestFromAncestor(&meter{}, ancestor, left, right)
}

func (r *FullRelay) heaviestFromAncestor(m *meter, ancestor chainhash.Hash, left, right []byte) (chainhash.Hash, error) {
	ancestorHeight, err := r.findHeight(m, ancestor)
	if err != nil {
		return chainhash.Hash{}, err
	}
	leftDigest, rightDigest := hash256(left), hash256(right)
	leftHeight, err := r.findHeight(m, leftDigest)
	if err != nil {
		return chainhash.Hash{}, err
	}
	rightHeight, err := r.findHeight(m, rightDigest)
	if err != nil {
		return chainhash.Hash{}, err
	}
	if err := require(leftHeight >= ancestorHeight && rightHeight >= ancestorHeight,
		"A descendant height is below the ancestor height"); err != nil {
		return chainhash.Hash{}, err
	}

	nextPeriod := ancestorHeight + epochLength - ancestorHeight%epochLength
	leftInPeriod, rightInPeriod := leftHeight < nextPeriod, rightHeight < nextPeriod
	switch {
	case !leftInPeriod && rightInPeriod:
		return leftDigest, nil
	case leftInPeriod && !rightInPeriod:
		return rightDigest, nil
	case leftInPeriod:
		if leftHeight >= rightHeight {
			return leftDigest, nil
		}
		return rightDigest, nil
	}
	// Both are in a new period: what they have of it counts.
	m.spend(m.costs.PeriodWork)
	leftWork, err := periodWork(left, leftHeight)
	if err != nil {
		return chainhash.Hash{}, err
	}
	rightWork, err := periodWork(right, rightHeight)
	if err != nil {
		return chainhash.Hash{}, err
	}
	if leftWork.Cmp(rightWork) < 0 {
		return rightDigest, nil
	}
	return leftDigest, nil
}

// periodWork returns the difficulties of a header and of those below it in its
// period, but for the first, together.
func periodWork(h []byte, height uint64) (*big.Int, error) {
	difficulty, err := headerDifficulty(h)
	if err != nil {
		return nil, err
	}
	return new(big.Int).Mul(new(big.Int).SetUint64(height%epochLength), toBig(difficulty)), nil
}

// Wedged reports whether the relay can never adopt a branch on top of ancestor that is
// in another period than ancestor is, although Bitcoin may: if the best header is in
// such a period, too, and difficulties are below 1, every branch counts 0 there. It is
// so on signet and regtest, and stays so until a branch from a later ancestor wins.
func (r *FullRelay) Wedged(ancestor chainhash.Hash) (bool, error) {
	ancestorHeight, err := r.FindHeight(ancestor)
	if err != nil {
		return false, err
	}
	bestHeight, err := r.FindHeight(r.best)
	if err != nil {
		return false, err
	}
	return ancestor != r.best && ancestorHeight/epochLength < bestHeight/epochLength && r.currentEpochDiff == Uint256{}, nil
}
