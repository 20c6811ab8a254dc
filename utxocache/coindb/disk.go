package coindb

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// These are the errors that callers tell apart. They come wrapped.
var (
	// ErrTip says that the block is for another tip than the database's.
	ErrTip = errors.New("the coin database stands at another tip")
	// ErrNoTip says that the database is new, and stands at no tip.
	ErrNoTip = errors.New("the coin database stands at no tip")
	// ErrLoading says that a load began and did not finish, so that there is
	// no tip. Load goes on with it, Reset gives it up.
	ErrLoading = errors.New("the coin database is in the middle of a load")
	// ErrTooDeep says that a block is below what the database can undo.
	ErrTooDeep = errors.New("deeper than the blocks that the coin database can undo")
	// ErrMissing says that a block spends a coin that a complete database does
	// not have.
	ErrMissing = errors.New("spends a coin that does not exist")
	// ErrKnown says that a coin is another than the caller of Apply knows.
	ErrKnown = errors.New("a spent coin is another on the disk than in memory; `outrider utxo verify` tells whether the disk is right")
	// ErrDiskFull says that there is too little space on the disk. Nothing was
	// changed, and the call may be made again, unless the error is ErrBroken
	// too.
	ErrDiskFull = errors.New("the disk is full")
	// ErrBroken says that the disk failed in the middle of a write. Whether
	// the change is on the disk shows when the database is opened again.
	ErrBroken = errors.New("the coin database is broken until it is opened again")
	// ErrCorrupt says that what is on the disk is not what was written.
	ErrCorrupt = errors.New("the coin database is corrupt")
	// ErrLocked says that the database is open already, in this process or in
	// another: close it there, or stop the other.
	ErrLocked = errors.New("the coin database is open already, here or in another process: stop that one first")
	// ErrClosed says that the database was closed.
	ErrClosed = errors.New("the coin database is closed")
)

// A disk is the file system of one Pebble instance. Where Pebble's log or a
// directory cannot be written, the disk breaks: from then on nothing is
// written, as if the process had died, so that what Pebble still does in the
// background has no effect.
//
// Pebble panics, with its locks in no state to go on, when it cannot write its
// log. So a broken disk says of every write to the log that it was done, and
// whoever committed asks whether it is broken before he believes it.
type disk struct {
	vfs.FS
	noPageCache bool // what look-ups read is not left in the system's cache
	broken      atomic.Pointer[error]
	// dead is closed when the disk breaks.
	dead chan struct{}
}

func newDisk(fs vfs.FS, noPageCache bool) *disk {
	return &disk{FS: fs, noPageCache: noPageCache, dead: make(chan struct{})}
}

// retryDelay is how long a failed write keeps its caller. Pebble tries a flush
// that failed again at once, for ever.
const retryDelay = 20 * time.Millisecond

// fail breaks the disk, for the first reason that it is given.
func (d *disk) fail(reason error) {
	err := fmt.Errorf("%w: %w", ErrBroken, full(reason))
	if d.broken.CompareAndSwap(nil, &err) {
		close(d.dead)
	}
}

// check returns an error that wraps ErrBroken if the disk is.
func (d *disk) check() error {
	if err := d.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// full returns err, as an ErrDiskFull if that is what it is.
func full(err error) error {
	if err != nil && vfs.IsNoSpaceError(err) && !errors.Is(err, ErrDiskFull) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}

// write does what writes, unless the disk is broken. If vital is set, it breaks
// the disk if it fails, and its error is not for Pebble.
func (d *disk) write(vital bool, do func() error) error {
	err := d.check()
	if err == nil {
		err = do()
	}
	switch {
	case err == nil:
		return nil
	case vital:
		d.fail(err)
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		time.Sleep(retryDelay)
	}
	return err
}

// logCategory is how Pebble calls its log when it opens a file of it.
const logCategory = "pebble-wal"

// file does what opens a file for writing.
func (d *disk) file(category vfs.DiskWriteCategory, open func() (vfs.File, error)) (f vfs.File, err error) {
	vital := category == logCategory
	err = d.write(vital, func() error {
		f, err = open()
		return err
	})
	if err != nil {
		return nil, err
	}
	if f == nil {
		f = vfs.NewMemFile(nil) // which nothing is written to
	}
	return &diskFile{f, d, vital}, nil
}

// Open implements vfs.FS.
func (d *disk) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.Open(name, opts...)
	// So Pebble opens tables to be read here and there; a compaction opens them once more.
	if err != nil || !d.noPageCache || !slices.Contains(opts, vfs.RandomReadsOption) {
		return f, err
	}
	return openUncached(f)
}

// Create implements vfs.FS.
func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.file(category, func() (vfs.File, error) { return d.FS.Create(name, category) })
}

// OpenReadWrite implements vfs.FS.
func (d *disk) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.file(category, func() (vfs.File, error) { return d.FS.OpenReadWrite(name, category, opts...) })
}

// ReuseForWrite implements vfs.FS.
func (d *disk) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.file(category, func() (vfs.File, error) { return d.FS.ReuseForWrite(from, to, category) })
}

// OpenDir implements vfs.FS.
func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &diskFile{f, d, true}, nil
}

// Link implements vfs.FS.
func (d *disk) Link(from, to string) error {
	return d.write(false, func() error { return d.FS.Link(from, to) })
}

// Remove implements vfs.FS.
func (d *disk) Remove(name string) error {
	return d.write(false, func() error { return d.FS.Remove(name) })
}

// RemoveAll implements vfs.FS.
func (d *disk) RemoveAll(name string) error {
	return d.write(false, func() error { return d.FS.RemoveAll(name) })
}

// Rename implements vfs.FS.
func (d *disk) Rename(from, to string) error {
	return d.write(false, func() error { return d.FS.Rename(from, to) })
}

// MkdirAll implements vfs.FS.
func (d *disk) MkdirAll(dir string, perm os.FileMode) error {
	return d.write(false, func() error { return d.FS.MkdirAll(dir, perm) })
}

// Lock implements vfs.FS. Its error wraps ErrLocked when another has the lock.
func (d *disk) Lock(name string) (io.Closer, error) {
	l, err := d.FS.Lock(name)
	if err == nil {
		return l, nil
	}
	// That the file of the lock cannot be made is told with its path. That it
	// is locked is told by POSIX in one of two ways; within a process Pebble
	// tells it in words only.
	var number syscall.Errno
	if _, path := errors.AsType[*fs.PathError](err); path ||
		errors.As(err, &number) && number != syscall.EAGAIN && number != syscall.EACCES {
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", ErrLocked, err)
}

// Unwrap implements vfs.FS.
func (d *disk) Unwrap() vfs.FS { return d.FS }

// A diskFile is a file of a disk.
type diskFile struct {
	vfs.File
	disk *disk
	// vital says that the file is of the log, or a directory.
	vital bool
}

// Write implements vfs.File.
func (f *diskFile) Write(p []byte) (int, error) {
	return len(p), f.disk.write(f.vital, func() error {
		_, err := f.File.Write(p)
		return err
	})
}

// WriteAt implements vfs.File.
func (f *diskFile) WriteAt(p []byte, at int64) (int, error) {
	return len(p), f.disk.write(f.vital, func() error {
		_, err := f.File.WriteAt(p, at)
		return err
	})
}

// Preallocate implements vfs.File.
func (f *diskFile) Preallocate(at, length int64) error {
	return f.disk.write(f.vital, func() error { return f.File.Preallocate(at, length) })
}

// Sync implements vfs.File.
func (f *diskFile) Sync() error { return f.disk.write(f.vital, f.File.Sync) }

// SyncData implements vfs.File.
func (f *diskFile) SyncData() error { return f.disk.write(f.vital, f.File.SyncData) }

// SyncTo implements vfs.File.
func (f *diskFile) SyncTo(length int64) (whole bool, err error) {
	err = f.disk.write(f.vital, func() (err error) {
		whole, err = f.File.SyncTo(length)
		return err
	})
	return whole, err
}
