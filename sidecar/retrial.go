package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// A Retrial is what came of judging a bundle of evidence again.
type Retrial struct {
	Network string `json:"network"`
	Height  uint32 `json:"height"`
	Hash    string `json:"hash"`
	// Node is the node's verdict, Recorded and Now are the sidecar's: then, and
	// by this program.
	Node     string        `json:"node"`
	Recorded bundleVerdict `json:"recorded"`
	Now      bundleVerdict `json:"now"`
	// Same says that these two are one: verdict, rule and place.
	Same bool `json:"same"`
	// Valid says that Now finds every block of the bundle valid.
	Valid bool `json:"valid"`
}

// ErrUnjudged says that a bundle of evidence could not be judged: it is none, is
// damaged, or does not hold all that it takes. It says nothing about the block.
var ErrUnjudged = errors.New("the evidence could not be judged")

// JudgeEvidence judges the bundle of evidence in a directory again, by the rules
// alone: no node is asked, and the time is that at which the bundle was written.
// The bundle's bytes are checked, and may come from anywhere. Every error but
// ctx's wraps ErrUnjudged.
func JudgeEvidence(ctx context.Context, dir string) (*Retrial, error) {
	r, err := retry(ctx, dir, 0, nil)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: %s: %w", ErrUnjudged, dir, err)
	}
	return r, err
}

// retry is JudgeEvidence with so many goroutines, and with the errors as they are. A pace
// that is not nil is for one goroutine.
func retry(ctx context.Context, dir string, workers int, p pace) (*Retrial, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	b, err := readBundle(root)
	if err != nil {
		return nil, err
	}
	params, err := b.params()
	if err != nil {
		return nil, err
	}
	exhibits, err := b.exhibits(ctx, root)
	if err != nil {
		return nil, err
	}
	v, err := rejudge(ctx, params, exhibits, b.Written, workers, p)
	if err != nil {
		return nil, err
	}
	r := &Retrial{
		Network: b.Network, Height: v.Height, Hash: v.Hash.String(),
		Node: b.Node.Verdict, Recorded: b.Outrider, Now: verdictOf(&v), Valid: v.Valid(),
	}
	r.Same = r.Now.same(&r.Recorded) && r.Hash == b.Hash
	return r, nil
}

// readBundle reads verdict.json.
func readBundle(root *os.Root) (*bundle, error) {
	content, err := readLimited(root, verdictFile, maxVerdict)
	if err != nil {
		return nil, err
	}
	var b bundle
	if err := decodeJSON(content, &b); err != nil {
		return nil, fmt.Errorf("%s: %w", verdictFile, err)
	}
	switch {
	case b.Format != bundleFormat:
		return nil, fmt.Errorf("%s: format %d, want %d", verdictFile, b.Format, bundleFormat)
	case len(b.Blocks) == 0:
		return nil, fmt.Errorf("%s: it names no block", verdictFile)
	}
	return &b, nil
}

// WriteTable writes the verdicts for people.
func (r *Retrial) WriteTable(w io.Writer) error {
	conclusion := "The verdict is the recorded one."
	if !r.Same {
		conclusion = "THE VERDICT IS ANOTHER THAN THE RECORDED ONE."
	}
	_, err := fmt.Fprintf(w, "block %d %s of %s\nnode:     %s\nrecorded: %s\nnow:      %s\n%s\n",
		r.Height, r.Hash, r.Network, r.Node, &r.Recorded, &r.Now, conclusion)
	return err
}

// String returns the verdict in a line.
func (v *bundleVerdict) String() string {
	s := v.Verdict
	if v.Rule != "" {
		s += ": " + v.Rule
	}
	if v.Transaction != nil {
		s += fmt.Sprintf(": transaction %d", *v.Transaction)
	}
	if v.Input != nil {
		s += fmt.Sprintf(" input %d", *v.Input)
	}
	if v.Detail != "" {
		s += ": " + v.Detail
	}
	if len(v.Unchecked) > 0 {
		s += fmt.Sprintf(" (not checked: %v)", v.Unchecked)
	}
	return s
}
