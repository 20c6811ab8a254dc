package wots

import "github.com/btcsuite/btcd/address/v2"

// hash160 is HASH160 by btcd's code.
func hash160(v [Hash]byte) [Hash]byte { return [Hash]byte(address.Hash160(v[:])) }
