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

// The knobs of a pool are those of the pool beside it, too; of neither an endpoint has more
// exchanges open than its operator allows.
func TestBeside(t *testing.T) {
	a, b := newServer(t, nil), newServer(t, nil)
	first, second := options(a), options(b)
	first.Endpoints[0].Calls, second.Endpoints[0].Calls = 4, 12
	p := open(t, first)
	second.Beside, second.Endpoints[0].Name = p, "beside"
	q := open(t, second)
	places := func(want ...int) {
		t.Helper()
		if got := []int{p.nodes[0].places.Size(), q.nodes[0].places.Size()}; !slices.Equal(got, want) {
			t.Errorf("the endpoints have %v places, want %v", got, want)
		}
	}
	places(4, 12)
	for i, k := range p.Knobs() {
		same := q.Knobs()[i]
		if same.Name != k.Name || same.Read() != k.Read() || !slices.Equal(same.Ladder, k.Ladder) {
			t.Fatalf("%s is at %d of %v, and %s at %d of %v", k.Name, k.Read(), k.Ladder, same.Name, same.Read(), same.Ladder)
		}
		v := k.Ladder[1]
		if err := k.Set(t.Context(), v); err != nil || same.Read() != v {
			t.Errorf("%s is set to %d, and reads %d beside: %v", k.Name, v, same.Read(), err)
		}
	}
	places(2, 2)
	third := options(newServer(t, nil))
	third.Beside = q
	third.Endpoints[0].Calls = 64
	r, err := New(third)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.nodes[0].places.Size(); got != 2 {
		t.Errorf("an endpoint that came late has %d places", got)
	}
	third.Layer = "l1"
	if _, err := New(third); err == nil {
		t.Error("there is a pool of layer l1 beside one of l2")
	}
}
