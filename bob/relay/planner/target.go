// Package planner says what a relay contract on a chain is to be told: it reads the
// contract's state over JSON-RPC, compares it with Bitcoin's headers, and plans the
// cheapest transactions within what the chain allows, with what they cost. It holds no
// key and sends nothing.
//
// That a relay does not know a header is only believed if the contract itself said so:
// any other failure is an error, and no plan is made.
package planner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/relay"
)

// An Address is an account or a contract of the chain that a relay is on.
type Address = common.Address

// Multicall3 is where most chains, BOB among them, have it.
var Multicall3 = common.HexToAddress("0xcA11bde05977b3631167028862bE2a173976CA11")

// A Target is a relay on a chain.
type Target struct {
	Kind relay.Kind
	// Relay and Multicall are addresses of contracts. Without a Multicall3 it is zero.
	Relay, Multicall common.Address
	// Costs are what the contract's steps take; the zero value is relay.BOBCosts.
	Costs relay.Costs
	// Sender is who will send the transactions: a LightRelay may ask for that. It may
	// be zero where nobody sends.
	Sender common.Address
}

// Check says what is wrong with a target.
func (t *Target) Check() error {
	if !slices.Contains(relay.Kinds, t.Kind) {
		return fmt.Errorf("a relay of kind %q: it is one of %v", t.Kind, relay.Kinds)
	}
	if t.Relay == (common.Address{}) {
		return errors.New("a relay without an address")
	}
	return nil
}

// costs returns what the contract's steps take.
func (t *Target) costs() relay.Costs {
	if t.Costs == (relay.Costs{}) {
		return relay.BOBCosts()
	}
	return t.Costs
}

// A Chain calls the nodes of the chain that the relay is on: an *endpoint.Pool. Its
// errors are *endpoint.Error.
type Chain interface {
	Call(ctx context.Context, method string, params ...any) (json.RawMessage, error)
	Batch(ctx context.Context, method string, params [][]any) []endpoint.Result
}
