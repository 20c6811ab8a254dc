package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/opstack"
	"github.com/outrider-project/outrider/bob/relay"
)

// A syncFigure measures a refresh of what is known of the heads of a chain and of a relay
// on it.
type syncFigure struct {
	*relayBench
	count int // of refreshes in a round
	took  []float64
	p99   []float64
	cpu   []float64 // the 99th percentile of each round, in milliseconds
}

// syncHeads are those that are asked for.
var syncHeads = []opstack.Label{opstack.Unsafe, opstack.Safe, opstack.Finalized}

// syncState are the selectors of what is asked of the relay: getBestKnownDigest,
// getLastReorgCommonAncestor and getCurrentEpochDifficulty.
var syncState = [][]byte{{0x19, 0x10, 0xd9, 0x73}, {0xc5, 0x82, 0x42, 0xcd}, {0x11, 0x37, 0x64, 0xbe}}

// A refreshed is what a refresh has found.
type refreshed struct {
	heads  [][]*types.Header // of each node, in the order of syncHeads
	best   []byte
	height uint64
}

// askHeads asks a node for its heads, in the order of syncHeads.
func askHeads(ctx context.Context, p *endpoint.Pool) ([]*types.Header, error) {
	var calls [][]any
	for _, label := range syncHeads {
		calls = append(calls, []any{label.Tag(), false})
	}
	var heads []*types.Header
	for _, answer := range p.Batch(ctx, "eth_getBlockByNumber", calls) {
		if answer.Err != nil {
			return nil, answer.Err
		}
		head, _, err := opstack.ParseHeader(answer.Raw)
		if err != nil {
			return nil, err
		}
		heads = append(heads, head)
	}
	return heads, nil
}

// refresh asks all nodes for their heads, at once, and one for the state of the relay as
// of its newest block.
func refresh(ctx context.Context, pools []*endpoint.Pool, at relay.Address) (*refreshed, error) {
	r := &refreshed{heads: make([][]*types.Header, len(pools))}
	errs := make([]error, len(pools))
	var asking sync.WaitGroup
	for i, p := range pools {
		asking.Go(func() { r.heads[i], errs[i] = askHeads(ctx, p) })
	}
	asking.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	block := map[string]any{"blockHash": r.heads[0][0].Hash()}
	call := func(data []byte) []any {
		return []any{map[string]any{"to": hexutil.Encode(at[:]), "data": hexutil.Encode(data)}, block}
	}
	var calls [][]any
	for _, selector := range syncState {
		calls = append(calls, call(selector))
	}
	var words [][]byte
	for _, answer := range pools[0].Batch(ctx, "eth_call", calls) {
		word, err := parseWord(answer.Raw, answer.Err)
		if err != nil {
			return nil, err
		}
		words = append(words, word)
	}
	r.best = words[0]
	height, err := parseWord(pools[0].Call(ctx, "eth_call", call(append([]byte{0x60, 0xb5, 0xc3, 0x90}, r.best...))...)) // findHeight
	if err != nil {
		return nil, err
	}
	for _, b := range height[24:] {
		r.height = r.height<<8 | uint64(b)
	}
	return r, nil
}

// parseWord returns the word that a call of a contract answered with.
func parseWord(raw json.RawMessage, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	var word hexutil.Bytes
	if err := json.Unmarshal(raw, &word); err != nil {
		return nil, err
	}
	if len(word) != 32 {
		return nil, fmt.Errorf("the relay answers %s, which is no word", raw)
	}
	return word, nil
}

func (f *syncFigure) measure(ctx context.Context) error {
	const first = relayPeriod
	c, err := f.deploy(ctx, first)
	if err != nil {
		return fmt.Errorf("relay/state-sync: %w", err)
	}
	err = c.nodes(ctx, 2, func(ctx context.Context, pools []*endpoint.Pool) error {
		var took, cpu []float64
		for n := range f.count {
			// In every fifth block the relay moves.
			if n%5 == 0 {
				at := first + n/5
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
			r, err := refresh(ctx, pools, c.at)
			if err != nil {
				return err
			}
			took, cpu = append(took, millis(time.Since(start))), append(cpu, millis(processTime()-used))
			if want := uint64(first + n/5 + 1); r.height != want || r.heads[1][2].Number.Uint64() != c.Number() {
				return fmt.Errorf("the relay is at %d in block %d, want %d in %d", r.height, r.heads[1][2].Number, want, c.Number())
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
