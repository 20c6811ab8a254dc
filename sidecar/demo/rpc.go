package demo

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	// maxReply bounds the body of an answer. The longest is a list of ids: of
	// 100,000 transactions in the mempool, it is 7 MB.
	maxReply = 16 << 20
	// callTimeout bounds one call; a block of 2,000 transactions takes btcd
	// some seconds on a slow machine.
	callTimeout = time.Minute
)

// A rpcError is an error that the node answered with.
type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *rpcError) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

// A request is a JSON-RPC request.
type request struct {
	Version string `json:"jsonrpc"`
	ID      int    `json:"id"`
	Method  string `json:"method"`
	Params  []any  `json:"params"`
}

// A response is a JSON-RPC response.
type response struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *rpcError       `json:"error"`
}

// A client calls a btcd node's JSON-RPC server over TLS. btcd closes the
// connection after each answer, so that the TLS session is resumed rather than
// negotiated anew; the methods are safe for concurrent use.
type client struct {
	url, user, password string
	http                *http.Client
}

// newClient returns a client that trusts the certificate of the endpoint and
// nothing else.
func newClient(e Endpoint) (*client, error) {
	pem, err := os.ReadFile(e.Certificate)
	if err != nil {
		return nil, fmt.Errorf("read the node's certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read the node's certificate: %s holds none", e.Certificate)
	}
	return &client{
		url: "https://" + e.Address, user: e.User, password: e.Password,
		http: &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{
				RootCAs:            pool,
				ClientSessionCache: tls.NewLRUClientSessionCache(0),
			},
		}},
	}, nil
}

// call calls method and decodes its result into result, unless that is nil.
// It returns a *rpcError when the node answered with one.
func (c *client) call(ctx context.Context, result any, method string, params ...any) error {
	body, err := c.post(ctx, newRequest(0, method, params))
	if err != nil {
		return fmt.Errorf("call %s: %w", method, err)
	}
	resp, err := decodeResponse(body)
	if err == nil && resp.Error != nil {
		err = resp.Error
	}
	if err == nil && result != nil {
		err = json.Unmarshal(resp.Result, result)
	}
	if err != nil {
		return fmt.Errorf("call %s: %w", method, err)
	}
	return nil
}

// callEach calls method once for each parameter, in order and in one batch, and
// returns the node's error for each: nil or a *rpcError.
func (c *client) callEach(ctx context.Context, method string, params []any) ([]error, error) {
	if len(params) == 0 {
		return nil, nil
	}
	batch := make([]request, len(params))
	for i, p := range params {
		batch[i] = newRequest(i, method, []any{p})
	}
	body, err := c.post(ctx, batch)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", method, err)
	}
	errs, err := decodeBatch(body, len(batch))
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", method, err)
	}
	return errs, nil
}

func newRequest(id int, method string, params []any) request {
	if params == nil {
		params = []any{}
	}
	return request{Version: "2.0", ID: id, Method: method, Params: params}
}

// post sends what v marshals to and returns the body of the answer.
func (c *client) post(ctx context.Context, v any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(out))
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(c.user, c.password)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the node answered %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxReply {
		return nil, fmt.Errorf("the answer is longer than %d bytes", maxReply)
	}
	return body, nil
}

// decodeResponse decodes the answer to a single request.
func decodeResponse(body []byte) (response, error) {
	var r response
	if err := json.Unmarshal(body, &r); err != nil {
		return response{}, fmt.Errorf("decode the answer: %w", err)
	}
	if r.Error == nil && r.Result == nil {
		return response{}, errors.New("decode the answer: it has neither result nor error")
	}
	return r, nil
}

// decodeBatch decodes the answer to n requests with the ids 0 to n-1 and returns
// the error of each, by id.
func decodeBatch(body []byte, n int) ([]error, error) {
	var rs []response
	if err := json.Unmarshal(body, &rs); err != nil {
		return nil, fmt.Errorf("decode the answers: %w", err)
	}
	if len(rs) != n {
		return nil, fmt.Errorf("decode the answers: %d to %d requests", len(rs), n)
	}
	errs, seen := make([]error, n), make([]bool, n)
	for _, r := range rs {
		if r.ID < 0 || r.ID >= n || seen[r.ID] {
			return nil, fmt.Errorf("decode the answers: id %d is none of ours or is there twice", r.ID)
		}
		seen[r.ID] = true
		if r.Error != nil {
			errs[r.ID] = r.Error
		}
	}
	return errs, nil
}
