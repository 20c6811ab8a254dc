package bitvm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/outrider-project/outrider/bitvm/watch"
)

// FollowOptions says how Follow watches.
type FollowOptions struct {
	Config
	// State is the directory of the journals; empty keeps none, and looks at all blocks
	// again.
	State string
	// Every is how often the node is asked for its chain; 0 is 5 seconds.
	Every time.Duration
	// JSON prints a line of JSON for each event and each status.
	JSON bool
	// Log hears what is wrong with the node; nil hears nothing.
	Log *slog.Logger
}

// Follow watches bridges on a node's chain and prints every event, and the status whenever
// there were some, until ctx ends; with nil as its error then.
func Follow(ctx context.Context, o FollowOptions, source Source, out io.Writer) error {
	p := &printer{out: out, asJSON: o.JSON}
	w, err := New(o.Config, source, nil, o.Log, p.event)
	if err != nil {
		return err
	}
	if w.every = 5 * time.Second; o.Every != 0 {
		w.every = o.Every
	}
	w.onLook = p.status
	network, err := source.Network(ctx)
	if err != nil {
		return err
	}
	err = w.Run(ctx, network, o.State)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil
	}
	return errors.Join(err, p.failed())
}

// A printer prints events and statuses.
type printer struct {
	out    io.Writer
	asJSON bool

	mu      sync.Mutex // guards what follows
	pending bool       // there were events since the last status, or there was none
	begun   bool
	err     error
}

func (p *printer) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *printer) event(e watch.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = true
	if p.asJSON {
		p.line(struct {
			Event watch.Event `json:"event"`
		}{e})
		return
	}
	mark := " "
	if e.Urgent {
		mark = "!"
	}
	_, err := fmt.Fprintf(p.out, "%s %s #%d at %d: %s\n", mark, e.Instance, e.Number, e.Tip.Height, e.Text)
	p.err = errors.Join(p.err, err)
}

func (p *printer) status(s *Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.begun && !p.pending {
		return
	}
	p.begun, p.pending = true, false
	if p.asJSON {
		p.line(struct {
			Status *Status `json:"status"`
		}{s})
		return
	}
	p.err = errors.Join(p.err, s.WriteTable(p.out))
}

// line prints one line of JSON; p.mu is held.
func (p *printer) line(v any) {
	text, err := json.Marshal(v)
	if err == nil {
		_, err = p.out.Write(append(text, '\n'))
	}
	p.err = errors.Join(p.err, err)
}

// WriteTable writes what is to be done and what is known, for people.
func (s *Status) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if s.Problem != "" {
		fmt.Fprintf(t, "! the chain cannot be looked at: %s\n", s.Problem)
	}
	for _, in := range s.Instances {
		complete := "complete"
		if !in.Complete {
			complete = "INCOMPLETE"
		}
		fmt.Fprintf(t, "%s (%s, %s) at height %d, %s\n", in.Instance, in.Graph, in.Network, in.Tip.Height, complete)
		for _, a := range in.Next {
			mark := " "
			if a.Urgent {
				mark = "!"
			}
			fmt.Fprintf(t, "%s %s\n", mark, a.Text)
		}
		for _, tx := range in.Transactions {
			switch tx.State {
			case watch.Confirmed:
				fmt.Fprintf(t, "  %s\t%s\tblock %d\t%s\n", tx.Name, tx.State, tx.Height, tx.Txid)
			case watch.Open, watch.Locked:
				until := ""
				if tx.Deadline != 0 {
					until = fmt.Sprintf("before %d (%s)", tx.Deadline, tx.Rival)
				}
				fmt.Fprintf(t, "  %s\t%s\tfrom %d\t%s\n", tx.Name, tx.State, tx.Opens, until)
			}
		}
	}
	return t.Flush()
}
