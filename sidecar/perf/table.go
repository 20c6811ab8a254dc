package perf

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// What follows writes what the API tells for people. It is JSON for programs.
type (
	// Knobs is what /api/v1/perf/knobs tells.
	Knobs []Knob
	// Decisions is what /api/v1/perf/decisions tells, oldest first.
	Decisions []Decision
)

// table has write fill lines of cells that end in tabs, and writes them in columns.
func table(w io.Writer, write func(w io.Writer)) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	write(t)
	return t.Flush()
}

// WriteTable writes the status for people.
func (s *Status) WriteTable(w io.Writer) error {
	return table(w, func(w io.Writer) {
		fmt.Fprintf(w, "mode\t%s\t\n", s.Mode)
		if s.Following {
			s.writeFollowed(w)
		} else {
			fmt.Fprintf(w, "follows\tno: %v\t\n", errNotFollowing)
		}
		for _, a := range s.Alerts {
			fmt.Fprintf(w, "alert\t%v\t\n", a)
		}
	})
}

// writeFollowed writes what there is to tell while a node is followed.
func (s *Status) writeFollowed(w io.Writer) {
	fmt.Fprintf(w, "regime\t%s\t\n", s.Regime)
	if s.Frozen != "" {
		since := ""
		if !s.FrozenSince.IsZero() {
			since = ", since " + s.FrozenSince.Local().Format(time.DateTime)
		}
		fmt.Fprintf(w, "frozen\t%s%s\t\n", s.Frozen, since)
	}
	if s.Problem != "" {
		fmt.Fprintf(w, "problem\t%s\t\n", s.Problem)
	}
	if m := s.Slice; m != nil {
		fmt.Fprintf(w, "last slice\t%.1f units of work a second, %.3g s of a core each\t\n", m.Work, m.Effort)
		if m.Void != "" {
			fmt.Fprintf(w, "\tit says nothing: %s\t\n", m.Void)
		}
		if m.Burst != "" {
			fmt.Fprintf(w, "\tit is measured again: %s\t\n", m.Burst)
		}
	}
	fmt.Fprintf(w, "decisions\t%d, regret %.2f %%\t\n", s.Decisions, 100*s.Regret)
	fmt.Fprintf(w, "snapshots\t%d of %d changes\t\n", s.Snapshots, s.Changes)
	for _, r := range s.Resources {
		fmt.Fprintf(w, "%s\t%s%s\t\n", r.Resource, r.Status, r.clause())
	}
}

// clause says what the resource does and misses.
func (r *Resource) clause() string {
	var parts []string
	if u := r.Usage; u != nil {
		var words []string
		if u.Utilization != nil {
			words = append(words, fmt.Sprintf("%.0f %% in use", 100**u.Utilization))
		}
		if u.Throughput != nil {
			words = append(words, fmt.Sprintf("%.3g %s a second", *u.Throughput, throughputOf(r.Resource)))
		}
		if u.Latency != nil {
			words = append(words, fmt.Sprintf("latency %.3g s", *u.Latency))
		}
		parts = append(parts, strings.Join(words, ", "))
	}
	if t := r.Target; t != (Targets{}) {
		if r.Missed == "" {
			parts = append(parts, "no target is missed")
		} else {
			parts = append(parts, "target missed: "+r.Missed)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, "; ")
}

// WriteTable writes the knobs for people.
func (ks *Knobs) WriteTable(w io.Writer) error {
	return table(w, func(w io.Writer) {
		fmt.Fprintln(w, "knob\tvalue\tincumbent\tdefault\tunit\towner\twhy\t")
		for _, k := range *ks {
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\t%s\t\n", k.Name, k.Value, k.Incumbent, k.Default, k.Unit, k.Owner, k.Why)
		}
	})
}

// WriteTable writes the decisions for people, one a line.
func (ds *Decisions) WriteTable(w io.Writer) error {
	for i := range *ds {
		if _, err := fmt.Fprintln(w, (*ds)[i].line()); err != nil {
			return err
		}
	}
	return nil
}

func (d *Decision) line() string {
	return fmt.Sprintf("#%d %s %s%s: %s", d.Seq, d.At.Local().Format(time.TimeOnly), d.Verdict, moves(d.Moves), d.Reason)
}

func moves(list []Move) string {
	var b strings.Builder
	for _, m := range list {
		fmt.Fprintf(&b, " %s %d→%d", m.Knob, m.From, m.To)
	}
	return b.String()
}

// WriteTable writes the explanation for people.
func (y *Why) WriteTable(w io.Writer) error {
	return table(w, func(w io.Writer) {
		fmt.Fprintln(w, y.Decision.line())
		fmt.Fprintf(w, " trigger\t%s\t\n", y.Trigger)
		if y.Effect != "" {
			fmt.Fprintf(w, " effect\t%s\t\n", y.Effect)
		}
		for _, g := range y.Guards {
			fmt.Fprintf(w, " guard\t%s\t\n", g)
		}
		for _, a := range y.Alternatives {
			fmt.Fprintf(w, " alternative\t#%d %s%s: %s\t\n", a.Seq, a.Verdict, moves(a.Moves), a.Reason)
		}
		if y.Prediction != "" {
			fmt.Fprintf(w, " prediction\t%s\t\n", y.Prediction)
		}
		for _, a := range y.Probation {
			fmt.Fprintf(w, " probation\t#%d %s%s: %s\t\n", a.Seq, a.Verdict, moves(a.Moves), a.Reason)
		}
		if y.Gone != "" {
			fmt.Fprintf(w, " gone\t%s\t\n", y.Gone)
		}
		for _, u := range y.Undo {
			fmt.Fprintf(w, " undo\t%s\t\n", u)
		}
	})
}

// WriteTable writes the dry run for people.
func (p *Plan) WriteTable(w io.Writer) error {
	return table(w, func(w io.Writer) {
		for _, why := range p.Waits {
			fmt.Fprintf(w, "nothing is tried now\t%s\t\n", why)
		}
		for _, t := range p.Trials {
			fmt.Fprintf(w, "would be tried\t%s %d→%v %s\t\n", t.Knob, t.From, t.To, t.Unit)
		}
		for _, l := range p.Left {
			fmt.Fprintf(w, "left alone\t%s: %s\t\n", l.Knob, l.Why)
		}
		fmt.Fprintf(w, "how\t%s\t\n", p.Rule)
	})
}

// WriteTable writes the snapshots for people.
func (s *Snapshots) WriteTable(w io.Writer) error {
	return table(w, func(w io.Writer) {
		fmt.Fprintln(w, "snapshot\ttaken\tchanges\tbytes\tcause\t")
		for _, one := range s.Snapshots {
			fmt.Fprintf(w, "%d\t%s\t%d\t%d\t%s\t\n", one.Seq, one.At.Local().Format(time.DateTime), one.Changes, one.Bytes, one.Cause)
		}
		for _, one := range s.LeftOut {
			fmt.Fprintf(w, "%d\tleft out when the sidecar started: %s\t\t\t\t\n", one.Seq, one.Why)
		}
		if s.Problem != "" {
			fmt.Fprintf(w, "they are not to be trusted: %s\t\t\t\t\t\n", s.Problem)
		}
	})
}

// WriteTable writes for people what was taken.
func (s *Snapshot) WriteTable(w io.Writer) error {
	_, err := fmt.Fprintf(w, "snapshot %d is taken\n", s.Seq)
	return err
}

// WriteTable writes for people what was restored.
func (r *Restored) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "snapshot %d is in force\n", r.Seq)
	for _, why := range r.Refused {
		fmt.Fprintf(&b, "not restored: %s\n", why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Line says the event in one line for people.
func (e *Event) Line() string {
	switch e.Kind {
	case Decided:
		var d Decision
		if json.Unmarshal(e.Data, &d) == nil {
			return d.line()
		}
	case Alerted:
		var a Alert
		if json.Unmarshal(e.Data, &a) == nil {
			return "alert " + a.String()
		}
	case Sliced:
		var m Measured
		if json.Unmarshal(e.Data, &m) == nil {
			line := fmt.Sprintf("slice %s %s: %.1f units of work a second, %.3g s of a core each", m.At.Local().Format(time.TimeOnly), m.Regime, m.Work, m.Effort)
			if m.Void != "" {
				line += "; it says nothing: " + m.Void
			}
			if m.Burst != "" {
				line += "; it is measured again: " + m.Burst
			}
			return line
		}
	case Commanded:
		var c Command
		if json.Unmarshal(e.Data, &c) == nil {
			return strings.TrimSpace(fmt.Sprintf("command %s %s", c.Did, c.What))
		}
	case Gap:
		var l Lost
		if json.Unmarshal(e.Data, &l) == nil {
			return l.line()
		}
	}
	return fmt.Sprintf("%s %s", e.Kind, e.Data)
}
