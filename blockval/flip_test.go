package blockval

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/testvectors"
)

// A region of a block's serialisation commits to its bytes in one way, which
// tells the rules that a flipped bit there can break.
type region struct {
	name       string
	start, end int
	rules      []Rule
}

// regions returns the regions of a block that is valid, by the sizes that wire
// gives.
func regions(tb testing.TB, raw []byte) []region {
	tb.Helper()
	b, err := Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	var all []region
	pos := 0
	add := func(name string, size int, rules ...Rule) {
		all = append(all, region{name, pos, pos + size, rules})
		pos += size
	}
	add("header", header.Size, header.HighHash)
	txs := b.Msg.Transactions
	add("count", b.Msg.SerializeSize()-header.Size-sum(txs), BlockDecode)
	for i, tx := range txs {
		name := func(part string) string { return fmt.Sprintf("%s of transaction %d", part, i) }
		committed := []Rule{BlockDecode, BadMerkleRoot}
		if !tx.HasWitness() {
			add(name("bytes"), tx.SerializeSize(), committed...)
			continue
		}
		stripped := tx.SerializeSizeStripped()
		add(name("version"), 4, committed...)
		add(name("marker"), 2, committed...)
		add(name("inputs and outputs"), stripped-8, committed...)
		add(name("witness"), tx.SerializeSize()-stripped-2, BlockDecode, BadWitnessNonce, BadWitnessCommitment)
		add(name("lock time"), 4, committed...)
	}
	if pos != len(raw) {
		tb.Fatalf("the regions have %d bytes, the block %d", pos, len(raw))
	}
	return all
}

func sum[T interface{ SerializeSize() int }](parts []T) int {
	n := 0
	for _, p := range parts {
		n += p.SerializeSize()
	}
	return n
}

// TestFlippedBits flips single bits of valid blocks: all of block 170 and all of
// each small block's header, and a sample elsewhere. Every one must be refused,
// and by a rule that speaks for the place.
func TestFlippedBits(t *testing.T) {
	const seed = 1
	for _, height := range testvectors.MainnetHeights() {
		t.Run(fmt.Sprint(height), func(t *testing.T) {
			t.Parallel()
			m := loadMainnet(t, height)
			v := newValidator(t, "main", Options{Workers: 1})
			all := regions(t, m.raw)
			rng := rand.New(rand.NewPCG(seed, uint64(height)))
			bits := make(map[int]bool)
			sample := min(len(m.raw)*8, 200_000_000/len(m.raw))
			if testing.Short() {
				sample /= 10
			}
			switch {
			case len(m.raw) < 1000:
				for i := range 8 * len(m.raw) {
					bits[i] = true
				}
			case len(m.raw) < 100_000:
				for i := range 8 * header.Size {
					bits[i] = true
				}
			}
			for range sample {
				r := all[rng.IntN(len(all))]
				bits[8*r.start+rng.IntN(8*(r.end-r.start))] = true
			}
			for bit := range bits {
				raw := slices.Clone(m.raw)
				raw[bit/8] ^= 1 << (bit % 8)
				i := slices.IndexFunc(all, func(r region) bool { return bit/8 < r.end })
				got := checkRaw(t, v, raw, m.at())
				switch {
				case got.Valid():
					t.Errorf("seed %d: valid with bit %d flipped, in the %s", seed, bit, all[i].name)
				case !slices.Contains(all[i].rules, got.Err.Rule):
					t.Errorf("seed %d: bit %d in the %s: %v, want one of %q", seed, bit, all[i].name, got.Err, all[i].rules)
				}
			}
		})
	}
}
