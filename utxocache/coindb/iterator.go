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

// maxIdle is how many iterators wait for the next look-ups at most. Each keeps some blocks of
// tables in the cache.
const maxIdle = maxReaders

// open returns an iterator that was left, or a new one: to open one takes a fifth of a look-up whose
// block is cached. One keeps the tables and the memtables that there were from being dropped, so none
// is used again when there are others. The next change of the database closes them all.
func (s *snapshot) open() (opened, error) {
	for {
		tables := s.tables.Load()
		it, ok := s.left()
		switch {
		case !ok:
			it, err := anew{s.snap}.open()
			it.tables = tables
			return it, err
		case it.tables == tables:
			return it, nil
		}
		if err := it.Close(); err != nil {
			return opened{}, err
		}
	}
}

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
	if len(s.idle) < maxIdle && it.tables == s.tables.Load() {
		s.idle = append(s.idle, it)
		it.Iterator = nil
	}
	s.idling.Unlock()
	if it.Iterator == nil {
		return nil
	}
	return it.Close()
}
