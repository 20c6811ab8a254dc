package sidecar

import (
	"sync"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/sidecar/bitvm"
	"github.com/outrider-project/outrider/sidecar/bob"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/web"
	"github.com/outrider-project/outrider/sigverify"
)

// keptReports bounds the blocks and the cases that the status shows.
const keptReports = 20

// status gathers what the web server tells. It is a web.Source and safe for
// concurrent use.
type status struct {
	mu       sync.Mutex // guards what follows; held for moments only
	s        web.Status
	relay    func() *web.DemoRelay
	tip      node.Tip            // up to which everything is done
	feed     *node.Feed          // nil until attached
	warmer   *warmer             // nil until attached
	verifier *sigverify.Verifier // nil until there is one
	evidence *evidence           // nil until there is one
	state    *chainstate         // nil in cache mode
	bob      *bob.Watch          // nil unless BOB is watched
	bridges  *bitvm.Watch        // nil unless bridges are
}

func (st *status) begin(cfg Config) {
	st.s = web.Status{
		Version: Version(), Started: time.Now(),
		Node: web.Node{Kind: string(cfg.Node.kind()), Address: cfg.Node.Address, Problem: "not asked yet"},
	}
}

func (st *status) follow(network string, feed *node.Feed, w *warmer) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.s.Network, st.feed, st.warmer = network, feed, w
}

// pending returns what the mempool says of an outpoint.
func (st *status) pending(op wire.OutPoint) (pending, wire.TxOut) {
	st.mu.Lock()
	feed, w := st.feed, st.warmer
	st.mu.Unlock()
	if feed == nil {
		return pendingUnknown, wire.TxOut{}
	}
	// A feed that lags behind the node, or cannot reach it, knows an older mempool.
	if f := feed.Status(); f.Resyncs == 0 || !f.Attached || f.Err != nil || f.Tip != f.Best {
		return pendingUnknown, wire.TxOut{}
	}
	return w.coin(op)
}

// verify notes who verifies signatures.
func (st *status) verify(v *sigverify.Verifier) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.verifier = v
}

// hold notes what is held of the coins; nil is the cache mode.
func (st *status) hold(c *chainstate) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.state, st.s.UTXO.Mode = c, string(UTXOCache)
}

// compare notes what came of comparing the coins with the node's.
func (st *status) compare(c web.Comparison) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.s.UTXO.Compared = &c
}

// keep notes where evidence is kept.
func (st *status) keep(e *evidence) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.evidence = e
}

// stand notes up to which block everything is done.
func (st *status) stand(tip node.Tip) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.tip = tip
}

// trouble says why the node is not attached yet.
func (st *status) trouble(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.s.Node.Problem = err.Error()
}

// watch notes who watches BOB.
func (st *status) watch(w *bob.Watch) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.bob = w
}

// bridge notes who watches bridges.
func (st *status) bridge(w *bitvm.Watch) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.bridges = w
}

// advise notes what the node calls itself, and what to add to its configuration.
// The list is not changed any more.
func (st *status) advise(agent string, list []web.Advice) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.s.Node.Agent, st.s.Advice = agent, list
}

// add takes a verdict into the status.
func (st *status) add(r Report) {
	st.mu.Lock()
	defer st.mu.Unlock()
	a := &st.s.Agreement
	switch r.Outcome {
	case Agree:
		a.Agree++
	case Differ:
		a.Differ++
	case Undecided:
		a.Undecided++
	}
	id := web.BlockID{Height: r.Verdict.Height, Hash: r.Verdict.Hash.String()}
	rule, detail := "", r.Reason
	if r.Verdict.Err != nil {
		rule = string(r.Verdict.Err.Rule)
	}
	if r.Outcome != Agree {
		a.Cases = prepend(a.Cases, web.Case{
			BlockID: id, At: r.At, Outcome: web.Outcome(r.Outcome), Node: nodeVerdict(r.NodeValid),
			Rule: rule, Detail: detail, Prevouts: string(r.Verdict.Prevouts), Evidence: r.Evidence,
		})
	}
	if !r.NodeValid {
		return
	}
	v := &r.Verdict
	st.s.Blocks = prepend(st.s.Blocks, web.Block{
		BlockID: id, At: r.At, Outcome: web.Outcome(r.Outcome), Rule: rule,
		Prevouts: string(v.Prevouts), Unchecked: ruleNames(v.Unchecked),
		Transactions: v.Transactions, Inputs: v.Inputs, Signatures: v.Signatures,
		Verdict: r.Took.Seconds(), Parse: v.Stages.Parse.Seconds(), Lookup: v.Stages.Lookup.Seconds(),
		Rules: v.Stages.Rules.Seconds(), Scripts: v.Stages.Scripts.Seconds(),
	})
}

func nodeVerdict(valid bool) string {
	if valid {
		return "valid"
	}
	return "invalid"
}

func ruleNames(rules []blockval.Rule) []string {
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = string(r)
	}
	return names
}

// prepend puts v before list and keeps the newest ones. It never changes the
// array behind list, which a Status already given out may share.
func prepend[T any](list []T, v T) []T {
	return append([]T{v}, list[:min(len(list), keptReports-1)]...)
}

// Status implements web.Source.
func (st *status) Status() web.Status {
	s, state := st.status()
	if state != nil {
		state.tell(&s.UTXO) // reads the database
	}
	if relay := st.shownRelay(); relay != nil {
		s.DemoRelay = relay()
	}
	return s
}

func (st *status) status() (web.Status, *chainstate) {
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.s
	if st.verifier != nil {
		path, why := st.verifier.Path()
		s.Signatures = web.Signatures{Path: string(path), Reason: why}
	}
	if st.evidence != nil {
		s.Evidence = st.evidence.state()
	}
	if st.bob != nil {
		s.BOB = st.bob.Status()
	}
	if st.bridges != nil {
		s.BitVM = st.bridges.Status()
	}
	if st.feed == nil {
		return s, st.state
	}
	f := st.feed.Status()
	s.Node.Attached = f.Attached && f.Err == nil
	s.Node.Problem = ""
	if f.Err != nil {
		s.Node.Problem = f.Err.Error()
	} else if !f.Attached {
		s.Node.Problem = "the node's notifications are not connected"
	}
	s.Node.Tip = blockID(f.Best)
	s.Tip = blockID(st.tip)
	// One block more is a block that is just being judged.
	s.AtTip = s.Tip != nil && f.Best.Height <= st.tip.Height+1
	s.Mempool = web.Mempool{Transactions: f.Mempool, Resyncs: f.Resyncs, Warming: st.warmer.counts()}
	s.Disconnected = f.Disconnected
	return s, st.state
}

// showRelay notes who tells of the demo's relay.
func (st *status) showRelay(relay func() *web.DemoRelay) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.relay = relay
}

func (st *status) shownRelay() func() *web.DemoRelay {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.relay
}

func blockID(t node.Tip) *web.BlockID {
	if t == (node.Tip{}) {
		return nil
	}
	return &web.BlockID{Height: t.Height, Hash: t.Hash.String()}
}
