package perf

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// A Client asks a running sidecar's API. It is safe for concurrent use.
type Client struct {
	datadir, base string
	found         bool // base is where the sidecar has said that it is
	http          *http.Client
	watching      watching
	joined        atomic.Pointer[string] // the base where a watch was let in last, which is asked then
}

// maxAnswer bounds what a sidecar answers.
const maxAnswer = 16 << 20

// Dial returns a client for the sidecar that uses a data directory, at an address,
// host:port; "" is the one that the sidecar has left there. It sends nothing yet.
func Dial(datadir, address string) (_ *Client, err error) {
	found := address == ""
	if found {
		address, err = readAddress(datadir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no sidecar with performance on uses %s: there is no %s in it", datadir, addressFile)
	}
	if err != nil {
		return nil, err
	}
	return &Client{
		datadir: datadir, base: "http://" + address, found: found, watching: patient,
		http: &http.Client{
			Transport:     &http.Transport{Proxy: nil}, // the token is for the sidecar only
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// readAddress returns the host and port that the sidecar of a data directory has
// left there.
func readAddress(datadir string) (string, error) {
	const longest = 300 // a DNS name and a port
	b, err := readUpTo(filepath.Join(datadir, addressFile), longest)
	if err != nil {
		return "", err
	}
	address := strings.TrimRight(string(b), "\r\n")
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" || strings.ContainsAny(address, "/@?# ") {
		return "", fmt.Errorf("%s in %s holds no host and port", addressFile, datadir)
	}
	// It listens on all addresses, of which this machine's own is one.
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		address = net.JoinHostPort("localhost", port)
	}
	return address, nil
}

// callTime bounds one question.
const callTime = 30 * time.Second

// Get asks what is at a path below Prefix, and decodes the answer into v.
func (c *Client) Get(ctx context.Context, path string, v any) error {
	return c.call(ctx, http.MethodGet, path, nil, v)
}

// Post has the sidecar do something, and decodes the answer into v unless that is
// nil. It bears the token.
func (c *Client) Post(ctx context.Context, path string, body, v any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, path, b, v)
}

func (c *Client) call(ctx context.Context, method, path string, body []byte, v any) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	base := c.base
	if joined := c.joined.Load(); joined != nil {
		base = *joined
	}
	req, err := http.NewRequestWithContext(ctx, method, base+Prefix+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if method == http.MethodPost {
		token, err := readToken(c.datadir)
		if err != nil {
			return fmt.Errorf("read the token: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("the sidecar does not answer: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return refusal(resp.StatusCode, b)
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// refusal returns what an answer other than 200 says.
func refusal(code int, body []byte) error {
	var a Answer
	if json.Unmarshal(body, &a) == nil && a.Error != "" {
		return errors.New(a.Error)
	}
	return fmt.Errorf("the sidecar answers %d", code)
}
