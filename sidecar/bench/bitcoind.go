package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/demo"
	"github.com/outrider-project/outrider/sidecar/node/zmq"
)

// BitcoindOptions says how to measure a sidecar beside a bitcoind.
type BitcoindOptions struct {
	// Program is the outrider to run, Bitcoind the bitcoind, Dir a directory for
	// both.
	Program, Bitcoind, Dir string
	// Blocks is how many blocks a sidecar follows for the times to the verdict,
	// and how many it catches up with; the other figures take fewer, and follow
	// from it.
	Blocks int
	// Transactions is how many transactions a block has.
	Transactions int
	// Log hears what happens; nil means nobody.
	Log *slog.Logger
}

// Bitcoind measures the program beside a real bitcoind on regtest. Each block has
// as many transactions of all kinds, with real signatures; each of them goes
// through the node's mempool and spends one coin that was made before the first
// of these blocks. The rows, below "bitcoind/", are
//
//   - event/…: from the arrival of a notification of a transaction to the feed's
//     event for it, by a feed in this process whose handler only keeps accounts;
//     block-event/…: the same for a block, which has been fetched and decoded
//     then. They are quantiles of a perfcore.Timer, up to 12.5 % too high.
//   - losses/dropped: what bitcoind did not deliver to another such feed, by the
//     counters of its messages: it has both topics at one socket, with the default
//     high-water mark, and reads nothing while slowBlocks blocks and their
//     transactions come. losses: by how many blocks and transactions the chain and
//     the mempool that the events of both feeds add up to differ from the node's
//     when the traffic has ended, and how many events did not fit those before. It
//     has to be 0.
//   - node-connect: how long submitblock takes beside a sidecar, and without one,
//     in turns.
//   - verdict/…: from the arrival of a block's notification to the verdict, when
//     the sidecar has seen the coins being made. verdict-undo/…: when it has to ask
//     for each of them, which it does of the undo files. The anchor is the median
//     of submitblock for the same blocks. rss and rss/peak are of the first.
//   - catchup-undo/…: how fast a new sidecar judges the last Blocks blocks, from
//     its start on, when all coins come from the undo files; catchup-rest/…:
//     without these, but with REST; catchup-getblock3/…: without either.
//     catchup-own/inputs: from the genesis block on, when it asks for no coin.
func Bitcoind(ctx context.Context, o BitcoindOptions) (rep *Report, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	m := &bitcoindMeasurement{
		o: &o, chain: demo.NewChain(1),
		core: &coreNode{program: o.Bitcoind, dir: filepath.Join(o.Dir, "bitcoind")},
	}
	if err := m.core.start(ctx, coreSetup{}); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.core.stop(ctx)) }()
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"make the coins", m.prepare},
		{"measure the events", m.events},
		{"count the losses of a slow reader", m.losses},
		{"measure the node's own time", m.alternate},
		{"measure verdicts on own coins", func(ctx context.Context) error { return m.follow(ctx, &m.own, "0") }},
		{"measure verdicts on the node's coins", func(ctx context.Context) error {
			m.last = m.chain.Tip().Height + 1
			return m.follow(ctx, &m.undo, strconv.Itoa(int(m.last)))
		}},
		{"measure catching up", m.catchUpAll},
	} {
		o.Log.Info("benchmark", "step", step.what)
		if err := step.do(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return &Report{Machine: ThisMachine(), Rows: m.rows()}, nil
}

// bitcoindMeasurement is what Bitcoind has found so far; times are in
// milliseconds.
type bitcoindMeasurement struct {
	o     *BitcoindOptions
	core  *coreNode
	chain *demo.Chain
	coins []demo.Coin // that are left to spend
	// inputs counts those of the chain, but the coinbases'.
	inputs float64

	txEvents, blockEvents perfcore.Distribution
	dropped               uint64
	undetected            int
	with, without         []float64
	own, undo             coreVerdicts
	last                  uint32 // the first of the blocks to catch up with
	catchUps              []coreCatchUp
}

// coreVerdicts is what one sidecar that follows the node showed.
type coreVerdicts struct {
	verdicts, submits []float64
	rss               []float64 // bytes, after each block of the second half
	peak              uint64
}

// A coreCatchUp is how fast a new sidecar caught up.
type coreCatchUp struct {
	name           string
	blocks, inputs float64 // 1/s; blocks is 0 where they say nothing
}

// eventBlocks is how many blocks the feed in this process follows, turns how
// many the node's own time is measured for beside a sidecar, and for as many
// without.
func (o *BitcoindOptions) eventBlocks() int { return max(o.Blocks/3, 1) }
func (o *BitcoindOptions) turns() int       { return max(o.Blocks/6, 1) }

// slowBlocks is how many blocks come while the slow reader reads nothing.
const slowBlocks = 2

// prepare has the node connect the first blocks, and those that make a coin for
// every transaction to come.
func (m *bitcoindMeasurement) prepare(ctx context.Context) error {
	blocks, err := m.chain.Bootstrap()
	if err != nil {
		return err
	}
	all := m.o.eventBlocks() + slowBlocks + 1 + 2*m.o.turns() + 2*m.o.Blocks
	made, coins, err := m.chain.FanOut(all*m.o.Transactions + 1)
	if err != nil {
		return err
	}
	m.coins = coins
	for _, b := range append(blocks, made...) {
		m.inputs += float64(len(b.Txs))
		if _, err := m.core.submit(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// fill makes so many transactions and has the node take them into its mempool.
func (m *bitcoindMeasurement) fill(ctx context.Context, transactions int) ([]*demo.Tx, error) {
	txs, err := m.chain.Spend(m.coins[:transactions])
	if err != nil {
		return nil, err
	}
	m.coins = m.coins[transactions:]
	return txs, m.core.send(ctx, txs)
}

// mine has the node connect a block of txs, and returns how long that took.
func (m *bitcoindMeasurement) mine(ctx context.Context, txs []*demo.Tx) (*demo.Block, time.Duration, error) {
	b, err := m.chain.Mine(txs)
	if err != nil {
		return nil, 0, err
	}
	m.inputs += float64(len(txs))
	took, err := m.core.submit(ctx, b)
	return b, took, err
}

// fillAndMine is fill for a block, and mine.
func (m *bitcoindMeasurement) fillAndMine(ctx context.Context) (*demo.Block, time.Duration, error) {
	txs, err := m.fill(ctx, m.o.Transactions)
	if err != nil {
		return nil, 0, err
	}
	return m.mine(ctx, txs)
}

// rows returns the figures.
func (m *bitcoindMeasurement) rows() []Row {
	event := func(name string, d perfcore.Distribution) []Row {
		return []Row{
			plain("bitcoind/"+name+"/p50", millis(d.Quantile(0.5)), "ms"),
			plain("bitcoind/"+name+"/p99", millis(d.Quantile(0.99)), "ms"),
			plain("bitcoind/"+name+"/count", float64(d.Count), "events"),
		}
	}
	verdict := func(name string, v *coreVerdicts) []Row {
		return []Row{
			lessIsBetter("bitcoind/"+name+"/p50", quantile(v.verdicts, 0.5), "ms", "the node's submitblock", median(v.submits)),
			plain("bitcoind/"+name+"/p99", quantile(v.verdicts, 0.99), "ms"),
			plain("bitcoind/"+name+"/count", float64(len(v.verdicts)), "blocks"),
		}
	}
	rows := slices.Concat(event("event", m.txEvents), event("block-event", m.blockEvents), []Row{
		plain("bitcoind/losses", float64(m.undetected), "undetected"),
		plain("bitcoind/losses/dropped", float64(m.dropped), "messages"),
		lessIsBetter("bitcoind/node-connect", median(m.with), "ms", "without the sidecar", median(m.without)),
	}, verdict("verdict", &m.own), verdict("verdict-undo", &m.undo), []Row{
		plain("bitcoind/rss", median(m.own.rss)/(1<<20), "MiB"),
		plain("bitcoind/rss/peak", float64(m.own.peak)/(1<<20), "MiB"),
	})
	for _, c := range m.catchUps {
		if c.blocks > 0 {
			rows = append(rows, plain("bitcoind/"+c.name+"/blocks", c.blocks, "1/s"))
		}
		rows = append(rows, plain("bitcoind/"+c.name+"/inputs", c.inputs, "1/s"))
	}
	return rows
}

// dir makes a directory.
func (m *bitcoindMeasurement) dir(name string) (string, error) {
	dir := filepath.Join(m.o.Dir, name)
	return dir, os.MkdirAll(dir, 0o700)
}

// events measures a feed in this process.
func (m *bitcoindMeasurement) events(ctx context.Context) (err error) {
	dir, err := m.dir("feed")
	if err != nil {
		return err
	}
	run, err := runFeed(ctx, m.core, dir, zmq.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run.stop()) }()
	for range m.o.eventBlocks() {
		if _, _, err := m.fillAndMine(ctx); err != nil {
			return err
		}
	}
	differences, err := run.settle(ctx, m.core)
	m.undetected += differences
	m.txEvents, m.blockEvents = run.timer("transaction"), run.timer("block")
	return err
}

// losses lets a feed in this process read its notifications too slowly, and looks
// whether it knows in the end what it missed: once with the transactions of a
// block in the mempool, once without.
func (m *bitcoindMeasurement) losses(ctx context.Context) (err error) {
	dir, err := m.dir("slow")
	if err != nil {
		return err
	}
	if err := m.core.restart(ctx, coreSetup{oneSocket: true}); err != nil {
		return err
	}
	var reader sleeper
	run, err := runFeed(ctx, m.core, dir, reader.subscription())
	if err != nil {
		return err
	}
	txs, err := m.overwhelm(ctx, &reader)
	if err == nil {
		err = m.countLosses(ctx, run, txs)
	}
	if err := errors.Join(err, run.stop()); err != nil {
		return err
	}
	return m.core.restart(ctx, coreSetup{})
}

// overwhelm has slowBlocks blocks come, and the transactions of one more, while
// the reader sleeps. It returns those.
func (m *bitcoindMeasurement) overwhelm(ctx context.Context, reader *sleeper) ([]*demo.Tx, error) {
	reader.asleep.Lock()
	defer reader.asleep.Unlock()
	for range slowBlocks {
		if _, _, err := m.fillAndMine(ctx); err != nil {
			return nil, err
		}
	}
	return m.fill(ctx, m.o.Transactions)
}

// countLosses compares what a feed's events add up to with the node's chain and
// mempool, before and after a block of txs, and after a single transaction, whose
// notifications show what is missing before them.
func (m *bitcoindMeasurement) countLosses(ctx context.Context, run *feedRun, txs []*demo.Tx) error {
	for _, step := range []func() error{
		func() error { return nil },
		func() error { _, _, err := m.mine(ctx, txs); return err },
		func() (err error) { txs, err = m.fill(ctx, 1); return err },
		func() error { _, _, err := m.mine(ctx, txs); return err },
	} {
		if err := step(); err != nil {
			return err
		}
		differences, err := run.settle(ctx, m.core)
		if err != nil {
			return err
		}
		m.undetected += differences
	}
	m.dropped = run.count("outrider_node_zmq_missed_total")
	return nil
}

// startFollowing starts a sidecar that has caught up when it is returned: in a
// directory of that name, from a height on, with these flags.
func (m *bitcoindMeasurement) startFollowing(ctx context.Context, name, start string, flags ...string) (*child, error) {
	c, err := startProgram(ctx, m.o.Program, nil, append([]string{
		"--datadir", filepath.Join(m.o.Dir, name), "--start", start, "--network", "regtest", "--node-kind", "bitcoind",
		"--bitcoin-dir", m.core.dir, "--node-address", m.core.rpc, "--node-cookie", m.core.cookie(),
	}, flags...)...)
	if err != nil {
		return nil, err
	}
	if _, err := c.await(ctx, m.chain.Tip().Hash.String()); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// alternate measures how long the node takes to connect a block with a sidecar
// beside it and without, in the order with, without, without, with, and so on.
func (m *bitcoindMeasurement) alternate(ctx context.Context) error {
	for turn := range m.o.turns() {
		for half := range 2 {
			if err := m.oneTurn(ctx, (turn+half)%2 == 0); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *bitcoindMeasurement) oneTurn(ctx context.Context, with bool) (err error) {
	into := &m.without
	if with {
		into = &m.with
		c, failed := m.startFollowing(ctx, "beside", "0")
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, c.stop()) }()
	}
	_, took, err := m.fillAndMine(ctx)
	*into = append(*into, millis(took))
	return err
}

// follow measures one sidecar that follows the node, block after block.
func (m *bitcoindMeasurement) follow(ctx context.Context, v *coreVerdicts, start string) (err error) {
	c, err := m.startFollowing(ctx, "following-from-"+start, start)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	for n := range m.o.Blocks {
		b, took, err := m.fillAndMine(ctx)
		if err != nil {
			return err
		}
		s, err := c.await(ctx, b.Hash.String())
		if err != nil {
			return fmt.Errorf("block %d: %w", b.Height, err)
		}
		v.submits = append(v.submits, millis(took))
		v.verdicts = append(v.verdicts, s.Blocks[0].Verdict*1e3)
		if n < m.o.Blocks/2 {
			continue // it has not settled yet
		}
		rss, err := c.memory("VmRSS")
		if err != nil {
			return err
		}
		v.rss = append(v.rss, float64(rss))
	}
	v.peak, err = c.memory("VmHWM")
	return err
}

// catchUpAll measures new sidecars that catch up in every way.
func (m *bitcoindMeasurement) catchUpAll(ctx context.Context) error {
	from := strconv.Itoa(int(m.last))
	for _, way := range []struct {
		name, start string
		rest        bool
		flags       []string
	}{
		{"catchup-own", "0", true, nil},
		{"catchup-undo", from, true, nil},
		{"catchup-rest", from, true, []string{"--blocks-dir", "off"}},
		{"catchup-getblock3", from, false, []string{"--blocks-dir", "off"}},
	} {
		if !way.rest {
			if err := m.core.restart(ctx, coreSetup{noREST: true}); err != nil {
				return err
			}
		}
		start := time.Now()
		c, err := m.startFollowing(ctx, way.name, way.start, way.flags...)
		took := time.Since(start).Seconds()
		if err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
		if err := c.stop(); err != nil {
			return err
		}
		blocks := float64(m.chain.Tip().Height - m.last + 1)
		inputs := blocks * float64(m.o.Transactions)
		if way.start == "0" {
			blocks, inputs = 0, m.inputs // most of its blocks are empty
		}
		m.catchUps = append(m.catchUps, coreCatchUp{way.name, blocks / took, inputs / took})
	}
	return nil
}
