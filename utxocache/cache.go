package utxocache

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/perfcore"
)

// Options configure a Cache. A zero field means its default.
type Options struct {
	// Blocks is how many blocks the ring holds: how deep a reorganisation the
	// cache follows. The default is 288, two days. A block with 6,000 inputs
	// and 9,000 outputs takes about 2.3 MB.
	Blocks int
	// Bytes is what the coins from below the ring may take, as accounted; the
	// default is 256 MiB.
	Bytes int64
	// Recorder receives the metrics; the default is perfcore.Discard.
	Recorder perfcore.Recorder
}

const (
	defaultBlocks = 288
	defaultBytes  = 256 << 20
	// slotBytes is the memory of an outpoint in the recent map, at the average
	// load of its tables. TestRingBytes measures it.
	slotBytes = 95
)

// A Cache is the unspent coins as of one tip. New returns one that stands at
// no tip and answers nothing, until Reset. Its methods are safe for concurrent
// use, and no reader ever sees a part of a change.
type Cache struct {
	blocks int
	perf   instruments

	// mu guards everything below it, and what is in ristretto. Readers hold it
	// for a whole batch, so that all its answers are of one tip; a change
	// holds it from its first look-up until ristretto has applied its last
	// write. It is a read-write mutex because a node asks all the time and
	// changes every ten minutes.
	mu sync.RWMutex
	// ring holds the blocks in ascending order. The first delta is the floor's
	// and has no changes: its block cannot be disconnected. It is empty while
	// the cache stands at no tip.
	ring []*delta
	// recent holds every outpoint that the deltas of the ring list, at its
	// present state. It overrides older, which holds none of them.
	recent map[wire.OutPoint]*record
	// unspent counts the records of recent that are Unspent.
	unspent int
	older   *older
	// genesis says that the ring began where no coin exists.
	genesis bool
	// epoch counts the changes of the tip. A Branch is good for one.
	epoch uint64
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
	if opts.Recorder == nil {
		opts.Recorder = perfcore.Discard
	}
	if opts.Blocks < 0 || opts.Bytes < 0 {
		return nil, fmt.Errorf("utxocache: %d blocks and %d bytes are not sizes", opts.Blocks, opts.Bytes)
	}
	older, err := newOlder(opts.Bytes)
	if err != nil {
		return nil, fmt.Errorf("utxocache: %w", err)
	}
	return &Cache{blocks: opts.Blocks, perf: newInstruments(opts.Recorder), older: older}, nil
}

// Close ends the cache's goroutines and drops what it holds. A closed cache
// stands at no tip, for ever.
func (c *Cache) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leave()
	c.closed = true
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
	c.leave()
	c.older.clear()
	c.ring = []*delta{newDelta(tip)}
	c.recent = make(map[wire.OutPoint]*record)
	c.genesis = genesis
	c.report()
}

// leave makes the cache stand at no tip.
func (c *Cache) leave() {
	c.epoch++
	c.ring, c.recent, c.unspent = nil, nil, 0
	c.genesis = false
	c.reported = 0
}

// Tip returns the tip as of which the cache answers; false when it stands at
// none.
func (c *Cache) Tip() (Tip, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.tip()
}

func (c *Cache) tip() (Tip, bool) {
	if len(c.ring) == 0 {
		return Tip{}, false
	}
	return c.ring[len(c.ring)-1].tip, true
}

// Complete reports whether no answer can be Unknown.
func (c *Cache) Complete() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.complete()
}

func (c *Cache) complete() bool { return c.genesis && c.older.lost.Load() == 0 }

// Get says what is known of op as of the tip that it returns with the answer;
// Unknown and the zero Tip when the cache stands at none.
func (c *Cache) Get(op wire.OutPoint) (Answer, Tip) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	tip, ok := c.tip()
	if !ok {
		return Answer{}, Tip{}
	}
	var n tally
	a := c.answer(op, &n)
	c.perf.count(&n)
	return a, tip
}

// Fetch sets answers[i] to what is known of ops[i] as of the tip at, for every
// i; answers must be as long as ops. It returns an error that wraps ErrTip,
// and leaves answers as they are, when the cache stands elsewhere.
func (c *Cache) Fetch(at chainhash.Hash, ops []wire.OutPoint, answers []Answer) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.standsAt(at); err != nil {
		return fmt.Errorf("fetch %d coins: %w", len(ops), err)
	}
	var n tally
	answers = answers[:len(ops)]
	for i, op := range ops {
		answers[i] = c.answer(op, &n)
	}
	c.perf.count(&n)
	return nil
}

// standsAt returns an error that wraps ErrTip unless the cache stands at hash.
func (c *Cache) standsAt(hash chainhash.Hash) error {
	tip, ok := c.tip()
	switch {
	case !ok:
		return fmt.Errorf("%w: at none, asked for %s", ErrTip, hash)
	case tip.Hash != hash:
		return fmt.Errorf("%w: at %s, asked for %s", ErrTip, tip, hash)
	}
	return nil
}

// look returns what is known of op, nil for nothing, and where it was found.
func (c *Cache) look(op wire.OutPoint) (*record, tier) {
	if r, ok := c.recent[op]; ok {
		if r.state == Absent {
			return r, tierAbsent
		}
		return r, tierRing
	}
	if r := c.older.get(op); r != nil {
		return r, tierRistretto
	}
	return nil, tierUnknown
}

func (c *Cache) answer(op wire.OutPoint, n *tally) Answer {
	r, found := c.look(op)
	if r == nil && c.complete() {
		n[tierAbsent]++
		return Answer{State: Absent, Own: true}
	}
	n[found]++
	return r.answer()
}

// Apply makes b the tip: the coins that it spends are Absent, its spendable
// outputs are coins, and one that had the same outpoint is overwritten.
// An error changes nothing. It wraps ErrTip when b does not follow the tip, and
// ErrAbsent when b spends what is certainly Absent.
func (c *Cache) Apply(b Block) error {
	start := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	d, err := c.play(&b)
	if err != nil {
		return fmt.Errorf("apply block %s: %w", b.Tip, err)
	}
	var spent []*record
	for _, ch := range d.changes {
		switch {
		case ch.prior.kept():
			ch.prior.keeper.records -= ch.prior.bytes()
		case ch.prior != nil && ch.prior.state == Unspent:
			spent = append(spent, ch.prior)
		}
		d.records += ch.prior.bytes() + ch.now.bytes()
		c.know(ch.op(), ch.prior, ch.now)
	}
	c.older.remove(spent)
	c.ring = append(c.ring, d)
	if len(c.ring)-1 > c.blocks {
		c.raiseFloor()
	}
	c.epoch++
	c.report()
	c.perf.apply.Since(start)
	return nil
}

// play returns what b changes, if it follows the tip.
func (c *Cache) play(b *Block) (*delta, error) {
	tip, ok := c.tip()
	if !ok {
		return nil, fmt.Errorf("%w: at none", ErrTip)
	}
	if err := b.follows(tip); err != nil {
		return nil, err
	}
	look := func(op wire.OutPoint) *record {
		r, _ := c.look(op)
		return r
	}
	return connect(b, look, c.complete())
}

// know replaces op's record in recent, if it was there, by now.
func (c *Cache) know(op wire.OutPoint, was, now *record) {
	c.recent[op] = now
	c.unspent += now.coins() - was.coins()
}

// forget removes op from recent, where its record is was.
func (c *Cache) forget(op wire.OutPoint, was *record) {
	delete(c.recent, op)
	c.unspent -= was.coins()
}

// raiseFloor makes the oldest block of the ring its floor. Coins that no later
// block touched go to older.
func (c *Cache) raiseFloor() {
	var survivors []*record
	for _, d := range c.ring[:2] {
		for _, ch := range d.changes {
			survivors = c.settle(ch.op(), ch.now, survivors)
		}
		for _, r := range d.carried {
			survivors = c.settle(r.op, r, survivors)
		}
		d.changes, d.carried, d.settled = nil, nil, true
	}
	floor := newDelta(c.ring[1].tip)
	c.ring = slices.Delete(c.ring, 0, 1)
	c.ring[0] = floor
	c.older.add(survivors)
}

// settle takes op out of the ring if r is what is known of it, and appends r
// to survivors if it is a coin.
func (c *Cache) settle(op wire.OutPoint, r *record, survivors []*record) []*record {
	if c.recent[op] != r {
		return survivors
	}
	c.forget(op, r)
	if r.state == Unspent {
		r.keeper = nil
		survivors = append(survivors, r)
	}
	return survivors
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
	if err := c.standsAt(tip.Hash); err != nil {
		return fmt.Errorf("disconnect block %s: %w", tip, err)
	}
	if len(c.ring) == 1 {
		return fmt.Errorf("disconnect block %s: %w", tip, ErrTooDeep)
	}
	last := len(c.ring) - 1
	d, under := c.ring[last], c.ring[last-1]
	d.repeats = d.repeats || unproven
	for _, ch := range d.changes {
		c.undo(d, under, ch)
	}
	for _, r := range d.carried {
		under.carry(r)
	}
	c.ring = slices.Delete(c.ring, last, last+1)
	c.epoch++
	c.report()
	c.perf.disconnect.Since(start)
	return nil
}

// undo brings back what was known of an outpoint before d changed it. What no
// other delta of the ring keeps is under's to keep.
func (c *Cache) undo(d, under *delta, ch change) {
	op, was := ch.op(), ch.before(d, c.complete())
	switch {
	case was == nil:
		c.forget(op, ch.now)
		return
	case was.kept():
		was.keeper.records += was.bytes()
	case was.shared():
		was = &record{op: op, state: Absent, own: true}
		under.carry(was)
	default:
		under.carry(was)
	}
	c.know(op, ch.now, was)
}

// Remember takes copies of coins that the node told of, coins[i] being that of
// ops[i], unspent as of the tip at. They are answered with Own false until they
// are spent or forgotten. It ignores all when the cache stands elsewhere or is
// complete, and those that it knows already or its own blocks contradict.
func (c *Cache) Remember(at chainhash.Hash, ops []wire.OutPoint, coins []Coin) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.standsAt(at) != nil || c.complete() {
		return
	}
	floor := c.ring[0].tip.Height
	told := make(map[wire.OutPoint]*record, len(ops))
	for i, op := range ops {
		if r, _ := c.look(op); r != nil || coins[i].Height > floor {
			continue
		}
		coin := coins[i]
		coin.Script = bytes.Clone(coin.Script)
		told[op] = &record{coin: coin, op: op, state: Unspent}
	}
	c.older.add(slices.Collect(maps.Values(told)))
	c.report()
}

// report brings the gauges up to date.
func (c *Cache) report() {
	ring := int64(len(c.recent)) * slotBytes
	for _, d := range c.ring {
		ring += d.bytes()
	}
	c.perf.ringCoins.Set(float64(c.unspent))
	c.perf.ringBytes.Set(float64(ring))
	c.perf.oldCoins.Set(float64(c.older.coins.Load()))
	c.perf.oldBytes.Set(float64(c.older.bytes.Load()))
	lost := c.older.lost.Load()
	c.perf.forgotten.Add(lost - c.reported)
	c.reported = lost
}
