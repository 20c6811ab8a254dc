package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/bob/relay"
)

// A planFigure measures the time from a new block to a plan.
type planFigure struct {
	*relayBench
	count int // of plans in a round

	took     []float64 // in milliseconds, with eth_call; of all rounds
	p99      []float64 // of each round
	rate     []float64 // of plans without it, a second
	cpu, rss []float64 // seconds for a thousand plans, and bytes
}

// first is the height of the header that the relays of plans begin with: half of the
// plans are before a retarget.
func (f *planFigure) first() int { return 2*relayPeriod - 1 - f.count/2 }

// plan verifies the header at height, which follows the tree's tip and the relay's best,
// and plans what tells the relay of it.
func (f *planFigure) plan(tree *headers.Tree, model *relay.FullRelay, at, multicall relay.Address, height int) (*relay.Plan, error) {
	change, err := tree.Add(f.chain[height:height+1], f.now)
	if err != nil {
		return nil, err
	}
	best, ok := tree.Get(model.BestKnownDigest())
	fork, forks := tree.Fork(best.Hash, change.To.Hash)
	path, continues := tree.Path(fork.Hash, change.To.Hash)
	start, known := tree.At(fork.Height - fork.Height%relayPeriod)
	if !ok || !forks || !continues || !known {
		return nil, errors.New("the tree lacks a header that a plan needs")
	}
	return model.Plan(relay.Request{
		Headers: headers.Serialised(path), Height: uint64(fork.Height) + 1, Anchor: fork.Header[:], PeriodStart: start.Header[:],
		Best: best.Header[:], Ancestor: fork.Hash, Relay: at, Multicall: multicall,
	}, relay.DefaultCaps())
}

// try has a node execute a plan of one transaction.
func try(ctx context.Context, p *endpoint.Pool, plan *relay.Plan) error {
	if len(plan.Transactions) != 1 {
		return fmt.Errorf("a block is planned in %d transactions", len(plan.Transactions))
	}
	tx := &plan.Transactions[0]
	raw, err := p.Call(ctx, "eth_call", map[string]any{
		"to": hexutil.Encode(tx.To[:]), "data": hexutil.Encode(tx.Data), "gas": hexutil.EncodeUint64(tx.GasLimit),
	}, "latest")
	if err != nil {
		return err
	}
	var answer hexutil.Bytes
	if err := json.Unmarshal(raw, &answer); err != nil {
		return err
	}
	// It reverts if the relay does. An empty account would answer nothing.
	if len(answer) == 0 {
		return errors.New("there is no contract where the plan is to go")
	}
	return nil
}

func (f *planFigure) measure(ctx context.Context) error {
	if err := f.withNode(ctx); err != nil {
		return fmt.Errorf("relay/plan: %w", err)
	}
	if err := f.alone(ctx); err != nil {
		return fmt.Errorf("relay/plans: %w", err)
	}
	return nil
}

// withNode measures plans that a node tries, and tells the relay each of them.
func (f *planFigure) withNode(ctx context.Context) error {
	first := f.first()
	c, err := f.deploy(ctx, first)
	if err != nil {
		return err
	}
	tree, err := f.tree(first)
	if err != nil {
		return err
	}
	return c.nodes(ctx, 1, func(ctx context.Context, pools []*endpoint.Pool) error {
		resetPeak()
		var took []float64
		var cpu time.Duration
		for height := first + 1; height <= first+f.count; height++ {
			start, used := time.Now(), processTime()
			plan, err := f.plan(tree, c.model, c.at, c.multicall, height)
			if err == nil {
				err = try(ctx, pools[0], plan)
			}
			if err != nil {
				return err
			}
			took, cpu = append(took, millis(time.Since(start))), cpu+processTime()-used
			hashes, err := c.send(plan)
			if err != nil {
				return err
			}
			if err := c.tick(); err != nil {
				return err
			}
			for _, hash := range hashes {
				if _, err := c.succeeded(ctx, hash); err != nil {
					return err
				}
			}
		}
		f.took, f.p99 = append(f.took, took...), append(f.p99, quantile(took, 0.99))
		f.cpu = append(f.cpu, cpu.Seconds()*1000/float64(f.count))
		if peak, ok := peakMemory(); ok {
			f.rss = append(f.rss, float64(peak))
		}
		return nil
	})
}

// alone measures plans that nobody else tries.
func (f *planFigure) alone(context.Context) error {
	first := f.first()
	model, err := f.newModel(first)
	if err != nil {
		return err
	}
	tree, err := f.tree(first)
	if err != nil {
		return err
	}
	var failed error
	took := onThread(func() {
		for height := first + 1; height <= first+f.count && failed == nil; height++ {
			var plan *relay.Plan
			if plan, failed = f.plan(tree, model, relay.Address{1}, relay.Address{2}, height); failed != nil {
				return
			}
			for i := range plan.Transactions[0].Calls {
				if _, failed = model.Do(&plan.Transactions[0].Calls[i]); failed != nil {
					return
				}
			}
		}
	})
	f.rate = append(f.rate, float64(f.count)*1e9/took)
	return failed
}

func (f *planFigure) rows() []Row {
	rows := []Row{
		plain("relay/plan", median(f.p99), "ms, p99"),
		plain("relay/plan/median", median(f.took), "ms"),
		plain("relay/plans", median(f.rate), "plans/s"),
		plain("relay/cpu", median(f.cpu), "CPU-s/1000 plans"),
	}
	if len(f.rss) > 0 {
		rows = append(rows, plain("relay/rss", median(f.rss)/(1<<20), "MiB, peak"))
	}
	return rows
}

// resetPeak has the kernel count the process's most memory from now on, where it lets us.
func resetPeak() {
	// Without that, the peak is that since the process began, which is more.
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200)
}

// peakMemory returns the most memory, in bytes, that the process had; false where the
// system does not say.
func peakMemory() (bytes uint64, ok bool) {
	kib, _, _ := strings.Cut(procField("/proc/self/status", "VmHWM"), " ")
	n, err := strconv.ParseUint(kib, 10, 64)
	return n << 10, err == nil
}
