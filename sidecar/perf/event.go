package perf

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An Event is one thing that has happened, as the stream tells it.
type Event struct {
	// Run and Seq are its ID, of the run and within it: events of one run ascend by 1. A
	// Gap has that of the last event that is lost.
	Run  int64
	Seq  uint64
	Kind EventKind
	// Data is JSON on one line.
	Data json.RawMessage
}

// An EventKind says what an Event's data is.
type EventKind string

// These are the kinds.
const (
	// Decided: a Decision of the optimizer.
	Decided EventKind = "decision"
	// Sliced: a Measured, ten seconds of it.
	Sliced EventKind = "slice"
	// Alerted: an Alert that was raised or cleared.
	Alerted EventKind = "alert"
	// Commanded: a Command that an operator gave.
	Commanded EventKind = "command"
	// Gap: a Lost. Events before this one are lost.
	Gap EventKind = "gap"
)

// Lost says how many events are lost; 0 when that is not known, for they were of another
// run of the sidecar.
type Lost struct {
	Events uint64 `json:"lost"`
}

// line says in words what is lost.
func (l Lost) line() string {
	if l.Events == 0 {
		return "gap: the sidecar has started anew; what it told last before that is lost"
	}
	return fmt.Sprintf("gap: %d events are lost, for the sidecar keeps the last %d", l.Events, keptEvents)
}

// id returns the event's name in the stream.
func (e *Event) id() string { return fmt.Sprintf("%d-%d", e.Run, e.Seq) }

// parseEventID returns what id returned for some event.
func parseEventID(s string) (run int64, seq uint64, err error) {
	first, second, found := strings.Cut(s, "-")
	if run, err = strconv.ParseInt(first, 10, 64); err == nil && found {
		seq, err = strconv.ParseUint(second, 10, 64)
	}
	if err != nil || !found || len(s) > 64 {
		return 0, 0, fmt.Errorf("%.64q is no event of this stream", s)
	}
	return run, seq, nil
}

// keptEvents is how many events a reader may be late: hours of what is of
// interest, minutes of slices while much is decided.
const keptEvents = 1024

// events keeps the last events, for readers of which each goes at its own pace. It
// is safe for concurrent use, and waits for none of them.
type events struct {
	run int64

	mu   sync.Mutex // guards what follows
	kept []Event    // ascending
	seq  uint64     // of the newest
	more chan struct{}
}

func newEvents() *events {
	return &events{run: time.Now().UnixNano(), more: make(chan struct{})}
}

// publish adds an event of a kind. data encodes to JSON.
func (es *events) publish(kind EventKind, data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode an event: %w", err)
	}
	es.mu.Lock()
	defer es.mu.Unlock()
	if len(es.kept) == keptEvents {
		es.kept = append(es.kept[:0:0], es.kept[1:]...)
	}
	es.seq++
	es.kept = append(es.kept, Event{Run: es.run, Seq: es.seq, Kind: kind, Data: b})
	close(es.more)
	es.more = make(chan struct{})
	return nil
}

// last returns the number of the newest event.
func (es *events) last() uint64 {
	es.mu.Lock()
	defer es.mu.Unlock()
	return es.seq
}

// after returns the events that follow seq, how many are lost before them, and a
// channel that is closed when there are more. The caller does not change them.
func (es *events) after(seq uint64) (list []Event, lost uint64, more <-chan struct{}) {
	es.mu.Lock()
	defer es.mu.Unlock()
	if seq >= es.seq {
		return nil, 0, es.more
	}
	oldest := es.seq - uint64(len(es.kept))
	if seq < oldest {
		seq, lost = oldest, oldest-seq
	}
	return es.kept[seq-oldest:], lost, es.more
}
