package relay

import (
	"math/big"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// An Address is an account of the chain that the relay is on.
type Address [20]byte

// A LightRelay is the contract that is told of one change of the target every 2016
// blocks, and believes any chain of headers that has a target it knows. It is not
// told heights: an epoch is the one after the one before.
type LightRelay struct {
	owner                 Address
	ready                 bool
	authorizationRequired bool
	proofLength           uint64
	genesisEpoch          uint64
	currentEpoch          uint64
	currentDiff, prevDiff Uint256
	epochs                map[uint64]Epoch
	authorized            map[Address]bool
	costs                 Costs
}

// An Epoch is what a LightRelay knows of 2016 blocks: the time of the first, and
// their target, of which the contract keeps 224 bits. The zero value is an epoch that
// the relay does not know.
type Epoch struct {
	Time   uint32
	Target Uint256
}

// A Genesis says that the relay began at a height.
type Genesis struct{ Height uint64 }

// A Retarget says that the relay knows another epoch.
type Retarget struct{ OldDifficulty, NewDifficulty Uint256 }

func (Genesis) event()  {}
func (Retarget) event() {}

// NewLightRelay is the contract's constructor. The relay is of no use before Genesis.
func NewLightRelay(owner Address) *LightRelay {
	return &LightRelay{owner: owner, epochs: map[uint64]Epoch{}, authorized: map[Address]bool{}, costs: BOBCosts()}
}

// SetCosts says which compiled contract the gas is estimated for: BOBCosts unless told.
func (r *LightRelay) SetCosts(costs Costs) { r.costs = costs }

// Ready reports whether Genesis was called.
func (r *LightRelay) Ready() bool { return r.ready }

// ProofLength returns how many headers a retarget needs on either side.
func (r *LightRelay) ProofLength() uint64 { return r.proofLength }

// GenesisEpoch returns the first epoch that the relay knows: a height divided by 2016.
func (r *LightRelay) GenesisEpoch() uint64 { return r.genesisEpoch }

// CurrentEpoch returns the last epoch that the relay knows.
func (r *LightRelay) CurrentEpoch() uint64 { return r.currentEpoch }

// CurrentEpochDifficulty returns the difficulty of the last epoch.
func (r *LightRelay) CurrentEpochDifficulty() Uint256 { return r.currentDiff }

// PrevEpochDifficulty returns that of the one before; 0 before the first Retarget.
func (r *LightRelay) PrevEpochDifficulty() Uint256 { return r.prevDiff }

// Epoch returns what the relay knows of an epoch.
func (r *LightRelay) Epoch(number uint64) Epoch { return r.epochs[number] }

// RelayRange returns the heights of the first and the last block that the relay can
// judge, if its genesis was told the truth.
func (r *LightRelay) RelayRange() (first, last uint64) {
	return r.genesisEpoch * epochLength, r.currentEpoch*epochLength + epochLength - 1
}

// EpochDifficulty returns the difficulty of an epoch that the relay knows.
func (r *LightRelay) EpochDifficulty(number uint64) (Uint256, error) {
	if err := require(number >= r.genesisEpoch, "Epoch is before relay genesis"); err != nil {
		return Uint256{}, err
	}
	if err := require(number <= r.currentEpoch, "Epoch is not proven to the relay yet"); err != nil {
		return Uint256{}, err
	}
	return difficultyOf(r.epochs[number].Target)
}

// BlockDifficulty returns the difficulty of the block at a height in RelayRange.
func (r *LightRelay) BlockDifficulty(height uint64) (Uint256, error) {
	return r.EpochDifficulty(height / epochLength)
}

// Genesis begins the relay with the first header of an epoch, its height, and the
// number of headers that a retarget needs on either side. Only the owner may.
func (r *LightRelay) Genesis(sender Address, h []byte, height, proofLength uint64) (Receipt, error) {
	m := r.costs.call(GenesisData(h, height, proofLength))
	m.spend(m.costs.LightGenesis)
	if err := r.onlyOwner(sender); err != nil {
		return m.receipt(nil), err
	}
	for _, check := range []struct {
		holds bool
		words string
	}{
		{!r.ready, "Genesis already performed"},
		{len(h) == header.Size, "Invalid genesis header length"},
		{height%epochLength == 0, "Invalid height of relay genesis block"},
		{proofLength < epochLength, "Proof length excessive"},
		{proofLength > 0, "Proof length may not be zero"},
	} {
		if !check.holds {
			return m.receipt(nil), reason(check.words)
		}
	}
	target, err := targetOf(h)
	if err != nil {
		return m.receipt(nil), err
	}
	difficulty, err := difficultyOf(target)
	if err != nil {
		return m.receipt(nil), err
	}
	r.genesisEpoch = height / epochLength
	m.restore(Uint256{}, difficulty)
	m.restore(Uint256{}, Uint256{r.genesisEpoch})
	r.currentEpoch = r.genesisEpoch
	r.epochs[r.genesisEpoch] = epochOf(timeAt(h, 0), target)
	r.proofLength = proofLength
	r.currentDiff = difficulty
	r.ready = true
	return m.receipt([]Event{Genesis{Height: height}}), nil
}

// epochOf returns an Epoch as the contract stores it.
func epochOf(time uint32, target Uint256) Epoch {
	target[3] &= 1<<32 - 1
	return Epoch{Time: time, Target: target}
}

// Retarget tells the relay of the next epoch by the last headers of the current one
// and the first of the next, ProofLength of each. now is the time of the block that
// the call is in, and sender must be authorised if that is required.
func (r *LightRelay) Retarget(sender Address, headers []byte, now uint64) (Receipt, error) {
	m := r.costs.call(RetargetData(headers))
	events, err := r.retarget(m, sender, headers, now)
	return m.receipt(events), err
}

func (r *LightRelay) retarget(m *meter, sender Address, headers []byte, now uint64) ([]Event, error) {
	m.spend(m.costs.LightRetarget)
	if err := require(r.ready, "Relay is not ready for use"); err != nil {
		return nil, err
	}
	if r.authorizationRequired {
		m.spend(gasColdLoad + m.costs.Authorization)
		if err := require(r.authorized[sender], "Submitter unauthorized"); err != nil {
			return nil, err
		}
	}
	half := int(r.proofLength) * header.Size
	if err := require(len(headers) == 2*half, "Invalid header length"); err != nil {
		return nil, err
	}
	m.memory(len(headers))

	latest := r.epochs[r.currentEpoch]
	var previous chainhash.Hash
	for at := 0; at < half; at += header.Size {
		m.spend(m.costs.LightHeader)
		digest, target, err := validateHeader(headers, at, previous)
		if err != nil {
			return nil, err
		}
		if err := require(target == latest.Target, "Invalid target in pre-retarget headers"); err != nil {
			return nil, err
		}
		previous = digest
	}
	end := timeAt(headers, half-header.Size)
	if err := require(uint64(end) < now, "Epoch cannot end in the future"); err != nil {
		return nil, err
	}
	expected, err := retarget(latest.Target, latest.Time, end)
	if err != nil {
		return nil, err
	}

	var mined Uint256
	for at := half; at < 2*half; at += header.Size {
		m.spend(m.costs.LightHeader)
		digest, target, err := validateHeader(headers, at, previous)
		if err != nil {
			return nil, err
		}
		if mined == (Uint256{}) {
			mined = target
			err = require(isTruncated(target, expected), "Invalid target in new epoch")
		} else {
			err = require(target == mined, "Unexpected target change after retarget")
		}
		if err != nil {
			return nil, err
		}
		previous = digest
	}
	difficulty, err := difficultyOf(mined)
	if err != nil {
		return nil, err
	}
	r.currentEpoch++
	r.epochs[r.currentEpoch] = epochOf(timeAt(headers, half), mined)
	m.restore(r.prevDiff, r.currentDiff)
	m.restore(r.currentDiff, difficulty)
	if r.currentEpoch == 1 && r.genesisEpoch == 0 {
		m.spend(gasStoreNew - gasStoreChange) // the epochs' slot was nothing
	}
	r.prevDiff, r.currentDiff = r.currentDiff, difficulty
	return []Event{Retarget{OldDifficulty: r.prevDiff, NewDifficulty: r.currentDiff}}, nil
}

// ValidateChain reverts unless the relay believes headers, 2 to 2015 of a chain: each
// has the work that its target demands, and that is the target of the epoch that the
// first one's time is in, or of a neighbour; it changes with an epoch that the relay
// knows. It returns the time of the first and how many there are.
func (r *LightRelay) ValidateChain(headers []byte) (time uint32, count int, err error) {
	if err := require(len(headers)%header.Size == 0, "Invalid header length"); err != nil {
		return 0, 0, err
	}
	count = len(headers) / header.Size
	if err := require(count > 1 && count < epochLength, "Invalid number of headers"); err != nil {
		return 0, 0, err
	}
	time = timeAt(headers, 0)
	previous, target, err := validateHeader(headers, 0, chainhash.Hash{})
	if err != nil {
		return 0, 0, err
	}

	number := r.currentEpoch
	epoch, next := r.epochs[number], Epoch{}
	for time < epoch.Time {
		if number == 0 {
			return 0, 0, panics(PanicArithmetic)
		}
		number--
		epoch, next = r.epochs[number], epoch
	}
	if err := require(epoch.Time > 0, "Cannot validate chains before relay genesis"); err != nil {
		return 0, 0, err
	}
	if target != epoch.Target {
		// A block's time may be a little before its epoch or after it.
		if target == next.Target {
			epoch, next = next, Epoch{}
		} else {
			if number == 0 {
				return 0, 0, panics(PanicArithmetic)
			}
			number--
			epoch, next = r.epochs[number], epoch
			if err := require(target == epoch.Target, "Invalid target in header chain"); err != nil {
				return 0, 0, err
			}
		}
	}
	for at := header.Size; at < len(headers); at += header.Size {
		if previous, target, err = validateHeader(headers, at, previous); err != nil {
			return 0, 0, err
		}
		if target == epoch.Target {
			continue
		}
		if err := require(next.Time != 0 && target == next.Target && timeAt(headers, at) == next.Time,
			"Invalid target in header chain"); err != nil {
			return 0, 0, err
		}
		epoch, next = next, Epoch{}
	}
	return time, count, nil
}

// validateHeader checks the header at an offset: that it follows the previous one, if
// there is one, and that its hash is below its own target. Bitcoin allows a hash that
// is equal, too.
func validateHeader(headers []byte, at int, previous chainhash.Hash) (chainhash.Hash, Uint256, error) {
	if previous != (chainhash.Hash{}) {
		if err := require(prevAt(headers, at) == previous, "Invalid chain"); err != nil {
			return chainhash.Hash{}, Uint256{}, err
		}
	}
	target, err := targetOf(headers[at:])
	if err != nil {
		return chainhash.Hash{}, Uint256{}, err
	}
	digest := hash256(headers[at : at+header.Size])
	return digest, target, require(littleEndian(digest).Cmp(target) < 0, "Invalid work")
}

// EvaluateProof is what bridges ask of a LightRelay (BitcoinTx.evaluateProofDifficulty):
// that headers, the first of which has the transaction, are a chain of one of the last
// two difficulties, with factor times as much of it together.
func (r *LightRelay) EvaluateProof(headers []byte, factor uint64) error {
	first, err := headerDifficulty(headers)
	if err != nil {
		return err
	}
	if first != r.currentDiff && first != r.prevDiff {
		return reason("Not at current or previous difficulty")
	}
	observed, err := chainDifficulty(headers)
	if err != nil {
		return err
	}
	requested := new(big.Int).Mul(toBig(first), new(big.Int).SetUint64(factor))
	if requested.BitLen() > 256 {
		return panics(PanicArithmetic)
	}
	return require(observed.Cmp(requested) >= 0, "Insufficient accumulated difficulty in header chain")
}

// chainDifficulty adds up the difficulties of a chain of headers, as ValidateSPV's
// validateHeaderChain, whose error codes BitcoinTx puts into words.
func chainDifficulty(headers []byte) (*big.Int, error) {
	if err := require(len(headers)%header.Size == 0, "Invalid length of the headers chain"); err != nil {
		return nil, err
	}
	total := new(big.Int)
	var previous chainhash.Hash
	for at := 0; at < len(headers); at += header.Size {
		if err := require(at == 0 || prevAt(headers, at) == previous, "Invalid headers chain"); err != nil {
			return nil, err
		}
		target, err := targetOf(headers[at:])
		if err != nil {
			return nil, err
		}
		previous = hash256(headers[at : at+header.Size])
		if err := require(littleEndian(previous).Cmp(target) <= 0, "Insufficient work in a header"); err != nil {
			return nil, err
		}
		difficulty, err := difficultyOf(target)
		if err != nil {
			return nil, err
		}
		total.Add(total, toBig(difficulty))
	}
	return total, nil
}

// FirstRetarget returns the height of the block with which the epoch that begins at
// epoch*2016 can first be told to a relay.
func FirstRetarget(epoch, proofLength uint64) uint64 { return epoch*epochLength + proofLength - 1 }

// ProofHeaders returns how many headers a proof needs that begins at height, for a
// bridge that asks for factor times the difficulty of the first, where the difficulty
// is before up to the end of that epoch and after from then on. More than factor are
// needed where it falls. It is false if after is 0.
func ProofHeaders(height, factor uint64, before, after Uint256) (uint64, bool) {
	left := min(epochLength-height%epochLength, factor)
	rest := new(big.Int).SetUint64(factor - left)
	rest.Mul(rest, toBig(before))
	if rest.Sign() == 0 {
		return left, true
	}
	divisor := toBig(after)
	if divisor.Sign() == 0 {
		return 0, false
	}
	rest.Add(rest, divisor).Sub(rest, big.NewInt(1)).Div(rest, divisor)
	if !rest.IsUint64() {
		return 0, false
	}
	return left + rest.Uint64(), true
}
