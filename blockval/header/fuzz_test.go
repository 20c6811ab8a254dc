package header

import (
	"testing"
	"time"
)

// FuzzCheck has arbitrary headers checked at any height of a small chain of any
// network: no panic, and the verdict of rulesBroken.
func FuzzCheck(f *testing.F) {
	type network struct {
		params *Params
		chain  Chain
	}
	var networks []network
	for i, name := range Networks() {
		p := small(f, name)
		chain := grow(f, p, 42, 600)
		networks = append(networks, network{p, chain})
		for _, height := range []int{1, 3, 20, 40, 41} {
			f.Add(uint8(i), uint8(height), uint32(0), chain[height][:])
		}
	}
	f.Add(uint8(0), uint8(0), uint32(7201), make([]byte, Size))
	f.Fuzz(func(t *testing.T, which, height uint8, ahead uint32, data []byte) {
		n := networks[int(which)%len(networks)]
		below := n.chain[:1+int(height)%(len(n.chain)-1)]
		var h Header
		copy(h[:], data)
		now := clock(h).Add(-time.Duration(ahead) * time.Second)
		got := ruleOf(t, n.params.Check(&h, uint32(len(below)), below, now))
		var want Rule
		if rules := rulesBroken(n.params, h, below, now); len(rules) > 0 {
			want = rules[0]
		}
		if got != want {
			t.Fatalf("%s: header %x at height %d: %q, want %q", n.params.Name, h, len(below), got, want)
		}
	})
}
