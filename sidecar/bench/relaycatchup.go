package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/headers"
)

// A Catchup is what it took a submitter to tell a relay of 2,016 headers.
type Catchup struct {
	// Offset is how many blocks into a period it begins.
	Offset int `json:"offset"`
	// Transactions are those that were mined, and Blocks those of the relay's chain that
	// it took to have them.
	Transactions int `json:"transactions"`
	Blocks       int `json:"blocks"`
	// PlanSeconds is how long the submitter's steps took by the clock of this machine, and
	// Seconds the whole by the clock of the chain, which goes on during steps, too.
	PlanSeconds float64 `json:"plan_seconds"`
	Seconds     float64 `json:"seconds"`
	// Gas is that of the receipts.
	Gas uint64 `json:"gas"`
}

// gasPerHeader returns the gas for each header.
func (c *Catchup) gasPerHeader() float64 { return float64(c.Gas) / relayPeriod }

// worstCatchup returns the slowest.
func worstCatchup(all []Catchup) Catchup {
	return slices.MaxFunc(all, func(a, b Catchup) int { return cmp.Compare(a.Seconds, b.Seconds) })
}

// A catchupFigure measures catch-ups.
type catchupFigure struct {
	*relayBench
	all []Catchup
}

// measure measures one that begins offset blocks into the second period.
func (f *catchupFigure) measure(ctx context.Context, offset int) error {
	first := relayPeriod + offset
	c, err := f.deploy(ctx, first)
	if err != nil {
		return fmt.Errorf("relay/catchup2016: %w", err)
	}
	tree, err := f.tree(first)
	if err != nil {
		return fmt.Errorf("relay/catchup2016: %w", err)
	}
	if _, err := tree.Add(f.chain[first+1:first+relayPeriod+1], f.now); err != nil {
		return fmt.Errorf("relay/catchup2016: %w", err)
	}
	done := Catchup{Offset: offset}
	if err := c.nodes(ctx, 1, func(ctx context.Context, pools []*endpoint.Pool) error {
		return done.catchUp(ctx, c, tree, pools[0])
	}); err != nil {
		return fmt.Errorf("relay/catchup2016: %w", err)
	}
	best, err := c.Call(ctx, c.at, []byte{0x19, 0x10, 0xd9, 0x73}) // getBestKnownDigest()
	if err != nil {
		return err
	}
	if want := f.chain[first+relayPeriod].Hash(); len(best) != len(want) || chainhash.Hash(best) != want {
		return fmt.Errorf("relay/catchup2016: the relay's best header is %x then, not %s", best, want)
	}
	f.all = append(f.all, done)
	return nil
}

// maxSteps is after how many steps a catch-up is none: each but the last sends a transaction.
const maxSteps = 32

// catchUp has a submitter tell the relay of all that the tree has. After each step the chain has
// a block, and one more for each block's time that the step took.
func (done *Catchup) catchUp(ctx context.Context, c *relayChain, tree *headers.Tree, node *endpoint.Pool) (err error) {
	dir, err := os.MkdirTemp("", "outrider-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := c.submitter(dir, tree, node, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	before, began := c.Number(), c.clock
	for range maxSteps {
		start := time.Now()
		o, err := s.Step(ctx)
		if err != nil {
			return err
		}
		took := time.Since(start)
		done.PlanSeconds += took.Seconds()
		for _, m := range o.Mined {
			if !m.OK {
				return errors.New("the relay reverts a transaction of the submitter's")
			}
			done.Transactions++
			done.Gas += m.Gas
		}
		if o.Done {
			done.Blocks, done.Seconds = int(c.Number()-before), c.clock.Sub(began).Seconds()
			return nil
		}
		for range 1 + took/relayL2 {
			if err := c.tick(); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("the relay is not in step after %d steps and %d transactions", maxSteps, done.Transactions)
}

func (f *catchupFigure) rows() []Row {
	worst := worstCatchup(f.all)
	dearest := slices.MaxFunc(f.all, func(a, b Catchup) int { return cmp.Compare(a.Gas, b.Gas) })
	most := slices.MaxFunc(f.all, func(a, b Catchup) int { return cmp.Compare(a.Transactions, b.Transactions) })
	return []Row{
		plain("relay/catchup2016", worst.Seconds, "s"),
		plain("relay/catchup2016/transactions", float64(most.Transactions), "transactions"),
		plain("relay/gas-per-header", dearest.gasPerHeader(), "gas"),
	}
}
