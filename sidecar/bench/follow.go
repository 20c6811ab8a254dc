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
	// Rounds is how many blocks are measured with the sidecar, and as many
	// without.
	Rounds int
	// Transactions is how many transactions a block has.
	Transactions int
	// Log hears what happens; nil means nobody.
	Log *slog.Logger
}

// Follow measures the program beside a real btcd on regtest: how long after
// the node's notification a verdict is there, how fast it catches up, how much
// memory it takes, and what the node's own connecting of a block costs with it
// and without, in turns.
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
		lessIsBetter("follow/node-connect", with, "ms", "without the sidecar", without),
		plain("follow/rss", float64(m.rss)/(1<<20), "MiB"),
		plain("catchup/blocks", m.blocks/m.took.Seconds(), "1/s"),
		plain("catchup/inputs", m.inputs/m.took.Seconds(), "1/s"),
	}}, nil
}

// followMeasurement is what Follow has found so far; times are in milliseconds.
type followMeasurement struct {
	o       *FollowOptions
	network *demo.Network

	verdicts, with, without []float64
	rss                     uint64
	blocks, inputs          float64
	took                    time.Duration
}

// follow measures blocks with the sidecar and without, in the order with,
// without, without, with, and so on.
func (m *followMeasurement) follow(ctx context.Context) error {
	for round := range m.o.Rounds {
		for turn := range 2 {
			with := (round+turn)%2 == 0
			if err := m.oneBlock(ctx, with); err != nil {
				return fmt.Errorf("block %d, with the sidecar %v: %w", round+1, with, err)
			}
		}
	}
	return nil
}

// oneBlock measures how long the node takes to connect one block, and, with
// the sidecar, how long the verdict takes.
func (m *followMeasurement) oneBlock(ctx context.Context, with bool) (err error) {
	at := m.network.Nodes[0].RPC
	var c *child
	if with {
		if c, err = startChild(ctx, m.o.Program, filepath.Join(m.o.Dir, "following"), at); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.stop()) }()
		if _, err := c.await(ctx, m.network.Tip().Hash.String()); err != nil {
			return err
		}
	}
	b, err := m.network.BuildBlock(ctx, m.o.Transactions, true)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := m.network.Submit(ctx, 0, b); err != nil {
		return err
	}
	took := millis(time.Since(start))
	if !with {
		m.without = append(m.without, took)
		return nil
	}
	m.with = append(m.with, took)
	s, err := c.await(ctx, b.Hash.String())
	if err != nil {
		return err
	}
	m.verdicts = append(m.verdicts, s.Blocks[0].Verdict*1e3)
	rss, err := c.rss()
	m.rss = max(m.rss, rss)
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
