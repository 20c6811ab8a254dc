package sidecar

import (
	"errors"
	"fmt"
	"slices"
)

// ownSettings returns the settings that only a node of one kind has.
func ownSettings() map[NodeKind][]string {
	return map[NodeKind][]string{
		KindBitcoind: {"bitcoin-dir", "bitcoin-conf", "node-cookie", "node-allow-remote", "zmq", "blocks-dir"},
		KindBtcd:     {"btcd-dir", "node-certificate", "node-notls"},
	}
}

// findNode decides which kind of node there is, and fills in what is not set
// about it from the node's own configuration on this machine. given says which
// settings were set, rightly or wrongly.
func (c *Config) findNode(given map[string]bool) error {
	kind, err := c.decideKind(given)
	switch {
	case err != nil:
		return err
	case kind == KindBitcoind:
		return c.findBitcoind(given)
	}
	return c.findBtcd(given["node-address"])
}

// decideKind returns the kind of the node: the one that is set; else the one
// whose own settings are set; else the one that is found on this machine. It
// never guesses: which of two nodes is watched must not depend on which of them
// happened to run.
func (c *Config) decideKind(given map[string]bool) (NodeKind, error) {
	if c.Node.Kind != "" {
		return c.Node.Kind, nil
	}
	if c.Network == "simnet" {
		return KindBtcd, nil
	}
	implied := make(map[NodeKind]string) // by a setting of its own, which is named
	for kind, names := range ownSettings() {
		if i := slices.IndexFunc(names, func(name string) bool { return given[name] }); i >= 0 {
			implied[kind] = names[i]
		}
	}
	switch {
	case len(implied) == 2:
		return "", fmt.Errorf("node-kind: %s is for bitcoind and %s for btcd; set node-kind to bitcoind or btcd, or remove one of the two",
			implied[KindBitcoind], implied[KindBtcd])
	case implied[KindBitcoind] != "":
		return KindBitcoind, nil
	case implied[KindBtcd] != "":
		return KindBtcd, nil
	}
	switch hasBitcoind, hasBtcd := c.hasBitcoind(), exists(c.btcdConfPath()); {
	case hasBitcoind && hasBtcd:
		return "", fmt.Errorf("node-kind: a bitcoind (%s) and a btcd (%s) are both found on this machine; set node-kind to bitcoind or btcd", c.BitcoinDir, c.btcdConfPath())
	case hasBitcoind:
		return KindBitcoind, nil
	case hasBtcd:
		return KindBtcd, nil
	case given["node-address"]:
		return "", errors.New("node-kind: an address alone does not say which node is there; set node-kind to bitcoind or btcd")
	}
	return "", fmt.Errorf("no node found: there is no bitcoind in %s, nor a btcd with %s; set bitcoin-dir or btcd-dir if it lives elsewhere, "+
		"or node-kind and node-address", c.BitcoinDir, c.btcdConfPath())
}
