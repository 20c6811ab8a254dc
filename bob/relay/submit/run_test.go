package submit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/outrider-project/outrider/bob/endpoint"
	"github.com/outrider-project/outrider/bob/relay/relaytest"
)

// A runner is a Submitter that runs, and takes a step only when it is woken.
type runner struct {
	*Submitter
	wake chan struct{}
	stop func() error
}

// run runs a submitter with the world's options, which looks by itself once an hour.
func (w *world) run(t *testing.T) *runner {
	t.Helper()
	r := &runner{wake: make(chan struct{})}
	w.options.Poll, w.options.Wake = time.Hour, r.wake
	r.Submitter = w.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = r.stop() }) // before the journal is closed
	return r
}

// step has the runner take a step, and returns when that is done: a value is taken only
// while it waits.
func (r *runner) step(t *testing.T) {
	t.Helper()
	for range 2 {
		select {
		case r.wake <- struct{}{}:
		case <-time.After(time.Minute):
			t.Fatal("the submitter does not wait for a block")
		}
	}
}

// await fails the test unless something becomes true.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// TestRunWakes tells a relay of each block when Wake tells of it, long before the next look,
// and ends with its context.
func TestRunWakes(t *testing.T) {
	w := newWorld(t, 5, "that a submitter runs, and sends when a block comes")
	f := newFront(t, w.URL, nil)
	w.options.Chain = w.pool(t, f.URL)
	r := w.run(t)
	for n := range 3 {
		w.mine(t, w.tree.Tip().Header, 1+n)
		r.step(t)
		if got := f.count(); got != n+1 {
			t.Fatalf("%d transactions were sent with block %d", got, n)
		}
		w.Mine(t)
		r.step(t)
		w.checkInStep(t)
	}
	if err := r.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	f.checkSent(t, w.options.Limits)
	w.checkChain(t, r.Submitter)
}

// TestRunPolls tells a relay of a block that nothing told of, at the interval of the knob.
func TestRunPolls(t *testing.T) {
	w := newWorld(t, 5, "that a submitter looks by itself, as often as its knob says")
	f := newFront(t, w.URL, nil)
	w.options.Chain = w.pool(t, f.URL)
	r := w.run(t)
	r.step(t)
	knobs := r.Knobs()
	if len(knobs) != 1 || knobs[0].Check() != nil || knobs[0].Carry != 0 {
		t.Fatalf("%+v", knobs)
	}
	if got := knobs[0].Read(); got != time.Hour.Milliseconds() || knobs[0].Ladder[len(knobs[0].Ladder)-1] != got {
		t.Errorf("the knob reads %d, of %v", got, knobs[0].Ladder)
	}
	if err := knobs[0].Set(t.Context(), 250); err != nil {
		t.Fatal(err)
	}
	r.step(t)          // it still waited for an hour
	for n := range 3 { // the first may be seen by the last step that was woken
		w.mine(t, w.tree.Tip().Header, 1)
		await(t, "nothing is sent", func() bool { return f.reached() == n+1 })
		w.Mine(t)
	}
	if err := r.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

// TestRunAfterWake closes the channel that tells of blocks: it ends one wait, and is no reason to
// look again and again.
func TestRunAfterWake(t *testing.T) {
	w := newWorld(t, 5, "that a submitter whose source of blocks ended waits between two looks")
	var looks atomic.Int64
	w.options.Follow = func(context.Context) error {
		looks.Add(1)
		return errors.New("nobody knows of headers")
	}
	r := w.run(t)
	close(r.wake)
	await(t, "the end of the channel ends no wait", func() bool { return looks.Load() >= 2 })
	<-time.After(100 * time.Millisecond)
	if n := looks.Load(); n != 2 {
		t.Errorf("it looked %d times", n)
	}
	if err := r.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

// TestRunLags has a node keep to an old state: that is told as a warning each so many steps, and no
// sooner.
func TestRunLags(t *testing.T) {
	w := newWorld(t, 5, "that a state that stays an old one is told")
	f := newFront(t, w.URL, nil)
	w.options.Chain = w.pool(t, f.URL)
	var told bytes.Buffer
	w.options.Log = slog.New(slog.NewTextHandler(&told, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s := w.open(t)
	w.mine(t, w.genesis, 1)
	if _, err := s.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Mine(t)
	if o, err := s.Step(t.Context()); err != nil || len(o.Mined) != 1 {
		t.Fatalf("%+v, %v", o, err)
	}
	lag := func(steps, want int) {
		t.Helper()
		f.set(func(method string, result json.RawMessage) json.RawMessage {
			if method == "eth_getTransactionCount" {
				return json.RawMessage(`"0x0"`)
			}
			return result
		})
		for range steps {
			if o, err := s.Step(t.Context()); err != nil || o.Done || o.Sent != (common.Hash{}) {
				t.Fatalf("%+v, %v", o, err)
			}
		}
		if got := strings.Count(told.String(), "the step looks again"); got != want {
			t.Errorf("it was told %d times, want %d: %s", got, want, told.String())
		}
		f.set(nil)
		if o, err := s.Step(t.Context()); err != nil || !o.Done {
			t.Fatalf("%+v, %v", o, err)
		}
	}
	lag(lagsTold-1, 0)
	lag(lagsTold-1, 0)
	lag(2*lagsTold, 2)
}

// TestRunEnds has a LightRelay refuse the account while the submitter runs: it ends, and says
// why.
func TestRunEnds(t *testing.T) {
	w := newLight(t, false, "that a submitter ends where an operator must help")
	s := w.upTo(t, uint64(w.height)+uint64(len(w.chain))-1)
	if r := refusedFor(t, s.Run(t.Context()), "unauthorized"); !r.Fatal {
		t.Error("it is not fatal")
	}
	w.nothingSent(t, s)
}

// TestRunWrongChain has another node come up at the node's address, of another chain, while
// the submitter runs: nothing is sent until it is the right one again.
func TestRunWrongChain(t *testing.T) {
	w := newWorld(t, 5, "that nothing is sent to a node that is of another chain all at once")
	f := newFront(t, w.URL, nil)
	pool, err := endpoint.Open(t.Context(), endpoint.Options{
		Layer: "l2", ChainID: relaytest.ChainID, Endpoints: []endpoint.Endpoint{{Name: "a", URL: f.URL, Rate: 1e6}}, Recheck: 5 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	checking := make(chan error, 1)
	go func() { checking <- pool.Run(ctx) }()
	defer func() { <-checking }()
	defer cancel()
	w.options.Chain = pool
	r := w.run(t)
	tip := w.mine(t, w.genesis, 1)
	r.step(t)
	w.Mine(t)
	r.step(t)

	f.set(func(method string, result json.RawMessage) json.RawMessage {
		if method == "eth_chainId" {
			return json.RawMessage(`"0x1"`)
		}
		return result
	})
	await(t, "the other chain is not seen", func() bool { return pool.Status()[0].Chain == "wrong" })
	w.mine(t, tip, 1)
	for range 3 {
		r.step(t)
		w.Mine(t)
	}
	if n := f.count(); n != 1 {
		t.Fatalf("%d transactions were sent, one of them before the chain was another", n)
	}
	f.set(nil)
	await(t, "the chain is not seen to be the right one again", func() bool { return pool.Status()[0].Chain == "right" })
	r.step(t)
	w.Mine(t)
	r.step(t)
	if err := r.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	w.checkInStep(t)
	f.checkSent(t, w.options.Limits)
	w.checkChain(t, r.Submitter)
}

// TestLightRunsInTheFirstBlock has the block come with which an epoch can be told while the
// submitter runs: the next block of the relay's chain has the transaction, and not only the
// one after the next look.
func TestLightRunsInTheFirstBlock(t *testing.T) {
	w := newLight(t, true, "that a running maintainer is in the first block that can have its transaction")
	f := newFront(t, w.URL, nil)
	w.options.Chain = w.pool(t, f.URL)
	epoch := uint64(w.height)/relaytest.Epoch + 1
	first := epoch*relaytest.Epoch + lightProof - 1
	w.see(t, first-1)
	var come atomic.Bool
	w.options.Follow = func(context.Context) error {
		if !come.Load() {
			return nil
		}
		_, err := w.options.Tree.Add(w.chain[first-uint64(w.height):first-uint64(w.height)+1], relaytest.Now)
		return err
	}
	r := w.run(t)
	for range 3 { // it is too early
		r.step(t)
		w.Mine(t)
	}
	if n := f.count(); n != 0 {
		t.Fatalf("%d transactions were sent a block before", n)
	}
	head := w.Number(t)
	come.Store(true)
	start := time.Now()
	r.wake <- struct{}{}
	await(t, "nothing is sent with the first possible block", func() bool { return f.reached() == 1 })
	took := time.Since(start)
	w.Mine(t)
	r.step(t)
	if err := r.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	sent := w.SentBy(t, w.account.Address())
	if len(sent) != 1 {
		t.Fatalf("%d transactions were sent", len(sent))
	}
	if at := w.Receipt(t, sent[0].Hash); at.Status != 1 || uint64(at.Block) != head+1 {
		t.Errorf("%+v, want block %d", at, head+1)
	}
	t.Logf("sent %v after the block came", took)
	if took > relaytest.BlockTime {
		t.Errorf("it was sent %v after the block came: a block of the relay's chain came before", took)
	}
}
