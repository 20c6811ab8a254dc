package sidecar

import (
	"bytes"
	"context"
	"fmt"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/sidecar/node"
)

// signet is Bitcoin Core's name for all signets, whatever their challenge.
const signet = "signet"

// A nodeNetwork is what a node says of the network that it is on.
type nodeNetwork struct {
	name string // as Bitcoin Core has it
	// challenge is its signet's; nil if the node does not tell, or is on another
	// network.
	challenge []byte
}

// networkOf asks n for its network.
func networkOf(ctx context.Context, n node.Node) (nodeNetwork, error) {
	name, err := n.Network(ctx)
	if err != nil || name != signet {
		return nodeNetwork{name: name}, err
	}
	challenge, err := n.SignetChallenge(ctx)
	return nodeNetwork{name, challenge}, err
}

// params returns what the rules take from a network that the node named. The error
// says how the settings contradict the node, and what to do.
func (c *Config) params(told nodeNetwork) (*blockval.Params, error) {
	if c.Network != "" && told.name != c.Network {
		return nil, fmt.Errorf("the node at %s is on network %s, and network is set to %s", c.Node.Address, told.name, c.Network)
	}
	p, err := blockval.ParamsFor(told.name)
	if err != nil {
		return nil, err
	}
	ours, challenge := c.Node.SignetChallenge, told.challenge
	switch {
	case ours == nil:
	case told.name != signet:
		return nil, fmt.Errorf("signet-challenge is set, and the node at %s is on network %s: remove the setting, or name a node that is on that signet", c.Node.Address, told.name)
	case challenge == nil:
		challenge = ours
	case !bytes.Equal(ours, challenge):
		return nil, fmt.Errorf("signet-challenge is %x, and that of the node at %s is %x: remove the setting, or name a node that is on that signet", ours, c.Node.Address, challenge)
	}
	if challenge != nil {
		err = p.SetSignetChallenge(challenge)
	}
	return p, err
}

// guesses reports whether neither the node nor a setting says which signet the
// network is, so that it is taken for the default one.
func (c *Config) guesses(told nodeNetwork) bool {
	return told.name == signet && told.challenge == nil && c.Node.SignetChallenge == nil
}

// NetworkParams asks n, the node that cfg names, for its network, and returns what
// the rules take from that, for the caller to keep: on a signet with the challenge
// that the node tells, or that is set where it tells none, or else the default
// signet's. It is an error if the settings contradict the node.
func NetworkParams(ctx context.Context, cfg Config, n node.Node) (*blockval.Params, error) {
	told, err := networkOf(ctx, n)
	if err != nil {
		return nil, err
	}
	return cfg.params(told)
}
