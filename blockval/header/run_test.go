package header

import (
	"slices"
	"testing"
	"time"
)

// TestRunAgainstCheck has each of many candidates for the next header of random
// chains judged by a Run that began at the genesis block, by one that began
// somewhere below, and by Params.Check.
func TestRunAgainstCheck(t *testing.T) {
	r := seeded(t)
	seen := map[Rule]int{}
	full, partial := 0, map[Unchecked]int{}
	for _, network := range Networks() {
		p := small(t, network)
		chain := Chain{p.Genesis}
		whole := p.NewRun(0)
		hash := p.Genesis.Hash()
		if left, err := whole.Check(&p.Genesis, &hash, clock(p.Genesis)); left != 0 || err != nil {
			t.Fatalf("%s: genesis: %v, %v", network, left, err)
		}
		for len(chain) < 200 {
			height := uint32(len(chain))
			prev := chain[height-1]
			median, err := MedianTimePast(chain, height-1)
			if err != nil {
				t.Fatal(err)
			}
			stamp := pick(r, median, median+1, prev.Time()-601, prev.Time()-600, prev.Time()+1, prev.Time()+300,
				prev.Time()+600, prev.Time()+1200, prev.Time()+1201, prev.Time()+uint32(r.IntN(4000)))
			bits, err := p.NextBits(chain, height, stamp)
			if err != nil {
				t.Fatal(err)
			}
			bits = pick(r, bits, bits, bits, bits, bits, bits-1, p.PowLimit.Compact(), prev.Bits(), weirdCompact(r))
			before := prev
			if r.IntN(10) == 0 {
				before = chain[r.IntN(int(height))]
			}
			h := build(before, pick[int32](r, 4, 4, 4, 4, 3, 2, 1, -1), stamp, bits)
			if _, legal := p.target(bits); legal && targetBits(bits) > 240 && r.IntN(10) > 0 {
				mine(t, &h, false)
			}
			now := clock(h).Add(-pick(r, 0, 0, 0, 7200*time.Second, 7201*time.Second))

			want := p.Check(&h, height, chain, now)
			hash := h.Hash()
			copied := whole
			left, got := whole.Check(&h, &hash, now)
			if left != 0 {
				t.Fatalf("%s: header %x at height %d: left out %b", network, h, height, left)
			}
			sameVerdict(t, got, want)
			if got != nil && whole != copied {
				// The decoded bits may differ, nothing else.
				whole.targets, copied.targets = [2]decodedBits{}, [2]decodedBits{}
				if whole != copied {
					t.Fatalf("%s: header %x changed the run that refused it", network, h)
				}
			}
			full++

			// One that began in the middle leaves rules out, and else agrees.
			start := uint32(r.IntN(int(height) + 1))
			late := p.NewRun(start)
			for i := start; i < height; i++ {
				hash := chain[i].Hash()
				late.Trust(&chain[i], &hash)
			}
			left, got = late.Check(&h, &hash, now)
			switch rules := rulesLeft(rulesBroken(p, h, chain, now), left); {
			case len(rules) == 0 && got != nil, len(rules) > 0 && ruleOf(t, got) != rules[0]:
				t.Fatalf("%s: header %x at height %d, run from %d, left out %b: %v, want %v",
					network, h, height, start, left, got, rules)
			}
			partial[left]++

			seen[ruleOf(t, want)]++
			if want == nil && (height%20 != 0 || r.IntN(5) == 0) {
				chain = append(chain, h)
			} else if want == nil {
				whole = copied
			}
		}
	}
	for _, rule := range []Rule{"", HighHash, BadPrevBlock, BadDiffBits, TimeTooOld, TimeWarp, TimeTooNew, BadVersion} {
		if seen[rule] < 3 {
			t.Errorf("only %d headers met %q: the test is too weak", seen[rule], rule)
		}
	}
	for _, left := range []Unchecked{0, UncheckedBits, UncheckedTime, UncheckedPrev | UncheckedBits | UncheckedTime} {
		if partial[left] < 3 {
			t.Errorf("only %d headers with %b left out: the test is too weak", partial[left], left)
		}
	}
}

// targetBits returns how many bits the target of compact has.
func targetBits(compact uint32) int {
	target, _, _ := FromCompact(compact)
	return target.bitLen()
}

// rulesLeft removes from rules those that were not checked.
func rulesLeft(rules []Rule, left Unchecked) []Rule {
	return slices.DeleteFunc(rules, func(rule Rule) bool {
		switch rule {
		case BadPrevBlock, TimeWarp:
			return left&UncheckedPrev != 0
		case BadDiffBits:
			return left&UncheckedBits != 0
		case TimeTooOld:
			return left&UncheckedTime != 0
		}
		return false
	})
}

// sameVerdict fails if the errors, rules or sentences, differ.
func sameVerdict(t *testing.T, got, want error) {
	t.Helper()
	if (got == nil) != (want == nil) || got != nil && got.Error() != want.Error() {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// TestRunOnRealChains verifies every header of the real chains, its work and its
// median time past.
func TestRunOnRealChains(t *testing.T) {
	works := map[string]string{"main": "27fd27fd27fd", "signet": "245661d80"}
	for network, chain := range realChains(t) {
		p, err := For(network)
		if err != nil {
			t.Fatal(err)
		}
		run := p.NewRun(0)
		for i := range chain {
			hash := chain[i].Hash()
			if left, err := run.Check(&chain[i], &hash, clock(chain[i])); left != 0 || err != nil {
				t.Fatalf("%s: header %d: left out %b, %v", network, i, left, err)
			}
			want, err := MedianTimePast(chain, uint32(i))
			if err != nil {
				t.Fatal(err)
			}
			if got, known := run.MedianTimePast(); !known || got != want {
				t.Fatalf("%s: median time past at height %d: %d, %t, want %d", network, i, got, known, want)
			}
		}
		if last, hash, ok := run.Tip(); !ok || last != chain[len(chain)-1] || hash != last.Hash() {
			t.Errorf("%s: the tip is %s", network, hash)
		}
		if want := uint256(t, works[network]); Uint256(run.Work()) != want {
			t.Errorf("%s: the chain's work is %s, want %s", network, run.Work(), want)
		}
	}
}

// A hash that is not the header's is not taken for one.
func TestRunHash(t *testing.T) {
	p := small(t, "main")
	run := p.NewRun(0)
	bad := p.Genesis.Hash()
	bad[31] = 0xff
	if _, err := run.Check(&p.Genesis, &bad, clock(p.Genesis)); ruleOf(t, err) != HighHash {
		t.Errorf("got %v, want %s", err, HighHash)
	}
}
