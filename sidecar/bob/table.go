package bob

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/monitor"
)

// WriteHeaders writes a report for people.
func WriteHeaders(w io.Writer, r *headers.Report) error {
	verdict := "valid"
	if !r.Valid {
		verdict = "NOT VALID: " + r.Error
		if r.ErrorHeight != nil {
			verdict += fmt.Sprintf(", at height %d", *r.ErrorHeight)
		}
	}
	if _, err := fmt.Fprintf(w, "%s: %d headers of %s from height %d\n", verdict, r.Headers, r.Network, r.Height); err != nil {
		return err
	}
	if r.TipHeight != nil {
		if _, err := fmt.Fprintf(w, "last: %d %s\nchainwork: %s\n", *r.TipHeight, r.TipHash, r.Chainwork); err != nil {
			return err
		}
	}
	if len(r.Partial) > 0 {
		_, err := fmt.Fprintf(w, "not checked for all, because the file does not reach far enough back: %s\n", strings.Join(r.Partial, ", "))
		return err
	}
	return nil
}

// WriteReplay writes a report for people.
func WriteReplay(w io.Writer, r *relay.ReplayReport) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "call\tabout\theaders\tgas\toutcome")
	for _, c := range r.Calls {
		outcome := "ok"
		if !c.OK {
			outcome = "reverted: " + c.Revert
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\n", c.Call, c.About, c.Headers, c.Gas, outcome)
	}
	return t.Flush()
}

// WriteStatus writes a status for people.
func WriteStatus(w io.Writer, s *Status) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "chain %d\n\nnode\trole\tchain\tlatency\tproblem\n", s.ChainID)
	for _, n := range s.Nodes {
		problem := n.Problem
		if problem == "" && n.Resting {
			problem = "left alone for a while"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", n.Name, n.Role, n.Chain, seconds(n.Latency), problem)
	}
	fmt.Fprint(t, "\nhead\theight\tage\tsources\n")
	for _, h := range s.Heads {
		if h.Sources == 0 {
			fmt.Fprintf(t, "%s\tnot known\t\t0\n", h.Head)
			continue
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%d\n", h.Head, h.Number, seconds(h.Lag), h.Sources)
	}
	for _, f := range s.Faults {
		fmt.Fprintf(t, "! %s %s head\t%s\t%s\n", f.Source, f.Head, f.Kind, f.Detail)
	}
	if s.Survey != nil {
		writeSurvey(t, s.Survey)
	}
	if s.L1 != nil {
		writeL1(t, s.L1)
	}
	if s.Relay != nil {
		writeRelay(t, s.Relay)
	}
	return t.Flush()
}

func writeSurvey(w io.Writer, s *Survey) {
	fmt.Fprint(w, "\nfork\tbegins\tnodes\tverdict\n")
	for _, f := range s.Forks {
		begins := "not planned"
		if f.Time > 0 {
			begins = time.Unix(int64(f.Time), 0).UTC().Format(time.DateTime)
		}
		fmt.Fprintf(w, "%s\t%s\t%s %s\t%s\n", f.Fork, begins, f.OpNode, f.Execution, f.Verdict)
		for _, why := range f.Why {
			fmt.Fprintf(w, "\t\t\t%s\n", why)
		}
	}
	switch o := s.Outputs; {
	case o.Agree:
		fmt.Fprintf(w, "\noutput roots: %d nodes agree at height %d\n", len(o.Nodes), o.Height)
	case o.Compared:
		fmt.Fprintf(w, "\noutput roots: THEY DIFFER: %s\n", o.Problem)
	default:
		fmt.Fprintf(w, "\noutput roots: not compared: %s\n", o.Problem)
	}
}

func writeL1(w io.Writer, s *L1Status) {
	fmt.Fprintf(w, "\nEthereum (chain %d)\theight\tage\n", s.ChainID)
	for _, h := range s.Heads {
		if h.Sources == 0 {
			fmt.Fprintf(w, "%s\tnot known\n", h.Head)
			continue
		}
		fmt.Fprintf(w, "%s\t%d\t%s\n", h.Head, h.Number, seconds(h.Lag))
	}
	for _, o := range s.Origins {
		if o.Problem != "" {
			fmt.Fprintf(w, "L2's %s head from\tnot known: %s\n", o.Head, o.Problem)
			continue
		}
		where := o.Standing
		if o.Standing == opstack.StandingCanonical.String() {
			where += map[bool]string{true: ", final", false: ", not final"}[o.Final] + fmt.Sprintf(", %d blocks behind", o.Behind)
		}
		fmt.Fprintf(w, "L2's %s head from\t%d\t%s\n", o.Head, o.Number, where)
	}
	fmt.Fprintf(w, "base fee\t%s\nblob base fee\t%s\n", s.BaseFee.words(), s.BlobBaseFee.words())
	for _, f := range s.Faults {
		fmt.Fprintf(w, "! %s\t%s\t%s\n", f.Head, f.Kind, f.Detail)
	}
}

func writeRelay(w io.Writer, s *monitor.State) {
	fmt.Fprintf(w, "\nrelay (%s)\n", s.Kind)
	if v := s.Bitcoin; v.Known {
		fmt.Fprintf(w, "Bitcoin\t%d\t%s\n", v.V.Height, v.V.Time.Format(time.DateTime))
	} else {
		fmt.Fprintf(w, "Bitcoin\t%s\n", unknown(v.Reason, v.V != nil, v.Age))
	}
	if v := s.Relay; !v.Known {
		fmt.Fprintf(w, "contract\t%s\n", unknown(v.Reason, v.V != nil, v.Age))
	} else {
		fmt.Fprintf(w, "read at L2 block\t%d\n", v.V.Block.Number)
	}
	v := s.Position
	if !v.Known {
		fmt.Fprintf(w, "position\t%s\n", unknown(v.Reason, v.V != nil, v.Age))
	}
	if v.V == nil {
		return
	}
	p := v.V
	if s.Kind != relay.KindLight {
		fmt.Fprintf(w, "stored, marked\t%d, %d\nfork\t%d deep, %s\n", p.StoredHeight, p.MarkedHeight, p.ForkDepth, p.Wedge)
	} else {
		fmt.Fprintf(w, "difficulty agrees\t%t\nnext epoch can be told from\t%d\n", p.Agrees, p.Due)
	}
	fmt.Fprintf(w, "behind\t%d blocks, %s, %d periods\n", p.LagBlocks, seconds(p.LagSeconds), p.EpochGap)
	if p.ProvableHeight > 0 {
		fmt.Fprintf(w, "provable now\tup to block %d\n", p.ProvableHeight)
	} else {
		fmt.Fprint(w, "provable now\tnothing\n")
	}
	writeProvable(w, p.TipProvable)
	fmt.Fprintf(w, "next retarget\t%d, in %d blocks, about %s\n", p.NextRetarget.Height, p.NextRetarget.Blocks, p.NextRetarget.Expected.UTC().Format(time.DateTime))
	for _, o := range p.Outages {
		when := "foreseen"
		if o.Active {
			when = "now"
		}
		span := fmt.Sprintf("from %d", o.From)
		if o.To > 0 {
			span = fmt.Sprintf("%d to %d", o.From, o.To)
		}
		fmt.Fprintf(w, "no proofs, %s\t%s: %s\n", when, span, o.Why)
	}
}

// writeProvable says when the relay accepts proofs of a block.
func writeProvable(w io.Writer, v *monitor.Provability) {
	when := "never"
	switch {
	case v.Now:
		when = "now"
	case v.WaitsFor == monitor.OnBitcoin:
		when = fmt.Sprintf("with block %d, about %s", v.AtHeight, v.Expected.UTC().Format(time.DateTime))
	case v.WaitsFor == monitor.OnRelay:
		when = fmt.Sprintf("once the relay knows block %d", v.AtHeight)
	}
	fmt.Fprintf(w, "block %d provable\t%s: %d of %d headers on top; %s\n", v.Height, when, v.Confirmations, v.Needed, v.Why)
}

// unknown says why something is not known, and whether older news follows.
func unknown(reason string, older bool, age float64) string {
	text := "not known: " + reason
	if older {
		text += fmt.Sprintf(" (last known %s ago)", seconds(age))
	}
	return text
}

// seconds returns a time to three digits or so.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d >= time.Minute:
		d = d.Round(time.Second)
	case d >= time.Second:
		d = d.Round(10 * time.Millisecond)
	default:
		d = d.Round(10 * time.Microsecond)
	}
	return d.String()
}

// WriteFees writes a report for people.
func WriteFees(w io.Writer, r *FeeReport) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "block %d, %s (by %s); base fee %s and tip %s wei, on L1 %s and %s for blobs\n\n",
		r.Block, r.Fork, r.ForkFrom, r.BaseFee, r.Tip, r.L1BaseFee, r.L1BlobBaseFee)
	fmt.Fprint(t, "what\tbytes\tgas\tgas price\texecution\tL1 data\toperator\ttotal, wei\t\n")
	for _, x := range r.Transactions {
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t\n", x.About, x.Bytes, x.Gas, x.GasPrice, x.Execution, x.L1, x.Operator, x.Total)
	}
	if len(r.Transactions) > 1 {
		fmt.Fprintf(t, "all\t\t\t\t\t\t\t%s\t\n", r.Total)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, x := range r.Transactions {
		if x.Receipt != "" {
			fmt.Fprintf(w, "its receipt: %s\n", x.Receipt)
		}
	}
	for _, n := range r.Notes {
		if _, err := fmt.Fprintf(w, "* %s\n", n); err != nil {
			return err
		}
	}
	return nil
}

// WriteDiagnosis writes a diagnosis for people.
func WriteDiagnosis(w io.Writer, d *Diagnosis) error {
	if len(d.Findings) == 0 {
		fmt.Fprintln(w, "nothing is wrong")
	}
	for _, f := range d.Findings {
		fmt.Fprintf(w, "%s: %s: %s\n    %s\n", f.Level, f.About, f.What, f.Do)
	}
	for i, p := range d.Proposals {
		if i == 0 {
			fmt.Fprintln(w, "\nsettings:")
		}
		setting := p.Setting
		if p.Value != "" {
			setting += "=" + p.Value
		}
		if p.Have != "" {
			setting += " (not " + p.Have + ")"
		}
		if _, err := fmt.Fprintf(w, "%s: %s\n    %s\n    measured: %s\n", p.Program, setting, p.Why, p.Measured); err != nil {
			return err
		}
	}
	return nil
}
