package hashlane

import "runtime"

// spares holds values that were used and may be used again, one for each processor
// at most. Unlike those of a sync.Pool they outlive a collection, which would have a
// block pay for them anew: they are few and small.
type spares[T any] struct {
	free  chan *T
	fresh func() *T
}

func newSpares[T any](fresh func() *T) spares[T] {
	return spares[T]{make(chan *T, runtime.NumCPU()), fresh}
}

// take returns a value, which may hold what its last user left in it.
func (s spares[T]) take() *T {
	select {
	case v := <-s.free:
		return v
	default:
		return s.fresh()
	}
}

// give takes a value back that its user no longer needs.
func (s spares[T]) give(v *T) {
	select {
	case s.free <- v:
	default:
	}
}
