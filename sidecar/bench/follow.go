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
	"github.com/outrider-project/outrider/sidecar/web"
)

// FollowOptions says how to measure a sidecar that follows a node.
type FollowOptions struct {
	// Program is the outrider to run, Btcd the btcd (see demo.FindBtcd), Dir a
	// directory for both.
	Program, Btcd, Dir string
	// Blocks is how many blocks one sidecar follows for the times to the verdict.
	Blocks int
	// Rounds is how many blocks the node's own time is measured for beside a
	// sidecar, beside one with the node's priority, and for as many without.
	Rounds int
	// Transactions is how many transactions a block has.
	Transactions int
	// Log hears what happens; nil means nobody.
	Log *slog.Logger
}

// Follow measures the program beside a real btcd on regtest: how long after the
// node's notification a verdict is there and how much memory it takes, of one
// sidecar that follows all the while; what the node's own connecting of a block
// costs beside a sidecar and without one, in turns, and what else it does while the
// sidecar judges that block; and how fast a new one catches up. Nearly all of its time goes into making the transactions and having
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
	const anchor = "without the sidecar"
	without := m.turns[alone]
	rep = &Report{Machine: ThisMachine(), Rows: []Row{
		plain("follow/verdict/p50", quantile(m.verdicts, 0.5), "ms"),
		plain("follow/verdict/p99", quantile(m.verdicts, 0.99), "ms"),
		plain("follow/verdict/count", float64(len(m.verdicts)), "blocks"),
		lessIsBetter("follow/node-connect", median(m.turns[beside].connect), "ms", anchor, median(without.connect)),
		lessIsBetter("follow/node-busy", median(m.turns[beside].busy), "ms", anchor, median(without.busy)),
		lessIsBetter("follow/node-busy/nice0", median(m.turns[besideEqual].busy), "ms", anchor, median(without.busy)),
		plain("follow/rss", median(m.rss)/(1<<20), "MiB"),
		plain("follow/rss/peak", float64(m.peak)/(1<<20), "MiB"),
		plain("catchup/blocks", m.blocks/m.took.Seconds(), "1/s"),
		plain("catchup/inputs", m.inputs/m.took.Seconds(), "1/s"),
		plain("catchup/cores", m.sidecarRan.Seconds()/m.took.Seconds(), "cores"),
		plain("catchup/cores/node", m.nodeRan.Seconds()/m.took.Seconds(), "cores"),
	}}
	if err := possible(rep); err != nil {
		return nil, err
	}
	return rep, nil
}

// possible returns an error that names the figures which nothing has that was measured:
// those that are no numbers above zero, and more cores than there are, beyond what clocks
// of hundredths of a second can be wrong by.
func possible(r *Report) error {
	var impossible []error
	for _, row := range r.Rows {
		figures := []float64{row.Value}
		if row.Anchor != "" {
			figures = append(figures, row.AnchorValue)
		}
		for _, v := range figures {
			if !(v > 0) || math.IsInf(v, 1) || row.Unit == "cores" && v > 1.1*float64(r.Machine.Cores) {
				impossible = append(impossible, fmt.Errorf("%s: %v %s on %d cores cannot have been measured", row.Name, v, row.Unit, r.Machine.Cores))
			}
		}
	}
	return errors.Join(impossible...)
}

// followMeasurement is what Follow has found so far; times are in milliseconds.
type followMeasurement struct {
	o       *FollowOptions
	network *demo.Network

	verdicts            []float64
	turns               [company]turn
	rss                 []float64 // bytes, after each block of the second half
	peak                uint64
	blocks, inputs      float64
	took                time.Duration
	sidecarRan, nodeRan time.Duration // of processor time meanwhile
}

// The company that a node has: a sidecar with the priority that it takes by itself, one
// with the node's own, or none.
const (
	beside = iota
	besideEqual
	alone
	company
)

// A turn is how long the node took for one block after the other in some company.
type turn struct {
	// connect is to connect it, busy to print it as soon as it is connected, while the
	// sidecar fetches and judges it.
	connect, busy []float64
}

// alternate measures blocks in each company in turns, each time in another order.
func (m *followMeasurement) alternate(ctx context.Context) error {
	for round := range m.o.Rounds {
		for i := range company {
			if err := m.oneTurn(ctx, (round+i)%company); err != nil {
				return fmt.Errorf("round %d, turn %d: %w", round+1, i+1, err)
			}
		}
	}
	return nil
}

// startFollowing starts a sidecar that has caught up when it is returned.
func (m *followMeasurement) startFollowing(ctx context.Context, flags ...string) (*child, error) {
	c, err := startChild(ctx, m.o.Program, filepath.Join(m.o.Dir, "following"), m.network.Nodes[0].RPC, flags...)
	if err != nil {
		return nil, err
	}
	if _, err := c.await(ctx, m.network.Tip().Hash.String()); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// oneTurn measures how long the node takes for one block.
func (m *followMeasurement) oneTurn(ctx context.Context, with int) (err error) {
	if with != alone {
		var flags []string
		if with == besideEqual {
			flags = []string{"--nice", "0"}
		}
		c, failed := m.startFollowing(ctx, flags...)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, c.stop()) }()
	}
	b, took, err := m.submit(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	printed, err := m.network.Nodes[0].Describe(ctx, b.Hash)
	busy := time.Since(start)
	if err != nil {
		return err
	}
	if size := b.Msg.SerializeSize(); printed < 2*size { // its transactions alone, in hexadecimal
		return fmt.Errorf("the node printed %d bytes of a block of %d, which is not all of it", printed, size)
	}
	into := &m.turns[with]
	into.connect, into.busy = append(into.connect, millis(took)), append(into.busy, millis(busy))
	return nil
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
		at := slices.IndexFunc(s.Blocks, func(judged web.Block) bool { return judged.Hash == b.Hash.String() })
		if at < 0 {
			return fmt.Errorf("block %d: the sidecar has no verdict on %s", n+1, b.Hash)
		}
		m.verdicts = append(m.verdicts, s.Blocks[at].Verdict*1e3)
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
	node := m.network.Nodes[0].PID()
	before, err := processorTime(node)
	if err != nil {
		return err
	}
	start := time.Now()
	c, err := startChild(ctx, m.o.Program, filepath.Join(m.o.Dir, "catching-up"), m.network.Nodes[0].RPC)
	if err != nil {
		return err
	}
	_, err = c.await(ctx, tip.Hash.String())
	m.took = time.Since(start)
	var failed [2]error
	m.sidecarRan, failed[0] = processorTime(c.cmd.Process.Pid)
	m.nodeRan, failed[1] = processorTime(node)
	m.nodeRan -= before
	m.blocks = float64(tip.Height)
	for b := tip; b != nil; b = m.network.Ancestor(tip.Height - b.Height + 1) {
		for _, tx := range b.Msg.Transactions[1:] {
			m.inputs += float64(len(tx.TxIn))
		}
	}
	if err := errors.Join(err, failed[0], failed[1], c.stop()); err != nil {
		return err
	}
	if all := c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime(); m.sidecarRan > all+time.Second/50 {
		return fmt.Errorf("the sidecar ran for %v of processor time up to the tip, and for %v in all", m.sidecarRan, all)
	}
	return nil
}

// quantile returns the q-quantile of vs by the nearest rank. It sorts vs.
func quantile(vs []float64, q float64) float64 {
	if len(vs) == 0 {
		return 0
	}
	slices.Sort(vs)
	return vs[max(int(math.Ceil(q*float64(len(vs))))-1, 0)]
}
