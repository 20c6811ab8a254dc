package relay

import (
	"fmt"
	"math"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// near fails the test if got is further from want than a share of it.
func near(t testing.TB, what string, got uint64, want, share float64) {
	t.Helper()
	if off := float64(got)/want - 1; math.Abs(off) > share {
		t.Errorf("%s: %d gas, measured %.0f: %+.2f %%", what, got, want, 100*off)
	}
}

// within is how far an estimate may be from a measurement.
const within = 0.02

// TestGas compares estimates with measurements of FullRelayWithVerify as BOB has it
// (solc 0.8.24, optimised for 5000 runs) in go-ethereum 1.17.10's EVM.
func TestGas(t *testing.T) {
	f := load(t, "relay/headers.json")
	// Whole transactions, real headers: addHeaders, the same once more, and
	// markNewHeaviest with the least limit.
	for n, want := range map[int][3]float64{
		1:  {59_138, 38_723, 54_795},
		2:  {84_812, 43_982, 59_582},
		5:  {184_311, 60_062, 68_365},
		10: {335_124, 86_626, 82_200},
		18: {585_430, 129_264, 100_356},
	} {
		r := newRelay(t, f.Genesis.Raw, f.Genesis.Height)
		chain := raw(f.Chain[:n])
		for i, want := range want[:2] {
			receipt, err := r.AddHeaders(f.Genesis.Raw, chain)
			must(t, receipt, err)
			near(t, fmt.Sprintf("addHeaders of %d, time %d", n, i+1), receipt.Gas, want, 0.002)
		}
		receipt, err := r.MarkNewHeaviest(f.Genesis.Digest, f.Genesis.Raw, f.Chain[n-1].Raw, uint64(n))
		must(t, receipt, err)
		near(t, fmt.Sprintf("markNewHeaviest over %d", n), receipt.Gas, want[2], 0.002)
	}

	// Long chains: the execution, then a whole transaction as published with BOB's
	// relay, whose headers had more zero bytes.
	genesis := first(easyBits)
	chain := chainOn(genesis, 700, easyBits, 2)
	for n, want := range map[int][4]float64{
		100: {3_026_096, 3_130_000, 253_952, 277_800},
		400: {12_078_705, 12_430_000, 933_452, 956_800},
		700: {21_140_103, 21_740_000, 1_612_952, 0},
	} {
		r := newRelay(t, genesis, 20_160)
		receipt, err := r.AddHeaders(genesis, chain[:n*header.Size])
		must(t, receipt, err)
		near(t, fmt.Sprintf("execution of addHeaders of %d", n), receipt.Exec, want[0], 0.002)
		near(t, fmt.Sprintf("addHeaders of %d", n), receipt.Gas, want[1], within)
		receipt, err = r.MarkNewHeaviest(hash256(genesis), genesis, at(chain, n-1), uint64(n))
		must(t, receipt, err)
		near(t, fmt.Sprintf("execution of markNewHeaviest over %d", n), receipt.Exec, want[2], 0.002)
		if want[3] != 0 {
			near(t, fmt.Sprintf("markNewHeaviest over %d", n), receipt.Gas, want[3], within)
		}
		if n != 400 {
			continue
		}
		for depth, want := range map[int]float64{6: 30_303, 99: 234_101, 255: 583_541, 262: 603_743, 390: 890_463} {
			receipt, err := r.VerifyHeaderHash(hash256(at(chain, n-1-depth)), 6)
			must(t, receipt, err)
			near(t, fmt.Sprintf("execution of verifyHeaderHash %d below", depth), receipt.Exec, want, 0.002)
		}
		block := at(chain, n-7)
		receipt, err = r.VerifyProof(block, nil, chainhash.Hash(block[36:68]), 0, 6)
		must(t, receipt, err)
		near(t, "execution of verifyProof without levels", receipt.Exec, 33_341, 0.002)
		receipt, err = r.VerifyProof(block, make([]byte, 10*32), chainhash.Hash{9}, 777, 6)
		reverts(t, "a proof of nothing", err, "Bad inclusion proof")
		near(t, "execution of verifyProof with 10 levels that fails", receipt.Exec, 9_875, 0.01)
	}

	// A header that is nowhere: the relay looks 2,048 times.
	r := newRelay(t, f.Genesis.Raw, f.Genesis.Height)
	must(t, Receipt{}, nil)
	if _, err := r.AddHeaders(f.Genesis.Raw, raw(f.Chain)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.MarkNewHeaviest(f.Genesis.Digest, f.Genesis.Raw, f.Chain[17].Raw, 19); err != nil {
		t.Fatal(err)
	}
	receipt, err := r.VerifyHeaderHash(chainhash.Hash{5}, 0)
	reverts(t, "a header that is nowhere", err, "Block is not in longest chain")
	near(t, "execution of verifyHeaderHash that fails", receipt.Exec, 534_256, 0.002)
}

// TestGasOfMulticalls compares plans of one transaction with measurements of them, with
// Multicall3 in the same EVM.
func TestGasOfMulticalls(t *testing.T) {
	f := load(t, "relay/headers.json")
	var relay, via Address
	for i := range relay {
		relay[i], via[i] = 0x11, 0x22 // an address has few zero bytes
	}
	for n, want := range map[int]float64{1: 99_821, 5: 228_613, 18: 635_921} {
		r := newRelay(t, f.Genesis.Raw, f.Genesis.Height)
		p, err := r.Plan(Request{
			Headers: raw(f.Chain[:n]), Height: f.Chain[0].Height, Anchor: f.Genesis.Raw,
			Best: f.Genesis.Raw, Ancestor: f.Genesis.Digest, Relay: relay, Multicall: via,
		}, DefaultCaps())
		if err != nil {
			t.Fatal(err)
		}
		near(t, fmt.Sprintf("a multicall of %d headers", n), p.Gas, want, 0.002)
	}
}

// TestGasOfRetargets compares the execution of calls at a change of the target with
// measurements, of LightRelay as solc 0.8.24 compiles it without its IR.
func TestGasOfRetargets(t *testing.T) {
	f := load(t, "relay/headersWithRetarget.json")
	for n, want := range map[int][2]float64{1: {112_138, 53_018}, 5: {232_745, 62_078}, 9: {353_353, 71_138}} {
		r, err := NewFullRelay(f.Genesis.Raw, f.Genesis.Height, f.PeriodStart.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.AddHeaders(f.Genesis.Raw, raw(f.Chain[:9])); err != nil {
			t.Fatal(err)
		}
		receipt, err := r.AddHeadersWithRetarget(f.PeriodStart.Raw, f.Chain[8].Raw, raw(f.Chain[9:9+n]))
		must(t, receipt, err)
		near(t, fmt.Sprintf("addHeadersWithRetarget of %d", n), receipt.Exec, want[0], 0.002)
		receipt, err = r.MarkNewHeaviest(f.Genesis.Digest, f.Genesis.Raw, f.Chain[8+n].Raw, uint64(10+n))
		must(t, receipt, err)
		near(t, fmt.Sprintf("markNewHeaviest over a retarget and %d", n), receipt.Exec, want[1], 0.002)
	}

	chain := append([]FileHeader{f.Genesis}, f.Chain...)
	for length, want := range map[int]float64{1: 69_766, 2: 74_684, 4: 84_521, 8: 104_196, 9: 109_115} {
		r := NewLightRelay(Address{})
		receipt, err := r.Genesis(Address{}, f.PeriodStart.Raw, f.PeriodStart.Height, uint64(length))
		must(t, receipt, err)
		near(t, "genesis", receipt.Exec, 75_831, 0.002)
		receipt, err = r.Retarget(Address{}, raw(chain[10-length:10+length]), 1<<40)
		must(t, receipt, err)
		near(t, fmt.Sprintf("retarget with %d on either side", length), receipt.Exec, want, 0.002)
		// As published with BOB's relay: measured without a commit between the
		// calls, so that two slots were changed for nothing.
		if published, ok := map[int]float64{1: 87_800, 4: 109_000, 8: 138_000}[length]; ok {
			near(t, fmt.Sprintf("retarget with %d, published", length), receipt.Gas-2*(gasStoreChange-gasWarmLoad), published, within)
		}
	}
	// tBTC's relay on Ethereum, with 20 on either side: 234,196.
	retargetOf20 := BOBCosts().LightRetarget + gasStoreNew + gasStoreChange - 2*gasWarmLoad + 40*BOBCosts().LightHeader
	calldata := BOBCosts().call(RetargetData(chainOn(first(easyBits), 40, easyBits, 3))).data
	near(t, "retarget with 20 on either side", gasTransaction+retargetOf20+calldata, 234_196, within)
}

// A transaction without execution costs at least its data (EIP-7623).
func TestGasFloor(t *testing.T) {
	m := BOBCosts().call(append(make([]byte, 1000), []byte("abcd")...))
	if got, want := m.receipt(nil).Gas, uint64(21000+10*(1000+4*4)); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	m.spend(1 << 20)
	if got, want := m.receipt(nil).Gas, uint64(21000+4*1000+16*4+1<<20); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
}
