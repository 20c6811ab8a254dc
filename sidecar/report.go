package sidecar

import (
	"log/slog"
	"time"

	"github.com/outrider-project/outrider/blockval"
)

// An Outcome is how a verdict compares with the node's.
type Outcome string

// These are the outcomes.
const (
	// Agree: both call the block valid, or both invalid.
	Agree Outcome = "agree"
	// Differ: one calls it valid and the other invalid. This is the alarm.
	Differ Outcome = "differ"
	// Undecided: the sidecar cannot tell. It could not learn the coins that
	// the block spends, or it found a block valid, on the node's word for the
	// coins, that the node calls invalid: one of them may be missing.
	Undecided Outcome = "undecided"
)

// A Report is what the sidecar found about one block, beside what the node
// says of it.
type Report struct {
	// Verdict is the sidecar's; where it could not judge, only Hash, Height
	// and what was counted are set.
	Verdict blockval.Verdict
	// NodeValid is the node's verdict.
	NodeValid bool
	Outcome   Outcome
	// Reason says why the outcome is Undecided, or what the difference is;
	// empty when they agree.
	Reason string
	// At is when the verdict was reached, Took how long that was after the
	// sidecar first heard of the block.
	At   time.Time
	Took time.Duration
	// CatchUp says that the block was one of many on the way to the tip, so
	// that Took measures the queue and not the verdict.
	CatchUp bool
	// Evidence is the directory with the evidence of a difference (see
	// docs/evidence.md); empty when there is none, or none could be kept.
	Evidence string

	// exhibits are the blocks that were judged where the outcome is Differ, and
	// for a block of a rejected branch that is valid.
	exhibits []exhibit
}

// attrs returns the report as a log line's attributes.
func (r *Report) attrs() []any {
	v := &r.Verdict
	rule := ""
	if v.Err != nil {
		rule = v.Err.Error()
	}
	return []any{
		slog.Uint64("height", uint64(v.Height)), slog.String("hash", v.Hash.String()),
		slog.Int("transactions", v.Transactions), slog.Int("inputs", v.Inputs), slog.Int("signatures", v.Signatures),
		slog.Duration("took", r.Took), slog.String("outcome", string(r.Outcome)),
		slog.Bool("node_valid", r.NodeValid), slog.String("rule", rule),
		slog.String("prevouts", string(v.Prevouts)), slog.Any("unchecked", v.Unchecked), slog.String("reason", r.Reason),
	}
}
