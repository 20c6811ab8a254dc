package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/monitor"
)

// A syncFigure measures a refresh of what is known of the heads of a chain and of a relay
// on it, as a sidecar that watches BOB does it.
type syncFigure struct {
	*relayBench
	count int // of refreshes in a round
	took  []float64
	p99   []float64
	cpu   []float64 // the 99th percentile of each round, in milliseconds
}

// A relayBitcoin answers as a node whose best chain is the benchmark's up to a height, in
// memory. It is for one goroutine at a time.
type relayBitcoin struct {
	*relayBench
	heights map[chainhash.Hash]int
	tip     int
}

func newRelayBitcoin(b *relayBench) *relayBitcoin {
	heights := make(map[chainhash.Hash]int, len(b.chain))
	for i := range b.chain {
		heights[b.chain[i].Hash()] = i
	}
	return &relayBitcoin{relayBench: b, heights: heights}
}

func (b *relayBitcoin) BlockHash(_ context.Context, height uint32) (chainhash.Hash, error) {
	if int(height) > b.tip {
		return chainhash.Hash{}, fmt.Errorf("there is no block %d", height)
	}
	return b.chain[height].Hash(), nil
}

func (b *relayBitcoin) Header(_ context.Context, hash chainhash.Hash) (header.Header, error) {
	height, ok := b.heights[hash]
	if !ok || height > b.tip {
		return header.Header{}, fmt.Errorf("there is no block %v", hash)
	}
	return b.chain[height], nil
}

func (b *relayBitcoin) Headers(_ context.Context, locator []chainhash.Hash) ([]header.Header, error) {
	const most = 2000
	from := 1
	for _, hash := range locator {
		if height, ok := b.heights[hash]; ok && height <= b.tip {
			from = height + 1
			break
		}
	}
	return b.chain[from:min(from+most, b.tip+1)], nil
}

// A refresher refreshes all that is known of a chain and a relay.
type refresher struct {
	heads *opstack.Watcher
	relay *monitor.Monitor
}

// newRefresher returns one that asks these nodes for their heads, and the first for the relay.
func newRefresher(pools []*endpoint.Pool, at relay.Address, bitcoin monitor.Bitcoin) (*refresher, error) {
	r := new(refresher)
	var sources []opstack.Source
	for i, p := range pools {
		sources = append(sources, opstack.Source{Name: fmt.Sprintf("node%d", i), Kind: opstack.Execution, Client: opstack.Client{Caller: p}})
	}
	var err error
	if r.heads, err = opstack.NewWatcher(opstack.WatcherConfig{Sources: sources}); err != nil {
		return nil, err
	}
	r.relay, err = monitor.New(monitor.Config{L2: pools[0], Address: at, Kind: relay.KindFullWithVerify, Bitcoin: bitcoin})
	return r, err
}

// refresh asks all at once. It fails if anything is not known afterwards.
func (r *refresher) refresh(ctx context.Context) (*monitor.State, opstack.State, error) {
	var reports []opstack.Report
	var heads opstack.State
	var asking sync.WaitGroup
	asking.Go(func() { reports, heads = r.heads.Refresh(ctx) })
	st := r.relay.Refresh(ctx)
	asking.Wait()
	for _, report := range reports {
		if report.Err != nil {
			return nil, heads, report.Err
		}
	}
	switch {
	case !st.Relay.Known:
		return nil, heads, fmt.Errorf("the relay is not known: %s", st.Relay.Reason)
	case !st.Position.Known:
		return nil, heads, fmt.Errorf("the relay's position is not known: %s", st.Position.Reason)
	}
	return st, heads, nil
}

func (f *syncFigure) measure(ctx context.Context) error {
	const first = relayPeriod
	c, err := f.deploy(ctx, first)
	if err != nil {
		return fmt.Errorf("relay/state-sync: %w", err)
	}
	bitcoin := newRelayBitcoin(f.relayBench)
	err = c.nodes(ctx, 2, func(ctx context.Context, pools []*endpoint.Pool) error {
		r, err := newRefresher(pools, c.at, bitcoin)
		if err != nil {
			return err
		}
		var took, cpu []float64
		for n := range f.count {
			// In every fifth block the relay is told of the next header, which Bitcoin has
			// had for two blocks then.
			at := first + n/5
			bitcoin.tip = first + (n+2)/5 + 1
			if n%5 == 0 {
				plan, err := c.model.Plan(f.request(at, at+1, c), relay.DefaultCaps())
				if err != nil {
					return err
				}
				if _, err := c.send(plan); err != nil {
					return err
				}
			}
			if err := c.tick(); err != nil {
				return err
			}
			start, used := time.Now(), processTime()
			st, heads, err := r.refresh(ctx)
			if err != nil {
				return err
			}
			took, cpu = append(took, millis(time.Since(start))), append(cpu, millis(processTime()-used))
			if want := uint32(at + 1); st.Position.V.MarkedHeight != want || st.Relay.V.Block.Number != c.Number() || heads.Heads[opstack.Unsafe].Number != c.Number() {
				return fmt.Errorf("the relay is at %d in block %d, and the head is %d; want %d in %d",
					st.Position.V.MarkedHeight, st.Relay.V.Block.Number, heads.Heads[opstack.Unsafe].Number, want, c.Number())
			}
		}
		f.took, f.p99 = append(f.took, took...), append(f.p99, quantile(took, 0.99))
		f.cpu = append(f.cpu, quantile(cpu, 0.99))
		return nil
	})
	if err != nil {
		return fmt.Errorf("relay/state-sync: %w", err)
	}
	return nil
}

func (f *syncFigure) rows() []Row {
	return []Row{
		plain("relay/state-sync", median(f.p99), "ms, p99"),
		plain("relay/state-sync/median", median(f.took), "ms"),
		plain("relay/state-sync/cpu", median(f.cpu), "CPU-ms, p99"),
	}
}
