package bob

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/monitor"
)

// A Diagnosis is what is wrong with nodes and relay, and what to do.
type Diagnosis struct {
	Status *Status `json:"status"`
	// Findings are sorted, the worst first.
	Findings []Finding `json:"findings"`
	// Proposals are settings that the operator's programs should have and do not, or of
	// which that cannot be seen.
	Proposals []Proposal `json:"proposals"`
}

// A Level says how bad something is.
type Level string

// These are the levels, the worst first.
const (
	Failure Level = "failure"
	Warning Level = "warning"
	Note    Level = "note"
)

// A Finding is one thing that was found.
type Finding struct {
	Level Level  `json:"level"`
	About string `json:"about"`
	What  string `json:"what"`
	Do    string `json:"do"`
}

// A Proposal is a setting that a program should have.
type Proposal struct {
	Program string `json:"program"`
	// Setting is the flag, with dashes, or the variable.
	Setting string `json:"setting"`
	Value   string `json:"value"`
	// Have is what the operator's file says; "" where it does not, or without a file.
	Have string `json:"have"`
	Why  string `json:"why"`
	// Measured is the measurement behind it: one that was taken of the operator's node,
	// or a recorded one with its origin.
	Measured string `json:"measured"`
}

// Files are files of settings, by program: op-reth, op-geth, op-node.
type Files map[string]string

// Programs are those for which settings are proposed.
var Programs = []string{"op-reth", "op-geth", "op-node"}

// Doctor asks the nodes, and returns what is wrong.
func (w *Watch) Doctor(ctx context.Context, files Files) (*Diagnosis, error) {
	given := make(map[string]settings)
	var errs []error
	for program, path := range files {
		s, err := readSettings(path)
		if err != nil {
			errs = append(errs, err)
		}
		given[program] = s
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	d := &Diagnosis{Status: w.Ask(ctx), Findings: []Finding{}, Proposals: []Proposal{}}
	d.nodes(w.cfg.l1Chain())
	d.heads()
	d.ethereum()
	d.survey()
	w.examineRelay(ctx, d)
	p := w.probe(ctx)
	p.lag(d.Status.Heads)
	p.find(d)
	for _, r := range rules {
		r.apply(d, given, p, w.cfg.ChainID)
	}
	order := []Level{Failure, Warning, Note}
	slices.SortStableFunc(d.Findings, func(a, b Finding) int {
		return cmp.Compare(slices.Index(order, a.Level), slices.Index(order, b.Level))
	})
	return d, nil
}

// Failed reports whether something is a failure.
func (d *Diagnosis) Failed() bool {
	return slices.ContainsFunc(d.Findings, func(f Finding) bool { return f.Level == Failure })
}

func (d *Diagnosis) find(level Level, about, what, do string) {
	d.Findings = append(d.Findings, Finding{level, about, what, do})
}

// nodes looks at whether nodes answer. Clients of Ethereum are to be of chain l1Chain.
func (d *Diagnosis) nodes(l1Chain uint64) {
	roles := make(map[string]int)
	for _, n := range d.Status.Nodes {
		roles[n.Role]++
		chain, setting, addresses := d.Status.ChainID, "OUTRIDER_BOB_CHAIN_ID", "OUTRIDER_BOB_L2 or OUTRIDER_BOB_OP_NODE"
		if n.Role == "ethereum" {
			chain, setting, addresses = l1Chain, "OUTRIDER_BOB_L1_CHAIN_ID", "OUTRIDER_BOB_L1"
		}
		switch {
		case n.Chain == "wrong":
			d.find(Failure, n.Name, "it is of another chain: "+n.Problem, fmt.Sprintf("give the address of a node of chain %d, or set %s", chain, setting))
		case n.Problem != "":
			d.find(Failure, n.Name, "it does not answer: "+n.Problem, fmt.Sprintf("see that it runs, that its RPC listens where %s says, and that it allows this many calls", addresses))
		}
	}
	if roles["op-node"] == 0 {
		d.find(Warning, "op-node", "none is known: heads have one kind of source, and forks are not proven", "set OUTRIDER_BOB_OP_NODE to the op-node's RPC, such as http://127.0.0.1:9545")
	}
	if roles["execution"] == 0 {
		d.find(Warning, "execution", "no execution client is known: neither relay nor fees can be asked for", "set OUTRIDER_BOB_L2 to its RPC, such as http://127.0.0.1:8545")
	}
}

// advice is what to do about faults of heads.
var advice = map[opstack.FaultKind]struct {
	level Level
	do    string
}{
	opstack.Unstarted:        {Warning, "wait until it has begun; look at its log if it does not"},
	opstack.Unordered:        {Note, "op-node reads its heads one after another: ask again; if it stays, restart op-node"},
	opstack.Stale:            {Warning, "a cache or balancer in between answers with old heads, or the node hangs: ask the node itself, and look at its log"},
	opstack.SyncTarget:       {Warning, "wait until the execution client is in sync: until then its head is where it wants to be"},
	opstack.Future:           {Warning, "set the clock (NTP), of this machine or of the node's"},
	opstack.FinalizedChanged: {Failure, "what was final is another block: stop whatever relies on this node, and compare it with others"},
	opstack.Silent:           {Failure, "see that it runs, and answers within the budget"},
	opstack.Disagree:         {Failure, "two nodes are on different branches: compare both with a third, and resync the wrong one"},
	opstack.Lone:             {Note, "give a second source: an op-node beside its execution client, or another node"},
	opstack.Late:             {Warning, "look at op-node: unsafe heads come by P2P every 2 s, safe ones by batches about every hour, finalized ones with Ethereum's finality after that"},
}

func (d *Diagnosis) heads() {
	for _, f := range d.Status.Faults {
		a := advice[opstack.FaultKind(f.Kind)]
		about := f.Head + " head"
		if f.Source != "" {
			about = f.Source + ", " + about
		}
		d.find(a.level, about, f.Kind+": "+f.Detail, a.do)
	}
}

// l1Advice is what to do about what is wrong with Ethereum, or between it and the L2.
var l1Advice = map[opstack.L1FaultKind]string{
	opstack.OriginGone:     "one of both clients is wrong, or on a branch that was left: compare each with another, and resync the wrong one",
	opstack.OriginNotFinal: "rely on nothing that is final there before it is known which client is wrong: compare each with another",
	opstack.FeesDiffer:     "one of both clients is wrong: compare each with another, and resync the wrong one",
	opstack.FeesDrift:      "if it stays, see whether the L2's unsafe head is late: fees are foreseen from an old price",
	opstack.L1Late:         "look at Ethereum's client, and at its consensus client: blocks come every 12 s, and are final after a quarter of an hour",
	opstack.L1Unordered:    "the clients in OUTRIDER_BOB_L1 are not equally far: see which is behind",
	opstack.L1Silent:       "see that it runs, is in sync, and answers within the budget",
}

// ethereum looks at Ethereum beside the L2.
func (d *Diagnosis) ethereum() {
	if d.Status.L1 == nil {
		return
	}
	for _, f := range d.Status.L1.Faults {
		kind, level, about := opstack.L1FaultKind(f.Kind), Warning, "Ethereum"
		if kind.Contradicts() {
			level = Failure
		}
		if kind.Contradicts() || kind == opstack.FeesDrift {
			about = "L2 beside Ethereum"
		}
		d.find(level, about+", "+f.Head+" head", f.Kind+": "+f.Detail, l1Advice[kind])
	}
}

func (d *Diagnosis) survey() {
	s := d.Status.Survey
	if s == nil {
		return
	}
	for _, f := range s.Forks {
		about := strings.TrimPrefix(f.OpNode+" and "+f.Execution, " and ")
		what := fmt.Sprintf("%s: %s: %s", f.Fork, f.Verdict, strings.Join(f.Why, "; "))
		switch f.verdict {
		case opstack.NotReady:
			d.find(Failure, about, what, "upgrade or set what it says before the fork: afterwards the node is on another chain, or stands still")
		case opstack.Unproven:
			d.find(Note, about, what, "compare the releases with those that BOB names for the fork")
		}
	}
	switch o := s.Outputs; {
	case o.Compared && !o.Agree:
		d.find(Failure, "output roots", o.Problem, "one of the nodes has a wrong state: compare with a third, and resync the wrong one")
	case !o.Compared:
		d.find(Note, "output roots", "not compared: "+o.Problem, "give two nodes that have a safe head")
	}
}

// examineRelay looks at the relay.
func (w *Watch) examineRelay(ctx context.Context, d *Diagnosis) {
	st := d.Status.Relay
	if st == nil {
		return
	}
	if !st.Bitcoin.Known && !strings.Contains(st.Bitcoin.Reason, "until the relay") {
		d.find(Failure, "Bitcoin", st.Bitcoin.Reason, "see that the node that node-address names runs and is in sync")
	}
	if !st.Relay.Known {
		what, do := "it is not known: "+st.Relay.Reason, "see what is said of the nodes"
		switch other, none := w.otherKind(ctx); {
		case none:
			what, do = "there is no contract at its address", fmt.Sprintf("set OUTRIDER_BOB_RELAY to the address that BOB's list has for chain %d", w.cfg.ChainID)
		case other != "":
			what, do = fmt.Sprintf("it is no %s relay: it answers as a %s one", w.cfg.Kind, other), "set OUTRIDER_BOB_RELAY_KIND="+string(other)
		}
		d.find(Failure, "relay", what, do)
		return
	}
	if !st.Position.Known {
		if st.Bitcoin.Known {
			d.find(Failure, "relay", "where it is, is not known: "+st.Position.Reason, "see that the Bitcoin node is of the relay's network and in sync")
		}
		return
	}
	p := st.Position.V
	for _, o := range p.Outages {
		level := Note
		if o.Active && (o.Kind != monitor.Wrapped) {
			level = Failure
		}
		do := "nothing can be done before; who proves should wait"
		switch {
		case o.Kind == monitor.Wrapped:
			do = "ask for proofs at another depth, or wait as many blocks"
		case o.Active && o.Ends.IsZero():
			do = "run a submitter: \"outrider bob relay submit\", or tell whoever runs the relay"
		}
		d.find(level, "relay", o.Why, do)
	}
	if p.Wedge == monitor.Exposed {
		d.find(Note, "relay", "on a chain of a difficulty below 1 it cannot follow a reorganisation across the last retarget", "mark headers above a retarget only when they are deep")
	}
	if st.Relay.V.Full != nil && p.LagBlocks > 2 {
		d.find(Warning, "relay", fmt.Sprintf("it is %d blocks behind, for %v", p.LagBlocks, time.Duration(p.LagSeconds)*time.Second),
			fmt.Sprintf("see whether its submitter runs and can pay: %d headers are stored and not marked", p.StoredHeight-p.MarkedHeight))
	}
}

// otherKind returns the kind that the relay seems to be of, if it is not the one that is
// said, and whether there is no contract.
func (w *Watch) otherKind(ctx context.Context) (kind relay.Kind, none bool) {
	code, err := w.exec.Call(ctx, "eth_getCode", "0x"+hex.EncodeToString(w.cfg.Relay[:]), "latest")
	if err == nil && string(code) == `"0x"` {
		return "", true
	}
	for _, k := range []relay.Kind{relay.KindFull, relay.KindLight} {
		if (k == relay.KindLight) == (w.cfg.Kind == relay.KindLight) {
			continue
		}
		m, err := monitor.New(monitor.Config{L2: w.exec, Address: w.cfg.Relay, Kind: k, Bitcoin: w.bitcoin})
		if err == nil && m.Refresh(ctx).Relay.Known {
			return k, false
		}
	}
	return "", false
}

// probes are what was measured of the first nodes of each kind. Fields are empty where there
// is no node, or it did not say.
type probes struct {
	execution, client string // the name, and what it calls itself
	opNode, version   string
	jovian            string // how op-node plans it
	safeDB            string // "yes", or what it answers
	syncing           string // "no", or how
	config, txpool    string // "yes", or what it answers
	peers             string
	pool              string // how many transactions are pending and queued, in words
	pooled            uint64 // and both together
	safeLag           uint64 // seconds from the safe head's block to the unsafe one's
}

// probe measures what rules look at.
func (w *Watch) probe(ctx context.Context) *probes {
	p := new(probes)
	// said returns "yes", or why a node did not answer; "" if it said nothing.
	said := func(err error) string {
		if err == nil {
			return "yes"
		}
		if errors.Is(err, endpoint.Refused) {
			return err.Error()
		}
		return ""
	}
	if nodes := w.executionNodes(); len(nodes) > 0 {
		n := nodes[0]
		p.execution = n.name
		p.client, _ = n.client.ExecutionVersion(ctx)
		_, err := n.client.ForkConfig(ctx)
		p.config = said(err)
		raw, err := n.pool.Call(ctx, "txpool_status")
		p.txpool = said(err)
		p.count(raw)
		if raw, err := n.pool.Call(ctx, "eth_syncing"); err == nil {
			if p.syncing = "no"; string(raw) != "false" {
				p.syncing = "yes"
			}
		}
		if raw, err := n.pool.Call(ctx, "net_peerCount"); err == nil {
			if count, err := quantity(raw); err == nil {
				p.peers = count.Dec()
			}
		}
	}
	if nodes := w.opNodes(); len(nodes) > 0 {
		n := nodes[0]
		p.opNode = n.name
		p.version, _ = n.client.NodeVersion(ctx)
		if config, err := n.client.RollupConfig(ctx); err == nil {
			if p.jovian = "not planned"; config.Forks[opstack.Jovian] != nil {
				p.jovian = fmt.Sprint(*config.Forks[opstack.Jovian])
			}
		}
		if status, err := n.client.SyncStatus(ctx); err == nil {
			_, err = n.pool.Call(ctx, "optimism_safeHeadAtL1Block", fmt.Sprintf("0x%x", status.CurrentL1.Number))
			p.safeDB = said(err)
		}
	}
	return p
}

// count takes an answer of txpool_status.
func (p *probes) count(raw json.RawMessage) {
	var pool struct{ Pending, Queued json.RawMessage }
	if json.Unmarshal(raw, &pool) != nil {
		return
	}
	pending, err := quantity(pool.Pending)
	queued, qerr := quantity(pool.Queued)
	if err != nil || qerr != nil || !pending.IsUint64() || !queued.IsUint64() || pending.Uint64()+queued.Uint64() < pending.Uint64() {
		return
	}
	p.pool = fmt.Sprintf("%v transactions pending, %v queued", pending, queued)
	p.pooled = pending.Uint64() + queued.Uint64()
}

// lag takes how far the safe head is behind the unsafe one, if both are known.
func (p *probes) lag(heads []Head) {
	at := make(map[string]uint64)
	for _, h := range heads {
		if h.Sources > 0 {
			at[h.Head] = h.Time
		}
	}
	safe, unsafe := at[opstack.Safe.String()], at[opstack.Unsafe.String()]
	if safe > 0 && unsafe > safe {
		p.safeLag = unsafe - safe
	}
}

// isGeth reports whether the execution client is op-geth.
func (p *probes) isGeth() bool { return strings.HasPrefix(strings.ToLower(p.client), "geth/") }

// find adds findings that are about settings only.
func (p *probes) find(d *Diagnosis) {
	if p.isGeth() {
		d.find(Failure, p.execution, fmt.Sprintf("it is op-geth (%s), whose support ended on 2026-05-31, and which has no Karst", p.client), "move to op-reth, beside the running node: there is no snapshot, and it syncs from scratch in hours")
	}
	if p.peers == "0" {
		d.find(Warning, p.execution, "it has no peers: it learns blocks from its op-node only", "open its P2P port, or leave it so if transactions go to the sequencer by rollup.sequencer-http")
	}
	if p.syncing == "yes" {
		d.find(Warning, p.execution, "it is syncing (eth_syncing)", "wait: heads, fees and the relay are those of an older block, or of one that it wants to be at")
	}
}
