package contract

import (
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// published returns a contract that others published, from the directory with the
// packages of published/package.json.
func published(t *testing.T, name string) *flavour {
	t.Helper()
	dir := os.Getenv("OUTRIDER_RELAYS")
	if dir == "" {
		const missing = "OUTRIDER_RELAYS names no directory with relays that others published: the models were not compared with them (make published-relays does)"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	data, err := os.ReadFile(filepath.Join(dir, "node_modules", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		ABI      json.RawMessage
		Bytecode string
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	creation, err := hex.DecodeString(strings.TrimPrefix(file.Bytecode, "0x"))
	if err != nil || len(creation) == 0 {
		t.Fatalf("%s: bytecode of %d bytes: %v", name, len(creation), err)
	}
	return &flavour{abi: parseABI(t, file.ABI), creation: creation, newTip: "NewTip"}
}

// TestPublishedRelay compares the model of FullRelay with summa's Relay, its ancestor. Both
// accept the same calls and have the same state afterwards; the ancestor differs in the
// name of the event, in some words, and in what the flavour says.
func TestPublishedRelay(t *testing.T) {
	f := published(t, "@summa-tx/relay-sol/build/contracts/Relay.json")
	f.newTip = "Reorg"
	f.startNeedsWork, f.anyLimit, f.wraps = true, true, true
	f.excuse = func(words, got string) bool {
		switch strings.TrimPrefix(words, "reverted: ") {
		case "Anchor must be 80 bytes", "Header array length must be divisible by 80", "Bad args. Check header and array byte lengths.":
			// It asks for no lengths, or later, and finds something else that is wrong.
			return strings.HasPrefix(got, "reverted: ")
		case "Bad genesis block":
			return got == "reverted: Stop being dumb"
		case "Unknown block", "panic 0x32":
			// It reads the first header first. Solidity had no panics then.
			return got == "reverted: Slice out of bounds"
		case "panic 0x12":
			return got == "invalid opcode: INVALID"
		case "panic 0x11":
			return got == "reverted: Overflow during multiplication." || got == "reverted: Underflow during subtraction."
		}
		return false
	}
	n, seed := sequences(t, 400, 400)
	real := histories(t)
	c := each(t, n, seed, func(t testing.TB, c *tally, rng *rand.Rand) error {
		return fullSequence(t, f, c, rng, fullWorld(rng, real))
	})
	reverts := slices.DeleteFunc(slices.Clone(fullReverts), func(words string) bool {
		return words == "Requested limit is greater than 1 difficulty period"
	})
	c.check(t, append(slices.Clone(fullWorks), f.views...), reverts)
}

// TestPublishedLightRelay compares the model of LightRelay with tBTC's, which BOB's is a
// fork of.
func TestPublishedLightRelay(t *testing.T) {
	f := published(t, "@keep-network/tbtc-v2/build/contracts/relay/LightRelay.sol/LightRelay.json")
	n, seed := sequences(t, 200, 200)
	// It is Ownable of OpenZeppelin's version 4, which has words.
	f.excuse = func(words, got string) bool {
		return strings.HasPrefix(words, customPrefix("OwnableUnauthorizedAccount(address)")) && got == "reverted: Ownable: caller is not the owner" ||
			strings.HasPrefix(words, customPrefix("OwnableInvalidOwner(address)")) && got == "reverted: Ownable: new owner is the zero address"
	}
	worlds := lightWorlds(t)
	c := each(t, n, seed, func(t testing.TB, c *tally, rng *rand.Rand) error { return lightSequence(t, f, c, rng, worlds) })
	c.check(t, lightWorks, lightReverts)
}
