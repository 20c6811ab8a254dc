package bitvm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/bitvm/dryrun"
	"github.com/outrider-project/outrider/blockval/script"
	"github.com/outrider-project/outrider/sigverify"
)

// A DryRunReport says how a spend went in btcd's engine and in ours.
type DryRunReport struct{ *dryrun.Report }

// Good reports whether the spend passes.
func (r *DryRunReport) Good() bool { return r.Passed }

// ErrSpend says that there is no spend to run: a file cannot be read, or is not of the form
// that [dryrun.Parse] takes.
var ErrSpend = errors.New("nothing was run")

// DryRun runs the spend in the JSON file at path, or from stdin if that is "-", in btcd's
// engine and in blockval's, which looks at ctx at signatures only. What is wrong with the
// spend is in the report; an error wraps [ErrSpend], or is ctx's.
func DryRun(ctx context.Context, path string, stdin io.Reader) (*DryRunReport, error) {
	data, err := readSpend(path, stdin)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpend, err)
	}
	s, err := dryrun.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSpend, path, err)
	}
	v := sigverify.New(sigverify.Options{Workers: 1, CacheBytes: -1})
	defer v.Close()
	machine, exact := script.NewMachine(), v.Exact()
	rep, err := dryrun.Run(ctx, s, func(ctx context.Context, tx *wire.MsgTx, prevouts []wire.TxOut, input int) (bool, string, error) {
		reason, err := machine.Execute(ctx, &script.Tx{Msg: tx, Prevouts: prevouts}, input, script.Consensus, exact)
		return reason == script.OK, reason.Error(), err
	})
	if err != nil {
		return nil, err
	}
	return &DryRunReport{rep}, nil
}

func readSpend(path string, stdin io.Reader) ([]byte, error) {
	if path != "-" {
		return read(path)
	}
	return io.ReadAll(io.LimitReader(stdin, dryrun.MaxInput+1))
}

// WriteTable writes the report for people.
func (r *DryRunReport) WriteTable(w io.Writer) error {
	var b strings.Builder
	verdict := "fails"
	if r.Passed {
		verdict = "passes"
	}
	fmt.Fprintf(&b, "%s %s: weight %d, vsize %d", r.TxID, verdict, r.Weight, r.VSize)
	if r.Fee != nil {
		fmt.Fprintf(&b, ", fee %d satoshis, %.2f for each unit of vsize", *r.Fee, r.FeeRate)
	}
	b.WriteByte('\n')
	for _, in := range r.Inputs {
		fmt.Fprintf(&b, "input %d (%s): %d opcodes", in.Input, in.Kind, in.Opcodes)
		switch f := in.Failure; {
		case f == nil:
			b.WriteString(", passes")
		case f.Opcode == nil:
			fmt.Fprintf(&b, ", fails in %s: %s", f.Script, f.Reason)
		default:
			fmt.Fprintf(&b, ", fails in %s at opcode %d, %s: %s", f.Script, *f.Opcode, f.Name, f.Reason)
		}
		b.WriteByte('\n')
		if in.Disagree {
			fmt.Fprintf(&b, "  THE ENGINES DISAGREE: Outrider's says %s. Do not broadcast it, and report this.\n", in.Second)
		}
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "no block can have it: %s\n", p)
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "not relayed: %s: %s\n", warning.Reason, warning.Words)
	}
	for _, wait := range r.Waits {
		fmt.Fprintf(&b, "waits: %s\n", wait)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
