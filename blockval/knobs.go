package blockval

import (
	"context"

	"github.com/outrider-project/outrider/perfcore"
)

// Knobs returns what may be tried at other values. They change nothing about a
// verdict.
func (v *Validator) Knobs() []perfcore.Knob {
	return []perfcore.Knob{{
		Name: "blockval.seen", Help: "Memory for transactions that were verified before their block came. What is remembered is forgotten.",
		Unit: "bytes", Scope: perfcore.Live, Fills: true,
		Ladder: perfcore.Ladder([]int64{1 << 20, 2 << 20, 4 << 20, 8 << 20, 16 << 20, 32 << 20, 64 << 20}, v.seen.bytes()),
		Apply: func(_ context.Context, n int64) error {
			if n != v.seen.bytes() {
				v.seen.resize(n)
			}
			return nil
		},
		Read: v.seen.bytes,
	}}
}
