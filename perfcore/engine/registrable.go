package engine

import (
	"slices"
	"strings"
)

// registrable are the names of the knobs that an optimizer may own; one that ends in a dot
// stands for all that begin with it. It is compiled in: how blocks and scripts
// are verified, how often verdicts are checked again and which peers are chosen
// is in none of them, and cannot be configured into one.
var registrable = []string{
	"bitvm.claims", "bitvm.chunk", "bitvm.keys", "blockval.seen",
	"go.gogc", "go.memlimit", "go.headroom", "cpu.elastic",
	"node.poll", "node.resync", "node.branches", "node.ahead", "node.calls",
	"bob.l2_poll_interval", "bob.l2_batch_size", "bob.l2_hedge_delay", "bob.l2_concurrency", "bob.submit_poll_interval",
	"bob.l1_poll_interval", "bob.l1_hedge_delay", "bob.l1_concurrency",
	"coindb.memory", "coindb.compactions", "coindb.readers",
	"sidecar.flight", "sidecar.mempool_share", "sidecar.prefetch",
	"sigverify.workers", "sigverify.chunk", "sigverify.cache",
	"utxocache.budget", "utxocache.ring", "utxocache.blocks", "utxocache.bytes",
	"plant.", // simulations
}

// Registrable reports whether a knob of that name may be handed to an
// optimizer.
func Registrable(name string) bool {
	return slices.ContainsFunc(registrable, func(r string) bool {
		return name == r || strings.HasSuffix(r, ".") && strings.HasPrefix(name, r)
	})
}

// RegistrableNames returns the names for which Registrable holds. One that ends in a dot
// stands for all that begin with it.
func RegistrableNames() []string { return slices.Clone(registrable) }
