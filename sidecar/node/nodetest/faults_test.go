package nodetest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// echo starts a server that answers each connection with n bytes, whatever it
// receives, and says how many bytes it received.
func echo(t *testing.T, n int) (addr string, received func() int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	counts := make(chan int, 1)
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer c.Close()
				buf := make([]byte, 1000)
				got, err := io.ReadAtLeast(c, buf, 100)
				if err == nil {
					c.Write(bytes.Repeat([]byte("x"), n))
				}
				counts <- got
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		served.Wait()
	})
	return l.Addr().String(), func() int { return <-counts }
}

// exchange sends 100 bytes and returns what comes back within the deadline.
func exchange(t *testing.T, addr string, patience time.Duration) ([]byte, error) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(bytes.Repeat([]byte("u"), 100)); err != nil {
		return nil, err
	}
	return io.ReadAll(c)
}

func TestFaults(t *testing.T) {
	addr, received := echo(t, 500)
	whole := bytes.Repeat([]byte("x"), 500)
	corrupt := slices.Clone(whole)
	corrupt[123] = 0
	for _, tt := range []struct {
		fault    Fault
		received int // -1 when the server hears nothing of it
		want     []byte
		err      bool
		happens  bool
	}{
		{Fault{}, 100, whole, false, true},
		{Fault{Kind: Refuse}, -1, nil, true, true},
		{Fault{Kind: Cut, After: 0}, 100, nil, false, true},
		{Fault{Kind: Cut, After: 123}, 100, whole[:123], false, true},
		{Fault{Kind: Cut, After: 501}, 100, whole, false, false},
		{Fault{Kind: Cut, Up: true, After: 99}, 99, nil, false, true},
		{Fault{Kind: Cut, Up: true, After: 0}, 0, nil, false, true},
		{Fault{Kind: Corrupt, After: 123}, 100, corrupt, false, true},
		{Fault{Kind: Corrupt, After: 500}, 100, whole, false, false},
		{Fault{Kind: Silence, After: 123}, 100, whole[:123], true, true},
		{Fault{Kind: Silence, Up: true, After: 50}, 50, nil, true, true},
		{Fault{Kind: Dribble}, 100, whole, false, true},
		{Fault{Kind: Dribble, Up: true}, 100, whole, false, true},
	} {
		t.Run(tt.fault.String(), func(t *testing.T) {
			f := NewFaults(t, addr, 1)
			f.Each(func(Rand) Fault { return tt.fault })
			patience := 10 * time.Second
			if tt.fault.Kind == Silence {
				patience = 200 * time.Millisecond
			}
			got, err := exchange(t, f.Addr(), patience)
			if !bytes.Equal(got, tt.want) || (err != nil) != tt.err {
				t.Errorf("received %d bytes, %v, want %d", len(got), err, len(tt.want))
			}
			if silent := errors.Is(err, os.ErrDeadlineExceeded); silent != (tt.fault.Kind == Silence) {
				t.Errorf("error %v", err)
			}
			if tt.received >= 0 {
				if n := received(); n != tt.received {
					t.Errorf("the server received %d bytes, want %d", n, tt.received)
				}
			}
			want := 0
			if tt.happens {
				want = 1
			}
			if got := f.Count(tt.fault.Kind); got != want {
				t.Errorf("%d faults are counted, want %d", got, want)
			}
		})
	}
}

// The end of a connection is no fault, also where one was due next.
func TestFaultsNeedABytePassed(t *testing.T) {
	for _, kind := range []FaultKind{Cut, Silence, Corrupt} {
		p := pump{fault: Fault{Kind: kind}, happened: func() { t.Errorf("%v happened to no byte", kind) }}
		if _, then := p.spoil(nil); then != goOn {
			t.Errorf("%v ends a connection that has ended", kind)
		}
	}
}

// The faults of a proxy depend on its seed and on nothing else.
func TestFaultsAreSeeded(t *testing.T) {
	addr, _ := echo(t, 1)
	draw := func(seed uint64) (drawn []Fault) {
		f := NewFaults(t, addr, seed)
		f.Random(0.9, 1000)
		pick := f.pick
		f.Each(func(rng Rand) Fault {
			drawn = append(drawn, pick(rng))
			return Fault{Kind: Refuse}
		})
		for range 50 {
			exchange(t, f.Addr(), time.Second)
		}
		f.Close()
		return drawn
	}
	first, again, other := draw(1), draw(1), draw(2)
	if !slices.Equal(first, again) || slices.Equal(first, other) || len(first) != 50 {
		t.Errorf("%v\n%v\n%v", first, again, other)
	}
	kinds := make(map[FaultKind]bool)
	for _, f := range first {
		kinds[f.Kind] = true
	}
	if len(kinds) != int(numFaultKinds) {
		t.Errorf("only these kinds occur: %v", kinds)
	}
}
