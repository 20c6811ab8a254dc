package bob

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/planner"
	"github.com/outrider-project/outrider/bob/relay/submit"
	"github.com/outrider-project/outrider/bob/signer"
)

// A Config says which nodes of BOB are asked, which relay is watched, and who tells it of
// Bitcoin's headers.
type Config struct {
	// ChainID is the L2's: 60808 is BOB's, 808813 BOB Sepolia's. 0 is BOB's for who only
	// looks, and nothing is sent.
	ChainID uint64
	// Execution and OpNodes are execution clients and op-nodes, each op-node before the
	// execution client at the same place. Their addresses are secrets.
	Execution, OpNodes []endpoint.Endpoint
	// L1 are execution clients of Ethereum, whose chain id is L1ChainID (0: that of the
	// chain that BOB's is on). Without them nothing is asked of it.
	L1        []endpoint.Endpoint
	L1ChainID uint64
	// Relay is the contract, of a Kind; the zero address is none.
	Relay relay.Address
	Kind  relay.Kind
	// Confirmations is how many headers on top the proofs ask for that are foreseen (0: 6).
	Confirmations uint8
	Operator
}

// Mainnet is BOB's chain.
const Mainnet = 60808

// DefaultConfig is BOB's mainnet, without nodes, and without anybody who pays.
func DefaultConfig() Config {
	return Config{Confirmations: 6, Operator: Operator{Multicall: planner.Multicall3, SignerMethod: signer.Web3Signer, Poll: time.Second}}
}

// chain returns the chain to look at.
func (c *Config) chain() uint64 { return cmp.Or(c.ChainID, Mainnet) }

// Enabled reports whether there is somebody to ask.
func (c *Config) Enabled() bool { return len(c.Execution) > 0 || len(c.OpNodes) > 0 }

// WatchesRelay reports whether there is a relay to watch.
func (c *Config) WatchesRelay() bool { return c.Relay != relay.Address{} }

// ProofKind is the kind of relay that proofs are for: the one to watch, or a FullRelayWithVerify.
func (c *Config) ProofKind() relay.Kind { return cmp.Or(c.Kind, relay.KindFullWithVerify) }

// Check returns every mistake that only the whole shows. Its errors have no address.
func (c *Config) Check() error {
	var errs []error
	names := make(map[string]bool)
	for _, e := range slices.Concat(c.Execution, c.OpNodes, c.L1) {
		if names[e.Name] {
			errs = append(errs, fmt.Errorf("bob-l2, bob-op-node, bob-l1: two nodes are called %.40q; name each, as in mine=http://127.0.0.1:8545", e.Name))
		}
		names[e.Name] = true
	}
	if c.WatchesRelay() && len(c.Execution) == 0 {
		errs = append(errs, errors.New("bob-relay: the relay is read from an execution client; set OUTRIDER_BOB_L2"))
	}
	if c.WatchesRelay() && c.Kind == "" {
		errs = append(errs, errors.New("bob-relay-kind: say what the relay is: full, full-verify or light"))
	}
	if len(c.L1) > 0 && len(c.Execution) == 0 {
		errs = append(errs, errors.New("bob-l1: Ethereum is watched beside BOB's blocks, which an execution client has; set OUTRIDER_BOB_L2"))
	}
	if c.Kind != "" && !c.WatchesRelay() {
		errs = append(errs, errors.New("bob-relay: there is a kind of relay and no address; BOB's list of contracts has it (mainnet's light relay: 0x9fe7ef727da3d79e0308ff43f31ea1d077ee9f41)"))
	}
	return errors.Join(errs...)
}

// named is an address with a name before it.
var named = regexp.MustCompile(`^([a-z0-9][a-z0-9_-]{0,31})=(.*)$`)

// ParseEndpoints returns the nodes that a text lists: addresses, separated by commas, each of
// which may have a name before it, as in mine=http://127.0.0.1:8545. The others are called
// by kind and their number. The error has none of the text.
func ParseEndpoints(text, kind string) ([]endpoint.Endpoint, error) {
	var list []endpoint.Endpoint
	for part := range strings.SplitSeq(text, ",") {
		e := endpoint.Endpoint{Name: fmt.Sprintf("%s-%d", kind, len(list)+1), URL: strings.TrimSpace(part)}
		if m := named.FindStringSubmatch(e.URL); m != nil {
			e.Name, e.URL = m[1], m[2]
		}
		list = append(list, e)
	}
	// A pool says what is wrong with an address without showing it.
	if _, err := endpoint.New(endpoint.Options{Layer: "l2", ChainID: 1, Endpoints: list}); err != nil {
		return nil, err
	}
	return list, nil
}

// ParseAddress returns the address of a contract, as submit.ParseAddress does, but for the
// zero address.
func ParseAddress(text string) (relay.Address, error) {
	a, err := submit.ParseAddress(text)
	if err == nil && a == (planner.Address{}) {
		err = errors.New("must not be the zero address")
	}
	return relay.Address(a), err
}

// ParseKind returns the kind of relay that a text names.
func ParseKind(text string) (relay.Kind, error) {
	if k := relay.Kind(text); slices.Contains(relay.Kinds, k) {
		return k, nil
	}
	return "", errors.New("must be full, full-verify or light")
}
