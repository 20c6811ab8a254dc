package bitvm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/bitvm/watch"
	"github.com/outrider-project/outrider/bitvm/watch/watchtest"
	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node"
)

// A source is a chain in memory, as a node tells of it.
type source struct {
	mu   sync.Mutex // guards what follows
	made *regtest
	down bool
	old  map[chainhash.Hash]*wire.MsgBlock
}

func newSource(t *testing.T) *source {
	genesis := chaincfg.RegressionNetParams.GenesisBlock
	s := &source{made: &regtest{t: t, blocks: []*wire.MsgBlock{genesis}}, old: make(map[chainhash.Hash]*wire.MsgBlock)}
	s.old[genesis.BlockHash()] = genesis
	return s
}

var errDown = errors.New("the node does not answer")

func (s *source) Network(context.Context) (string, error) { return "regtest", nil }

func (s *source) Tip(context.Context) (node.Tip, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return node.Tip{}, errDown
	}
	return node.Tip{Hash: s.made.blocks[len(s.made.blocks)-1].BlockHash(), Height: s.made.height()}, nil
}

func (s *source) BlockHash(_ context.Context, height uint32) (chainhash.Hash, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(height) >= len(s.made.blocks) {
		return chainhash.Hash{}, fmt.Errorf("there is no block %d", height)
	}
	return s.made.blocks[height].BlockHash(), nil
}

func (s *source) Block(_ context.Context, hash chainhash.Hash) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var raw bytes.Buffer
	err := s.old[hash].Serialize(&raw)
	return raw.Bytes(), err
}

// mine adds a block, and returns what a feed tells of it.
func (s *source) mine(txs ...*wire.MsgTx) node.Connected {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.made.block(txs...)
	s.made.blocks = append(s.made.blocks, b)
	s.old[b.BlockHash()] = b
	var raw bytes.Buffer
	if err := b.Serialize(&raw); err != nil {
		panic(err)
	}
	parsed, err := blockval.Parse(raw.Bytes())
	if err != nil {
		panic(err)
	}
	return node.Connected{Tip: node.Tip{Hash: b.BlockHash(), Height: s.made.height()}, Block: parsed, Raw: raw.Bytes(), Seen: time.Now()}
}

// A watching is a Watch of a bridge on a source.
type watching struct {
	*Watch
	source *source
	bridge *watchtest.Bridge
	cfg    Config
	events []watch.Event
}

func newWatching(t *testing.T) *watching {
	t.Helper()
	b := &watching{source: newSource(t), bridge: watchtest.New(t, watch.BitVM2(), "regtest", "bridge")}
	for i, root := range []string{"peg_in_deposit", "peg_out_confirm"} {
		b.bridge.Fund(root, watchtest.Coin{Outpoint: wire.OutPoint{Hash: chainhash.Hash{byte(i + 1)}}, Value: 50e8, Witness: wire.TxWitness{{1}}})
	}
	text, err := json.Marshal(b.bridge.Instance(1))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bridge.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	b.cfg.Instances = []string{path}
	b.Watch, err = New(b.cfg, b.source, new(perfcore.Registry), nil, func(e watch.Event) { b.events = append(b.events, e) })
	if err != nil {
		t.Fatal(err)
	}
	b.judge = bad{}
	return b
}

// run runs it until stop is called, which returns what it returned.
func (b *watching) run(t *testing.T, dir string) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var err error
	running.Go(func() { err = b.Run(ctx, "regtest", dir) })
	return func() error {
		cancel()
		running.Wait()
		return err
	}
}

// What a block brings is told within a second of it, without anybody's waiting; and a
// block that nobody told of when the chain is looked at next.
func TestToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dir := newWatching(t), t.TempDir()
		stop := b.run(t, dir)
		synctest.Wait()
		if st := b.Status(); !st.Good() || !st.Instances[0].Complete {
			t.Errorf("%+v", st)
		}
		for _, name := range slices.Concat(kickedOff, asserted) {
			heard := b.source.mine(b.bridge.Tx(name))
			told, began := len(b.events), time.Now()
			b.Hear(heard)
			synctest.Wait()
			took := time.Since(began)
			if took >= time.Second || !slices.ContainsFunc(b.events[told:], func(e watch.Event) bool { return e.Kind == watch.Seen && e.Transaction == name }) {
				t.Errorf("%s was told of after %v: %+v", name, took, b.events[told:])
			}
		}
		if b.perf.disprovable.Value() != 1 || b.perf.open.Value() != 1 || b.perf.incomplete.Value() != 0 {
			t.Errorf("disprovable %v, open %v, incomplete %v", b.perf.disprovable.Value(), b.perf.open.Value(), b.perf.incomplete.Value())
		}
		st := b.Status()
		if st.Good() || !strings.Contains(st.Instances[0].Next[0].Text, "broadcast disprove") {
			t.Errorf("%+v", st.Instances[0].Next)
		}
		b.source.mine(b.bridge.Tx("disprove")) // nobody hears of it
		<-time.After(lookEvery + time.Second)
		synctest.Wait()
		if got := b.Status().Instances[0].Claims[0].Answered; got != "disprove" || b.perf.disprovable.Value() != 0 {
			t.Errorf("answered by %q, disprovable %v", got, b.perf.disprovable.Value())
		}
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// Blocks that are heard while one is looked through are not waited for, however many.
func TestHeardWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWatching(t)
		looking, resume := make(chan struct{}), make(chan struct{})
		var once sync.Once
		b.onEvent = func(watch.Event) { once.Do(func() { close(looking); <-resume }) }
		stop := b.run(t, "")
		synctest.Wait()
		began := time.Now()
		b.Hear(b.source.mine(b.bridge.Tx("peg_out_confirm")))
		<-looking
		for range keptHeard + 2 {
			b.Hear(b.source.mine())
		}
		close(resume)
		synctest.Wait()
		if st := b.Status().Instances[0]; st.Tip.Height != keptHeard+3 || time.Since(began) >= time.Second {
			t.Errorf("after %v the tip is %+v", time.Since(began), st.Tip)
		}
		_ = stop() // the context's
	})
}

// Hints are told of, and never waited for.
func TestHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWatching(t)
		b.source.mine(b.bridge.Tx("peg_out_confirm"))
		var raw bytes.Buffer
		if err := b.bridge.Tx("kick_off_1").Serialize(&raw); err != nil {
			t.Fatal(err)
		}
		for range 2 * keptHints { // nobody listens
			b.Hear(node.MempoolAdded{Raw: raw.Bytes()})
		}
		for range keptHints {
			<-b.hints
		}
		stop := b.run(t, "")
		synctest.Wait()
		b.Hear(node.MempoolAdded{Raw: raw.Bytes()})
		b.Hear(node.MempoolAdded{Raw: []byte{1}})
		b.Hear(node.MempoolAdded{})
		synctest.Wait()
		if got := b.perf.hints.Value(); got != 1 {
			t.Errorf("%v hints, want 1", got)
		}
		_ = stop() // the context's
	})
}

// Behind what decided a bridge there is nobody left to alert.
func TestDecided(t *testing.T) {
	p := newWatchPerf(new(perfcore.Registry))
	s := watch.Status{
		Complete:     true,
		Claims:       []watch.ClaimStatus{{Made: true, Judgement: &watch.Judgement{Finding: watch.Disprovable}}, {Made: true}},
		Unknown:      []watch.UnknownSpending{{Height: 4}, {Height: 6}},
		Transactions: []watch.TransactionStatus{{Name: "take_2", State: watch.Open}},
	}
	for _, want := range [][3]float64{{1, 1, 2}, {0, 0, 1}} {
		p.record([]watch.Status{s})
		if got := [3]float64{p.disprovable.Value(), p.undecided.Value(), p.unknown.Value()}; got != want {
			t.Errorf("disprovable, undecided and unknown are %v, want %v", got, want)
		}
		s.Transactions[0].State, s.Transactions[0].Height, s.Transactions[0].Outcome = watch.Confirmed, 5, watch.Paid
	}
}

// A node that does not answer leaves the status incomplete, and loud, until it does; and
// what came meanwhile is told of then.
func TestNodeIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWatching(t)
		b.source.down = true
		stop := b.run(t, "")
		synctest.Wait()
		st := b.Status()
		if st.Problem != errDown.Error() || st.Good() || st.Instances[0].Complete || b.perf.incomplete.Value() != 1 {
			t.Errorf("%+v", st)
		}
		b.source.mine(b.bridge.Tx("peg_out_confirm"))
		b.source.mu.Lock()
		b.source.down = false
		b.source.mu.Unlock()
		<-time.After(2 * time.Second)
		synctest.Wait()
		if st := b.Status(); !st.Good() || st.Instances[0].Tip.Height != 1 || len(b.events) != 1 || b.perf.incomplete.Value() != 0 {
			t.Errorf("%+v, %+v", st, b.events)
		}
		_ = stop() // the context's
	})
}

// Stopped and begun again, it goes on where it was.
func TestBegunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dir := newWatching(t), t.TempDir()
		b.source.mine(b.bridge.Tx("peg_out_confirm"))
		for _, name := range []string{"kick_off_1", "start_time"} {
			b.source.mine(b.bridge.Tx(name))
			var err error
			if b.Watch, err = New(b.cfg, b.source, nil, nil, func(e watch.Event) { b.events = append(b.events, e) }); err != nil {
				t.Fatal(err)
			}
			stop := b.run(t, dir)
			synctest.Wait()
			_ = stop() // the context's
			if !slices.ContainsFunc(b.events, func(e watch.Event) bool { return e.Transaction == name && e.Kind == watch.Seen }) {
				t.Errorf("%s was not told of: %+v", name, b.events)
			}
		}
		for i, e := range b.events {
			if e.Number != uint64(i+1) {
				t.Errorf("event %d has number %d", i, e.Number)
			}
		}
	})
}

// Files that are of no use, and networks that do not fit, are named.
func TestWatchMistakes(t *testing.T) {
	b := newWatching(t)
	if err := b.Run(t.Context(), "main", ""); err == nil || !strings.Contains(err.Error(), "on network regtest, and the node is on main") {
		t.Error(err)
	}
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "no bridge"},
		{Config{Instances: []string{"/nonexistent"}}, "/nonexistent"},
		{Config{Instances: []string{"watch_test.go"}}, "watch_test.go"},
		{Config{Instances: b.cfg.Instances, Key: "/nonexistent"}, "/nonexistent"},
		{Config{Instances: b.cfg.Instances, Key: "watch_test.go"}, "watch_test.go"},
	} {
		if _, err := New(tt.cfg, b.source, nil, nil, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.cfg, err, tt.want)
		}
	}
	c := Config{Key: "x"}
	if c.Check() == nil {
		t.Error("a key without bridges is right")
	}
}
