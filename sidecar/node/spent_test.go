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
