package endpoint

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// The knob says how many exchanges an endpoint has open at once, within what its operator
// allows; one that is set down drops none.
func TestConcurrency(t *testing.T) {
	entered, release := make(chan struct{}, 64), make(chan struct{})
	held := func(http.ResponseWriter, *http.Request, call) bool {
		entered <- struct{}{}
		<-release
		return false
	}
	a, b := newServer(t, held), newServer(t, nil)
	opts := options(a, b)
	opts.Endpoints[0].Calls, opts.Endpoints[1].Calls = 6, 3
	p := open(t, opts)
	one := p.Only("a")
	i := slices.IndexFunc(one.Knobs(), func(k perfcore.Knob) bool { return k.Name == "bob.l2_concurrency" })
	knob := one.Knobs()[i]
	if err := knob.Check(); err != nil || !slices.Equal(knob.Ladder, []int64{1, 2, 4, 6}) || knob.Read() != 6 || knob.Carry != 0 {
		t.Fatalf("the knob is at %d of %v, carries %d over, %v", knob.Read(), knob.Ladder, knob.Carry, err)
	}
	for _, n := range []int64{0, 7} {
		if err := knob.Apply(t.Context(), n); err == nil || knob.Read() != 6 || p.nodes[0].places.Size() != 6 {
			t.Errorf("%d exchanges: %v, at %d", n, err, knob.Read())
		}
	}
	set := func(n int64, most ...int) {
		t.Helper()
		if err := knob.Set(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		for i, want := range most {
			if got := p.nodes[i].places.Size(); got != want {
				t.Errorf("at %d endpoint %d has %d places, want %d", n, i, got, want)
			}
		}
	}
	set(1, 1, 1)
	set(6, 6, 3) // the second allows no more

	var callers sync.WaitGroup
	ask := func(n int) {
		for range n {
			callers.Go(func() {
				if _, err := one.Call(t.Context(), "eth_sendRawTransaction", "0x"); err != nil {
					t.Error(err)
				}
			})
		}
	}
	await := func(open, waiting int) {
		t.Helper()
		for patience := time.After(10 * time.Second); ; {
			st := p.Status()[0]
			if st.Open == open && st.Waiting == waiting {
				return
			}
			select {
			case <-patience:
				t.Fatalf("status %+v, want %d open and %d waiting", st, open, waiting)
			case <-time.After(time.Millisecond):
			}
		}
	}
	ask(10)
	for range 6 {
		<-entered
	}
	await(6, 4)
	set(2, 2, 2)
	await(6, 4)
	for left := 5; left >= 2; left-- {
		release <- struct{}{}
		await(left, 4)
	}
	release <- struct{}{}
	<-entered
	await(2, 3)
	set(4, 4, 3)
	<-entered
	<-entered
	await(4, 1)
	if len(entered) != 0 {
		t.Errorf("%d more are open than the knob says", len(entered))
	}
	close(release)
	callers.Wait()
	await(0, 0)
	if posts, _ := a.seen(); posts != 10 {
		t.Errorf("%d of 10 calls were made", posts)
	}
}
