package coindb

import "github.com/cockroachdb/pebble/v2"

// A coinReader has iterators over all coins, for look-ups. It is safe for concurrent use.
type coinReader interface {
	// open returns one for one goroutine, and leave takes it back, if it has not failed.
	open() (opened, error)
	leave(it opened) error
}

// An opened iterator is over all coins.
type opened struct {
	*pebble.Iterator
	tables uint64 // DB.tables when it was opened
}

// anew opens each iterator anew.
type anew struct{ pebble.Reader }

func (r anew) open() (it opened, err error) {
	lower, upper := span(kindCoin)
	it.Iterator, err = r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	return it, err
}

func (anew) leave(it opened) error { return it.Close() }

// maxIdle is how many iterators wait for the next look-ups at most. Each holds some blocks of
// tables, those that the cache has dropped too: a block of coins and two of an index in each level
// at most.
const maxIdle = maxReaders

// open returns an iterator that was left, or a new one: to open one takes a fifth of a look-up whose
// block is cached. One keeps the tables and the memtables that there were from being dropped, so none
// is used again when there are others. The next change of the database closes them all.
func (s *snapshot) open() (opened, error) {
	for {
		tables := s.db.tables.Load()
		it, ok := s.left()
		switch {
		case !ok:
			s.db.installed()
			it, err := anew{s.snap}.open()
			it.tables = tables
			return it, err
		case it.tables == tables:
			return it, nil
		}
		s.end(it)
	}
}

// installed returns when what has been counted in tables is there for new iterators. Pebble tells of
// the end of a compaction before its tables are, and holds the lock meanwhile that a snapshot takes.
func (d *DB) installed() { d.pebble.NewSnapshot().Close() }

// left returns an iterator that was left, if there is one.
func (s *snapshot) left() (it opened, ok bool) {
	s.idling.Lock()
	defer s.idling.Unlock()
	last := len(s.idle) - 1
	if last < 0 {
		return opened{}, false
	}
	it = s.idle[last]
	s.idle = s.idle[:last]
	return it, true
}

// leave implements coinReader.
func (s *snapshot) leave(it opened) error {
	it.ResetStats()
	s.idling.Lock()
	if !s.past && len(s.idle) < maxIdle && it.tables == s.db.tables.Load() {
		s.idle = append(s.idle, it)
		it.Iterator = nil
	}
	s.idling.Unlock()
	if it.Iterator == nil {
		return nil
	}
	return it.Close()
}

// endIdle closes the iterators that were left. If s is of the past, none is left from now on.
func (s *snapshot) endIdle(past bool) {
	s.idling.Lock()
	idle := s.idle
	s.idle, s.past = nil, s.past || past
	s.idling.Unlock()
	for _, it := range idle {
		s.end(it)
	}
}

// end closes an iterator that was left: what it was asked for it has answered, so that nobody fails
// by it.
func (s *snapshot) end(it opened) {
	if err := it.Close(); err != nil {
		s.db.opts.Log.Warn("coin database: an iterator is not closed", "error", err)
	}
}
