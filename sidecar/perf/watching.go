package perf

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// A watching says when a client who watches tries again.
type watching struct {
	// least is how long it waits after the first failure, most after many.
	least, most time.Duration
	// silence is after how long without a sign of life a connection counts as lost.
	silence time.Duration
}

// patient is how the command line watches.
var patient = watching{least: 250 * time.Millisecond, most: 15 * time.Second, silence: 3 * quietTime}

// Watch calls see with every event from now on, each once, until ctx ends or see fails,
// and returns why. A connection that is lost, or answered by a server that has trouble, is
// made again and again, at where the sidecar has said that it is by then, and goes on
// behind the last event; before the first attempt lost is told why. Where the sidecar has
// not kept what comes next, see is called with a Gap. What no attempt can mend ends it
// with an error: a sidecar that does not answer to begin with, or refuses, or tells what
// is no event.
func (c *Client) Watch(ctx context.Context, see func(Event) error, lost func(why error)) error {
	at, begun := "", false
	base, wait := c.base, c.watching.least
	for {
		seen := 0
		joined, err := c.watch(ctx, base, &at, func(e Event) error {
			seen++
			return see(e)
		})
		if final := new(finalError); errors.As(err, &final) {
			return final.error
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if begun = begun || joined; !begun {
			return err
		}
		if seen > 0 {
			wait = c.watching.least
		}
		if joined {
			lost(err)
		}
		timer := time.NewTimer(time.Duration(float64(wait) * (0.5 + 0.5*rand.Float64())))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		wait = min(2*wait, c.watching.most)
		if c.found {
			if address, err := readAddress(c.datadir); err == nil {
				base = "http://" + address
			}
		}
	}
}

// errSilent says that a connection is there, and nobody at its other end.
var errSilent = errors.New("the sidecar gives no sign of life")

// errEnded says that the other end has closed the stream.
var errEnded = errors.New("the sidecar has ended the stream")

// watch reads the stream once, from behind the event *at on, or from now on while that is
// "", which it keeps up to date. It reports whether it was let in, and returns why it has
// come to an end.
func (c *Client) watch(ctx context.Context, base string, at *string, see func(Event) error) (joined bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(c.watching.silence, func() { cancel(errSilent) })
	defer silence.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+Prefix+"events", nil)
	if err != nil {
		return false, &finalError{err}
	}
	// Nobody else must learn the token that changes something, and a port may be anybody's
	// meanwhile. This one is worth a place in the stream, and nothing behind a restart.
	if token, err := readReader(c.datadir); err == nil && (c.found || local(req.URL.Hostname())) {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if *at != "" {
		req.Header.Set("Last-Event-ID", *at)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return false, fmt.Errorf("the sidecar does not answer: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, maxLine)) // the code says enough
		err := refusal(resp.StatusCode, b)
		if mends(resp.StatusCode) {
			return false, err
		}
		return false, &finalError{err}
	}
	c.joined.Store(&base)
	err = readEvents(&heard{resp.Body, func() { silence.Reset(c.watching.silence) }}, at, see)
	if errors.Is(context.Cause(ctx), errSilent) {
		err = errSilent
	}
	return true, err
}

// local reports whether a host is this machine, by its name alone.
func local(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// mends reports whether a server that answers with the code may have another answer later.
func mends(code int) bool {
	return code >= 500 || code == http.StatusRequestTimeout || code == http.StatusTooManyRequests
}

// A finalError is one that another attempt does not mend.
type finalError struct{ error }

// Unwrap implements errors.Is.
func (e *finalError) Unwrap() error { return e.error }

// A heard calls sound whenever something is read.
type heard struct {
	io.Reader
	sound func()
}

// Read implements io.Reader.
func (h *heard) Read(b []byte) (int, error) {
	n, err := h.Reader.Read(b)
	if n > 0 {
		h.sound()
	}
	return n, err
}

// maxLine bounds a line of the stream of events.
const maxLine = 1 << 20

// readEvents calls see with each event of a stream, keeps in *at behind which event its
// reader is, and returns why it ends: a finalError if that is not the connection's doing.
// What the end cuts short is left out.
func readEvents(r io.Reader, at *string, see func(Event) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	lines.Split(wholeLines)
	var e Event
	id := ""
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			var err error
			if e.Run, e.Seq, err = parseEventID(value); err != nil {
				return &finalError{err}
			}
			id = value
		case "event":
			e.Kind = EventKind(value)
		case "data":
			e.Data = json.RawMessage(value)
		}
		if lines.Text() != "" {
			continue
		}
		if e.Data != nil {
			if !json.Valid(e.Data) {
				return &finalError{errors.New("an event of the stream is no JSON")}
			}
			if err := see(e); err != nil {
				return &finalError{err}
			}
		}
		if id != "" {
			*at = id
		}
		e, id = Event{}, ""
	}
	switch err := lines.Err(); {
	case err == nil:
		return errEnded
	case errors.Is(err, bufio.ErrTooLong):
		return &finalError{err}
	default:
		return err
	}
}

// wholeLines is bufio.ScanLines without a line at the end that has none.
func wholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return bufio.ScanLines(data[:i+1], atEOF)
	}
	if atEOF {
		return len(data), nil, nil
	}
	return 0, nil, nil
}
