package utxo

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/testvectors"
	"github.com/outrider-project/outrider/utxocache/coindb"
	"github.com/outrider-project/outrider/utxocache/corefile"
	"github.com/outrider-project/outrider/utxocache/muhash"
)

// A world is a set of coins, in the order of their keys, and what it comes to.
type world struct {
	base   chainhash.Hash
	height uint32
	txs    []corefile.TxCoins
	hashes hashes
}

// newWorld makes the coins of so many transactions, one of which has outputs that
// VARINTs sort otherwise than numbers. Equal seeds make equal worlds.
func newWorld(t testing.TB, seed uint64, txs int) *world {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	w := &world{height: 900, base: chainhash.HashH(binary.BigEndian.AppendUint64(nil, seed))}
	for i := range txs {
		tx := corefile.TxCoins{Txid: chainhash.HashH(binary.BigEndian.AppendUint64([]byte("tx"), seed<<32+uint64(i)))}
		vouts := []uint32{uint32(rng.IntN(3))}
		switch {
		case i == txs/2:
			vouts = []uint32{0, 127, 128, 255, 256, 16511, 16512, 20000, 40000}
		case rng.IntN(4) == 0:
			vouts = append(vouts, vouts[0]+1, vouts[0]+uint32(2+rng.IntN(9)))
		}
		for _, vout := range vouts {
			script := make([]byte, 22+rng.IntN(20))
			for j := range script {
				script[j] = byte(rng.Uint32())
			}
			coinbase := i%100 == 0
			tx.Coins = append(tx.Coins, corefile.TxCoin{Vout: vout, Coin: corefile.Coin{
				Value: rng.Int64N(corefile.MaxMoney), Script: script, Height: 1 + rng.Uint32N(w.height), Coinbase: coinbase,
			}})
		}
		w.txs = append(w.txs, tx)
	}
	slices.SortFunc(w.txs, func(a, b corefile.TxCoins) int { return bytes.Compare(a.Txid[:], b.Txid[:]) })
	w.txs[0].Coins[0].Height = w.height // a coin of the base
	w.hash(t)
	return w
}

// hash sets hashes to what the coins come to, the simple way.
func (w *world) hash(t testing.TB) {
	t.Helper()
	serialized := corefile.NewSetHasher()
	var set muhash.Set
	w.hashes = hashes{}
	for i := range w.txs {
		tx := &w.txs[i]
		if err := serialized.Add(tx); err != nil {
			t.Fatal(err)
		}
		for j := range tx.Coins {
			set.Insert(corefile.AppendTxOutSer(nil, wire.OutPoint{Hash: tx.Txid, Index: tx.Coins[j].Vout}, &tx.Coins[j].Coin))
			w.hashes.coins++
			w.hashes.highest = max(w.hashes.highest, tx.Coins[j].Height)
		}
	}
	w.hashes.serialized, w.hashes.mu = serialized.Sum(), set.Finalize()
}

// snapshot returns the coins as dumptxoutset would write them.
func (w *world) snapshot(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	out, err := corefile.NewSnapshotWriter(&b, corefile.SnapshotHeader{Net: wire.TestNet, Base: w.base, Coins: w.hashes.coins})
	if err != nil {
		t.Fatal(err)
	}
	for _, tx := range w.txs {
		if err := out.Write(&corefile.TxCoins{Txid: tx.Txid, Coins: slices.Clone(tx.Coins)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// file puts content into a file of the test's.
func file(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "utxo.dat")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// small makes a load of few coins have many chunks and tables.
func small(o LoadOptions) LoadOptions {
	o.chunk, o.tableBytes = 200, 32<<10
	return o
}

// check compares a load with what it must come to, and the database with both.
func (w *world) check(t testing.TB, l *Loaded, p Place) {
	t.Helper()
	if l.Coins != w.hashes.coins || l.BaseHash != w.base.String() || l.BaseHeight == nil || *l.BaseHeight != w.height ||
		l.HashSerialized3 != w.hashes.serialized.String() || l.MuHash != w.hashes.mu.String() {
		t.Errorf("loaded %+v, want %+v of block %s", l, w.hashes, w.base)
	}
	v, err := Verify(t.Context(), VerifyOptions{Place: p, Expect: &w.hashes.serialized, ExpectMuHash: &w.hashes.mu})
	if err != nil {
		t.Fatal(err)
	}
	if !v.Whole || v.Coins != w.hashes.coins || v.Tip.Hash != w.base.String() ||
		v.HashSerialized3 != w.hashes.serialized.String() || v.MuHash != w.hashes.mu.String() {
		t.Errorf("verified %+v, want %+v of block %s", v, w.hashes, w.base)
	}
	if err := p.use(func(db *coindb.DB) error {
		if mu, tip, err := db.MuHash(t.Context()); err != nil || mu != w.hashes.mu || tip.Hash != w.base {
			t.Errorf("the database keeps the MuHash %s at %s, want %s: %v", mu, tip, w.hashes.mu, err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat((&Place{p.Datadir, "regtest"}).journalPath()); !os.IsNotExist(err) {
		t.Errorf("the journal is left behind: %v", err)
	}
}

// told is what a recorded node said of its coins.
type told struct {
	Height    uint32 `json:"height"`
	BestBlock string `json:"bestblock"`
	TxOuts    uint64 `json:"txouts"`
	MuHash    string `json:"muhash"`
	Hash3     string `json:"hash_serialized_3"`
}

const unchecked = "that a recorded snapshot loads, with the hashes that a real bitcoind told of it"

// recorded returns what the node of a recording said of its coins as of a block,
// all answers together.
func recorded(t *testing.T, folder, block string) told {
	t.Helper()
	var all told
	for line := range bytes.Lines(testvectors.LoadFixture(t, folder+"rpc.jsonl.zst", unchecked)) {
		var said struct {
			Response json.RawMessage `json:"response"`
			Raw      string          `json:"raw_response"`
		}
		if err := json.Unmarshal(line, &said); err != nil {
			t.Fatal(err)
		}
		if said.Raw != "" {
			said.Response = json.RawMessage(said.Raw)
		}
		var answer struct{ Result json.RawMessage }
		if json.Unmarshal(said.Response, &answer) != nil {
			continue // an answer that is no JSON object has no coins
		}
		var one told
		var dump struct {
			Coins  uint64 `json:"coins_written"`
			Base   string `json:"base_hash"`
			Height uint32 `json:"base_height"`
			Hash   string `json:"txoutset_hash"`
		}
		if json.Unmarshal(answer.Result, &one) == nil && one.BestBlock == block && one.TxOuts > 0 {
			all.Height, all.BestBlock, all.TxOuts = one.Height, one.BestBlock, one.TxOuts
			all.MuHash, all.Hash3 = max(all.MuHash, one.MuHash), max(all.Hash3, one.Hash3)
		}
		if json.Unmarshal(answer.Result, &dump) == nil && dump.Base == block {
			all.Height, all.BestBlock, all.TxOuts, all.Hash3 = dump.Height, dump.Base, dump.Coins, dump.Hash
		}
	}
	return all
}
