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
	for i := range steps {
		t.limit(steps, i)
	}
	return steps
}

// A limit is why a transaction cannot wait: the transaction of, which is itself or one
// behind it by the same role, must come before its rival does, and comes at least lock
// blocks later.
type limit struct {
	of, rival int
	lock      uint32
}

// limits returns, for every transaction, its limits on a network. A rival that comes
// behind the transaction itself is none: its clock begins with it.
func (g *Graph) limits(network string) [][]limit {
	all := make([][]limit, len(g.Transactions))
	for i := range g.Transactions {
		// behind are those that descend from i, and ours those that do by way of
		// transactions of its role only, with how many blocks that takes.
		behind, ours := make([]bool, len(all)), make([]bool, len(all))
		later := make([]uint32, len(all))
		behind[i], ours[i] = true, true
		for _, k := range g.index.order {
			for _, in := range g.Transactions[k].Inputs {
				m := g.index.maker[g.connector(in.Connector)]
				if m < 0 || !behind[m] || k == i {
					continue
				}
				behind[k] = true
				if ours[m] && g.Transactions[k].By == g.Transactions[i].By {
					_, leaf := g.input(in)
					ours[k], later[k] = true, max(later[k], later[m]+leaf.Lock.On(network))
				}
			}
		}
		for k := range all {
			if !ours[k] {
				continue
			}
			for _, r := range g.rivals(k) {
				if !behind[r] && g.Transactions[r].By != g.Transactions[i].By {
					all[i] = append(all[i], limit{k, r, later[k]})
				}
			}
		}
	}
	return all
}

// limit finds the deadline of a transaction.
func (t *track) limit(steps []step, i int) {
	s := &steps[i]
	if s.state == Confirmed || s.state == Over {
		return
	}
	for _, l := range t.bound.limits[i] {
		of, rival := &steps[l.of], &steps[l.rival]
		if of.state == Over || rival.state == Over || rival.state == Confirmed || rival.opens <= l.lock {
			continue
		}
		// Where of is late because i is, the deadline stays, and passes.
		opens := of.opens
		if opens <= max(s.opens, t.tip.Height+1)+l.lock {
			opens = s.opens + l.lock
		}
		deadline := rival.opens - l.lock
		if rival.opens > opens && deadline > s.opens && (s.deadline == 0 || deadline < s.deadline) {
			s.deadline, s.firm, s.rival, s.by = deadline, rival.state != Waiting, l.rival, l.of
		}
	}
}
