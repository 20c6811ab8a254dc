package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/outrider-project/outrider/sidecar/perf"
)

func perfWatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newPerfFlags("watch", "", "It tells of slices, decisions, alerts and commands from now on, one a line, until it is interrupted. A connection that is lost is made again, and goes on where it was; what the sidecar does not have any more is told as a gap. With --json the lines are a trace, which outrider perf replay reads.")
	if _, err := f.parse(args, 0, stderr); err != nil {
		return err
	}
	c, err := perf.Dial(f.datadir, f.address)
	if err != nil {
		return err
	}
	see := func(e perf.Event) error {
		_, err := fmt.Fprintln(stdout, e.Line())
		return err
	}
	if f.asJSON {
		see = (&tracer{
			w: stdout,
			knobs: func() (knobs json.RawMessage, err error) {
				err = c.Get(ctx, "knobs", &knobs)
				return knobs, err
			},
			without: func(why error) {
				fmt.Fprintf(stderr, "slices are left out until the sidecar tells which knobs there are: %v\n", why)
			},
		}).see
	}
	err = c.Watch(ctx, see, func(why error) {
		fmt.Fprintf(stderr, "the connection is lost: %v; it is made again when the sidecar answers\n", why)
	})
	if ctx.Err() != nil {
		return nil // it was interrupted
	}
	return err
}

// A tracer writes events as a trace, in which the knobs that there are stand before the
// slices of each run of the sidecar. While nobody tells of them slices are left out.
type tracer struct {
	w       io.Writer
	knobs   func() (json.RawMessage, error)
	without func(why error) // called when slices begin to be left out
	listed  bool
	lacking bool
}

// see writes what is to be written of an event.
func (t *tracer) see(e perf.Event) error {
	if e.Kind == perf.Sliced && !t.listed {
		knobs, err := t.knobs()
		if err != nil {
			if !t.lacking {
				t.without(err)
			}
			t.lacking = true
			return nil
		}
		if err := t.write(perf.Listed, knobs); err != nil {
			return err
		}
		t.listed, t.lacking = true, false
	}
	if e.Kind == perf.Gap {
		var lost perf.Lost
		if err := json.Unmarshal(e.Data, &lost); err != nil {
			return fmt.Errorf("read a gap: %w", err)
		}
		if lost.Events == 0 {
			t.listed = false // another run may have other knobs
		}
	}
	return t.write(e.Kind, e.Data)
}

// write writes a line.
func (t *tracer) write(kind perf.EventKind, data json.RawMessage) error {
	b, err := json.Marshal(perf.Line{Kind: kind, Data: data})
	if err != nil {
		return err
	}
	_, err = t.w.Write(append(b, '\n'))
	return err
}
