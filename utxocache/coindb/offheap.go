package coindb

// OffHeap returns how many bytes of Memory the database may take outside of Go's
// memory, where the garbage collector's limit does not count them. With cgo Pebble
// has its cache and its memtables there.
func (d *DB) OffHeap() int64 {
	if !offHeap {
		return 0
	}
	return d.Memory()
}
