package perf

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"
)

// CheckWebhook returns what is wrong with the address of a webhook. It must be
// https, or http to a loopback address: what is sent says how the machine does,
// and the address may be a secret of its own. Errors do not show it.
func CheckWebhook(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return errors.New("must be a URL, such as https://host/path")
	}
	switch u.Scheme {
	case "https":
		return nil
	case "http":
		if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "localhost" || err == nil && ip.Unmap().IsLoopback() {
			return nil
		}
		return errors.New("must be https, unless it is on this machine")
	}
	return errors.New("must begin with https://, or with http:// on this machine")
}

// A Notice is what a webhook receives, as JSON in a POST. Key is the same for what
// was sent already, when an answer was lost: whoever acts on a notice does so once
// for each. Network is "" before a node was found.
type Notice struct {
	Key     string `json:"key"`
	Network string `json:"network"`
	Alert
}

const (
	// waitingNotices is how many notices wait for a webhook that does not answer.
	waitingNotices = 64
	// attempts is how often one is sent; with doubling waits that is five minutes.
	attempts     = 10
	webhookReply = 10 * time.Second
	firstWait    = time.Second
	longestWait  = time.Minute
)

// A webhook delivers notices to one address, in order, each until it is taken or
// has been tried often enough. A newer notice of an alert replaces one that waits.
type webhook struct {
	address string
	client  *http.Client
	log     *slog.Logger
	first   time.Duration // firstWait

	mu      sync.Mutex // guards waiting
	waiting []Notice
	more    chan struct{}
}

// newWebhook returns a webhook for an address that CheckWebhook accepts.
func newWebhook(address string, log *slog.Logger) *webhook {
	return &webhook{
		address: address, log: log, first: firstWait, more: make(chan struct{}, 1),
		client: &http.Client{
			Timeout: webhookReply,
			// A redirection could lead to plain HTTP elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// send has n delivered, without waiting.
func (w *webhook) send(n Notice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.waiting {
		if w.waiting[i].Name == n.Name {
			w.waiting = append(w.waiting[:i], w.waiting[i+1:]...)
			break
		}
	}
	if len(w.waiting) == waitingNotices {
		w.waiting = w.waiting[1:]
		w.log.Warn("the webhook does not keep up; an older notice is dropped")
	}
	w.waiting = append(w.waiting, n)
	select {
	case w.more <- struct{}{}:
	default:
	}
}

func (w *webhook) next() (n Notice, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		return n, false
	}
	n, w.waiting = w.waiting[0], w.waiting[1:]
	return n, true
}

// run delivers until ctx ends.
func (w *webhook) run(ctx context.Context) {
	defer w.client.CloseIdleConnections()
	for {
		n, ok := w.next()
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-w.more:
			}
			continue
		}
		if err := w.deliver(ctx, n); err != nil && ctx.Err() == nil {
			w.log.Error("the webhook did not take an alert", "alert", n.Name, "state", n.State, "error", err)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// errRefused says that sending the same again is of no use.
var errRefused = errors.New("it was refused")

// deliver sends n until it is taken.
func (w *webhook) deliver(ctx context.Context, n Notice) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	wait := w.first
	for try := 1; ; try++ {
		err := w.post(ctx, n.Key, body)
		if err == nil || errors.Is(err, errRefused) || try == attempts {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, longestWait)
	}
}

func (w *webhook) post(ctx context.Context, key string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.address, bytes.NewReader(body))
	if err != nil {
		return errors.New("its address makes no request") // err shows it
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	resp, err := w.client.Do(req)
	if broken, ok := errors.AsType[*url.Error](err); ok {
		return broken.Err // without the address
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code >= 500, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout:
		return fmt.Errorf("it answers %d", code)
	default:
		return fmt.Errorf("%w: it answers %d", errRefused, code)
	}
}
