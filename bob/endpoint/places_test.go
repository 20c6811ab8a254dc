package endpoint

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// Places go to who waits longest, whoever leaves and however many there are.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(2)
		if !p.tryTake() || p.take(t.Context()) != nil || p.tryTake() {
			t.Fatal("two places are not two")
		}
		var mu sync.Mutex // guards came
		var came []int
		var waiting sync.WaitGroup
		impatient, leave := context.WithCancel(t.Context())
		for i := range 6 {
			ctx := t.Context()
			if i == 1 {
				ctx = impatient
			}
			waiting.Go(func() {
				if p.take(ctx) == nil {
					mu.Lock()
					defer mu.Unlock()
					came = append(came, i)
				}
			})
			synctest.Wait()
		}
		step := func(do func(), open int, want ...int) {
			t.Helper()
			do()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if p.open() != open || !slices.Equal(came, want) {
				t.Errorf("%d are open and %v came, want %d and %v", p.open(), came, open, want)
			}
		}
		step(func() { p.set(1) }, 2)
		step(leave, 2) // the second in the queue
		step(p.leave, 1)
		if p.tryTake() {
			t.Error("there is a place for who did not wait")
		}
		step(p.leave, 1, 0)
		step(func() { p.set(2) }, 2, 0, 2)
		step(func() { p.set(3) }, 3, 0, 2, 3)
		step(p.leave, 3, 0, 2, 3, 4)
		step(func() { p.set(9) }, 4, 0, 2, 3, 4, 5)
		waiting.Wait()
		for range 4 {
			p.leave()
		}
		if p.open() != 0 || len(p.queue) != 0 {
			t.Errorf("%d are open and %d wait when all have left", p.open(), len(p.queue))
		}
	})
}

// Whatever happens at the same moment, no place is lost and none is given twice.
func TestPlacesRace(t *testing.T) {
	const most = 8
	p := newPlaces(most)
	var in, came, gaveUp atomic.Int64
	ended := make(chan struct{})
	var setting, callers sync.WaitGroup
	setting.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
				p.set(1 + rand.IntN(most))
			}
		}
	})
	for range 4 * most {
		callers.Go(func() {
			for range 500 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(200))*time.Microsecond)
				if p.take(ctx) != nil {
					gaveUp.Add(1)
				} else {
					if n := in.Add(1); n > most {
						t.Errorf("%d have a place", n)
					}
					came.Add(1)
					in.Add(-1)
					p.leave()
				}
				cancel()
			}
		})
	}
	callers.Wait()
	close(ended)
	setting.Wait()
	if p.open() != 0 || len(p.queue) != 0 || came.Load() == 0 {
		t.Errorf("%d are open and %d wait in the end; %d came and %d gave up", p.open(), len(p.queue), came.Load(), gaveUp.Load())
	}
	p.set(most)
	for i := range most {
		if !p.tryTake() {
			t.Fatalf("of %d places %d are left", most, i)
		}
	}
}

// A late is a context that is over, which calls then when somebody begins to wait for it.
type late struct {
	context.Context
	then func()
}

func (l late) Done() <-chan struct{} {
	l.then()
	return l.Context.Done()
}

// Who gets a place at the moment in which it gives up either has it or has left it to
// the next.
func TestPlacesAtTheSameMoment(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	p := newPlaces(1)
	gaveUp := 0
	for range 64 {
		if err := p.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p.take(late{over, p.leave}) != nil {
			gaveUp++
		} else {
			p.leave()
		}
		if n := p.open(); n != 0 {
			t.Fatalf("%d are open when all have left", n)
		}
	}
	if gaveUp == 0 {
		t.Error("nobody gave up")
	}
}

// Taking a free place allocates nothing.
func TestPlacesAllocate(t *testing.T) {
	p := newPlaces(1)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if p.take(ctx) == nil {
			p.leave()
		}
	}); n != 0 {
		t.Errorf("a place costs %v allocations", n)
	}
}

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
		if err := knob.Apply(t.Context(), n); err == nil || knob.Read() != 6 || p.nodes[0].places.most != 6 {
			t.Errorf("%d exchanges: %v, at %d", n, err, knob.Read())
		}
	}
	set := func(n int64, most ...int) {
		t.Helper()
		if err := knob.Set(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		for i, want := range most {
			if got := p.nodes[i].places.most; got != want {
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
