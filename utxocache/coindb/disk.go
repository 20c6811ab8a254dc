package coindb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
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
	// ErrDiskFull says that there is too little space on the disk. Nothing was
	// changed, and the call may be made again, unless the error is ErrBroken
	// too.
	ErrDiskFull = errors.New("the disk is full")
	// ErrBroken says that the disk failed in the middle of a write. Whether
	// the change is on the disk shows when the database is opened again.
	ErrBroken = errors.New("the coin database is broken until it is opened again")
	// ErrCorrupt says that what is on the disk is not what was written.
	ErrCorrupt = errors.New("the coin database is corrupt")
	// ErrClosed says that the database was closed.
	ErrClosed = errors.New("the coin database is closed")
)

// A disk is the file system of one Pebble instance. When the instance is
// broken it writes nothing more, so that what Pebble still does in the
// background has no effect.
type disk struct {
	vfs.FS
	broken atomic.Pointer[error]

	mu sync.Mutex
	// locks are the file locks that Pebble holds.
	locks []io.Closer
}

// retryDelay is how long a failed write keeps its caller. Pebble tries a flush
// that failed again at once, for ever.
const retryDelay = 20 * time.Millisecond

// fail breaks the disk, for the first reason that it is given.
func (d *disk) fail(reason error) {
	err := fmt.Errorf("%w: %w", ErrBroken, full(reason))
	d.broken.CompareAndSwap(nil, &err)
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

// write does what writes, unless the disk is broken.
func (d *disk) write(do func() error) error {
	err := d.check()
	if err == nil {
		err = do()
	}
	if err != nil && !os.IsNotExist(err) {
		time.Sleep(retryDelay)
	}
	return err
}

// file does what opens a file for writing.
func (d *disk) file(open func() (vfs.File, error)) (f vfs.File, err error) {
	err = d.write(func() error {
		f, err = open()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &diskFile{f, d}, nil
}

// Create implements vfs.FS.
func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.file(func() (vfs.File, error) { return d.FS.Create(name, category) })
}

// OpenReadWrite implements vfs.FS.
func (d *disk) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.file(func() (vfs.File, error) { return d.FS.OpenReadWrite(name, category, opts...) })
}

// ReuseForWrite implements vfs.FS.
func (d *disk) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.file(func() (vfs.File, error) { return d.FS.ReuseForWrite(from, to, category) })
}

// OpenDir implements vfs.FS.
func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &diskFile{f, d}, nil
}

// Link implements vfs.FS.
func (d *disk) Link(from, to string) error {
	return d.write(func() error { return d.FS.Link(from, to) })
}

// Remove implements vfs.FS.
func (d *disk) Remove(name string) error {
	return d.write(func() error { return d.FS.Remove(name) })
}

// RemoveAll implements vfs.FS.
func (d *disk) RemoveAll(name string) error {
	return d.write(func() error { return d.FS.RemoveAll(name) })
}

// Rename implements vfs.FS.
func (d *disk) Rename(from, to string) error {
	return d.write(func() error { return d.FS.Rename(from, to) })
}

// MkdirAll implements vfs.FS.
func (d *disk) MkdirAll(dir string, perm os.FileMode) error {
	return d.write(func() error { return d.FS.MkdirAll(dir, perm) })
}

// Lock implements vfs.FS.
func (d *disk) Lock(name string) (io.Closer, error) {
	l, err := d.FS.Lock(name)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	once := &closeOnce{Closer: l}
	d.locks = append(d.locks, once)
	return once, nil
}

// Unwrap implements vfs.FS.
func (d *disk) Unwrap() vfs.FS { return d.FS }

// abandon lets others lock what Pebble has locked.
func (d *disk) abandon() error {
	d.fail(ErrClosed)
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, l := range d.locks {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// A closeOnce does nothing when it is closed again.
type closeOnce struct {
	io.Closer
	once sync.Once
}

// Close closes the Closer, once.
func (c *closeOnce) Close() (err error) {
	c.once.Do(func() { err = c.Closer.Close() })
	return err
}

// A diskFile is a file of a disk.
type diskFile struct {
	vfs.File
	disk *disk
}

// Write implements vfs.File.
func (f *diskFile) Write(p []byte) (n int, err error) {
	err = f.disk.write(func() error {
		n, err = f.File.Write(p)
		return err
	})
	return n, err
}

// WriteAt implements vfs.File.
func (f *diskFile) WriteAt(p []byte, at int64) (n int, err error) {
	err = f.disk.write(func() error {
		n, err = f.File.WriteAt(p, at)
		return err
	})
	return n, err
}

// Preallocate implements vfs.File.
func (f *diskFile) Preallocate(at, length int64) error {
	return f.disk.write(func() error { return f.File.Preallocate(at, length) })
}

// Sync implements vfs.File.
func (f *diskFile) Sync() error { return f.disk.write(f.File.Sync) }

// SyncData implements vfs.File.
func (f *diskFile) SyncData() error { return f.disk.write(f.File.SyncData) }

// SyncTo implements vfs.File.
func (f *diskFile) SyncTo(length int64) (whole bool, err error) {
	err = f.disk.write(func() error {
		whole, err = f.File.SyncTo(length)
		return err
	})
	return whole, err
}
