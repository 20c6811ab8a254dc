// Package contract has Bitcoin relays to deploy: FullRelay, FullRelayWithVerify and
// LightRelay, which package relay models, as contracts of our own, and a multicall. They have the
// interface, the storage layout, the events and the words of the contracts on BOB, but
// were written from a description of these and share no source with them. Their gas is
// their own: see Costs.
//
// The Solidity sources are in this folder. What they compile to is artifact.json, which
// "make contracts" writes and "make contracts-check" compares. The tests execute it in
// go-ethereum's EVM beside the models; so they do with relays that others published.
//
// The contracts are for demos and tests: nobody has audited them.
package contract

import (
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/outrider-project/outrider/bob/relay"
)

//go:embed artifact.json
var artifact []byte

// A Contract is a compiled contract. Its fields are the caller's to keep.
type Contract struct {
	// ABI describes the interface, as Solidity's JSON does.
	ABI json.RawMessage
	// Storage says where variables are.
	Storage []Variable
	// Creation is the bytecode that a transaction deploys, followed by the
	// constructor's arguments (relay.ConstructorData), and Runtime what it leaves.
	Creation, Runtime []byte
}

// A Variable is at a slot of a contract's storage, so many bytes from the low end of
// the word.
type Variable struct {
	Label  string `json:"label"`
	Slot   int    `json:"slot"`
	Offset int    `json:"offset"`
}

// FullRelay returns the contract that is told of every header.
func FullRelay() *Contract { return load("FullRelay") }

// FullRelayWithVerify returns the FullRelay that verifies proofs of inclusion.
func FullRelayWithVerify() *Contract { return load("FullRelayWithVerify") }

// LightRelay returns the contract that is told of every change of the target.
func LightRelay() *Contract { return load("LightRelay") }

// Multicall returns a contract that does several calls in one transaction: the part of
// Multicall3 that plans make use of (relay.MulticallData). Where Multicall3 is there,
// use that.
func Multicall() *Contract { return load("Multicall") }

// Costs is what the steps of these contracts take beside storage, fitted to executions
// in go-ethereum's EVM, for SetCosts of the models. The tests compare their sums with
// executions.
func Costs() relay.Costs {
	return relay.Costs{
		AddHeaders:     6203,
		Retarget:       7124,
		Header:         2836,
		NewHeader:      419,
		Height:         79,
		HeaderMemory:   336,
		Mark:           9293,
		CommonAncestor: 89,
		StepDown:       76,
		PeriodWork:     2485,
		FindHeight:     272,
		Ancestor:       140,
		Verify:         619,
		Proof:          1667,
		MerkleStep:     1439,
		Proven:         405,
		LightGenesis:   36003,
		LightRetarget:  41770,
		LightHeader:    3039,
		Authorization:  78,

		Multicall:       980,
		MulticallCall:   1365,
		MulticallCopies: 1,
	}
}

// load reads one contract of the artifact, which is a part of the program: it panics if
// that is not right.
func load(name string) *Contract {
	c, err := read(artifact, name)
	if err != nil {
		panic("contract: " + err.Error())
	}
	return c
}

func read(artifact []byte, name string) (*Contract, error) {
	var file struct {
		Contracts map[string]struct {
			ABI               json.RawMessage
			Storage           []Variable
			Creation, Runtime string
		}
	}
	if err := json.Unmarshal(artifact, &file); err != nil {
		return nil, fmt.Errorf("read the artifact: %w", err)
	}
	c, ok := file.Contracts[name]
	if !ok {
		return nil, fmt.Errorf("the artifact has no %s", name)
	}
	creation, err := hex.DecodeString(c.Creation)
	if err != nil {
		return nil, fmt.Errorf("creation bytecode of %s: %w", name, err)
	}
	runtime, err := hex.DecodeString(c.Runtime)
	if err != nil {
		return nil, fmt.Errorf("runtime bytecode of %s: %w", name, err)
	}
	return &Contract{ABI: c.ABI, Storage: c.Storage, Creation: creation, Runtime: runtime}, nil
}
