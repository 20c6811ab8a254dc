package blockval

import (
	"errors"
	"fmt"
	"testing"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/blockval/script"
)

// btcdParams are btcd's parameters by Core's names of the networks.
var btcdParams = map[string]*chaincfg.Params{
	"main": &chaincfg.MainNetParams, "test": &chaincfg.TestNet3Params, "testnet4": &chaincfg.TestNet4Params,
	"signet": &chaincfg.SigNetParams, "regtest": &chaincfg.RegressionNetParams, "simnet": &chaincfg.SimNetParams,
}

// TestParams holds the parameters against those of Bitcoin Core 31.
func TestParams(t *testing.T) {
	for _, tc := range []struct {
		network                    string
		halving, csv, segwit       uint32
		bip34, bip66, bip65        uint32
		bip34Hash                  string
		bip30, flags, challengeLen int
	}{
		{"main", 210000, 419328, 481824, 227931, 363725, 388381,
			"000000000000024b89b42a942fe0d9fea3bb44ab7bd1b19115dd6a759c0808b8", 2, 2, 0},
		{"test", 210000, 770112, 834624, 21111, 330776, 581885,
			"0000000023b3a96d3484e5abb3755c413e7d41500f8e2a5c3f0dd01299cd8ef8", 0, 1, 0},
		{"testnet4", 210000, 1, 1, 1, 1, 1, "", 0, 0, 0},
		{"signet", 210000, 1, 1, 1, 1, 1, "", 0, 0, 71},
		{"regtest", 150, 1, 0, 1, 1, 1, "", 0, 0, 0},
		{"simnet", 210000, 0, 0, 0, 0, 0, "", 0, 0, 0},
	} {
		t.Run(tc.network, func(t *testing.T) {
			p, err := ParamsFor(tc.network)
			if err != nil {
				t.Fatal(err)
			}
			var bip34Hash chainhash.Hash
			if tc.bip34Hash != "" {
				bip34Hash = blockHash(tc.bip34Hash)
			}
			if p.SubsidyHalvingInterval != tc.halving || p.CSVHeight != tc.csv || p.SegwitHeight != tc.segwit ||
				p.BIP34Height != tc.bip34 || p.BIP66Height != tc.bip66 || p.BIP65Height != tc.bip65 || p.BIP34Hash != bip34Hash ||
				len(p.BIP30Exceptions) != tc.bip30 || len(p.ScriptFlagExceptions) != tc.flags || len(p.SignetChallenge) != tc.challengeLen {
				t.Errorf("got %+v, want %+v", p, tc)
			}
			btcd := btcdParams[tc.network]
			for height := int32(0); height < 65*int32(tc.halving); height += int32(tc.halving) / 3 {
				if got, want := p.subsidy(uint32(height)), blockchain.CalcBlockSubsidy(height, btcd); got != want {
					t.Fatalf("subsidy at height %d: %d, btcd has %d", height, got, want)
				}
			}
		})
	}
	if _, err := ParamsFor("liquid"); err == nil {
		t.Error("no error for an unknown network")
	}
}

// TestParamsBesideBtcd finds every height at which a rule begins on one of btcd
// and Bitcoin Core, whose heights ours are, and not on the other: none where
// both exist, but for segwit on regtest, which Core has in force at height 0
// too, where nobody asks.
func TestParamsBesideBtcd(t *testing.T) {
	for _, network := range []string{"main", "test", "testnet4", "signet", "regtest"} {
		p, err := ParamsFor(network)
		if err != nil {
			t.Fatal(err)
		}
		btcd := btcdParams[network]
		type heights struct{ bip34, bip65, bip66 uint32 }
		ours := heights{p.BIP34Height, p.BIP65Height, p.BIP66Height}
		theirs := heights{uint32(btcd.BIP0034Height), uint32(btcd.BIP0065Height), uint32(btcd.BIP0066Height)}
		if ours != theirs {
			t.Errorf("%s: %+v, btcd has %+v", network, ours, theirs)
		}
		if network == "main" || network == "test" {
			if p.BIP34Hash != *btcd.BIP0034Hash {
				t.Errorf("%s: BIP34 hash %s, btcd has %s", network, p.BIP34Hash, btcd.BIP0034Hash)
			}
			continue // CSV and segwit are version bits there, without a height
		}
		for deployment, height := range map[int]uint32{
			chaincfg.DeploymentCSV: p.CSVHeight, chaincfg.DeploymentSegwit: p.SegwitHeight, chaincfg.DeploymentTaproot: 1,
		} {
			if theirs := btcd.Deployments[deployment].AlwaysActiveHeight; max(height, 1) != theirs && theirs != 0 {
				t.Errorf("%s: deployment %d from height %d, on btcd from %d", network, deployment, height, theirs)
			}
		}
	}
	regtest := chaincfg.RegressionNetParams.Deployments
	for _, d := range []int{chaincfg.DeploymentCSV, chaincfg.DeploymentSegwit, chaincfg.DeploymentTaproot} {
		if regtest[d].AlwaysActiveHeight != 1 {
			t.Errorf("btcd's regtest: deployment %d is not in force from height 1", d)
		}
	}
}

func TestScriptFlags(t *testing.T) {
	const (
		base = script.P2SH | script.Witness | script.Taproot
		der  = script.DERSig
		cltv = script.CheckLockTimeVerify
		csv  = script.CheckSequenceVerify
		null = script.NullDummy
	)
	p, err := ParamsFor("main")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		block  string
		height uint32
		want   script.Flags
	}{
		{"00", 1, base},
		{"00", 363724, base},
		{"00", 363725, base | der},
		{"00", 388380, base | der},
		{"00", 388381, base | der | cltv},
		{"00", 419327, base | der | cltv},
		{"00", 419328, base | der | cltv | csv},
		{"00", 481823, base | der | cltv | csv},
		{"00", 481824, base | der | cltv | csv | null},
		{"00000000000002dc756eebf4f49723ed8d30cc28a5f108eb94b1ba88ac4f9c22", 170060, 0},
		{"0000000000000000000f14c35b2d841e986ab5441de8c585d5ffe55ea1e395ad", 692261, base&^script.Taproot | der | cltv | csv | null},
	} {
		if got := p.ScriptFlags(blockHash(tc.block), tc.height); got != tc.want {
			t.Errorf("block %s at height %d: flags %#x, want %#x", tc.block, tc.height, got, tc.want)
		}
	}
}

// oneHeader is a chain of which one header can be read.
type oneHeader struct {
	height uint32
	header header.Header
}

func (o oneHeader) At(height uint32) (header.Header, error) {
	if height != o.height {
		return header.Header{}, fmt.Errorf("no header at height %d", height)
	}
	return o.header, nil
}

func TestBIP30Heights(t *testing.T) {
	main, err := ParamsFor("main")
	if err != nil {
		t.Fatal(err)
	}
	regtest, err := ParamsFor("regtest")
	if err != nil {
		t.Fatal(err)
	}
	known := oneHeader{height: 227931}
	mainHash := main.BIP34Hash
	main.BIP34Hash = known.header.Hash() // the header of which that is the hash is not at hand
	other := oneHeader{height: 227931, header: header.Header{1}}
	repeat := blockHash("00000000000a4d0a398161ffc163c503763b1f4360639393e0e4c8e300e0caec")
	for _, tc := range []struct {
		name   string
		p      *Params
		block  chainhash.Hash
		height uint32
		a      header.Ancestors
		want   bool
	}{
		{"before BIP34", main, chainhash.Hash{}, 227930, known, true},
		{"at BIP34", main, chainhash.Hash{}, 227931, known, true},
		{"after BIP34", main, chainhash.Hash{}, 227932, known, false},
		{"after BIP34 on another chain", main, chainhash.Hash{}, 227932, other, true},
		{"after BIP34, chain not known", main, chainhash.Hash{}, 227932, nil, false},
		{"last height that BIP34 covers", main, chainhash.Hash{}, 1983701, known, false},
		{"first that it does not", main, chainhash.Hash{}, 1983702, known, true},
		{"first that it does not, chain not known", main, chainhash.Hash{}, 1983702, nil, true},
		{"a block that repeats", main, repeat, 91842, known, false},
		{"its hash at another height", main, repeat, 91880, known, true},
		{"its height with another hash", main, mainHash, 91842, known, true},
		{"regtest", regtest, chainhash.Hash{}, 5, known, true},
	} {
		got, err := tc.p.enforceBIP30(tc.block, tc.height, tc.a)
		if err != nil || got != tc.want {
			t.Errorf("%s: %v, %v, want %v", tc.name, got, err, tc.want)
		}
	}
	if _, err := main.enforceBIP30(chainhash.Hash{}, 300000, oneHeader{height: 1}); err == nil || errors.Is(err, RepeatedTx) {
		t.Errorf("ancestors that cannot be read: %v", err)
	}
}
