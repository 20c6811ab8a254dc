package utxocache

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/perfcore"
)

// Options configure a Cache. A zero field means its default.
type Options struct {
	// Blocks is how many blocks the ring holds: how deep a reorganisation the
	// cache follows, MaxBlocks at most. The default is 288, two days. A block
	// with 6,000 inputs and 9,000 outputs takes about 1.5 MB.
	Blocks int
	// Bytes is what the coins from below the ring may take, as accounted; the
	// default is 256 MiB.
	Bytes int64
	// Budget is, unless it is 0, what all may take, as Memory accounts for it. Then
	// Blocks is how many blocks the ring has at most, LeastBlocks how many it has
	// whatever they take (as many as a reorganisation may undo; the default is 1),
	// and Bytes is not used.
	Budget      int64
	LeastBlocks int
	// Recorder receives the metrics; the default is perfcore.Discard.
	Recorder perfcore.Recorder
	// Refer, if it is set, is called with each Reference of the sample: during
	// look-ups by those who make them, several at once, and by Apply for the block
	// that it applied. It must not wait, nor change the cache.
	Refer func(Reference)
}

// MaxBlocks is how many blocks the ring can hold at most: a week of them.
const MaxBlocks = 1008

const (
	defaultBlocks = 288
	defaultBytes  = 256 << 20
)

// A Cache is the unspent coins as of one tip. New returns one that stands at
// no tip and answers nothing, until Reset. Its methods are safe for concurrent
// use, and no reader ever sees a part of a change. Readers wait for nobody.
type Cache struct {
	perf   instruments
	hasher hasher
	// view is what readers see. A change makes the next one beside it.
	view atomic.Pointer[view]

	// mu lets one change be made at a time. It guards everything below it.
	mu sync.Mutex
	// blocks is how many blocks the ring may hold.
	blocks int
	budget budget
	// names are the numbers of the view's layers, and coins counts the
	// outpoints of the ring that are Unspent.
	names names
	coins int
	older *older
	// genesis says that the ring began where no coin exists.
	genesis bool
	// reported is how many of older's losses the metrics have.
	reported uint64
	closed   bool
}

// New returns a Cache that stands at no tip. Its goroutines end with Close.
func New(opts Options) (*Cache, error) {
	if opts.Blocks == 0 {
		opts.Blocks = defaultBlocks
	}
	if opts.Bytes == 0 {
		opts.Bytes = defaultBytes
	}
	if opts.LeastBlocks == 0 {
		opts.LeastBlocks = 1
	}
	if opts.Recorder == nil {
		opts.Recorder = perfcore.Discard
	}
	if opts.Blocks < 0 || opts.Blocks > MaxBlocks || opts.Bytes < 0 {
		return nil, fmt.Errorf("utxocache: %d blocks and %d bytes are not sizes", opts.Blocks, opts.Bytes)
	}
	if opts.Budget < 0 || opts.LeastBlocks < 1 || opts.LeastBlocks > opts.Blocks {
		return nil, fmt.Errorf("utxocache: from %d to %d blocks in %d bytes are not a budget", opts.LeastBlocks, opts.Blocks, opts.Budget)
	}
	if opts.Budget > 0 {
		opts.Bytes = opts.Budget
	}
	c := &Cache{
		blocks: opts.Blocks, budget: budget{opts.Budget, opts.LeastBlocks, ringShare},
		perf: newInstruments(opts.Recorder, opts.Refer), hasher: newHasher(),
	}
	c.view.Store(&view{hasher: &c.hasher})
	older, err := newOlder(opts.Bytes, &c.hasher)
	if err != nil {
		return nil, fmt.Errorf("utxocache: %w", err)
	}
	c.older = older
	return c, nil
}

// Close ends the cache's goroutines and drops what it holds. A closed cache
// stands at no tip, for ever.
func (c *Cache) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	c.stand(nil)
	c.older.close()
	c.report()
}

// Reset forgets everything and stands at tip. genesis says that no coin exists
// as of tip: it is the genesis block, whose output is not a coin.
func (c *Cache) Reset(tip Tip, genesis bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.genesis = genesis
	c.stand([]*delta{newDelta(tip)})
	c.report()
}

// stand makes a view that knows nothing but ring's tip.
func (c *Cache) stand(ring []*delta) {
	c.older.clear()
	c.names, c.coins, c.reported = names{}, 0, 0
	next := &view{
		ring: ring, layers: make(layers, 1), complete: c.genesis && len(ring) > 0,
		epoch: c.view.Load().epoch + 1, hasher: &c.hasher,
	}
	next.memory = next.measure(c.older)
	c.view.Store(next)
}

// Tip returns the tip as of which the cache answers; false when it stands at
// none.
func (c *Cache) Tip() (Tip, bool) { return c.view.Load().tip() }

// Complete reports whether no answer can be Unknown.
func (c *Cache) Complete() bool { return c.view.Load().complete }

// Get says what is known of op as of the tip that it returns with the answer;
// Unknown and the zero Tip when the cache stands at none.
func (c *Cache) Get(op wire.OutPoint) (a Answer, tip Tip) {
	v := c.view.Load()
	if len(v.ring) == 0 {
		return a, tip
	}
	k := keyOf(&op)
	var start time.Time
	timed := rand.Uint32()%sampleGets == 0
	if timed {
		start = time.Now()
	}
	hash := c.hasher.of(&k)
	at := v.lookAt(&k, hash, &a)
	if timed {
		c.perf.sample(at.tier, time.Since(start))
	}
	if c.perf.observing && sampled(hash) {
		c.perf.observe(v, hash, &a, at)
	}
	return a, v.ring[len(v.ring)-1].tip
}

// Fetch sets answers[i] to what is known of ops[i] as of the tip at, for every
// i; answers must be as long as ops. It returns an error that wraps ErrTip,
// and leaves answers as they are, when the cache stands elsewhere.
func (c *Cache) Fetch(at chainhash.Hash, ops []wire.OutPoint, answers []Answer) error {
	v := c.view.Load()
	if err := v.standsAt(at); err != nil {
		return fmt.Errorf("fetch %d coins: %w", len(ops), err)
	}
	n := v.lookAll(ops, answers[:len(ops)], &c.perf)
	c.perf.count(&n)
	return nil
}

// Apply makes b the tip: the coins that it spends are Absent, its spendable
// outputs are coins, and one that had the same outpoint is overwritten.
// An error changes nothing. It wraps ErrTip when b does not follow the tip, and
// ErrAbsent when b spends what is certainly Absent.
func (c *Cache) Apply(b Block) error {
	start := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.view.Load()
	played, err := v.play(&b)
	if err != nil {
		return fmt.Errorf("apply block %s: %w", b.Tip, err)
	}
	next := v.next()
	next.epoch++
	d := played.delta
	d.id = c.list(next, d.layer)
	next.ring = append(next.ring, d)
	c.coins += played.coins
	for _, ref := range played.spent {
		c.older.kill(ref, next.epoch)
	}
	c.raiseFloor(next)
	c.publish(next, c.older.names.advance())
	c.perf.referTo(d, &c.hasher)
	c.perf.apply.Since(start)
	return nil
}

// play returns what b changes, if it follows the tip.
func (v *view) play(b *Block) (*connection, error) {
	tip, ok := v.tip()
	if !ok {
		return nil, fmt.Errorf("%w: at none", ErrTip)
	}
	if err := b.follows(tip); err != nil {
		return nil, err
	}
	return connect(b, v.look)
}

// list gives l a number in next, and all that it says to next's index.
func (c *Cache) list(next *view, l *layer) uint64 {
	turn := c.names.advance()
	id := c.names.take()
	if id == uint64(len(next.layers)) {
		next.layers = append(next.layers, nil)
	}
	next.layers[id] = l
	var added addition
	for i := range l.entries {
		added.put(c.hasher.of(&l.entries[i].key), layerRef(id, i))
	}
	next.recent = next.recent.with(&added, turn, next.layers)
	return id
}

// unlist takes a layer out of next; one that has no number is in none.
func (c *Cache) unlist(next *view, id uint64) {
	if id != 0 {
		next.layers[id] = nil
		c.names.release(id)
	}
}

// raiseFloor makes blocks of the ring its floor until it holds no more than it
// may. Coins that no later block touched go to older.
func (c *Cache) raiseFloor(next *view) {
	bytes := int64(0)
	for _, d := range next.ring {
		bytes += d.bytesInRing()
	}
	for n := len(next.ring) - 1; n > c.blocks || c.budget.fullRing(n, bytes); n-- {
		floor, d := next.ring[0], next.ring[1]
		c.settle(next, floor.carriedID)
		c.settle(next, d.id)
		c.settle(next, d.carriedID)
		c.unlist(next, floor.carriedID)
		c.unlist(next, d.id)
		c.unlist(next, d.carriedID)
		bytes -= floor.bytesInRing() + d.bytesInRing()
		next.ring = slices.Delete(next.ring, 0, 1)
		next.ring[0] = newDelta(d.tip)
	}
}

// settle gives older the coins of a layer of which no other layer speaks.
func (c *Cache) settle(next *view, id uint64) {
	if id == 0 {
		return
	}
	l := next.layers[id]
	for i := range l.entries {
		e := &l.entries[i]
		if e.flags&unspent == 0 {
			continue
		}
		if ref, _, _ := next.recentAt(&e.key, c.hasher.of(&e.key)); ref != layerRef(id, i) {
			continue
		}
		a := l.answer(e)
		c.older.put(&e.key, &a)
		c.coins--
	}
}

// publish makes next the view, once older has done its part of the change.
// settle is the shard of its index that settles.
func (c *Cache) publish(next *view, settle int) {
	o := c.older
	if c.budget.bytes > 0 {
		o.resize(c.budget.room(next, o))
	}
	o.settle(next.epoch)
	if c.budget.bytes > 0 {
		o.shrink()
	}
	next.pages = slices.Clone(o.pages)
	next.old = next.old.with(&o.added, settle, pageKeys{next.pages, next.epoch})
	o.added = addition{}
	next.complete = c.genesis && o.lost == 0
	next.memory = next.measure(o)
	c.view.Store(next)
	c.report()
}

// Disconnect undoes the block tip: what it created is Absent, what it spent is
// what it was. It returns an error that wraps ErrTip when tip is not the tip,
// and ErrTooDeep when the ring has no block left; then the caller resets.
// An error changes nothing.
func (c *Cache) Disconnect(tip Tip) error {
	start := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.disconnect(tip, start, false)
}

// Withdraw undoes the block tip as Disconnect does, but for what was Unknown
// before it and created by it: that is Unknown again. It is for a block that was
// applied before anybody knew whether it is valid.
func (c *Cache) Withdraw(tip Tip) error {
	start := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.disconnect(tip, start, true)
}

func (c *Cache) disconnect(tip Tip, start time.Time, unproven bool) error {
	v := c.view.Load()
	if err := v.standsAt(tip.Hash); err != nil {
		return fmt.Errorf("disconnect block %s: %w", tip, err)
	}
	last := len(v.ring) - 1
	if last == 0 {
		return fmt.Errorf("disconnect block %s: %w", tip, ErrTooDeep)
	}
	d, under := *v.ring[last], *v.ring[last-1]
	d.repeats = d.repeats || unproven
	undone := v.undo(&d, under.carried)
	if len(undone) > maxEntries {
		return fmt.Errorf("disconnect block %s: %w: %d outpoints are changed back", tip, ErrTooDeep, len(undone))
	}
	for i := range d.layer.entries {
		k := &d.layer.entries[i].key
		if f := v.look(k); f.ring && f.State == Unspent {
			c.coins--
		}
		if undone[*k].State == Unspent {
			c.coins++
		}
	}
	next := v.next()
	next.epoch++
	was := under.carriedID
	under.carried = newLayer(undone)
	under.carriedID = c.list(next, under.carried)
	next.ring = slices.Delete(next.ring, last, last+1)
	next.ring[last-1] = &under
	c.unlist(next, d.id)
	c.unlist(next, d.carriedID)
	c.unlist(next, was)
	c.publish(next, c.older.names.advance())
	c.perf.disconnect.Since(start)
	return nil
}

// undo returns what the ring must say without its last block d, of all that d
// or what was carried to it or to the block under it speaks of.
func (v *view) undo(d *delta, under *layer) map[key]Answer {
	undone := make(map[key]Answer, len(d.layer.entries))
	for _, l := range []*layer{under, d.carried} {
		if l != nil {
			for i := range l.entries {
				undone[l.entries[i].key] = l.answer(&l.entries[i])
			}
		}
	}
	for i := range d.layer.entries {
		k := &d.layer.entries[i].key
		if a := d.before(i, v.complete); a.State == Unknown {
			delete(undone, *k)
		} else {
			undone[*k] = a
		}
	}
	return undone
}

// Remember takes copies of coins that somebody else told of, coins[i] being that
// of ops[i], unspent as of the tip at. They are answered with Own as it is given
// here until they are spent or forgotten. It ignores all when the cache stands
// elsewhere or is complete, and those that it knows already or its own blocks
// contradict.
func (c *Cache) Remember(at chainhash.Hash, ops []wire.OutPoint, coins []Coin, own bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.view.Load()
	if v.standsAt(at) != nil || v.complete {
		return
	}
	floor := v.ring[0].tip.Height
	told := make(map[key]bool, len(ops))
	for i := range ops {
		k := keyOf(&ops[i])
		if coins[i].Height > floor || told[k] || v.look(&k).State != Unknown {
			continue
		}
		told[k] = true
		c.older.put(&k, &Answer{Coin: coins[i], State: Unspent, Own: own})
	}
	if len(told) > 0 {
		next := *v
		c.publish(&next, noShard)
	}
}

// next returns a copy of v for a change of the ring. What it shares with v but
// for the ring and the list of layers is not to be changed.
func (v *view) next() *view {
	n := *v
	n.ring = slices.Clone(v.ring)
	n.layers = slices.Clone(v.layers)
	return &n
}

// standsAt returns an error that wraps ErrTip unless the view is as of hash.
func (v *view) standsAt(hash chainhash.Hash) error {
	tip, ok := v.tip()
	switch {
	case !ok:
		return fmt.Errorf("%w: at none, asked for %s", ErrTip, hash)
	case tip.Hash != hash:
		return fmt.Errorf("%w: at %s, asked for %s", ErrTip, tip, hash)
	}
	return nil
}

// report brings the gauges up to date.
func (c *Cache) report() {
	m, o := c.view.Load().memory, c.older
	c.perf.ringCoins.Set(float64(c.coins))
	c.perf.ringBytes.Set(float64(m.Ring))
	c.perf.oldCoins.Set(float64(o.coins))
	c.perf.oldBytes.Set(float64(m.Pages))
	c.perf.indexBytes.Set(float64(m.Index))
	c.perf.forgotten.Add(o.lost - c.reported)
	c.reported = o.lost
}
