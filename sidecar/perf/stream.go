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
	// maxStrangers is how many of them may bear no token for readers: whoever runs anything on
	// the machine can take these places, and no others.
	maxStrangers = maxReaders - 4
	// writeTime is how long a reader may take for what is ready.
	writeTime = 10 * time.Second
	// quietTime is after how long without an event a sign of life is sent.
	quietTime = 15 * time.Second
)

// stream serves events as they happen (Server-Sent Events, HTML Living Standard,
// section 9.2), from the one behind Last-Event-ID on, as far as they are kept; else
// from now on. It begins with the ID of that place, so that a reader who hears nothing
// more can come back to it. A gap event stands where events are lost.
func (p *Performance) stream(w http.ResponseWriter, r *http.Request) {
	leave, err := p.enter(r)
	if err != nil {
		p.reply(w, nil, err)
		return
	}
	defer leave()
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
		_ = p.gap(w, seq, 0) // the next write tells
	} else {
		_, _ = fmt.Fprintf(w, "id: %s\n\n", (&Event{Run: p.events.run, Seq: seq}).id())
	}
	p.send(w, r, out, seq)
}

// enter takes a place among the readers, which leave gives back.
func (p *Performance) enter(r *http.Request) (leave func(), err error) {
	places := []chan struct{}{p.readers}
	if !p.known(r) {
		places = []chan struct{}{p.strangers, p.readers}
	}
	taken := 0
	leave = func() {
		for _, place := range places[:taken] {
			<-place
		}
	}
	for _, place := range places {
		select {
		case place <- struct{}{}:
			taken++
		default:
			leave()
			return nil, &statusError{http.StatusServiceUnavailable, fmt.Errorf(
				"%d read the events already; %d places are for who bears the token of "+readerFile, len(p.readers), maxReaders-maxStrangers)}
		}
	}
	return leave, nil
}

// known reports whether the request bears the token for readers. One that bears a wrong one
// may read all the same.
func (p *Performance) known(r *http.Request) bool { return bears(r, p.reader) }

// gap writes that so many events up to seq are lost.
func (p *Performance) gap(w io.Writer, seq, lost uint64) error {
	_, err := fmt.Fprintf(w, "id: %s\nevent: %s\ndata: {\"lost\":%d}\n\n", (&Event{Run: p.events.run, Seq: seq}).id(), Gap, lost)
	return err
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
			err = p.gap(w, list[0].Seq-1, lost)
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
