// Package endpoint calls Ethereum and OP Stack nodes by JSON-RPC over HTTP, several of
// them as one pool.
//
// What matters most is that "the node said no" and "the node said nothing" are never
// taken for each other. A rate limit, a timeout, a broken proxy or another chain is an
// error of a kind of its own; only a node that answers null to the very question is
// taken to say that a thing is absent, and then a second one is asked.
//
// Reads may be asked again elsewhere, and a slow one is asked twice at once (hedged). A
// method that is not known to be a read is sent to one endpoint once: a transaction is
// never sent twice by this package.
//
// Each endpoint has a budget of calls a second and calls at once, a bounded queue before
// it, and a breaker. Its address is a secret, for it often contains one: metrics and
// errors have its name only.
package endpoint
