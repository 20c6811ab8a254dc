package relay

import (
	"math"
	"math/bits"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// What the EVM takes for storage and for a transaction (EIP-2028, 2929, 3529, 7623).
const (
	gasTransaction   = 21000
	gasZeroByte      = 4
	gasNonzeroByte   = 16
	gasFloorPerToken = 10 // a zero byte is one token, another four
	gasColdLoad      = 2100
	gasWarmLoad      = 100
	gasStoreNew      = 20000
	gasStoreChange   = 2900
)

// A slot is a place in a contract's storage: a variable, or an entry of a mapping.
type slot struct {
	variable variable
	key      chainhash.Hash
}

type variable uint8

const (
	variableBest variable = iota
	variableLastReorgAncestor
	previousBlock
	blockHeight
	variableCurrentEpochDiff
	variablePrevEpochDiff
)

// These are the slots of variables that are no mappings.
var (
	slotBest              = slot{variable: variableBest}
	slotLastReorgAncestor = slot{variable: variableLastReorgAncestor}
	slotCurrentEpochDiff  = slot{variable: variableCurrentEpochDiff}
	slotPrevEpochDiff     = slot{variable: variablePrevEpochDiff}
)

// slotOf returns the slot of an entry of a mapping.
func slotOf(mapping variable, key chainhash.Hash) slot { return slot{mapping, key} }

// A meter counts the gas of one call. The zero value counts for nobody, and keeps
// nothing.
type meter struct {
	costs             Costs
	exec, data, floor uint64
	warm              map[slot]struct{} // what was touched; nil if nobody wants to know
}

// call returns the meter of a transaction that calls a contract of these costs with this
// data.
func (c Costs) call(data []byte) *meter {
	zeros := uint64(0)
	for _, b := range data {
		if b == 0 {
			zeros++
		}
	}
	others := uint64(len(data)) - zeros
	return &meter{
		costs: c,
		data:  gasZeroByte*zeros + gasNonzeroByte*others,
		floor: gasFloorPerToken * (zeros + 4*others),
		warm:  make(map[slot]struct{}),
	}
}

// receipt returns the gas so far.
func (m *meter) receipt(events []Event) Receipt {
	return Receipt{Exec: m.exec, Gas: gasTransaction + max(m.data+m.exec, m.floor), Events: events}
}

func (m *meter) spend(gas uint64) { m.exec += gas }

// repeat spends gas n times; more than there can be if the sum has no place.
func (m *meter) repeat(n, gas uint64) {
	hi, lo := bits.Mul64(n, gas)
	sum, carry := bits.Add64(m.exec, lo, 0)
	if hi != 0 || carry != 0 {
		sum = math.MaxUint64 / 2
	}
	m.exec = sum
}

// load reads a slot.
func (m *meter) load(s slot) {
	if m.warm == nil {
		return
	}
	if _, warm := m.warm[s]; warm {
		m.exec += gasWarmLoad
		return
	}
	m.warm[s] = struct{}{}
	m.exec += gasColdLoad
}

// store writes a slot another value than it has, for the first time in the call; fresh
// says that it was zero.
func (m *meter) store(s slot, fresh bool) {
	if m.warm == nil {
		return
	}
	if _, warm := m.warm[s]; !warm {
		m.warm[s] = struct{}{}
		m.exec += gasColdLoad
	}
	if fresh {
		m.exec += gasStoreNew
	} else {
		m.exec += gasStoreChange
	}
}

// restore spends what it takes more to write a slot, whose old value was read, than to
// write that once more.
func (m *meter) restore(old, value Uint256) {
	switch {
	case old == value:
	case old == Uint256{}:
		m.spend(gasStoreNew - gasWarmLoad)
	default:
		m.spend(gasStoreChange - gasWarmLoad)
	}
}

// memory spends what the memory for so many bytes of headers costs more than its first
// words, which the steps spend.
func (m *meter) memory(headers int) {
	words := uint64(headers/header.Size) * m.costs.HeaderMemory / 32
	m.exec += words * words / 512
}
