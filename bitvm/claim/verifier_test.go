package claim

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/bitvm/groth16"
	"github.com/outrider-project/outrider/perfcore"
)

// slow returns a claim like c whose witnesses take a while to come, as they do from a node
// far away.
func slow(c *Claim, d time.Duration) *Claim {
	other, load := *c, c.Load
	other.Load = func(ctx context.Context) (*Stacks, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(d):
			return load(ctx)
		}
	}
	return &other
}

// honest returns a claim that is quickly judged.
func (p *prover) honest() *Claim {
	c := p.claim(p.signed)
	c.Validated = true
	return c
}

// Verdicts come in the order of the claims, however long each takes.
func TestOrder(t *testing.T) {
	p := newProver(t)
	wrong := *p.raw
	wrong.Hashes[9][0] ^= 1
	other := p.claim(p.stacks(&wrong, none))
	other.Validated = true
	synctest.Test(t, func(t *testing.T) {
		v := New(Options{Parallel: 4, Chunk: 2})
		defer v.Close()
		claims := func(yield func(*Claim) bool) {
			for i := range 24 {
				c := p.honest()
				if i%3 == 0 {
					c = other
				}
				if !yield(slow(c, time.Duration(i*7%5)*time.Second)) {
					return
				}
			}
		}
		var got []Outcome
		for verdict, err := range v.All(t.Context(), claims) {
			if err != nil {
				t.Error(err)
			}
			got = append(got, verdict.Outcome)
		}
		if want := slices.Repeat([]Outcome{Disprovable, Valid, Valid}, 8); !slices.Equal(got, want) {
			t.Errorf("%v", got)
		}
	})
}

// Of a sequence as many claims are taken as there is room for, and those that nobody asks
// for any more are given up.
func TestBackPressure(t *testing.T) {
	p := newProver(t)
	honest := p.honest()
	synctest.Test(t, func(t *testing.T) {
		v := New(Options{Parallel: 2, Chunk: 2, Queue: 5})
		defer v.Close()
		taken, seen := 0, 0
		claims := func(yield func(*Claim) bool) {
			for range 1000 {
				taken++
				if taken-seen > 6 { // the five, and the one that is handed in
					t.Errorf("%d claims are taken, and %d verdicts told", taken, seen)
				}
				if !yield(slow(honest, time.Second)) {
					return
				}
			}
		}
		start := time.Now()
		for verdict, err := range v.All(t.Context(), claims) {
			if err != nil || verdict.Outcome != Valid {
				t.Errorf("%+v, %v", verdict, err)
			}
			if seen++; seen == 20 {
				break
			}
		}
		// Two at a time, a second each; those that are given up take none.
		if took := time.Since(start); taken > 26 || took < 10*time.Second || took > 12*time.Second {
			t.Errorf("%d claims were taken, in %v", taken, took)
		}
	})
}

// Who waits is let go at once when his context ends; who is judged, when its load is.
func TestCancelled(t *testing.T) {
	p := newProver(t)
	synctest.Test(t, func(t *testing.T) {
		v := New(Options{Parallel: 1, Chunk: 1, Queue: 2})
		defer v.Close()
		stubborn := p.honest()
		stubborn.Load = func(context.Context) (*Stacks, error) {
			time.Sleep(time.Hour)
			return p.signed, nil
		}
		var callers sync.WaitGroup
		call := func(c *Claim, patience, want time.Duration, wantErr error) {
			callers.Go(func() {
				ctx, stop := context.WithTimeout(t.Context(), patience)
				defer stop()
				start := time.Now()
				verdict, err := v.Verify(ctx, c)
				if took := time.Since(start); took != want || !errors.Is(err, wantErr) || err == nil && verdict.Outcome != Valid {
					t.Errorf("%+v, %v after %v, want %v after %v", verdict, err, took, wantErr, want)
				}
			})
			synctest.Wait()
		}
		call(stubborn, time.Second, time.Hour, nil) // its load has begun, and knows no context
		call(p.honest(), time.Minute, time.Minute, context.DeadlineExceeded)
		call(p.honest(), time.Minute/2, time.Minute/2, context.DeadlineExceeded) // for which there is no room
		callers.Wait()
		call(slow(p.honest(), time.Hour), time.Minute, time.Minute, context.DeadlineExceeded)
		callers.Wait()
		call(p.honest(), time.Minute, 0, nil)
		callers.Wait()
		if n := len(v.rooms); n != 0 {
			t.Errorf("%d rooms are taken by nobody", n)
		}
	})
}

// Close lets those finish that are judged, and nobody else.
func TestClose(t *testing.T) {
	p := newProver(t)
	synctest.Test(t, func(t *testing.T) {
		v := New(Options{Parallel: 1, Chunk: 1, Queue: 2})
		var callers sync.WaitGroup
		for _, want := range []error{nil, ErrClosed, ErrClosed} { // judged, waiting, outside
			callers.Go(func() {
				if _, err := v.Verify(t.Context(), slow(p.honest(), time.Minute)); !errors.Is(err, want) {
					t.Errorf("%v, want %v", err, want)
				}
			})
			synctest.Wait()
		}
		start := time.Now()
		v.Close()
		if took := time.Since(start); took != time.Minute {
			t.Errorf("closed after %v", took)
		}
		callers.Wait()
		v.Close()
		if _, err := v.Verify(t.Context(), p.honest()); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

// What keeps a claim from being judged is told, and counted.
func TestNoVerdict(t *testing.T) {
	p := newProver(t)
	registry := new(perfcore.Registry)
	v := New(Options{Recorder: registry})
	defer v.Close()
	lost := errors.New("the block is gone")
	for _, tt := range []struct {
		what   string
		change func(*Claim)
		want   error
	}{
		{"a load that fails", func(c *Claim) { c.Load = func(context.Context) (*Stacks, error) { return nil, lost } }, lost},
		{"a load of nothing", func(c *Claim) { c.Load = func(context.Context) (*Stacks, error) { return nil, nil } }, errNoStacks},
		{"a key of two inputs", func(c *Claim) { c.Key = groth16.NewSimulator(2, 1).Key }, assertion.ErrInputs},
		{"a key that is none", func(c *Claim) { vk := *c.Key; vk.Delta.SetInfinity(); c.Key = &vk }, groth16.ErrKey},
	} {
		c := p.honest()
		tt.change(c)
		if got, err := v.Verify(t.Context(), c); !errors.Is(err, tt.want) || got.Outcome != 0 {
			t.Errorf("%s: %+v, %v", tt.what, got, err)
		}
	}
	if _, err := v.Verify(t.Context(), p.honest()); err != nil {
		t.Error(err)
	}
	counts := make(map[string]uint64)
	for _, s := range registry.Series() {
		if s.Counter != nil {
			counts[s.Metric.Name+" "+labelValue(s)] = s.Counter.Value()
		}
		if s.Gauge != nil && s.Metric.Name == "outrider_bitvm_key_bytes" && (s.Gauge.Value() < assertion.KeyBytes || s.Gauge.Value() > 2*assertion.KeyBytes) {
			t.Errorf("%v bytes of keys", s.Gauge.Value())
		}
	}
	for name, want := range map[string]uint64{
		"outrider_bitvm_claims_total none": 4, "outrider_bitvm_claims_total valid": 1, "outrider_bitvm_claims_total disprovable": 0,
		"outrider_bitvm_keys_total hit": 2, "outrider_bitvm_keys_total miss": 3, "outrider_bitvm_contradictions_total ": 0,
		"outrider_bitvm_commitments_total ": assertion.Commitments,
	} {
		if counts[name] != want {
			t.Errorf("%s: %d, want %d", name, counts[name], want)
		}
	}
	v.rooms <- struct{}{}
	v.finish(&job{done: make(chan struct{})}, Verdict{}, ErrContradiction)
	if v.in.contradictions.Value() != 1 {
		t.Error("a contradiction is not counted")
	}
}

func labelValue(s perfcore.Series) string {
	if len(s.Metric.Labels) == 0 {
		return ""
	}
	return s.Metric.Labels[1]
}

// Keys that were used last are kept, as many as there is memory for; two that differ
// somewhere are two.
func TestKeys(t *testing.T) {
	in := newInstruments(perfcore.Discard)
	c := newKeyCache(1<<20, in)
	vk := groth16.NewSimulator(1, 5).Key
	one := (&cachedKey{encoded: string(vk.EncodeEIP197())}).bytes()
	c.resize(3 * one)
	get := func(vk *groth16.VerifyingKey) *assertion.Key {
		t.Helper()
		key, err := c.get(vk)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	others := make([]*groth16.VerifyingKey, 4)
	for i := range others {
		others[i] = groth16.NewSimulator(1, uint64(10+i)).Key
	}
	first := get(vk)
	last := *vk
	last.IC = slices.Clone(vk.IC)
	if get(&last) != first {
		t.Error("an equal key is prepared again")
	}
	last.IC[1] = vk.IC[0]
	if get(&last) == first {
		t.Error("keys that differ in their last point are one")
	}
	get(others[0])
	if get(vk) != first {
		t.Error("the key is not kept")
	}
	get(others[1]) // last is the one that was not used for longest
	if get(vk) != first || len(c.byKey) != 3 || c.used != 3*one || c.order.Len() != 3 {
		t.Errorf("%d keys, %d bytes", len(c.byKey), c.used)
	}
	if _, kept := c.byKey[string(last.EncodeEIP197())]; kept {
		t.Error("the wrong key was dropped")
	}
	c.resize(one)
	if get(vk) != first || len(c.byKey) != 1 {
		t.Errorf("%d keys in a smaller cache", len(c.byKey))
	}
	c.resize(one - 1) // no room for any: they are prepared each time
	if len(c.byKey) != 0 || get(vk) == first || c.used != 0 {
		t.Errorf("%d keys, %d bytes", len(c.byKey), c.used)
	}
	bad := *vk
	bad.Beta.SetInfinity()
	c.resize(2 * one)
	for range 2 {
		if _, err := c.get(&bad); !errors.Is(err, groth16.ErrKey) || c.used != 0 {
			t.Errorf("%v, %d bytes", err, c.used)
		}
	}
}

// Knobs change how claims are judged and nothing about a verdict, at any moment.
func TestKnobs(t *testing.T) {
	p := newProver(t)
	v := New(Options{Parallel: 3, Chunk: 5, KeyBytes: 100})
	defer v.Close()
	knobs := v.Knobs()
	want := map[string]int64{"bitvm.claims": 3, "bitvm.chunk": 5, "bitvm.keys": 100}
	for i := range knobs {
		k := &knobs[i]
		if err := k.Check(); err != nil || k.Read() != want[k.Name] {
			t.Errorf("%s reads %d: %v", k.Name, k.Read(), err)
		}
		if k.Hastens == (k.Name == "bitvm.keys") {
			t.Errorf("%s hastens: %v", k.Name, k.Hastens)
		}
		delete(want, k.Name)
	}
	if len(want) != 0 {
		t.Errorf("no knobs %v", want)
	}
	wrong := *p.raw
	wrong.Hashes[300][1] ^= 1
	other := p.claim(p.stacks(&wrong, none))
	other.Validated = true
	honest := p.honest()
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			c, want := honest, Valid
			if i%2 == 0 {
				c, want = other, Disprovable
			}
			for range 6 {
				if got, err := v.Verify(t.Context(), c); err != nil || got.Outcome != want {
					t.Errorf("%+v, %v", got, err)
				}
			}
		})
	}
	for round := range 30 {
		for i := range knobs {
			k := &knobs[i]
			if err := k.Set(t.Context(), k.Ladder[round%len(k.Ladder)]); err != nil {
				t.Error(err)
			}
		}
		runtime.Gosched()
	}
	callers.Wait()
}

// As many claims are judged at once as the knob says.
func TestParallel(t *testing.T) {
	p := newProver(t)
	honest := p.honest()
	synctest.Test(t, func(t *testing.T) {
		v := New(Options{Parallel: 1, Chunk: 1})
		defer v.Close()
		knobs := v.Knobs()
		claims := func(yield func(*Claim) bool) {
			for range 16 {
				if !yield(slow(honest, time.Second)) {
					return
				}
			}
		}
		for parallel, want := range map[int64]time.Duration{1: 16 * time.Second, 4: 4 * time.Second, 16: time.Second} {
			if err := knobs[0].Set(t.Context(), parallel); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			for verdict, err := range v.All(t.Context(), claims) {
				if err != nil || verdict.Outcome != Valid {
					t.Errorf("%+v, %v", verdict, err)
				}
			}
			if took := time.Since(start); took != want {
				t.Errorf("%d at once took %v, want %v", parallel, took, want)
			}
		}
	})
}

// A goroutine takes claims by one key, in the order of arrival, and leaves others their
// share.
func TestTake(t *testing.T) {
	v := New(Options{Parallel: 4, Chunk: 3})
	defer v.Close()
	a, b := new(assertion.Key), new(assertion.Key)
	all := make([]*job, 0, 12)
	for i, key := range []*assertion.Key{a, a, b, a, a, b, a, a, b, a, a, a} {
		all = append(all, &job{key: key, since: time.Unix(int64(i), 0)})
	}
	v.queue = slices.Clone(all)
	for _, step := range []struct {
		parallel int
		want     []int
	}{
		{4, []int{0, 1, 3}}, // a quarter of twelve
		{4, []int{2, 5, 8}},
		{4, []int{4, 6}}, // of six
		{1, []int{7, 9, 10}},
		{4, []int{11}},
	} {
		v.parallel = step.parallel
		var got []int
		for _, j := range v.take() {
			got = append(got, slices.Index(all, j))
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("%v are taken, want %v", got, step.want)
		}
	}
	if len(v.queue) != 0 {
		t.Errorf("%d claims are left", len(v.queue))
	}
}

// The knob is heard while claims wait: more goroutines begin at once, and those that are
// too many end with their claim.
func TestParallelMeanwhile(t *testing.T) {
	p := newProver(t)
	for _, tt := range []struct {
		from, to int64
		want     time.Duration
	}{
		{1, 8, 1500 * time.Millisecond}, // one ends after a second, those that began at the half of it later
		{4, 1, 5 * time.Second},         // four after a second, and one after the other then
	} {
		synctest.Test(t, func(t *testing.T) {
			v := New(Options{Parallel: int(tt.from), Chunk: 1})
			defer v.Close()
			knob := v.Knobs()[0]
			var callers sync.WaitGroup
			start := time.Now()
			for range 8 {
				callers.Go(func() {
					if got, err := v.Verify(t.Context(), slow(p.honest(), time.Second)); err != nil || got.Outcome != Valid {
						t.Errorf("%+v, %v", got, err)
					}
				})
			}
			time.Sleep(500 * time.Millisecond)
			if err := knob.Set(t.Context(), tt.to); err != nil {
				t.Fatal(err)
			}
			callers.Wait()
			if took := time.Since(start); took != tt.want {
				t.Errorf("from %d to %d: %v, want %v", tt.from, tt.to, took, tt.want)
			}
		})
	}
}
