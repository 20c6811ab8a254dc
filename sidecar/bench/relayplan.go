package bench

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"

	"github.com/outrider-project/outrider/bob/devchain"
	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/bob/relay"
	"github.com/outrider-project/outrider/bob/relay/contract"
	"github.com/outrider-project/outrider/bob/relay/planner"
	"github.com/outrider-project/outrider/bob/relay/submit"
)

// A planFigure measures the time from a new block to its submission, and how many plans are
// made in a time.
type planFigure struct {
	*relayBench
	count int // of plans in a round

	took     []float64 // in milliseconds, of all rounds
	p99      []float64 // of each round
	call     []float64 // of a question to the node alone, in milliseconds, in turns with took
	callP99  []float64
	rate     []float64 // of plans in a second
	cpuRate  []float64 // and for a second of processor time
	cpu, rss []float64 // seconds for a thousand submissions, and bytes
}

// first is the height of the header that the relays of plans begin with: half of the
// plans are before a retarget.
func (f *planFigure) first() int { return 2*relayPeriod - 1 - f.count/2 }

// A relaySigner signs with an account of the chain.
type relaySigner struct{ *devchain.Account }

func (s relaySigner) Address() common.Address { return s.Account.Address() }

func (s relaySigner) Sign(_ context.Context, tx *types.DynamicFeeTx) (*types.Transaction, error) {
	return s.Account.Sign(tx)
}

// target returns the chain's relay as a planner wants it.
func (c *relayChain) target() planner.Target {
	return planner.Target{
		Kind: relay.KindFullWithVerify, Relay: planner.Address(c.at), Multicall: planner.Address(c.multicall),
		Costs: contract.Costs(), Sender: c.payer.Address(),
	}
}

// submitter returns a submitter for the chain's relay, whose journal is in a directory.
func (c *relayChain) submitter(dir string, tree *headers.Tree, node *endpoint.Pool, follow func(context.Context) error) (*submit.Submitter, error) {
	return submit.Open(submit.Options{
		Chain: node, Target: c.target(), Tree: tree, Signer: c.payer, Follow: follow,
		Limits: submit.Limits{
			ChainID: c.ChainID(), MaxFee: big.NewInt(100 * params.GWei), DailySpend: new(big.Int).Mul(big.NewInt(1e6), big.NewInt(params.Ether)),
		},
		Journal: filepath.Join(dir, "journal"),
	})
}

func (f *planFigure) measure(ctx context.Context) error {
	first := f.first()
	c, err := f.deploy(ctx, first)
	if err != nil {
		return fmt.Errorf("relay/plan: %w", err)
	}
	tree, err := f.tree(first)
	if err != nil {
		return fmt.Errorf("relay/plan: %w", err)
	}
	return c.nodes(ctx, 1, func(ctx context.Context, pools []*endpoint.Pool) error {
		if err := f.submissions(ctx, c, tree, pools[0]); err != nil {
			return fmt.Errorf("relay/plan: %w", err)
		}
		if err := f.plans(ctx, c, tree, pools[0]); err != nil {
			return fmt.Errorf("relay/plans: %w", err)
		}
		return nil
	})
}

// submissions measures steps of a submitter, each of which begins with a new block of Bitcoin
// and ends when a node has the transaction that tells the relay of it.
func (f *planFigure) submissions(ctx context.Context, c *relayChain, tree *headers.Tree, node *endpoint.Pool) (err error) {
	dir, err := os.MkdirTemp("", "outrider-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	height, idle := f.first(), false
	s, err := c.submitter(dir, tree, node, func(context.Context) error {
		if idle {
			return nil
		}
		_, err := tree.Add(f.chain[height:height+1], f.now)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	resetPeak()
	var took, call []float64
	var cpu time.Duration
	for range f.count {
		height++
		start, used := time.Now(), processTime()
		o, err := s.Step(ctx)
		if err != nil {
			return err
		}
		took, cpu = append(took, millis(time.Since(start))), cpu+processTime()-used
		start = time.Now()
		if _, err := node.Call(ctx, "eth_blockNumber"); err != nil {
			return err
		}
		call = append(call, millis(time.Since(start)))
		if plan := o.Situation.Plan; plan == nil || len(plan.Transactions) != 1 || plan.Headers != 1 {
			return fmt.Errorf("a block is planned in %+v", o.Situation)
		}
		if err := c.tick(); err != nil {
			return err
		}
		if _, err := c.succeeded(ctx, o.Sent); err != nil {
			return err
		}
		// A submitter looks each second, and so has learnt what became of a transaction long
		// before Bitcoin's next block.
		idle = true
		if o, err = s.Step(ctx); err != nil || !o.Done {
			return errors.Join(fmt.Errorf("a relay that was told of all is not in step: %+v", o), err)
		}
		idle = false
	}
	f.took, f.p99 = append(f.took, took...), append(f.p99, quantile(took, 0.99))
	f.call, f.callP99 = append(f.call, call...), append(f.callP99, quantile(call, 0.99))
	f.cpu = append(f.cpu, cpu.Seconds()*1000/float64(f.count))
	if peak, ok := peakMemory(); ok {
		f.rss = append(f.rss, float64(peak))
	}
	return nil
}

// plans measures plans that several planners make at once, after one block, for the relay, which
// lacks a header: each of them reads what the relay has.
func (f *planFigure) plans(ctx context.Context, c *relayChain, tree *headers.Tree, node *endpoint.Pool) error {
	next := f.first() + f.count + 1
	if _, err := tree.Add(f.chain[next:next+1], f.now); err != nil {
		return err
	}
	target := c.target()
	head, err := planner.ReadHead(ctx, node, nil)
	if err != nil {
		return err
	}
	var left atomic.Int64
	left.Store(int64(f.count))
	errs := make([]error, runtime.GOMAXPROCS(0))
	var planning sync.WaitGroup
	start, used := time.Now(), processTime()
	for i := range errs {
		planning.Go(func() {
			for left.Add(-1) >= 0 && errs[i] == nil {
				var s *planner.Situation
				if s, errs[i] = planner.LookAt(ctx, node, &target, tree, head); errs[i] == nil && (s.Plan == nil || s.Plan.Headers != 1) {
					errs[i] = fmt.Errorf("a block is planned in %+v", s)
				}
			}
		})
	}
	planning.Wait()
	took, cpu := time.Since(start), processTime()-used
	if err := errors.Join(errs...); err != nil {
		return err
	}
	f.rate = append(f.rate, float64(f.count)/took.Seconds())
	f.cpuRate = append(f.cpuRate, float64(f.count)/cpu.Seconds())
	return nil
}

func (f *planFigure) rows() []Row {
	rows := []Row{
		lessIsBetter("relay/plan", median(f.p99), "ms, p99", "eth_blockNumber", median(f.callP99)),
		lessIsBetter("relay/plan/median", median(f.took), "ms", "eth_blockNumber", median(f.call)),
		plain("relay/plans", median(f.rate), "plans/s"),
		plain("relay/plans/cpu", median(f.cpuRate), "plans/CPU-s"),
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
