// Package relay models the Bitcoin relays on BOB: FullRelay, FullRelayWithVerify
// and LightRelay. A model has the contract's state, reverts where the contract does
// and with its words, and tells what a call costs, so that a transaction can be
// judged before it is sent. Nothing here talks to a chain. Package contract has relays
// to deploy, and its tests execute them beside the models.
//
// The models follow the contracts of github.com/bob-collective/bob (contracts/src/
// relay) and their library bitcoin-spv. Where these deviate from Bitcoin's rules, so
// do the models: relays check neither median time nor the clock, take a target's
// sign for a part of it, and count work by a truncated difficulty. Package headers
// has Bitcoin's rules.
//
// Digests are double SHA-256 hashes in internal byte order, as the contracts have
// them. A model is not safe for concurrent use, and grows with every header as the
// contract does.
package relay

import "fmt"

// A Revert is the error of a call that a contract reverts. Its state is then what
// it was before the call.
type Revert struct {
	// Reason is the contract's reason, the argument of Solidity's Error(string);
	// empty if the revert has another form.
	Reason string
	// Panic is the code of Solidity's Panic(uint256); 0 if it is none.
	Panic uint8
	// Custom is the signature of a custom error, such as
	// OwnableUnauthorizedAccount(address); empty if it is none.
	Custom string
}

// These are the panics that the relays run into.
const (
	PanicArithmetic   = 0x11 // overflow or underflow
	PanicDivideByZero = 0x12
	PanicIndex        = 0x32 // a byte beyond the end of an array
)

// Error returns the contract's words, the custom error, or the number of the panic.
func (e *Revert) Error() string {
	switch {
	case e.Reason != "":
		return "reverted: " + e.Reason
	case e.Custom != "":
		return "reverted: " + e.Custom
	}
	return fmt.Sprintf("reverted: panic 0x%02x", e.Panic)
}

// reason returns a Revert with the contract's words.
func reason(words string) error { return &Revert{Reason: words} }

// panics returns a Revert with one of Solidity's panics.
func panics(code uint8) error { return &Revert{Panic: code} }

// require is Solidity's.
func require(holds bool, words string) error {
	if holds {
		return nil
	}
	return reason(words)
}
