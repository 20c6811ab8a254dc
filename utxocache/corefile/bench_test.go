package corefile

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// mainnetLike returns n coins whose scripts are about as common as in the
// main network's UTXO set.
func mainnetLike(n int) []Coin {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(prefix string, length int, suffix string) []byte {
		script := []byte(prefix)
		for range length {
			script = append(script, byte(rng.Uint32()))
		}
		return append(script, suffix...)
	}
	coins := make([]Coin, n)
	for i := range coins {
		c := Coin{Value: rng.Int64N(1e8), Height: 400_000 + rng.Uint32N(500_000)}
		switch kind := rng.IntN(100); {
		case kind < 30:
			c.Script = random("\x76\xa9\x14", 20, "\x88\xac")
		case kind < 40:
			c.Script = random("\xa9\x14", 20, "\x87")
		case kind < 65:
			c.Script = random("\x00\x14", 20, "")
		default:
			c.Script = random("\x51\x20", 32, "")
		}
		coins[i] = c
	}
	return coins
}

// benchSnapshot returns a snapshot with two coins a transaction, and the number
// of coins.
func benchSnapshot(tb testing.TB) ([]byte, int) {
	const n = 100_000
	coins := mainnetLike(n)
	txs := make([]TxCoins, n/2)
	for i := range txs {
		binary.BigEndian.PutUint32(txs[i].Txid[:], uint32(i))
		txs[i].Coins = []TxCoin{{0, coins[2*i]}, {1, coins[2*i+1]}}
	}
	return writeSnapshot(tb, txs), n
}

func BenchmarkSnapshotRead(b *testing.B) {
	file, n := benchSnapshot(b)
	benchRead(b, file, n, func(*TxCoins) error { return nil })
}

func BenchmarkSnapshotReadAndHash(b *testing.B) {
	file, n := benchSnapshot(b)
	benchRead(b, file, n, hashEach())
}

// hashEach returns a function that hashes each snapshot it is given from
// its first transaction on.
func hashEach() func(*TxCoins) error {
	h := NewSetHasher()
	return func(tx *TxCoins) error {
		if tx.Txid == (chainhash.Hash{}) {
			h = NewSetHasher()
		}
		return h.Add(tx)
	}
}

func benchRead(b *testing.B, file []byte, n int, each func(*TxCoins) error) {
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := NewSnapshotReader(bytes.NewReader(file), wire.MainNet)
		for err == nil {
			var tx *TxCoins
			if tx, err = r.Next(); err == nil {
				err = each(tx)
			}
		}
		if err != io.EOF {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "coins/s")
}

// benchUndo returns what a block of 6,000 inputs spends.
func benchUndo() BlockUndo {
	undo, coins := BlockUndo{}, mainnetLike(6000)
	for ; len(coins) > 0; coins = coins[3:] {
		undo = append(undo, coins[:3])
	}
	return undo
}

func BenchmarkBlockUndoDecode(b *testing.B) {
	data := AppendBlockUndo(nil, benchUndo())
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeBlockUndo(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBlockUndoAppend(b *testing.B) {
	undo := benchUndo()
	data := AppendBlockUndo(nil, undo)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		data = AppendBlockUndo(data[:0], undo)
	}
}

func BenchmarkUndoFileRead(b *testing.B) {
	undo := AppendBlockUndo(nil, benchUndo())
	file := obfuscated(AppendUndoRecord(nil, wire.MainNet, chainhash.Hash{}, undo), testKey)
	f := NewUndoFile(bytes.NewReader(file), testKey, wire.MainNet)
	var buf []byte
	b.SetBytes(int64(len(undo)))
	b.ReportAllocs()
	for b.Loop() {
		rec, _, err := f.Read(0, buf)
		if err == nil {
			err = rec.Verify(chainhash.Hash{})
		}
		if err != nil {
			b.Fatal(err)
		}
		buf = rec.Data
	}
}

// BenchmarkUncompressedKey decompresses a script that needs a square root.
func BenchmarkUncompressedKey(b *testing.B) {
	packed := unhex(b, "04"+generatorX)
	var script []byte
	for b.Loop() {
		var err error
		if script, _, err = DecodeScript(script[:0], packed); err != nil {
			b.Fatal(err)
		}
	}
}
