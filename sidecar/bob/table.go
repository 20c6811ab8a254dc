package bob

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/bob/relay"
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
