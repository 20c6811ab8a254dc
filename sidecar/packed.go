package sidecar

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

// writeNew makes a file of root with this content, which only this user may
// read, and has it on the disk when it returns.
func writeNew(root *os.Root, name string, content []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir has the names in a directory of root on the disk when it returns,
// where the system can do that.
func syncDir(root *os.Root, name string) error {
	if runtime.GOOS == "windows" {
		return nil // it opens no directories
	}
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// pack compresses data as a Zstandard frame.
func pack(data []byte) ([]byte, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return enc.EncodeAll(data, nil), enc.Close()
}

// unpack decompresses Zstandard frames of at most limit bytes.
func unpack(data []byte, limit int64) ([]byte, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(limit)))
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	if len(data) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return dec.DecodeAll(data, nil)
}

// readPacked reads a compressed file of root that neither is nor decompresses
// to more than limit bytes, but for what the format adds.
func readPacked(root *os.Root, name string, limit int64) ([]byte, error) {
	const overhead = 1 << 16
	data, err := readLimited(root, name, limit+overhead)
	if err != nil {
		return nil, err
	}
	if data, err = unpack(data, limit); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// readLimited reads a file of root of at most limit bytes.
func readLimited(root *os.Root, name string, limit int64) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: more than %d bytes", name, limit)
	}
	return data, err
}

// sizeOf returns the bytes of the files in a directory of root.
func sizeOf(root *os.Root, dir string) (int64, error) {
	var size int64
	entries, err := fs.ReadDir(root.FS(), dir)
	for _, e := range entries {
		info, err := root.Lstat(path.Join(dir, e.Name()))
		if err != nil {
			return 0, err
		}
		size += info.Size()
	}
	return size, err
}
