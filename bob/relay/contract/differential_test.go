package contract

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// sequences returns how many random sequences a test does, and the seed of the first. A
// few are done by default, with a seed that is always the same; OUTRIDER_RELAY_BULK does
// that many with a seed of the time, or OUTRIDER_RELAY_SEED's.
func sequences(t testing.TB, few int) (n int, seed uint64) {
	t.Helper()
	n, seed = few, 1
	if testing.Short() {
		n /= 4
	}
	for name, set := range map[string]func(uint64){
		"OUTRIDER_RELAY_BULK": func(v uint64) { n, seed = int(v), uint64(time.Now().UnixNano()) },
	} {
		if text := os.Getenv(name); text != "" {
			v, err := strconv.ParseUint(text, 10, 32)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			set(v)
		}
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

// ours returns a contract of this folder.
func ours(t testing.TB, c *Contract) *flavour {
	costs := Costs()
	return &flavour{abi: parseABI(t, c.ABI), creation: c.Creation, newTip: "NewTip", costs: &costs}
}

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
	n, seed := sequences(t, 400)
	f, real, c := ours(t, FullRelayWithVerify()), histories(t), newTally()
	for i := range n {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		if err := fullSequence(t, f, c, rng, fullWorld(rng, real)); err != nil {
			t.Fatalf("seed %d, sequence %d: %v", seed, i, err)
		}
	}
	t.Log(c)
}

// TestLightRelay compares our LightRelay with its model on random sequences of calls.
func TestLightRelay(t *testing.T) {
	n, seed := sequences(t, 600)
	f, worlds, c := ours(t, LightRelay()), lightWorlds(t), newTally()
	for i := range n {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		if err := lightSequence(t, f, c, rng, worlds); err != nil {
			t.Fatalf("seed %d, sequence %d: %v", seed, i, err)
		}
	}
	t.Log(c)
}
