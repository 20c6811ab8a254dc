//go:build !purego

package muhash

import "testing"

func TestAllocations(t *testing.T) {
	var s Set
	e, state := fromInt(1), make([]byte, 0, StateSize)
	if n := testing.AllocsPerRun(10, func() { s.Insert(e); s.Remove(e); s.Combine(&s); s.Append(state) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
