package muhash

import "sync"

// minPart is the least number of elements that are worth a goroutine: they take
// about a hundred times as long as it takes to start.
const minPart = 32

// A Batch holds elements that are to be inserted and removed together, so that
// several goroutines can work on them. The zero value is an empty batch. It is
// for one goroutine at a time.
type Batch struct {
	inserted, removed elements
	parts             []Set
}

// elements are elements one after another.
type elements struct {
	bytes []byte
	ends  []int // where each ends in bytes
}

func (e *elements) add(element []byte) {
	e.bytes = append(e.bytes, element...)
	e.ends = append(e.ends, len(e.bytes))
}

// part calls f with each element of the given part of several, which are as
// equal as can be.
func (e *elements) part(part, parts int, f func([]byte)) {
	from, to := len(e.ends)*part/parts, len(e.ends)*(part+1)/parts
	start := 0
	if from > 0 {
		start = e.ends[from-1]
	}
	for _, end := range e.ends[from:to] {
		f(e.bytes[start:end])
		start = end
	}
}

func (e *elements) reset() { e.bytes, e.ends = e.bytes[:0], e.ends[:0] }

// Insert adds an element that is to be inserted. It keeps a copy.
func (b *Batch) Insert(element []byte) { b.inserted.add(element) }

// Remove adds an element that is to be removed. It keeps a copy.
func (b *Batch) Remove(element []byte) { b.removed.add(element) }

// Len returns the number of elements.
func (b *Batch) Len() int { return len(b.inserted.ends) + len(b.removed.ends) }

// Reset empties b and keeps its memory for what comes next.
func (b *Batch) Reset() {
	b.inserted.reset()
	b.removed.reset()
}

// Apply inserts and removes the elements of b, which keeps them. So many
// goroutines work on it, the caller's among them, or fewer if there is not
// enough to do; when it returns, they have ended. Which element went to which of
// them does not show in the result.
func (s *Set) Apply(b *Batch, goroutines int) {
	parts := max(1, min(goroutines, b.Len()/minPart))
	for len(b.parts) < parts {
		b.parts = append(b.parts, Set{})
	}
	var others sync.WaitGroup
	for i := 1; i < parts; i++ {
		others.Go(func() { b.multiply(i, parts) })
	}
	b.multiply(0, parts)
	others.Wait()
	for i := range parts {
		s.Combine(&b.parts[i])
	}
}

// multiply sets a part's set to that of its elements.
func (b *Batch) multiply(part, parts int) {
	var s Set
	b.inserted.part(part, parts, s.Insert)
	b.removed.part(part, parts, s.Remove)
	b.parts[part] = s
}
