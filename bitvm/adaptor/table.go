package adaptor

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	// MaxDigits is how many signatures a witness may have: while a script checks one it
	// has the key twice on the stack beside them, which BIP342 limits to 1,000.
	MaxDigits = 998
	// MaxLabels is how many values a digit may have: a digit is a byte.
	MaxLabels = 256
)

// A Label is a value that a digit may have: the point of its secret, and the
// presignature that the secret completes.
type Label struct {
	Point Point
	Pre   Presignature
}

// A Table finds the value and the secret of the signatures of one message. It is safe for
// concurrent use, and takes some 150 bytes a label: 4 MB for 108 digits of 256 labels.
type Table struct {
	digests [][32]byte
	widths  []int              // how many labels each digit has
	labels  map[[32]byte]entry // by the x of the signature's nonce
}

// An entry is what is kept of a label.
type entry struct {
	digit uint16
	value uint8
	pre   Presignature
}

// NewTable verifies all labels of a prover's key and makes a table of them:
// labels[i][v] are those of digit i with the value v, of which there are from 1 to
// [MaxLabels], and digests[i] is the message that digit i signs. It takes one
// verification of a presignature for each label, on as many goroutines as there are
// processors, which have ended when it returns.
//
// The error wraps [ErrForm] or [ErrPresignature], and says which label it is of. It wraps
// [ErrDuplicate] if two labels have the same point, so that one secret would stand for
// two values; the same R, so that a signature would be of both; or the same nonce, which
// gives away the secret key to whoever sees both presignatures. It is ctx's if that ends
// first.
func NewTable(ctx context.Context, key *Key, digests [][32]byte, labels [][]Label) (*Table, error) {
	if len(labels) == 0 || len(labels) > MaxDigits || len(digests) != len(labels) {
		return nil, fmt.Errorf("%w: labels of %d digits and %d digests, must be as many, from 1 to %d", ErrForm, len(labels), len(digests), MaxDigits)
	}
	t := &Table{digests: append([][32]byte(nil), digests...), widths: make([]int, len(labels))}
	total := 0
	for i := range labels {
		n := len(labels[i])
		if n == 0 || n > MaxLabels {
			return nil, fmt.Errorf("%w: digit %d has %d labels, must have from 1 to %d", ErrForm, i, n, MaxLabels)
		}
		t.widths[i] = n
		total += n
	}
	nonces, err := verifyLabels(ctx, key, digests, labels)
	if err != nil {
		return nil, err
	}
	t.labels = make(map[[32]byte]entry, total)
	points, owns := make(map[[32]byte]bool, total), make(map[[32]byte]bool, total)
	for i := range labels {
		for v := range labels[i] {
			l := &labels[i][v]
			// Of opposite points each gives away the secret of the other, too, and so do
			// opposite nonces: x is all that counts.
			point, own, r := l.Point.x(), nonces[i][v].x(), l.Pre.R.x()
			_, twice := t.labels[r]
			for _, has := range []struct {
				what  string
				twice bool
			}{{"point", points[point]}, {"nonce", owns[own]}, {"R", twice}} {
				if has.twice {
					return nil, fmt.Errorf("%w: digit %d, value %d has the %s of another", ErrDuplicate, i, v, has.what)
				}
			}
			points[point], owns[own] = true, true
			t.labels[r] = entry{uint16(i), uint8(v), l.Pre}
		}
	}
	return t, nil
}

// verifyLabels verifies the labels and returns the nonces of the presigner. The error is
// that of the first label that is wrong.
func verifyLabels(ctx context.Context, key *Key, digests [][32]byte, labels [][]Label) ([][]Point, error) {
	nonces, errs := make([][]Point, len(labels)), make([]error, len(labels))
	var next atomic.Int64
	var stop atomic.Bool
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(labels)) {
		workers.Go(func() {
			for !stop.Load() {
				i := int(next.Add(1)) - 1
				if i >= len(labels) {
					return
				}
				nonces[i] = make([]Point, len(labels[i]))
				for v := range labels[i] {
					err := ctx.Err()
					if err == nil {
						l := &labels[i][v]
						nonces[i][v], err = l.Pre.nonce(key, l.Point, digests[i])
					}
					if err != nil {
						errs[i] = fmt.Errorf("digit %d, value %d: %w", i, v, err)
						stop.Store(true) // digits before this one are under way, or done
						return
					}
				}
			}
		})
	}
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return nonces, nil
}

// Digits returns how many digits a message has.
func (t *Table) Digits() int { return len(t.widths) }

// Extract returns the message of a spend, a digit a byte, and the secret of each digit's
// label, big-endian. It does not verify the spend's signatures: whoever has not the word
// of a node of their own that the spend is in a valid block calls [Spend.Verify] first,
// and of an invalid signature it returns any secret.
//
// The error wraps [ErrForm] if the spend has another number of digits, [ErrSignature] if
// it signs other digests than those that the labels were made for (another transaction,
// hash type, annex or leaf), and [ErrLabel] if a signature is of no label of its digit: the
// prover has signed without a presignature, and reveals nothing.
func (t *Table) Extract(s *Spend) (message []byte, secrets [][32]byte, err error) {
	if len(s.Signatures) != len(t.widths) || len(s.Digests) != len(t.widths) {
		return nil, nil, fmt.Errorf("%w: a spend of %d digits, must be %d", ErrForm, len(s.Signatures), len(t.widths))
	}
	message, secrets = make([]byte, len(t.widths)), make([][32]byte, len(t.widths))
	for i := range s.Signatures {
		if s.Digests[i] != t.digests[i] {
			return nil, nil, fmt.Errorf("%w: digit %d is of another message", ErrSignature, i)
		}
		e, ok := t.labels[s.Signatures[i].r()]
		if !ok || int(e.digit) != i {
			return nil, nil, fmt.Errorf("%w: digit %d", ErrLabel, i)
		}
		if secrets[i], err = e.pre.Extract(&s.Signatures[i]); err != nil {
			return nil, nil, fmt.Errorf("digit %d: %w", i, err)
		}
		message[i] = e.value
	}
	return message, secrets, nil
}
