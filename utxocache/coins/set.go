package coins

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/utxocache"
	"github.com/outrider-project/outrider/utxocache/coindb"
)

// An Origin tells of the coins of a node's best chain. It sets answers[i] to
// Unspent, with the coin, or Absent, for every i; answers are as long as ops. It
// returns the tip as of which all of that is so.
type Origin func(ctx context.Context, ops []wire.OutPoint, answers []utxocache.Answer) (utxocache.Tip, error)

// A Set is the unspent coins. Its methods are safe for concurrent use.
type Set struct {
	cache  *utxocache.Cache
	db     atomic.Pointer[coindb.DB]
	origin Origin
	// meetings is how often views of cache and database are taken before they are
	// given up: a change moves both within moments of each other.
	meetings int
	perf     instruments
	below    struct{ coins, nanoseconds atomic.Uint64 } // what Below returns
}

// Options are what a Set asks, in this order.
type Options struct {
	Cache *utxocache.Cache
	// DB is the database that follows the cache; nil if there is none.
	DB *coindb.DB
	// Origin is asked by Get; nil if nobody is.
	Origin Origin
	// Recorder receives the metrics; the default is perfcore.Discard.
	Recorder perfcore.Recorder
}

// New returns a Set. Cache and database are the caller's, who closes them after
// the last call.
func New(o Options) *Set {
	if o.Recorder == nil {
		o.Recorder = perfcore.Discard
	}
	s := &Set{cache: o.Cache, origin: o.Origin, meetings: 50, perf: newInstruments(o.Recorder)}
	s.db.Store(o.DB)
	return s
}

// These are the errors that callers tell apart, beside those of utxocache. They
// come wrapped.
var (
	// ErrApart says that cache and database, or cache and node, did not come to
	// one tip while it was tried.
	ErrApart = errors.New("no two tips are one")
	// ErrUnknown says that nobody can tell.
	ErrUnknown = errors.New("nobody can tell of this coin")
)

// DropDB makes the Set do without its database, which can no longer follow the
// chain. Calls that have begun may still use it.
func (s *Set) DropDB() { s.db.Store(nil) }

// HasDB reports whether there is a database.
func (s *Set) HasDB() bool { return s.db.Load() != nil }

// Fetch sets answers[i] to what is known of ops[i] as of the tip at, for every i;
// answers must be as long as ops. It does not ask the origin. It returns an error
// that wraps utxocache.ErrTip when the cache stands elsewhere, and ErrApart.
func (s *Set) Fetch(at chainhash.Hash, ops []wire.OutPoint, answers []utxocache.Answer) error {
	_, err := s.fetch(at, ops, answers)
	return err
}

// Prefetch is Fetch, and has the cache remember what it did not know: for coins
// that will be asked for again.
func (s *Set) Prefetch(at chainhash.Hash, ops []wire.OutPoint, answers []utxocache.Answer) error {
	below, err := s.fetch(at, ops, answers)
	if err != nil || len(below) == 0 {
		return err
	}
	var found []wire.OutPoint
	var coins []utxocache.Coin
	for _, i := range below {
		if answers[i].State == utxocache.Unspent {
			found, coins = append(found, ops[i]), append(coins, answers[i].Coin)
		}
	}
	s.cache.Remember(at, found, coins, true)
	return nil
}

// Touch has the database read what the memory does not know of ops as of the tip at, so
// that it comes soon when it is asked for. The memory learns nothing by that, and does
// not count it as asked.
func (s *Set) Touch(at chainhash.Hash, ops []wire.OutPoint) error {
	v, ok := s.cache.View()
	if !ok || v.Tip().Hash != at {
		return fmt.Errorf("touch %d coins as of %s: %w", len(ops), at, utxocache.ErrTip)
	}
	answers := make([]utxocache.Answer, len(ops))
	v.Unobserved().Fetch(ops, answers)
	_, err := s.readBelow(v, ops, answers)
	return err
}

// fetch is Fetch. It returns the places of what the database answered.
func (s *Set) fetch(at chainhash.Hash, ops []wire.OutPoint, answers []utxocache.Answer) (below []int, err error) {
	for try := 1; ; try++ {
		v, ok := s.cache.View()
		if !ok || v.Tip().Hash != at {
			return nil, fmt.Errorf("fetch %d coins as of %s: %w", len(ops), at, utxocache.ErrTip)
		}
		v.Fetch(ops, answers)
		below, err = s.readBelow(v, ops, answers)
		if !errors.Is(err, ErrApart) || try == s.meetings {
			return below, err
		}
		time.Sleep(time.Millisecond)
	}
}

// readBelow has the database answer what v does not know, and returns the places of
// that. The error wraps ErrApart if the database's tip is none of v's.
func (s *Set) readBelow(v utxocache.View, ops []wire.OutPoint, answers []utxocache.Answer) ([]int, error) {
	db := s.db.Load()
	if db == nil || v.Complete() {
		return nil, nil
	}
	ask, places := unknown(ops, answers)
	if len(ask) == 0 {
		return nil, nil
	}
	dv, err := db.View()
	if err != nil {
		return nil, fmt.Errorf("fetch %d coins: %w", len(ops), err)
	}
	defer dv.Close()
	if !v.Has(utxocache.Tip(dv.Tip())) {
		return nil, fmt.Errorf("fetch %d coins: %w: the cache is at %s, the database at %s", len(ops), ErrApart, v.Tip(), dv.Tip())
	}
	return places, s.read(dv.GetBatch, dv.Complete(), ask, places, answers)
}

// unknown returns those of ops that are Unknown, and their places.
func unknown(ops []wire.OutPoint, answers []utxocache.Answer) (ask []wire.OutPoint, places []int) {
	for i := range answers {
		if answers[i].State == utxocache.Unknown {
			ask, places = append(ask, ops[i]), append(places, i)
		}
	}
	return ask, places
}

// read has the database answer for ask, whose answers belong at places. complete
// says that what it does not have does not exist.
func (s *Set) read(
	get func([]wire.OutPoint, []coindb.Answer) error, complete bool,
	ask []wire.OutPoint, places []int, answers []utxocache.Answer,
) error {
	start := time.Now()
	found := make([]coindb.Answer, len(ask))
	if err := get(ask, found); err != nil {
		return fmt.Errorf("read coins: %w", err)
	}
	for i, place := range places {
		switch f := &found[i]; {
		case f.Found:
			answers[place] = utxocache.Answer{State: utxocache.Unspent, Own: true, Coin: utxocache.Coin(f.Coin)}
			s.perf.found[tierPebble].Add(1)
		case complete:
			answers[place] = utxocache.Answer{State: utxocache.Absent, Own: true}
			s.perf.absent[tierPebble].Add(1)
		default:
			s.perf.unknown.Add(1)
		}
	}
	s.perf.latency[tierPebble].Since(start)
	s.answered(len(ask), start)
	return nil
}

// answered counts coins that somebody below the memory answered for, since start.
func (s *Set) answered(coins int, start time.Time) {
	s.below.coins.Add(uint64(coins))
	s.below.nanoseconds.Add(uint64(time.Since(start)))
}

// Below returns for how many coins somebody below the memory has answered so far, and
// the time that those took who asked for them.
func (s *Set) Below() (coins uint64, took time.Duration) {
	return s.below.coins.Load(), time.Duration(s.below.nanoseconds.Load())
}

// maxAsked is how often the origin is asked for one coin: it may be many blocks
// ahead.
const maxAsked = 4

// Tip returns the tip as of which is answered; false when there is none.
func (s *Set) Tip() (utxocache.Tip, bool) { return s.cache.Tip() }

// Get says what is known of op as of the tip that it returns with the answer. It
// asks the origin last. The error wraps ErrUnknown, ErrApart, utxocache.ErrTip
// when there is no tip yet, or is the origin's.
func (s *Set) Get(ctx context.Context, op wire.OutPoint) (utxocache.Answer, utxocache.Tip, error) {
	var answers [1]utxocache.Answer
	ops := []wire.OutPoint{op}
	asked := 0
	for try := 1; ; try++ {
		v, ok := s.cache.View()
		if !ok {
			return utxocache.Answer{}, utxocache.Tip{}, fmt.Errorf("coin %s: %w: at none", op, utxocache.ErrTip)
		}
		v.Fetch(ops, answers[:])
		_, err := s.readBelow(v, ops, answers[:])
		if err == nil && answers[0].State == utxocache.Unknown {
			err = s.ask(ctx, v.Tip(), ops, answers[:])
			asked++
		}
		switch {
		case err == nil:
			return answers[0], v.Tip(), nil
		case !errors.Is(err, ErrApart), try == s.meetings, asked == maxAsked:
			return utxocache.Answer{}, v.Tip(), fmt.Errorf("coin %s: %w", op, err)
		}
		select {
		case <-time.After(time.Millisecond << min(try, 6)):
		case <-ctx.Done():
			return utxocache.Answer{}, v.Tip(), ctx.Err()
		}
	}
}

// ask has the origin answer for ops, if it does as of tip, and the cache remember
// it.
func (s *Set) ask(ctx context.Context, tip utxocache.Tip, ops []wire.OutPoint, answers []utxocache.Answer) error {
	if s.origin == nil {
		s.perf.unknown.Add(uint64(len(ops)))
		return ErrUnknown
	}
	start := time.Now()
	at, err := s.origin(ctx, ops, answers)
	if err != nil {
		return fmt.Errorf("ask the node: %w", err)
	}
	if at != tip {
		return fmt.Errorf("%w: the cache is at %s, the node answers as of %s", ErrApart, tip, at)
	}
	s.perf.latency[tierNode].Since(start)
	s.answered(len(ops), start)
	var found []wire.OutPoint
	var coins []utxocache.Coin
	for i := range ops {
		answers[i].Own = false
		if answers[i].State != utxocache.Unspent {
			s.perf.absent[tierNode].Add(1)
			continue
		}
		s.perf.found[tierNode].Add(1)
		found, coins = append(found, ops[i]), append(coins, answers[i].Coin)
	}
	s.cache.Remember(tip.Hash, found, coins, false)
	return nil
}
