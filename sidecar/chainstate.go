package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/utxo"
	"github.com/outrider-project/outrider/sidecar/web"
	"github.com/outrider-project/outrider/utxocache/coindb"
	"github.com/outrider-project/outrider/utxocache/coins"
)

// A chainstate is the coin database as it follows the verdicts, in full mode: a
// block is in it when its verdict is given. It belongs to who gives them. A nil one
// is that of the cache mode: it does nothing.
type chainstate struct {
	db    *coindb.DB
	place utxo.Place
	// must says that the sidecar does not begin with a database that cannot follow
	// the chain; else it begins without.
	must bool
	tip  node.Tip // where it stood when it was opened
	set  *coins.Set
	// trouble hears why nothing moves for now, nil when it does again.
	trouble func(error)
	log     *slog.Logger

	mu   sync.Mutex // guards what follows
	gone error      // why it no longer follows the chain
}

// errCannotFollow says that the coin database cannot follow the chain.
var errCannotFollow = errors.New("the coin database cannot follow the node's chain")

// openChainstate opens the database of the mode; nil if it has none. genesis is the
// network's first block, refer hears of coins that are looked up, and what can wait takes
// e's part of the time.
func (s *Sidecar) openChainstate(ctx context.Context, network string, genesis node.Tip, refer func(place uint64), e *elastic) (*chainstate, error) {
	c := &chainstate{
		place: utxo.Place{Datadir: s.cfg.Datadir, Network: network},
		must:  s.cfg.UTXOMode == UTXOFull, log: s.log,
	}
	if there, err := c.place.Exists(); err != nil || !c.must && (!there || s.cfg.UTXOMode == UTXOCache) {
		return nil, err
	}
	var err error
	c.db, err = c.place.Open(coindb.Options{
		UndoBlocks: ringBlocks, Memory: s.cfg.DBBytes, Refer: refer, Hashers: elasticProcessors(), Pace: e.pace(elasticMuHash), Recorder: s.registry, Log: s.log,
	})
	if err != nil {
		return nil, err
	}
	tip, err := c.db.Tip()
	if errors.Is(err, coindb.ErrNoTip) && c.must && s.cfg.Start != nil && *s.cfg.Start <= 1 {
		tip = coindb.Tip(genesis)
		err = c.db.Reset(tip, true)
	}
	if err == nil && tip.Height == utxo.UnknownHeight {
		s.log.Info("the coin database was not told the height of its block; looking for it in the node's chain", "hash", tip.Hash.String())
		if tip.Height, err = heightOf(ctx, s.node, genesis.Hash, tip.Hash); err == nil {
			err = c.db.SetHeight(tip)
		}
	}
	if err == nil {
		c.tip = node.Tip(tip)
		return c, nil
	}
	err = c.place.Advise(err)
	if closing := c.db.Close(); closing != nil || c.must {
		return nil, errors.Join(err, closing)
	}
	s.log.Warn("there is a coin database, but it cannot be used; answering from memory and by the node", "err", err)
	return nil, nil
}

// heightOf returns the height of a block of the node's best chain, for which it has
// the node tell of all headers up to there.
func heightOf(ctx context.Context, n node.Node, genesis, hash chainhash.Hash) (uint32, error) {
	last, height := genesis, uint32(0)
	for {
		headers, err := n.Headers(ctx, []chainhash.Hash{last})
		switch {
		case err != nil:
			return 0, fmt.Errorf("look for block %s: %w", hash, err)
		case len(headers) == 0:
			return 0, fmt.Errorf("the coin database stands at block %s, which is not in the node's chain", hash)
		case headers[0].Prev() != last:
			return 0, fmt.Errorf("look for block %s: the node's chain has changed meanwhile; start again", hash)
		}
		for i := range headers {
			last, height = headers[i].Hash(), height+1
			if last == hash {
				return height, nil
			}
		}
	}
}

// lost reports whether an error of the database's is none that passes. Where disk and
// memory disagree about a coin, one of them is wrong, and no verdict rests on either.
func lost(err error) bool {
	return errors.Is(err, coindb.ErrKnown) || errors.Is(err, coindb.ErrBroken) || errors.Is(err, coindb.ErrCorrupt) || errors.Is(err, coindb.ErrClosed)
}

// follows returns the database while it follows the chain, else nil.
func (c *chainstate) follows() *coindb.DB {
	if c == nil || c.left() != nil {
		return nil
	}
	return c.db
}

// offHeap returns how many bytes the database may take outside of Go's memory.
func (c *chainstate) offHeap() int64 {
	if c == nil {
		return 0
	}
	return c.db.OffHeap()
}

// count returns how many coins the database has, while it follows the chain.
func (c *chainstate) count() (coins uint64, ok bool) {
	db := c.follows()
	if db == nil {
		return 0, false
	}
	v, err := db.View()
	if err != nil {
		return 0, false // it stands at no tip yet
	}
	coins = v.Coins()
	return coins, v.Close() == nil
}

// left returns why the database no longer follows the chain; nil if it does.
func (c *chainstate) left() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// tell says what there is.
func (c *chainstate) tell(u *web.UTXO) {
	if why := c.left(); why != nil {
		u.Problem = "the coin database cannot follow the node's chain: " + why.Error()
		return
	}
	u.Mode = string(UTXOFull)
	if v, err := c.db.View(); err == nil {
		u.Coins = v.Coins()
		_ = v.Close() // nothing was written
	}
}

// run keeps the MuHash of the coins until ctx ends.
func (c *chainstate) run(ctx context.Context) {
	const pause = 10 * time.Second
	for {
		err := c.db.FollowMuHash(ctx)
		if errors.Is(err, coindb.ErrNoMuHash) {
			c.log.Info("the MuHash of the coins is not known; hashing all of them")
			if err = c.db.Rehash(ctx, nil); err == nil {
				continue
			}
		}
		if ctx.Err() != nil {
			return
		}
		c.log.Warn("the MuHash of the coins is not kept for now", "err", err)
		if lost(err) || sleep(ctx, pause) != nil {
			return
		}
	}
}

// start hears that the events begin after tip.
func (c *chainstate) start(tip node.Tip) error {
	if c.follows() == nil || tip == c.tip {
		return nil
	}
	return c.refuse()
}

// begin returns the tip at which the events are to begin, by what is known before the
// node is asked for its chain: the database's, or fallback where it is certain that
// the database cannot follow. headers has the sidecar's chain, which is not behind
// the database's, unless its file was lost.
func (c *chainstate) begin(headers *node.Headers, fallback *node.Tip) (*node.Tip, error) {
	if c.follows() == nil {
		return fallback, nil
	}
	has, err := headers.Has(c.tip)
	if err != nil || has || headers.Tip().Height < c.tip.Height {
		return &c.tip, err
	}
	return fallback, c.refuse()
}

// refuse gives up a database that stands in another chain, or returns an error if the
// sidecar must not do without.
func (c *chainstate) refuse() error {
	why := fmt.Errorf("it stands at block %d %s, which is not in that chain: load a snapshot with `outrider utxo load --fresh`",
		c.tip.Height, c.tip.Hash)
	if c.must {
		return fmt.Errorf("%w: %w", errCannotFollow, why)
	}
	c.giveUp(why)
	return nil
}

// connect gives the database a block that was judged, and what of the coins that it
// spends rests on the sidecar's own blocks, which need not be read again.
func (c *chainstate) connect(ctx context.Context, ev *node.Connected, told *testimony) error {
	db := c.follows()
	if db == nil {
		return nil
	}
	if ev.Block == nil {
		c.giveUp(fmt.Errorf("block %d %s came in no form that can be read", ev.Height, ev.Hash))
		return nil
	}
	b := coindb.NewBlock(coindb.Tip(ev.Tip), ev.Header.Prev(), ev.Block.Txids, ev.Block.Msg.Transactions)
	b.Known = told.own(b.Spent)
	return c.change(ctx, func() error { return db.Apply(b) })
}

// disconnect takes a block off the database.
func (c *chainstate) disconnect(ctx context.Context, tip node.Tip) error {
	db := c.follows()
	if db == nil {
		return nil
	}
	return c.change(ctx, func() error { return db.Undo(coindb.Tip(tip)) })
}

// change calls f, which changes the database, until it succeeds or fails for a
// reason that room on the disk does not mend. Meanwhile nothing moves, and nothing
// is lost. A database that is damaged, or whose disk fails, ends the sidecar; one that
// cannot take the block, which says something about the block, is given up.
func (c *chainstate) change(ctx context.Context, f func() error) error {
	delay := 100 * time.Millisecond
	for try := 1; ; try++ {
		err := f()
		switch {
		case err == nil:
			if try > 1 {
				c.trouble(nil)
			}
			return nil
		case lost(err):
			return c.place.Advise(err)
		case !errors.Is(err, coindb.ErrDiskFull):
			c.giveUp(err)
			return nil
		}
		c.trouble(fmt.Errorf("%w; nothing is lost: it goes on when there is room", err))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(delay):
		}
		delay = min(2*delay, 5*time.Second)
	}
}

// giveUp goes on without the database, until the next start, and says so. What was
// asked of it is then asked of the node. What it cannot follow has been told of, or
// will be told of again: it is what the sidecar is there for.
func (c *chainstate) giveUp(why error) {
	c.mu.Lock()
	c.gone = why
	c.mu.Unlock()
	c.set.DropDB()
	c.log.Error("the coin database cannot follow the node's chain; answering from memory and by the node", "err", why)
}

// close closes the database.
func (c *chainstate) close() error {
	if c == nil {
		return nil
	}
	return c.db.Close()
}
