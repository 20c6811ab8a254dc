// Package headers follows Bitcoin's block headers for the relays: it verifies
// runs of them, many hashes at once, and keeps a tree of those near the tip, with
// stale branches and chain work. The rules are those of blockval/header.
package headers

import (
	"fmt"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sigverify/hashlane"
)

// batch is how many headers are hashed at once: enough for the lanes, and little
// enough that header and hash are still in the fastest cache when they are
// checked.
const batch = 64

// An Error says which header of those given is not valid, and why.
type Error struct {
	Height uint32
	Hash   chainhash.Hash
	Err    error // a *header.RuleError
}

// Error names the header and its height, and says what is wrong with it.
func (e *Error) Error() string {
	return fmt.Sprintf("header %s at height %d: %v", e.Hash, e.Height, e.Err)
}

// Unwrap returns the rule that the header breaks.
func (e *Error) Unwrap() error { return e.Err }

// Verify checks that headers continue run, in order, and stops at the first that
// does not: n is how many are valid, and now part of run. What rules could not
// be checked for want of headers below is reported for all of them together. The
// only error is an *Error.
//
// hashes receives the hashes of the first n headers if it is not nil; it must then
// be as long as headers. Verify allocates nothing unless it fails.
func Verify(run *header.Run, headers []header.Header, hashes []chainhash.Hash, now time.Time) (n int, left header.Unchecked, err error) {
	var some [batch]chainhash.Hash
	for n < len(headers) {
		next := headers[n:min(n+batch, len(headers))]
		sums := some[:len(next)]
		if hashes != nil {
			sums = hashes[n : n+len(next)]
		}
		hashlane.DoubleSum80(sums, next)
		for i := range next {
			not, err := run.Check(&next[i], &sums[i], now)
			if err != nil && mend(&sums[i], &next[i]) {
				not, err = run.Check(&next[i], &sums[i], now)
			}
			if err != nil {
				return n, left, &Error{Height: run.Height(), Hash: sums[i], Err: err}
			}
			left |= not
			n++
		}
	}
	return n, left, nil
}

// mend sets hash to that of h, by the standard library, and reports whether it was another
// one: then hashlane was wrong, and so is what was said of the header.
func mend(hash *chainhash.Hash, h *header.Header) bool {
	exact := h.Hash()
	wrong := *hash != exact
	*hash = exact
	return wrong
}

// Parse returns the headers in data: serialised, 80 bytes each, one after another.
// It copies them.
func Parse(data []byte) ([]header.Header, error) {
	if len(data)%header.Size != 0 {
		return nil, fmt.Errorf("%d bytes are not a whole number of headers of %d", len(data), header.Size)
	}
	headers := make([]header.Header, len(data)/header.Size)
	split(headers, data)
	return headers, nil
}

// split copies the headers in data into headers.
func split(headers []header.Header, data []byte) {
	for i := range headers {
		headers[i] = header.Header(data[i*header.Size:])
	}
}
