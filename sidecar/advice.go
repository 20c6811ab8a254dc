package sidecar

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/node/zmq"
	"github.com/outrider-project/outrider/sidecar/web"
)

const (
	// adviceEvery is how often a bitcoind is asked what it has: whoever took
	// the advice and started it anew wants to see that it helped.
	adviceEvery = time.Minute
	// adviceRetry is how long to wait when the node did not answer.
	adviceRetry = 5 * time.Second

	// oldestKnown is the first version of bitcoind that Outrider is made
	// for. moreThreads is the first one whose RPC server has 16 threads and
	// not 4 by default (httpserver.h, DEFAULT_HTTP_THREADS).
	oldestKnown = 260000
	moreThreads = 290000

	// sequenceAddress is what the advice proposes for the sequence notifier; if
	// that is taken, freeAddress.
	sequenceAddress = "tcp://127.0.0.1:28332"
	freeAddress     = "tcp://127.0.0.1:28342"
)

// advise returns what to add to the bitcoin.conf of a node that says s of
// itself, and why, the most useful first.
func advise(s *node.Survey, cfg *Config) []web.Advice {
	var list []web.Advice
	add := func(setting, reason string, args ...any) {
		list = append(list, web.Advice{Setting: setting, Reason: fmt.Sprintf(reason, args...)})
	}
	if len(s.Refused) > 0 {
		add("rpcwhitelist", "this list keeps %s from the user that Outrider logs in as; add them, so that it knows what the node has", strings.Join(s.Refused, ", "))
	}
	if !cfg.Node.NoZMQ && !slices.Contains(s.Refused, "getzmqnotifications") {
		adviseZMQ(s, cfg, add)
	}
	if !s.REST {
		add("rest=1", "blocks and headers come as they are, which takes the node a fraction of the time that it takes to print them as JSON")
	}
	switch threads := cfg.Node.Threads; {
	case threads > 0 && threads < 8:
		add("rpcthreads=16", "Outrider keeps up to 4 calls open at once, and of %d threads that leaves little for other users", threads)
	case threads == 0 && s.Version > 0 && s.Version < moreThreads:
		add("rpcthreads=16", "before v29 there are 4 threads by default; Outrider keeps up to 4 calls open at once, and other users wait")
	}
	if s.Version > 0 && s.Version < oldestKnown {
		add("", "the node is v%d, and Outrider is made for v%d and later", s.Version/10000, oldestKnown/10000)
	}
	if !s.TxIndex && !s.Pruned && !slices.Contains(s.Refused, "getindexinfo") {
		add("txindex=1", "optional, for some 60 GB of disk on the main network: only with it can the node tell which coins the blocks of a branch spend that it calls invalid")
	}
	return list
}

// adviseZMQ adds what is missing of the node's notifiers.
func adviseZMQ(s *node.Survey, cfg *Config, add func(setting, reason string, args ...any)) {
	of := func(topic string) *node.Notifier {
		if i := slices.IndexFunc(s.Notifiers, func(n node.Notifier) bool { return n.Topic == topic }); i >= 0 {
			return &s.Notifiers[i]
		}
		return nil
	}
	proposed := sequenceAddress
	if slices.ContainsFunc(s.Notifiers, func(n node.Notifier) bool { return n.Address == proposed }) {
		proposed = freeAddress
	}
	sequence, rawTx := of(zmq.TopicSequence), of(zmq.TopicRawTx)
	switch {
	case sequence == nil && (of(zmq.TopicHashBlock) != nil || of(zmq.TopicRawBlock) != nil):
		add("zmqpubsequence="+proposed, "it tells every block and every change of the mempool at once and in order; without it only new tips are told, and the mempool is compared every %v", cfg.Resync)
	case sequence == nil:
		add("zmqpubsequence="+proposed, "it tells every block and every change of the mempool at once and in order; without it the node is asked for its tip every %v, and for its mempool every %v", cfg.Poll, cfg.Resync)
	case rawTx != nil && rawTx.Address == sequence.Address && bounded(s.Notifiers, sequence.Address):
		add("zmqpubsequence="+proposed, "in place of %s, which it shares with zmqpubrawtx: topics of one address share one queue, whose length only the first of them sets, "+
			"so that a full block makes it overflow, and what is lost has to be looked up again", sequence.Address)
	}
}

// bounded reports whether the queue of what is published at address has a
// bound.
func bounded(notifiers []node.Notifier, address string) bool {
	i := slices.IndexFunc(notifiers, func(n node.Notifier) bool { return n.Address == address })
	return notifiers[i].HighWater != 0
}

// advisor tells what to add to the bitcoin.conf of b, in the log when it
// changes and in the status, until ctx ends.
func (s *Sidecar) advisor(ctx context.Context, b *node.Bitcoind) {
	var told []web.Advice
	for first := true; ; {
		wait := adviceRetry
		// When it fails the feed tells of it, which asks the same node.
		if survey, err := b.Survey(ctx); err == nil {
			wait = adviceEvery
			list := advise(&survey, &s.cfg)
			s.status.advise(survey.Agent, list)
			if first || !slices.Equal(list, told) {
				s.logAdvice(survey.Agent, list)
			}
			first, told = false, list
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// logAdvice logs the whole list in one record.
func (s *Sidecar) logAdvice(agent string, list []web.Advice) {
	if len(list) == 0 {
		s.log.Info("the node has all that Outrider can use", "agent", agent)
		return
	}
	attrs := []any{slog.String("agent", agent)}
	for i, a := range list {
		attrs = append(attrs, slog.String(fmt.Sprint(i+1), cmp.Or(a.Setting, "note")+": "+a.Reason))
	}
	s.log.Info("what to add to bitcoin.conf, and why", attrs...)
}
