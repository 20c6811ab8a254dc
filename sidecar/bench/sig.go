package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/outrider-project/outrider/sigverify"
)

// SigOptions says what Sig measures, and how.
type SigOptions struct {
	// Rounds is how often each figure is measured; its median is told.
	Rounds int
	// Vectors is a file or folder of test vectors to check as well; "" for none.
	Vectors string
	// Path is the code that verifies; "" is the best one that the machine has.
	Path sigverify.Path

	sizes []int // of batches, ascending; nil means sigSizes
}

// A SigReport is what "outrider bench sig" prints.
type SigReport struct {
	// Path is the code that the rows are of, but those of purego, and Reason why it
	// was that.
	Path   sigverify.Path `json:"path"`
	Reason string         `json:"reason"`
	// Notes says what is not in the rows.
	Notes   []string `json:"notes"`
	Vectors *Vectors `json:"vectors,omitempty"`
	Report
}

// sigSizes are the sizes of batches, and windowTime is how long each figure is
// measured in each round, at least.
var sigSizes = [...]int{1, 8, 64, 256, 4096}

const windowTime = 10 * time.Millisecond

// Sig measures sigverify beside other verifiers, each figure in turns with its
// anchor.
func Sig(ctx context.Context, o SigOptions) (*SigReport, error) {
	rep := &SigReport{Report: Report{Machine: ThisMachine(), Rows: []Row{}}, Notes: []string{}}
	if o.Vectors != "" {
		var err error
		if rep.Vectors, err = CheckVectors(ctx, o.Vectors, o.Path); err != nil {
			return nil, err
		}
	}
	if o.sizes == nil {
		o.sizes = sigSizes[:]
	}
	b, err := newSigBench(o.sizes, o.Path)
	if err != nil {
		return nil, err
	}
	defer b.close()
	rep.Path, rep.Reason = pathOf(b.one, o.Path)
	if libsecp() == nil {
		rep.Notes = append(rep.Notes, "no libsecp256k1, because the program was built without cgo: decred is the anchor instead")
	}
	figures := b.figures()
	for range o.Rounds {
		for _, f := range figures {
			if err := f.measure(ctx); err != nil {
				return nil, err
			}
		}
	}
	for _, f := range figures {
		rep.Rows = append(rep.Rows, f.row())
	}
	return rep, nil
}

// sigPathVariable is the environment variable of the setting "sigverify".
const sigPathVariable = "OUTRIDER_SIGVERIFY"

// ParseSigPath returns the path that a value of OUTRIDER_SIGVERIFY asks for, which is
// what the setting of that name takes; "" asks for none.
func ParseSigPath(value string) (sigverify.Path, error) {
	if value == "" {
		return "", nil
	}
	p, err := sigverify.ParsePath(value)
	if err != nil {
		err = fmt.Errorf("%s: %q: %w", sigPathVariable, value, err)
	}
	return p, err
}

// pathOf returns the path that v takes, and why; asked is the one that was asked for.
func pathOf(v *sigverify.Verifier, asked sigverify.Path) (path sigverify.Path, reason string) {
	path, reason = v.Path()
	if asked != "" {
		reason += fmt.Sprintf(" (%s is %s)", sigPathVariable, asked)
	}
	return path, reason
}

// WriteTable writes the report for people.
func (r *SigReport) WriteTable(w io.Writer) error {
	_, err := fmt.Fprintf(w, "path %s: %s\n", r.Path, r.Reason)
	for _, note := range r.Notes {
		fmt.Fprintln(w, note)
	}
	if v := r.Vectors; v != nil {
		fmt.Fprintf(w, "vectors: %d passed, %d failed\n", v.Passed, v.Failed)
		for _, name := range v.Failures {
			fmt.Fprintln(w, "  FAILED", name)
		}
		for _, name := range v.Skipped {
			fmt.Fprintln(w, "  skipped", name)
		}
	}
	fmt.Fprintln(w)
	return errors.Join(err, r.Report.WriteTable(w))
}
