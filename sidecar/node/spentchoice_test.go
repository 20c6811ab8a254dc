package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// A spentClock is the clock of a node's sources of spent coins. It goes only
// while one of them is asked, which takes as long as takes says.
type spentClock struct {
	now   time.Time
	takes map[string]time.Duration
}

// newSpentClock gives b's sources a clock by which the undo files are the
// cheapest and the index is the dearest. They must be asked one at a time.
func newSpentClock(b *Bitcoind) *spentClock {
	c := &spentClock{time.Unix(1e9, 0), map[string]time.Duration{
		"undo": 2 * time.Millisecond, "getblock": 30 * time.Millisecond, "txindex": 200 * time.Millisecond,
	}}
	b.spent.now = func() time.Time { return c.now }
	for _, src := range b.spent.sources {
		read := src.read
		src.read = func(ctx context.Context, s *spending) ([]Prevout, error) {
			c.now = c.now.Add(c.takes[src.name])
			return read(ctx, s)
		}
	}
	return c
}

// sourceOf returns b's source of that name.
func sourceOf(b *Bitcoind, name string) *spentSource {
	return b.spent.sources[slices.IndexFunc(b.spent.sources, func(s *spentSource) bool { return s.name == name })]
}

// TestSpentChoice has the sources measured, one chosen, and the others used when
// it fails.
func TestSpentChoice(t *testing.T) {
	rec := spentRecording(t, "bitcoind/zoo/")
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{})
	var log bytes.Buffer
	cfg := bitcoindConfig(fake)
	cfg.BlocksDir = rec.WriteBlocks(t)
	cfg.Recorder = new(perfcore.Registry)
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	b := newBitcoind(t, cfg)
	clock := newSpentClock(b)
	blocks := spentChain(t, rec, rec.Chain[len(rec.Chain)-1])
	block := blocks[len(blocks)-1]
	ask := func() []Prevout {
		t.Helper()
		got, err := b.Spent(t.Context(), block.tip, block.body, block.places())
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	source := func(name string) *spentSource { return sourceOf(b, name) }
	checkSpent(t, block, ask(), false)
	if fake.Calls("getblock") == 0 || fake.Calls("batch") == 0 {
		t.Error("not every source was measured")
	}
	if b.spent.chosen != source("undo") || source("undo").chosen.Value() != 1 || source("getblock").chosen.Value() != 0 {
		t.Errorf("%s was chosen: %s", b.spent.chosen.name, &log)
	}
	for _, part := range []string{"source=undo", " undo=", " getblock=", " txindex=", "inputs="} {
		if strings.Count(log.String(), part) != 1 {
			t.Errorf("the log does not say %s once:\n%s", part, &log)
		}
	}
	calls := fake.Calls("getblock") + fake.Calls("batch")
	checkSpent(t, block, ask(), false)
	if got := fake.Calls("getblock") + fake.Calls("batch"); got != calls {
		t.Errorf("with undo files the node was asked %d times", got-calls)
	}
	// A day later they are measured again, and nothing new is to be said.
	clock.now = clock.now.Add(measureAge + time.Minute)
	ask()
	if got := strings.Count(log.String(), "level=INFO"); got != 1 || fake.Calls("getblock")+fake.Calls("batch") == calls {
		t.Errorf("after a day the log says:\n%s", &log)
	}
	// The files have come to lie on a slow disk, and then on a fast one again.
	for _, step := range []struct {
		takes time.Duration
		want  string
	}{{time.Second, "getblock"}, {time.Millisecond, "undo"}} {
		log.Reset()
		clock.takes["undo"] = step.takes
		clock.now = clock.now.Add(measureAge + time.Minute)
		checkSpent(t, block, ask(), false)
		if b.spent.chosen != source(step.want) || source(step.want).chosen.Value() != 1 {
			t.Errorf("undo files that take %v: %s was chosen", step.takes, b.spent.chosen.name)
		}
		if strings.Count(log.String(), "source="+step.want) != 1 {
			t.Errorf("undo files that take %v: the log says:\n%s", step.takes, &log)
		}
	}
	// The files go: the next source answers at once, and is chosen when the
	// choice has stood long enough.
	b.spent.sources[0].read = (&undoFiles{dir: t.TempDir(), network: b.Network}).spent
	log.Reset()
	checkSpent(t, block, ask(), false)
	checkSpent(t, block, ask(), false)
	if n := source("undo").failures.Value(); n != 1 {
		t.Errorf("%d failures of undo, want one, and then a rest", n)
	}
	if strings.Count(log.String(), "level=WARN") != 1 || !strings.Contains(log.String(), "blocksdir") {
		t.Errorf("the log says of the missing files:\n%s", &log)
	}
	clock.now = clock.now.Add(measurePause + time.Minute)
	ask() // tries the files once more
	ask()
	if b.spent.chosen == source("undo") || b.spent.chosen == nil || source("undo").chosen.Value() != 0 {
		t.Errorf("%v is still chosen", b.spent.chosen)
	}
	// A source for single coins is the cheapest for a few.
	source("getblock").pace, source("txindex").pace = 1e-3, 1e-3
	gets := fake.Calls("getblock")
	if got, err := b.Spent(t.Context(), block.tip, block.body, []int{3}); err != nil || got[3].Missing || !got[4].Missing {
		t.Errorf("one coin: %+v, %v", got[3], err)
	}
	if fake.Calls("getblock") != gets {
		t.Error("the whole block was asked for one coin")
	}
}

// TestSpentAgain has a source that could not be used at the start be tried anew,
// and chosen, when the node has been started anew.
func TestSpentAgain(t *testing.T) {
	rec := spentRecording(t, "bitcoind/zoo/")
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{NoTxIndex: true})
	publisher := nodetest.NewPublisher(t, nodetest.PublisherOptions{})
	fake.SetNotifiers([]nodetest.Notifier{{Topic: "sequence", Address: publisher.Address()}})
	cfg := bitcoindConfig(fake)
	cfg.BlocksDir = filepath.Join(t.TempDir(), "blocks")
	cfg.Recorder = new(perfcore.Registry)
	b := newBitcoind(t, cfg)
	newSpentClock(b)
	ctx, cancel := context.WithCancel(t.Context())
	hints, ended := make(chan Hint), make(chan error, 1)
	go func() { ended <- b.Watch(ctx, hints) }()
	defer func() { cancel(); <-ended }()
	awaitConnected := func() {
		t.Helper()
		for deadline := time.After(patience); ; {
			select {
			case h := <-hints:
				if h.Kind == HintConnected {
					return
				}
			case <-deadline:
				t.Fatal("there is no subscription")
			}
		}
	}
	awaitConnected()
	blocks := spentChain(t, rec, rec.Chain[len(rec.Chain)-1])
	block := blocks[len(blocks)-1]
	ask := func() {
		t.Helper()
		got, err := b.Spent(t.Context(), block.tip, block.body, block.places())
		if err != nil {
			t.Fatal(err)
		}
		checkSpent(t, block, got, false)
	}
	undo, index := sourceOf(b, "undo"), sourceOf(b, "txindex")
	for range 3 {
		ask()
	}
	if undo.failures.Value() != 1 || index.failures.Value() != 1 || b.spent.chosen != sourceOf(b, "getblock") {
		t.Errorf("%d failures of undo, %d of txindex, want one each; %s is chosen", undo.failures.Value(), index.failures.Value(), b.spent.chosen.name)
	}
	if err := os.Rename(rec.WriteBlocks(t), cfg.BlocksDir); err != nil {
		t.Fatal(err)
	}
	ask()
	if n := undo.failures.Value(); n != 1 || undo.timer.Snapshot().Count != 0 {
		t.Errorf("undo was asked while it rests: %d failures", n)
	}
	publisher.Restart()
	awaitConnected()
	ask()
	if b.spent.chosen != undo || undo.timer.Snapshot().Count == 0 || index.failures.Value() != 2 {
		t.Errorf("%s is chosen after %d answers of undo and %d failures of txindex", b.spent.chosen.name, undo.timer.Snapshot().Count, index.failures.Value())
	}
}

// TestSpentUnmeasuredIndex has an index that was never measured asked after all
// others: it could take minutes for a whole block.
func TestSpentUnmeasuredIndex(t *testing.T) {
	ss := newSpentSources(perfcore.Discard, slog.New(slog.DiscardHandler),
		&spentSource{name: "index", single: true}, &spentSource{name: "slow", pace: 1}, &spentSource{name: "new"})
	sources, _ := ss.plan(&spending{inputs: 1})
	var order []string
	for _, src := range sources {
		order = append(order, src.name)
	}
	if want := []string{"new", "slow", "index"}; !slices.Equal(order, want) {
		t.Errorf("the order is %v, want %v", order, want)
	}
}

// TestSpentPlan has failures postpone a source, and longer each time.
func TestSpentPlan(t *testing.T) {
	rec := spentRecording(t, "bitcoind/zoo/")
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{NoTxIndex: true})
	b := newBitcoind(t, bitcoindConfig(fake))
	now := time.Unix(1e9, 0)
	b.spent.now = func() time.Time { return now }
	only(b, "getblock")
	src := b.spent.sources[0]
	blocks := spentChain(t, rec, rec.Chain[len(rec.Chain)-1])
	block := blocks[len(blocks)-1]
	fake.Prune(len(blocks))
	var rests []time.Duration
	for range 11 {
		if _, err := b.Spent(t.Context(), block.tip, block.body, block.places()); !errors.Is(err, ErrNotTold) {
			t.Fatal(err)
		}
		rests = append(rests, src.rest.Sub(now))
	}
	want := []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300}
	for i := range want {
		want[i] *= time.Second
	}
	if !slices.Equal(rests, want) {
		t.Errorf("the source rests %v, want %v", rests, want)
	}
	fake.Prune(0)
	if _, err := b.Spent(t.Context(), block.tip, block.body, block.places()); err != nil || !src.rest.IsZero() {
		t.Errorf("the only source was not asked while it rests, or rests on: %v", err)
	}
}

// TestSpentMeasuresAgain has blocks that are much larger than the one that was
// measured, and the passing of time, be reasons to measure again.
func TestSpentMeasuresAgain(t *testing.T) {
	now := time.Unix(1e9, 0)
	src := &spentSource{name: "x", pace: 1}
	ss := newSpentSources(perfcore.Discard, slog.New(slog.DiscardHandler), src)
	ss.now = func() time.Time { return now }
	for i, step := range []struct {
		after  time.Duration
		inputs int
		want   bool
	}{
		{0, 1, true}, {0, 7, false}, {0, 8, true}, {0, 63, false}, {time.Hour, 64, true},
		{0, 512, true}, {0, 10_000, false}, {measureAge, 1, false}, {time.Second, 1, true},
	} {
		now = now.Add(step.after)
		if _, measure := ss.plan(&spending{inputs: step.inputs}); measure != step.want {
			t.Errorf("step %d: measures %v, want %v", i, measure, step.want)
		}
		ss.chosen = src
	}
}
