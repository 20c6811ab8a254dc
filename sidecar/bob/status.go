package bob

import (
	"fmt"
	"slices"
	"time"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay/monitor"
)

// A Status is what is known of BOB at one moment. Its JSON field names are a contract:
// fields are added, never renamed. Times of L2 blocks are Unix seconds.
type Status struct {
	At      time.Time `json:"at"`
	ChainID uint64    `json:"chain_id"`
	// Nodes are those that are asked.
	Nodes []Node `json:"nodes"`
	// Heads are the L2's, from the unsafe one; empty before any source has answered.
	Heads []Head `json:"heads"`
	// Faults are what is wrong with heads or their sources.
	Faults []Fault `json:"faults"`
	// Survey is nil before the first.
	Survey *Survey `json:"survey"`
	// Relay is nil without a relay, and before it was asked about.
	Relay *monitor.State `json:"relay"`
	// L1 is nil without clients of Ethereum, and before they were asked.
	L1 *L1Status `json:"l1"`
}

// A Node is one that is asked.
type Node struct {
	Name string `json:"name"`
	// Role is execution or op-node, or ethereum for a client of L1.
	Role string `json:"role"`
	// Chain says whether it is of the right chain: right, wrong or unknown.
	Chain string `json:"chain"`
	// Resting says that it failed or limits the rate, and is left alone.
	Resting bool    `json:"resting"`
	Latency float64 `json:"latency_seconds"`
	// Problem is why it did not answer just now, if it did not.
	Problem string `json:"problem,omitempty"`
}

// A Head is one of the L2's heads.
type Head struct {
	Head   string `json:"head"`
	Number uint64 `json:"number"`
	Hash   string `json:"hash"`
	Time   uint64 `json:"time"`
	// Sources counts those that have it: two, if there are two to be had; 0 if it is not
	// known.
	Sources int     `json:"sources"`
	Lag     float64 `json:"lag_seconds"`
}

// A Fault is what is wrong with a head, or with a source of heads.
type Fault struct {
	Kind   string `json:"kind"`
	Source string `json:"source,omitempty"`
	Head   string `json:"head"`
	Detail string `json:"detail"`
}

// A Survey is what nodes said of forks and of the state.
type Survey struct {
	At      time.Time `json:"at"`
	Forks   []Fork    `json:"forks"`
	Outputs Outputs   `json:"outputs"`
}

// A Fork is whether an op-node and its execution client follow a fork.
type Fork struct {
	Fork string `json:"fork"`
	// Time is when it begins; 0 if that is not planned.
	Time    uint64   `json:"time"`
	Verdict string   `json:"verdict"`
	Why     []string `json:"why"`

	OpNode           string `json:"op_node"`
	Execution        string `json:"execution"`
	NodeVersion      string `json:"op_node_version"`
	ExecutionVersion string `json:"execution_version"`

	verdict opstack.Verdict
}

// Outputs are what nodes commit to at one height.
type Outputs struct {
	Height uint64   `json:"height"`
	Nodes  []Output `json:"nodes"`
	// Compared says that two nodes at least answered, Agree that all who did have the
	// same root.
	Compared bool   `json:"compared"`
	Agree    bool   `json:"agree"`
	Problem  string `json:"problem,omitempty"`
}

// An Output is what one node commits to.
type Output struct {
	Node    string `json:"node"`
	Root    string `json:"root,omitempty"`
	Block   string `json:"block,omitempty"`
	Problem string `json:"problem,omitempty"`
}

func (w *Watch) status(heads *opstack.State, relay *monitor.State, l1 *opstack.L1State) *Status {
	st := &Status{At: time.Now(), ChainID: w.cfg.ChainID, Survey: w.survey.Load(), Relay: relay, Heads: []Head{}, Faults: []Fault{}}
	add := func(role string, p *endpoint.Pool) {
		if p == nil {
			return
		}
		for _, n := range p.Status() {
			st.Nodes = append(st.Nodes, Node{Name: n.Name, Role: role, Chain: n.Chain, Resting: n.Resting, Latency: n.Latency.Seconds()})
		}
	}
	add("execution", w.exec)
	add("op-node", w.nodes)
	if w.l1 != nil {
		add("ethereum", w.l1.pool)
		st.L1 = w.l1.status(w.cfg.l1Chain(), l1)
	}
	if heads == nil {
		return st
	}
	for l, h := range heads.Heads {
		one := Head{Head: opstack.Label(l).String(), Sources: h.Sources}
		if h.Sources > 0 {
			one.Number, one.Hash, one.Time, one.Lag = h.Number, h.Hash.Hex(), h.Time, h.Lag.Seconds()
		}
		st.Heads = append(st.Heads, one)
	}
	for _, f := range heads.Faults {
		st.Faults = append(st.Faults, Fault{string(f.Kind), f.Source, f.Head.String(), f.Detail})
	}
	return st
}

// node returns the node with a name, of which there is one.
func (s *Status) node(name string) *Node {
	for i := range s.Nodes {
		if s.Nodes[i].Name == name {
			return &s.Nodes[i]
		}
	}
	panic(fmt.Sprintf("bob: there is no node %q", name))
}

// Good reports whether nothing is known to be wrong: every node answered, is ready for what
// comes and agrees with the others, and the relay needs nobody's help. That something is not
// known is not good; that heads are late may be.
func (s *Status) Good() bool {
	for _, n := range s.Nodes {
		if n.Problem != "" || n.Chain == "wrong" {
			return false
		}
	}
	for _, f := range s.Faults {
		if k := opstack.FaultKind(f.Kind); k == opstack.Disagree || k == opstack.FinalizedChanged {
			return false
		}
	}
	if s.L1 != nil && s.L1.contradicts() {
		return false
	}
	if s.Survey == nil || s.Survey.Outputs.Compared && !s.Survey.Outputs.Agree {
		return false
	}
	for _, f := range s.Survey.Forks {
		if f.verdict == opstack.NotReady {
			return false
		}
	}
	if s.Relay == nil {
		return true
	}
	p := s.Relay.Position
	return p.Known && !slices.ContainsFunc(p.V.Outages, func(o monitor.Outage) bool { return o.Active && o.Ends.IsZero() })
}
