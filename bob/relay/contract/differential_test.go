package contract

import (
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"
)

// inCI is how many random sequences CI runs of each contract of ours: 10,000 of both.
const inCI = 5000

// sequences returns how many random sequences a test does, and the seed of the first. A
// few are done by default, many in CI, a twentieth of the few if the tests are to be short,
// with a seed that is always the same; OUTRIDER_RELAY_BULK does that many with a seed of the
// time, or OUTRIDER_RELAY_SEED's.
func sequences(t testing.TB, few, many int) (n int, seed uint64) {
	t.Helper()
	n, seed = few, 1
	switch {
	case testing.Short():
		n /= 20
	case os.Getenv("CI") == "true":
		n = many
	}
	if text := os.Getenv("OUTRIDER_RELAY_BULK"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("OUTRIDER_RELAY_BULK: %v", err)
		}
		seed = uint64(time.Now().UnixNano())
	}
	if text := os.Getenv("OUTRIDER_RELAY_SEED"); text != "" {
		v, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("OUTRIDER_RELAY_SEED: %v", err)
		}
		seed = v
	}
	t.Logf("%d sequences, seed %d", n, seed)
	return n, seed
}

// each does n random sequences, as many at once as there are processors, and returns a tally of
// all. What a sequence does follows from the seed and its number alone.
func each(t *testing.T, n int, seed uint64, do func(t testing.TB, c *tally, rng *rand.Rand) error) *tally {
	t.Helper()
	parts := make([]*tally, runtime.GOMAXPROCS(0))
	t.Run("sequences", func(t *testing.T) {
		for part := range parts {
			parts[part] = newTally()
			t.Run(strconv.Itoa(part), func(t *testing.T) {
				t.Parallel()
				for i := part; i < n; i += len(parts) {
					if err := do(t, parts[part], rand.New(rand.NewPCG(seed, uint64(i)))); err != nil {
						t.Fatalf("seed %d, sequence %d: %v", seed, i, err)
					}
				}
			})
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	all := newTally()
	for _, c := range parts {
		all.add(c)
	}
	return all
}

// ours returns a contract of this folder.
func ours(t testing.TB, c *Contract) *flavour {
	costs := Costs()
	return &flavour{abi: parseABI(t, c.ABI), creation: c.Creation, newTip: "NewTip", proofs: true, costs: &costs}
}

// check fails the test if estimates of gas were off by more than they may be, or if the
// sequences were too weak: some calls never worked, or some reverts never happened. Of
// short tests that is not asked.
func (c *tally) check(t testing.TB, works, reverts []string) {
	t.Helper()
	t.Log(c)
	if testing.Short() {
		works, reverts = nil, nil
	}
	for _, method := range works {
		if c.worked[method] == 0 {
			t.Errorf("no call of %s worked", method)
		}
	}
	for _, words := range reverts {
		if c.reverted[words] == 0 {
			t.Errorf("no call reverted with %q", words)
		}
	}
	if c.gas > within {
		t.Errorf("an estimate is off by %.2f %%: %s", 100*c.gas, c.worst)
	}
}

// What a FullRelay and a LightRelay do, and why they revert.
var (
	fullWorks   = []string{"addHeaders", "addHeadersWithRetarget", "markNewHeaviest", "findHeight", "findAncestor", "isAncestor"}
	fullReverts = []string{
		"A descendant height is below the ancestor height", "Ancestor must be heaviest common ancestor", "Anchor must be 80 bytes",
		"Bad args. Check header and array byte lengths.", "Bad genesis block", "Header array length must be divisible by 80",
		"Header work is insufficient", "Headers do not form a consistent chain", "Invalid retarget provided",
		"Must provide exactly 1 difficulty period", "Must provide the last header of the closing difficulty period",
		"New best hash does not have more work than previous", "New best is unknown", "Passed in best is not best known",
		"Period header difficulties do not match", "Requested limit is greater than 1 difficulty period",
		"Target changed unexpectedly", "Underflow during subtraction.", "Unexpected retarget on external call", "Unknown ancestor",
		"Unknown block", "panic 0x11", "panic 0x32",
	}
	proofWorks   = []string{"verifyHeaderHash", "verifyProof"}
	proofReverts = []string{
		"Bad header block", "Bad inclusion proof", "Bad merkle array proof", "Block is not in longest chain", "Insufficient confirmations",
	}
	lightWorks   = []string{"genesis", "retarget", "validateChain", "setProofLength", "transferOwnership", "renounceOwnership", "getBlockDifficulty"}
	lightReverts = []string{
		"Cannot validate chains before relay genesis", "Epoch cannot end in the future", "Epoch is before relay genesis",
		"Epoch is not proven to the relay yet", "Genesis already performed", "Invalid chain", "Invalid header length",
		"Invalid height of relay genesis block", "Invalid number of headers", "Invalid target in header chain",
		"Invalid target in new epoch", "Invalid target in pre-retarget headers", "Invalid work",
		"Proof length excessive", "Proof length may not be zero", "Proof length unchanged", "Relay is not ready for use",
		"Submitter unauthorized", "Underflow during subtraction.", "panic 0x11", "panic 0x12",
	}
)

// fullWorld returns a world for a sequence: mined ones, and some of real headers.
func fullWorld(rng *rand.Rand, real []history) *world {
	if rng.IntN(4) == 0 {
		return realWorld(rng, real)
	}
	return minedWorld(rng)
}

// TestFullRelay compares our FullRelayWithVerify with its model on random sequences of
// calls.
func TestFullRelay(t *testing.T) {
	n, seed := sequences(t, 400, inCI)
	f, real := ours(t, FullRelayWithVerify()), histories(t)
	c := each(t, n, seed, func(t testing.TB, c *tally, rng *rand.Rand) error {
		return fullSequence(t, f, c, rng, fullWorld(rng, real))
	})
	c.check(t, slices.Concat(fullWorks, proofWorks), slices.Concat(fullReverts, proofReverts))
}

// TestLightRelay compares our LightRelay with its model on random sequences of calls.
func TestLightRelay(t *testing.T) {
	n, seed := sequences(t, 400, inCI)
	f, worlds := ours(t, LightRelay()), lightWorlds(t)
	c := each(t, n, seed, func(t testing.TB, c *tally, rng *rand.Rand) error { return lightSequence(t, f, c, rng, worlds) })
	c.check(t, lightWorks, append([]string{"OwnableUnauthorizedAccount(address)", "OwnableInvalidOwner(address)"}, lightReverts...))
}
