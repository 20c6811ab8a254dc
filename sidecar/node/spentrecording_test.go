package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/testvectors"
	"github.com/outrider-project/outrider/utxocache/corefile"
)

// spentFolders are the folders with recordings of a bitcoind.
var spentFolders = []string{"bitcoind/", "bitcoind/zoo/"}

func loadSpent(tb testing.TB, folder, name string) []byte {
	tb.Helper()
	return testvectors.LoadFixture(tb, folder+name, "what blocks spend, against a real bitcoind's answers and files")
}

func spentRecording(tb testing.TB, folder string) *nodetest.BitcoindRecording {
	tb.Helper()
	return nodetest.ReadBitcoindRecording(tb, func(name string) []byte { return loadSpent(tb, folder, name) })
}

// A spentBlock is a block and what it spends by what the blocks below it make.
type spentBlock struct {
	tip  Tip
	body *blockval.Block
	want []Prevout
}

// places returns all places of the block's inputs.
func (b *spentBlock) places() []int {
	places := make([]int, len(b.want))
	for i := range places {
		places[i] = i
	}
	return places
}

// spentChain returns the blocks of a recording's chain up to tip.
func spentChain(tb testing.TB, rec *nodetest.BitcoindRecording, tip chainhash.Hash) []*spentBlock {
	tb.Helper()
	var hashes []chainhash.Hash
	for hash := tip; rec.Blocks[hash] != nil; hash = chainhash.Hash(rec.Blocks[hash][4:36]) {
		hashes = append(hashes, hash)
	}
	slices.Reverse(hashes)
	made := make(map[wire.OutPoint]Prevout)
	var blocks []*spentBlock
	for h, hash := range hashes {
		body, err := blockval.Parse(rec.Blocks[hash])
		if err != nil {
			tb.Fatal(err)
		}
		b := &spentBlock{tip: Tip{hash, uint32(h)}, body: body}
		for i, tx := range body.Msg.Transactions {
			for _, in := range tx.TxIn {
				if i > 0 {
					b.want = append(b.want, made[in.PreviousOutPoint])
				}
			}
			for n, out := range tx.TxOut {
				made[wire.OutPoint{Hash: body.Txids[i], Index: uint32(n)}] = Prevout{
					Coin:  blockval.Coin{Value: out.Value, Script: out.PkScript, Height: uint32(h), Coinbase: i == 0},
					Block: hash,
				}
			}
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// checkSpent compares an answer with what the block spends. Only the source by
// the index names the coins' blocks.
func checkSpent(tb testing.TB, b *spentBlock, got []Prevout, blocksNamed bool) {
	tb.Helper()
	if len(got) != len(b.want) {
		tb.Fatalf("block %d: %d coins, want %d", b.tip.Height, len(got), len(b.want))
	}
	for i, want := range b.want {
		if got[i].Block == (chainhash.Hash{}) && !blocksNamed {
			want.Block = chainhash.Hash{}
		}
		if !samePrevout(got[i], want) {
			tb.Fatalf("block %d, input %d: %+v, want %+v", b.tip.Height, i, got[i], want)
		}
	}
}

// only makes b ask no source but the named ones.
func only(b *Bitcoind, names ...string) {
	b.spent.sources = slices.DeleteFunc(b.spent.sources, func(src *spentSource) bool {
		return !slices.Contains(names, src.name)
	})
}

var allSpentSources = []string{"undo", "getblock", "txindex"}

// A blocksDir is a directory that the test writes as bitcoind does.
type blocksDir struct {
	tb  testing.TB
	dir string
	key corefile.Key
	rec *nodetest.BitcoindRecording
}

func newBlocksDir(tb testing.TB, rec *nodetest.BitcoindRecording) *blocksDir {
	tb.Helper()
	d := &blocksDir{tb: tb, dir: tb.TempDir(), key: corefile.Key{1, 2, 3, 4, 5, 6, 7, 8}, rec: rec}
	d.write("xor.dat", d.key[:])
	return d
}

func (d *blocksDir) write(name string, data []byte) {
	d.tb.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), data, 0o600); err != nil {
		d.tb.Fatal(err)
	}
}

func (d *blocksDir) read(name string) []byte {
	d.tb.Helper()
	data, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.tb.Fatal(err)
	}
	return data
}

// append writes a record after those of a file.
func (d *blocksDir) append(name string, record []byte) {
	d.tb.Helper()
	data := d.read(name)
	record = bytes.Clone(record)
	d.key.XOR(record, int64(len(data)))
	d.write(name, append(data, record...))
}

func (d *blocksDir) appendBlock(number int, b *spentBlock) {
	d.append(fmt.Sprintf("blk%05d.dat", number), corefile.AppendBlockRecord(nil, wire.TestNet, d.rec.Blocks[b.tip.Hash]))
}

func (d *blocksDir) appendUndo(number int, b *spentBlock) {
	d.append(fmt.Sprintf("rev%05d.dat", number), undoRecord(b))
}

func undoRecord(b *spentBlock) []byte {
	var undo corefile.BlockUndo
	place := 0
	for _, tx := range b.body.Msg.Transactions[1:] {
		coins := make([]corefile.Coin, len(tx.TxIn))
		for j := range coins {
			p := b.want[place]
			coins[j] = corefile.Coin{Value: p.Value, Script: p.Script, Height: p.Height, Coinbase: p.Coinbase}
			place++
		}
		undo = append(undo, coins)
	}
	return corefile.AppendUndoRecord(nil, wire.TestNet, b.body.Header.Prev(), corefile.AppendBlockUndo(nil, undo))
}

func onRegtest(context.Context) (string, error) { return "regtest", nil }

func (d *blocksDir) files() *undoFiles { return &undoFiles{dir: d.dir, network: onRegtest} }

// askUndo looks a block up and compares what is found.
func askUndo(tb testing.TB, u *undoFiles, b *spentBlock) error {
	tb.Helper()
	s, err := newSpending(b.tip, b.body, b.places())
	if err != nil {
		tb.Fatal(err)
	}
	got, err := u.spent(tb.Context(), s)
	if err == nil {
		err = s.check(got)
	}
	if err == nil {
		checkSpent(tb, b, got, false)
	}
	return err
}

func recordedBlocks(tb testing.TB) (*nodetest.BitcoindRecording, []*spentBlock) {
	tb.Helper()
	rec := spentRecording(tb, "bitcoind/")
	return rec, spentChain(tb, rec, rec.Chain[len(rec.Chain)-1])
}
