package corefile

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

var testKey = Key{0x1f, 0xec, 0x44, 0xd4, 0, 0xfe, 0x14, 0x7e}

// twoBlocks returns a block file with two blocks, the blocks, and the offset of
// the second.
func twoBlocks() (file []byte, first, second []byte, offset int64) {
	first, second = bytes.Repeat([]byte{1}, minBlock), bytes.Repeat([]byte{2}, minBlock+5)
	file = AppendBlockRecord(nil, wire.MainNet, first)
	offset = int64(len(file))
	file = AppendBlockRecord(file, wire.MainNet, second)
	return file, first, second, offset
}

// obfuscated returns file XORed with key.
func obfuscated(file []byte, key Key) []byte {
	file = slices.Clone(file)
	key.XOR(file, 0)
	return file
}

func TestBlockFile(t *testing.T) {
	plain, first, second, offset := twoBlocks()
	for _, key := range []Key{{}, testKey} {
		for zeros := range 20 {
			file := append(obfuscated(plain, key), make([]byte, zeros)...)
			f := NewBlockFile(bytes.NewReader(file), key, wire.MainNet)
			buf := make([]byte, 0, 200)
			got, next, err := f.Read(0, buf)
			if err != nil || next != offset || !bytes.Equal(got, first) || &got[0] != &buf[:1][0] {
				t.Fatalf("first block: %x, next at %d, %v", got, next, err)
			}
			got, next, err = f.Read(next, nil)
			if err != nil || next != int64(len(plain)) || !bytes.Equal(got, second) {
				t.Fatalf("second block: %x, next at %d, %v", got, next, err)
			}
			if _, _, err := f.Read(next, nil); err != io.EOF {
				t.Fatalf("after the last block and before %d zeros: %v, want EOF", zeros, err)
			}
			if _, _, err := f.Read(next+100, nil); err != io.EOF {
				t.Fatalf("after the file: %v, want EOF", err)
			}
		}
	}
}

// TestBlockFileCut cuts a file at every byte, and puts zeros where bytes are not
// written yet.
func TestBlockFileCut(t *testing.T) {
	plain, _, _, offset := twoBlocks()
	file := obfuscated(plain, testKey)
	for cut := range file {
		f := NewBlockFile(bytes.NewReader(file[:cut]), testKey, wire.MainNet)
		from := int64(0)
		if int64(cut) >= offset {
			from = offset
		}
		want := ErrTruncated
		if int64(cut) == from {
			want = io.EOF
		}
		if _, _, err := f.Read(from, nil); !errors.Is(err, want) {
			t.Errorf("cut at byte %d: %v, want %v", cut, err, want)
		}
	}
}

func TestBlockFileRefused(t *testing.T) {
	plain, _, _, _ := twoBlocks()
	record := func(size uint32, length int) []byte {
		return append(appendHeader(nil, wire.MainNet, int(size)), make([]byte, length)...)
	}
	for _, c := range []struct {
		name   string
		file   []byte
		key    Key
		net    wire.BitcoinNet
		offset int64
		want   error
	}{
		{"another network", plain, Key{}, wire.TestNet3, 0, ErrMagic},
		{"another key", plain, testKey, wire.MainNet, 0, ErrMagic},
		{"another offset", plain, Key{}, wire.MainNet, 1, ErrMagic},
		{"an offset below 0", plain, Key{}, wire.MainNet, -1, ErrMalformed},
		{"too small", record(minBlock-1, 100), Key{}, wire.MainNet, 0, ErrMalformed},
		{"too large", record(maxBlock+1, maxBlock+1), Key{}, wire.MainNet, 0, ErrMalformed},
		{"largest", record(maxBlock, maxBlock), Key{}, wire.MainNet, 0, nil},
		{"longer than the file", record(maxBlock, maxBlock-1), Key{}, wire.MainNet, 0, ErrTruncated},
	} {
		f := NewBlockFile(bytes.NewReader(c.file), c.key, c.net)
		if block, _, err := f.Read(c.offset, nil); !errors.Is(err, c.want) || (block == nil) != (c.want != nil) {
			t.Errorf("%s: %d bytes, %v, want %v", c.name, len(block), err, c.want)
		}
	}
}

// failingFile fails to read from an offset on.
type failingFile struct {
	file []byte
	from int64
	err  error
}

func (f *failingFile) ReadAt(b []byte, offset int64) (int, error) {
	n, err := bytes.NewReader(f.file[:f.from]).ReadAt(b, offset)
	if err != nil {
		err = f.err
	}
	return n, err
}

func TestBlockFileFails(t *testing.T) {
	plain, _, _, offset := twoBlocks()
	broken := errors.New("the disk is broken")
	for from := range offset {
		f := NewBlockFile(&failingFile{plain, from, broken}, Key{}, wire.MainNet)
		if _, _, err := f.Read(0, nil); !errors.Is(err, broken) {
			t.Errorf("broken from byte %d on: %v", from, err)
		}
	}
	f := NewBlockFile(&failingFile{plain, 3, broken}, Key{}, wire.MainNet)
	if _, err := f.Find(0); !errors.Is(err, broken) {
		t.Errorf("find in a broken file: %v", err)
	}
}

// TestFind puts records at places around the edges of the window in which Find
// looks, behind what only begins like one.
func TestFind(t *testing.T) {
	const window = 1 << 16
	for _, at := range []int{0, 1, 7, 100, window - 9, window - 8, window - 7, window - 4, window - 1, window, 2*window - 14, 3 * window} {
		file := make([]byte, at)
		for i := 0; i+9 <= at; i += 1000 {
			copy(file[i:], appendHeader(nil, wire.MainNet, minBlock-1)) // too small
		}
		file = AppendBlockRecord(file, wire.MainNet, make([]byte, minBlock))
		f := NewBlockFile(bytes.NewReader(obfuscated(file, testKey)), testKey, wire.MainNet)
		for _, from := range []int{0, 1, at / 2, at - 1, at} {
			if from < 0 || from > at {
				continue
			}
			if got, err := f.Find(int64(from)); err != nil || got != int64(at) {
				t.Errorf("from byte %d on: a record at %d, %v, want %d", from, got, err, at)
			}
		}
		if got, err := f.Find(int64(at + 1)); err != io.EOF {
			t.Errorf("after byte %d: a record at %d, %v, want EOF", at, got, err)
		}
	}
}

func TestUndoFile(t *testing.T) {
	prev := chainhash.Hash{1, 2, 3}
	undo := AppendBlockUndo(nil, shortUndo(t))
	plain := AppendUndoRecord(nil, wire.SigNet, prev, undo)
	for _, key := range []Key{{}, testKey} {
		file := append(obfuscated(plain, key), make([]byte, 50)...)
		f := NewUndoFile(bytes.NewReader(file), key, wire.SigNet)
		rec, next, err := f.Read(0, nil)
		if err != nil || next != int64(len(plain)) || !bytes.Equal(rec.Data, undo) || rec.Verify(prev) != nil {
			t.Fatalf("%+v, next at %d, %v, %v", rec, next, err, rec.Verify(prev))
		}
		if err := rec.Verify(chainhash.Hash{1, 2}); !errors.Is(err, ErrChecksum) {
			t.Errorf("another predecessor: %v, want ErrChecksum", err)
		}
		if _, _, err := f.Read(next, nil); err != io.EOF {
			t.Errorf("after the last: %v, want EOF", err)
		}
		for cut := range len(plain) {
			want := ErrTruncated
			if cut == 0 {
				want = io.EOF
			}
			f := NewUndoFile(bytes.NewReader(file[:cut]), key, wire.SigNet)
			if _, _, err := f.Read(0, nil); !errors.Is(err, want) {
				t.Fatalf("cut at byte %d: %v, want %v", cut, err, want)
			}
			// Where the rest is not written yet, the record is damaged.
			unwritten := append(slices.Clone(file[:cut]), make([]byte, len(plain)-cut)...)
			f = NewUndoFile(bytes.NewReader(unwritten), key, wire.SigNet)
			rec, _, err := f.Read(0, nil)
			if err == nil {
				err = rec.Verify(prev)
			}
			if err == nil && !bytes.Equal(unwritten, file[:len(plain)]) {
				t.Fatalf("not written from byte %d on: no error", cut)
			}
		}
	}
}

// allocated returns the bytes of memory that f takes.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestNoMemoryForPromises has short files promise much.
func TestNoMemoryForPromises(t *testing.T) {
	undo := NewUndoFile(bytes.NewReader(append(appendHeader(nil, wire.MainNet, maxUndo), 1, 2, 3)), Key{}, wire.MainNet)
	for name, f := range map[string]func() error{
		"undo record":  func() error { _, _, err := undo.Read(0, nil); return err },
		"transactions": func() error { _, err := DecodeBlockUndo([]byte{0xfe, 0, 0, 0, 2, 0}); return err },
		"coins":        func() error { _, err := DecodeBlockUndo([]byte{1, 0xfe, 0, 0, 0, 2, 0}); return err },
		"script":       func() error { _, _, err := DecodeScript(nil, AppendVarInt(nil, 9000)); return err },
	} {
		var err error
		if n := allocated(func() { err = f() }); n > 1<<16 || !errors.Is(err, ErrTruncated) {
			t.Errorf("%s: %d bytes taken, %v", name, n, err)
		}
	}
}
