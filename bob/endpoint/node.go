package endpoint

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/outrider-project/outrider/perfcore"
)

// A Role is what an endpoint is, which says how it tells its chain.
type Role uint8

// These are the roles.
const (
	// Execution clients answer eth_chainId.
	Execution Role = iota
	// OpNode answers optimism_rollupConfig.
	OpNode
)

// An Endpoint is a node as its operator describes it.
type Endpoint struct {
	// Name stands for the endpoint in metrics and errors: 1 to 32 of a-z, 0-9, - and _.
	Name string
	// URL is its address, http or https. It is a secret, and so are the values of
	// Headers, which go with every call.
	URL     string
	Headers map[string]string
	// Rate is how many calls a second it may get, a batch counting as many as it has
	// (0: 50); Burst how many of them at once after a pause (0: as many as a second).
	Rate  float64
	Burst int
	// Calls is how many exchanges may be open at once at the most, whatever the pool's knob
	// says (0: 16), Queue how many callers may wait for their turn (0: 64).
	Calls, Queue int
}

// node is an endpoint of a pool.
type node struct {
	cfg     Endpoint
	url     *url.URL
	secret  secret
	http    *http.Client
	limiter *rate.Limiter
	places  *perfcore.Semaphore // of exchanges that are open
	waiting atomic.Int64
	breaker breaker
	perf    *nodePerf
	nextID  atomic.Uint64
	timeout time.Duration // of one exchange; 0 for that of the class

	// chain says whether the endpoint is of the pool's chain. proving is held by the
	// one who asks it, so that others wait for the answer.
	// told is the id of the chain that it last told of.
	chain   atomic.Int32
	told    atomic.Uint64
	proving chan struct{}

	mu sync.Mutex // guards what follows
	// latency is a moving average of answered calls, failedAt when one last failed.
	latency  time.Duration
	failedAt time.Time
}

// What is known of an endpoint's chain.
const (
	chainUnknown int32 = iota
	chainRight
	chainWrong
)

const (
	dialTimeout   = 5 * time.Second
	idleTimeout   = 60 * time.Second
	maxHTTPHeader = 64 << 10
)

// newNode returns a node whose chain is not known.
func newNode(cfg Endpoint, timeout time.Duration, perf *nodePerf) (*node, error) {
	u, err := parseURL(cfg.Name, cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.Rate < 0 || cfg.Burst < 0 || cfg.Calls < 0 || cfg.Queue < 0 {
		return nil, errors.New("endpoint " + cfg.Name + ": its budget is negative")
	}
	if cfg.Rate == 0 {
		cfg.Rate = 50
	}
	if cfg.Burst == 0 {
		cfg.Burst = max(1, int(cfg.Rate))
	}
	if cfg.Calls == 0 {
		cfg.Calls = 16
	}
	if cfg.Queue == 0 {
		cfg.Queue = 64
	}
	n := &node{
		cfg: cfg, url: u, secret: newSecret(cfg.Name, u, cfg.Headers), perf: perf,
		limiter: rate.NewLimiter(rate.Limit(cfg.Rate), cfg.Burst),
		places:  perfcore.NewSemaphore(cfg.Calls),
		proving: make(chan struct{}, 1),
		timeout: timeout,
		breaker: breaker{least: minRest, most: maxRest},
	}
	n.http = &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // the address goes to its host and to nobody else
			DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
			MaxIdleConnsPerHost:    cfg.Calls,
			MaxConnsPerHost:        cfg.Calls,
			IdleConnTimeout:        idleTimeout,
			TLSHandshakeTimeout:    2 * dialTimeout,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			MaxResponseHeaderBytes: maxHTTPHeader,
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // a redirected transaction is sent twice
		},
	}
	return n, nil
}

// request is a call on the wire.
type request struct {
	Version string `json:"jsonrpc"`
	ID      uint64 `json:"id"`
	Method  string `json:"method"`
	Params  []any  `json:"params"`
}

// A question is what goes to a node in one exchange: calls of one method, one or, in a
// batch, several.
type question struct {
	method string
	known  method
	params [][]any
	batch  bool
}

// err returns an error about the question.
func (n *node) err(q *question, k Kind, message string) *Error {
	return &Error{Kind: k, Endpoint: n.cfg.Name, Method: q.method, Message: n.secret.hide(message)}
}

// ask asks the question once, within the budget, and returns the answers in order. The
// error is about all of them; those of answers have the node's name and the method.
// hasty says not to wait for a turn.
func (n *node) ask(ctx context.Context, q *question, hasty bool) ([]answer, *Error) {
	if !n.breaker.admit(time.Now()) {
		n.perf.failed(Resting)
		return nil, n.err(q, Resting, "")
	}
	release, err := n.turn(ctx, q, hasty)
	if err != nil {
		n.perf.failed(err.Kind)
		n.breaker.settle(unjudged, time.Now())
		return nil, err
	}
	defer release()
	start := time.Now()
	answers, err := n.exchange(ctx, q)
	now := time.Now()
	n.judge(ctx, q, answers, err, now.Sub(start), now)
	return answers, err
}

// judge tells the breaker, the budget and the instruments what became of an exchange. One
// that its caller gave up says nothing.
func (n *node) judge(ctx context.Context, q *question, answers []answer, err *Error, took time.Duration, now time.Time) {
	if err != nil && ctx.Err() != nil {
		n.breaker.settle(unjudged, now)
		return
	}
	worst := err
	if err != nil {
		n.perf.failed(err.Kind)
	}
	for i := range answers {
		e := answers[i].err
		if e == nil {
			continue
		}
		n.perf.failed(e.Kind)
		if worst == nil && !e.Kind.said() {
			worst = e
		}
	}
	outcome := succeeded
	switch {
	case worst == nil:
	case worst.Kind.blames():
		outcome = failed
	default:
		outcome = unjudged // it limits the rate
	}
	n.perf.class[q.known.class].Observe(took)
	if n.breaker.settle(outcome, now) {
		// It was away: another may have come back at its address.
		n.chain.CompareAndSwap(chainRight, chainUnknown)
	}
	if worst != nil && (worst.Kind == RateLimited || worst.RetryAfter > 0) {
		hold := worst.RetryAfter
		if hold == 0 {
			hold = jitter(n.breaker.least)
		}
		n.breaker.hold(hold, now)
	}
	n.perf.open(n.breaker.open())
	n.mu.Lock()
	defer n.mu.Unlock()
	switch outcome {
	case succeeded:
		n.latency += (took - n.latency) / 8
	case failed:
		n.failedAt = now
	}
}

// turn waits until the budget has room for the question, and returns how to leave.
func (n *node) turn(ctx context.Context, q *question, hasty bool) (release func(), err *Error) {
	if n.waiting.Add(1) > int64(n.cfg.Queue) {
		n.waiting.Add(-1)
		return nil, n.err(q, Overloaded, "the queue is full")
	}
	n.perf.queued.Set(float64(n.waiting.Load()))
	defer func() { n.perf.queued.Set(float64(n.waiting.Add(-1))) }()
	if hasty {
		if !n.places.TryAcquire() {
			return nil, n.err(q, Overloaded, "all places are taken")
		}
		if !n.limiter.AllowN(time.Now(), len(q.params)) {
			n.places.Release()
			return nil, n.err(q, Overloaded, "the budget is spent")
		}
		return n.places.Release, nil
	}
	if n.places.Acquire(ctx) != nil {
		return nil, n.ended(ctx, q, Overloaded)
	}
	for left := len(q.params); left > 0; left -= n.cfg.Burst {
		if werr := n.limiter.WaitN(ctx, min(left, n.cfg.Burst)); werr != nil {
			n.places.Release()
			if ctx.Err() != nil {
				return nil, n.ended(ctx, q, Overloaded)
			}
			return nil, n.err(q, Overloaded, "the budget is spent for longer than the caller waits")
		}
	}
	return n.places.Release, nil
}

// ended returns the error of a call whose context ended.
func (n *node) ended(ctx context.Context, q *question, k Kind) *Error {
	e := n.err(q, k, ctx.Err().Error())
	e.cause = ctx.Err()
	return e
}

// exchange posts the question and decodes the answers.
func (n *node) exchange(ctx context.Context, q *question) ([]answer, *Error) {
	count := len(q.params)
	first := n.nextID.Add(uint64(count)) - uint64(count) + 1
	requests := make([]request, count)
	for i, p := range q.params {
		if p == nil {
			p = []any{}
		}
		requests[i] = request{"2.0", first + uint64(i), q.method, p}
	}
	var payload any = requests
	if !q.batch {
		payload = requests[0]
	}
	body, err := json.Marshal(payload)
	if err != nil {
		return nil, n.err(q, Refused, "the parameters cannot be encoded")
	}
	timeout, limit := q.known.class.limits()
	if n.timeout > 0 {
		timeout = n.timeout
	}
	callCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var left atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { left.Store(true) }}
	status, header, data, e := n.post(httptrace.WithClientTrace(callCtx, trace), q, body, limit)
	n.perf.bytes.Add(uint64(len(data)))
	if e != nil {
		if ctx.Err() != nil {
			e.cause = ctx.Err()
		}
		e.left = left.Load()
		return nil, e
	}
	answers := decodeAnswers(status, parseRetryAfter(header.Get("Retry-After"), time.Now()), data, first, count, q.batch)
	for i := range answers {
		n.complete(q, &answers[i])
	}
	return answers, nil
}

// complete finishes an answer: null is the answer to some methods only, and errors get
// names and lose secrets.
func (n *node) complete(q *question, a *answer) {
	if a.err == nil && string(a.result) == "null" {
		switch {
		case q.known.nullable:
			a.result, a.err = nil, &Error{Kind: Absent}
		case q.known.read || q.known.class == classSend:
			a.result, a.err = nil, &Error{Kind: Malformed, Message: "null"}
		}
	}
	if a.err == nil {
		return
	}
	e := *a.err
	e.Endpoint, e.Method, e.left = n.cfg.Name, q.method, true
	e.Message = n.secret.hide(e.Message)
	a.err = &e
}

// post sends a body and returns the response, of at most limit bytes.
func (n *node) post(ctx context.Context, q *question, body []byte, limit int64) (int, http.Header, []byte, *Error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url.String(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, n.err(q, Refused, "the request cannot be made")
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range n.cfg.Headers {
		req.Header.Set(name, value)
	}
	resp, err := n.http.Do(req)
	if err != nil {
		return 0, nil, nil, n.transportError(ctx, q, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return 0, nil, data, n.transportError(ctx, q, err)
	}
	if int64(len(data)) > limit {
		return 0, nil, data, n.err(q, TooLong, "more than "+strconv.FormatInt(limit, 10)+" bytes")
	}
	return resp.StatusCode, resp.Header, data, nil
}

// transportError says what an error of net/http means.
func (n *node) transportError(ctx context.Context, q *question, err error) *Error {
	var timeout net.Error
	if ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout() {
		return n.err(q, TimedOut, "")
	}
	return n.err(q, Unreachable, innermost(err).Error())
}

// shunFor is how long an endpoint that failed is asked after those that did not.
const shunFor = 5 * time.Second

// rank says how good it is to ask the node: whether it failed lately, and how long a call
// is likely to take.
func (n *node) rank(now time.Time) (shunned bool, load time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return now.Sub(n.failedAt) < shunFor, n.latency * time.Duration(1+n.places.Held()+int(n.waiting.Load()))
}
