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
	"net/url"
	"slices"
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
		if local(u.Hostname()) {
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

// Started is the state of the first notice of each run, which is of no alert: what was
// raised before its Since stands no more, and what still holds is raised again.
const Started AlertState = "started"

// startedName is the name in it.
const startedName = "outrider"

// notice returns what a webhook is told of an alert.
func (p *Performance) notice(network string, a Alert) Notice {
	return Notice{Key: fmt.Sprintf("%d-%s-%d-%s", p.events.run, a.Name, a.Times, a.State), Network: network, Alert: a}
}

// started returns the first notice of this run.
func (p *Performance) started() Notice {
	return p.notice("", Alert{
		Name: startedName, State: Started, Since: time.Unix(0, p.events.run), Of: []string{},
		Help: "The sidecar has started: what was raised before stands no more, and what still holds is raised again.",
	})
}

const (
	// waitingNotices is how many notices wait for a webhook that does not answer.
	waitingNotices = 64
	// attempts is how often one is sent before those behind it are sent, too; with
	// doubling waits that is five minutes.
	attempts     = 10
	webhookReply = 10 * time.Second
	firstWait    = time.Second
	longestWait  = time.Minute
	// lastNotices is how long the last attempt takes, when the program ends.
	lastNotices = 3 * time.Second
)

// A webhook delivers notices to one address, in order, each until it is taken or
// refused. A newer notice of an alert replaces one that waits.
type webhook struct {
	address string
	client  *http.Client
	log     *slog.Logger
	first   time.Duration // firstWait
	failed  int           // attempts in a row without an answer; run's

	mu      sync.Mutex // guards waiting
	waiting []waitingNotice
	more    chan struct{}
}

// A waitingNotice has been sent so often in vain.
type waitingNotice struct {
	Notice
	tries int
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
	w.waiting = slices.DeleteFunc(w.waiting, func(old waitingNotice) bool { return old.Name == n.Name })
	if len(w.waiting) == waitingNotices {
		w.waiting = slices.Delete(w.waiting, 0, 1)
		w.log.Warn("the webhook does not keep up; an older notice is dropped")
	}
	w.waiting = append(w.waiting, waitingNotice{Notice: n})
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// queued returns the notices that wait, in order.
func (w *webhook) queued() []Notice {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]Notice, len(w.waiting))
	for i, one := range w.waiting {
		list[i] = one.Notice
	}
	return list
}

// waits reports whether the notice with a key still waits.
func (w *webhook) waits(key string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.waiting, func(one waitingNotice) bool { return one.Key == key })
}

// again notes that the notice with a key was not taken, and returns how often that was
// so; 0 for one that does not wait any more.
func (w *webhook) again(key string) (tries int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.waiting {
		if one := &w.waiting[i]; one.Key == key {
			one.tries++
			return one.tries
		}
	}
	return 0
}

// run delivers until ctx ends, and then sends what waits once more.
func (w *webhook) run(ctx context.Context) {
	wait := w.first
	for ctx.Err() == nil {
		took, left := w.round(ctx, attempts)
		if took {
			wait = w.first
		}
		var again <-chan time.Time
		if left {
			again = time.After(wait)
			wait = min(2*wait, longestWait)
		}
		select {
		case <-ctx.Done():
		case <-w.more:
		case <-again:
		}
	}
	w.last(ctx)
}

// last sends what waits once more, whether or not ctx has ended; run has. It takes lastNotices at
// most.
func (w *webhook) last(ctx context.Context) {
	defer w.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastNotices)
	defer cancel()
	w.round(ctx, 1)
}

// round sends what waits, in order, once each. One that is not taken holds up those
// behind it until it has been sent so many times. It reports whether one was done with, and
// whether one is left.
func (w *webhook) round(ctx context.Context, patience int) (took, left bool) {
	select {
	case <-w.more: // it is among what waits
	default:
	}
	for _, n := range w.queued() {
		if !w.waits(n.Key) {
			continue // a newer one has come meanwhile
		}
		err := w.deliver(ctx, n)
		if ctx.Err() != nil && err != nil {
			return took, true // it was cut short
		}
		if err == nil || errors.Is(err, errRefused) {
			w.answered(n, err)
			took = true
			continue
		}
		left = true
		if w.failed++; w.failed == attempts {
			w.log.Error("the webhook does not answer; what it is to be told is kept, and sent again", "name", n.Name, "state", n.State, "error", err)
		}
		if w.again(n.Key) < patience {
			break
		}
	}
	return took, left
}

// answered notes that a notice was taken, or refused by err, and waits no more.
func (w *webhook) answered(n Notice, err error) {
	if err != nil {
		w.log.Error("the webhook did not take a notice", "name", n.Name, "state", n.State, "error", err)
	}
	if w.failed >= attempts {
		w.log.Info("the webhook answers again")
	}
	w.failed = 0
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = slices.DeleteFunc(w.waiting, func(one waitingNotice) bool { return one.Key == n.Key })
}

// errRefused says that sending the same again is of no use.
var errRefused = errors.New("it was refused")

// deliver sends n once.
func (w *webhook) deliver(ctx context.Context, n Notice) error {
	body, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return w.post(ctx, n.Key, body)
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
