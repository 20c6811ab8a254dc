package watch

// A State is where a transaction of an instance stands.
type State string

// The states.
const (
	Confirmed State = "confirmed"
	// Open: its inputs are there, and it may be in the next block.
	Open State = "open"
	// Locked: its inputs are there, and it may be in a block from a known height on.
	Locked State = "locked"
	// Waiting: an input is not there yet.
	Waiting State = "waiting"
	// Over: an input is spent by another transaction.
	Over State = "over"
)

// A step is what is known of a transaction that is not confirmed.
type step struct {
	state State
	// opens is the height of the first block that may have it: exact when it is Open
	// or Locked, and otherwise the first if all that it waits for comes at once.
	opens uint32
	// deadline is the height of the first block in which a transaction of somebody
	// else's may spend what it needs, if that is behind opens; 0 is none. Firm says
	// that the other's inputs are there; if they are not, it may be later, not sooner.
	deadline uint32
	firm     bool
	// rival is whose deadline it is.
	rival int
	// by is the transaction whose deadline it is: the step itself, or one behind it
	// that must come before a deadline, too.
	by int
}

// plan returns what is known of every transaction behind tip.
//
// A lock of n blocks on an output of the block at height h lets the block at h+n spend it
// (Bitcoin Core's CalculateSequenceLocks and EvaluateSequenceLocks, tx_verify.cpp).
func (t *track) plan() []step {
	g, network := t.bound.graph, t.instance.Network
	steps := make([]step, len(g.Transactions))
	next := t.tip.Height + 1
	for _, i := range g.index.order {
		s := &steps[i]
		s.rival, s.by = unknown, i
		if t.made[i] != 0 {
			s.state = Confirmed
			continue
		}
		s.state = Locked
		if len(g.Transactions[i].Inputs) == 0 {
			s.state, s.opens = Waiting, next
		}
		for _, in := range g.Transactions[i].Inputs {
			c := g.connector(in.Connector)
			_, leaf := g.input(in)
			lock := leaf.Lock.On(network)
			for n := range g.Connectors[c].outputs() {
				out := &t.outputs[t.bound.first[c]+n]
				switch maker := g.index.maker[c]; {
				case s.state == Over:
				case out.spentBy != 0:
					s.state = Over
				case out.there:
					s.opens = max(s.opens, out.height+lock)
				case maker == unknown, steps[maker].state == Over:
					s.state = Over
				default:
					s.state = Waiting
					s.opens = max(s.opens, max(steps[maker].opens, next)+lock)
				}
				if !out.there {
					break // the others of the row are not either
				}
			}
		}
		if s.state == Locked && s.opens <= next {
			s.state = Open
		}
	}
	for k := len(g.index.order) - 1; k >= 0; k-- {
		t.limit(steps, g.index.order[k])
	}
	return steps
}

// limit finds the deadline of a transaction, behind which those that spend it have theirs.
func (t *track) limit(steps []step, i int) {
	g, s := t.bound.graph, &steps[i]
	if s.state == Confirmed || s.state == Over {
		return
	}
	by := g.Transactions[i].By
	lower := func(deadline uint32, firm bool, rival, of int) {
		if deadline > s.opens && (s.deadline == 0 || deadline < s.deadline) {
			s.deadline, s.firm, s.rival, s.by = deadline, firm, rival, of
		}
	}
	for _, r := range g.rivals(i) {
		if other := &steps[r]; g.Transactions[r].By != by && (other.state == Open || other.state == Locked || other.state == Waiting) {
			lower(other.opens, other.state != Waiting, r, i)
		}
	}
	for _, out := range g.Transactions[i].Outputs {
		if out.Connector == "" {
			continue
		}
		c := g.connector(out.Connector)
		for _, child := range g.index.spenders[c] {
			k := &steps[child]
			if g.Transactions[child].By != by || k.deadline == 0 {
				continue
			}
			if lock := g.leafIn(child, c).Lock.On(t.instance.Network); k.deadline > lock {
				lower(k.deadline-lock, k.firm, k.rival, k.by)
			}
		}
	}
}
