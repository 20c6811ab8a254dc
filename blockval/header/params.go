package header

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Params is what the rules for headers take from the network. The values are
// those of Bitcoin Core 30's chain parameters (kernel/chainparams.cpp), and of
// btcd's for simnet, which Core does not have.
//
// The rules only read a Params. A caller that runs a node with other settings,
// as regtest allows, changes the one that For made for it, before it is shared.
type Params struct {
	// Name is the network's name as Core's getblockchaininfo gives it.
	Name string
	// Magic begins each message of the network's peer-to-peer protocol, in the
	// order of the bytes on the wire. A signet with a challenge of its own has
	// another one.
	Magic [4]byte
	// Genesis is the header at height 0.
	Genesis Header
	// PowLimit is the highest target that is allowed.
	PowLimit Uint256
	// TargetSpacing and TargetTimespan are the seconds that a block and a
	// retarget period are meant to take.
	TargetSpacing, TargetTimespan int64
	// NoRetargeting says that the target never changes.
	NoRetargeting bool
	// AllowMinDifficulty says that a block more than twice TargetSpacing after
	// its predecessor has PowLimit as its target, if it is not the first of a
	// period.
	AllowMinDifficulty bool
	// BIP94 says that a retarget starts from the target of the period's first
	// block, and that the first block of a period must not be more than ten
	// minutes before its predecessor.
	BIP94 bool
	// BIP34Height, BIP66Height and BIP65Height are the first heights at which
	// a block's version must be at least 2, 3 and 4.
	BIP34Height, BIP66Height, BIP65Height uint32
}

// Interval returns the number of blocks in a retarget period.
func (p *Params) Interval() uint32 { return uint32(p.TargetTimespan / p.TargetSpacing) }

// Networks returns the names of the networks that For knows.
func Networks() []string {
	return []string{"main", "test", "testnet4", "signet", "regtest", "simnet"}
}

// For returns the parameters of a network, for the caller to keep. The name is
// one of Networks, or mainnet or testnet3, as btcd calls main and test. For any
// other name the error lists those.
func For(network string) (*Params, error) {
	const (
		minute = 60
		day    = 24 * 60 * minute
	)
	limit224 := Uint256{^uint64(0), ^uint64(0), ^uint64(0), 1<<32 - 1} // 2^224 - 1
	limit255 := Uint256{^uint64(0), ^uint64(0), ^uint64(0), 1<<63 - 1} // 2^255 - 1
	p := &Params{
		Name: network,
		// What follows differs on some networks.
		PowLimit:       limit224,
		TargetSpacing:  10 * minute,
		TargetTimespan: 14 * day,
		BIP34Height:    1,
		BIP66Height:    1,
		BIP65Height:    1,
	}
	switch network {
	case "main", "mainnet":
		p.Name = "main"
		p.Magic = [4]byte{0xf9, 0xbe, 0xb4, 0xd9}
		p.Genesis = genesis(merkleRoot, 1231006505, 0x1d00ffff, 2083236893)
		p.BIP34Height, p.BIP66Height, p.BIP65Height = 227931, 363725, 388381
	case "test", "testnet3":
		p.Name = "test"
		p.Magic = [4]byte{0x0b, 0x11, 0x09, 0x07}
		p.Genesis = genesis(merkleRoot, 1296688602, 0x1d00ffff, 414098458)
		p.AllowMinDifficulty = true
		p.BIP34Height, p.BIP66Height, p.BIP65Height = 21111, 330776, 581885
	case "testnet4":
		p.Magic = [4]byte{0x1c, 0x16, 0x3f, 0x28}
		p.Genesis = genesis(testnet4MerkleRoot, 1714777860, 0x1d00ffff, 393743547)
		p.AllowMinDifficulty = true
		p.BIP94 = true
	case "signet":
		p.Magic = [4]byte{0x0a, 0x03, 0xcf, 0x40}
		p.Genesis = genesis(merkleRoot, 1598918400, 0x1e0377ae, 52613770)
		p.PowLimit = Uint256{3: 0x00000377ae000000}
	case "regtest":
		p.Magic = [4]byte{0xfa, 0xbf, 0xb5, 0xda}
		p.Genesis = genesis(merkleRoot, 1296688602, 0x207fffff, 2)
		p.PowLimit = limit255
		p.TargetTimespan = day // without a retarget, of no effect but for -test=bip94
		p.NoRetargeting = true
		p.AllowMinDifficulty = true
	case "simnet":
		p.Magic = [4]byte{0x16, 0x1c, 0x14, 0x12}
		p.Genesis = genesis(merkleRoot, 1401292357, 0x207fffff, 2)
		p.PowLimit = limit255
		p.AllowMinDifficulty = true
		p.BIP34Height, p.BIP66Height, p.BIP65Height = 0, 0, 0
	default:
		return nil, fmt.Errorf("network %q is not known: it must be one of %s (mainnet and testnet3 are main and test)",
			network, strings.Join(Networks(), ", "))
	}
	return p, nil
}

// These are the merkle roots of the genesis blocks, in internal order: that of
// testnet4 has a coinbase transaction of its own.
const (
	merkleRoot = "\x3b\xa3\xed\xfd\x7a\x7b\x12\xb2\x7a\xc7\x2c\x3e\x67\x76\x8f\x61" +
		"\x7f\xc8\x1b\xc3\x88\x8a\x51\x32\x3a\x9f\xb8\xaa\x4b\x1e\x5e\x4a"
	testnet4MerkleRoot = "\x4e\x7b\x2b\x91\x28\xfe\x02\x91\xdb\x06\x93\xaf\x2a\xe4\x18\xb7" +
		"\x67\xe6\x57\xcd\x40\x7e\x80\xcb\x14\x34\x22\x1e\xae\xa7\xa0\x7a"
)

// genesis returns the header of a genesis block: version 1, no predecessor.
func genesis(merkleRoot string, time, bits, nonce uint32) Header {
	var h Header
	binary.LittleEndian.PutUint32(h[0:], 1)
	copy(h[36:68], merkleRoot)
	binary.LittleEndian.PutUint32(h[68:], time)
	binary.LittleEndian.PutUint32(h[72:], bits)
	binary.LittleEndian.PutUint32(h[76:], nonce)
	return h
}
