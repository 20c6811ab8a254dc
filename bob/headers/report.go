package headers

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/outrider-project/outrider/blockval/header"
)

// A Report is what VerifyFile found. Its JSON is for programs: names stay.
type Report struct {
	// Valid says that all headers are, and that there is at least one.
	Valid bool `json:"valid"`
	// Network is the name of the chain, and Height that of the first header.
	Network string `json:"network"`
	Height  uint32 `json:"from_height"`
	// Headers counts the valid ones, up to the first error.
	Headers int `json:"headers"`
	// TipHeight, TipHash and MedianTime are the last valid header's; the last
	// is left out where the file does not reach far enough back. All are absent
	// without a valid header.
	TipHeight  *uint32 `json:"tip_height,omitempty"`
	TipHash    string  `json:"tip_hash,omitempty"`
	MedianTime *uint32 `json:"median_time,omitempty"`
	// Chainwork is the work of the valid headers, in 64 hexadecimal digits as in
	// Bitcoin Core: that of the chain if it begins at the genesis block.
	Chainwork string `json:"chainwork"`
	// Error is the first error, empty if there is none; Rule is the consensus
	// rule that it broke in Bitcoin Core's words, empty for another error, and
	// ErrorHeight the height of the header.
	Error       string  `json:"error,omitempty"`
	Rule        string  `json:"rule,omitempty"`
	ErrorHeight *uint32 `json:"error_height,omitempty"`
	// Partial names the rules that were not checked for some of the headers,
	// because the file does not reach far enough back.
	Partial []string `json:"not_checked,omitempty"`
}

// VerifyFile verifies the headers in r, serialised, 80 bytes each, one after
// another; the first is that at height from. It uses the same memory for any
// number of them. Broken rules and a torn last header are in the report; the error
// is r's.
func VerifyFile(r io.Reader, p *header.Params, from uint32, now time.Time) (*Report, error) {
	rep := &Report{Network: p.Name, Height: from}
	run := p.NewRun(from)
	var left header.Unchecked
	var failure error
	next := make([]header.Header, 32*batch)
	buffer := make([]byte, len(next)*header.Size)
	for failure == nil {
		n, err := io.ReadFull(r, buffer)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return nil, fmt.Errorf("read the headers after height %d: %w", run.Height(), err)
		}
		whole, torn := n/header.Size, n%header.Size
		split(next[:whole], buffer)
		done, not, verr := Verify(&run, next[:whole], nil, now)
		rep.Headers += done
		left |= not
		switch {
		case verr != nil:
			failure = verr
		case torn != 0:
			failure = fmt.Errorf("the file ends in %d bytes, a header has %d", torn, header.Size)
		}
		if err != nil {
			break
		}
	}
	rep.summarise(&run, left, failure)
	return rep, nil
}

// summarise fills in what a finished run is.
func (rep *Report) summarise(run *header.Run, left header.Unchecked, failure error) {
	rep.Chainwork = run.Work().String()
	if _, hash, ok := run.Tip(); ok {
		height := run.Height() - 1
		rep.TipHeight, rep.TipHash = &height, hash.String()
		if median, known := run.MedianTimePast(); known {
			rep.MedianTime = &median
		}
	}
	for _, rule := range []struct {
		left header.Unchecked
		name header.Rule
	}{
		{header.UncheckedPrev, header.BadPrevBlock},
		{header.UncheckedBits, header.BadDiffBits},
		{header.UncheckedTime, header.TimeTooOld},
	} {
		if left&rule.left != 0 {
			rep.Partial = append(rep.Partial, string(rule.name))
		}
	}
	if failure == nil && rep.Headers == 0 {
		failure = errors.New("there are no headers")
	}
	if failure == nil {
		rep.Valid = true
		return
	}
	height := run.Height()
	rep.Error, rep.ErrorHeight = failure.Error(), &height
	if e, ok := errors.AsType[*Error](failure); ok {
		rep.Error = e.Err.Error()
	}
	if rule, ok := errors.AsType[header.Rule](failure); ok {
		rep.Rule = string(rule)
	}
}
