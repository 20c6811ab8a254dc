package sidecar

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sidecar/utxo"
	"github.com/outrider-project/outrider/sidecar/web"
	"github.com/outrider-project/outrider/utxocache/coindb"
	"github.com/outrider-project/outrider/utxocache/coins"
	"github.com/outrider-project/outrider/utxocache/corefile"
)

// coinsOf returns every output that the node's chain ever made, with its coin
// where it is unspent, else nil.
func coinsOf(t *testing.T, tree *nodetest.Tree) map[wire.OutPoint]*coindb.Coin {
	t.Helper()
	coins := make(map[wire.OutPoint]*coindb.Coin)
	for height, hash := range tree.Chain() {
		b, err := blockval.Parse(tree.Block(hash))
		if err != nil {
			t.Fatal(err)
		}
		for i, tx := range b.Msg.Transactions {
			for _, in := range tx.TxIn {
				if i > 0 {
					coins[in.PreviousOutPoint] = nil
				}
			}
			for n, out := range tx.TxOut {
				op := wire.OutPoint{Hash: b.Txids[i], Index: uint32(n)}
				coins[op] = nil
				if height > 0 && out.PkScript[0] != 0x6a {
					coins[op] = &coindb.Coin{Value: out.Value, Script: out.PkScript, Height: uint32(height), Coinbase: i == 0}
				}
			}
		}
	}
	return coins
}

// checkDatabase fails the test unless the coin database, which nobody has open, is
// exactly what the node's chain makes.
func (r *rider) checkDatabase(t *testing.T) {
	t.Helper()
	db, err := coindb.Open(filepath.Join(r.cfg.Datadir, "regtest", "coins"), coindb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	v, err := db.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	tip, _ := r.btcd.Tip()
	if v.Tip().Hash != tip || !v.Complete() {
		t.Errorf("the database is at %s, complete %t; the node is at %s", v.Tip(), v.Complete(), tip)
	}
	want := coinsOf(t, &r.btcd.Tree)
	found := 0
	for c, err := range v.All() {
		if err != nil {
			t.Fatal(err)
		}
		w := want[c.OutPoint]
		if w == nil || w.Value != c.Coin.Value || w.Height != c.Coin.Height || w.Coinbase != c.Coin.Coinbase || !bytes.Equal(w.Script, c.Coin.Script) {
			t.Errorf("%s is %+v, must be %+v", c.OutPoint, c.Coin, w)
		}
		found++
	}
	for op, w := range want {
		if w == nil {
			delete(want, op)
		}
	}
	if found != len(want) {
		t.Errorf("%d coins, must be %d", found, len(want))
	}
}

// coin asks the web server for a coin.
func (r *rider) coin(t *testing.T, op wire.OutPoint, query string) (web.Coin, int) {
	t.Helper()
	code, body := r.get(t, "/api/v1/coins/"+op.String()+query)
	var c web.Coin
	if code == http.StatusOK {
		if err := json.Unmarshal([]byte(body), &c); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
	}
	return c, code
}

// checkAnswers asks for every output that the chain ever made.
func (r *rider) checkAnswers(t *testing.T) {
	t.Helper()
	tip, _ := r.btcd.Tip()
	for op, want := range coinsOf(t, &r.btcd.Tree) {
		c, code := r.coin(t, op, "")
		if code != http.StatusOK || c.Tip.Hash != tip.String() || c.Unspent != (want != nil) || !c.Own {
			t.Fatalf("%s at %s: %d %+v, must be %+v", op, tip, code, c, want)
		}
		if want != nil && (c.Value != want.Value || c.Script != hex.EncodeToString(want.Script) || c.Height != want.Height ||
			c.Coinbase != want.Coinbase || c.Confirmations != c.Tip.Height-want.Height+1) {
			t.Errorf("%s: %+v, must be %+v", op, c, want)
		}
	}
}

// In full mode, from the genesis block on, the database is the node's coins after
// every block and reorganisation, whatever interrupts it, and every answer is the
// sidecar's own.
func TestFullMode(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{NoTxIndex: true})
	r.cfg.UTXOMode = UTXOFull
	r.btcd.Mine(110)
	for start := range 3 {
		r.run(t)
		r.awaitTip(t)
		for i := range 8 {
			r.btcd.AddTxs(6)
			r.btcd.Mine(1)
			if i%3 == 2 {
				r.btcd.Reorg(1+i+start, 2+i+start)
			}
			if rep := r.awaitTip(t); rep.Verdict.Prevouts != blockval.Own {
				t.Errorf("block %d: its coins are the word of %q", rep.Verdict.Height, rep.Verdict.Prevouts)
			}
		}
		r.awaitStanding(t)
		r.checkAnswers(t)
		r.checkAgreement(t)
		r.checkKnobs(t, "sidecar.flight", "utxocache.budget", "coindb.memory", "coindb.compactions", "sigverify.workers", "blockval.seen")
		if _, metrics := r.get(t, "/metrics"); strings.Contains(metrics, `outrider_coindb_spent_total{source="known"} 0`) ||
			!strings.Contains(metrics, `outrider_coindb_spent_total{source="known"}`) {
			t.Error("what blocks spend is read from the disk, though it is known")
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		r.checkDatabase(t)
		r.reports = nil
		// It is not there while blocks come and go.
		r.btcd.AddTxs(6)
		r.btcd.Mine(2)
		r.btcd.Reorg(3, 5)
	}
}

// checkKnobs fails the test unless the wanted knobs are there, and all are in order and in
// the manual, which calls those the optimizer's that can be tried.
func (r *rider) checkKnobs(t *testing.T, want ...string) {
	t.Helper()
	names := make(map[string]bool)
	manual, err := os.ReadFile("../docs/perf.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range r.s.Knobs() {
		row := regexp.MustCompile("(?m)^\\| .*`" + regexp.QuoteMeta(k.Name) + "`.* \\| (\\w+) \\|$").FindSubmatch(manual)
		tried := k.Scope == perfcore.Live && (k.Carry == perfcore.Memoryless || k.Carry == perfcore.Warm)
		if row == nil {
			t.Errorf("%s is not in docs/perf.md", k.Name)
		} else if owner := string(row[1]); owner != "arbiter" && (owner == "optimizer") != tried {
			t.Errorf("%s is the %s's in docs/perf.md; it can be tried: %t", k.Name, owner, tried)
		}
		if err := k.Check(); err != nil || names[k.Name] {
			t.Errorf("knob %s: %v, twice %t", k.Name, err, names[k.Name])
		}
		names[k.Name] = true
	}
	for _, name := range want {
		if !names[name] {
			t.Errorf("there is no knob %s among %v", name, names)
		}
	}
}

// A disk without room makes a block wait, and says why; when it has room the block
// is taken, and nothing was lost.
func TestFullDiskWaits(t *testing.T) {
	dir, first := t.TempDir(), chainhash.Hash{1}
	open := func(minFree int64) *coindb.DB {
		t.Helper()
		db, err := coindb.Open(dir, coindb.Options{MinFree: minFree})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open(1)
	if err := errors.Join(db.Reset(coindb.Tip{Hash: first}, true), db.Close()); err != nil {
		t.Fatal(err)
	}
	tree := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	tree.Mine(1)
	b, err := blockval.Parse(tree.Block(tree.Chain()[1]))
	if err != nil {
		t.Fatal(err)
	}
	var troubles []error
	ctx, cancel := context.WithCancel(t.Context())
	c := &chainstate{db: open(math.MaxInt64 / 2), must: true, log: slog.New(slog.DiscardHandler), trouble: func(err error) {
		if troubles = append(troubles, err); len(troubles) == 2 {
			cancel()
		}
	}}
	block := coindb.NewBlock(coindb.Tip{Hash: b.Hash, Height: 1}, first, b.Txids, b.Msg.Transactions)
	if err := c.change(ctx, func() error { return c.db.Apply(block) }); !errors.Is(err, context.Canceled) {
		t.Errorf("the change ended with %v", err)
	}
	if len(troubles) != 2 || !errors.Is(troubles[0], coindb.ErrDiskFull) || !strings.Contains(troubles[0].Error(), "nothing is lost") {
		t.Errorf("the troubles are %v", troubles)
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	c.db, troubles = open(1), nil
	defer c.close()
	if err := c.change(t.Context(), func() error { return c.db.Apply(block) }); err != nil || len(troubles) != 0 {
		t.Errorf("with room: %v, troubles %v", err, troubles)
	}
	if tip, err := c.db.Tip(); err != nil || tip.Hash != b.Hash {
		t.Errorf("the tip is %v, %v", tip, err)
	}
}

// A database that is damaged, or whose coins are not those in memory, ends the sidecar;
// one that cannot take the block is given up, and the sidecar goes on.
func TestChangeFails(t *testing.T) {
	for _, tt := range []struct {
		err  error
		ends bool
	}{
		{coindb.ErrKnown, true}, {coindb.ErrBroken, true}, {coindb.ErrCorrupt, true}, {coindb.ErrClosed, true},
		{coindb.ErrMissing, false}, {coindb.ErrTip, false},
	} {
		c := &chainstate{
			set: coins.New(coins.Options{}), log: slog.New(slog.DiscardHandler),
			trouble: func(err error) { t.Errorf("%v: the trouble %v", tt.err, err) },
		}
		why := fmt.Errorf("apply a block: %w", tt.err)
		err := c.change(t.Context(), func() error { return why })
		if tt.ends != errors.Is(err, tt.err) || tt.ends == (err == nil) {
			t.Errorf("%v: the change ended with %v", tt.err, err)
		}
		if gone := c.gone; tt.ends != (gone == nil) {
			t.Errorf("%v: the database is gone for %v", tt.err, gone)
		}
	}
}

// writeSnapshot writes the coins of the node's chain as dumptxoutset does.
func writeSnapshot(t *testing.T, tree *nodetest.Tree) string {
	t.Helper()
	txs := make(map[chainhash.Hash]*corefile.TxCoins)
	header := corefile.SnapshotHeader{Net: wire.TestNet}
	for op, c := range coinsOf(t, tree) {
		if c == nil {
			continue
		}
		if txs[op.Hash] == nil {
			txs[op.Hash] = &corefile.TxCoins{Txid: op.Hash}
		}
		txs[op.Hash].Coins = append(txs[op.Hash].Coins, corefile.TxCoin{Vout: op.Index, Coin: *c})
		header.Coins++
	}
	header.Base, _ = tree.Tip()
	var b bytes.Buffer
	w, err := corefile.NewSnapshotWriter(&b, header)
	if err != nil {
		t.Fatal(err)
	}
	sorted := slices.SortedFunc(maps.Values(txs), func(a, b *corefile.TxCoins) int { return bytes.Compare(a.Txid[:], b.Txid[:]) })
	for _, tx := range sorted {
		if err := w.Write(tx); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return write(t, "utxo.dat", b.String())
}

// A snapshot that was loaded is followed, by itself, from its base on: whether it
// told its height or not, every answer is the sidecar's own though it never saw the
// blocks below.
func TestFullModeFromASnapshot(t *testing.T) {
	for _, height := range []uint32{0, utxo.UnknownHeight} {
		t.Run(fmt.Sprint(height), func(t *testing.T) {
			r := newRider(t, nodetest.BtcdOptions{NoTxIndex: true})
			r.cfg.Start = nil
			r.btcd.Mine(110)
			r.btcd.AddTxs(20)
			r.btcd.Mine(3)
			base, _ := r.btcd.Tip()
			loaded, err := utxo.Load(t.Context(), utxo.LoadOptions{
				Place: utxo.Place{Datadir: r.cfg.Datadir}, Snapshot: writeSnapshot(t, &r.btcd.Tree), Height: height,
			})
			if err != nil || loaded.BaseHash != base.String() {
				t.Fatalf("%+v, %v", loaded, err)
			}
			r.run(t)
			for i := range 6 {
				r.btcd.AddTxs(6)
				r.btcd.Mine(1)
				if i == 4 {
					r.btcd.Reorg(3, 4)
				}
				if rep := r.awaitTip(t); rep.Verdict.Prevouts != blockval.Own {
					t.Errorf("block %d: its coins are the word of %q", rep.Verdict.Height, rep.Verdict.Prevouts)
				}
			}
			r.awaitStanding(t)
			r.checkAnswers(t)
			r.checkAgreement(t)
			if s := r.status(t).UTXO; s.Mode != string(UTXOFull) {
				t.Errorf("the coins: %+v", s)
			}
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			r.checkDatabase(t)
		})
	}
}

// awaitStanding waits until everything is done up to the node's tip.
func (r *rider) awaitStanding(t *testing.T) {
	t.Helper()
	tip, _ := r.btcd.Tip()
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		s := r.status(t)
		if s.Tip != nil && s.Tip.Hash == tip.String() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the sidecar is at %+v, the node at %s", s.Tip, tip)
		}
	}
}

// A database that began without its mode being asked for is followed; one that is
// of another chain is not believed.
func TestFullModeOfAnotherChain(t *testing.T) {
	for _, mode := range []UTXOMode{UTXOAuto, UTXOFull} {
		t.Run(string(mode), func(t *testing.T) {
			r := newRider(t, nodetest.BtcdOptions{})
			var log lockedBuffer
			r.log = slog.New(slog.NewTextHandler(&log, nil))
			r.cfg.UTXOMode = mode
			r.btcd.Mine(5)
			dir := filepath.Join(r.cfg.Datadir, "regtest", "coins")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			db, err := coindb.Open(dir, coindb.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Reset(coindb.Tip{Hash: chainhash.Hash{1}, Height: 3}, true), db.Close()); err != nil {
				t.Fatal(err)
			}
			r.run(t)
			if mode == UTXOFull {
				if err := r.wait(); !errors.Is(err, errCannotFollow) || !strings.Contains(err.Error(), "utxo load") {
					t.Errorf("the sidecar ended with %v", err)
				}
				return
			}
			r.awaitTip(t)
			r.checkAgreement(t)
			if !strings.Contains(log.String(), "cannot follow the node's chain") {
				t.Errorf("nothing is said of the database:\n%s", log.String())
			}
		})
	}
}

// Full mode without a database says how to come by one.
func TestFullModeWithoutADatabase(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.cfg.UTXOMode, r.cfg.Start = UTXOFull, nil
	r.run(t)
	if err := r.wait(); err == nil || !strings.Contains(err.Error(), "outrider utxo load --snapshot FILE") {
		t.Errorf("the sidecar ended with %v", err)
	}
}

// An answer that counts the mempool hides what that spends and has what it makes.
func TestCoinsOfTheMempool(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(120)
	r.run(t)
	r.awaitTip(t)
	parent := spendFirst(t, r.btcd, 3, opTrue)
	child := wire.NewMsgTx(2)
	child.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: parent.TxHash()}, nil, wire.TxWitness{{opTrue}}))
	child.AddTxOut(wire.NewTxOut(parent.TxOut[0].Value-1000, parent.TxOut[0].PkScript))
	untouched := spendFirst(t, r.btcd, 4).TxIn[0].PreviousOutPoint
	for _, tx := range []*wire.MsgTx{parent, child} {
		r.btcd.AddTx(tx)
	}
	made := wire.OutPoint{Hash: child.TxHash()}
	deadline := time.Now().Add(patience)
	for c, code := r.coin(t, made, "?mempool=true"); code != http.StatusOK || !c.Unspent; c, code = r.coin(t, made, "?mempool=true") {
		if time.Now().After(deadline) {
			t.Fatalf("what the mempool makes: %d %+v", code, c)
		}
	}
	for _, tt := range []struct {
		name      string
		op        wire.OutPoint
		confirmed bool
		pending   bool
	}{
		{"spent by the mempool", parent.TxIn[0].PreviousOutPoint, true, false},
		{"made and spent by the mempool", wire.OutPoint{Hash: parent.TxHash()}, false, false},
		{"made by the mempool", made, false, true},
		{"no output of its transaction", wire.OutPoint{Hash: child.TxHash(), Index: 1}, false, false},
		{"not touched by it", untouched, true, true},
	} {
		if c, code := r.coin(t, tt.op, ""); code != http.StatusOK || c.Unspent != tt.confirmed || c.Mempool {
			t.Errorf("%s: %d %+v without the mempool", tt.name, code, c)
		}
		c, code := r.coin(t, tt.op, "?mempool=true")
		if code != http.StatusOK || c.Unspent != tt.pending || !c.Mempool || tt.op == made && (c.Height != 0 || c.Confirmations != 0) {
			t.Errorf("%s: %d %+v with the mempool", tt.name, code, c)
		}
	}
	r.btcd.Mine(1) // which takes both
	r.awaitTip(t)
	r.awaitStanding(t)
	if c, _ := r.coin(t, made, "?mempool=true"); !c.Unspent || c.Confirmations != 1 {
		t.Errorf("after its block: %+v", c)
	}
	for _, bad := range []string{"x", "00:1", fmt.Sprintf("%064d:-1", 0), fmt.Sprintf("%064d", 0), fmt.Sprintf("%064d:1?mempool=perhaps", 0)} {
		if code, body := r.get(t, "/api/v1/coins/"+bad); code != http.StatusBadRequest || body == "" {
			t.Errorf("%s: %d %s", bad, code, body)
		}
	}
}

// A block that the database cannot take is no reason to end.
func TestDatabaseIsGivenUp(t *testing.T) {
	set := coins.New(coins.Options{})
	c := &chainstate{db: new(coindb.DB), must: true, set: set, log: slog.New(slog.DiscardHandler)}
	why := errors.New("it spends a coin twice")
	if err := c.change(t.Context(), func() error { return why }); err != nil || c.follows() != nil || !errors.Is(c.left(), why) {
		t.Errorf("%v; it still follows: %t, because of %v", err, c.follows() != nil, c.left())
	}
}
