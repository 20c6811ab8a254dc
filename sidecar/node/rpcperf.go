package node

import (
	"context"
	"errors"

	"github.com/outrider-project/outrider/perfcore"
)

// An rpcPerf holds the instruments of one node's client.
type rpcPerf struct {
	timers map[string]*perfcore.Timer // by method
	errors map[errorKind]*perfcore.Counter

	retries             *perfcore.Counter
	httpBytes, wsBytes  *perfcore.Counter
	connects, losses    *perfcore.Counter
	notifications, junk *perfcore.Counter
}

// An errorKind is what the error counter is split by.
type errorKind string

const (
	kindAuth      errorKind = "auth"
	kindBusy      errorKind = "busy"
	kindCancelled errorKind = "cancelled"
	kindMalformed errorKind = "malformed"
	kindRPC       errorKind = "rpc"
	kindTimeout   errorKind = "timeout"
	kindTransport errorKind = "transport"
	kindOther     errorKind = "other"
)

func newRPCPerf(r perfcore.Recorder, methods ...string) rpcPerf {
	p := rpcPerf{
		timers: make(map[string]*perfcore.Timer, len(methods)),
		errors: make(map[errorKind]*perfcore.Counter),
	}
	for _, m := range methods {
		p.timers[m] = r.Timer(perfcore.Metric{
			Name: "outrider_node_rpc_seconds", Labels: []string{"method", m},
			Help: "Time of one attempt of a call to the node, from its turn to the decoded answer.",
		})
	}
	for _, k := range []errorKind{
		kindAuth, kindBusy, kindCancelled, kindMalformed, kindRPC, kindTimeout, kindTransport, kindOther,
	} {
		p.errors[k] = r.Counter(perfcore.Metric{
			Name: "outrider_node_rpc_errors_total", Labels: []string{"kind", string(k)},
			Help: "Attempts of calls to the node that ended in an error.",
		})
	}
	counter := func(name, help, panel string) *perfcore.Counter {
		return r.Counter(perfcore.Metric{Name: name, Help: help, Panel: panel})
	}
	const subscriptions, notifications = "Subscriptions to the node", "Notifications of the node"
	p.retries = counter("outrider_node_rpc_retries_total", "Attempts of calls to the node after their first.", "")
	p.httpBytes = r.Counter(receivedBytes("http"))
	p.wsBytes = r.Counter(receivedBytes("websocket"))
	p.connects = counter("outrider_node_watch_connects_total", "Subscriptions to the node's notifications that began.", subscriptions)
	p.losses = counter("outrider_node_watch_losses_total", "Subscriptions to the node's notifications that were lost.", subscriptions)
	p.notifications = counter("outrider_node_watch_notifications_total", "Notifications that the node sent.", notifications)
	p.junk = counter("outrider_node_watch_malformed_total", "Notifications that could not be read; each costs the connection.", notifications)
	return p
}

// receivedBytes is the counter of one transport.
func receivedBytes(transport string) perfcore.Metric {
	return perfcore.Metric{
		Name: "outrider_node_received_bytes_total", Labels: []string{"transport", transport},
		Help: "Bytes received from the node, without protocol headers.",
	}
}

func (p *rpcPerf) timer(method string) *perfcore.Timer { return p.timers[method] }

// failed counts an attempt that ended in err.
func (p *rpcPerf) failed(err error) { p.errors[kindOf(err)].Add(1) }

func kindOf(err error) errorKind {
	if _, ok := errors.AsType[*RPCError](err); ok {
		return kindRPC
	}
	if _, ok := errors.AsType[*transportError](err); ok {
		return kindTransport
	}
	if _, ok := errors.AsType[*malformedError](err); ok {
		return kindMalformed
	}
	switch {
	case errors.Is(err, ErrUnauthorized), errors.Is(err, ErrForbidden), errors.Is(err, ErrCertificate):
		return kindAuth
	case errors.Is(err, ErrBusy), errors.Is(err, ErrWarmUp):
		return kindBusy
	case errors.Is(err, errTruncated):
		return kindTransport
	case errors.Is(err, context.Canceled):
		return kindCancelled
	case errors.Is(err, context.DeadlineExceeded):
		return kindTimeout
	}
	return kindOther
}
