package testvectors

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A census counts what a block has, the coinbase left out.
type census struct {
	// shapes are the transactions by shape, as parseMix reads them but for the
	// numbers, and chained the inputs of each that spend outputs of the block.
	shapes, chained map[string]int
	ins, outs       map[pattern]int
	insOf, outsOf   map[int]int // transactions by their number of inputs, outputs
	hashTypes       map[string]int
	depths          []int // transactions by ancestors in the block, in the longest line
	inputs, spends  int   // spends are the inputs that spend outputs of the block
	size, weight    int
}

func takeCensus(t testing.TB, raw []byte, spent []SpentOutput) *census {
	t.Helper()
	var block wire.MsgBlock
	if err := block.Deserialize(bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	c := &census{
		shapes: map[string]int{}, chained: map[string]int{}, ins: map[pattern]int{}, outs: map[pattern]int{},
		insOf: map[int]int{}, outsOf: map[int]int{}, hashTypes: map[string]int{},
		size: len(raw), weight: 3*block.SerializeSizeStripped() + len(raw),
	}
	depth := map[chainhash.Hash]int{}
	for _, tx := range block.Transactions[1:] {
		ins, outs := map[pattern]int{}, map[pattern]int{}
		own, deep := 0, 0
		for i, in := range tx.TxIn {
			p := patternOf(spent[i].Script, in)
			ins[p]++
			c.ins[p]++
			c.countHashTypes(p, in)
			if d, ok := depth[in.PreviousOutPoint.Hash]; ok {
				own++
				deep = max(deep, d+1)
			}
		}
		spent = spent[len(tx.TxIn):]
		for _, o := range tx.TxOut {
			p := outputPattern(o.PkScript)
			outs[p]++
			c.outs[p]++
		}
		depth[tx.TxHash()] = deep
		for len(c.depths) <= deep {
			c.depths = append(c.depths, 0)
		}
		c.depths[deep]++
		c.inputs += len(tx.TxIn)
		c.spends += own
		c.insOf[len(tx.TxIn)]++
		c.outsOf[len(tx.TxOut)]++
		name := runsOf(ins) + "-> " + runsOf(outs)
		c.shapes[name]++
		c.chained[name] += own
	}
	if len(spent) != 0 {
		t.Fatalf("%d spent outputs are of no input", len(spent))
	}
	return c
}

// runsOf writes counts as parseRuns reads them, in the order of the letters.
func runsOf(counts map[pattern]int) string {
	var s strings.Builder
	for _, p := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&s, "%d%c ", counts[p], p)
	}
	return s.String()
}

// outputPattern returns what an output's script shows.
func outputPattern(script []byte) pattern {
	if len(script) > 0 && script[0] == txscript.OP_RETURN {
		return nullData
	}
	switch txscript.GetScriptClass(script) {
	case txscript.PubKeyTy:
		return p2pk
	case txscript.PubKeyHashTy:
		return p2pkh
	case txscript.ScriptHashTy:
		return nestedP2WPKH
	case txscript.WitnessV0PubKeyHashTy:
		return p2wpkh
	case txscript.WitnessV0ScriptHashTy:
		return p2wshChannel
	case txscript.WitnessV1TaprootTy:
		return p2trKey
	}
	return '?'
}

// patternOf returns the pattern of a spend, or the one that is most like it.
func patternOf(script []byte, in *wire.TxIn) pattern {
	n := len(in.Witness)
	switch p := outputPattern(script); p {
	case p2pkh:
		if len(in.SignatureScript) > 120 {
			return p2pkhLong
		}
		return p
	case nestedP2WPKH:
		switch n {
		case 0:
			return p2shMultisig
		case 2:
			return p
		}
		return nestedP2WSH
	case p2wshChannel:
		inner := in.Witness[n-1]
		keys, _, err := txscript.CalcMultiSigStats(inner)
		switch {
		case err == nil && keys == 2:
			return p
		case err == nil:
			return p2wshVault
		case len(inner) < 45:
			return p2wshAnchor
		}
		return p2wshSwap
	case p2trKey:
		if n == 1 {
			return p
		}
		switch inner := in.Witness[n-2]; {
		case len(inner) > 10_000:
			return tapLarge
		case inner[len(inner)-1] == txscript.OP_ENDIF:
			return tapInscribed
		case n == 4:
			return tapMultisig
		}
		return tapDelayed
	default:
		return p
	}
}

// countHashTypes counts the hash types of an input's signatures, but for scripts of
// taproot.
func (c *census) countHashTypes(p pattern, in *wire.TxIn) {
	if p.output() == p2trKey {
		if p == p2trKey {
			c.hashTypes[fmt.Sprintf("BIP340 %x", in.Witness[0][64:])]++
		}
		return
	}
	elements := slices.Clone(in.Witness)
	for s := txscript.MakeScriptTokenizer(0, in.SignatureScript); s.Next(); {
		elements = append(elements, s.Data())
	}
	for _, e := range elements {
		if len(e) > 60 && len(e) < 74 && e[0] == 0x30 && int(e[1]) == len(e)-3 {
			c.hashTypes[fmt.Sprintf("ECDSA %x", e[len(e)-1])]++
		}
	}
}

// TestMix866342 compares the mix with the block that it is of.
func TestMix866342(t *testing.T) {
	raw, spent := LoadMainnet(t, 866342, "that generated blocks have the mix of mainnet block 866342")
	c := takeCensus(t, raw, spent)
	for i, s := range parseMix(shapes866342) {
		count := func(runs []run) string {
			counts := map[pattern]int{}
			for _, r := range runs {
				counts[r.pattern] += r.n
			}
			return runsOf(counts)
		}
		name := count(s.ins) + "-> " + count(s.out)
		if c.shapes[name] != s.txs || c.chained[name] != s.chained {
			t.Errorf("row %d: %d %d: %s; the block has %d %d", i, s.txs, s.chained, name, c.shapes[name], c.chained[name])
		}
		delete(c.shapes, name)
	}
	if len(c.shapes) > 0 {
		t.Errorf("shapes that the mix does not have: %v", c.shapes)
	}
	if !slices.Equal(c.depths, chain866342[:]) {
		t.Errorf("chains %v, want %v", c.depths, chain866342)
	}
	if c.inputs != 7972 || c.spends != 4036 {
		t.Errorf("%d inputs, %d of the block itself", c.inputs, c.spends)
	}
}

// near reports whether got is within a share of want, or a few.
func near(got, want int, share float64) bool {
	return float64(max(got-want, want-got)) <= max(3, share*float64(want))
}

// compareCounts reports what of got is not near want.
func compareCounts[K cmp.Ordered](t *testing.T, what string, got, want map[K]int, share float64) {
	t.Helper()
	keys := maps.Clone(want)
	maps.Copy(keys, got)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if !near(got[k], want[k], share) {
			t.Errorf("%s %v: %d, block 866342 has %d", what, k, got[k], want[k])
		}
	}
}

// TestGeneratedMix compares generated blocks with block 866342.
func TestGeneratedMix(t *testing.T) {
	raw, spent := LoadMainnet(t, 866342, "that generated blocks are like mainnet block 866342")
	if testing.Short() {
		t.Skip("not checked: full generated blocks")
	}
	want := takeCensus(t, raw, spent)
	for _, seed := range []uint64{1, 2, 3} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g, err := Generate(Generation{Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			got := takeCensus(t, g.Block, g.Spent)
			compareCounts(t, "inputs of pattern", got.ins, want.ins, 0.002)
			compareCounts(t, "outputs of pattern", got.outs, want.outs, 0.002)
			compareCounts(t, "transactions by inputs", got.insOf, want.insOf, 0.002)
			compareCounts(t, "transactions by outputs", got.outsOf, want.outsOf, 0.002)
			compareCounts(t, "signatures of hash type", got.hashTypes, want.hashTypes, 0.3)
			if !near(got.inputs, want.inputs, 0.001) || !near(got.spends, want.spends, 0.01) {
				t.Errorf("%d inputs and %d of the block itself; block 866342 has %d and %d", got.inputs, got.spends, want.inputs, want.spends)
			}
			if !near(got.size, want.size, 0.002) || !near(got.weight, want.weight, 0.001) || got.weight > 4_000_000 {
				t.Errorf("%d bytes, weight %d; block 866342 has %d and %d", got.size, got.weight, want.size, want.weight)
			}
			if len(got.depths) != len(want.depths) {
				t.Fatalf("chains of up to %d transactions, block 866342 has up to %d", len(got.depths), len(want.depths))
			}
			for d, n := range want.depths {
				if !near(got.depths[d], n, 0.4) {
					t.Errorf("%d transactions at depth %d of their chain, block 866342 has %d", got.depths[d], d, n)
				}
			}
		})
	}
}

// TestDeal has every size of block have just so many transactions, all patterns
// where there is room, and the full one the whole mix but for what replaces
// something.
func TestDeal(t *testing.T) {
	mix := mix866342()
	for n := range MostTransactions {
		total, patterns := 0, map[pattern]bool{}
		for i, count := range deal(mix, n) {
			if count < 0 {
				t.Fatalf("%d transactions: %d of shape %d", n, count, i)
			}
			total += count
			for _, r := range mix[i].ins {
				patterns[r.pattern] = patterns[r.pattern] || count > 0
			}
			if n == MostTransactions-1 && (count > mix[i].txs || count < mix[i].txs-2) {
				t.Errorf("%d transactions of shape %d, which block 866342 has %d of", count, i, mix[i].txs)
			}
		}
		if total != n {
			t.Fatalf("%d transactions dealt, want %d", total, n)
		}
		for p, ok := range patterns {
			if n >= 31 && !ok {
				t.Fatalf("%d transactions, none with an input of pattern %q", n, p)
			}
		}
		if len(patterns) != 16 {
			t.Fatalf("the mix has %d patterns", len(patterns))
		}
	}
}

func TestParseMixPanics(t *testing.T) {
	for _, line := range []string{"1: 1w -> 1w", "1 x: 1w -> 1w", "1 0: 1w 1t", "1 0: w -> 1w", "1 0: 0w -> 1w", "1 0 1w -> 1w"} {
		func() {
			defer func() {
				if said, _ := recover().(string); !strings.HasPrefix(said, "testvectors: not a") {
					t.Errorf("%q: panics with %q", line, said)
				}
			}()
			parseMix("2 1: 1n 1x -> 1R 1t\n" + line)
		}()
	}
}
