package endpoint

import (
	"errors"
	"fmt"
	"time"
)

// A Kind is what became of a call that has no result. errors.Is finds it in an error of
// this package.
type Kind string

// With the first of these the node answered: asking again does not help. Only Absent says
// that a thing is not there.
const (
	// Absent says that as many endpoints as Options.Confirm asks for answered null to
	// a question for a block, a transaction or a receipt.
	Absent Kind = "absent"
	// UnknownBlock says that the node does not have the block, or the state, that the
	// question is about. It says nothing about what is in them.
	UnknownBlock Kind = "unknown block"
	// Reverted says that the call ran and reverted; Error.Data is what it returned.
	Reverted Kind = "reverted"
	// Refused says that the node understood and refused: a parameter, a method, a
	// transaction that it does not take.
	Refused Kind = "refused"
)

// With the others the node said nothing about the question.
const (
	RateLimited  Kind = "rate limited"
	TimedOut     Kind = "timed out"
	Unreachable  Kind = "unreachable"
	Faulty       Kind = "faulty" // an error of the server, or of a proxy before it
	Malformed    Kind = "malformed answer"
	TooLong      Kind = "answer too long"
	Unauthorized Kind = "unauthorized"
	WrongChain   Kind = "wrong chain"
	// Resting endpoints have failed or have limited the rate, and are left alone for
	// a while.
	Resting Kind = "resting"
	// Overloaded says that the queue before an endpoint is full, or longer than the
	// caller waits: ask less.
	Overloaded Kind = "overloaded"
	// Unconfirmed says that an endpoint answered null, and that too few others
	// answered to be sure.
	Unconfirmed Kind = "absence unconfirmed"
	// Uncertain says that a transaction left and that no answer came: it may be in the
	// node's pool. Look before you send again.
	Uncertain Kind = "outcome uncertain"
)

// Kinds are all kinds.
var Kinds = []Kind{
	Absent, UnknownBlock, Reverted, Refused, RateLimited, TimedOut, Unreachable, Faulty, Malformed, TooLong,
	Unauthorized, WrongChain, Resting, Overloaded, Unconfirmed, Uncertain,
}

// Error returns the kind's words.
func (k Kind) Error() string { return string(k) }

// said reports whether the node answered the question.
func (k Kind) said() bool {
	return k == Absent || k == UnknownBlock || k == Reverted || k == Refused
}

// blames reports whether the kind speaks against the endpoint, for its breaker.
func (k Kind) blames() bool {
	switch k {
	case TimedOut, Unreachable, Faulty, Malformed, TooLong, Unauthorized:
		return true
	}
	return false
}

// An Error is a call without a result.
type Error struct {
	Kind Kind
	// Endpoint is the name of the endpoint, "" for the pool's own errors.
	Endpoint, Method string
	// Code and Message are the node's, if it gave any. The message is shortened and
	// has no part of the endpoint's address.
	Code    int
	Message string
	// Data is what a reverted call returned.
	Data []byte
	// RetryAfter is how long the server asks to be left alone; 0 if it does not say.
	RetryAfter time.Duration
	// left says that bytes of the request may have reached the server.
	left bool
	// cause is a context's error, which callers look for.
	cause error
}

// Error names the method, the endpoint, what became of the call, and the node's code and message.
func (e *Error) Error() string {
	text := string(e.Kind)
	if e.Endpoint != "" {
		text = e.Endpoint + ": " + text
	}
	if e.Method != "" {
		text = e.Method + ": " + text
	}
	if e.Code != 0 {
		text += fmt.Sprintf(" (%d)", e.Code)
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Unwrap returns the kind, and the context's error if the call ended with its context.
func (e *Error) Unwrap() []error {
	if e.cause != nil {
		return []error{e.Kind, e.cause}
	}
	return []error{e.Kind}
}

// Missing reports whether the node answered that it does not have what was asked for, or
// the block that it is in.
func (e *Error) Missing() bool { return e.Kind == Absent || e.Kind == UnknownBlock }

// kindOf returns the kind of an error of this package.
func kindOf(err error) Kind {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return ""
	}
	return e.Kind
}
