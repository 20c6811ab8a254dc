package coindb

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/outrider-project/outrider/perfcore"
)

// follow follows the MuHash of d until the test ends it, or ends.
func follow(t *testing.T, d *DB) (end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.FollowMuHash(ctx) }()
	for d.followers.Load() == 0 && len(ended) == 0 {
		runtime.Gosched()
	}
	var once bool
	end = func() error {
		cancel()
		once = true
		return <-ended
	}
	t.Cleanup(func() {
		if !once {
			if err := end(); !errors.Is(err, context.Canceled) && !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		}
	})
	return end
}

// until waits until d knows the MuHash of the chain's tip by itself.
func until(t *testing.T, d *DB, m *moment) {
	t.Helper()
	for t.Context().Err() == nil {
		hashed := d.hashed.wait()
		got, err := d.MuHashAt(m.tip)
		if err == nil {
			if want := m.hash(); got != want {
				t.Fatalf("at %s the MuHash is %s, must be %s", m.tip, got, want)
			}
			return
		}
		mustFail(t, err, ErrNoMuHash)
		if d.followers.Load() == 0 {
			t.Fatal("nobody follows the MuHash any more")
		}
		<-hashed
	}
}

// The MuHash follows blocks and their undoing, and a database that begins anew.
func TestFollowMuHash(t *testing.T) {
	c := newChain(seedOf(t))
	d := mustOpen(t, vfs.NewMem(), Options{UndoBlocks: 30})
	end := follow(t, d) // which waits for a tip
	must(t, d.Reset(c.top().tip, true))
	for range 40 {
		for range 1 + c.rng.IntN(4) {
			must(t, d.Apply(c.mine()))
		}
		if c.chance(2) {
			until(t, d, c.top())
		}
		for range min(c.rng.IntN(3), len(c.moments)-1) {
			must(t, d.Undo(c.undo().tip))
		}
	}
	must(t, d.Apply(c.mine()))
	until(t, d, c.top())
	*c = *newChain(9)
	must(t, d.Reset(c.top().tip, true))
	must(t, d.Apply(c.mine()))
	until(t, d, c.top())
	mustFail(t, end(), context.Canceled)
	end = follow(t, d)
	must(t, d.Close())
	if err := end(); !errors.Is(err, ErrClosed) && !errors.Is(err, context.Canceled) {
		t.Errorf("after Close the follower ends with %v", err)
	}
}

// What was hashed is thrown away when its block was undone meanwhile, or the one
// before it, even if that was applied again.
func TestMuHashOvertaken(t *testing.T) {
	c := newChain(seedOf(t))
	d := mustOpen(t, vfs.NewMem(), Options{})
	must(t, d.Reset(c.top().tip, true))
	for range 3 {
		must(t, d.Apply(c.mine()))
	}
	compareHash(t, d, c.top())
	below := c.top().tip
	c.coinbases = nil // the rival of a block that BIP30 exempts would not be exempt
	one, two := c.mine(), c.mine()
	hash := func() (last, next *hashRecord) {
		t.Helper()
		v, err := d.View()
		must(t, err)
		last, next, err = v.hashNext()
		must(t, errors.Join(err, v.Close()))
		return last, next
	}
	at := func(want Tip) {
		t.Helper()
		r, err := d.lastHash(d.pebble)
		must(t, err)
		if r.tip != want {
			t.Fatalf("the MuHash is of %s, must be of %s", r.tip, want)
		}
	}
	must(t, d.Apply(one))
	last, next := hash()
	must(t, d.Undo(one.Tip))
	must(t, d.putHash(last, next))
	at(below)
	rival := *one
	rival.Hash = [32]byte{1}
	must(t, d.Apply(&rival))
	must(t, d.putHash(last, next))
	at(below)
	must(t, d.Undo(rival.Tip))

	must(t, d.Apply(one))
	must(t, d.putHash(last, next))
	at(one.Tip)
	must(t, d.Apply(two))
	last, next = hash()
	must(t, d.Undo(two.Tip))
	must(t, d.Undo(one.Tip))
	must(t, d.Apply(one))
	must(t, d.Apply(two))
	must(t, d.putHash(last, next)) // there is none of the block before
	at(below)
	compareHash(t, d, c.top())
}

// Close ends who follows the MuHash, though nothing else happens.
func TestCloseEndsFollower(t *testing.T) {
	d := mustOpen(t, vfs.NewMem(), Options{})
	ended := make(chan error, 1)
	go func() { ended <- d.FollowMuHash(context.Background()) }()
	for d.followers.Load() == 0 {
		runtime.Gosched()
	}
	must(t, d.Close())
	mustFail(t, <-ended, ErrClosed)
}

// A block waits while the MuHash is so far behind that what is missing would be
// forgotten, if somebody follows it. Else it is lost, until all is hashed afresh.
func TestMuHashBehind(t *testing.T) {
	const undo, blocks = 4, 12
	reg := new(perfcore.Registry)
	c := newChain(seedOf(t))
	d := mustOpen(t, vfs.NewMem(), Options{UndoBlocks: undo, Recorder: reg})
	must(t, d.Reset(c.top().tip, true))

	d.hashing <- struct{}{} // the follower waits
	end := follow(t, d)
	for d.followers.Load() == 0 {
		runtime.Gosched()
	}
	applied := make(chan error, blocks)
	go func() {
		for range blocks {
			applied <- d.Apply(c.mine())
		}
		close(applied)
	}()
	for range undo {
		must(t, <-applied)
	}
	waits := func() (n uint64) {
		for _, s := range reg.Series() {
			if s.Metric.Name == "outrider_coindb_muhash_waits_total" {
				n = s.Counter.Value()
			}
		}
		return n
	}
	for waits() == 0 && len(applied) == 0 {
		runtime.Gosched()
	}
	if n := len(applied); n > 0 {
		t.Errorf("%d blocks did not wait", n)
	}
	<-d.hashing
	for err := range applied {
		must(t, err)
	}
	until(t, d, c.top())
	mustFail(t, end(), context.Canceled)

	for range undo + 1 {
		must(t, d.Apply(c.mine()))
	}
	_, _, err := d.MuHash(t.Context())
	mustFail(t, err, ErrNoMuHash)
	mustFail(t, d.FollowMuHash(t.Context()), ErrNoMuHash)

	var shares []float64
	must(t, d.Rehash(t.Context(), func(share float64) { shares = append(shares, share) }))
	if n := len(shares); n == 0 || shares[n-1] != 1 {
		t.Errorf("progress is %v", shares)
	}
	for range undo { // it is known wherever Undo can lead
		compareHash(t, d, c.top())
		must(t, d.Undo(c.undo().tip))
	}
	compareHash(t, d, c.top())
	must(t, d.Apply(c.mine()))
	compareHash(t, d, c.top())
}

// Whoever waits for the MuHash need not wait for ever.
func TestMuHashContext(t *testing.T) {
	c := newChain(seedOf(t))
	d := mustOpen(t, vfs.NewMem(), Options{})
	_, _, err := d.MuHash(t.Context())
	mustFail(t, err, ErrNoTip)
	mustFail(t, d.Rehash(t.Context(), nil), ErrNoTip)
	must(t, d.Reset(c.top().tip, true))
	d.hashing <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = d.MuHash(ctx)
	mustFail(t, err, context.Canceled)
	mustFail(t, d.Rehash(ctx, nil), context.Canceled)
	<-d.hashing
	compareHash(t, d, c.top())
}

// Fewer blocks that can be undone than before are fewer MuHashes, and as good.
func TestMuHashFewer(t *testing.T) {
	c := newChain(seedOf(t))
	fs := vfs.NewMem()
	d := mustOpen(t, fs, Options{UndoBlocks: 20})
	must(t, d.Reset(c.top().tip, true))
	for range 40 {
		must(t, d.Apply(c.mine()))
		compareHash(t, d, c.top())
	}
	must(t, d.Close())
	d = mustOpen(t, fs, Options{UndoBlocks: 5})
	report, err := d.Check(t.Context())
	must(t, err)
	if report.MuHashes != 6 || report.UndoRecords != 5 || len(report.Problems) > 0 {
		t.Errorf("%d MuHashes, %d undo records, %q", report.MuHashes, report.UndoRecords, report.Problems)
	}
	for range 5 {
		must(t, d.Undo(c.undo().tip))
	}
	compareHash(t, d, c.top())
}

// All coins are hashed afresh in pieces, and no further than the pace has it; what follows
// the blocks is not kept.
func TestRehashIsPaced(t *testing.T) {
	const undo, blocks = 8, 20
	var pieces int
	var took time.Duration
	var enough error
	c := newChain(seedOf(t))
	d := mustOpen(t, vfs.NewMem(), Options{UndoBlocks: undo, hashStep: 5, Pace: func(_ context.Context, piece time.Duration) error {
		if pieces++; pieces == 3 && enough != nil {
			return enough
		}
		took += piece
		return nil
	}})
	must(t, d.Reset(c.top().tip, true))
	for range blocks {
		must(t, d.Apply(c.mine()))
		compareHash(t, d, c.top())
	}
	if pieces != 0 {
		t.Errorf("what follows the blocks has waited %d times", pieces)
	}
	for coins := len(c.top().coins); coins < 25; coins = len(c.top().coins) {
		must(t, d.Apply(c.mine()))
		compareHash(t, d, c.top())
	}
	began := time.Now()
	must(t, d.Rehash(t.Context(), nil))
	elapsed := time.Since(began)
	if want := len(c.top().coins)/5 + undo; pieces < want || pieces > want+1 || took > elapsed || took == 0 {
		t.Errorf("%d coins and %d blocks are %d pieces that took %v of %v", len(c.top().coins), undo, pieces, took, elapsed)
	}
	compareHash(t, d, c.top())
	pieces, enough = 0, errors.New("enough")
	mustFail(t, d.Rehash(t.Context(), nil), enough)
	compareHash(t, d, c.top())
}
