package utxo

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/utxocache/coindb"
	"github.com/outrider-project/outrider/utxocache/muhash"
)

// loaded returns a world that is loaded, and where.
func loaded(t *testing.T, seed uint64, txs int) (*world, Place) {
	t.Helper()
	w, p := newWorld(t, seed, txs), Place{Datadir: t.TempDir(), Network: "regtest"}
	if _, err := Load(t.Context(), LoadOptions{Place: p, Snapshot: file(t, w.snapshot(t)), Height: w.height}); err != nil {
		t.Fatal(err)
	}
	return w, p
}

// each calls f with everything that can be done with a database that is there.
func each(t *testing.T, p Place, f func(name string, err error)) {
	t.Helper()
	_, err := Get(p, nil)
	f("get", err)
	_, err = ReadStats(p)
	f("stats", err)
	_, err = Verify(t.Context(), VerifyOptions{Place: p})
	f("verify", err)
	_, err = Compact(t.Context(), p)
	f("compact", err)
	_, err = BuildIndex(t.Context(), p, nil)
	f("index build", err)
	_, err = Show(p, [32]byte{})
	f("index show", err)
}

func TestAdvice(t *testing.T) {
	w, p := loaded(t, 20, 300)
	var want string
	demand := func(name string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a word on %q", name, err, want)
		}
	}
	want = "outrider utxo load --snapshot FILE"
	each(t, Place{Datadir: t.TempDir()}, demand)
	each(t, Place{Datadir: filepath.Join(t.TempDir(), "nowhere"), Network: "main"}, demand)
	want = "there is no coin database of main"
	each(t, Place{Datadir: p.Datadir, Network: "main"}, demand)

	db, err := coindb.Open(p.dir(), coindb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want = "stop the sidecar"
	each(t, p, demand)
	_, err = Load(t.Context(), LoadOptions{Place: p, Snapshot: file(t, w.snapshot(t)), Height: w.height})
	demand("load", err)
	_, err = Load(t.Context(), LoadOptions{Place: p, Snapshot: file(t, w.snapshot(t)), Height: w.height, Fresh: true})
	demand("load --fresh", err)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	// Of several databases one must be named.
	other := Place{Datadir: p.Datadir, Network: "signet"}
	db, err = coindb.Open(other.dir(), coindb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	want = "--network"
	each(t, Place{Datadir: p.Datadir}, demand)
	want = "nothing is loaded yet"
	each(t, other, demand)
	want = "it is of regtest, not of signet"
	_, err = Load(t.Context(), LoadOptions{Place: other, Snapshot: file(t, w.snapshot(t))})
	demand("load", err)
	want = "is a directory"
	_, err = Load(t.Context(), LoadOptions{Place: p, Snapshot: p.Datadir})
	demand("load", err)
}

func TestGet(t *testing.T) {
	w, p := loaded(t, 21, 300)
	tx := &w.txs[150]
	ops := []wire.OutPoint{{Hash: tx.Txid, Index: 77}, {Hash: tx.Txid, Index: tx.Coins[0].Vout}, {Index: 1}}
	f, err := Get(p, ops)
	if err != nil {
		t.Fatal(err)
	}
	if f.Tip.Hash != w.base.String() || *f.Tip.Height != w.height || !f.Complete || len(f.Coins) != 3 || f.Coins[0].Found || f.Coins[2].Found {
		t.Errorf("got %+v", f)
	}
	c := &tx.Coins[0]
	got := f.Coins[1]
	if got.TxID != tx.Txid.String() || got.Vout != c.Vout || !got.Found || got.Output == nil ||
		got.Output.Value != c.Value || got.Output.Height != c.Height || got.Output.Coinbase != c.Coinbase {
		t.Errorf("got %+v %+v, want %+v", got, got.Output, c)
	}
	var text strings.Builder
	if err := f.WriteTable(&text); err != nil || !strings.Contains(text.String(), ":77  is no coin") || !strings.Contains(text.String(), "satoshis") {
		t.Errorf("%v: %s", err, text.String())
	}
}

func TestParse(t *testing.T) {
	const txid = "4b83dbbe5375632cb0f455c4e3f903524ad4797e9f6ebe10e499b0226497418f"
	op, err := ParseOutPoint(txid + ":4294967295")
	if err != nil || op.String() != txid+":4294967295" {
		t.Errorf("%v (%v)", op, err)
	}
	for _, s := range []string{"", txid, txid + ":", txid + ":-1", txid + ":4294967296", txid + ":1:1", txid[1:] + ":0", "x" + txid[1:] + ":0", txid + "00:0"} {
		if op, err := ParseOutPoint(s); err == nil {
			t.Errorf("%q is %v", s, op)
		}
	}
	for _, name := range []string{"mainnet", "testnet", "testnet3", "regtest"} {
		if _, err := CheckNetwork(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "Main", "../main"} {
		if _, err := CheckNetwork(name); err == nil {
			t.Errorf("%q is a network", name)
		}
	}
}

func TestIndex(t *testing.T) {
	w, p := loaded(t, 22, 300)
	script := w.txs[7].Coins[0].Script
	w.txs[9].Coins[0].Script = script // a second coin of it
	w.hash(t)
	if _, err := Load(t.Context(), LoadOptions{Place: p, Snapshot: file(t, w.snapshot(t)), Height: w.height, Fresh: true}); err != nil {
		t.Fatal(err)
	}
	hash := sha(script)
	if _, err := Show(p, hash); !errors.Is(err, coindb.ErrNoIndex) || !strings.Contains(err.Error(), "index build") {
		t.Errorf("%v, want to be told to build the index", err)
	}
	share := 0.0
	if s, err := BuildIndex(t.Context(), p, func(p Progress) { share = p.Share }); err != nil || !s.Index || share != 1 {
		t.Fatalf("%+v (%v), share %g", s, err, share)
	}
	s, err := Show(p, hash)
	if err != nil {
		t.Fatal(err)
	}
	want := []ScriptCoin{}
	for _, i := range []int{7, 9} {
		want = append(want, ScriptCoin{w.txs[i].Txid.String(), w.txs[i].Coins[0].Vout, w.txs[i].Coins[0].Height})
	}
	if !slices.Equal(s.Coins, want) {
		t.Errorf("got %+v, want %+v", s.Coins, want)
	}
	if again, err := ParseScriptHash(s.ScriptHash); err != nil || again != hash {
		t.Errorf("the hash %s is printed as %s (%v)", hash, s.ScriptHash, err)
	}
	if s, err := ReadStats(p); err != nil || !s.Index {
		t.Errorf("%+v (%v), want an index", s, err)
	}
	if s, err := DropIndex(p); err != nil || s.Index {
		t.Errorf("%+v (%v), want none", s, err)
	}
	if s, err := Compact(t.Context(), p); err != nil || s.Index || s.Coins != w.hashes.coins || s.BytesPerCoin <= 0 {
		t.Errorf("%+v (%v)", s, err)
	}
}

// What is wrong is reported, and neither hidden nor an error.
func TestVerifyWrong(t *testing.T) {
	w, p := loaded(t, 23, 4000)
	v, err := Verify(t.Context(), VerifyOptions{Place: p, Expect: &w.hashes.mu, ExpectMuHash: &w.hashes.serialized})
	if err != nil || v.Whole || len(v.Problems) != 2 {
		t.Errorf("%+v (%v), want both hashes wrong", v, err)
	}
	if _, err := Compact(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	v, err = Verify(t.Context(), VerifyOptions{Place: p, Repair: true})
	if err != nil || !v.Whole || !v.Checked || v.Repaired || v.HashSerialized3 != w.hashes.serialized.String() {
		t.Errorf("%+v (%v), want nothing to repair", v, err)
	}
	tables, err := filepath.Glob(filepath.Join(p.dir(), "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("there are no tables (%v)", err)
	}
	for _, name := range tables {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) < 20_000 {
			continue
		}
		raw[len(raw)/3] ^= 1
		if err := os.WriteFile(name, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range []VerifyOptions{{Check: true}, {Repair: true}} {
		o.Place = p
		v, err := Verify(t.Context(), o)
		if err != nil || v.Whole || v.Repaired || !v.Checked || len(v.Files) == 0 || !strings.Contains(v.Files[0], ".sst") {
			t.Errorf("%+v: %+v (%v), want a damaged file named", o, v, err)
		}
	}
	if _, err := Verify(t.Context(), VerifyOptions{Place: p}); !errors.Is(err, coindb.ErrCorrupt) || !strings.Contains(err.Error(), "--check") {
		t.Errorf("%v, want to be told to check", err)
	}
}

// A MuHash that was kept, and is not that of the coins, is reported.
func TestVerifyKept(t *testing.T) {
	p := Place{Network: "regtest", Datadir: t.TempDir()}
	if err := os.MkdirAll(filepath.Dir(p.dir()), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := coindb.Open(p.dir(), coindb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := db.NewLoader(coindb.Tip{Height: 5}, coindb.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var wrong muhash.Set
	wrong.Insert([]byte("no coin"))
	l.SetMuHash(&wrong)
	coin := coindb.Coin{Value: 1, Height: 5, Script: []byte{0x51}}
	if err := errors.Join(l.Add(wire.OutPoint{}, &coin), l.Finish(), l.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	v, err := Verify(t.Context(), VerifyOptions{Place: p})
	if err != nil || v.Whole || len(v.Problems) != 1 || !strings.Contains(v.Problems[0], wrong.Finalize().String()) {
		t.Errorf("%+v (%v), want the MuHash that was kept to be wrong", v, err)
	}
}

func TestBar(t *testing.T) {
	now := time.Unix(1e9, 0)
	show := func(terminal bool) string {
		var text strings.Builder
		b := NewBar(&text)
		b.terminal, b.now = terminal, func() time.Time { return now }
		for i := range 101 {
			b.Show(Progress{"loading", uint64(i), 100, float64(i) / 100})
			now = now.Add(time.Second)
		}
		b.Note("noted")
		b.End()
		return text.String()
	}
	if text := show(false); strings.Count(text, "\n") != 12 || !strings.Contains(text, "loading: 50.0 %, 50 of 100 coins, 50s left\n") || strings.Contains(text, "\r") {
		t.Errorf("without a terminal: %q", text)
	}
	if text := show(true); strings.Count(text, "\r") != 101 || strings.Count(text, "\n") != 2 || !strings.Contains(text, "[###############...............] loading: 50.0 %") || !strings.HasSuffix(text, "\nnoted\n") {
		t.Errorf("on a terminal: %q", text)
	}
}
