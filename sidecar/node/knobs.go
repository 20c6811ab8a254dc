package node

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// maxAhead bounds the blocks that are fetched ahead, whatever the knob says.
const maxAhead = 64

// fetching is the time in which the blocks that were asked for at another depth have
// come.
const fetching = 10 * time.Second

// Knobs returns what may be tried at other values while the feed runs: how far it
// fetches ahead. How often it looks at what no notification tells of is an operator's:
// what is seen later costs less, and no measure of cost tells.
func (f *Feed) Knobs() []perfcore.Knob {
	every := func(name, help string, v *atomic.Int64, steps ...time.Duration) perfcore.Knob {
		k := perfcore.Knob{
			Name: name, Help: help, Unit: "milliseconds", Scope: perfcore.Live, Resource: perfcore.Network,
			Apply: func(_ context.Context, n int64) error { v.Store(n * int64(time.Millisecond)); return nil },
			Read:  func() int64 { return v.Load() / int64(time.Millisecond) },
		}
		for _, s := range steps {
			k.Ladder = append(k.Ladder, s.Milliseconds())
		}
		k.Ladder = perfcore.Ladder(k.Ladder, k.Read())
		return k
	}
	const s = time.Second
	return []perfcore.Knob{
		{
			Name: "node.ahead", Help: "How many blocks are fetched ahead of the one that is judged.", Unit: "blocks",
			Scope: perfcore.Live, Resource: perfcore.Network, Carry: perfcore.Warm, Settle: fetching, Hastens: true,
			Ladder: perfcore.Ladder([]int64{1, 2, 4, 8, 16}, int64(f.ahead.Size())),
			Apply: func(_ context.Context, n int64) error {
				if n < 1 || n > maxAhead {
					return fmt.Errorf("node: %d blocks cannot be fetched ahead", n)
				}
				f.ahead.Resize(int(n))
				return nil
			},
			Read: func() int64 { return int64(f.ahead.Size()) },
		},
		every("node.poll", "How often the node is asked for its tip when no notification comes.", &f.pollEvery, s, 2*s, 5*s, 10*s, 30*s, 60*s),
		every("node.resync", "How often the mempool is compared with the node's when nothing else calls for it.", &f.resyncEvery, 10*s, 30*s, 60*s, 120*s, 300*s),
		every("node.branches", "How often the node is asked for branches that it calls invalid.", &f.branchesEvery, 5*s, 10*s, 30*s, 60*s),
	}
}

// Knobs returns what may be tried at other values: how many calls are open at once.
func (b *Bitcoind) Knobs() []perfcore.Knob { return []perfcore.Knob{b.rpc.knob()} }

// Knobs returns what may be tried at other values: how many calls are open at once.
func (b *Btcd) Knobs() []perfcore.Knob { return []perfcore.Knob{b.rpc.knob()} }

// knob returns the knob of the calls that are open at once. A node serves so many of
// all its clients, of which the others keep a part.
func (c *rpcClient) knob() perfcore.Knob {
	most := int64(c.opts.mostCalls)
	var ladder []int64
	for n := int64(1); n < most; n *= 2 {
		ladder = append(ladder, n)
	}
	return perfcore.Knob{
		Name: "node.calls", Help: "How many calls to the node are open at once.", Unit: "calls",
		Scope: perfcore.Live, Resource: perfcore.Network, Carry: perfcore.Memoryless, Hastens: true, Ladder: perfcore.Ladder(ladder, most, int64(c.slots.Size())),
		Apply: func(_ context.Context, n int64) error {
			if n < 1 || n > most {
				return fmt.Errorf("node: %d calls cannot be open at once: at most %d are the node's to spare", n, most)
			}
			c.slots.Resize(int(n))
			return nil
		},
		Read: func() int64 { return int64(c.slots.Size()) },
	}
}
