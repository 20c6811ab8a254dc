package header

import "fmt"

// A Rule names a consensus rule by the reason that Bitcoin Core gives when it
// is broken. It is an error, so that errors.Is(err, header.HighHash) works.
type Rule string

func (r Rule) Error() string { return string(r) }

// These are the rules that a header can break.
const (
	// HighHash: the hash is above the target that the header claims, or the
	// claimed target is none (negative, zero, overflowing, above the limit).
	HighHash Rule = "high-hash"
	// BadDiffBits: the claimed target is not the one that the chain demands.
	BadDiffBits Rule = "bad-diffbits"
	// TimeTooOld: the time is not after the median of the last 11 blocks.
	TimeTooOld Rule = "time-too-old"
	// TimeTooNew: the time is more than two hours in the future.
	TimeTooNew Rule = "time-too-new"
	// TimeWarp: the first block of a period is more than ten minutes before
	// the last of the one before (BIP94).
	TimeWarp Rule = "time-timewarp-attack"
	// BadVersion: the version is below what BIP34, 66 or 65 demands by now.
	BadVersion Rule = "bad-version"
	// BadPrevBlock: the header does not follow the one before it.
	BadPrevBlock Rule = "bad-prevblk"
)

// A RuleError says which rule a header broke, and how.
type RuleError struct {
	Rule   Rule
	Detail string
}

func (e *RuleError) Error() string { return string(e.Rule) + ": " + e.Detail }
func (e *RuleError) Unwrap() error { return e.Rule }

// broken returns a *RuleError.
func broken(rule Rule, format string, args ...any) error {
	return &RuleError{Rule: rule, Detail: fmt.Sprintf(format, args...)}
}
