package perf

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// maxReaders is how many may read the stream of events at a time.
	maxReaders = 16
	// writeTime is how long a reader may take for what is ready.
	writeTime = 10 * time.Second
	// quietTime is after how long without an event a sign of life is sent.
	quietTime = 15 * time.Second
)

// stream serves events as they happen (Server-Sent Events, HTML Living Standard,
// section 9.2), from the one behind Last-Event-ID on, as far as they are kept; else
// from now on. A gap event stands where events are lost.
func (p *Performance) stream(w http.ResponseWriter, r *http.Request) {
	select {
	case p.readers <- struct{}{}:
		defer func() { <-p.readers }()
	default:
		p.reply(w, nil, &statusError{http.StatusServiceUnavailable, fmt.Errorf("%d read the events already", maxReaders)})
		return
	}
	seq := p.events.last()
	unknown := false // events of another run are lost
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		run, last, err := parseEventID(id)
		if err != nil {
			p.reply(w, nil, badRequest(err))
			return
		}
		if unknown = run != p.events.run; unknown {
			last = 0
		}
		seq = min(seq, last)
	}
	out := http.NewResponseController(w)
	// What bounds other requests would end this one.
	if err := errors.Join(out.SetReadDeadline(time.Time{}), out.SetWriteDeadline(time.Now().Add(writeTime))); err != nil {
		p.log.Error("events cannot be streamed", "error", err)
		http.Error(w, "events cannot be streamed", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	if unknown {
		_, _ = io.WriteString(w, "event: gap\ndata: {\"lost\":0}\n\n") // the next write tells
	}
	p.send(w, r, out, seq)
}

// send writes the events behind seq until the reader has gone, or the program ends.
func (p *Performance) send(w io.Writer, r *http.Request, out *http.ResponseController, seq uint64) {
	quiet := time.NewTicker(quietTime)
	defer quiet.Stop()
	for {
		list, lost, more := p.events.after(seq)
		_ = out.SetWriteDeadline(time.Now().Add(writeTime)) // it worked before
		var err error
		if lost > 0 {
			_, err = fmt.Fprintf(w, "event: %s\ndata: {\"lost\":%d}\n\n", Gap, lost)
		}
		for i := 0; i < len(list) && err == nil; i++ {
			e := &list[i]
			_, err = fmt.Fprintf(w, "id: %s\nevent: %s\ndata: %s\n\n", e.id(), e.Kind, e.Data)
			seq = e.Seq
		}
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			return // the reader has gone
		}
		select {
		case <-more:
		case <-quiet.C:
			if _, err := io.WriteString(w, ": still here\n\n"); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		case <-p.ended:
			return
		}
	}
}
