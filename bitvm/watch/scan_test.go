package watch

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// outpointsOf returns an instance with so many outputs that are there, whose ids begin
// with a number.
func outpointsOf(tb testing.TB, outputs, number int) *Instance {
	tb.Helper()
	g := &Graph{Version: GraphVersion, Name: "row", Claimant: "operator"}
	in := &Instance{Version: InstanceVersion, Name: fmt.Sprintf("row-%d", number), Network: "regtest", Graph: g, Start: 2, Outpoints: make(map[string]Existing)}
	for i := range outputs {
		c := fmt.Sprintf("c%d", i)
		g.Connectors = append(g.Connectors, Connector{Name: c, Leaves: []Leaf{{Name: "0", By: "operator"}}})
		hash := chainhash.Hash(sha256.Sum256(fmt.Appendf(nil, "%d %d", number, i)))
		in.Outpoints[c] = Existing{Outpoint: fmt.Sprintf("%s:%d", hash, i%3), Height: 1}
	}
	if err := in.Bind(); err != nil {
		tb.Fatal(err)
	}
	return in
}

// fullBlock returns a block with as many inputs as a block has room for, two for each
// transaction.
func fullBlock(inputs int) *Block {
	msg := &wire.MsgBlock{}
	var n [8]byte
	for i := 0; i < inputs; i += 2 {
		tx := wire.NewMsgTx(2)
		for j := range 2 {
			binary.LittleEndian.PutUint64(n[:], uint64(i+j))
			tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: sha256.Sum256(n[:]), Index: uint32(j)}, nil, nil))
		}
		tx.AddTxOut(wire.NewTxOut(1, []byte{0x51}))
		msg.Transactions = append(msg.Transactions, tx)
	}
	return NewBlock(msg, 2)
}

// mostInputs is how many inputs of 41 bytes a block of 4 MWU holds, none of which have
// witnesses.
const mostInputs = maxBlockWeight / (41 * 4)

func watching(tb testing.TB, instances, outputs int) *Watcher {
	tb.Helper()
	w := New(Options{})
	for i := range instances {
		if err := w.Add(outpointsOf(tb, outputs, i)); err != nil {
			tb.Fatal(err)
		}
	}
	return w
}

// Inputs that spend nothing that is watched cost no memory; and one that does is found
// among them.
func TestScan(t *testing.T) {
	w, b := watching(t, 10, 1000), fullBlock(2000)
	var hits []hit
	if n := testing.AllocsPerRun(10, func() {
		for _, tx := range b.Txs {
			hits = w.index.find(tx, hits[:0])
		}
	}); n != 0 || len(hits) != 0 {
		t.Errorf("%v allocations for a block, %d hits", n, len(hits))
	}
	in := w.tracks[7].outputs[123].at
	b.Txs[500].TxIn[1].PreviousOutPoint = in
	if err := w.Connect(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for i, s := range w.Status() {
		if found := len(s.Unknown) == 1; found != (i == 7) {
			t.Errorf("%s: %+v", s.Instance, s.Unknown)
		}
	}
}

// BenchmarkBlock10k scans a full block for 10,000 outputs. The map alone is its anchor.
func BenchmarkBlock10k(b *testing.B) {
	w, block := watching(b, 10, 1000), fullBlock(mostInputs)
	b.Run("scan", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if seen := w.scan(block, w.tracks); len(seen) != 0 {
				b.Fatal(seen)
			}
		}
	})
	b.Run("map", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, tx := range block.Txs {
				for _, in := range tx.TxIn {
					if w.index.outputs[in.PreviousOutPoint] != nil {
						b.Fatal(in)
					}
				}
			}
		}
	})
}
