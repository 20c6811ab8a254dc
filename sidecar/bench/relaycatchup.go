package bench

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/bob/relay"
)

// A Catchup is what it took to tell a relay of 2,016 headers.
type Catchup struct {
	// Offset is how many blocks into a period it begins.
	Offset int `json:"offset"`
	// Transactions are those of the plan, and Blocks those of the relay's chain that
	// it took to have them.
	Transactions int `json:"transactions"`
	Blocks       int `json:"blocks"`
	// PlanSeconds is how long planning took, the median of the rounds, and Seconds
	// that and the blocks.
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
	rounds int
	all    []Catchup
}

// measure measures one that begins offset blocks into the second period.
func (f *catchupFigure) measure(ctx context.Context, offset int) error {
	first := relayPeriod + offset
	done := Catchup{Offset: offset}
	c, err := f.deploy(ctx, first)
	if err != nil {
		return err
	}
	var plan *relay.Plan
	var took []float64
	for range f.rounds {
		start := time.Now()
		if plan, err = c.model.Plan(f.request(first, first+relayPeriod, c), relay.DefaultCaps()); err != nil {
			return fmt.Errorf("relay/catchup2016: %w", err)
		}
		took = append(took, time.Since(start).Seconds())
	}
	hashes, err := c.send(plan)
	if err != nil {
		return fmt.Errorf("relay/catchup2016: %w", err)
	}
	before, sent := c.Number(), c.clock
	for _, hash := range hashes {
		for !c.Mined(hash) {
			if err := c.tick(); err != nil {
				return err
			}
			if c.Number()-before > uint64(len(hashes)) {
				return fmt.Errorf("relay/catchup2016: %d transactions are not mined in %d blocks", len(hashes), c.Number()-before)
			}
		}
		gas, err := c.succeeded(ctx, hash)
		if err != nil {
			return fmt.Errorf("relay/catchup2016: %w", err)
		}
		done.Gas += gas
	}
	best, err := c.Call(ctx, c.at, []byte{0x19, 0x10, 0xd9, 0x73}) // getBestKnownDigest()
	if err != nil {
		return err
	}
	if want := f.chain[first+relayPeriod].Hash(); len(best) != len(want) || chainhash.Hash(best) != want {
		return fmt.Errorf("relay/catchup2016: the relay's best header is %x then, not %s", best, want)
	}
	done.Transactions, done.Blocks, done.PlanSeconds = len(hashes), int(c.Number()-before), median(took)
	done.Seconds = done.PlanSeconds + c.clock.Sub(sent).Seconds()
	f.all = append(f.all, done)
	return nil
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
