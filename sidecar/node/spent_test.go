package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/testvectors"
)

// TestSpentRecorded has every source tell what every block of the recordings
// spends.
func TestSpentRecorded(t *testing.T) {
	for _, folder := range spentFolders {
		rec := spentRecording(t, folder)
		blocks := spentChain(t, rec, rec.Chain[len(rec.Chain)-1])
		for _, name := range allSpentSources {
			t.Run(folder+name, func(t *testing.T) {
				fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{NoTxIndex: name != "txindex"})
				cfg := bitcoindConfig(fake)
				cfg.BlocksDir = rec.WriteBlocks(t)
				b := newBitcoind(t, cfg)
				only(b, name)
				inputs := 0
				for _, block := range blocks {
					got, err := b.Spent(t.Context(), block.tip, block.body, block.places())
					if err != nil {
						t.Fatalf("block %d: %v", block.tip.Height, err)
					}
					checkSpent(t, block, got, name == "txindex")
					inputs += len(got)
				}
				if inputs < 30 {
					t.Errorf("%d inputs in all", inputs)
				}
			})
		}
	}
}

// TestSpentAsREST compares values and scripts with what REST said of them.
func TestSpentAsREST(t *testing.T) {
	for _, folder := range spentFolders {
		t.Run(folder, func(t *testing.T) { compareWithREST(t, folder) })
	}
}

func compareWithREST(t *testing.T, folder string) {
	rec := spentRecording(t, folder)
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{})
	cfg := bitcoindConfig(fake)
	cfg.BlocksDir = rec.WriteBlocks(t)
	b := newBitcoind(t, cfg)
	compared := 0
	for _, block := range spentChain(t, rec, rec.Chain[len(rec.Chain)-1]) {
		file := fmt.Sprintf("rest/spent_%.8s.bin.zst", block.tip.Hash)
		if folder == "bitcoind/" {
			file = "rest/spenttxouts_tip.bin"
		}
		if folder == "bitcoind/" && block.tip.Height != 115 || len(block.want) == 0 {
			continue
		} else if _, err := testvectors.FixturePath(folder + file); err != nil {
			continue
		}
		got, err := b.Spent(t.Context(), block.tip, block.body, block.places())
		if err != nil {
			t.Fatal(err)
		}
		var said wire.MsgTx // as a transaction's outputs, one after another
		raw := []byte{byte(len(block.body.Msg.Transactions)), 0}
		place := 0
		for _, tx := range block.body.Msg.Transactions[1:] {
			if len(tx.TxIn) >= 0xfd {
				t.Fatal("a transaction with many inputs")
			}
			raw = append(raw, byte(len(tx.TxIn)))
			for range tx.TxIn {
				var out bytes.Buffer
				if err := wire.WriteTxOut(&out, 0, said.Version, wire.NewTxOut(got[place].Value, got[place].Script)); err != nil {
					t.Fatal(err)
				}
				raw = append(raw, out.Bytes()...)
				place++
			}
		}
		if want := loadSpent(t, folder, file); !bytes.Equal(raw, want) {
			t.Errorf("block %d: %x, REST said %x", block.tip.Height, raw, want)
		}
		compared++
	}
	if compared == 0 {
		t.Errorf("%s: nothing was compared", folder)
	}
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
	// Only the sources take time, each always as long.
	now := time.Unix(1e9, 0)
	b.spent.now = func() time.Time { return now }
	takes := map[string]time.Duration{"undo": 2 * time.Millisecond, "getblock": 30 * time.Millisecond, "txindex": 200 * time.Millisecond}
	for _, src := range b.spent.sources {
		read := src.read
		src.read = func(ctx context.Context, s *spending) ([]Prevout, error) {
			now = now.Add(takes[src.name])
			return read(ctx, s)
		}
	}
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
	source := func(name string) *spentSource {
		return b.spent.sources[slices.IndexFunc(b.spent.sources, func(s *spentSource) bool { return s.name == name })]
	}
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
	now = now.Add(measureAge + time.Minute)
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
		takes["undo"] = step.takes
		now = now.Add(measureAge + time.Minute)
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
	now = now.Add(measurePause + time.Minute)
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

// TestSpentErrors says what an answer without coins means.
func TestSpentErrors(t *testing.T) {
	rec := spentRecording(t, "bitcoind/zoo/")
	blocks := spentChain(t, rec, rec.Chain[len(rec.Chain)-1])
	block := blocks[len(blocks)-1]
	edit := func(old, new string) func(string, nodetest.Answer) nodetest.Answer {
		pattern := regexp.MustCompile(old)
		return func(what string, a nodetest.Answer) nodetest.Answer {
			if what != "getblock" {
				return a
			}
			at := pattern.FindIndex(a.Body)
			if at == nil {
				panic(fmt.Sprintf("no %q in the answer", old))
			}
			a.Body = slices.Concat(a.Body[:at[0]], pattern.ReplaceAll(a.Body[at[0]:at[1]], []byte(new)), a.Body[at[1]:])
			return a
		}
	}
	answer := func(status int, body string) func(string, nodetest.Answer) nodetest.Answer {
		return func(string, nodetest.Answer) nodetest.Answer {
			return nodetest.Answer{Status: status, Body: []byte(body)}
		}
	}
	for _, tt := range []struct {
		name    string
		pruned  bool
		rewrite func(string, nodetest.Answer) nodetest.Answer
		want    error // nil for one that is none of these
		text    string
	}{
		{"pruned", true, nil, ErrNotTold, "pruned data"},
		{"no prevout", false, edit(`"prevout"`, `"previous"`), ErrNotTold, "no undo data"},
		{"input too few", false, edit(`"vin":\[{"txid"`, `"vin":[],"more":[{"txid"`), ErrNotTold, "0 inputs"},
		{"other outpoint", false, edit(`"vout":`, `"vout":1`), ErrNotTold, "the block spends"},
		{"other block", false, edit(block.tip.Hash.String(), blocks[1].tip.Hash.String()), ErrNotTold, "instead of"},
		{"no height", false, edit(`("generated":false,)"height"`, `$1"depth"`), ErrNotTold, "missing"},
		{"another's height", false, edit(`("generated":false,"height":)`, `${1}9`), ErrNotTold, "height"},
		{"height 0", false, edit(`("generated":false,"height":)`, `${1}0,"depth":`), ErrNotTold, "reindex=1"},
		{"value", false, edit(`("prevout":{.*?"value":)0`, `${1}31000000`), ErrNotTold, "bitcoins"},
		{"exponent", false, edit(`("prevout":{.*?"value":)0\.`, `${1}1e`), ErrNotTold, "bitcoins"},
		{"script", false, edit(`("prevout":{.*?"hex":")`, `${1}x`), ErrNotTold, "hexadecimal"},
		{"not allowed", false, answer(403, ""), ErrNoPrevouts, "rpcwhitelist"},
		{"busy", false, answer(503, "Work queue depth exceeded"), ErrBusy, "rpcworkqueue"},
		{"starting", false, answer(500, `{"result":null,"error":{"code":-28,"message":"Loading"},"id":1}`), ErrWarmUp, "Loading"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{NoTxIndex: true})
			b := newBitcoind(t, bitcoindConfig(fake))
			only(b, "getblock")
			if tt.pruned {
				fake.Prune(len(blocks))
			}
			fake.Rewrite(tt.rewrite)
			_, err := b.Spent(t.Context(), block.tip, block.body, block.places())
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v, want %v with %q", err, tt.want, tt.text)
			}
			for _, other := range []error{ErrNotTold, ErrNoPrevouts, ErrNotFound} {
				if other != tt.want && errors.Is(err, other) {
					t.Errorf("%v is a %v too", err, other)
				}
			}
			// What was wrong with the answer is not with the next.
			fake.Rewrite(nil)
			fake.Prune(0)
			got, err := b.Spent(t.Context(), block.tip, block.body, block.places())
			if err != nil {
				t.Fatal(err)
			}
			checkSpent(t, block, got, false)
		})
	}
}

// TestSpentWithoutAnything has a node that has neither files nor undo data nor an
// index say so, and why.
func TestSpentWithoutAnything(t *testing.T) {
	rec := spentRecording(t, "bitcoind/")
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{NoTxIndex: true})
	cfg := bitcoindConfig(fake)
	cfg.BlocksDir = t.TempDir()
	cfg.Recorder = new(perfcore.Registry)
	b := newBitcoind(t, cfg)
	blocks := spentChain(t, rec, rec.Chain[len(rec.Chain)-1])
	block := blocks[len(blocks)-1]
	fake.Prune(200)
	_, err := b.Spent(t.Context(), block.tip, block.body, block.places())
	if !errors.Is(err, ErrNotTold) {
		t.Errorf("%v, want ErrNotTold", err)
	}
	for _, part := range []string{"undo: ", "no blk files", "getblock: ", "pruned data", "txindex: ", "txindex=1"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v: no %q", err, part)
		}
	}
	for _, src := range b.spent.sources {
		if src.failures.Value() == 0 || src.timer.Snapshot().Count != 0 {
			t.Errorf("%s: %d failures, %d answers", src.name, src.failures.Value(), src.timer.Snapshot().Count)
		}
	}
	if b.spent.chosen != nil {
		t.Errorf("%s was chosen", b.spent.chosen.name)
	}
	fake.Prune(0)
	if got, err := b.Spent(t.Context(), block.tip, block.body, block.places()); err != nil {
		t.Error(err)
	} else {
		checkSpent(t, block, got, false)
	}
}

func TestSpentQuestions(t *testing.T) {
	rec := spentRecording(t, "bitcoind/zoo/")
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{})
	b := newBitcoind(t, bitcoindConfig(fake))
	blocks := spentChain(t, rec, rec.Chain[len(rec.Chain)-1])
	block := blocks[len(blocks)-1]
	for name, ask := range map[string]func() ([]Prevout, error){
		"no body":    func() ([]Prevout, error) { return b.Spent(t.Context(), block.tip, nil, nil) },
		"other body": func() ([]Prevout, error) { return b.Spent(t.Context(), blocks[1].tip, block.body, nil) },
		"place":      func() ([]Prevout, error) { return b.Spent(t.Context(), block.tip, block.body, []int{len(block.want)}) },
		"same place": func() ([]Prevout, error) { return b.Spent(t.Context(), block.tip, block.body, []int{1, 1}) },
		"no place":   func() ([]Prevout, error) { return b.Spent(t.Context(), block.tip, block.body, []int{-1}) },
	} {
		if _, err := ask(); !errors.Is(err, errQuestion) {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := b.Spent(t.Context(), block.tip, block.body, nil)
	if err != nil || len(got) != len(block.want) || slices.ContainsFunc(got, func(p Prevout) bool { return !p.Missing }) {
		t.Errorf("no place: %d coins, %v", len(got), err)
	}
	if fake.Calls("getblock") > 0 {
		t.Error("the node was asked for nothing")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Spent(ctx, block.tip, block.body, block.places()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestSpentCheck changes one thing of an answer at a time.
func TestSpentCheck(t *testing.T) {
	rec := spentRecording(t, "bitcoind/")
	for _, block := range spentChain(t, rec, rec.Chain[len(rec.Chain)-1]) {
		s, err := newSpending(block.tip, block.body, block.places())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.check(block.want); err != nil {
			t.Errorf("block %d: %v", block.tip.Height, err)
		}
		for i := range block.want {
			for name, change := range map[string]func(p *Prevout){
				"value":   func(p *Prevout) { p.Value = -1 },
				"more":    func(p *Prevout) { p.Value = 21e14 + 1 },
				"height":  func(p *Prevout) { p.Height = block.tip.Height + 1 },
				"genesis": func(p *Prevout) { p.Height = 0 },
				"own": func(p *Prevout) {
					if p.Height == block.tip.Height {
						p.Height--
					} else {
						p.Height = block.tip.Height
					}
				},
			} {
				coins := slices.Clone(block.want)
				change(&coins[i])
				if s.check(coins) == nil {
					t.Errorf("block %d, input %d: wrong %s is not seen", block.tip.Height, i, name)
				}
			}
		}
		if s.check(append(slices.Clone(block.want), Prevout{})) == nil {
			t.Errorf("block %d: a coin too many is not seen", block.tip.Height)
		}
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

// TestSpentSaidOnce has the log say once that there is no index, whatever
// transaction was asked for.
func TestSpentSaidOnce(t *testing.T) {
	rec := spentRecording(t, "bitcoind/")
	fake := nodetest.NewBitcoind(t, rec, nodetest.BitcoindOptions{NoTxIndex: true})
	var log bytes.Buffer
	cfg := bitcoindConfig(fake)
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	b := newBitcoind(t, cfg)
	fake.Prune(200)
	asked := 0
	for _, block := range spentChain(t, rec, rec.Chain[len(rec.Chain)-1]) {
		if len(block.want) == 0 {
			continue
		}
		asked++
		if _, err := b.Spent(t.Context(), block.tip, block.body, block.places()); !errors.Is(err, ErrNotTold) {
			t.Fatal(err)
		}
	}
	if got := strings.Count(log.String(), "cannot be used"); got != 1 || asked < 3 {
		t.Errorf("it is said %d times for %d blocks:\n%s", got, asked, &log)
	}
}
