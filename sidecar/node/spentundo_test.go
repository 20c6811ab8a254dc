package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/utxocache/corefile"
)

// TestUndoFollows has the files grow a block at a time, and every block found
// when its record is there; what was indexed before is not read again.
func TestUndoFollows(t *testing.T) {
	rec, blocks := recordedBlocks(t)
	d := newBlocksDir(t, rec)
	d.appendBlock(0, blocks[0])
	u := d.files()
	for i, b := range blocks[1:] {
		if err := askUndo(t, u, b); err == nil {
			t.Fatalf("block %d is found before it is written", b.tip.Height)
		}
		d.appendBlock(0, b)
		if err := askUndo(t, u, b); !errors.Is(err, errLags) {
			t.Fatalf("block %d, whose record is not there: %v", b.tip.Height, err)
		}
		// Half a record, and space that was taken in advance.
		before, record := d.read("rev00000.dat"), undoRecord(b)
		d.append("rev00000.dat", record[:len(record)/2])
		d.write("rev00000.dat", append(d.read("rev00000.dat"), make([]byte, 500)...))
		if err := askUndo(t, u, b); err == nil {
			t.Fatalf("block %d is found in half a record", b.tip.Height)
		}
		d.write("rev00000.dat", before)
		d.appendUndo(0, b)
		if err := askUndo(t, u, b); err != nil {
			t.Fatalf("block %d: %v", b.tip.Height, err)
		}
		if f := u.files[0]; len(f.undos) != i+1 || f.cursor != i+1 {
			t.Errorf("%d undo records are indexed and the last found is number %d, want %d", len(f.undos), f.cursor, i+1)
		}
	}
	u = d.files()
	half := blocks[len(blocks)/2]
	if err := askUndo(t, u, half); err != nil {
		t.Fatal(err)
	}
	rev, end := d.read("rev00000.dat"), int(u.files[0].undos[len(u.files[0].undos)-1].offset)
	for i := range end {
		rev[i] ^= 0xff
	}
	d.write("rev00000.dat", rev)
	if err := askUndo(t, u, blocks[len(blocks)-1]); err != nil {
		t.Errorf("the last block, when the file before it is no more what it was: %v", err)
	}
	if got := len(u.files[0].undos); got != len(blocks)-1 {
		t.Errorf("%d undo records are indexed, want all %d that were there before", got, len(blocks)-1)
	}
}

// TestUndoRotates has the blocks in many files, out of order as the first
// download leaves them, and some pruned.
func TestUndoRotates(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	rec, blocks := recordedBlocks(t)
	d := newBlocksDir(t, rec)
	arrival := slices.Clone(blocks)
	for i := 1; i < len(arrival); i += 1 + rng.IntN(6) {
		window := arrival[i:min(i+8, len(arrival))]
		rng.Shuffle(len(window), func(i, j int) { window[i], window[j] = window[j], window[i] })
	}
	file := make(map[chainhash.Hash]int)
	last := 0
	for i, b := range arrival {
		if i > 0 && rng.IntN(4) == 0 {
			last++
		}
		file[b.tip.Hash] = last
		d.appendBlock(last, b)
	}
	for _, b := range blocks[1:] {
		d.appendUndo(file[b.tip.Hash], b)
	}
	u := d.files()
	for _, b := range blocks[1:] {
		if err := askUndo(t, u, b); err != nil {
			t.Errorf("block %d in file %d: %v", b.tip.Height, file[b.tip.Hash], err)
		}
	}
	for range 200 {
		b := blocks[1+rng.IntN(len(blocks)-1)]
		if err := askUndo(t, u, b); err != nil {
			t.Errorf("block %d in file %d, at random: %v", b.tip.Height, file[b.tip.Hash], err)
		}
		if rng.IntN(10) == 0 {
			u = d.files()
		}
	}
	pruned := last / 2
	for n := range pruned {
		for _, kind := range []string{"blk", "rev"} {
			os.Remove(filepath.Join(d.dir, fmt.Sprintf("%s%05d.dat", kind, n))) // a file may have no rev
		}
	}
	for _, b := range blocks[1:] {
		switch err := askUndo(t, u, b); {
		case file[b.tip.Hash] >= pruned && err != nil:
			t.Errorf("block %d in file %d, after the files below %d were pruned: %v", b.tip.Height, file[b.tip.Hash], pruned, err)
		case file[b.tip.Hash] < pruned && (err == nil || !strings.Contains(err.Error(), "pruned")):
			t.Errorf("block %d, which is pruned: %v", b.tip.Height, err)
		}
	}
}

// TestUndoMistakes has directories that cannot be used say why.
func TestUndoMistakes(t *testing.T) {
	rec, blocks := recordedBlocks(t)
	b := blocks[len(blocks)-1]
	for _, tt := range []struct {
		name  string
		spoil func(d *blocksDir, u *undoFiles)
		want  string // "" when it can be used
	}{
		{"as it should be", func(*blocksDir, *undoFiles) {}, ""},
		{"no directory", func(_ *blocksDir, u *undoFiles) { u.dir += "/none" }, "no blk files"},
		{"no files", func(d *blocksDir, _ *undoFiles) { os.Remove(filepath.Join(d.dir, "blk00000.dat")) }, "no blk files"},
		{"another key", func(d *blocksDir, _ *undoFiles) { d.write("xor.dat", []byte("12345678")) }, "xor.dat is not their key"},
		{"no key", func(d *blocksDir, _ *undoFiles) { os.Remove(filepath.Join(d.dir, "xor.dat")) }, "xor.dat is not their key"},
		{"short key", func(d *blocksDir, _ *undoFiles) { d.write("xor.dat", []byte("1234567")) }, "xor.dat"},
		{"another network", func(_ *blocksDir, u *undoFiles) {
			u.network = func(context.Context) (string, error) { return "main", nil }
		}, "another network"},
		{"signet", func(_ *blocksDir, u *undoFiles) {
			u.network = func(context.Context) (string, error) { return "signet", nil }
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newBlocksDir(t, rec)
			for _, b := range blocks {
				d.appendBlock(0, b)
				d.appendUndo(0, b)
			}
			u := d.files()
			tt.spoil(d, u)
			err := askUndo(t, u, b)
			_, hopeless := errors.AsType[*unusableError](err)
			if hopeless != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) || (err == nil) != (tt.want == "") {
				t.Errorf("%v (hopeless: %v), want %q", err, hopeless, tt.want)
			}
		})
	}
	t.Run("no key, and none is needed", func(t *testing.T) {
		d := newBlocksDir(t, rec)
		d.key = corefile.Key{}
		if err := os.Remove(filepath.Join(d.dir, "xor.dat")); err != nil {
			t.Fatal(err)
		}
		d.appendBlock(0, b)
		d.appendUndo(0, b)
		if err := askUndo(t, d.files(), b); err != nil {
			t.Error(err)
		}
	})
	t.Run("no permission", func(t *testing.T) {
		d := newBlocksDir(t, rec)
		d.appendBlock(0, b)
		d.appendUndo(0, b)
		err := d.files().fileError(&fs.PathError{Op: "open", Path: d.dir, Err: fs.ErrPermission})
		if os.Geteuid() > 0 { // whom a mode stops
			if err := os.Chmod(filepath.Join(d.dir, "rev00000.dat"), 0); err != nil {
				t.Fatal(err)
			}
			err = askUndo(t, d.files(), b)
		}
		if _, hopeless := errors.AsType[*unusableError](err); !hopeless || !strings.Contains(err.Error(), "the same user") {
			t.Errorf("%v", err)
		}
	})
}

// TestUndoDamage has files that are damaged or cut anywhere tell the right coins
// or an error.
func TestUndoDamage(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	rec, blocks := recordedBlocks(t)
	blocks = blocks[len(blocks)-10:]
	d := newBlocksDir(t, rec)
	for _, b := range blocks {
		d.appendBlock(0, b)
		d.appendUndo(0, b)
	}
	u := d.files()
	failed, found := 0, 0
	for range 400 {
		name := []string{"blk00000.dat", "rev00000.dat"}[rng.IntN(2)]
		whole := d.read(name)
		data := bytes.Clone(whole)
		if rng.IntN(2) == 0 {
			data = data[:rng.IntN(len(data))]
		} else {
			for range 1 + rng.IntN(3) {
				data[rng.IntN(len(data))] ^= 1 << rng.IntN(8)
			}
		}
		d.write(name, data)
		if rng.IntN(2) == 0 {
			u = d.files() // otherwise it has an index of the whole file
		}
		for _, b := range blocks {
			if err := askUndo(t, u, b); err != nil {
				failed++
			} else {
				found++
			}
		}
		d.write(name, whole)
		for _, b := range blocks {
			if askUndo(t, u, b) == nil {
				continue
			}
			if err := askUndo(t, u, b); err != nil { // the look-up before dropped the index
				t.Fatalf("block %d, when the files are whole again: %v", b.tip.Height, err)
			}
		}
	}
	if failed == 0 || found == 0 {
		t.Errorf("%d blocks were not found in damaged files, %d were", failed, found)
	}
}

// TestUndoReindex writes the files anew, in another order.
func TestUndoReindex(t *testing.T) {
	rec, blocks := recordedBlocks(t)
	d := newBlocksDir(t, rec)
	fill := func(blocks []*spentBlock) {
		os.Remove(filepath.Join(d.dir, "blk00000.dat")) // the first time there is none
		os.Remove(filepath.Join(d.dir, "rev00000.dat"))
		for _, b := range blocks {
			d.appendBlock(0, b)
			d.appendUndo(0, b)
		}
	}
	fill(blocks)
	u := d.files()
	for _, b := range blocks {
		if err := askUndo(t, u, b); err != nil {
			t.Fatal(err)
		}
	}
	slices.Reverse(blocks)
	fill(blocks)
	failed := 0
	for _, b := range blocks {
		if askUndo(t, u, b) != nil {
			failed++
		}
	}
	if failed > 1 {
		t.Errorf("%d blocks were not found after the files were written anew", failed)
	}
}

// TestUndoSibling has two blocks with the same predecessor in one file. A record
// that fits both is not believed.
func TestUndoSibling(t *testing.T) {
	rec, blocks := recordedBlocks(t)
	b := blocks[len(blocks)-1]
	for len(b.want) == 0 {
		b = blocks[b.tip.Height-1]
	}
	for _, tt := range []struct {
		name   string
		change func(sibling *spentBlock, msg *wire.MsgBlock)
		same   bool // has the inputs of b
	}{
		{"as many inputs", func(*spentBlock, *wire.MsgBlock) {}, true},
		{"no transaction", func(sibling *spentBlock, msg *wire.MsgBlock) {
			msg.Transactions, sibling.want = msg.Transactions[:1], nil
		}, false},
		{"an input more", func(sibling *spentBlock, msg *wire.MsgBlock) {
			last := msg.Transactions[len(msg.Transactions)-1]
			last.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: chainhash.Hash{1}}, nil, nil))
			sibling.want = append(sibling.want, sibling.want[0])
		}, false},
	} {
		same := tt.same
		sibling := &spentBlock{tip: b.tip, want: slices.Clone(b.want)}
		msg := decodeBlock(t, rec.Blocks[b.tip.Hash])
		msg.Header.Nonce ^= 1
		tt.change(sibling, msg)
		var again bytes.Buffer
		if err := msg.Serialize(&again); err != nil {
			t.Fatal(err)
		}
		raw := again.Bytes()
		body, err := blockval.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		sibling.body, sibling.tip.Hash = body, body.Hash
		rec.Blocks[body.Hash] = raw
		d := newBlocksDir(t, rec)
		for _, x := range []*spentBlock{sibling, b} {
			d.appendBlock(0, x)
		}
		u := d.files()
		if !same {
			d.appendUndo(0, sibling)
			if err := askUndo(t, u, b); !errors.Is(err, errLags) {
				t.Errorf("%s: with the sibling's record alone: %v", tt.name, err)
			}
		}
		d.appendUndo(0, b)
		if err := askUndo(t, u, b); same != errors.Is(err, errAmbiguous) || same != (err != nil) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestUndoOfOld has a record without heights, as old versions wrote it, refused.
func TestUndoOfOld(t *testing.T) {
	rec, blocks := recordedBlocks(t)
	b := blocks[len(blocks)-1]
	for len(b.want) < 2 {
		b = blocks[b.tip.Height-1]
	}
	old := *b
	old.want = slices.Clone(b.want)
	old.want[0].Height, old.want[0].Coinbase = 0, false
	d := newBlocksDir(t, rec)
	d.appendBlock(0, b)
	d.appendUndo(0, &old)
	if err := askUndo(t, d.files(), b); err == nil || !strings.Contains(err.Error(), "reindex=1") {
		t.Errorf("%v", err)
	}
}

// TestUndoIndexes bounds what is kept of many files.
func TestUndoIndexes(t *testing.T) {
	u := &undoFiles{}
	for n := range 5 {
		u.keep(&blockFileIndex{number: n, blocks: make([]indexedBlock, maxIndexed/4), undos: make([]indexedUndo, maxIndexed/4)})
	}
	var kept []int
	for _, f := range u.files {
		kept = append(kept, f.number)
	}
	if !slices.Equal(kept, []int{4, 3, 2}) {
		t.Errorf("the indexes of files %v are kept, want the last one and those two that are not too large", kept)
	}
	for n := range 100 {
		u.keep(&blockFileIndex{number: n})
	}
	if len(u.files) > 2*searchFiles+2 {
		t.Errorf("%d indexes are kept", len(u.files))
	}
}

// FuzzRecordScan has any bytes be walked through, forwards and to an end.
func FuzzRecordScan(f *testing.F) {
	magic := []byte{0xfa, 0xbf, 0xb5, 0xda}
	one := append(bytes.Clone(magic), 1, 0, 0, 0, 0)
	one = append(one, make([]byte, 32)...)
	f.Add(one, false)
	f.Add(append(bytes.Clone(one), one...), false)
	f.Add(append([]byte("junk"), one...), true)
	f.Add(append(append(bytes.Clone(one), magic...), make([]byte, 100)...), false)
	f.Add(append(append(bytes.Clone(magic), 81, 0, 0, 0), make([]byte, 81)...), true)
	f.Add(append(bytes.Clone(one), one[:len(one)-1]...), false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, data []byte, blocks bool) {
		index := &blockFileIndex{}
		scan, extend, offsets := scanUndo, index.extendUndo, func() (all []uint32) {
			for _, u := range index.undos {
				all = append(all, u.offset)
			}
			return all
		}
		least := uint32(recordHeader + 1 + 32)
		if blocks {
			least = recordHeader + minBlockRecord
			scan, extend, offsets = scanBlocks, index.extendBlocks, func() (all []uint32) {
				for _, b := range index.blocks {
					all = append(all, b.offset)
				}
				return all
			}
		}
		again := func() error {
			return extend(scan(bytes.NewReader(data), int64(len(data)), corefile.Key{}, wire.TestNet))
		}
		first := again()
		seen := slices.Clone(offsets())
		for i, at := range seen {
			if !bytes.HasPrefix(data[at:], magic) || i > 0 && at < seen[i-1]+least {
				t.Fatalf("records at %v", seen)
			}
			size := binary.LittleEndian.Uint32(data[at+4:])
			if uint64(at)+uint64(least)-1+uint64(size) > uint64(len(data)) && !blocks || uint64(at)+recordHeader+uint64(size) > uint64(len(data)) {
				t.Fatalf("a record of %d bytes at %d of %d", size, at, len(data))
			}
		}
		if first != nil {
			return
		}
		if err := again(); err != nil || !slices.Equal(offsets(), seen) {
			t.Fatalf("records at %v, the second time at %v, %v", seen, offsets(), err)
		}
	})
}
