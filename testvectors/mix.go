package testvectors

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A pattern is a way to lock and to spend a coin. As an output it may also be what
// only the spend tells apart, and nullData.
type pattern byte

// These are the patterns. Keys are compressed unless it says otherwise, and
// multisig is 2 of 3.
const (
	nullData     pattern = 'R' // OP_RETURN: an output only
	p2pk         pattern = 'k' // uncompressed, as the first miners' coins
	p2pkh        pattern = 'p'
	p2pkhLong    pattern = 'u' // uncompressed
	p2wpkh       pattern = 'w'
	nestedP2WPKH pattern = 'n' // in P2SH
	p2shMultisig pattern = 'm'
	nestedP2WSH  pattern = 'M' // in P2SH, multisig
	p2wshChannel pattern = 'c' // multisig 2 of 2
	p2wshVault   pattern = 'd' // multisig 2 of 3
	p2wshSwap    pattern = 'h' // two signatures and the preimage of a hash
	p2wshAnchor  pattern = 'a' // a delay, and an empty signature
	p2trKey      pattern = 't'
	tapInscribed pattern = 'b' // a signature, and data that is not executed
	tapLarge     pattern = 'I' // the same, with much data
	tapDelayed   pattern = 'x' // a signature and a delay
	tapMultisig  pattern = 'g' // 2 of 2, OP_CHECKSIGADD
)

// output returns the pattern that stands for all whose outputs look the same.
func (p pattern) output() pattern {
	switch p {
	case p2pkhLong:
		return p2pkh
	case p2shMultisig, nestedP2WSH:
		return nestedP2WPKH
	case p2wshVault, p2wshSwap, p2wshAnchor:
		return p2wshChannel
	case tapInscribed, tapLarge, tapDelayed, tapMultisig:
		return p2trKey
	}
	return p
}

// A run is a number of inputs or outputs of one pattern.
type run struct {
	n int
	pattern
}

// A shape is what a block has a number of: transactions with the same inputs and
// outputs.
type shape struct {
	txs int
	// chained counts the inputs of all of them together that spend outputs of
	// the same block.
	chained  int
	ins, out []run
}

// mix866342 is the mix of block 866342 (see shapes866342), and with it one spend of
// each pattern that the block happens to have none of.
func mix866342() []shape {
	return append(parseMix(shapes866342), parseMix(shapesBeside)...)
}

// parseMix parses lines such as "2 1: 1n 1x -> 1R 1t": two transactions, which
// together spend one output of the same block, each with an input of nestedP2WPKH
// and one of tapDelayed, and with the outputs nullData and p2trKey. It panics where
// a line is none: it is for constants.
func parseMix(lines string) []shape {
	var mix []shape
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		var s shape
		counts, rest, _ := strings.Cut(line, ":")
		ins, out, ok := strings.Cut(rest, "->")
		if n, err := fmt.Sscan(counts, &s.txs, &s.chained); n != 2 || err != nil || !ok {
			panic("testvectors: not a shape: " + line)
		}
		s.ins, s.out = parseRuns(ins), parseRuns(out)
		mix = append(mix, s)
	}
	return mix
}

// parseRuns parses runs such as "1n 12t".
func parseRuns(s string) []run {
	var runs []run
	for word := range strings.FieldsSeq(s) {
		last := len(word) - 1
		n, err := strconv.Atoi(word[:last])
		if err != nil || n < 1 {
			panic("testvectors: not a run: " + word)
		}
		runs = append(runs, run{n, pattern(word[last])})
	}
	return runs
}

// each returns the patterns of the runs, one by one.
func each(runs []run) []pattern {
	var all []pattern
	for _, r := range runs {
		all = append(all, slices.Repeat([]pattern{r.pattern}, r.n)...)
	}
	return all
}

// deal returns how many transactions of each shape a block of n transactions has,
// the coinbase left out: as many as in the mix, scaled, rounded so that they are n
// together. Every pattern of an input is there if n allows.
func deal(mix []shape, n int) []int {
	total := 0
	for _, s := range mix {
		total += s.txs
	}
	counts, remainders, order := make([]int, len(mix)), make([]int, len(mix)), make([]int, len(mix))
	left := n
	for i, s := range mix {
		counts[i], remainders[i], order[i] = s.txs*n/total, s.txs*n%total, i
	}
	for _, i := range representatives(mix) {
		if counts[i] == 0 {
			counts[i], remainders[i] = 1, 0
		}
	}
	for _, c := range counts {
		left -= c
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(remainders[b], remainders[a]) })
	for k := 0; left > 0; k++ {
		counts[order[k%len(order)]]++
		left--
	}
	for ; left < 0; left++ {
		most := 0
		for i := range counts {
			if counts[i] > counts[most] {
				most = i
			}
		}
		counts[most]--
	}
	return counts
}

// representatives returns for each pattern of an input a shape that has it, of
// those with the fewest inputs the first.
func representatives(mix []shape) []int {
	best := make(map[pattern]int)
	var found []int
	for i, s := range mix {
		for _, r := range s.ins {
			other, ok := best[r.pattern]
			if !ok || len(each(s.ins)) < len(each(mix[other].ins)) {
				best[r.pattern] = i
			}
		}
	}
	for _, i := range best {
		found = append(found, i)
	}
	slices.Sort(found)
	return found
}
