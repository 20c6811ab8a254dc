package endpoint

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// Options say what a pool is of.
type Options struct {
	// Layer is "l1" or "l2"; metrics and knobs have it in their names.
	Layer string
	// ChainID is the chain that all endpoints must be of.
	ChainID uint64
	Role    Role
	// Endpoints are asked by their speed and load; where these are equal, in this
	// order.
	Endpoints []Endpoint
	// Confirm is how many endpoints must answer null before a thing is Absent (0: 2,
	// or as many as there are, if fewer). One that lags is then not believed.
	Confirm int
	// Beside, unless nil, is a pool of the same layer, of nodes of another role. The knobs of
	// either are those of both.
	Beside *Pool
	// Timeout bounds one exchange (0: 5 to 30 s, by the class of the method).
	Timeout time.Duration
	// Recheck is how often Run asks the endpoints for their chain again (0: 1 min).
	Recheck  time.Duration
	Recorder perfcore.Recorder
}

// A Pool calls the endpoints of one chain. It is safe for concurrent use.
type Pool struct {
	opts  Options
	nodes []*node
	perf  *instruments
	*tuning
	hedges allowance
}

// A tuning is what the knobs turn. Durations are in milliseconds.
type tuning struct {
	pollInterval, batchSize, hedgeDelay atomic.Int64
	concurrency                         concurrency
}

const (
	defaultPoll    = 1000 // half of a block's time on BOB
	defaultL1Poll  = 4000 // a third of a slot on Ethereum
	defaultBatch   = 20
	defaultHedge   = 250
	defaultRecheck = time.Minute
)

func newTuning(layer string) *tuning {
	t := new(tuning)
	t.pollInterval.Store(defaultPoll)
	if layer == "l1" {
		t.pollInterval.Store(defaultL1Poll)
	}
	t.batchSize.Store(defaultBatch)
	t.hedgeDelay.Store(defaultHedge)
	return t
}

// Open returns a pool, having asked each endpoint for its chain. It fails with WrongChain
// if one is of another: a mistake of the operator that no other endpoint makes good. One
// that does not answer is asked again before its first use. ctx bounds the asking.
func Open(ctx context.Context, opts Options) (*Pool, error) {
	p, err := New(opts)
	if err != nil {
		return nil, err
	}
	var wrong []error
	for _, err := range p.prove(ctx) {
		if errors.Is(err, WrongChain) {
			wrong = append(wrong, err)
		}
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return p, nil
}

// New returns a pool that has asked nobody. An endpoint is asked for its chain before its
// first use; one that is of another is not used until Run finds that it is no more.
func New(opts Options) (*Pool, error) {
	switch {
	case opts.Layer != "l1" && opts.Layer != "l2":
		return nil, fmt.Errorf("a pool of layer %q: it is l1 or l2", opts.Layer)
	case opts.ChainID == 0:
		return nil, errors.New("a pool without a chain id")
	case opts.Role > OpNode:
		return nil, fmt.Errorf("a pool of role %d, which is none", opts.Role)
	case len(opts.Endpoints) == 0:
		return nil, errors.New("a pool without endpoints")
	case opts.Beside != nil && opts.Beside.opts.Layer != opts.Layer:
		return nil, fmt.Errorf("a pool of layer %s beside one of layer %s", opts.Layer, opts.Beside.opts.Layer)
	case opts.Confirm < 0 || opts.Confirm > len(opts.Endpoints):
		return nil, fmt.Errorf("%d endpoints cannot confirm what %d say", opts.Confirm, len(opts.Endpoints))
	}
	if opts.Confirm == 0 {
		opts.Confirm = min(2, len(opts.Endpoints))
	}
	if opts.Recheck <= 0 {
		opts.Recheck = defaultRecheck
	}
	if opts.Recorder == nil {
		opts.Recorder = perfcore.Discard
	}
	p := &Pool{opts: opts, perf: newInstruments(opts.Recorder, opts.Layer)}
	if opts.Beside != nil {
		p.tuning = opts.Beside.tuning
	} else {
		p.tuning = newTuning(opts.Layer)
	}
	p.hedges.tenths = maxTenths
	names := make(map[string]bool)
	for _, e := range opts.Endpoints {
		if names[e.Name] {
			return nil, fmt.Errorf("two endpoints are called %.40q", e.Name)
		}
		names[e.Name] = true
		n, err := newNode(e, opts.Timeout, p.perf.node(opts.Recorder, opts.Layer, e.Name))
		if err != nil {
			return nil, err
		}
		p.nodes = append(p.nodes, n)
	}
	p.concurrency.add(p.nodes)
	return p, nil
}

// Only returns a pool of one of p's endpoints, for who must know which node answers. It
// shares the endpoint's budget, breaker and metrics with p, and p's knobs; p's Run is its
// own. It is nil if p has no endpoint of that name.
func (p *Pool) Only(name string) *Pool {
	i := slices.IndexFunc(p.nodes, func(n *node) bool { return n.cfg.Name == name })
	if i < 0 {
		return nil
	}
	one := &Pool{opts: p.opts, nodes: p.nodes[i : i+1], perf: p.perf, tuning: p.tuning}
	one.opts.Endpoints, one.opts.Confirm = p.opts.Endpoints[i:i+1], 1
	return one
}

// Run asks the endpoints for their chain again and again until ctx ends, whose error it
// returns. It closes connections that are not in use then.
func (p *Pool) Run(ctx context.Context) error {
	tick := time.NewTicker(p.opts.Recheck)
	defer tick.Stop()
	defer p.close()
	for {
		select {
		case <-tick.C:
			p.prove(ctx) // what is wrong is remembered by the endpoint
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *Pool) close() {
	for _, n := range p.nodes {
		n.http.CloseIdleConnections()
	}
}

// PollInterval returns how often those who follow a chain through the pool should ask. It
// changes with a knob.
func (p *Pool) PollInterval() time.Duration {
	return time.Duration(p.pollInterval.Load()) * time.Millisecond
}

// A Status is the state of one endpoint.
type Status struct {
	Name string
	// Chain is "right", "wrong" or "unknown".
	Chain string
	// Resting says that it gets no calls but trials.
	Resting bool
	// Open and Waiting are the exchanges under way and the callers in the queue.
	Open, Waiting int
	// Latency is a moving average.
	Latency time.Duration
}

// Status returns the state of the endpoints, in the order of the options.
func (p *Pool) Status() []Status {
	all := make([]Status, len(p.nodes))
	for i, n := range p.nodes {
		n.mu.Lock()
		latency := n.latency
		n.mu.Unlock()
		all[i] = Status{
			Name: n.cfg.Name, Chain: [...]string{"unknown", "right", "wrong"}[n.chain.Load()], Resting: n.breaker.open(),
			Open: n.places.Held(), Waiting: int(n.waiting.Load()), Latency: latency,
		}
	}
	return all
}

// prove asks all endpoints for their chain, and returns their errors.
func (p *Pool) prove(ctx context.Context) []error {
	errs := make([]error, len(p.nodes))
	var asking sync.WaitGroup
	for i, n := range p.nodes {
		asking.Go(func() {
			if err := n.prove(ctx, p.opts.Role, p.opts.ChainID); err != nil {
				errs[i] = err
			}
		})
	}
	asking.Wait()
	return errs
}

// ranked returns the endpoints that may be asked now, the best first, but those in
// except.
func (p *Pool) ranked(except []*node) []*node {
	type candidate struct {
		node *node
		last int // 1 for those that failed lately
		load time.Duration
	}
	now := time.Now()
	var all []candidate
	for _, n := range p.nodes {
		if n.chain.Load() == chainWrong || !n.breaker.ready(now) || slices.Contains(except, n) {
			continue
		}
		c := candidate{node: n}
		shunned, load := n.rank(now)
		if c.load = load; shunned {
			c.last = 1
		}
		all = append(all, c)
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.last, b.last), cmp.Compare(a.load, b.load))
	})
	nodes := make([]*node, len(all))
	for i, c := range all {
		nodes[i] = c.node
	}
	return nodes
}

// nobody is the error of a question that no endpoint can be asked, after the error last. Where
// all are of another chain it is that of the first.
func (p *Pool) nobody(q *question, last *Error) *Error {
	if last != nil {
		return last
	}
	if !slices.ContainsFunc(p.nodes, func(n *node) bool { return n.chain.Load() != chainWrong }) {
		return p.nodes[0].stranger(q, p.opts.ChainID)
	}
	return &Error{Kind: Resting, Method: q.method, Message: "no endpoint can be asked now"}
}

// Call calls a method and returns its result, which is not null. Reads are asked at other
// endpoints too, at once if the first is slow, or when it says nothing; other methods are
// sent to one endpoint once. The error is an *Error.
func (p *Pool) Call(ctx context.Context, name string, params ...any) (json.RawMessage, error) {
	q := &question{method: name, known: methodOf(name), params: [][]any{params}}
	var a answer
	if q.known.read {
		a = p.read(ctx, q)
	} else {
		a = p.send(ctx, q)
	}
	if a.err != nil {
		return nil, a.err
	}
	return a.result, nil
}

// A Result is one of a batch: a result, or an *Error.
type Result struct {
	Raw json.RawMessage
	Err error
}

// Batch calls a read once with each of params and returns the results in the order of
// params. It asks for several at once, as many as a knob says; those that an endpoint
// said nothing to, or null, are asked again one by one. A method that is not known to be
// a read is refused.
func (p *Pool) Batch(ctx context.Context, name string, params [][]any) []Result {
	results := make([]Result, len(params))
	q := &question{method: name, known: methodOf(name), batch: true}
	if !q.known.read {
		for i := range results {
			results[i].Err = &Error{Kind: Refused, Method: name, Message: "a batch is for reads"}
		}
		return results
	}
	size := int(p.batchSize.Load())
	for at := 0; at < len(params); at += size {
		q.params = params[at:min(at+size, len(params))]
		p.batch(ctx, q, results[at:at+len(q.params)])
	}
	return results
}

// batch asks for some of a batch.
func (p *Pool) batch(ctx context.Context, q *question, results []Result) {
	var answers []answer
	var err *Error
	for _, n := range p.ranked(nil) {
		if answers, err = p.askProven(ctx, n, q, false); err == nil || ctx.Err() != nil {
			break
		}
	}
	for i := range results {
		if answers != nil && answers[i].err == nil {
			results[i].Raw = answers[i].result
			continue
		}
		if answers != nil && answers[i].err.Kind.said() && answers[i].err.Kind != Absent {
			results[i].Err = answers[i].err
			continue
		}
		results[i].Raw, results[i].Err = p.Call(ctx, q.method, q.params[i]...)
		if answers != nil {
			err = answers[i].err
		}
		if err != nil && errors.Is(results[i].Err, Resting) {
			results[i].Err = err // why there is nobody left to ask
		}
	}
}

// askProven asks a node whose chain is proven to be the right one first.
func (p *Pool) askProven(ctx context.Context, n *node, q *question, hasty bool) ([]answer, *Error) {
	if n.chain.Load() != chainRight {
		if err := n.proveOnce(ctx, p.opts.Role, p.opts.ChainID); err != nil {
			e := *err
			e.Method, e.left = q.method, false
			return nil, &e
		}
	}
	return n.ask(ctx, q, hasty)
}

// send asks one endpoint once. Another is asked only if nothing can have reached the
// first.
func (p *Pool) send(ctx context.Context, q *question) answer {
	var last *Error
	for _, n := range p.ranked(nil) {
		answers, err := p.askProven(ctx, n, q, false)
		if err != nil {
			if !err.left && ctx.Err() == nil {
				last = err
				continue
			}
			return answer{err: n.outcome(err)}
		}
		if e := answers[0].err; e != nil {
			answers[0].err = n.outcome(e)
		}
		return answers[0]
	}
	return answer{err: p.nobody(q, last)}
}

// outcome returns the error of a send: that of a node that said no, and otherwise that
// nobody knows, unless nothing left.
func (n *node) outcome(e *Error) *Error {
	if e.Kind.said() || e.Kind == RateLimited || e.Kind == Unauthorized || !e.left {
		return e
	}
	n.perf.failed(Uncertain)
	u := *e
	u.Kind, u.Message = Uncertain, string(e.Kind)+" "+e.Message
	return &u
}
