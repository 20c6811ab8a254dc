package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/outrider-project/outrider/sidecar/demo"
)

// FollowOptions says how to measure a sidecar that follows a node.
type FollowOptions struct {
	// Program is the outrider to run, Btcd the btcd (see demo.FindBtcd), Dir a
	// directory for both.
	Program, Btcd, Dir string
	// Blocks is how many blocks one sidecar follows for the times to the verdict.
	Blocks int
	// Rounds is how many blocks the node's own time is measured for beside a
	// sidecar, and for as many without.
	Rounds int
	// Transactions is how many transactions a block has.
	Transactions int
	// Log hears what happens; nil means nobody.
	Log *slog.Logger
}

// Follow measures the program beside a real btcd on regtest: how long after the
// node's notification a verdict is there and how much memory it takes, of one
// sidecar that follows all the while; what the node's own connecting of a block
// costs beside a sidecar and without one, in turns; and how fast a new one
// catches up. Nearly all of its time goes into making the transactions and having
// the node take them.
func Follow(ctx context.Context, o FollowOptions) (rep *Report, err error) {
	network, err := demo.StartNetwork(ctx, demo.Config{Btcd: o.Btcd, Dir: o.Dir, Nodes: 1, Seed: 1, Log: o.Log})
	if err != nil {
		return nil, err
	}
	defer func() {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		err = errors.Join(err, network.Stop(stopCtx))
	}()
	if err := network.Bootstrap(ctx); err != nil {
		return nil, err
	}
	if err := network.FanOut(ctx, o.Transactions+o.Transactions/4); err != nil {
		return nil, err
	}
	m := followMeasurement{o: &o, network: network}
	if err := m.alternate(ctx); err != nil {
		return nil, err
	}
	if err := m.follow(ctx); err != nil {
		return nil, err
	}
	if err := m.catchUp(ctx); err != nil {
		return nil, err
	}
	with, without := median(m.with), median(m.without)
	return &Report{Machine: ThisMachine(), Rows: []Row{
		plain("follow/verdict/p50", quantile(m.verdicts, 0.5), "ms"),
		plain("follow/verdict/p99", quantile(m.verdicts, 0.99), "ms"),
		plain("follow/verdict/count", float64(len(m.verdicts)), "blocks"),
		lessIsBetter("follow/node-connect", with, "ms", "without the sidecar", without),
		plain("follow/rss", median(m.rss)/(1<<20), "MiB"),
		plain("follow/rss/peak", float64(m.peak)/(1<<20), "MiB"),
		plain("catchup/blocks", m.blocks/m.took.Seconds(), "1/s"),
		plain("catchup/inputs", m.inputs/m.took.Seconds(), "1/s"),
	}}, nil
}

// followMeasurement is what Follow has found so far; times are in milliseconds.
type followMeasurement struct {
	o       *FollowOptions
	network *demo.Network

	verdicts, with, without []float64
	rss                     []float64 // bytes, after each block of the second half
	peak                    uint64
	blocks, inputs          float64
	took                    time.Duration
}

// alternate measures blocks with a sidecar and without, in the order with,
// without, without, with, and so on.
func (m *followMeasurement) alternate(ctx context.Context) error {
	for round := range m.o.Rounds {
		for turn := range 2 {
			with := (round+turn)%2 == 0
			if err := m.oneTurn(ctx, with); err != nil {
				return fmt.Errorf("round %d, with the sidecar %v: %w", round+1, with, err)
			}
		}
	}
	return nil
}

// startFollowing starts a sidecar that has caught up when it is returned.
func (m *followMeasurement) startFollowing(ctx context.Context) (*child, error) {
	c, err := startChild(ctx, m.o.Program, filepath.Join(m.o.Dir, "following"), m.network.Nodes[0].RPC)
	if err != nil {
		return nil, err
	}
	if _, err := c.await(ctx, m.network.Tip().Hash.String()); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// oneTurn measures how long the node takes to connect one block.
func (m *followMeasurement) oneTurn(ctx context.Context, with bool) (err error) {
	into := &m.without
	if with {
		into = &m.with
		c, failed := m.startFollowing(ctx)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, c.stop()) }()
	}
	_, took, err := m.submit(ctx)
	*into = append(*into, millis(took))
	return err
}

// submit has the node connect a block, and measures that.
func (m *followMeasurement) submit(ctx context.Context) (*demo.Block, time.Duration, error) {
	b, err := m.network.BuildBlock(ctx, m.o.Transactions, true)
	if err != nil {
		return nil, 0, err
	}
	start := time.Now()
	err = m.network.Submit(ctx, 0, b)
	return b, time.Since(start), err
}

// follow measures one sidecar that follows the node, block after block.
func (m *followMeasurement) follow(ctx context.Context) (err error) {
	c, err := m.startFollowing(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	for n := range m.o.Blocks {
		b, _, err := m.submit(ctx)
		if err != nil {
			return fmt.Errorf("block %d: %w", n+1, err)
		}
		s, err := c.await(ctx, b.Hash.String())
		if err != nil {
			return fmt.Errorf("block %d: %w", n+1, err)
		}
		m.verdicts = append(m.verdicts, s.Blocks[0].Verdict*1e3)
		if n < m.o.Blocks/2 {
			continue // it has not settled yet
		}
		rss, err := c.memory("VmRSS")
		if err != nil {
			return err
		}
		m.rss = append(m.rss, float64(rss))
	}
	m.peak, err = c.memory("VmHWM")
	return err
}

// catchUp measures how long a new sidecar takes from the first block to the
// tip.
func (m *followMeasurement) catchUp(ctx context.Context) error {
	tip := m.network.Tip()
	start := time.Now()
	c, err := startChild(ctx, m.o.Program, filepath.Join(m.o.Dir, "catching-up"), m.network.Nodes[0].RPC)
	if err != nil {
		return err
	}
	_, err = c.await(ctx, tip.Hash.String())
	m.took = time.Since(start)
	m.blocks = float64(tip.Height)
	for b := tip; b != nil; b = m.network.Ancestor(tip.Height - b.Height + 1) {
		for _, tx := range b.Msg.Transactions[1:] {
			m.inputs += float64(len(tx.TxIn))
		}
	}
	return errors.Join(err, c.stop())
}

// quantile returns the q-quantile of vs by the nearest rank. It sorts vs.
func quantile(vs []float64, q float64) float64 {
	if len(vs) == 0 {
		return 0
	}
	slices.Sort(vs)
	return vs[max(int(math.Ceil(q*float64(len(vs))))-1, 0)]
}
