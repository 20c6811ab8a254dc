package node

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// An RPCError is what a node answered a call with instead of a result.
type RPCError struct {
	// Code is one of the codes of Bitcoin Core's rpc/protocol.h, or of
	// JSON-RPC 2.0.
	Code int
	// Message is the node's own, cut to maxErrorMessage bytes.
	Message string
}

func (e *RPCError) Error() string { return fmt.Sprintf("%s (code %d)", e.Message, e.Code) }

const (
	// maxErrorMessage bounds what is kept of an error message.
	maxErrorMessage = 500

	// notFoundCode is what btcd and Bitcoin Core answer when they do not have
	// the block or transaction (RPC_INVALID_ADDRESS_OR_KEY).
	notFoundCode = -5
)

// errTruncated says that an answer ends in the middle.
var errTruncated = errors.New("the answer is cut short")

// A malformedError says that an answer is not what the protocol allows.
type malformedError struct{ err error }

func (e *malformedError) Error() string { return "malformed answer: " + e.err.Error() }
func (e *malformedError) Unwrap() error { return e.err }

func malformed(format string, args ...any) error {
	return &malformedError{fmt.Errorf(format, args...)}
}

// An answer is the answer to one call. Unknown fields are skipped.
type answer struct {
	ID     *uint64         `json:"id"`
	Result json.RawMessage `json:"result"`
	Err    *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// hasResult reports whether there is a result, and it is not null.
func (a *answer) hasResult() bool { return len(a.Result) > 0 && string(a.Result) != "null" }

// err returns the error that the node answered with, or nil.
func (a *answer) err() error {
	if a.Err == nil {
		return nil
	}
	message := a.Err.Message
	if len(message) > maxErrorMessage {
		message = message[:maxErrorMessage]
	}
	return &RPCError{Code: a.Err.Code, Message: message}
}

// decodeInto decodes the result into v. A missing result and a null one are
// errors.
func (a *answer) decodeInto(v any) error {
	if err := a.err(); err != nil {
		return err
	}
	if !a.hasResult() {
		return malformed("it has no result")
	}
	if err := json.Unmarshal(a.Result, v); err != nil {
		return &malformedError{err}
	}
	return nil
}

// decodeAnswer decodes the answer to the call with the given id.
func decodeAnswer(body []byte, id uint64) (*answer, error) {
	var a answer
	if err := decodeBody(body, &a); err != nil {
		return nil, err
	}
	// A node that could not even read the call answers it with a null id.
	if a.ID == nil && a.Err != nil {
		return nil, a.err()
	}
	if a.ID == nil || *a.ID != id {
		return nil, malformed("it is for another call")
	}
	return &a, nil
}

// decodeBatch decodes the answers to n calls whose ids count up from first, and
// returns them in that order.
func decodeBatch(body []byte, first uint64, n int) ([]answer, error) {
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")) {
		a, err := decodeAnswer(body, first)
		if err == nil {
			err = a.err()
		}
		if err == nil {
			err = malformed("it answers one call of a batch")
		}
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if _, err := dec.Token(); err != nil {
		return nil, bodyError(err, body)
	}
	inOrder := make([]answer, n)
	for dec.More() {
		var a answer
		if err := dec.Decode(&a); err != nil {
			return nil, bodyError(err, body)
		}
		if a.ID == nil || *a.ID < first || *a.ID-first >= uint64(n) {
			return nil, malformed("it has an answer to another call")
		}
		i := *a.ID - first
		if inOrder[i].ID != nil {
			return nil, malformed("it answers a call twice")
		}
		inOrder[i] = a
	}
	if _, err := dec.Token(); err != nil {
		return nil, bodyError(err, body)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, malformed("something follows it")
	}
	if i := slices.IndexFunc(inOrder, func(a answer) bool { return a.ID == nil }); i >= 0 {
		return nil, malformed("it does not answer call %d of %d", i+1, n)
	}
	return inOrder, nil
}

// decodeBody decodes one JSON value.
func decodeBody(body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return bodyError(err, body)
	}
	return nil
}

// bodyError tells an answer that was cut short, which may be asked for again,
// from one that is wrong.
func bodyError(err error, body []byte) error {
	syntax, ok := errors.AsType[*json.SyntaxError](err)
	if ok && syntax.Offset >= int64(len(body)) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTruncated
	}
	return &malformedError{err}
}

// A displayHash is a hash in JSON: 64 hexadecimal digits in display order.
type displayHash chainhash.Hash

// UnmarshalJSON implements json.Unmarshaler. It accepts nothing but a full
// hash: chainhash would fill a short one up, and JSON skip a null.
func (h *displayHash) UnmarshalJSON(data []byte) error {
	if len(data) != 2*chainhash.HashSize+2 || data[0] != '"' {
		return fmt.Errorf("%.80q is not a hash", data)
	}
	if _, err := hex.Decode(h[:], data[1:len(data)-1]); err != nil {
		return fmt.Errorf("%.80q is not a hash", data)
	}
	for i := range len(h) / 2 {
		h[i], h[len(h)-1-i] = h[len(h)-1-i], h[i]
	}
	return nil
}

// A hexBytes is a byte string in JSON: two hexadecimal digits a byte.
type hexBytes []byte

// UnmarshalJSON implements json.Unmarshaler.
func (b *hexBytes) UnmarshalJSON(data []byte) error {
	if len(data) < 2 || data[0] != '"' {
		return errors.New("not a string of hexadecimal digits")
	}
	digits := data[1 : len(data)-1]
	decoded := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(decoded, digits); err != nil {
		return errors.New("not a string of hexadecimal digits")
	}
	*b = decoded
	return nil
}

// A hexHeader is a block header in JSON.
type hexHeader header.Header

// UnmarshalJSON implements json.Unmarshaler.
func (h *hexHeader) UnmarshalJSON(data []byte) error {
	if len(data) != 2*header.Size+2 || data[0] != '"' {
		return errors.New("not a block header")
	}
	if _, err := hex.Decode(h[:], data[1:len(data)-1]); err != nil {
		return errors.New("not a block header")
	}
	return nil
}

// A height is a block height in JSON: a whole number from 0 to 2^31-1.
type height uint32

// UnmarshalJSON implements json.Unmarshaler.
func (h *height) UnmarshalJSON(data []byte) error {
	var n *int32
	if err := json.Unmarshal(data, &n); err != nil || n == nil || *n < 0 {
		return fmt.Errorf("%.20q is not a block height", data)
	}
	*h = height(*n)
	return nil
}

// decodeTx decodes a serialised transaction that must have the given id.
func decodeTx(raw []byte, txid chainhash.Hash) (*wire.MsgTx, error) {
	var tx wire.MsgTx
	r := bytes.NewReader(raw)
	if err := tx.Deserialize(r); err != nil {
		return nil, malformed("transaction %s: %w", txid, err)
	}
	if r.Len() > 0 {
		return nil, malformed("transaction %s has %d bytes after its end", txid, r.Len())
	}
	if got := tx.TxHash(); got != txid {
		return nil, malformed("transaction %s came instead of %s", got, txid)
	}
	return &tx, nil
}
