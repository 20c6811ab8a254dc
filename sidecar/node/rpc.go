package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// These are the ways in which a node refuses every call alike. Trying again
// helps against ErrBusy only.
var (
	// ErrUnauthorized says that the node does not know the user or password.
	ErrUnauthorized = errors.New("the node refused the user name or password (HTTP 401): compare them with rpcuser and rpcpass in its configuration")
	// ErrForbidden says that the node does not serve this user or address.
	ErrForbidden = errors.New("the node does not serve this user or address (HTTP 403): see its RPC access rules")
	// ErrBusy says that the node has as many calls open as it allows.
	ErrBusy = errors.New("the node has too many calls open (HTTP 503): close other clients of its RPC server or raise its limit (btcd: rpcmaxclients)")
	// ErrWarmUp says that the node has started but not loaded its chain, and
	// answers nothing until it has. A mainnet node may take minutes.
	ErrWarmUp = errors.New("the node is starting: it answers when it has loaded its chain")
	// ErrCertificate says that the connection is not to the server that the
	// certificate belongs to.
	ErrCertificate = errors.New("the certificate is not that of the server: use the rpc.cert that the node serves now, and an address that the certificate names")
)

// An rpcMethod is a method with what its calls may cost.
type rpcMethod struct {
	name string
	// timeout bounds one attempt, limit the bytes of its answer.
	timeout time.Duration
	limit   int64
}

const (
	// rpcAttempts is how often a call is tried before its error is returned.
	rpcAttempts = 3
	// maxHTTPHeader bounds the header of an answer.
	maxHTTPHeader = 64 << 10
	dialTimeout   = 5 * time.Second
)

// rpcOptions are what an rpcClient needs to know of its node.
type rpcOptions struct {
	// url is where calls are posted to.
	url            string
	user, password string
	// roots are the only certificates that the server may present; nil when
	// url is not https.
	roots *x509.CertPool
	// maxCalls bounds the calls that are open at once, at first, and mostCalls what
	// that may be set to; 0 is maxCalls.
	maxCalls, mostCalls int
	// credentials, when not nil, stand in for user and password.
	credentials credentials
	// keepAlive reuses connections and takes them in turn, at least minLanes of
	// them; without it each call has its own.
	keepAlive bool
	// refused returns the error that an answer's status and body are, nil for
	// an answer to decode. Without it statusError judges the status alone.
	refused func(status int, body []byte) error
	// retryDelay is how long the second attempt waits; the third waits twice
	// as long. Both vary by half, so that clients do not march in step.
	retryDelay time.Duration
	perf       rpcPerf
}

// An rpcClient calls the methods of a node by JSON-RPC over HTTP. All its calls
// are reads, so they may be repeated. It is safe for concurrent use.
type rpcClient struct {
	opts      rpcOptions
	authorize string // the Authorization header
	http      *http.Client
	// lanes are the clients of one connection each when connections are kept.
	// A call takes the one that has rested longest.
	lanes  chan *http.Client
	slots  *perfcore.Semaphore
	nextID atomic.Uint64
}

func newRPCClient(opts rpcOptions) *rpcClient {
	opts.mostCalls = max(opts.mostCalls, opts.maxCalls)
	c := &rpcClient{
		opts:      opts,
		authorize: basicAuth(opts.user + ":" + opts.password),
		http:      newHTTPClient(opts),
		slots:     perfcore.NewSemaphore(opts.maxCalls),
	}
	if opts.keepAlive {
		n := max(opts.mostCalls, minLanes)
		c.lanes = make(chan *http.Client, n)
		for range n {
			c.lanes <- newHTTPClient(opts)
		}
	}
	return c
}

// basicAuth returns the Authorization header for user:password.
func basicAuth(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }

const (
	// minLanes is how many connections take turns. Bitcoin Core's HTTP server
	// may leave a request that arrives just after an answer on the same
	// connection for 50 ms; with four in turn that was not seen.
	minLanes = 4
	// idleTimeout is below the 30 s after which Bitcoin Core closes an idle
	// connection (rpcservertimeout), so that no call meets the end of its own.
	idleTimeout = 20 * time.Second
)

func newHTTPClient(opts rpcOptions) *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{
		Proxy:       nil, // the credentials go to the node and to nobody else
		DialContext: dialer.DialContext,
		// btcd takes one call a connection. Resuming the TLS session saves
		// its P-521 signature.
		DisableKeepAlives:   !opts.keepAlive,
		MaxIdleConnsPerHost: 1,
		IdleConnTimeout:     idleTimeout,
		TLSClientConfig: &tls.Config{
			RootCAs:            opts.roots,
			MinVersion:         tls.VersionTLS12,
			ClientSessionCache: tls.NewLRUClientSessionCache(opts.mostCalls),
		},
		TLSHandshakeTimeout:    2 * dialTimeout,
		MaxResponseHeaderBytes: maxHTTPHeader,
		DisableCompression:     true,
	}
	return &http.Client{
		Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // the credentials stay here
		},
	}
}

// close ends the connections that no call uses.
func (c *rpcClient) close() {
	c.http.CloseIdleConnections()
	for range len(c.lanes) {
		lane := <-c.lanes
		lane.CloseIdleConnections()
		c.lanes <- lane
	}
}

// A rpcRequest is a call on the wire.
type rpcRequest struct {
	Version string `json:"jsonrpc"`
	ID      uint64 `json:"id"`
	Method  string `json:"method"`
	Params  []any  `json:"params"`
}

func newRequest(id uint64, method string, params []any) rpcRequest {
	if params == nil {
		params = []any{} // btcd refuses a call without params
	}
	return rpcRequest{Version: "1.0", ID: id, Method: method, Params: params}
}

// call calls m and decodes its result into v.
func (c *rpcClient) call(ctx context.Context, m rpcMethod, v any, params ...any) error {
	id := c.nextID.Add(1)
	err := c.attempts(ctx, m, newRequest(id, m.name, params), func(body []byte) error {
		a, err := decodeAnswer(body, id)
		if err != nil {
			return err
		}
		return a.decodeInto(v)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	return nil
}

// batch calls m once with each of params, in one exchange, and returns the
// answers in the order of params. m's timeout and limit are for all of them.
func (c *rpcClient) batch(ctx context.Context, m rpcMethod, params [][]any) ([]answer, error) {
	n := len(params)
	first := c.nextID.Add(uint64(n)) - uint64(n) + 1
	requests := make([]rpcRequest, n)
	for i, p := range params {
		requests[i] = newRequest(first+uint64(i), m.name, p)
	}
	var answers []answer
	err := c.attempts(ctx, m, requests, func(body []byte) (err error) {
		answers, err = decodeBatch(body, first, n)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s (%d calls): %w", m.name, n, err)
	}
	return answers, nil
}

// attempts posts a request, again where repeat does.
func (c *rpcClient) attempts(ctx context.Context, m rpcMethod, request any, decode func([]byte) error) error {
	payload, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode the call: %w", err)
	}
	return c.repeat(ctx, m, message{url: c.opts.url, payload: payload, refused: c.opts.refused}, decode)
}

// A message is what goes to the node in one exchange: a call, or without a
// payload a GET, which needs no credentials.
type message struct {
	url     string
	payload []byte
	refused func(status int, body []byte) error // as in rpcOptions
}

// get fetches a file of the node's HTTP server.
func (c *rpcClient) get(ctx context.Context, m rpcMethod, msg message) (body []byte, err error) {
	err = c.repeat(ctx, m, msg, func(b []byte) error {
		body = b
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.name, err)
	}
	return body, nil
}

// repeat sends msg until decode accepts the answer, the error is one that
// another attempt does not cure, or the attempts are used up.
func (c *rpcClient) repeat(ctx context.Context, m rpcMethod, msg message, decode func([]byte) error) error {
	delay := c.opts.retryDelay
	for attempt := 1; ; attempt++ {
		err := c.attempt(ctx, m, msg, decode)
		if err == nil {
			return nil
		}
		c.opts.perf.failed(err)
		if attempt == rpcAttempts || !curable(err) {
			return err
		}
		select {
		case <-time.After(jitter(delay)):
		case <-ctx.Done():
			return fmt.Errorf("%w, after: %w", ctx.Err(), err)
		}
		c.opts.perf.retries.Add(1)
		delay *= 2
	}
}

// attempt sends msg once, when its turn has come.
func (c *rpcClient) attempt(ctx context.Context, m rpcMethod, msg message, decode func([]byte) error) error {
	if err := c.slots.Acquire(ctx); err != nil {
		return err
	}
	defer c.slots.Release()
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	body, err := c.exchange(ctx, msg, m.limit)
	if err == nil {
		err = decode(body)
	}
	c.opts.perf.timer(m.name).Since(start)
	return err
}

// exchange sends msg and returns the body of the answer. Credentials that the
// node refuses are replaced once, if there are others by now.
func (c *rpcClient) exchange(ctx context.Context, msg message, limit int64) ([]byte, error) {
	if c.opts.credentials == nil || msg.payload == nil {
		return c.send(ctx, msg, c.authorize, limit)
	}
	authorize, err := c.opts.credentials.authorization()
	if err != nil {
		return nil, err
	}
	body, err := c.send(ctx, msg, authorize, limit)
	if !errors.Is(err, ErrUnauthorized) || !c.opts.credentials.renewed(authorize) {
		return body, err
	}
	if authorize, err = c.opts.credentials.authorization(); err != nil {
		return nil, err
	}
	return c.send(ctx, msg, authorize, limit)
}

// send sends msg and returns the body of the answer.
func (c *rpcClient) send(ctx context.Context, msg message, authorize string, limit int64) ([]byte, error) {
	client := c.http
	if c.lanes != nil {
		client = <-c.lanes // there are as many as calls may be open, or more
		defer func() { c.lanes <- client }()
	}
	req, err := newHTTPRequest(ctx, msg, authorize)
	if err != nil {
		return nil, fmt.Errorf("make the call: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, connectionError(ctx, err)
	}
	defer resp.Body.Close()
	if msg.refused == nil {
		if err := statusError(resp.StatusCode); err != nil {
			return nil, err
		}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	c.opts.perf.httpBytes.Add(uint64(len(body)))
	if err != nil {
		return nil, connectionError(ctx, err)
	}
	if int64(len(body)) > limit {
		return nil, &tooLongError{limit}
	}
	if msg.refused != nil {
		if err := msg.refused(resp.StatusCode, body); err != nil {
			return nil, err
		}
	}
	return body, nil
}

func newHTTPRequest(ctx context.Context, msg message, authorize string) (*http.Request, error) {
	if msg.payload == nil {
		return http.NewRequestWithContext(ctx, http.MethodGet, msg.url, http.NoBody)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, msg.url, bytes.NewReader(msg.payload))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", authorize)
	return req, nil
}

// A tooLongError says that an answer is longer than its method allows.
type tooLongError struct{ limit int64 }

func (e *tooLongError) Error() string {
	return fmt.Sprintf("the answer is longer than %d bytes", e.limit)
}

// statusError returns the error that an HTTP status is; nil for those that come
// with an answer. (Bitcoin Core answers a call that went wrong with 400, 404 or
// 500 and the error in the body.)
func statusError(status int) error {
	switch status {
	case http.StatusOK, http.StatusNotFound, http.StatusInternalServerError:
		return nil
	case http.StatusUnauthorized:
		return ErrUnauthorized
	case http.StatusForbidden:
		return ErrForbidden
	case http.StatusServiceUnavailable:
		return ErrBusy
	case http.StatusBadRequest:
		return errors.New("the node calls the request bad (HTTP 400): it may expect TLS, without which it was called")
	}
	return fmt.Errorf("HTTP status %d", status)
}

// A transportError says that the connection failed before a whole answer came.
type transportError struct{ err error }

func (e *transportError) Error() string { return e.err.Error() }
func (e *transportError) Unwrap() error { return e.err }

// connectionError says what an error of net/http means.
func connectionError(ctx context.Context, err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("no answer in time: %w", ctx.Err())
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%w (%w)", ErrCertificate, err)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return errors.New("the server does not speak TLS: it may run with notls=1")
	}
	return &transportError{err}
}

// curable reports whether another attempt may help. A call that ran into its
// time limit is not repeated: the node may still be at work on it.
func curable(err error) bool {
	if _, ok := errors.AsType[*transportError](err); ok {
		return true
	}
	return errors.Is(err, ErrBusy) || errors.Is(err, errTruncated)
}

// jitter returns a duration between half of d and one and a half of it.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d+1)
}
