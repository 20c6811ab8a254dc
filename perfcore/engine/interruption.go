package engine

import (
	"context"
	"errors"

	"github.com/outrider-project/outrider/perfcore"
)

// An interruption ended a slice or a trial from outside.
type interruption struct {
	verdict perfcore.Verdict
	reason  string
}

func (i *interruption) Error() string { return i.reason }

// An excursion is the interruption of a slice by another regime.
type excursion struct{ interruption }

func (e *excursion) Unwrap() error { return &e.interruption }

// An alarm is the interruption of a slice in which the program was in trouble.
type alarm struct {
	interruption
	// came: it came with a candidate, and has not gone with it.
	came bool
}

func (a *alarm) Unwrap() error { return &a.interruption }

// forGood returns err, and of an excursion the interruption alone, behind which no block is
// made again.
func forGood(err error) error {
	var away *excursion
	if errors.As(err, &away) {
		return &away.interruption
	}
	return err
}

// returns waits until a quiet regime is over, and reports whether the regime is then the one that
// the trial began in: a block is made again behind an excursion.
func (b *bench) returns(ctx context.Context) bool {
	_ = b.o.awaitCalm(ctx) // the excursion that it reports is known; the end of ctx comes again
	return ctx.Err() == nil && !b.switched()
}

// suspect reports whether err is an alarm that came with a candidate, and has not gone with it.
func suspect(err error) bool {
	var rang *alarm
	return errors.As(err, &rang) && rang.came
}

// cutShort returns the result of a trial that ended from outside.
func cutShort(v perfcore.Verdict, reason string, e perfcore.Evidence) result {
	return result{verdict: v, reason: reason, evidence: e, interrupted: true}
}
