package utxo

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/testvectors"
	"github.com/outrider-project/outrider/utxocache/coindb"
)

func TestLoadRecorded(t *testing.T) {
	for _, folder := range []string{"bitcoind/", "bitcoind/zoo/"} {
		t.Run(folder, func(t *testing.T) {
			p := Place{Datadir: t.TempDir()}
			l, err := Load(t.Context(), LoadOptions{Place: p, Snapshot: file(t, testvectors.LoadFixture(t, folder+"utxo_snapshot.dat", unchecked))})
			if err != nil {
				t.Fatal(err)
			}
			want := recorded(t, folder, l.BaseHash)
			if want.MuHash == "" || want.Hash3 == "" {
				t.Fatalf("the recording tells %+v of block %s, want both hashes", want, l.BaseHash)
			}
			if l.Coins != want.TxOuts || l.BaseHeight == nil || *l.BaseHeight != want.Height || l.MuHash != want.MuHash ||
				l.HashSerialized3 != want.Hash3 || l.Network != "regtest" {
				t.Errorf("loaded %+v, the node said %+v", l, want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	w := newWorld(t, 1, 3000)
	for name, o := range map[string]LoadOptions{
		"as it comes":     {},
		"small":           small(LoadOptions{}),
		"with its height": {Height: w.height},
		"with its hash":   small(LoadOptions{Expect: &w.hashes.serialized, Place: Place{Network: "regtest"}}),
	} {
		t.Run(name, func(t *testing.T) {
			o.Datadir, o.Snapshot = t.TempDir(), file(t, w.snapshot(t))
			var last Progress
			o.Progress = func(p Progress) { last = p }
			l, err := Load(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			w.check(t, l, o.Place)
			if last != (Progress{"loading", w.hashes.coins, w.hashes.coins, 1}) {
				t.Errorf("the last progress is %+v", last)
			}
			if l.HashWasExpected != (o.Expect != nil) {
				t.Errorf("hash_was_expected is %v", l.HashWasExpected)
			}
			// What is loaded is refused, and told of, and --fresh loads again.
			if _, err := Load(t.Context(), o); !errors.Is(err, coindb.ErrTip) || !strings.Contains(err.Error(), "--fresh") {
				t.Errorf("loaded again: %v", err)
			}
			o.Fresh = true
			if l, err = Load(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			w.check(t, l, o.Place)
			if left, err := filepath.Glob(filepath.Join(o.Datadir, "regtest", "*")); err != nil || len(left) != 1 {
				t.Errorf("%v is left (%v), want the database only", left, err)
			}
		})
	}
}

// A height that cannot be the base's is refused or told of.
func TestLoadHeight(t *testing.T) {
	w := newWorld(t, 11, 300)
	var note string
	o := LoadOptions{Place: Place{Datadir: t.TempDir()}, Snapshot: file(t, w.snapshot(t)), Height: w.height - 1, Note: func(s string) { note += s }}
	if _, err := Load(t.Context(), o); err == nil || !strings.Contains(err.Error(), "or its base is higher than 899") {
		t.Errorf("a height that is too low: %v", err)
	}
	noTip(t, o.Place)
	o.Height, o.Fresh = w.height+1, true
	if l, err := Load(t.Context(), o); err != nil || *l.BaseHeight != w.height+1 || !strings.Contains(note, "a coin is 900") {
		t.Errorf("a height that is too high: %+v, %v, noted %q", l, err, note)
	}
	note, o.Height = "", w.height
	if _, err := Load(t.Context(), o); err != nil || note != "" {
		t.Errorf("the right height: %v, noted %q", err, note)
	}
}

// An empty set is a set.
func TestLoadNothing(t *testing.T) {
	w := &world{base: chainhash.HashH([]byte("empty")), height: 1}
	w.hash(t)
	o := LoadOptions{Place: Place{Datadir: t.TempDir()}, Snapshot: file(t, w.snapshot(t)), Height: 1}
	l, err := Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	w.check(t, l, o.Place)
}

// noTip demands that a load has left no tip, and coins that nobody can ask for.
func noTip(t *testing.T, p Place) {
	t.Helper()
	if err := p.find(); err != nil {
		return // nor a database
	}
	_, err := Get(p, nil)
	if !errors.Is(err, coindb.ErrLoading) && !errors.Is(err, coindb.ErrNoTip) || !strings.Contains(err.Error(), "outrider utxo load") {
		t.Errorf("the database answers, or does not say what to do: %v", err)
	}
	if _, err := Verify(t.Context(), VerifyOptions{Place: p}); !errors.Is(err, coindb.ErrLoading) && !errors.Is(err, coindb.ErrNoTip) {
		t.Errorf("verified: %v", err)
	}
}

// A snapshot that is cut off anywhere is named, and leaves no tip; the whole one
// goes on from there.
func TestLoadTruncated(t *testing.T) {
	w := newWorld(t, 2, 1500)
	whole := w.snapshot(t)
	path := file(t, whole)
	for _, known := range []uint32{0, w.height} { // with and without a reading beforehand
		for _, size := range []int{0, 50, 51, 100, len(whole) / 2, len(whole) - 1} {
			o := small(LoadOptions{Place: Place{Datadir: t.TempDir()}, Height: known})
			o.Snapshot = file(t, whole[:size])
			if _, err := Load(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--snapshot: it is not whole") {
				t.Errorf("%d of %d bytes: %v", size, len(whole), err)
			}
			noTip(t, o.Place)
			o.Snapshot = path
			l, err := Load(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			w.check(t, l, o.Place)
			if late := known != 0 && size == len(whole)-1; late && l.CoinsBefore == 0 {
				t.Error("nothing was kept of what had been loaded")
			}
		}
	}
}

// A damaged snapshot is named, and leaves no tip.
func TestLoadDamaged(t *testing.T) {
	w := newWorld(t, 3, 1500)
	whole := w.snapshot(t)
	for _, tt := range []struct {
		name string
		at   int
		with byte
		want string
	}{
		{"magic", 0, 'x', "it is none"},
		{"version", 5, 9, "it is damaged"},
		{"network", 7, 1, "not known here"},
		{"another network", 7, 0, "not known here"},
		{"too many coins", 43, 0xff, "it is "},
		{"a coin less", 43, whole[43] - 1, "it is damaged"},
		{"order", 51, 0xff, "it is damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spoilt := bytes.Clone(whole)
			spoilt[tt.at] = tt.with
			o := small(LoadOptions{Place: Place{Datadir: t.TempDir()}, Snapshot: file(t, spoilt), Height: w.height})
			if _, err := Load(t.Context(), o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want a word on %q", err, tt.want)
			}
			noTip(t, o.Place)
		})
	}
	// Where any one byte is another, the hash is, or the file is refused.
	for at := 51; at < len(whole); at += 6007 {
		spoilt := bytes.Clone(whole)
		spoilt[at] ^= 4
		o := small(LoadOptions{Place: Place{Datadir: t.TempDir()}, Snapshot: file(t, spoilt), Height: w.height, Expect: &w.hashes.serialized})
		if _, err := Load(t.Context(), o); err == nil {
			t.Errorf("byte %d was changed, and nobody noticed", at)
		}
		noTip(t, o.Place)
	}
}

// The coins of two snapshots are never mixed: what was loaded is compared with
// the snapshot that goes on.
func TestLoadGoesOnWithAnother(t *testing.T) {
	w := newWorld(t, 4, 2000)
	whole := w.snapshot(t)
	other := newWorld(t, 4, 2000)
	other.txs[10].Coins[0].Value++
	other.hash(t)

	o := small(LoadOptions{Place: Place{Datadir: t.TempDir()}, Height: w.height})
	load := func(content []byte) (*Loaded, error) {
		o.Snapshot = file(t, content)
		return Load(t.Context(), o)
	}
	if _, err := load(whole[:len(whole)*2/3]); err == nil {
		t.Fatal("half a snapshot loads")
	}
	if _, err := load(other.snapshot(t)); !errors.Is(err, errOther) {
		t.Errorf("another snapshot goes on: %v", err)
	}
	if _, err := load(whole[:len(whole)/3]); err == nil {
		t.Error("less than was loaded is enough")
	}
	noTip(t, o.Place)
	o.Height++
	if _, err := load(whole); !errors.Is(err, coindb.ErrLoading) || !strings.Contains(err.Error(), "--fresh") {
		t.Errorf("it goes on at another height: %v", err)
	}
	o.Height = 0 // the journal has it
	l, err := load(whole)
	if err != nil {
		t.Fatal(err)
	}
	if l.CoinsBefore == 0 {
		t.Error("nothing was loaded before")
	}
	w.check(t, l, o.Place)
}

// Without the journal nobody knows what was loaded. What is left of a record at
// its end does no harm.
func TestLoadJournalDamaged(t *testing.T) {
	w := newWorld(t, 5, 3000)
	whole := w.snapshot(t)
	for _, tt := range []struct {
		name  string
		spoil func([]byte) []byte
		want  string
	}{
		{"gone", nil, "--fresh"},
		{"empty", func([]byte) []byte { return []byte{} }, "--fresh"},
		{"its head only", func(b []byte) []byte { return b[:journalHead] }, "--fresh"},
		{"its first record spoilt", func(b []byte) []byte { b[journalHead+9] ^= 1; return b }, "--fresh"},
		{"of another block", func(b []byte) []byte { b[len(journalMagic)] ^= 1; return b }, "--fresh"},
		{"half a record more", func(b []byte) []byte { return append(b, make([]byte, recordSize/2)...) }, ""},
		{"a record of zeros more", func(b []byte) []byte { return append(b, make([]byte, recordSize)...) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := small(LoadOptions{Place: Place{Datadir: t.TempDir(), Network: "regtest"}, Height: w.height})
			o.Snapshot = file(t, whole[:len(whole)/2])
			if _, err := Load(t.Context(), o); err == nil {
				t.Fatal("half a snapshot loads")
			}
			path := o.journalPath()
			raw, err := os.ReadFile(path)
			if err != nil || len(raw) <= journalHead+recordSize {
				t.Fatalf("the journal has %d bytes (%v)", len(raw), err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if tt.spoil != nil {
				if err := os.WriteFile(path, tt.spoil(raw), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			o.Snapshot = file(t, whole)
			l, err := Load(t.Context(), o)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				w.check(t, l, o.Place)
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want a word on %q", err, tt.want)
			}
			noTip(t, o.Place)
			o.Fresh = true
			if l, err = Load(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			w.check(t, l, o.Place)
		})
	}
}

// A hash that is not the expected one leaves no tip.
func TestLoadUnexpected(t *testing.T) {
	w := newWorld(t, 6, 500)
	o := small(LoadOptions{Place: Place{Datadir: t.TempDir()}, Snapshot: file(t, w.snapshot(t)), Expect: &w.hashes.mu})
	_, err := Load(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), w.hashes.serialized.String()) || !strings.Contains(err.Error(), w.hashes.mu.String()) {
		t.Errorf("%v, want both hashes named", err)
	}
	noTip(t, o.Place)
}

// A base whose hash Bitcoin Core knows must have it, and the right height.
func TestLoadKnownBase(t *testing.T) {
	w := newWorld(t, 7, 300)
	known := base{"regtest", w.height, w.base.String(), w.hashes.serialized.String()}
	was := bases
	defer func() { bases = was }()
	bases = append(slices.Clone(was), known)
	o := LoadOptions{Place: Place{Datadir: t.TempDir()}, Snapshot: file(t, w.snapshot(t)), Height: w.height + 1}
	if _, err := Load(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--height") {
		t.Errorf("%v, want the height refused", err)
	}
	o.Height = 0
	l, err := Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	w.check(t, l, o.Place)
	if !l.HashWasExpected || !strings.Contains(l.ExpectedBySource, "Bitcoin Core") {
		t.Errorf("loaded %+v, want the hash expected", l)
	}
	bases[len(bases)-1].coins = w.hashes.mu.String()
	o.Fresh = true
	if _, err := Load(t.Context(), o); err == nil || !strings.Contains(err.Error(), "hash_serialized_3") {
		t.Errorf("%v, want the hash refused", err)
	}
	noTip(t, o.Place)
}

func TestBases(t *testing.T) {
	seen := make(map[string]bool)
	for _, b := range bases {
		hash, err := ParseHash(b.hash)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseHash(b.coins); err != nil {
			t.Error(err)
		}
		if name, err := CheckNetwork(b.network); err != nil || name != b.network {
			t.Errorf("%v: network %s (%v)", b, name, err)
		}
		if got := baseOf(b.network, *hash); got == nil || *got != b {
			t.Errorf("block %s is found as %v", hash, got)
		}
		if seen[b.hash] || seen[b.coins] || !strings.HasPrefix(b.hash, "000000") {
			t.Errorf("%v: twice, or without work", b)
		}
		seen[b.hash], seen[b.coins] = true, true
	}
}

// A pipe is read once: without its height the coins can be asked for.
func TestLoadPipe(t *testing.T) {
	w := newWorld(t, 8, 2000)
	whole := w.snapshot(t)
	load := func(o LoadOptions, content []byte) (*Loaded, error) {
		r, to, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() {
			_, err := to.Write(content)
			done <- errors.Join(err, to.Close())
		}()
		defer func() { <-done }() // a pipe that nobody reads any more fails
		o.Snapshot, o.Stdin = "-", r
		return Load(t.Context(), small(o))
	}
	o := LoadOptions{Place: Place{Datadir: t.TempDir()}, Height: w.height}
	if _, err := load(o, whole[:len(whole)*2/3]); err == nil || !strings.Contains(err.Error(), "write the same snapshot into the pipe again") {
		t.Errorf("%v, want to be told what to do", err)
	}
	noTip(t, o.Place)
	l, err := load(o, whole)
	if err != nil {
		t.Fatal(err)
	}
	if l.CoinsBefore == 0 {
		t.Error("nothing was kept of what the first pipe had told")
	}
	w.check(t, l, o.Place)

	var note string
	o = LoadOptions{Place: Place{Datadir: t.TempDir()}, Note: func(s string) { note += s }}
	if l, err = load(o, whole); err != nil {
		t.Fatal(err)
	}
	if l.BaseHeight != nil || !strings.Contains(note, "--height gives it") || !strings.Contains(note, "load again with --height 900") || l.HashSerialized3 != w.hashes.serialized.String() || l.MuHash != w.hashes.mu.String() {
		t.Errorf("loaded %+v, noted %q", l, note)
	}
	s, err := ReadStats(o.Place)
	if err != nil || s.Tip.Height != nil || s.Tip.Hash != w.base.String() {
		t.Errorf("the database stands at %+v (%v), want an unknown height", s, err)
	}
}

// A load that waits for a pipe ends with its context.
func TestLoadInterrupted(t *testing.T) {
	w := newWorld(t, 9, 2000)
	whole := w.snapshot(t)
	r, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wrote := make(chan error)
	go func() {
		_, err := to.Write(whole[:len(whole)/2])
		cancel() // what was written has not been read to its end, or waits for more
		wrote <- err
	}()
	o := small(LoadOptions{Place: Place{Datadir: t.TempDir()}, Snapshot: "-", Stdin: r, Height: w.height})
	if _, err := Load(ctx, o); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "go on") {
		t.Errorf("%v, want to be told that it was interrupted", err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	noTip(t, o.Place)
}
