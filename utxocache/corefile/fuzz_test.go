package corefile

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// known reports whether err is one that a decoder may return.
func known(err error) bool {
	return errors.Is(err, ErrTruncated) || errors.Is(err, ErrMalformed)
}

// FuzzNumbers has what decodes as a number encode to the same bytes.
func FuzzNumbers(f *testing.F) {
	for _, n := range edges() {
		f.Add(AppendVarInt(nil, n))
		f.Add(AppendCompactSize(nil, n))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, size, err := DecodeVarInt(b)
		if err != nil && !known(err) || err == nil && !bytes.Equal(AppendVarInt(nil, n), b[:size]) {
			t.Errorf("VARINT %d of %d bytes, %v", n, size, err)
		}
		if err == nil && bigVarInt(b[:size]).Uint64() != n {
			t.Errorf("VARINT %d should be %d", n, bigVarInt(b[:size]))
		}
		if value, err := DecompressAmount(n); err != nil && !known(err) || err == nil && (CompressAmount(value) != n || amountByDigits(value) != n) {
			t.Errorf("compressed amount %d becomes %d, %v", n, value, err)
		}
		n, size, err = DecodeCompactSize(b)
		if err != nil && !known(err) || err == nil && !bytes.Equal(AppendCompactSize(nil, n), b[:size]) {
			t.Errorf("CompactSize %d of %d bytes, %v", n, size, err)
		}
	})
}

// FuzzScript has any bytes survive as a script, and what decodes as a
// compressed script encode to the same bytes. Some scripts have a short form
// and are nevertheless written at length: they encode to fewer bytes.
func FuzzScript(f *testing.F) {
	for _, tx := range shortUndo(f) {
		for _, c := range tx {
			f.Add(c.Script)
			f.Add(AppendScript(nil, c.Script))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		packed := AppendScript(nil, b)
		script, size, err := DecodeScript(nil, packed)
		if len(b) <= MaxScriptSize && (err != nil || size != len(packed) || !bytes.Equal(script, b)) {
			t.Errorf("the script becomes %x, then %x of %d bytes, %v", packed, script, size, err)
		}
		script, size, err = DecodeScript(nil, b)
		if err != nil {
			if !known(err) {
				t.Error(err)
			}
			return
		}
		checkScript(t, script, b[:size])
	})
}

// checkScript checks a script that was decoded from packed.
func checkScript(t *testing.T, script, packed []byte) {
	t.Helper()
	again := AppendScript(nil, script)
	if bytes.Equal(again, packed) {
		return
	}
	back, _, err := DecodeScript(nil, again)
	if err != nil || !bytes.Equal(back, script) || len(again) >= len(packed) {
		t.Errorf("%x becomes %x, then %x, %v", packed, again, back, err)
	}
}

func FuzzCoin(f *testing.F) {
	for _, tx := range shortUndo(f) {
		for i := range tx {
			f.Add(AppendCoin(nil, &tx[i]))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Coin
		size, err := c.Decode(b)
		if err != nil {
			if !known(err) {
				t.Error(err)
			}
			return
		}
		again := AppendCoin(nil, &c)
		if bytes.Equal(again, b[:size]) {
			return
		}
		var back Coin
		if _, err := back.Decode(again); err != nil || !sameCoin(&back, &c) || len(again) >= size {
			t.Errorf("%x becomes %+v, then %x and %+v, %v", b[:size], c, again, back, err)
		}
	})
}

// FuzzBlockUndo has what decodes encode to the same bytes, or to fewer that
// decode to the same: versions and long forms are lost.
func FuzzBlockUndo(f *testing.F) {
	f.Add(AppendBlockUndo(nil, shortUndo(f)))
	f.Add(AppendBlockUndo(nil, BlockUndo{{}, {}}))
	f.Add(unhex(f, "0101 03 8efefefe7f 01 0751"))
	f.Fuzz(func(t *testing.T, b []byte) {
		undo, err := DecodeBlockUndo(b)
		if err != nil {
			if !known(err) || undo != nil {
				t.Errorf("%v, %v", undo, err)
			}
			return
		}
		again := AppendBlockUndo(nil, undo)
		if bytes.Equal(again, b) {
			return
		}
		back, err := DecodeBlockUndo(again)
		if err != nil || !sameUndo(back, undo) || len(again) > len(b) {
			t.Errorf("%x becomes %x, %v", b, again, err)
		}
	})
}

// FuzzSnapshot has a snapshot that reads to its end be written as one that reads
// to the same coins, and to the same bytes once it was written.
func FuzzSnapshot(f *testing.F) {
	f.Add(writeSnapshot(f, shortSet(f)))
	f.Add(writeSnapshot(f, shortSet(f)[:1]))
	f.Add(writeSnapshot(f, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		txs, err := readSnapshot(bytes.NewReader(b))
		if err != nil {
			if !known(err) && !errors.Is(err, ErrMagic) {
				t.Error(err)
			}
			return
		}
		hasher := NewSetHasher()
		for i := range txs {
			if err := hasher.Add(&txs[i]); err != nil {
				t.Fatal(err)
			}
		}
		again := writeSnapshot(t, txs)
		back, err := readSnapshot(bytes.NewReader(again))
		if err != nil || len(again) > len(b) {
			t.Fatalf("written again, %d bytes become %d, %v", len(b), len(again), err)
		}
		if !bytes.Equal(writeSnapshot(t, back), again) {
			t.Error("written twice, the snapshot is another")
		}
		for i := range back {
			sortByVout(back[i].Coins)
		}
		if !sameSet(back, txs) {
			t.Error("written and read again, the coins are others")
		}
	})
}

// FuzzRecords reads a file as blocks and as undo records: reading ends, and what
// was read is what would be written there.
func FuzzRecords(f *testing.F) {
	blocks, _, _, _ := twoBlocks()
	undo := AppendUndoRecord(nil, wire.MainNet, chainhash.Hash{1}, AppendBlockUndo(nil, shortUndo(f)))
	for _, file := range [][]byte{blocks, undo, append(blocks, make([]byte, 30)...), append(make([]byte, 30), undo...)} {
		f.Add(file, []byte(nil))
		f.Add(obfuscated(file, testKey), testKey[:])
	}
	f.Fuzz(func(t *testing.T, file, keyFile []byte) {
		key, err := ParseKey(keyFile)
		if err != nil {
			key = Key{}
		}
		checkRecords(t, file, key, func(r io.ReaderAt) (func(int64) ([]byte, int64, error), func(int64) (int64, error)) {
			f := NewBlockFile(r, key, wire.MainNet)
			return func(offset int64) ([]byte, int64, error) {
				block, next, err := f.Read(offset, nil)
				return AppendBlockRecord(nil, wire.MainNet, block), next, err
			}, f.Find
		})
		checkRecords(t, file, key, func(r io.ReaderAt) (func(int64) ([]byte, int64, error), func(int64) (int64, error)) {
			f := NewUndoFile(r, key, wire.MainNet)
			return func(offset int64) ([]byte, int64, error) {
				rec, next, err := f.Read(offset, nil)
				again := append(appendHeader(nil, wire.MainNet, len(rec.Data)), rec.Data...)
				return append(again, rec.Checksum[:]...), next, err
			}, f.Find
		})
	})
}

// checkRecords reads the records that find finds in file.
func checkRecords(t *testing.T, file []byte, key Key,
	open func(io.ReaderAt) (read func(int64) ([]byte, int64, error), find func(int64) (int64, error)),
) {
	read, find := open(bytes.NewReader(file))
	plain := obfuscated(file, key)
	for offset := int64(0); ; {
		again, next, err := read(offset)
		switch {
		case err == nil && (next <= offset || next > int64(len(file)) || !bytes.Equal(again, plain[offset:next])):
			t.Fatalf("a record from byte %d to %d of %d: %x", offset, next, len(file), again)
		case err == nil:
			offset = next
			continue
		case err != io.EOF && !known(err) && !errors.Is(err, ErrMagic):
			t.Fatal(err)
		}
		found, err := find(offset + 1)
		if err == io.EOF {
			return
		}
		if err != nil || found <= offset {
			t.Fatalf("from byte %d on: a record at %d, %v", offset+1, found, err)
		}
		offset = found
	}
}
