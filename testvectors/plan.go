package testvectors

import (
	"math/rand/v2"
	"slices"
)

// A plan is a transaction to be made.
type plan struct {
	ins  []planIn
	outs []planOut
	// links is how many inputs are to spend outputs of the block.
	links int
}

// A planIn is an input: of a coin from before the block, or, if parent is not nil,
// of an output of that one.
type planIn struct {
	pattern
	parent *plan
	out    int
}

// A planOut is an output. If it is spent in the block, its pattern is that of the
// spend.
type planOut struct {
	pattern
	spent bool
	value int64 // satoshis
}

// plans returns the transactions of a block without its coinbase, in an order in
// which parents come first.
func plans(rng *rand.Rand, mix []shape, n int) []*plan {
	var starts, links []*plan
	for i, count := range deal(mix, n) {
		s := &mix[i]
		for k := range count {
			p := &plan{}
			for _, pat := range each(s.ins) {
				p.ins = append(p.ins, planIn{pattern: pat})
			}
			for _, pat := range each(s.out) {
				p.outs = append(p.outs, planOut{pattern: pat})
			}
			// Those of a shape share the links as evenly as they can.
			p.links = s.chained*(k+1)/s.txs - s.chained*k/s.txs
			if p.links > 0 {
				links = append(links, p)
			} else {
				starts = append(starts, p)
			}
		}
	}
	shuffle(rng, starts)
	shuffle(rng, links)
	all := slices.Concat(chains(rng, starts, links)...)
	setValues(rng, all)
	return all
}

func shuffle[T any](rng *rand.Rand, s []T) {
	rng.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}

// chains puts links behind starts, so that each of them spends what comes before
// it, in chains as long as those of block 866342. Links for which there is nothing
// to spend become starts.
func chains(rng *rand.Rand, starts, links []*plan) [][]*plan {
	w := waiting{}
	for _, p := range links {
		w.add(p)
	}
	// The longest chains begin where there is something to go on with.
	slices.SortStableFunc(starts, func(a, b *plan) int { return w.worth(b) - w.worth(a) })
	all := make([][]*plan, len(starts))
	for i, p := range starts {
		all[i] = w.extend([]*plan{p}, chainLength(i, len(starts)))
	}
	for i := range all {
		all[i] = w.extend(all[i], len(chain866342)-len(all[i]))
	}
	for _, p := range links {
		if p.links > 0 && p.linked() == 0 {
			all = append(all, []*plan{p})
		}
	}
	shuffle(rng, all)
	return all
}

// chainLength returns how many links chain i of n has: chain866342, scaled.
func chainLength(i, n int) int {
	length := 0
	for length+1 < len(chain866342) && chain866342[length+1]*n > i*chain866342[0] {
		length++
	}
	return length
}

// waiting has the links that wait for something to spend, by the output that they
// can spend.
type waiting map[pattern][]*plan

func (w waiting) add(p *plan) {
	form := p.ins[0].output()
	w[form] = append(w[form], p)
}

// worth returns whether there are links for an output of p, as a number.
func (w waiting) worth(p *plan) int {
	if slices.ContainsFunc(p.outs, func(o planOut) bool { return len(w[o.pattern]) > 0 }) {
		return 1
	}
	return 0
}

// extend puts up to n links behind a chain.
func (w waiting) extend(chain []*plan, n int) []*plan {
	for range n {
		next := w.take(chain)
		if next == nil {
			break
		}
		chain = append(chain, next)
	}
	return chain
}

// take returns a link that goes on from the last of chain, with its inputs joined
// to outputs of the chain; nil if there is none. Of several kinds of link it takes
// the one of which most wait.
func (w waiting) take(chain []*plan) *plan {
	last := chain[len(chain)-1]
	best := -1
	for i, o := range last.outs {
		if !o.spent && len(w[o.pattern]) > 0 && (best < 0 || len(w[o.pattern]) > len(w[last.outs[best].pattern])) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	form := last.outs[best].pattern
	n := len(w[form]) - 1
	p := w[form][n]
	w[form] = w[form][:n]
	p.join(0, last, best)
	for i := 1; i < len(p.ins) && p.linked() < p.links; i++ {
		p.joinAny(i, chain)
	}
	return p
}

// join makes input i spend output out of parent.
func (p *plan) join(i int, parent *plan, out int) {
	p.ins[i].parent, p.ins[i].out = parent, out
	parent.outs[out].spent, parent.outs[out].pattern = true, p.ins[i].pattern
}

// joinAny makes input i spend an output of the chain, if one suits.
func (p *plan) joinAny(i int, chain []*plan) {
	for _, parent := range slices.Backward(chain) {
		for j, o := range parent.outs {
			if !o.spent && o.pattern == p.ins[i].output() {
				p.join(i, parent, j)
				return
			}
		}
	}
}

// linked counts the inputs that spend outputs of the block.
func (p *plan) linked() int {
	n := 0
	for _, in := range p.ins {
		if in.parent != nil {
			n++
		}
	}
	return n
}

// setValues sets the value of each output: what its spend needs, or else what
// comes by chance.
func setValues(rng *rand.Rand, all []*plan) {
	const dust = 330
	for _, p := range slices.Backward(all) {
		for i := range p.outs {
			o := &p.outs[i]
			if o.spent || o.pattern == nullData {
				continue
			}
			// Every input is worth something, however many there are.
			o.value = dust*int64(1+len(p.ins)) + rng.Int64N(dust<<rng.IntN(18))
		}
		for i, v := range p.inValues() {
			if in := &p.ins[i]; in.parent != nil {
				in.parent.outs[in.out].value = v
			}
		}
	}
}

// feeShare is which share of its outputs' value a transaction pays as its fee,
// beside leastFee satoshis for each input.
const (
	feeShare = 1000
	leastFee = 300
)

// inValues returns what the inputs are worth: the outputs and the fee, in almost
// equal parts.
func (p *plan) inValues() []int64 {
	var total int64
	for _, o := range p.outs {
		total += o.value
	}
	n := int64(len(p.ins))
	total += total/feeShare + leastFee*n
	values := make([]int64, n)
	for i := range values {
		values[i] = total / n
	}
	values[0] += total % n
	return values
}
