package utxocache

import "github.com/btcsuite/btcd/wire/v2"

// A View is what the cache knows as of one tip, for good: what is applied or
// disconnected afterwards does not change it. It keeps the memory of what it
// knows, so it should not live for long. Its methods are safe for concurrent use.
type View struct {
	view *view
	perf *instruments
}

// View returns what is known now; false when the cache stands at no tip.
func (c *Cache) View() (View, bool) {
	v := c.view.Load()
	return View{v, &c.perf}, len(v.ring) > 0
}

// Tip returns the tip as of which the view answers.
func (v View) Tip() Tip {
	tip, _ := v.view.tip()
	return tip
}

// Complete reports whether no answer can be Unknown.
func (v View) Complete() bool { return v.view.complete }

// Fetch sets answers[i] to what is known of ops[i], for every i; answers must be
// as long as ops.
func (v View) Fetch(ops []wire.OutPoint, answers []Answer) {
	n := v.view.lookAll(ops, answers[:len(ops)], v.perf)
	v.perf.count(&n)
}

// Unobserved returns the view without its metrics and its share in the sample of
// references: for look-ups that are only to be ready for others.
func (v View) Unobserved() View { return View{v.view, new(instruments)} }

// Has reports whether tip is the view's own or a block of the ring below it, the
// floor among them. No block since then has touched an outpoint that is Unknown:
// it is as of the view's tip what it was as of that block.
func (v View) Has(tip Tip) bool {
	ring := v.view.ring
	if len(ring) == 0 || tip.Height < ring[0].tip.Height || tip.Height > ring[len(ring)-1].tip.Height {
		return false
	}
	return ring[tip.Height-ring[0].tip.Height].tip == tip
}
