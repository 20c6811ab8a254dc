package header

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

// btcdParams returns btcd's parameters for each network.
func btcdParams() map[string]*chaincfg.Params {
	return map[string]*chaincfg.Params{
		"main":     &chaincfg.MainNetParams,
		"test":     &chaincfg.TestNet3Params,
		"testnet4": &chaincfg.TestNet4Params,
		"signet":   &chaincfg.SigNetParams,
		"regtest":  &chaincfg.RegressionNetParams,
		"simnet":   &chaincfg.SimNetParams,
	}
}

func TestParamsAgainstBtcd(t *testing.T) {
	all := btcdParams()
	if len(Networks()) != len(all) {
		t.Fatalf("Networks() = %v, the test knows %d", Networks(), len(all))
	}
	for _, name := range Networks() {
		t.Run(name, func(t *testing.T) {
			p, err := For(name)
			if err != nil {
				t.Fatal(err)
			}
			b := all[name]
			if p.Name != name {
				t.Errorf("Name = %q", p.Name)
			}
			if got := binary.LittleEndian.Uint32(p.Magic[:]); got != uint32(b.Net) {
				t.Errorf("Magic = %x, btcd's is %08x", p.Magic, uint32(b.Net))
			}
			if p.Genesis.Hash() != *b.GenesisHash {
				t.Errorf("the genesis block is %s, btcd's is %s", p.Genesis.Hash(), b.GenesisHash)
			}
			if got := toBig(p.PowLimit); got.Cmp(b.PowLimit) != 0 {
				t.Errorf("PowLimit = %x, btcd's is %x", got, b.PowLimit)
			}
			if got := p.PowLimit.Compact(); got != b.PowLimitBits || got != p.Genesis.Bits() {
				t.Errorf("PowLimit is %08x in compact form, btcd's is %08x, the genesis block's %08x", got, b.PowLimitBits, p.Genesis.Bits())
			}
			spacing, timespan := time.Duration(p.TargetSpacing)*time.Second, time.Duration(p.TargetTimespan)*time.Second
			if spacing != b.TargetTimePerBlock {
				t.Errorf("TargetSpacing = %s, btcd's is %s", spacing, b.TargetTimePerBlock)
			}
			wantTimespan := b.TargetTimespan
			if name == "regtest" {
				wantTimespan = 24 * time.Hour // Core's since version 29
			}
			if timespan != wantTimespan {
				t.Errorf("TargetTimespan = %s, want %s", timespan, wantTimespan)
			}
			if p.TargetTimespan%p.TargetSpacing != 0 {
				t.Errorf("a period is no whole number of blocks")
			}
			if p.NoRetargeting != b.PoWNoRetargeting || p.AllowMinDifficulty != b.ReduceMinDifficulty || p.BIP94 != b.EnforceBIP94 {
				t.Errorf("NoRetargeting, AllowMinDifficulty, BIP94 = %t, %t, %t, btcd's are %t, %t, %t", p.NoRetargeting,
					p.AllowMinDifficulty, p.BIP94, b.PoWNoRetargeting, b.ReduceMinDifficulty, b.EnforceBIP94)
			}
			if b.ReduceMinDifficulty && b.MinDiffReductionTime != 2*spacing {
				t.Errorf("btcd's minimum difficulty comes after %s, not %s", b.MinDiffReductionTime, 2*spacing)
			}
			if p.BIP34Height != uint32(b.BIP0034Height) || p.BIP66Height != uint32(b.BIP0066Height) || p.BIP65Height != uint32(b.BIP0065Height) {
				t.Errorf("BIP34, 66, 65 at %d, %d, %d, btcd's are %d, %d, %d", p.BIP34Height, p.BIP66Height, p.BIP65Height,
					b.BIP0034Height, b.BIP0066Height, b.BIP0065Height)
			}
			if err := p.Check(&p.Genesis, 0, Chain(nil), time.Time{}); err != nil {
				t.Errorf("the genesis block at height 0: %v", err)
			}
		})
	}
}

// TestParamsRetargetFits is the sanity check that Bitcoin Core makes of its own
// parameters: no legal target times the longest timespan reaches 2^256, so that
// its arithmetic modulo 2^256 and the exact one here give the same bits. On
// simnet it does.
func TestParamsRetargetFits(t *testing.T) {
	for _, name := range Networks() {
		p, err := For(name)
		if err != nil {
			t.Fatal(err)
		}
		if p.NoRetargeting {
			continue
		}
		_, overflow := p.PowLimit.mulDiv(uint64(4*p.TargetTimespan), 1)
		if overflow != (name == "simnet") {
			t.Errorf("%s: the product of a retarget reaches 2^256: %t", name, overflow)
		}
	}
}

func TestForNames(t *testing.T) {
	for alias, name := range map[string]string{"mainnet": "main", "testnet3": "test"} {
		p, err := For(alias)
		if err != nil || p.Name != name {
			t.Errorf("For(%q) = %v, %v, want %s", alias, p, err, name)
		}
	}
	for _, unknown := range []string{"", "Main", "testnet", "bitcoin"} {
		p, err := For(unknown)
		if p != nil || err == nil {
			t.Errorf("For(%q) = %v, %v, want an error", unknown, p, err)
			continue
		}
		for _, name := range append(Networks(), "mainnet", "testnet3") {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("For(%q): %v: does not name %s", unknown, err, name)
			}
		}
	}
	one, _ := For("main")
	two, _ := For("main")
	one.BIP34Height = 0
	if two.BIP34Height == 0 {
		t.Error("two callers of For share their parameters")
	}
}
