package blockval

import (
	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/blockval/script"
)

// Params is what the rules take from the network. The values are those of
// Bitcoin Core 31's chain parameters (kernel/chainparams.cpp).
//
// A Validator only reads them. A caller that runs a node with other settings (a
// signet of its own, for which there is SetSignetChallenge, activation heights on
// regtest) changes the one that ParamsFor made for it, before it is shared.
//
// On regtest btcd and Core have the same heights, 1, for BIP34, 65, 66, 68, 112,
// 113, 141 and 341; Core's taproot and P2SH have no height at all. btcd's simnet
// has no counterpart in Core. There CSV, segwit and taproot are version bits
// that miners signal, in force from block 300 at the earliest; here they are
// always on. That is stricter for the first blocks of a simnet only if one of
// them spends a witness program without a witness, or breaks a lock time that
// is not yet in force, which btcd's own miner and wallets do not do.
type Params struct {
	*header.Params

	// SubsidyHalvingInterval is the number of blocks between halvings of the
	// subsidy, which starts at 50 bitcoins.
	SubsidyHalvingInterval uint32
	// BIP34Hash is the block at BIP34Height of the chain on which BIP34 is
	// known to imply BIP30; zero where there is none, so that BIP30 is always
	// checked.
	BIP34Hash chainhash.Hash
	// CSVHeight is the first height with BIP68, BIP112 and BIP113.
	CSVHeight uint32
	// SegwitHeight is the first height with the witness commitment (BIP141)
	// and BIP147's empty dummy.
	SegwitHeight uint32
	// BIP30Exceptions are the blocks that repeat a coinbase, by hash.
	BIP30Exceptions map[chainhash.Hash]uint32
	// ScriptFlagExceptions are the blocks that break P2SH, segwit or taproot:
	// those of the three that hold for them.
	ScriptFlagExceptions map[chainhash.Hash]script.Flags
	// SignetChallenge is the script that a block's solution must satisfy
	// (BIP325); nil on other networks.
	SignetChallenge []byte
}

// These are consensus limits, in Bitcoin Core's names and units.
const (
	maxBlockWeight       = 4_000_000
	witnessScaleFactor   = 4
	maxBlockSigOpsCost   = 80_000
	coinbaseMaturity     = 100
	maxMoney             = 21_000_000 * coin
	coin                 = 100_000_000
	initialSubsidy       = 50 * coin
	maxScriptSize        = 10_000
	lockTimeThreshold    = 500_000_000
	bip34ImpliesBIP30End = 1_983_702 // BIP34_IMPLIES_BIP30_LIMIT
)

// ParamsFor returns the parameters of a network, for the caller to keep. The
// name is one that header.For knows, and so is the error.
func ParamsFor(network string) (*Params, error) {
	h, err := header.For(network)
	if err != nil {
		return nil, err
	}
	p := &Params{Params: h, SubsidyHalvingInterval: 210_000, CSVHeight: 1, SegwitHeight: 1}
	switch h.Name {
	case "main":
		p.BIP34Hash = blockHash("000000000000024b89b42a942fe0d9fea3bb44ab7bd1b19115dd6a759c0808b8")
		p.CSVHeight, p.SegwitHeight = 419328, 481824
		p.BIP30Exceptions = map[chainhash.Hash]uint32{
			blockHash("00000000000a4d0a398161ffc163c503763b1f4360639393e0e4c8e300e0caec"): 91842,
			blockHash("00000000000743f190a18c5577a3c2d2a1f610ae9601ac046a38084ccb7cd721"): 91880,
		}
		p.ScriptFlagExceptions = map[chainhash.Hash]script.Flags{
			blockHash("00000000000002dc756eebf4f49723ed8d30cc28a5f108eb94b1ba88ac4f9c22"): 0,
			blockHash("0000000000000000000f14c35b2d841e986ab5441de8c585d5ffe55ea1e395ad"): script.P2SH | script.Witness,
		}
	case "test":
		p.BIP34Hash = blockHash("0000000023b3a96d3484e5abb3755c413e7d41500f8e2a5c3f0dd01299cd8ef8")
		p.CSVHeight, p.SegwitHeight = 770112, 834624
		p.ScriptFlagExceptions = map[chainhash.Hash]script.Flags{
			blockHash("00000000dd30457c001f4095d208cc1296b0eed002427aa599874af7a432b105"): 0,
		}
	case "signet":
		p.SignetChallenge = []byte("\x51" +
			"\x21\x03\xad\x5e\x0e\xda\xd1\x8c\xb1\xf0\xfc\x0d\x28\xa3\xd4\xf1\xf3" +
			"\xe4\x45\x64\x03\x37\x48\x9a\xbb\x10\x40\x4f\x2d\x1e\x08\x6b\xe4\x30" +
			"\x21\x03\x59\xef\x50\x21\x96\x4f\xe2\x2d\x6f\x8e\x05\xb2\x46\x3c\x95" +
			"\x40\xce\x96\x88\x3f\xe3\xb2\x78\x76\x0f\x04\x8f\x51\x89\xf2\xe6\xc4" +
			"\x52\xae")
	case "regtest":
		p.SubsidyHalvingInterval = 150
		p.SegwitHeight = 0
	case "simnet":
		p.CSVHeight, p.SegwitHeight = 0, 0
	}
	return p, nil
}

// blockHash returns the hash that s shows in display order. It panics where s is no
// hash: it is for constants.
func blockHash(s string) chainhash.Hash {
	h, err := chainhash.NewHashFromStr(s)
	if err != nil {
		panic(err)
	}
	return *h
}

// ScriptFlags returns the rules that hold for the scripts of a block, as
// GetBlockScriptFlags in Bitcoin Core: P2SH, segwit and taproot from the first
// block on, but for the exceptions, and the others by height.
func (p *Params) ScriptFlags(block chainhash.Hash, height uint32) script.Flags {
	flags, ok := p.ScriptFlagExceptions[block]
	if !ok {
		flags = script.P2SH | script.Witness | script.Taproot
	}
	if height >= p.BIP66Height {
		flags |= script.DERSig
	}
	if height >= p.BIP65Height {
		flags |= script.CheckLockTimeVerify
	}
	if height >= p.CSVHeight {
		flags |= script.CheckSequenceVerify
	}
	if height >= p.SegwitHeight {
		flags |= script.NullDummy
	}
	return flags
}

// subsidy returns the new satoshis that the block at height may create.
func (p *Params) subsidy(height uint32) int64 {
	halvings := height / p.SubsidyHalvingInterval
	if halvings >= 64 {
		return 0
	}
	return initialSubsidy >> halvings
}

// enforceBIP30 reports whether the block's transactions must not have the ids
// of earlier ones with unspent outputs, as ConnectBlock in Bitcoin Core: always,
// but for the two blocks that did it, and for the heights at which BIP34 is
// known to make it impossible, if the chain is the one on which that is known.
// Without ancestors it is taken to be. The error is the ancestors' own.
func (p *Params) enforceBIP30(block chainhash.Hash, height uint32, a header.Ancestors) (bool, error) {
	if height >= bip34ImpliesBIP30End {
		return true, nil
	}
	if at, ok := p.BIP30Exceptions[block]; ok && at == height {
		return false, nil
	}
	if height <= p.BIP34Height || p.BIP34Hash == (chainhash.Hash{}) {
		return true, nil
	}
	if a == nil {
		return false, nil
	}
	h, err := a.At(p.BIP34Height)
	return h.Hash() != p.BIP34Hash, err
}
