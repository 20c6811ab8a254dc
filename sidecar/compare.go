package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/web"
	"github.com/outrider-project/outrider/utxocache/coindb"
)

// A CompareMode says when the coins are compared with the node's.
type CompareMode string

// These are the modes.
const (
	// CompareOff never compares.
	CompareOff CompareMode = "off"
	// CompareIndex compares on a schedule where the node has a coinstatsindex that
	// is synced, which costs it nothing.
	CompareIndex CompareMode = "index"
	// CompareScan does so too, and has a node without that index scan all its coins
	// once after the start, which takes it minutes.
	CompareScan CompareMode = "scan"
)

// A comparer compares the MuHash of the coin database with the node's. It works in
// one goroutine, and nobody waits for it.
type comparer struct {
	node    node.CoinHasher
	db      *coindb.DB
	follows func() bool // whether the database follows the chain
	headers interface {
		Hash(height uint32) (chainhash.Hash, error)
	}
	every   time.Duration
	scan    bool // once, if there is no index
	told    func(web.Comparison)
	log     *slog.Logger
	metrics compareMetrics
}

type compareMetrics struct {
	outcomes map[Outcome]*perfcore.Counter
	differs  *perfcore.Gauge
}

func newCompareMetrics(rec perfcore.Recorder) compareMetrics {
	m := compareMetrics{
		outcomes: make(map[Outcome]*perfcore.Counter),
		differs: rec.Gauge(perfcore.Metric{
			Name: "outrider_utxo_differs", Help: "1 when the MuHash of all coins was not the node's in the last comparison, else 0.",
			Alert: perfcore.Alert{
				Name: "coins_differ", Help: "The coins are not the node's, so that one of the two is wrong: the log says since which block.",
				Urgent: true,
			},
		}),
	}
	for _, o := range []Outcome{Agree, Differ, Undecided} {
		m.outcomes[o] = rec.Counter(perfcore.Metric{
			Name: "outrider_utxo_comparisons_total", Help: "Comparisons of the MuHash of all coins with the node's, by what came of them.",
			Labels: []string{"outcome", string(o)},
		})
	}
	return m
}

// run compares until ctx ends.
func (c *comparer) run(ctx context.Context) {
	for sleep(ctx, c.every) == nil {
		if !c.follows() {
			return
		}
		index, err := c.node.HasCoinStats(ctx)
		switch {
		case err != nil:
		case index:
			err = c.compare(ctx)
		case c.scan:
			c.log.Warn("the node has no synced coinstatsindex: it now scans all its coins once, to compare them, which takes it minutes")
			err = c.compareScanned(ctx)
			c.scan = err != nil
		}
		if err != nil && ctx.Err() == nil {
			c.metrics.outcomes[Undecided].Add(1)
			c.log.Warn("the coins could not be compared with the node's", "err", err)
		}
	}
}

// compare compares as of the database's tip.
func (c *comparer) compare(ctx context.Context) error {
	ours, tip, err := c.db.MuHash(ctx)
	if err != nil {
		return err
	}
	theirs, at, err := c.node.CoinHash(ctx, &tip.Hash)
	if err != nil {
		return err
	}
	if ours == theirs {
		c.agree(at, ours)
		return nil
	}
	first, exactly, err := c.firstDifference(ctx, at)
	c.differ(at, ours, theirs, first, exactly && err == nil) // whatever else cannot be found out
	if err != nil {
		return fmt.Errorf("find the first block as of which the coins differ: %w", err)
	}
	return nil
}

// compareScanned compares as of the tip at which the node scans.
func (c *comparer) compareScanned(ctx context.Context) error {
	theirs, at, err := c.node.CoinHash(ctx, nil)
	if err != nil {
		return err
	}
	for c.follows() { // the database may have to catch up, and its hash with it
		_, tip, err := c.db.MuHash(ctx)
		if err != nil {
			return err
		}
		if tip.Height >= at.Height {
			break
		}
		if err := sleep(ctx, min(c.every, time.Second)); err != nil {
			return err
		}
	}
	ours, err := c.db.MuHashAt(coindb.Tip(at))
	switch {
	case err != nil:
		return fmt.Errorf("the node's hash is as of block %d %s: %w", at.Height, at.Hash, err)
	case ours == theirs:
		c.agree(at, ours)
	default:
		c.differ(at, ours, theirs, at, false)
	}
	return nil
}

// firstDifference returns the first block as of which the coins differ, given that
// they do as of at: a difference does not go away. exactly is false if it is that
// block or one below it, as of which no hash is kept.
func (c *comparer) firstDifference(ctx context.Context, at node.Tip) (first node.Tip, exactly bool, err error) {
	first = at
	low, high := at.Height-min(at.Height, ringBlocks), at.Height // they differ as of high
	for low < high {
		mid := low + (high-low)/2
		tip := node.Tip{Height: mid}
		if tip.Hash, err = c.headers.Hash(mid); err != nil {
			return first, false, err
		}
		ours, err := c.db.MuHashAt(coindb.Tip(tip))
		if errors.Is(err, coindb.ErrNoMuHash) {
			low = mid + 1 // there is none below either
			continue
		}
		if err != nil {
			return first, false, err
		}
		theirs, _, err := c.node.CoinHash(ctx, &tip.Hash)
		if err != nil {
			return first, false, err
		}
		if ours == theirs {
			low = mid + 1
		} else {
			first, high = tip, mid
		}
	}
	if first.Height == 0 {
		return first, true, nil
	}
	// Exact means that they are known to agree as of the block before it.
	before := node.Tip{Height: first.Height - 1}
	if before.Hash, err = c.headers.Hash(before.Height); err != nil {
		return first, false, err
	}
	ours, err := c.db.MuHashAt(coindb.Tip(before))
	if errors.Is(err, coindb.ErrNoMuHash) {
		return first, false, nil
	}
	if err != nil {
		return first, false, err
	}
	theirs, _, err := c.node.CoinHash(ctx, &before.Hash)
	return first, err == nil && ours == theirs, err
}

func (c *comparer) agree(at node.Tip, hash chainhash.Hash) {
	c.metrics.outcomes[Agree].Add(1)
	c.metrics.differs.Set(0)
	c.log.Info("the coins are the node's", "height", at.Height, "hash", at.Hash.String(), "muhash", hash.String())
	c.told(web.Comparison{At: time.Now(), BlockID: *blockID(at), Outcome: web.Agree, MuHash: hash.String(), Node: hash.String()})
}

// differ raises the alarm.
func (c *comparer) differ(at node.Tip, ours, theirs chainhash.Hash, first node.Tip, exactly bool) {
	c.metrics.outcomes[Differ].Add(1)
	c.metrics.differs.Set(1)
	since := "first differing block"
	if !exactly {
		since = "differing at least since block"
	}
	c.log.Error("THE COINS DIFFER FROM THE NODE'S", "height", at.Height, "hash", at.Hash.String(),
		"muhash", ours.String(), "node_muhash", theirs.String(), "since", since, "since_height", first.Height, "since_hash", first.Hash.String())
	c.told(web.Comparison{
		At: time.Now(), BlockID: *blockID(at), Outcome: web.Differ, MuHash: ours.String(), Node: theirs.String(),
		First: blockID(first), Exactly: exactly,
	})
}
