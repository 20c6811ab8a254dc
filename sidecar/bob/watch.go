package bob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay/monitor"
	"github.com/outrider-project/outrider/perfcore"
)

// A Watch watches BOB: the heads of the L2, whether its nodes follow the next forks and agree
// about the state, and the relay, if there is one. It is safe for concurrent use.
type Watch struct {
	cfg     Config
	bitcoin monitor.Bitcoin
	exec    *endpoint.Pool // nil without execution clients
	nodes   *endpoint.Pool // nil without op-nodes
	heads   *opstack.Watcher
	relay   *monitor.Monitor // nil without a relay
	l1      *l1Watch         // nil without clients of Ethereum
	perf    *surveyPerf
	survey  atomic.Pointer[Survey]
}

// A member is one node with who asks it.
type member struct {
	name   string
	pool   *endpoint.Pool
	client opstack.Client
}

// New returns a Watch that has asked nobody. bitcoin may be nil if cfg has no relay, and rec
// if nobody looks at metrics.
func New(cfg Config, bitcoin monitor.Bitcoin, rec perfcore.Recorder) (*Watch, error) {
	if !cfg.Enabled() {
		return nil, errors.New("no node of BOB is known: set OUTRIDER_BOB_L2 to the address of an execution client, and OUTRIDER_BOB_OP_NODE to that of its op-node")
	}
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if rec == nil {
		rec = perfcore.Discard
	}
	cfg.ChainID = cfg.chain()
	w := &Watch{cfg: cfg, bitcoin: bitcoin, perf: newSurveyPerf(rec)}
	var err error
	pool := func(role endpoint.Role, list []endpoint.Endpoint, beside *endpoint.Pool) *endpoint.Pool {
		if len(list) == 0 || err != nil {
			return nil
		}
		var p *endpoint.Pool
		p, err = endpoint.New(endpoint.Options{
			Layer: "l2", ChainID: cfg.ChainID, Role: role, Endpoints: list, Beside: beside, Recorder: rec,
		})
		return p
	}
	w.exec = pool(endpoint.Execution, cfg.Execution, nil)
	w.nodes = pool(endpoint.OpNode, cfg.OpNodes, w.exec)
	if err != nil {
		return nil, err
	}
	if len(cfg.L1) > 0 {
		if w.l1, err = newL1(&cfg, w.exec, rec); err != nil {
			return nil, err
		}
	}
	interval := cmp.Or(w.exec, w.nodes).PollInterval
	var sources []opstack.Source
	for _, n := range w.executionNodes() {
		sources = append(sources, opstack.Source{Name: n.name, Kind: opstack.Execution, Client: n.client})
	}
	for _, n := range w.opNodes() {
		sources = append(sources, opstack.Source{Name: n.name, Kind: opstack.OpNode, Client: n.client})
	}
	if w.heads, err = opstack.NewWatcher(opstack.WatcherConfig{Sources: sources, Interval: interval, Recorder: rec}); err != nil {
		return nil, err
	}
	if cfg.WatchesRelay() {
		w.relay, err = monitor.New(monitor.Config{
			L2: w.exec, Address: cfg.Relay, Kind: cfg.Kind, Bitcoin: bitcoin, Confirmations: cfg.Confirmations, Interval: interval, Recorder: rec,
		})
	}
	return w, err
}

func (w *Watch) executionNodes() []member { return nodesOf(w.exec, w.cfg.Execution) }
func (w *Watch) opNodes() []member        { return nodesOf(w.nodes, w.cfg.OpNodes) }

func nodesOf(p *endpoint.Pool, list []endpoint.Endpoint) []member {
	all := make([]member, len(list))
	for i, e := range list {
		one := p.Only(e.Name)
		all[i] = member{e.Name, one, opstack.Client{Caller: one}}
	}
	return all
}

// surveyEvery is how long Run waits between two surveys: what they ask for changes with
// releases, and their output roots with batches, which come hourly.
const surveyEvery = 5 * time.Minute

// Run watches until ctx ends, whose error it returns. It runs once.
func (w *Watch) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	for _, p := range []*endpoint.Pool{w.exec, w.nodes} {
		if p != nil {
			parts.Go(func() { _ = p.Run(ctx) }) // the context's
		}
	}
	parts.Go(func() { _ = w.heads.Run(ctx) })
	if w.relay != nil {
		parts.Go(func() { _ = w.relay.Run(ctx) })
	}
	if w.l1 != nil {
		parts.Go(func() { w.l1.run(ctx) })
	}
	wait := time.Second // until the first heads are there
	for {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait = surveyEvery
		if st := w.heads.State(); st != nil {
			w.take(ctx, *st)
		} else {
			wait = time.Second
		}
	}
}

// Knobs returns what may be tried at other values: how often and how much is asked.
func (w *Watch) Knobs() []perfcore.Knob {
	knobs := cmp.Or(w.exec, w.nodes).Knobs() // of both
	if w.l1 != nil {
		knobs = append(knobs, w.l1.knobs()...)
	}
	return knobs
}

// Ask asks every node once, and returns what they say. It must not be called while Run runs.
func (w *Watch) Ask(ctx context.Context) *Status {
	var relayState *monitor.State
	var l1State *opstack.L1State
	var problems map[string]string
	var asking sync.WaitGroup
	if w.relay != nil {
		asking.Go(func() { relayState = w.relay.Refresh(ctx) })
	}
	if w.l1 != nil {
		asking.Go(func() { l1State, problems = w.l1.ask(ctx) })
	}
	reports, heads := w.heads.Refresh(ctx)
	w.take(ctx, heads)
	asking.Wait()
	st := w.status(&heads, relayState, l1State)
	for name, problem := range problems {
		st.node(name).Problem = problem
	}
	for _, r := range reports {
		if r.Err != nil {
			st.node(r.Source).Problem = r.Err.Error()
		}
	}
	return st
}

// Status returns what is known, from memory.
func (w *Watch) Status() *Status {
	var relayState *monitor.State
	if w.relay != nil {
		relayState = w.relay.State()
	}
	var l1State *opstack.L1State
	if w.l1 != nil {
		l1State = w.l1.watcher.State()
	}
	return w.status(w.heads.State(), relayState, l1State)
}

// surveyTimeout bounds a survey.
const surveyTimeout = 20 * time.Second

// take takes a survey of the nodes.
func (w *Watch) take(ctx context.Context, heads opstack.State) {
	ctx, cancel := context.WithTimeout(ctx, surveyTimeout)
	defer cancel()
	s := &Survey{At: time.Now(), Forks: []Fork{}}
	schedule := w.surveyForks(ctx, s)
	w.surveyOutputs(ctx, s, schedule, heads)
	if ctx.Err() == nil {
		w.survey.Store(s)
		w.perf.record(s)
	}
}

// surveyForks asks each pair of nodes whether it follows the forks that come. It returns when
// the first op-node that answers plans them; nil if none does.
func (w *Watch) surveyForks(ctx context.Context, s *Survey) *opstack.Schedule {
	exec, nodes := w.executionNodes(), w.opNodes()
	var schedule *opstack.Schedule
	for i := range max(len(exec), len(nodes)) {
		setup := opstack.Setup{ChainID: w.cfg.ChainID, Now: uint64(s.At.Unix())}
		var names [2]string
		// What cannot be learnt stays unset, and then nothing is proven by it.
		if i < len(nodes) || len(nodes) > 0 {
			n := nodes[min(i, len(nodes)-1)]
			names[0] = n.name
			if config, err := n.client.RollupConfig(ctx); err == nil {
				setup.Rollup = config
				if schedule == nil {
					schedule = &config.Forks
				}
			}
			setup.NodeVersion, _ = n.client.NodeVersion(ctx)
		}
		if len(exec) > 0 {
			n := exec[min(i, len(exec)-1)]
			names[1] = n.name
			setup.Execution, _ = n.client.ForkConfig(ctx)
			setup.ExecutionVersion, _ = n.client.ExecutionVersion(ctx)
		}
		for _, r := range opstack.CheckForks(setup) {
			s.Forks = append(s.Forks, Fork{
				Fork: r.Fork, Time: r.Time, Verdict: r.Verdict.String(), Why: r.Why, OpNode: names[0], Execution: names[1],
				NodeVersion: setup.NodeVersion, ExecutionVersion: setup.ExecutionVersion, verdict: r.Verdict,
			})
		}
	}
	return schedule
}

// surveyOutputs compares what the nodes commit to at the safe head.
func (w *Watch) surveyOutputs(ctx context.Context, s *Survey, schedule *opstack.Schedule, heads opstack.State) {
	o := &s.Outputs
	safe := heads.Heads[opstack.Safe]
	if safe.Sources == 0 {
		o.Problem = "no safe head is known, at which nodes must agree"
		return
	}
	o.Height = safe.Number
	var outputs []opstack.NodeOutput
	take := func(name string, out *opstack.Output, err error) {
		one := Output{Node: name}
		if err != nil {
			one.Problem = err.Error()
		} else {
			one.Root, one.Block = out.Root.Hex(), out.Block.Hash.Hex()
			outputs = append(outputs, opstack.NodeOutput{Node: name, Output: *out})
		}
		o.Nodes = append(o.Nodes, one)
	}
	for _, n := range w.opNodes() {
		out, err := n.client.OutputAtBlock(ctx, safe.Number)
		take(n.name, out, err)
	}
	if schedule == nil {
		// Since Isthmus headers have what is needed; BOB has been there since May 2025.
		schedule = isthmus()
	}
	for _, n := range w.executionNodes() {
		out, err := n.client.OutputOf(ctx, schedule, safe.Number)
		take(n.name, out, err)
	}
	if len(outputs) < 2 {
		o.Problem = fmt.Sprintf("%d of %d nodes have told what they commit to: there must be two to compare", len(outputs), len(o.Nodes))
		return
	}
	o.Compared = true
	if err := opstack.CompareOutputs(outputs); err != nil {
		o.Problem = err.Error()
	} else {
		o.Agree = true
	}
}

// isthmus is a schedule of a chain that has been of Isthmus always.
func isthmus() *opstack.Schedule {
	s := new(opstack.Schedule)
	for f := opstack.Regolith; f <= opstack.Isthmus; f++ {
		s[f] = new(uint64)
	}
	return s
}

// surveyPerf are the metrics of surveys.
type surveyPerf struct{ notReady, disagree *perfcore.Gauge }

func newSurveyPerf(rec perfcore.Recorder) *surveyPerf {
	return &surveyPerf{
		notReady: rec.Gauge(perfcore.Metric{
			Name: "outrider_bob_forks_not_ready", Help: "Forks at which a node leaves the L2, or has left it.",
			Alert: perfcore.Alert{
				Name: "bob_fork_not_ready", Help: "A node of the L2 does not follow a fork: it will stop or leave the chain then. \"outrider bob doctor\" says what to set or upgrade.",
				Urgent: true,
			},
		}),
		disagree: rec.Gauge(perfcore.Metric{
			Name: "outrider_bob_outputs_disagree", Help: "Whether nodes of the L2 commit to different states at the safe head.",
			Alert: perfcore.Alert{
				Name: "bob_outputs_disagree", Help: "Nodes of the L2 have different blocks or states at the safe head: one of them is wrong. Take none of their answers before it is known which.",
				Urgent: true,
			},
		}),
	}
}

func (p *surveyPerf) record(s *Survey) {
	n := 0
	for _, f := range s.Forks {
		if f.verdict == opstack.NotReady {
			n++
		}
	}
	p.notReady.Set(float64(n))
	differ := 0.0
	if s.Outputs.Compared && !s.Outputs.Agree {
		differ = 1
	}
	p.disagree.Set(differ)
}

// absent is a Bitcoin node that there is not.
type absent struct{ why error }

// WithoutBitcoin returns a Bitcoin node that answers nothing, because of why.
func WithoutBitcoin(why error) monitor.Bitcoin { return absent{why} }

// BlockHash fails.
func (a absent) BlockHash(context.Context, uint32) (chainhash.Hash, error) {
	return chainhash.Hash{}, a.why
}

// Header fails.
func (a absent) Header(context.Context, chainhash.Hash) (header.Header, error) {
	return header.Header{}, a.why
}

// Headers fails.
func (a absent) Headers(context.Context, []chainhash.Hash) ([]header.Header, error) {
	return nil, a.why
}
