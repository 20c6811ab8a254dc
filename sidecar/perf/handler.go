package perf

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

const (
	// maxBody bounds what a caller sends.
	maxBody = 16 << 10
	// applyTime is how long a command may take to set knobs.
	applyTime = 20 * time.Second
)

// Prefix begins the paths of the API.
const Prefix = "/api/v1/perf/"

// Handler returns the handler of the API, for all paths that begin with Prefix. It
// leaves the check of the request's Host to who serves it. What changes something
// asks for the token, and for a page of this server if a browser sends it.
func (p *Performance) Handler() http.Handler {
	mux := http.NewServeMux()
	get := func(what string, answer func(r *http.Request) (any, error)) {
		mux.HandleFunc("GET "+Prefix+what, func(w http.ResponseWriter, r *http.Request) {
			v, err := answer(r)
			p.reply(w, v, err)
		})
	}
	get("status", func(*http.Request) (any, error) { return p.status(), nil })
	get("knobs", func(*http.Request) (any, error) { return p.knobs() })
	get("quantities", func(*http.Request) (any, error) { return p.measurements() })
	get("alerts", func(*http.Request) (any, error) { return p.alerts.active(), nil })
	get("plan", func(*http.Request) (any, error) { return p.plan() })
	get("decisions", func(r *http.Request) (any, error) {
		after := uint64(0)
		if s := r.URL.Query().Get("after"); s != "" {
			var err error
			if after, err = strconv.ParseUint(s, 10, 64); err != nil {
				return nil, badRequest(errors.New("after must be the number of a decision"))
			}
		}
		return p.decisions(after)
	})
	get("why/{seq}", func(r *http.Request) (any, error) {
		seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 64)
		if err != nil {
			return nil, badRequest(errors.New("name the number of a decision"))
		}
		return p.why(seq)
	})
	get("curves", func(*http.Request) (any, error) { return p.curves() })
	get("snapshots", func(*http.Request) (any, error) { return p.snapshots() })
	mux.HandleFunc("GET "+Prefix+"events", p.stream)

	for what, do := range p.actions() {
		p.post(mux, what, do)
	}
	return mux
}

// actions returns all that changes something, by the path of its POST.
func (p *Performance) actions() map[string]action {
	return map[string]action{
		"target": decode(func(_ context.Context, b *TargetRequest) (any, error) {
			r, err := perfcore.ParseResourceType(b.Resource)
			if err != nil {
				return nil, err
			}
			if b.Target.Latency != 0 && b.Target.Quantile == 0 {
				b.Target.Quantile = latencyQuantile
			}
			latency := b.Target.Latency * float64(time.Second)
			if !(latency >= 0 && latency < float64(1<<62)) {
				return nil, fmt.Errorf("a latency of %v seconds is none", b.Target.Latency)
			}
			return nil, p.target(r, perfcore.Targets{
				Utilization: b.Target.Utilization, Throughput: b.Target.Throughput, Latency: time.Duration(latency), Quantile: b.Target.Quantile,
			})
		}),
		"pin": decode(func(ctx context.Context, b *struct {
			PinRequest
			Value *int64 `json:"value"` // 0 is a value, too
		}) (any, error) {
			if b.Value == nil {
				return nil, fmt.Errorf("which value is %q to be pinned to? There is no \"value\"", b.Knob)
			}
			return nil, p.pin(ctx, b.Knob, *b.Value)
		}),
		"release": decode(func(_ context.Context, b *ReleaseRequest) (any, error) { return nil, p.release(b.Knob) }),
		"freeze": decode(func(_ context.Context, b *FreezeRequest) (any, error) {
			why := strings.TrimSpace(b.Why)
			if why == "" {
				why = "an operator asked for it"
			}
			if len(why) > maxWhy {
				return nil, fmt.Errorf("why is longer than %d bytes", maxWhy)
			}
			return nil, p.freeze(why)
		}),
		"thaw":     decode(func(context.Context, *struct{}) (any, error) { return nil, p.thawed() }),
		"optimize": decode(func(context.Context, *struct{}) (any, error) { return nil, p.audit() }),
		"defaults": decode(func(ctx context.Context, _ *struct{}) (any, error) { return nil, p.defaults(ctx) }),
		"snap":     decode(func(context.Context, *struct{}) (any, error) { return p.snap() }),
		"restore": decode(func(ctx context.Context, b *RestoreRequest) (any, error) {
			refused, err := p.restore(ctx, b.Seq)
			return Restored{Seq: b.Seq, Refused: refused}, err
		}),
		"observe": decode(func(_ context.Context, b *ObserveRequest) (any, error) { return nil, p.outside.tell(b.Values) }),
	}
}

// What follows is what the API takes.
type (
	// A TargetRequest sets what a resource has to do; a zero target unsets it.
	TargetRequest struct {
		Resource string  `json:"resource"`
		Target   Targets `json:"target"`
	}
	// A PinRequest sets a knob to a value of its ladder, and keeps it there.
	PinRequest struct {
		Knob  string `json:"knob"`
		Value int64  `json:"value"`
	}
	// A ReleaseRequest gives a knob back to the optimizer.
	ReleaseRequest struct {
		Knob string `json:"knob"`
	}
	// A FreezeRequest stops experiments.
	FreezeRequest struct {
		Why string `json:"why"`
	}
	// A RestoreRequest puts a snapshot in force.
	RestoreRequest struct {
		Seq uint64 `json:"seq"`
	}
	// An ObserveRequest tells of quantities that another process measures. Each
	// counts for a minute, under its name with outside_ before it.
	ObserveRequest struct {
		Values map[string]float64 `json:"values"`
	}
)

// Restored says what came of a RestoreRequest.
type Restored struct {
	Seq uint64 `json:"seq"`
	// Refused says, in a sentence each, what is not legal any more.
	Refused []string `json:"refused"`
}

// Measurements are what /api/v1/perf/quantities tells.
type Measurements struct {
	At     time.Time          `json:"at"`
	Values map[string]float64 `json:"values"`
}

func (p *Performance) measurements() (m Measurements, err error) {
	m.Values = map[string]float64{}
	err = p.read(func(f *following) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.measured != nil {
			m.At, m.Values = f.measured.At, f.quantities
		}
		return nil
	})
	return m, err
}

func (p *Performance) decisions(after uint64) (list []Decision, err error) {
	list = []Decision{}
	err = p.read(func(f *following) error {
		for _, d := range f.optimizer.Decisions(after) {
			list = append(list, newDecision(d))
		}
		return nil
	})
	return list, err
}

// Snapshots are what is kept of changes.
type Snapshots struct {
	Snapshots []Snapshot `json:"snapshots"`
	// LeftOut are files of earlier runs that were not taken over at this start.
	LeftOut []LeftOut `json:"left_out"`
	// Problem says why what is kept is not to be trusted; empty when it is.
	Problem string `json:"problem"`
}

// A LeftOut is a snapshot that a start left out, and why.
type LeftOut struct {
	Seq uint64 `json:"seq"`
	Why string `json:"why"`
}

// Sound reports whether all snapshots verify, also those on disk when the sidecar started.
func (s *Snapshots) Sound() bool { return s.Problem == "" && len(s.LeftOut) == 0 }

func (p *Performance) snapshots() (s Snapshots, err error) {
	s.Snapshots, s.LeftOut = []Snapshot{}, []LeftOut{}
	err = p.read(func(f *following) error {
		for _, one := range f.ring.Snapshots() {
			s.Snapshots = append(s.Snapshots, newSnapshot(one))
		}
		for _, one := range f.ring.LeftOut() {
			s.LeftOut = append(s.LeftOut, LeftOut{one.Seq, one.Err.Error()})
		}
		if err := f.ring.Verify(); err != nil {
			s.Problem = err.Error()
		}
		return nil
	})
	return s, err
}

// A statusError is an error with an HTTP status.
type statusError struct {
	code int
	err  error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

func badRequest(err error) error { return &statusError{http.StatusBadRequest, err} }

// An action is what a POST does, with the bytes of its body.
type action func(ctx context.Context, body []byte) (any, error)

// decode returns an action that reads one JSON object, without fields that B does
// not have.
func decode[B any](do func(ctx context.Context, b *B) (any, error)) action {
	return func(ctx context.Context, body []byte) (any, error) {
		b := new(B)
		if len(body) > 0 {
			d := json.NewDecoder(bytes.NewReader(body))
			d.DisallowUnknownFields()
			if err := d.Decode(&b); err != nil {
				return nil, badRequest(fmt.Errorf("the body is not what is asked for: %w", err))
			}
			if b == nil {
				return nil, badRequest(errors.New("the body must be a JSON object, and not null"))
			}
			if _, err := d.Token(); !errors.Is(err, io.EOF) {
				return nil, badRequest(errors.New("the body goes on behind its object"))
			}
		}
		return do(ctx, b)
	}
}

// post has a POST do something, for who may ask for it.
func (p *Performance) post(mux *http.ServeMux, what string, do action) {
	mux.HandleFunc("POST "+Prefix+what, func(w http.ResponseWriter, r *http.Request) {
		if err := p.mayChange(r); err != nil {
			p.reply(w, nil, err)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			code := http.StatusBadRequest // it broke off, or came too slowly
			if _, large := errors.AsType[*http.MaxBytesError](err); large {
				code = http.StatusRequestEntityTooLarge
			}
			p.reply(w, nil, &statusError{code, fmt.Errorf("read the body: %w", err)})
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), applyTime)
		defer cancel()
		v, err := do(ctx, body)
		if v == nil {
			v = struct{}{}
		}
		p.reply(w, v, err)
	})
}

// mayChange returns why the request may change nothing.
func (p *Performance) mayChange(r *http.Request) error {
	if err := ownOrigin(r); err != nil {
		return &statusError{http.StatusForbidden, err}
	}
	token, err := readToken(p.cfg.Datadir)
	if err != nil {
		p.log.Error("the token cannot be read, so that nobody may change anything", "error", err)
		return &statusError{http.StatusInternalServerError, errors.New("the token cannot be read; the log says why")}
	}
	if !bears(r, token) {
		return &statusError{http.StatusUnauthorized, fmt.Errorf("this needs the token that is in %s of the data directory, as Authorization: Bearer", tokenFile)}
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &statusError{http.StatusUnsupportedMediaType, errors.New("the body must be application/json")}
	}
	return nil
}

// ownOrigin returns an error when a browser says that a page of another server
// makes the request.
func ownOrigin(r *http.Request) error {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return errors.New("a page of another server may not ask for this")
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	if u, err := url.Parse(origin); err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
		return errors.New("a page of another server may not ask for this")
	}
	return nil
}

// An Answer is what the API says of an error.
type Answer struct {
	Error string `json:"error"`
}

// reply answers with v, or with err.
func (p *Performance) reply(w http.ResponseWriter, v any, err error) {
	code := http.StatusOK
	if err != nil {
		v, code = Answer{err.Error()}, http.StatusUnprocessableEntity
		if s, ok := errors.AsType[*statusError](err); ok {
			code = s.code
		} else if errors.Is(err, errNotFollowing) || errors.Is(err, errNoMemory) {
			code = http.StatusServiceUnavailable
		}
	}
	body, err := json.Marshal(v)
	if err != nil {
		p.log.Error("an answer was not encoded", "error", err)
		http.Error(w, "the answer cannot be encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(code)
	w.Write(append(body, '\n')) // a caller that has gone does not matter
}
