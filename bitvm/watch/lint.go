package watch

import (
	"cmp"
	"fmt"
	"slices"
)

// A Severity says how bad a finding is.
type Severity string

// The severities. A graph with an error should not be signed.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
)

// A Rule is what a graph should keep to.
type Rule string

// The rules.
const (
	// NotInBIP68: a lock is more than 65,535 blocks, which no sequence number says.
	NotInBIP68 Rule = "bip68"
	// Race: two transactions that exclude each other open at nearly the same height,
	// so that miners decide, and not the graph.
	Race Rule = "race"
	// Undefended: a payout opens before, or nearly when, others can do something
	// against it.
	Undefended Rule = "undefended"
	// Late: a timeout opens before what it should wait for, and nothing prevents it.
	Late Rule = "late"
	// Endless: the answer to a claim needs what the claimant may withhold until the
	// payout opens.
	Endless Rule = "endless"
	// Unspendable: nobody can spend an output.
	Unspendable Rule = "unspendable"
	// NotMade: no transaction makes a connector; an instance must say where it is.
	NotMade Rule = "not made"
	// UnusedLeaf: a leaf is in no transaction; a spend by it will be unknown.
	UnusedLeaf Rule = "unused leaf"
	// NoTimeout: behind a transaction only one role can go on.
	NoTimeout Rule = "no timeout"
	// Alike: two transactions spend the same by the same leaves: only their ids tell
	// which it is.
	Alike Rule = "alike"
	// Impossible: a transaction needs two that exclude each other.
	Impossible Rule = "impossible"
	// Heavy: a transaction may be too heavy to be relayed, or for any block.
	Heavy Rule = "heavy"
)

// A LintFinding is something about a graph that somebody should know.
type LintFinding struct {
	Severity Severity `json:"severity"`
	Rule     Rule     `json:"rule"`
	Network  string   `json:"network,omitempty"` // that it is of; empty is any
	Where    string   `json:"where"`
	Text     string   `json:"text"`
}

// lintReact is how many blocks whoever must act is granted: an hour on mainnet, as GOAT's
// nodes ask for (timelocks.rs), and a block elsewhere.
func lintReact(network string) uint32 {
	if network == "main" {
		return 6
	}
	return 1
}

// Lint looks for what is wrong with the graph, and with its locks on a network: worst
// first, a thousand of each severity at most. Locks are compared as heights behind the transaction that makes both ways
// possible, as if everybody who can wait does, and everybody who can hurry does. React is
// how many blocks an answer must have before what it answers; 0 is 6 on mainnet and 1 on
// other networks.
func (g *Graph) Lint(network string, react uint32) []LintFinding {
	if react == 0 {
		react = lintReact(network)
	}
	l := &linter{g: g, network: network, react: react, found: make(map[Severity]int), ways: make(map[int]*way)}
	l.locks()
	l.connectors()
	l.transactions()
	l.rivals()
	rank := map[Severity]int{Error: 0, Warning: 1, Note: 2}
	slices.SortStableFunc(l.findings, func(a, b LintFinding) int { return cmp.Compare(rank[a.Severity], rank[b.Severity]) })
	return l.findings
}

// A linter is a look at a graph under way.
type linter struct {
	g        *Graph
	network  string
	react    uint32
	findings []LintFinding
	found    map[Severity]int
	ways     map[int]*way // by origin
}

// maxFindings bounds what is told of a graph, of each severity.
const maxFindings = 1000

func (l *linter) find(s Severity, r Rule, network, where, format string, args ...any) {
	if l.found[s]++; l.found[s] <= maxFindings {
		l.findings = append(l.findings, LintFinding{s, r, network, where, fmt.Sprintf(format, args...)})
	}
}

func (l *linter) locks() {
	for _, c := range l.g.Connectors {
		for _, leaf := range c.Leaves {
			if n := leaf.Lock.On(l.network); n > maxLockInBIP68 {
				l.find(Error, NotInBIP68, l.network, c.Name+":"+leaf.Name, "a lock of %d blocks: a sequence number has %d at most, and the script would never pass or lock less", n, maxLockInBIP68)
			}
		}
	}
}

func (l *linter) connectors() {
	g := l.g
	for i := range g.Connectors {
		c := &g.Connectors[i]
		if len(c.Leaves) == 0 || len(g.index.spenders[i]) == 0 {
			l.find(Error, Unspendable, "", c.Name, "no transaction spends connector %s: what is in it is lost", c.Name)
			continue
		}
		if g.index.maker[i] < 0 {
			l.find(Warning, NotMade, "", c.Name, "no transaction makes connector %s: an instance must say where it is", c.Name)
		}
		for j := range c.Leaves {
			used := slices.ContainsFunc(g.index.spenders[i], func(t int) bool { return g.leafIn(t, i) == &c.Leaves[j] })
			if !used {
				l.find(Warning, UnusedLeaf, "", c.Name+":"+c.Leaves[j].Name, "no transaction spends %s by leaf %s: if somebody can, it is outside of the graph", c.Name, c.Leaves[j].Name)
			}
		}
	}
}

func (l *linter) transactions() {
	g := l.g
	for i := range g.Transactions {
		t := &g.Transactions[i]
		switch {
		case t.Weight > maxBlockWeight:
			l.find(Error, Heavy, "", t.Name, "%s may have %d weight units, and a block has %d at most", t.Name, t.Weight, maxBlockWeight)
		case t.Weight > maxStandardWeight:
			l.find(Warning, Heavy, "", t.Name, "%s may have %d weight units: above %d no default mempool takes it. It must be brought to miners, and is seen in blocks only", t.Name, t.Weight, maxStandardWeight)
		}
		for j := range i {
			if o := &g.Transactions[j]; len(t.Inputs) > 0 && slices.Equal(t.Inputs, o.Inputs) {
				l.find(Error, Alike, "", t.Name, "%s and %s spend the same by the same leaves: only their ids tell which it is", t.Name, o.Name)
			}
		}
		if a, b := l.exclusive(i); a != unknown {
			l.find(Error, Impossible, "", t.Name, "%s needs %s and %s, which exclude each other", t.Name, g.Transactions[a].Name, g.Transactions[b].Name)
		}
		l.alone(i)
	}
}

// alone finds a transaction behind which only one role can go on.
func (l *linter) alone(i int) {
	g := l.g
	by := ""
	for _, out := range g.Transactions[i].Outputs {
		if out.Connector == "" {
			continue
		}
		for _, s := range g.index.spenders[g.connector(out.Connector)] {
			if by == "" {
				by = g.Transactions[s].By
			}
			if g.Transactions[s].By != by {
				return
			}
		}
	}
	if by != "" {
		l.find(Note, NoTimeout, "", g.Transactions[i].Name, "behind %s only the %s can go on: if nothing comes, all stays as it is", g.Transactions[i].Name, by)
	}
}

// needs returns a transaction and all that must be there before it.
func (l *linter) needs(i int) []int {
	g, all := l.g, []int{i}
	is := make([]bool, len(g.Transactions))
	for k := 0; k < len(all); k++ {
		for _, in := range g.Transactions[all[k]].Inputs {
			if m := g.index.maker[g.connector(in.Connector)]; m >= 0 && !is[m] {
				is[m] = true
				all = append(all, m)
			}
		}
	}
	return all
}

// exclusive returns two transactions that i needs, itself among them, of which there can
// be one only.
func (l *linter) exclusive(i int) (a, b int) {
	needed := l.needs(i)
	is := make([]bool, len(l.g.Transactions))
	for _, x := range needed {
		is[x] = true
	}
	for _, x := range needed {
		for _, y := range l.g.rivals(x) {
			if is[y] {
				return x, y
			}
		}
	}
	return unknown, unknown
}

// A way is how long transactions take behind one.
type way struct {
	l      *linter
	origin int
	// blocks is the number of blocks behind the origin from which on a transaction may
	// be; behind says that it descends from the origin.
	blocks []uint32
	behind []bool
	// endless says that an answer can be held up without a limit.
	endless []bool
}

// from computes how soon each transaction can be behind origin. What is not behind it may
// have been there long before, and its locks are over. An answer to a claim comes a block
// behind the claim, which the claimant holds back until the timeout for it opens.
func (l *linter) from(origin int) *way {
	g := l.g
	if w := l.ways[origin]; w != nil {
		return w
	}
	n := len(g.Transactions)
	w := &way{l, origin, make([]uint32, n), make([]bool, n), make([]bool, n)}
	for _, i := range g.index.order {
		w.pass(i)
	}
	// Timeouts for claims may come later in the order than the answers.
	for _, i := range g.index.order {
		w.hold(i)
		w.pass(i)
	}
	l.ways[origin] = w
	return w
}

// pass lets transaction i wait for what it spends.
func (w *way) pass(i int) {
	g := w.l.g
	if i == w.origin {
		w.behind[i] = true
		return
	}
	for _, in := range g.Transactions[i].Inputs {
		m := g.index.maker[g.connector(in.Connector)]
		if m < 0 || !w.behind[m] {
			continue
		}
		_, leaf := g.input(in)
		w.behind[i] = true
		w.endless[i] = w.endless[i] || w.endless[m]
		w.blocks[i] = max(w.blocks[i], w.blocks[m]+leaf.Lock.On(w.l.network))
	}
}

// hold lets transaction i, if it answers a claim, wait for the claim as long as the
// claimant can withhold it.
func (w *way) hold(i int) {
	g := w.l.g
	for _, c := range g.Claims {
		if !slices.Contains(c.Answers, g.Transactions[i].Name) {
			continue
		}
		for _, of := range c.Commits {
			commit := g.transaction(of)
			if !w.behind[commit] || commit == w.origin {
				continue
			}
			held, limited := uint32(0), false
			for _, r := range g.rivals(commit) {
				if g.Transactions[r].By != g.Transactions[commit].By && w.behind[r] && (!limited || w.blocks[r] < held) {
					held, limited = w.blocks[r], true
				}
			}
			if limited {
				w.blocks[i] = max(w.blocks[i], max(held, w.blocks[commit])+1)
			} else {
				w.endless[i] = true
			}
		}
	}
}

// first reports whether transaction a opens before b, with time to react.
func (w *way) first(a, b int) bool {
	return !w.endless[a] && w.blocks[a]+w.l.react < w.blocks[b]
}

// rivals compares the transactions that exclude each other.
func (l *linter) rivals() {
	g := l.g
	for a := range g.Transactions {
		if g.Transactions[a].By != g.Claimant {
			continue
		}
		defended, threatened := false, false
		for _, b := range g.rivals(a) {
			if g.Transactions[b].By == g.Claimant || l.found[Error] > maxFindings {
				continue
			}
			w := l.from(l.origin(a, b))
			threatened = true
			defended = defended || w.first(b, a)
			l.compare(w, a, b)
		}
		if t := &g.Transactions[a]; t.Outcome == Paid && !defended {
			if threatened {
				l.find(Error, Undefended, l.network, t.Name, "nothing against %s can be in a block %d blocks before it can", t.Name, l.react+1)
			} else {
				l.find(Error, Undefended, l.network, t.Name, "no transaction of others excludes %s", t.Name)
			}
		}
	}
}

// origin returns the last transaction that makes a connector that both spend: behind it
// both are possible. It is -1 if nobody in the graph makes one.
func (l *linter) origin(a, b int) int {
	g, at := l.g, unknown
	for _, in := range g.Transactions[a].Inputs {
		c := g.connector(in.Connector)
		if m := g.index.maker[c]; slices.Contains(g.index.spenders[c], b) && (at == unknown || slices.Index(g.index.order, m) > slices.Index(g.index.order, at)) {
			at = m
		}
	}
	return at
}

// compare compares the claimant's transaction a with b of others.
func (l *linter) compare(w *way, a, b int) {
	g := l.g
	ta, tb := &g.Transactions[a], &g.Transactions[b]
	if w.endless[b] {
		if !slices.ContainsFunc(l.commitsOf(b), func(c int) bool { return slices.Contains(l.needs(a), c) }) {
			l.find(Error, Endless, l.network, tb.Name, "%s answers a claim that the %s may withhold until %s opens", tb.Name, g.Claimant, ta.Name)
		}
		return
	}
	opens := func() string {
		return fmt.Sprintf("%s opens %s behind %s, and %s %s", ta.Name, blocks(w.blocks[a]), l.originName(w), tb.Name, blocks(w.blocks[b]))
	}
	timeout := slices.ContainsFunc(tb.Inputs, func(in Input) bool { _, leaf := g.input(in); return leaf.Lock.On(l.network) > 0 })
	// The claimant may have something else that makes b impossible in time.
	prevented := slices.ContainsFunc(g.rivals(b), func(x int) bool {
		return x != a && g.Transactions[x].By == g.Claimant && w.first(x, b)
	})
	switch {
	case ta.Outcome == Paid && len(l.commitsOf(b)) > 0:
		if !w.first(b, a) {
			l.find(Error, Undefended, l.network, ta.Name, "%s, which answers a false claim: it must be more than %s earlier", opens(), blocks(l.react))
		}
	case prevented:
	case timeout && w.blocks[b] < w.blocks[a]:
		l.find(Error, Late, l.network, tb.Name, "%s, which should wait for it", opens())
	case !w.first(a, b) && !w.first(b, a):
		l.find(Error, Race, l.network, ta.Name, "%s: whoever is first decides; the time between must be more than %s", opens(), blocks(l.react))
	}
}

// commitsOf returns the transactions of claims that b, or what it needs, answers.
func (l *linter) commitsOf(b int) []int {
	g := l.g
	var all []int
	for _, i := range l.needs(b) {
		for _, c := range g.Claims {
			if slices.Contains(c.Answers, g.Transactions[i].Name) {
				for _, of := range c.Commits {
					all = append(all, g.transaction(of))
				}
			}
		}
	}
	return all
}

func (l *linter) originName(w *way) string {
	if w.origin == unknown {
		return "the beginning"
	}
	return l.g.Transactions[w.origin].Name
}

// Sound reports whether there is no error among findings.
func Sound(findings []LintFinding) bool {
	return !slices.ContainsFunc(findings, func(f LintFinding) bool { return f.Severity == Error })
}
